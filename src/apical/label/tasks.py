"""Which clips an annotator is shown next, queue by queue, and each as the page gets it.

Into the clips worth a label are mixed, without a sign, clips of others to be read a second time and own ones
to be read once more: one after every `BETWEEN`, as long as there are any. Which these are goes by a hash, so
that it does not depend on what was said.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from apical.config import LabelSettings
from apical.errors import WrongCall
from apical.label.advice import Advice
from apical.label.board import Board, Codes
from apical.label.opinions import Guess
from apical.label.records import Records

BETWEEN = 6  # new clips before one that somebody has seen already
APART = 20  # own labels before a clip is shown once more
LEASE = 120.0  # seconds for which a clip that one annotator was shown is not shown to another


@dataclass(frozen=True)
class Wanted:
    """A clip that is to be shown.

    Attributes:
        clip: its id.
        kind: of the task: ``single``, ``repeat``, ``review`` or ``adjudication``.
        why: in words, or "".
        likelier: the view that speaks against its label, or None.
    """

    clip: str
    kind: str
    why: str = ""
    likelier: str | None = None


@dataclass(frozen=True)
class Offered:
    """A clip that is shown, its task, and what the model says of it."""

    task: str
    wanted: Wanted
    guess: Guess | None


class Tasks:
    """See the module. Safe for several threads.

    Args:
        board: the clips.
        records: where tasks are kept.
        settings: shares of second readings and repeats.
    """

    def __init__(self, board: Board, records: Records, settings: LabelSettings) -> None:
        self._board, self._records, self._settings = board, records, settings
        self._leases: dict[str, tuple[str, float]] = {}
        self._new_since: Counter[str] = Counter()  # clips that an annotator was shown since one seen before
        self._reason: dict[str, str] = {}  # of the latest of these
        self._lock = threading.Lock()

    def next(
        self, annotator: str, queue: str, count: int, without: Collection[str], advice: Advice | None
    ) -> tuple[list[Offered], int]:
        """The next clips of a queue, and how many are left in it with these.

        Args:
            annotator: who asks.
            queue: ``useful``, ``disagreements``, ``suspects``, ``view:NAME`` or ``clip:ID``.
            count: clips wanted.
            without: clips that are not wanted.
            advice: what the model says; without it clips come by patients.

        Raises:
            WrongCall: there is no such queue, view or clip.
        """
        with self._lock:
            wanted, left = self._wanted(annotator, queue, advice, {*without})
            chosen = list(islice(wanted, count))
            now = time.monotonic()
            for one in chosen:
                self._leases[one.clip] = (annotator, now + LEASE)
        guesses = [self.guess(one.clip, advice) for one in chosen]
        names = self._records.offer(
            annotator,
            [(one.clip, one.kind, guess) for one, guess in zip(chosen, guesses, strict=True)],
        )
        return [Offered(*one) for one in zip(names, chosen, guesses, strict=True)], left

    def release(self, clips: Collection[str]) -> None:
        """Clips were answered: others may be shown them now."""
        with self._lock:
            for clip in clips:
                self._leases.pop(clip, None)

    def guess(self, clip: str, advice: Advice | None) -> Guess | None:
        """What the model says of a clip; None if it says nothing."""
        if advice is None:
            return None
        row = self._board.row[clip]
        code = int(advice.guess[row])
        if code < 0:
            return None
        return Guess(self._board.view_of(code), round(float(advice.probability[row]), 4), advice.model)

    def _wanted(
        self, annotator: str, queue: str, advice: Advice | None, without: set[str]
    ) -> tuple[Iterator[Wanted], int]:
        kind, _, name = queue.partition(":")
        if queue == "useful":
            new, left = self._new(annotator, advice, without)
            return self._mixed(annotator, new, self._seen_before(annotator, without)), left
        if kind == "view" and name in self._board.vocabulary.names:
            rows = [] if advice is None else advice.by_view.get(self._board.vocabulary.names.index(name), [])
            found = [
                Wanted(self._clip(row), "single", f"may be {name}")
                for row in rows
                if self._board.is_open(row)
            ]
            found = [one for one in found if self._is_free(one.clip, annotator, without)]
            return iter(found), len(found)
        if kind == "clip" and name in self._board.row:
            again = self._records.took_repeat_back(annotator, name)
            return iter([Wanted(name, "repeat" if again else "single")]), 1
        if queue == "disagreements":
            clips = [clip for clip in self._board.disputed() if self._is_free(clip, annotator, without)]
            return (Wanted(clip, "adjudication", "people differ") for clip in clips), len(clips)
        if queue == "suspects":
            doubted = self._doubted(annotator, advice, without)
            return iter(doubted), len(doubted)
        raise WrongCall("there is no such queue, view or clip", "ask for useful, disagreements or suspects")

    def _new(self, annotator: str, advice: Advice | None, without: set[str]) -> tuple[Iterator[Wanted], int]:
        """Clips of which nobody has said anything, the most useful first; then the others by patients."""
        rows = self._board.open_rows()
        picks = [] if advice is None else [pick for pick in advice.picks if self._board.is_open(pick.row)]
        first = (Wanted(self._clip(pick.row), "single", _blind(pick.reason)) for pick in picks)
        picked = {pick.row for pick in picks}
        why = "the model is still reading the clips" if advice is None else "not labelled yet"
        rest = (
            Wanted(self._clip(row), "single", why) for row in self._by_patients(rows) if row not in picked
        )
        free = (one for one in chain(first, rest) if self._is_free(one.clip, annotator, without))
        return free, len(rows)

    def _by_patients(self, rows: Codes) -> Iterator[int]:
        """Rows so that each patient has its turn before another one's second clip."""
        patient = self._board.patient[rows]
        order = np.argsort(patient, kind="stable")
        first = np.flatnonzero(np.diff(patient[order], prepend=-1))
        turn = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))
        return iter(rows[order][np.argsort(turn, kind="stable")].tolist())

    def _mixed(self, annotator: str, new: Iterator[Wanted], seen: Iterator[Wanted]) -> Iterator[Wanted]:
        """One of the second after every `BETWEEN` of the first, with the reason before it; then the rest.

        What counts is what the annotator was shown in all, for the page asks for a few at a time.
        """
        seen = (replace(one, why=self._reason.get(annotator, "")) for one in seen)
        while True:
            due = self._new_since[annotator] >= BETWEEN
            again = next(seen, None) if due else None
            if again is not None:
                self._new_since[annotator] = 0
                yield again
            elif (one := next(new, None)) is not None:
                self._new_since[annotator] += 1
                self._reason[annotator] = one.why
                yield one
            else:
                yield from seen
                return

    def _seen_before(self, annotator: str, without: set[str]) -> Iterator[Wanted]:
        """Clips to read a second time and to read once more."""
        decided = self._records.adjudications()
        for clip in self._repeatable(annotator):
            if clip not in without:
                yield Wanted(clip, "repeat")
        for clip, opinions in self._records.opinions().items():
            if len(opinions) == 1 and annotator not in opinions and clip not in decided:
                due = self._share("second", clip) < self._settings.second_readings
                if due and self._board.is_offered(clip) and self._is_free(clip, annotator, without):
                    yield Wanted(clip, "single")

    def _repeatable(self, annotator: str) -> list[str]:
        """Own clips to be shown once more: not the latest, and none twice."""
        if not self._settings.repeats:
            return []
        own = [
            clip
            for clip, opinions in self._records.opinions().items()
            if annotator in opinions and self._board.is_offered(clip)
        ]
        own.sort(key=lambda clip: self._records.last_event(annotator, clip))
        done = {one.clip for one in self._records.repeats() if one.annotator == annotator}
        return [
            clip
            for clip in own[: max(len(own) - APART, 0)]
            if clip not in done and self._share(annotator, clip) < self._settings.repeats
        ]

    def _doubted(self, annotator: str, advice: Advice | None, without: set[str]) -> list[Wanted]:
        """Clips whose label is doubted and that nobody has been asked about for that reason since."""
        reviewed = self._records.reviewed()
        found = []
        for one in [] if advice is None else advice.suspects:
            clip = self._clip(one.row)
            label = self._board.label(clip)
            if clip not in reviewed and label.view is not None and self._is_free(clip, annotator, without):
                likelier = self._board.view_of(one.likelier)
                found.append(Wanted(clip, "review", f"{label.view} is doubted", likelier))
        return found

    def _share(self, of: str, clip: str) -> float:
        """A number from 0 to 1 that looks random and is always the same."""
        text = f"{self._settings.seed} {of} {clip}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64

    def _is_free(self, clip: str, annotator: str, without: set[str]) -> bool:
        who, until = self._leases.get(clip, (annotator, 0.0))
        return clip not in without and (who == annotator or until < time.monotonic())

    def _clip(self, row: int) -> str:
        return str(self._board.clips.clip[row])


def _blind(reason: str) -> str:
    """A reason that names no view: the guess is hidden until it is asked for."""
    return "the model is unsure" if reason.startswith("unsure") else reason
