"""What all structured reports of Apical share: one report an image, in the study of that image.

A Comprehensive SR with the template TID 1500 "Measurement Report" (PS3.16). Identity is copied, never
corrected: a PACS finds the patient and the study by exactly these values, so an over-long patient number
stays over-long. Dates, times and a sex that are none are left empty. All text is written in UTF-8, whatever
the original's character set.

Limits: the procedure is always said to be a transthoracic echocardiogram, for Apical knows views of no other.
The image is referred to as its file says, also where its UIDs break the rules. The times of a report are in
the time zone that the original names and, if it names none, in that of this machine.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable, Sequence
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

from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.ingest.damage import decoding
from apical.ingest.dicom import quiet_pydicom
from apical.views import Code, View

OWN = "99APICAL"

IMAGE_VIEW = Code("111031", "DCM", "Image View")
ENGLISH = Code("en", "RFC5646", "English")
COMMENT = Code("121106", "DCM", "Comment")
PROCEDURE = Code("433236007", "SCT", "Transthoracic echocardiography")
YES, NO = Code("373066001", "SCT", "Yes"), Code("373067005", "SCT", "No")

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
class Image:
    """The UIDs of the image that is reported on, and its number of frames."""

    sop_class: str
    instance: str
    series: str
    study: str
    frames: int


@dataclass(frozen=True)
class Series:
    """What a report is called, and the series in which it lies.

    Attributes:
        instance: from the UID of the image → SOP Instance UID of the report.
        series: from the UID of the study → Series Instance UID.
        number: of the series.
        description: of the series.
    """

    instance: Callable[[str], str]
    series: Callable[[str], str]
    number: int
    description: str


def uid_of(*parts: str) -> str:
    """A UID that is the same for the same texts: UUID-derived (PS3.5 B.2), from SHA-1."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(('apical', *parts))).int}"


def file_of(document: Dataset) -> bytes:
    """A report as a DICOM file."""
    buffer = io.BytesIO()
    with quiet_pydicom():
        dcmwrite(buffer, document, enforce_file_format=True)
    return buffer.getvalue()


def report_on(
    source: Dataset, series: Series, content: Callable[[Image], Dataset], when: datetime
) -> Dataset:
    """The report on one image; the same for the same arguments, on machines of one time zone.

    Args:
        source: the image's header, with or without pixels; it is not changed.
        series: what the report is called, and the series in which it lies.
        content: makes the root of the content tree (`measurement_report`).
        when: the time of what is reported, with its time zone.

    Raises:
        ClipProblem: the image has no UIDs by which it can be referred to.
        WrongCall: `when` has no time zone.
        CannotDo: highdicom is not installed.
    """
    if when.tzinfo is None:
        raise WrongCall("the time of a report needs a time zone", "give an aware datetime")
    with quiet_pydicom():
        header = source[0x00080000:0x00290000]  # a copy: reading an element may change its dataset
        image = _image(header)
        document = _document(header, image, series, when)
        document.update({element.tag: element for element in content(image)})
    return document


def measurement_report(
    observers: Sequence[Any],
    image: Image,
    frames: Sequence[int],
    texts: Sequence[tuple[Code, str]],
    **group: Any,
) -> Dataset:
    """The root of a content tree: one measurement group (TID 1501) on one image.

    Args:
        observers: highdicom's `ObserverContext` of each who says it.
        image: what it is of,
        frames: and of which of its frames, counted from 1; of the whole image where none are given.
        texts: names and values at the end of the group.
        group: further arguments of highdicom's `MeasurementsAndQualitativeEvaluations`.
    """
    sr = highdicom_sr()
    of = sr.SourceImageForMeasurementGroup(image.sop_class, image.instance, list(frames) or None)
    measured = sr.MeasurementsAndQualitativeEvaluations(source_images=[of], **group)
    for name, text in texts:
        item = sr.TextContentItem(concept(name), text, sr.RelationshipTypeValues.CONTAINS)
        measured[0].ContentSequence.append(item)
    context = sr.ObservationContext()
    for observer in observers:
        context.extend(observer)
    report = sr.MeasurementReport(
        observation_context=context,
        procedure_reported=concept(PROCEDURE),
        imaging_measurements=[measured],
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(concept(ENGLISH)),
    )
    root: Dataset = report[0]
    return root


def evaluations(said: Sequence[tuple[Code, Code]]) -> list[Any]:
    """Names and values as the qualitative evaluations of a group."""
    sr = highdicom_sr()
    return [sr.QualitativeEvaluation(concept(name), concept(value)) for name, value in said]


def _image(header: Dataset) -> Image:
    return Image(
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


def _document(header: Dataset, image: Image, series: Series, when: datetime) -> Dataset:
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
    document.SeriesInstanceUID = series.series(image.study)
    document.SOPClassUID, document.SOPInstanceUID = ComprehensiveSRStorage, series.instance(image.instance)
    document.Modality, document.SeriesNumber = "SR", series.number
    document.SeriesDescription = series.description
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


def _evidence(image: Image) -> Dataset:
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


def view_code(view: View) -> Code:
    """A view's code of CID 12226, or else Apical's own."""
    code = view.code or Code(view.local_code or view.name, OWN, view.title)
    return Code(code.value, code.scheme, code.meaning or view.title)


def concept_text(code: Code) -> tuple[str, str, str]:
    """Value, scheme and meaning of a code; of users' own views what the elements cannot hold is left out."""
    value, scheme, meaning = (
        "".join(sign if sign.isprintable() and sign != "\\" else " " for sign in text).strip()
        for text in (code.value, code.scheme, code.meaning)
    )
    return value, scheme[:16].strip(), meaning[:64].strip()


def concept(code: Code) -> Any:
    """A code as an item; see `concept_text`."""
    value, scheme, meaning = concept_text(code)
    return highdicom_sr().CodedConcept(value, scheme, meaning)


def highdicom_sr() -> Any:
    """The library that knows the templates. Raises CannotDo: it is not installed."""
    try:
        return import_module("highdicom.sr")
    except ImportError:
        raise CannotDo(
            "the highdicom library, which writes reports, is not installed",
            "install it: pip install 'apical[dicom-net]'",
        ) from None
