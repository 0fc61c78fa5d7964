"""What runs in a process that answers: a network, one file at a time, and nobody's words on stderr.

Decoders meet bytes that nobody has checked, so they run here, where a memory fault, an endless loop or too
much memory costs a process and not the service. The process ends when its parent does, even by ``kill -9``.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from apical.deploy.answers import Answer, records
from apical.deploy.service.preview import cine, evidence, plain
from apical.errors import ApicalError
from apical.ingest.parallel import TOO_MUCH, bound_memory, exit_with_parent

if TYPE_CHECKING:
    from apical.deploy.answering import Seen
    from apical.deploy.bundle import Bundle

CANNOT = "it could not be answered"


class Looker(Protocol):
    """What answers: `apical.deploy.answering.Answerer`, or a test's stand-in for it."""

    bundle: Bundle

    def look(self, number: int, place: str) -> tuple[Answer, Seen | None]:
        """The answer for a file, and what was seen; never raises for a bad file."""


Opener = Callable[[], Looker]
Document = Callable[[Looker, Path, Answer], bytes | None]
"""What is to be sent back for a file that came from a PACS, such as a DICOM SR; both are picklable."""


@dataclass(frozen=True)
class Ready:
    """The process has opened its network; what can be told of it."""

    model: dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """The process cannot start, and no other will."""

    what: str
    do: str


@dataclass(frozen=True)
class Task:
    """A file to answer, and whether a document is wanted."""

    number: int
    file: Path
    document: bool


@dataclass(frozen=True)
class Said:
    """All that is kept of a file: records that JSON can hold, an animated WebP, and a document to send.

    `lost` tells that a document was wanted and could not be made.
    """

    answer: dict[str, Any]
    evidence: dict[str, Any] | None
    preview: bytes | None
    document: bytes | None = None
    lost: bool = False


@dataclass(frozen=True)
class Failed:
    """The file could not be answered, and the process is not to be trusted any more."""

    problem: str


def work(line: Connection, opener: Opener, document: Document | None, memory_mb: int | None) -> None:
    """Answer what comes over the line until it is closed; the first message is `Ready` or `Refusal`."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # these are for the parent, which decides
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    try:
        looker = opener()
        ready = Ready(plain(facts(looker)))
    except ApicalError as error:
        line.send(Refusal(error.what, error.do))
        return
    except Exception as error:  # of a library; its text may hold a path
        line.send(Refusal(f"the network cannot be opened ({type(error).__name__})", "try 'apical predict'"))
        return
    keep_quiet()
    if memory_mb is not None:
        bound_memory(memory_mb)
    line.send(ready)
    while True:
        try:
            task = line.recv()
        except EOFError:
            return
        said = _answer(looker, task, document)
        line.send(said)
        if isinstance(said, Failed):
            return


def _answer(looker: Looker, task: Task, document: Document | None) -> Said | Failed:
    try:
        answer, seen = looker.look(task.number, str(task.file))
        said = Said(
            plain(records([answer])[0]),
            None if seen is None else plain(evidence(looker.bundle, seen)),
            None if seen is None else cine(seen.frames if seen.cine is None else seen.cine),
        )
    except MemoryError:
        return Failed(TOO_MUCH)
    except Exception:  # a bad file raises nothing, so this is a fault of ours, and no reason to stop the rest
        return Failed(CANNOT)
    if document is None or not task.document:
        return said
    try:
        return replace(said, document=document(looker, task.file, answer))
    except Exception:  # an answer without its document is better than none
        return replace(said, lost=True)


def facts(looker: Looker) -> dict[str, Any]:
    """What is told of the model: its version, views, thresholds and what it runs on."""
    bundle = looker.bundle
    runtime = getattr(looker, "runtime", None)
    return {
        "version": getattr(looker, "model", bundle.model_version),
        "views": [{"name": view.name, "title": view.title} for view in bundle.vocabulary],
        "taught": bundle.facts["taught"],
        "thresholds": {"unknown": bundle.unknown.threshold, "doubtful_below": bundle.doubtful_below},
        "runtime": getattr(runtime, "name", None),
        "intended_use": bundle.facts["intended_use"],
    }


def keep_quiet() -> None:
    """Let nothing be printed: libraries quote what they read. And leave no memory behind on the disk."""
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
