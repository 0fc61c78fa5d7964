"""Answers as DICOM: a structured report a clip, in the study of its clip, that refers to the image.

One measurement group (`apical.deploy.structured_report`) that names the algorithm, the image and its frames,
and says of them an Image View (111031, DCM) by the codes of CID 12226. What these do not have, is said by
Apical's own codes (scheme 99APICAL): never a near miss. The probability has the code that ECG reports use for
that of a statement (122157, DCM; TID 3719).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset

from apical.deploy.answers import Answer
from apical.deploy.structured_report import (
    COMMENT,
    IMAGE_VIEW,
    NO,
    OWN,
    YES,
    Image,
    Series,
    concept,
    evaluations,
    file_of,
    highdicom_sr,
    measurement_report,
    report_on,
    uid_of,
    view_code,
)
from apical.errors import WrongCall
from apical.views import Code, Vocabulary

NOTE = "Research use only; not a medical device. Made by a program, checked by nobody."
SERIES, SERIES_NUMBER = "Apical views (research)", 9900
PRECISIONS = ("int8", "bf16")  # beside 32 bits; a model's version ends with its precision

PROBABILITY = Code("122157", "DCM", "Probability")
DEVICE = Code("121007", "DCM", "Device")
UNKNOWN = Code("261665006", "SCT", "Unknown")
NO_UNIT = Code("1", "UCUM", "no units")
CREDIBLE = Code("CREDIBLE-VIEW", OWN, "Credible view")
DOUBTFUL = Code("DOUBTFUL", OWN, "View is doubtful")
UNKNOWN_SCORE = Code("UNKNOWN-SCORE", OWN, "Unlikeness to all views that were taught")
NEAREST = Code("NEAREST-VIEW", OWN, "Nearest view of an unknown image")
NEAREST_PROBABILITY = Code("NEAREST-PROB", OWN, "Probability of the nearest view, if it is one taught")
AGENT = Code("CONTRAST-AGENT", OWN, "Contrast agent by the image's header")
AGENT_PROBABILITY = Code("CONTRAST-PROB", OWN, "Probability of contrast agent by pixels")


def check_sr() -> None:
    """See that reports can be written, before any is needed. Raises CannotDo: highdicom is not installed."""
    highdicom_sr()


def sr_uid(source_sop_instance_uid: str, model_version: str) -> str:
    """SOP Instance UID of the report on an image: the same for the same image and model.

    So a report that is sent twice is one report.
    """
    return uid_of("report", source_sop_instance_uid, model_version)


def sr_series_uid(study_instance_uid: str, model_version: str) -> str:
    """Series Instance UID of all reports on a study by a model."""
    return uid_of("series", study_instance_uid, model_version)


def sr_bytes(
    source: Dataset, answer: Answer, vocabulary: Vocabulary, facts: Mapping[str, Any], when: datetime
) -> bytes | None:
    """The report as a DICOM file; see `sr_document`."""
    document = sr_document(source, answer, vocabulary, facts, when)
    return None if document is None else file_of(document)


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
    series = Series(
        instance=lambda image: sr_uid(image, answer.model),
        series=lambda study: sr_series_uid(study, answer.model),
        number=SERIES_NUMBER,
        description=SERIES,
    )
    return report_on(source, series, lambda image: _content(image, answer, vocabulary, facts), when)


def _content(image: Image, answer: Answer, vocabulary: Vocabulary, facts: Mapping[str, Any]) -> Dataset:
    """The root of the content tree."""
    sr = highdicom_sr()
    numbers, said = _said(answer, {view.name: view_code(view) for view in vocabulary})
    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", answer.model),
        name="Apical",
        manufacturer_name="Apical",
        model_name=f"bundle {answer.model}",
    )
    return measurement_report(
        [sr.ObserverContext(concept(DEVICE), observer)],
        image,
        [number + 1 for number in answer.frames_used] if image.frames > 1 else [],
        [(COMMENT, NOTE)],
        tracking_identifier=sr.TrackingIdentifier(
            uid_of("tracking", image.instance, answer.model), "View of the image"
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
            sr.Measurement(concept(name), value, concept(NO_UNIT)) for name, value in numbers.items()
        ],
        qualitative_evaluations=evaluations(said),
    )


def _said(answer: Answer, views: dict[str, Code]) -> tuple[dict[Code, float], list[tuple[Code, Code]]]:
    """The answer as numbers and as codes. Of an unknown image no view is credible, only nearest."""
    nearest = views[str(answer.likeliest)]
    numbers = {
        NEAREST_PROBABILITY if answer.unknown else PROBABILITY: answer.probability,
        UNKNOWN_SCORE: answer.unknown_score,
        AGENT_PROBABILITY: answer.contrast_agent_probability,
    }
    if answer.unknown:
        said = [(IMAGE_VIEW, UNKNOWN), (NEAREST, nearest)]
    else:
        said = [(IMAGE_VIEW, nearest), *((CREDIBLE, views[name]) for name in answer.views)]
    for name, holds in ((DOUBTFUL, answer.doubtful), (AGENT, answer.contrast_agent)):
        if holds is not None:
            said.append((name, YES if holds else NO))
    return {name: float(value) for name, value in numbers.items() if value is not None}, said
