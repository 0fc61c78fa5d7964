"""What the queue says of jobs and items: a job is what came together, an item is one file of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from apical.errors import CannotDo

Source = Literal["http", "c-store", "pacs"]
State = Literal["queued", "running", "done"]


class TooBusy(CannotDo):
    """So much waits already that nothing more is accepted for now; nothing of the call was kept."""


@dataclass(frozen=True)
class Refused:
    """A file that cannot be used, as is known before it is tried: its item is done at once.

    Attributes:
        problem: why; quotes neither the file nor its name.
    """

    problem: str


@dataclass(frozen=True)
class Item:
    """A file that was claimed.

    Attributes:
        item: its id.
        job: the id of the job it came with.
        number: its place in the job, from 1.
        file: where it lies.
        source: how it came.
        attempts: how often it has been claimed, this time among them.
    """

    item: str
    job: str
    number: int
    file: Path
    source: Source
    attempts: int


@dataclass(frozen=True)
class ItemState:
    """What is known of an item; `answer` and `evidence` are None until it is done."""

    item: str
    number: int
    state: State
    answer: dict[str, Any] | None
    evidence: dict[str, Any] | None


@dataclass(frozen=True)
class JobState:
    """How far a job is: items by state, and how and when (seconds since 1970) it came."""

    job: str
    queued: int
    running: int
    done: int
    source: Source
    created: float

    @property
    def total(self) -> int:
        """How many items it has."""
        return self.queued + self.running + self.done

    @property
    def state(self) -> State:
        """Queued until an item was begun, done when all are."""
        if self.done == self.total:
            return "done"
        return "running" if self.running or self.done else "queued"


@dataclass(frozen=True)
class Outgoing:
    """A document that is to be sent: a DICOM SR as the bytes of a file, and how often that failed."""

    item: str
    document: bytes
    attempts: int
