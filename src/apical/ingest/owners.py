"""Whose clips files hold, before anything is made of them: one person is one patient in all copies."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apical.errors import ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.dicom import DicomClip
from apical.ingest.pseudonyms import Pseudonyms
from apical.ingest.rescan import unite
from apical.ingest.walk import Found

TWICE = "has the SOPInstanceUID of another file"


@dataclass(frozen=True)
class Owner:
    """Whose clip a file holds.

    Attributes:
        clip: the id of the original.
        patient, study: pseudonyms.
        numbered: whether the patient comes from a Patient ID.
        problem: why there will be no copy, or None.
    """

    clip: str = ""
    patient: str = ""
    study: str | None = None
    numbered: bool = False
    problem: str | None = None


def owner_of(found: Found, pseudonyms: Pseudonyms) -> Owner:
    """Whose clip a file holds, from its header, if its last frame is there."""
    if found.problem is not None:
        return Owner(problem=found.problem)
    try:
        clip = open_clip(found.place)
        clip.decode([clip.facts.frames - 1])  # a file that is cut off shall not stand for a whole one
    except ClipProblem as problem:
        return Owner(problem=str(problem))
    if not isinstance(clip, DicomClip):
        return Owner(problem="not a DICOM file")
    facts = clip.facts
    return Owner(
        clip=facts.clip,
        patient=pseudonyms.patient(facts.patient_key or f"clip {facts.clip}"),
        study=pseudonyms.study(facts.study_key) if facts.study_key else None,
        numbered=facts.patient_key != facts.study_key,
    )


def united(owners: list[Owner]) -> list[Owner]:
    """All that share a study are of one patient; a clip that another file holds already has a problem."""
    seen: set[str] = set()
    numbered = {one.patient for one in owners if one.numbered}
    patients = unite([one.patient for one in owners], [one.study for one in owners], numbered)
    told = []
    for owner, patient in zip(owners, patients, strict=True):
        if owner.problem is None and owner.clip in seen:
            owner = replace(owner, problem=TWICE)
        seen.add(owner.clip)
        told.append(replace(owner, patient=patient))
    return told
