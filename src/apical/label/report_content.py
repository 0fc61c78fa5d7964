"""What one structured report says of images: Apical's own of labels, and any that names an Image View.

What is read is the content tree: a node with an Image View (111031, DCM), or with Apical's own code of a
label without one, says it of the one image that it refers to; a node that refers to none, of the one that the
nodes around it refer to. Codes are those of the vocabulary, older ones of the scheme SRT too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as Concept

from apical.deploy.structured_report import COMMENT, IMAGE_VIEW, YES, concept_text, view_code
from apical.errors import ClipProblem
from apical.ingest.damage import Rationed, decoding
from apical.ingest.dicom import quiet_pydicom
from apical.ingest.formats import HEAD, kind_of
from apical.ingest.places import opened
from apical.ingest.pseudonyms import clip_id_of_uid
from apical.label.opinions import Said
from apical.label.reports import (
    ADJUDICATED,
    ADJUDICATOR,
    AGENT_SEEN,
    NOT_ONE_VIEW,
    NOTE,
    QUALITY,
    QUALITY_CODES,
    UNNAMED,
    WITHOUT_VIEW,
    Labelled,
    person_name,
)
from apical.views import Code, Vocabulary

REPORTS = "1.2.840.10008.5.1.4.1.1.88."  # storage classes of structured reports begin so (PS3.4 B.5)
NO_REPORT = "no structured report"
OBSERVER_TYPE, DEVICE = Code("121005", "DCM", "Observer Type"), Code("121007", "DCM", "Device")
PERSON_NAME = Code("121008", "DCM", "Person Observer Name")
LOGIN_NAME = Code("128774", "DCM", "Person Observer's Login Name")
PERSON_ROLE = Code("121011", "DCM", "Person Observer's Role in this Procedure")
DEVICE_NAME = Code("121013", "DCM", "Device Observer Name")
ALGORITHM = Code("111001", "DCM", "Algorithm Name")
A_PROGRAM = "a program"


@dataclass(frozen=True)
class Reported:
    """A label as a report tells it.

    Attributes:
        clip: the id that its image has in a catalogue.
        label: what is said, and by whom; names of people, or of programs.
        program: a program says so. A person who is named beside an algorithm says it only once it is
            verified; whoever verified it says it where no other person is named.
        verified: the report says that it was verified.
        at: date and time of the report's content, as text that sorts; empty where it tells none.
    """

    clip: str
    label: Labelled
    program: bool = False
    verified: bool = False
    at: str = ""


class NoReport(ClipProblem):
    """A file that is no structured report."""

    def __init__(self) -> None:
        super().__init__(NO_REPORT)


def read_report(place: str, vocabulary: Vocabulary) -> tuple[list[Reported], list[str]]:
    """The labels of one structured report, in its order, and a line for each that cannot be used.

    Raises:
        NoReport: it is no DICOM file, or of another kind.
        ClipProblem: it is damaged. `Unreadable`: it cannot be read just now.
    """
    with opened(place) as file, quiet_pydicom(), decoding("damaged DICOM file"):
        if kind_of(file.read(HEAD)) != "dicom":
            raise NoReport
        file.seek(0)
        rationed = cast(BinaryIO, Rationed(file))
        dataset = pydicom.dcmread(rationed, force=True, stop_before_pixels=True)
        kinds = [dataset.file_meta.get("MediaStorageSOPClassUID"), dataset.get("SOPClassUID")]
        if not any(kinds):
            raise ClipProblem("incomplete DICOM file")
        if not any(str(kind).startswith(REPORTS) for kind in kinds):
            raise NoReport
        content: object = dataset.get_item("ContentSequence")
        cut_off = isinstance(content, RawDataElement) and len(content.value or b"") < content.length
        if content is None or cut_off:  # which pydicom reads as a shorter tree
            raise ClipProblem("incomplete DICOM file")
        return _Reader(dataset, vocabulary).read()


@dataclass(frozen=True)
class _Observers:
    """Who observes, as far as it is known where a node stands."""

    people: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    adjudicates: bool = False


class _Reader:
    """Reads one report."""

    def __init__(self, dataset: Dataset, vocabulary: Vocabulary) -> None:
        self._dataset, self._vocabulary = dataset, vocabulary
        self._verified = str(dataset.get("VerificationFlag") or "") == "VERIFIED"
        verifiers = dataset.get("VerifyingObserverSequence") or () if self._verified else ()
        self._verifiers = tuple(_person(one.get("VerifyingObserverName")) for one in verifiers)
        self._at = "".join(str(dataset.get(name) or "") for name in ("ContentDate", "ContentTime"))
        self._images: dict[int, frozenset[str]] = {}  # by the identity of a node
        self._labels: list[Reported] = []
        self._problems: list[str] = []

    def read(self) -> tuple[list[Reported], list[str]]:
        """The labels, and a line for each that cannot be used."""
        self._find_images(self._dataset)
        self._node(self._dataset, _Observers(), frozenset())
        return self._labels, self._problems

    def _find_images(self, node: Dataset) -> frozenset[str]:
        """The images that a node and those below it refer to."""
        images = {
            str(one.ReferencedSOPInstanceUID)
            for one in node.get("ReferencedSOPSequence") or ()
            if node.get("ValueType") == "IMAGE"
        }
        found = frozenset(images).union(*map(self._find_images, _children(node)))
        self._images[id(node)] = found
        return found

    def _node(self, node: Dataset, observers: _Observers, around: frozenset[str]) -> None:
        """Take the labels of a node and of those below it; `around` are the images of the nodes above."""
        children = _children(node)
        observers = _observers(children) or observers
        images = self._images[id(node)] or around
        for child in children:
            if child.get("ValueType") == "CODE" and _is(child, IMAGE_VIEW, NOT_ONE_VIEW):
                self._take(child, children, observers, images)
            self._node(child, observers, images)

    def _take(
        self, item: Dataset, beside: Sequence[Dataset], observers: _Observers, images: frozenset[str]
    ) -> None:
        """Take what one item says of the image."""
        view = self._view(item)
        if view is None:
            self._problems.append("an Image View that the vocabulary does not have")
        elif len(images) != 1:
            self._problems.append(f"an Image View of {len(images) or 'no'} images instead of one")
        else:
            (image,) = images
            people = observers.people or self._verifiers
            if any(_is(one, ALGORITHM) for one in beside):
                program = not (people and self._verified)
            else:
                program = bool(observers.devices) and not people
            names = (observers.devices or (A_PROGRAM,)) if program else people
            label = replace(
                _label(view, beside),
                by=tuple(name for name in names if name != UNNAMED),
                adjudicated=observers.adjudicates and not program,
            )
            self._labels.append(Reported(clip_id_of_uid(image), label, program, self._verified, self._at))

    def _view(self, item: Dataset) -> str | None:
        """The view that an item names; None where the vocabulary has none such, or several."""
        value = _concept(item, "ConceptCodeSequence")
        codes = WITHOUT_VIEW
        if _is(item, IMAGE_VIEW):
            codes = {view.name: view_code(view) for view in self._vocabulary}
        found = [name for name, code in codes.items() if value == _same(code)]
        return found[0] if len(found) == 1 else None


def _label(view: str, items: Sequence[Dataset]) -> Labelled:
    """What the items of a group say beside the view."""
    agents = [_concept(one, "ConceptCodeSequence") == _same(YES) for one in items if _is(one, AGENT_SEEN)]
    values = [_concept(one, "ConceptCodeSequence") for one in items if _is(one, QUALITY)]
    qualities = [name for name, code in QUALITY_CODES.items() if _same(code) in values]
    comments = [_text(one) for one in items if _is(one, COMMENT)]
    if NOTE in comments:
        comments.remove(NOTE)
    said = Said(
        view,
        contrast_agent=agents[0] if len(agents) == 1 else None,
        quality=qualities[0] if len(qualities) == 1 else None,
        note="; ".join(comments),
    )
    return Labelled(said, among=tuple(_text(one) for one in items if _is(one, ADJUDICATED)))


def _observers(items: Sequence[Dataset]) -> _Observers | None:
    """Those whom the items of a node name; None where they name nobody (TID 1002)."""
    people: list[str] = []
    devices: list[str] = []
    roles: list[Concept] = []
    for item in items:
        if _is(item, PERSON_NAME):
            people.append(_person(item.get("PersonName")))
        elif _is(item, LOGIN_NAME) and people and person_name(_text(item)).rstrip("^") == people[-1]:
            people[-1] = _text(item)  # the name in full, by `apical.label.reports`
        elif _is(item, OBSERVER_TYPE) and _concept(item, "ConceptCodeSequence") == _same(DEVICE):
            devices.append(A_PROGRAM)
        elif _is(item, DEVICE_NAME) and devices:
            devices[-1] = _text(item)
        elif _is(item, PERSON_ROLE):
            roles.append(_concept(item, "ConceptCodeSequence"))
    if not people and not devices:
        return None
    return _Observers(
        tuple(people), tuple(devices), bool(roles) and roles == [_same(ADJUDICATOR)] * len(people)
    )


def _children(node: Dataset) -> list[Dataset]:
    return list(node.get("ContentSequence") or ())


def _is(item: Dataset, *names: Code) -> bool:
    """Whether an item's name is one of these."""
    return _concept(item, "ConceptNameCodeSequence") in [_same(name) for name in names]


def _concept(item: Dataset, sequence: str) -> Concept:
    """A code of an item; an empty one where it has none. Codes of the scheme SRT equal those of SCT."""
    codes: Sequence[Dataset] = item.get(sequence) or []
    if len(codes) != 1:
        return Concept("", "", "")
    value = codes[0].get("CodeValue") or codes[0].get("LongCodeValue") or codes[0].get("URNCodeValue")
    scheme = str(codes[0].get("CodingSchemeDesignator") or "")
    return Concept(str(value), "SRT" if scheme in ("SNM3", "99SDM") else scheme, "")


def _same(code: Code) -> Concept:
    """Our code as it stands in an item."""
    value, scheme, _ = concept_text(code)
    return Concept(value, scheme, "")


def _person(name: object) -> str:
    return str(name or "").rstrip("^") or UNNAMED


def _text(item: Dataset) -> str:
    return str(item.get("TextValue") or "").rstrip()
