"""Labels of people as DICOM: a structured report a clip, in the study of its clip, that refers to the image.

One measurement group (`apical.deploy.structured_report`): the observers are persons, not devices, and the
view is an Image View (111031, DCM) by the codes of CID 12226, or Apical's own where these have none. A clip
that shows none of the views, or of which nobody can tell, gets no Image View but one of Apical's own codes.
Whether contrast agent was used, and the quality, have names of Apical's own; the values are standard where
DICOM has exactly these. A report holds the identity of the patient, as every object of a study does.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset

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
from apical.errors import ClipProblem, WrongCall
from apical.ingest.clip import open_clip
from apical.ingest.dicom import DicomClip
from apical.label.opinions import CANNOT_TELL, Said
from apical.views import NO_VIEW, Code, Vocabulary

NOTE = "Labelled by a person for research; not a medical report."
SERIES, SERIES_NUMBER = "Apical labels (research)", 9901
UNNAMED = "Unnamed"  # observer of a label of which nobody knows who gave it
TABLE = "table"  # what 'labels import' writes where a table names nobody
LONGEST_PERSON = 64  # characters of a person's name (VR PN)

PERSON = Code("121006", "DCM", "Person")
ADJUDICATOR = Code("C96561", "NCIt", "Adjudicator")
NOT_ONE_VIEW = Code("NOT-ONE-VIEW", OWN, "Why no view is named")
SHOWS_NONE = Code("SHOWS-NONE", OWN, "Shows none of the views")
VIEW_NOT_TOLD = Code("CANNOT-TELL", OWN, "View cannot be told")
AGENT_SEEN = Code("CONTRAST-SEEN", OWN, "Contrast agent by a person")
QUALITY = Code("IMAGE-QUALITY", OWN, "Quality of the image by a person")
ADJUDICATED = Code("ADJUDICATED", OWN, "Adjudicated between the labels of")
WITHOUT_VIEW = {NO_VIEW: SHOWS_NONE, CANNOT_TELL: VIEW_NOT_TOLD}
QUALITY_CODES = {
    "good": Code("122741", "DCM", "Good image quality"),
    "fair": Code("FAIR-QUALITY", OWN, "Fair image quality"),
    "poor": Code("122742", "DCM", "Poor image quality"),
}


@dataclass(frozen=True)
class Labelled:
    """What people say of a clip, all of them the same.

    Attributes:
        said: the label; one without a view is not reported.
        by: who says so; empty where nobody is named.
        adjudicated: they decided between the labels of others,
        among: of these.
    """

    said: Said
    by: tuple[str, ...] = ()
    adjudicated: bool = False
    among: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """A report, or why there is none.

    Attributes:
        clip: its id.
        content: the report as a DICOM file; None where there is none.
        problem: why not; None, too, where the clip is no DICOM file.
    """

    clip: str
    content: bytes | None = None
    problem: str | None = None

    @property
    def file(self) -> str:
        """A name for the report's file, which tells of the clip's id only."""
        return f"{self.clip}-label.dcm"


def label_uid(source_sop_instance_uid: str, label: Labelled) -> str:
    """SOP Instance UID of the report of a label: the same for the same image, people and label.

    So a label that is sent twice is one report, and one that was changed is another.
    """
    parts = asdict(label) | {"by": sorted(label.by), "among": sorted(label.among)}
    content = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return uid_of("label", source_sop_instance_uid, content)


def label_series_uid(study_instance_uid: str) -> str:
    """Series Instance UID of all reports of labels on a study."""
    return uid_of("labels", study_instance_uid)


def label_bytes(source: Dataset, label: Labelled, vocabulary: Vocabulary, when: datetime) -> bytes:
    """The report as a DICOM file; see `label_document`."""
    return file_of(label_document(source, label, vocabulary, when))


def label_document(source: Dataset, label: Labelled, vocabulary: Vocabulary, when: datetime) -> Dataset:
    """The report of a label: a Comprehensive SR, research only, preliminary and unverified.

    Args:
        source: the image's header, with or without pixels; it is not changed.
        label: what is said of it.
        vocabulary: its views.
        when: the time of the report, with its time zone; the UIDs do not depend on it.

    Raises:
        ClipProblem: the image has no UIDs by which it can be referred to.
        WrongCall: there is no view to report, or the vocabulary has no such view, or `when` has no time zone.
        CannotDo: highdicom is not installed.
    """
    said = _coded(label.said, vocabulary)
    series = Series(
        instance=lambda image: label_uid(image, label),
        series=label_series_uid,
        number=SERIES_NUMBER,
        description=SERIES,
    )
    return report_on(source, series, lambda image: _content(image, label, said), when)


def reports_of(
    labels: Mapping[str, Labelled], places: Mapping[str, str], vocabulary: Vocabulary, when: datetime
) -> Iterator[Made]:
    """The reports of clips, one after another, in the order of `labels`.

    Args:
        labels: clip → what is said of it.
        places: clip → where its file is.
        vocabulary: the views of the labels.
        when: see `label_document`.

    Raises:
        CannotDo: highdicom is not installed. What is wrong with a clip is told by its `Made`.
    """
    highdicom_sr()
    for clip, label in labels.items():
        try:
            source = open_clip(places[clip])
            if not isinstance(source, DicomClip):
                yield Made(clip)
            elif source.facts.clip != clip:
                yield Made(clip, problem="its file is another one now; scan again")
            else:
                yield Made(clip, label_bytes(source.dataset, label, vocabulary, when))
        except ClipProblem as problem:
            yield Made(clip, problem=str(problem))
        except WrongCall as error:
            yield Made(clip, problem=error.what)


def person_name(annotator: str) -> str:
    """An annotator's name as a DICOM person's name (VR PN), which keeps some signs for itself."""
    plain = "".join(
        " " if sign in "\\=" or unicodedata.category(sign)[0] == "C" else sign for sign in annotator
    )
    if plain.count("^") > 4:  # five components (PS3.5 6.2.1)
        plain = plain.replace("^", " ")
    plain = plain[: LONGEST_PERSON - 1].strip() or UNNAMED
    return plain if "^" in plain else f"{plain}^"  # a name of one component is of a form that is retired


def split_names(labelled_by: str | None) -> tuple[str, ...]:
    """The people of a catalogue's ``labelled_by``; none where it names nobody."""
    names = (name.strip() for name in (labelled_by or "").split(", "))
    return tuple(dict.fromkeys(name for name in names if name and name != TABLE))


def _coded(said: Said, vocabulary: Vocabulary) -> list[tuple[Code, Code]]:
    """What is said, as names and values."""
    codes = {view.name: view_code(view) for view in vocabulary}
    if said.view in codes:
        coded = [(IMAGE_VIEW, codes[said.view])]
    elif said.view in WITHOUT_VIEW:
        coded = [(NOT_ONE_VIEW, WITHOUT_VIEW[said.view])]
    else:
        raise WrongCall("its label is no view of the vocabulary", "give the vocabulary of the labels")
    if said.contrast_agent is not None:
        coded.append((AGENT_SEEN, YES if said.contrast_agent else NO))
    if said.quality is not None:
        coded.append((QUALITY, QUALITY_CODES[said.quality]))
    return coded


def _content(image: Image, label: Labelled, said: list[tuple[Code, Code]]) -> Dataset:
    """The root of the content tree."""
    sr = highdicom_sr()
    texts = [(COMMENT, NOTE)]
    if label.said.note:
        texts.append((COMMENT, label.said.note))
    texts += [(ADJUDICATED, name) for name in label.among]
    return measurement_report(
        [_observer(name, label.adjudicated) for name in label.by or (UNNAMED,)],
        image,
        [],
        texts,
        tracking_identifier=sr.TrackingIdentifier(
            uid_of("label tracking", image.instance), "View of the image, by people"
        ),
        qualitative_evaluations=evaluations(said),
    )


def _observer(annotator: str, adjudicator: bool) -> Any:
    """A person; a name that VR PN cannot hold stands in full as the login name."""
    sr, name = highdicom_sr(), person_name(annotator)
    attributes = sr.PersonObserverIdentifyingAttributes(
        name,
        login_name=None if name.rstrip("^") == annotator else annotator,
        role_in_procedure=concept(ADJUDICATOR) if adjudicator else None,
    )
    return sr.ObserverContext(concept(PERSON), attributes)
