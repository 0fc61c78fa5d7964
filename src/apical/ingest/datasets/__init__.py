"""Adapters for public data sets: whose clip a file is, its view as published, and the official split.

No pixels are read. Each data set has a module with its `About` and a function from the files of a folder
to what the data set says of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from apical.errors import WrongCall
from apical.ingest.datasets import cactus, camus, echonet, ev9v, mimic, ned, tmed2, unity
from apical.ingest.datasets.tree import Tree
from apical.ingest.datasets.words import About, Entry

__all__ = ["DATASETS", "About", "Counts", "Dataset", "Entry", "find_dataset", "read_dataset"]

Dataset = tuple[About, Callable[[Tree], Iterator[Entry]]]

DATASETS: Mapping[str, Dataset] = {
    about.name: (about, read)
    for about, read in (
        (camus.ABOUT, camus.read),
        (ev9v.ABOUT, ev9v.read),
        (tmed2.ABOUT, tmed2.read),
        (unity.ABOUT, unity.read),
        (cactus.ABOUT, cactus.read),
        (ned.ABOUT, ned.read),
        (echonet.DYNAMIC, echonet.read_dynamic),
        (echonet.LVH, echonet.read_lvh),
        (echonet.PEDIATRIC, echonet.read_pediatric),
        (mimic.ABOUT, mimic.read),
    )
}


@dataclass(frozen=True)
class Counts:
    """What of a data set's index could not be taken as it stands.

    Attributes:
        missing: files that the index names and that are not here, as in a partial download.
        odd: rows that name no file, and tables of one case without the columns that they need.
        conflicts: files that the index gives two views; they have none.
        moved: clips that are not in their official split, since that would put their patient in two.
    """

    missing: int = 0
    odd: int = 0
    conflicts: int = 0
    moved: int = 0

    def lines(self) -> list[str]:
        """A line for each that is not zero; no text of the data set is in it."""
        said = (
            ("files that the index names, but are not here", self.missing),
            ("rows or tables of the index that could not be used", self.odd),
            ("files with two views in the index, which got none", self.conflicts),
            ("clips in the split of their patient's first clip, not in their official one", self.moved),
        )
        return [f"{what}: {number}" for what, number in said if number]


def find_dataset(name: str) -> Dataset:
    """One of `DATASETS`; raises `WrongCall` if there is none of that name."""
    if name not in DATASETS:
        raise WrongCall(f"there is no data set '{name}'", f"give one of {', '.join(DATASETS)}")
    return DATASETS[name]


def read_dataset(name: str, root: Path) -> tuple[About, list[Entry], Counts]:
    """What a public data set says of the files in a folder.

    Args:
        name: one of `DATASETS`.
        root: where it was unpacked; a folder further down is found too.

    Returns:
        what one should know of the data set; an entry for each of its files that is here, in the order of
        the paths, no patient in two splits; and what could not be taken as it stands. Files that no entry
        names are none of the data set's images.

    Raises:
        WrongCall: there is no data set of that name.
        CannotDo: the folder does not look like it, or its index cannot be read.
    """
    about, read = find_dataset(name)
    tree = Tree(root)
    found: dict[str, Entry] = {}
    missing: set[str] = set()
    conflicts: set[str] = set()
    resplit: set[str] = set()
    for entry in read(tree):
        if entry.file not in tree:
            missing.add(entry.file)
        elif entry.file not in found:
            found[entry.file] = entry
        else:
            before = found[entry.file]
            found[entry.file] = _joined(before, entry)
            if before.label and entry.label and before.label != entry.label:
                conflicts.add(entry.file)
            if before.split and entry.split and before.split != entry.split:
                resplit.add(entry.file)
    entries = [replace(one, label=None) if one.file in conflicts else one for one in found.values()]
    settled = _settle(sorted(entries, key=lambda entry: entry.file))
    moved = sum(
        entry.skip is None
        and entry.split is not None
        and (entry.file in resplit or found[entry.file].split not in (None, entry.split))
        for entry in settled
    )
    return about, settled, Counts(len(missing), tree.odd, len(conflicts), moved)


def _joined(first: Entry, second: Entry) -> Entry:
    """What two rows say of one file; the first holds where they differ."""
    return Entry(
        file=first.file,
        patient=first.patient or second.patient,
        study=first.study or second.study,
        label=first.label or second.label,
        contrast_agent=second.contrast_agent if first.contrast_agent is None else first.contrast_agent,
        split=first.split or second.split,
        skip=first.skip or second.skip,
    )


def _settle(entries: list[Entry]) -> list[Entry]:
    """Give all clips of a patient the split of the first that has one; without a patient there is none."""
    splits: dict[str, str] = {}
    for entry in entries:
        if entry.patient and entry.split and entry.skip is None:
            splits.setdefault(entry.patient, entry.split)
    settled = []
    for entry in entries:
        split = splits.get(entry.patient or "")
        settled.append(entry if entry.split == split else replace(entry, split=split))
    return settled
