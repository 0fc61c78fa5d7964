"""What the labelling server consists of, and what happens when something is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from apical.config import LabelSettings
from apical.deploy.service.access import Token
from apical.errors import WrongCall
from apical.label.board import Board
from apical.label.coach import Coach
from apical.label.curve import Curve
from apical.label.opinions import Event
from apical.label.pictures import Pictures
from apical.label.records import Records
from apical.label.tasks import Tasks
from apical.views import Vocabulary

PACE_MINUTES = 10


@dataclass(frozen=True)
class Parts:
    """What the app talks to.

    Attributes:
        catalogue: the file; it is written only when somebody asks for it.
        folder: the private one of the server.
        vocabulary: the views.
        records: what was said.
        board: what each clip counts as.
        tasks: what comes next.
        coach: what the model says.
        curve: how good it was said to be after so many labels.
        pictures: cines and stills.
        settings: of the server.
        token: what callers must know.
        telling: held while board and coach are told what was said.
    """

    catalogue: Path
    folder: Path
    vocabulary: Vocabulary
    records: Records
    board: Board
    tasks: Tasks
    coach: Coach
    curve: Curve
    pictures: Pictures
    settings: LabelSettings
    token: Token
    telling: threading.Lock = field(default_factory=threading.Lock)

    def write(self, clips: Sequence[str], write: Callable[[], list[Event]]) -> list[Event]:
        """Let something be said of clips; what the catalogue said of them is kept first.

        Raises:
            WrongCall: a clip is none of the catalogue's.
        """
        if not all(clip in self.board.row for clip in clips):
            raise WrongCall("there is no such clip", "name clips of the catalogue")
        self.records.remember(self.board.originals(clips))
        events = write()
        self.took(events)
        return events

    def took(self, events: Sequence[Event]) -> None:
        """Something was said, or taken back: let board and coach know."""
        if events:
            clips = {event.clip for event in events}
            with self.telling:  # what the coach is told last is what is known last
                self.board.refresh(clips)
                self.coach.teach(self.board.known())
            self.tasks.release(clips)

    def counts(self, annotator: str) -> dict[str, Any]:
        """Clips with a label, how many this annotator looked at, and how recent that is."""
        self.curve.add(self.coach.advice)
        return {
            "counts": {"labelled": self.board.labelled(), "own": self.records.counts(annotator)[1]},
            "version": self.records.version(),
        }

    def pace(self, annotator: str) -> tuple[int, float | None]:
        """Clips an annotator answered today (by the server's clock), and a minute lately; None if none."""
        now = datetime.now(UTC)
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        begin = min(midnight.astimezone(UTC), now - timedelta(minutes=PACE_MINUTES))
        answers = self.records.answered(annotator, begin.isoformat(timespec="milliseconds"))
        times = [datetime.fromisoformat(at) for at in answers]
        ages = [(now - at).total_seconds() / 60 for at in times]
        recent = [age for age in ages if age < PACE_MINUTES]
        pace = len(recent) / max(*recent, 1.0) if len(recent) > 1 else None
        return sum(at >= midnight for at in times), pace
