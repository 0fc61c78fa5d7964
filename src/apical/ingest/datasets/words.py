"""What an adapter says: of a data set, and of each of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What a data set says of one of its files.

    Attributes:
        file: relative to the root, forward slashes.
        patient: original key, unique in this data set only; the caller makes the pseudonym.
        study: original key, likewise.
        label: the view as the data set writes it; what it means is in `About.views`.
        contrast_agent: whether it was used, where the data set tells.
        split: ``train``, ``validation`` or ``test``, where there is an official one.
        skip: why the file is no clip of its own, or None.
    """

    file: str
    patient: str | None = None
    study: str | None = None
    label: str | None = None
    contrast_agent: bool | None = None
    split: str | None = None
    skip: str | None = None


@dataclass(frozen=True)
class About:
    """What one should know of a data set before using it.

    Attributes:
        name: on the command line.
        title: as its publishers write it.
        licence: as far as it could be found out; the publisher's own text holds.
        home: where it is published.
        citation: what to cite.
        grouping: what stands for a patient.
        pitfalls: what has misled others.
        views: the data set's names of views → Apical's standard views; None where there is no such
            standard view. A label that is not in it is read by the vocabulary, as any label is.
    """

    name: str
    title: str
    licence: str
    home: str
    citation: str
    grouping: str
    pitfalls: tuple[str, ...]
    views: Mapping[str, str | None]


def split_of(text: str) -> str | None:
    """The split that a data set's word for it means; None for any other text."""
    return _SPLITS.get(text.strip().lower())
