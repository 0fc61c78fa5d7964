"""All clips with what is known of each now: the catalogue's labels, and over them what people said.

Rows are those of `apical.learn.clips.load_clips`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.catalogue import read_catalogue
from apical.errors import CannotDo
from apical.label.advice import LOOKED_AT, Known
from apical.label.records import Records
from apical.label.settle import Settled, settle
from apical.learn.clips import SHOWS_NONE, Clips, load_clips
from apical.views import NO_VIEW, Vocabulary

Codes = NDArray[np.int64]
NOBODY = -1  # in `Known.label`: nobody said


@dataclass(frozen=True)
class Label:
    """What a clip counts as now.

    Attributes:
        view: a view or `NO_VIEW`; None where nobody knows.
        contrast_agent: whether it was used, or None.
        disputed: people say different things of it.
        looked_at: some person has said something of it here, be it that nobody can tell.
    """

    view: str | None
    contrast_agent: bool | None
    disputed: bool
    looked_at: bool


class Board:
    """See the module. Safe for several threads.

    Args:
        store: frame store.
        catalogue: with splits where there are any.
        records: what people said.
        vocabulary: the views.
        splits: whose clips are offered, and teach; "" for clips without a split.

    Raises:
        CannotDo: inputs cannot be read, or have no clip in common.
        WrongCall: the catalogue has labels that the vocabulary lacks.

    Attributes:
        clips: all of them.
        offered: (n,) bool, those of the splits.
        patient: (n,) int64, equal for clips of one patient.
        row: of each clip's id.
    """

    def __init__(
        self, store: Path, catalogue: Path, records: Records, vocabulary: Vocabulary, splits: tuple[str, ...]
    ) -> None:
        self.clips: Clips = load_clips(store, catalogue, vocabulary)
        self.records, self.vocabulary = records, vocabulary
        self.offered = np.isin(self.clips.split, splits)
        self.row = {str(clip): row for row, clip in enumerate(self.clips.clip)}
        self._names = [*vocabulary.names]
        table = (
            read_catalogue(catalogue)
            .filter(pl.col("clip").is_in(list(self.row)))
            .select("clip", "path", "frames", "frame_time_ms", "heart_rate", "labelled_by")
        )
        self._facts = {row["clip"]: row for row in table.iter_rows(named=True)}
        self.patient = self.clips.patient_code
        self._place = _places(self.patient)
        self._lock = threading.Lock()
        self._label = self.clips.label.copy()
        self._agent = self.clips.agent.copy()
        self._settled: dict[str, Settled] = {}
        self._version = 0
        self.refresh(records.touched())

    def __len__(self) -> int:
        return len(self.clips)

    def refresh(self, clips: Iterable[str]) -> None:
        """Read anew what is said of some clips."""
        with self._lock:
            for clip in clips:
                row = self.row.get(clip)
                if row is None:
                    continue
                opinions, decided = self.records.opinions_of(clip), self.records.adjudication_of(clip)
                if opinions or decided:
                    said = settle(opinions, decided)
                    self._settled[clip] = said
                    self._label[row] = LOOKED_AT if said.view is None else self._code(said.view)
                    own = self._original(clip, row)[1]
                    self._agent[row] = own if said.contrast_agent is None else int(said.contrast_agent)
                else:
                    self._settled.pop(clip, None)
                    self._label[row], self._agent[row] = self._original(clip, row)
            self._version = self.records.version()

    def _original(self, clip: str, row: int) -> tuple[int, int]:
        """What the catalogue said before anybody here did: after a merge it says what was said here."""
        original = self.records.original(clip)
        if original is None:
            return int(self.clips.label[row]), int(self.clips.agent[row])
        view, agent, _ = original
        return self._code(view), -1 if agent is None else int(agent)

    def _code(self, view: str | None) -> int:
        if view is None:
            return NOBODY
        if view == NO_VIEW:
            return SHOWS_NONE
        if view not in self._names:
            raise CannotDo(
                "some clips were labelled with views that the vocabulary does not have",
                "start with the vocabulary with which they were labelled",
            )
        return self._names.index(view)

    def view_of(self, code: int) -> str | None:
        """A view by its number in `Known`."""
        return NO_VIEW if code == SHOWS_NONE else self._names[code] if code >= 0 else None

    def label(self, clip: str) -> Label:
        """What a clip counts as now; KeyError if there is none."""
        row = self.row[clip]
        with self._lock:
            said = self._settled.get(clip)
            agent = int(self._agent[row])
            return Label(
                self.view_of(int(self._label[row])),
                None if agent < 0 else bool(agent),
                said is not None and said.disputed,
                said is not None,
            )

    def known(self) -> Known:
        """What is known now, for the coach."""
        with self._lock:
            return Known(self._version, self._label.copy(), self._agent.copy())

    def is_open(self, row: int) -> bool:
        """Whether a clip may be offered as a new one: nobody knows its view or has looked at it."""
        return bool(self.offered[row] and self._label[row] == NOBODY)

    def is_offered(self, clip: str) -> bool:
        """Whether the catalogue has such a clip, and it may be offered."""
        row = self.row.get(clip)
        return row is not None and bool(self.offered[row])

    def open_rows(self) -> Codes:
        """Rows of all such clips."""
        with self._lock:
            return np.flatnonzero(self.offered & (self._label == NOBODY))

    def disputed(self) -> list[str]:
        """Clips of which people say different things, by row."""
        with self._lock:
            found = [clip for clip, said in self._settled.items() if said.disputed and self.is_offered(clip)]
        return sorted(found, key=self.row.__getitem__)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Patients and clips that are labelled so, by view and for `NO_VIEW`, among those on offer."""
        known = np.where(self.offered, self.known().label, NOBODY)
        found = {}
        for name in (*self._names, NO_VIEW):
            rows = known == self._code(name)
            found[name] = (len(np.unique(self.patient[rows])), int(rows.sum()))
        return found

    def labelled(self) -> int:
        """Clips with a label, among those on offer."""
        with self._lock:
            return int((self.offered & ((self._label >= 0) | (self._label == SHOWS_NONE))).sum())

    def agent(self, clip: str) -> bool | None:
        """What the catalogue itself says of contrast agent, whatever was said here."""
        agent = self._original(clip, self.row[clip])[1]
        return None if agent < 0 else bool(agent)

    def example(self, view: str) -> str | None:
        """A clip that is labelled so, of good quality if there is one."""
        with self._lock:
            said = {str(self.clips.clip[row]) for row in np.flatnonzero(self._label == self._code(view))}
            rated = sorted(said, key=lambda clip: (_rank(self._settled.get(clip)), self.row[clip]))
        return rated[0] if rated else None

    def originals(self, clips: Iterable[str]) -> dict[str, tuple[str | None, bool | None, str | None]]:
        """What the catalogue says of clips, for `Records.remember`."""
        found = {}
        for clip in clips:
            row = self.row[clip]
            agent = int(self.clips.agent[row])
            found[clip] = (
                self.view_of(int(self.clips.label[row])),
                None if agent < 0 else bool(agent),
                self._facts[clip]["labelled_by"],
            )
        return found

    def facts(self, clip: str, *, identifiers: bool) -> dict[str, Any]:
        """What the page shows of a clip; pseudonyms and the file's name only with `identifiers`."""
        row, known = self.row[clip], self._facts[clip]
        place, of = self._place[row]
        return {
            "frames": known["frames"] or int(self.clips.count[row]),
            "frame_ms": known["frame_time_ms"],
            "heart_rate": known["heart_rate"],
            "machine": _listed(str(self.clips.machine[row])),
            "clip_of": f"clip {place} of {of} of patient {self.patient[row] + 1}",
            "file": PurePosixPath(known["path"]).name if identifiers else None,
            "patient": str(self.clips.patient[row]) if identifiers else None,
        }


def _rank(settled: Settled | None) -> int:
    """Smaller for better pictures; those of which nobody says anything come second."""
    return {"good": 0, "fair": 2, "poor": 3}.get("" if settled is None else str(settled.quality), 1)


def _places(patient: Codes) -> list[tuple[int, int]]:
    """Of each clip, its place among its patient's clips from 1, and how many these are."""
    many = Counter(patient.tolist())
    seen: Counter[int] = Counter()
    places = []
    for code in patient.tolist():
        seen[code] += 1
        places.append((seen[code], many[code]))
    return places


def _listed(machine: str) -> str | None:
    """Maker and model, without pseudonyms of machines that are not on our list: they tell nothing."""
    return " ".join(word for word in machine.split() if not word.startswith("unlisted-")) or None
