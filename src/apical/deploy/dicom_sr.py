"""Answers as DICOM: a structured report a clip, in the study of its clip, that refers to the image.

A Comprehensive SR with the template TID 1500 "Measurement Report" (PS3.16): one measurement group (TID 1501)
that names the algorithm, the image and its frames, and says of them an Image View (111031, DCM) by the codes
of CID 12226. What these do not have, is said by Apical's own codes (scheme 99APICAL): never a near miss. The
probability has the code that ECG reports use for that of a statement (122157, DCM; TID 3719).

Identity is copied, never corrected: a PACS finds the patient and the study by exactly these values, so an
over-long patient number stays over-long. Dates, times and a sex that are none are left empty. All text is
written in UTF-8, whatever the original's character set.

Limits: the procedure is always said to be a transthoracic echocardiogram, for Apical knows views of no other.
The image is referred to as its file says, also where its UIDs break the rules. The times of a report are in
the time zone that the original names and, if it names none, in that of this machine.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib import import_module
from importlib.metadata import version
from typing import Any

from pydicom import dcmwrite
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from apical.deploy.answers import Answer
from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.ingest.damage import decoding
from apical.ingest.dicom import quiet_pydicom
from apical.views import Code, View, Vocabulary

NOTE = "Research use only; not a medical device. Made by a program, checked by nobody."
SERIES, SERIES_NUMBER = "Apical views (research)", 9900
OWN = "99APICAL"
PRECISIONS = ("int8", "bf16")  # beside 32 bits; a model's version ends with its precision

IMAGE_VIEW = Code("111031", "DCM", "Image View")
PROBABILITY = Code("122157", "DCM", "Probability")
ENGLISH, DEVICE = Code("en", "RFC5646", "English"), Code("121007", "DCM", "Device")
COMMENT = Code("121106", "DCM", "Comment")
PROCEDURE = Code("433236007", "SCT", "Transthoracic echocardiography")
UNKNOWN = Code("261665006", "SCT", "Unknown")
YES, NO = Code("373066001", "SCT", "Yes"), Code("373067005", "SCT", "No")
NO_UNIT = Code("1", "UCUM", "no units")
CREDIBLE = Code("CREDIBLE-VIEW", OWN, "Credible view")
DOUBTFUL = Code("DOUBTFUL", OWN, "View is doubtful")
UNKNOWN_SCORE = Code("UNKNOWN-SCORE", OWN, "Unlikeness to all views that were taught")
NEAREST = Code("NEAREST-VIEW", OWN, "Nearest view of an unknown image")
NEAREST_PROBABILITY = Code("NEAREST-PROB", OWN, "Probability of the nearest view, if it is one taught")
AGENT = Code("CONTRAST-AGENT", OWN, "Contrast agent by the image's header")
AGENT_PROBABILITY = Code("CONTRAST-PROB", OWN, "Probability of contrast agent by pixels")

_KEPT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID",
)  # fmt: skip
_KEPT_IF_THERE = ("IssuerOfPatientID", "StudyDescription")
_SOUND = {
    "DA": re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"),
    "TM": re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?"),
    "CS": re.compile("[MFO]"),
}
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_OFFSET = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")


@dataclass(frozen=True)
class _Image:
    """The UIDs of the image that is reported on, and its number of frames."""

    sop_class: str
    instance: str
    series: str
    study: str
    frames: int


def check_sr() -> None:
    """See that reports can be written, before any is needed. Raises CannotDo: highdicom is not installed."""
    _highdicom_sr()


def sr_uid(source_sop_instance_uid: str, model_version: str) -> str:
    """SOP Instance UID of the report on an image: the same for the same image and model.

    So a report that is sent twice is one report. UUID-derived (PS3.5 B.2), from SHA-1.
    """
    return _uid("report", source_sop_instance_uid, model_version)


def sr_series_uid(study_instance_uid: str, model_version: str) -> str:
    """Series Instance UID of all reports on a study by a model."""
    return _uid("series", study_instance_uid, model_version)


def _uid(*parts: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(('apical', *parts))).int}"


def sr_bytes(
    source: Dataset, answer: Answer, vocabulary: Vocabulary, facts: Mapping[str, Any], when: datetime
) -> bytes | None:
    """The report as a DICOM file; see `sr_document`."""
    document = sr_document(source, answer, vocabulary, facts, when)
    if document is None:
        return None
    buffer = io.BytesIO()
    with quiet_pydicom():
        dcmwrite(buffer, document, enforce_file_format=True)
    return buffer.getvalue()


def sr_document(
    source: Dataset, answer: Answer, vocabulary: Vocabulary, facts: Mapping[str, Any], when: datetime
) -> Dataset | None:
    """The report on one image; the same for the same arguments, on machines of one time zone.

    Args:
        source: the image's header, with or without pixels; it is not changed.
        answer: what the bundle said of it, in 32 bits or in any of `PRECISIONS`.
        vocabulary: the bundle's views.
        facts: the bundle's ``facts``.
        when: the time of the answer, with its time zone.

    Returns:
        a Comprehensive SR, or None where there is no view to report: the clip has a problem, or shows no 2-D
        image.

    Raises:
        ClipProblem: the image has no UIDs by which it can be referred to.
        WrongCall: another bundle gave the answer, or `when` has no time zone.
        CannotDo: highdicom is not installed.
    """
    if answer.likeliest is None:
        return None
    if answer.model not in (facts["version"], *(f"{facts['version']}-{one}" for one in PRECISIONS)):
        raise WrongCall("the answer is another bundle's", "give the facts of the bundle that answered")
    if when.tzinfo is None:
        raise WrongCall("the time of an answer needs a time zone", "give an aware datetime")
    with quiet_pydicom():
        header = source[0x00080000:0x00290000]  # a copy: reading an element may change its dataset
        image = _image(header)
        document = _document(header, image, answer.model, when)
        content = _content(image, answer, vocabulary, facts)
        document.update({element.tag: element for element in content})
    return document


def _image(header: Dataset) -> _Image:
    return _Image(
        sop_class=_reference(header, "SOPClassUID"),
        instance=_reference(header, "SOPInstanceUID"),
        series=_reference(header, "SeriesInstanceUID"),
        study=_reference(header, "StudyInstanceUID"),
        frames=_number(header, "NumberOfFrames"),
    )


def _reference(header: Dataset, name: str) -> str:
    uid = _text(header, name)
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise ClipProblem(f"cannot be reported on: its {name} is missing, or no UID")
    return uid


def _document(header: Dataset, image: _Image, model: str, when: datetime) -> Dataset:
    """All modules but the content: patient, study, series, equipment, general document, common."""
    document = Dataset()
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.SpecificCharacterSet = "ISO_IR 192"
    for name in _KEPT:
        setattr(document, name, _sound(header, name))
    for name in _KEPT_IF_THERE:
        if _text(header, name):
            setattr(document, name, _text(header, name))
    offset = _text(header, "TimezoneOffsetFromUTC")
    when = when.astimezone(_zone(offset))
    if _zone(offset):
        document.TimezoneOffsetFromUTC = offset
    document.StudyInstanceUID = image.study
    document.SeriesInstanceUID = sr_series_uid(image.study, model)
    document.SOPClassUID, document.SOPInstanceUID = ComprehensiveSRStorage, sr_uid(image.instance, model)
    document.Modality, document.SeriesNumber, document.SeriesDescription = "SR", SERIES_NUMBER, SERIES
    document.InstanceNumber = _instance_number(document.SOPInstanceUID)
    document.ReferencedPerformedProcedureStepSequence = []
    document.PerformedProcedureCodeSequence = []
    document.Manufacturer = document.ManufacturerModelName = "Apical"
    document.SoftwareVersions = version("apical")
    document.ContentDate = document.InstanceCreationDate = when.strftime("%Y%m%d")
    document.ContentTime = document.InstanceCreationTime = when.strftime("%H%M%S")
    document.ContentQualification = "RESEARCH"
    document.CompletionFlag, document.VerificationFlag = "COMPLETE", "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"

    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = OWN, "Codes of the software Apical"
    scheme.CodingSchemeResponsibleOrganization = "Apical"
    document.CodingSchemeIdentificationSequence = [scheme]
    document.CurrentRequestedProcedureEvidenceSequence = [_evidence(image)]
    return document


def _zone(offset: str) -> timezone | None:
    """A time zone as ±HHMM; None, which stands for the machine's own, where it is none."""
    if not _OFFSET.fullmatch(offset):
        return None
    ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
    return timezone(-ahead if offset[0] == "-" else ahead)


def _evidence(image: _Image) -> Dataset:
    """The image in its series in its study (PS3.3 table C.17-3)."""
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = image.sop_class, image.instance
    series.SeriesInstanceUID, series.ReferencedSOPSequence = image.series, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = image.study, [series]
    return study


def _text(header: Dataset, name: str) -> str:
    """An element as its file has it, decoded; empty where it is not there, or cannot be read."""
    with suppress(ClipProblem), decoding("unreadable"):
        value = header.get(name)
        if isinstance(value, MultiValue | list):
            return "\\".join(str(one) for one in value)
        return "" if value is None or isinstance(value, bytes) else str(value)
    return ""


def _sound(header: Dataset, name: str) -> str:
    """As `_text`; empty for a date, time or sex that is none."""
    value = _text(header, name)
    pattern = _SOUND.get(dictionary_VR(name))
    return value if pattern is None or pattern.fullmatch(value) else ""


def _instance_number(uid: str) -> int:
    """A number in which reports differ, also on images of several series: 1 to 2^31 - 1."""
    return int(uid.rpartition(".")[2]) % (2**31 - 1) + 1


def _number(header: Dataset, name: str) -> int:
    """A number of frames: at least 1."""
    text = _text(header, name)
    return max(1, int(text)) if re.fullmatch(r"\d{1,9}", text) else 1


def _content(image: _Image, answer: Answer, vocabulary: Vocabulary, facts: Mapping[str, Any]) -> Dataset:
    """The root of the content tree."""
    sr = _highdicom_sr()
    views = {view.name: _code(view) for view in vocabulary}
    numbers, evaluations = _said(answer, views)
    frames = [number + 1 for number in answer.frames_used] if image.frames > 1 else []
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            _uid("tracking", image.instance, answer.model), "View of the image"
        ),
        algorithm_id=sr.AlgorithmIdentification(
            name="Apical",
            version=answer.model,
            manufacturer="Apical",
            parameters=[
                f"method: {facts['training']['method']}",
                f"unknown above: {facts['unknown']['threshold']:.6g}",
                f"precision: {answer.model.removeprefix(facts['version']).lstrip('-') or 'f32'}",
            ],
        ),
        measurements=[
            sr.Measurement(_concept(name), value, _concept(NO_UNIT)) for name, value in numbers.items()
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_concept(name), _concept(value)) for name, value in evaluations
        ],
        source_images=[sr.SourceImageForMeasurementGroup(image.sop_class, image.instance, frames or None)],
    )
    contains = sr.RelationshipTypeValues.CONTAINS
    group[0].ContentSequence.append(sr.TextContentItem(_concept(COMMENT), NOTE, contains))
    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=_uid("device", answer.model),
        name="Apical",
        manufacturer_name="Apical",
        model_name=f"bundle {answer.model}",
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(_concept(DEVICE), observer)
        ),
        procedure_reported=_concept(PROCEDURE),
        imaging_measurements=[group],
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(_concept(ENGLISH)),
    )
    root: Dataset = report[0]
    return root


def _said(answer: Answer, views: dict[str, Code]) -> tuple[dict[Code, float], list[tuple[Code, Code]]]:
    """The answer as numbers and as codes. Of an unknown image no view is credible, only nearest."""
    nearest = views[str(answer.likeliest)]
    numbers = {
        NEAREST_PROBABILITY if answer.unknown else PROBABILITY: answer.probability,
        UNKNOWN_SCORE: answer.unknown_score,
        AGENT_PROBABILITY: answer.contrast_agent_probability,
    }
    if answer.unknown:
        evaluations = [(IMAGE_VIEW, UNKNOWN), (NEAREST, nearest)]
    else:
        evaluations = [(IMAGE_VIEW, nearest), *((CREDIBLE, views[name]) for name in answer.views)]
    for name, said in ((DOUBTFUL, answer.doubtful), (AGENT, answer.contrast_agent)):
        if said is not None:
            evaluations.append((name, YES if said else NO))
    return {name: float(value) for name, value in numbers.items() if value is not None}, evaluations


def _code(view: View) -> Code:
    """A view's code of CID 12226, or else Apical's own."""
    code = view.code or Code(view.local_code or view.name, OWN, view.title)
    return Code(code.value, code.scheme, code.meaning or view.title)


def _concept(code: Code) -> Any:
    """A code as an item; of users' own views what the elements cannot hold is left out."""
    value, scheme, meaning = (
        "".join(sign if sign.isprintable() and sign != "\\" else " " for sign in text).strip()
        for text in (code.value, code.scheme, code.meaning)
    )
    return _highdicom_sr().CodedConcept(value, scheme[:16].strip(), meaning[:64].strip())


def _highdicom_sr() -> Any:
    try:
        return import_module("highdicom.sr")
    except ImportError:
        raise CannotDo(
            "the highdicom library, which writes reports, is not installed",
            "install it: pip install 'apical[dicom-net]'",
        ) from None
