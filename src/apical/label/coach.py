"""The page's model: it learns in processes of its own, which are started anew when they die.

A thread keeps them: it sends the latest labels whenever the process that advises waits for some, and takes
what it says. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from multiprocessing.connection import wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.deploy.service.logs import log
from apical.label.advice import Advice, Known, Layout
from apical.label.apart import Apart
from apical.label.lesson import (
    NETWORK,
    Done,
    Lesson,
    Network,
    Refusal,
    School,
    Tuning,
    Vectors,
    Waiting,
    labels_of,
)

ADVISES, TUNES = "apical.label.coaching", "apical.label.tuning"
PAUSE = 0.1  # seconds between looks at what was asked meanwhile
LONGEST_PAUSE = 30.0  # seconds before a process that dies again and again is started once more
TOO_OFTEN = 3  # deaths without an advice between them, after which the page says so
OUTGROWN = 1.5  # times the labels that taught a network, from which on the probe guesses again
STEPS = 600  # of a fine-tune: two minutes on one core


class Coach:
    """See the module.

    Args:
        school: clips, encoder and where things are kept.
        fine_tune_every: so many new labels after a fine-tune the next one begins by itself; None: only when
            it is asked for.
        steps: of a fine-tune.
    """

    def __init__(self, school: School, *, fine_tune_every: int | None = None, steps: int = STEPS) -> None:
        self._school, self._every, self._steps = school, fine_tune_every, steps
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._known: Known | None = None
        self._sent: Known | None = None
        self._waits = False
        self._deaths = 0
        self._refused = False
        self._start_at = 0.0
        self._child: Apart | None = None
        self._tuner: Apart | None = None
        self._tune = False
        self._tuned_at = 0
        self._tuned: Network | None = None
        self._advice: Advice | None = None
        self._layout: Layout | None = None
        self._vectors: NDArray[np.float32] | None = None
        self._state: dict[str, Any] = {"state": "starting", "done": 0, "total": 0}
        self._tuning: dict[str, Any] = {"state": "off", "labels": 0}
        self._since = self._tuning_since = time.monotonic()

    def start(self) -> None:
        """Start the process and return at once."""
        for left in self._school.folder.glob(f"{NETWORK}-*.npy"):  # of a page that has ended
            left.unlink(missing_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """End all processes; what they were at is lost."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def teach(self, known: Known) -> None:
        """Take the labels as they are now, and return at once; of several, the latest counts."""
        with self._lock:
            self._known = known

    def fine_tune(self) -> None:
        """Ask for a fine-tune on the labels as they are when it begins; one that runs is not disturbed."""
        with self._lock:
            if self._tuning["state"] not in ("waiting", "running"):
                self._tune = True
                self._be_tuning("waiting", 0)

    @property
    def advice(self) -> Advice | None:
        """The latest; None before the first."""
        return self._advice

    @property
    def layout(self) -> Layout | None:
        """The map; None until it is made."""
        return self._layout

    @property
    def features(self) -> NDArray[np.float32] | None:
        """(n, d) of length 1, mapped from the disk, for `apical.label.alike`; None until they are read."""
        return self._vectors

    @property
    def state(self) -> dict[str, Any]:
        """``state`` (starting, reading, thinking, ready or failed), ``done`` of ``total`` clips read, and
        for how many ``seconds`` it has been so; ``problem`` where it has failed.
        """
        with self._lock:
            return {**self._state, "seconds": time.monotonic() - self._since}

    @property
    def tuning(self) -> dict[str, Any]:
        """``state`` (off, waiting, running, done or failed) of the fine-tune, how many ``labels`` teach it,
        the ``minutes`` it took or has run; steps ``done`` of ``total``, or the ``problem``.
        """
        with self._lock:
            minutes = self._tuning.get("minutes", (time.monotonic() - self._tuning_since) / 60)
            return {**self._tuning, "minutes": minutes if self._tuning["state"] != "off" else 0.0}

    def _keep(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception as error:  # a fault of ours; its text may hold anything
                log("fault", level=logging.ERROR, kind=type(error).__name__)
                self._stopping.wait(1)
        for one in (self._child, self._tuner):
            if one is not None:
                one.end()

    def _turn(self) -> None:
        """Start what is to be started, send what is to be sent, and take what was said."""
        if self._child is None and time.monotonic() >= self._start_at and not self._refused:
            self._child = self._started(ADVISES, self._school)
            if self._child is None:
                self._has_died()
        self._send()
        self._begin_tuning()
        lines = {one.line: one for one in (self._child, self._tuner) if one is not None}
        if not lines:
            self._stopping.wait(PAUSE)
        for line in wait(list(lines), timeout=PAUSE) if lines else []:
            one = lines[line]  # type: ignore[index]
            try:
                said = one.received()
            except EOFError:
                said = None
            if one is self._child:
                self._hear(said)
            else:
                self._hear_tuner(said)

    def _started(self, module: str, given: object) -> Apart | None:
        with contextlib.suppress(OSError):  # no more processes, files or memory
            return Apart(module, given)
        return None

    def _send(self) -> None:
        with self._lock:
            if self._child is None or not self._waits or self._known is None:
                return
            lesson = Lesson(self._known, self._network)
            if self._known is self._sent:
                return
            self._sent, self._waits = self._known, False
            self._be("thinking")
        self._child.send(lesson)

    @property
    def _network(self) -> Network | None:
        """The fine-tuned network, while it has not been outgrown."""
        if self._tuned is None or self._known is None:
            return None
        now = labels_of(self._school.clips, self._known)
        return self._tuned if now <= OUTGROWN * self._tuned.labels else None

    def _hear(self, said: object) -> None:
        """What the process that advises says; None as it has ended."""
        with self._lock:
            match said:
                case Done(done, total):
                    self._be("reading", done, total)
                case Vectors(file):
                    self._vectors = np.load(file, mmap_mode="r", allow_pickle=False)
                    self._be("reading", len(self._vectors), len(self._vectors))
                case Layout():
                    self._layout = said
                case Waiting():
                    self._waits = True
                    if self._known is None or self._known is self._sent:
                        self._be("ready")
                case Advice():
                    self._advice, self._deaths = said, 0
                case Refusal(what, _):
                    self._be("failed")
                    self._state["problem"], self._refused = what, True
        if said is None or isinstance(said, Refusal):
            self._has_died()

    def _has_died(self) -> None:
        """End what is left of the process; a new one gets the latest labels, at once or after a pause."""
        if self._child is not None:
            self._child.end()
        self._child, self._sent, self._waits = None, None, False
        if self._refused or self._stopping.is_set():
            return
        self._deaths += 1
        pause = min(2.0 ** (self._deaths - 1) - 1, LONGEST_PAUSE)
        self._start_at = time.monotonic() + pause
        log("process ended", level=logging.WARNING, why="crash", attempt=self._deaths)
        with self._lock:
            self._be("starting")
            if self._deaths >= TOO_OFTEN:
                self._be("failed")
                self._state["problem"] = "the process that learns ends again and again"

    def _begin_tuning(self) -> None:
        with self._lock:
            if self._tuner is not None or self._known is None:
                return
            labels = labels_of(self._school.clips, self._known)
            due = self._every is not None and labels - self._tuned_at >= self._every
            if not (self._tune or due):
                return
            self._tune, self._tuned_at = False, labels
            asked = Tuning(self._school, self._known, self._steps)
            self._be_tuning("running", labels)
        self._tuner = self._started(TUNES, asked)
        if self._tuner is None:
            self._hear_tuner(None)

    def _hear_tuner(self, said: object) -> None:
        """What the process that fine-tunes says; None as it has ended."""
        if isinstance(said, Done):
            with self._lock:
                self._tuning |= {"done": said.done, "total": said.total}
            return
        with self._lock:
            minutes = (time.monotonic() - self._tuning_since) / 60
            if isinstance(said, Network):
                if self._tuned is not None:
                    self._tuned.file.unlink(missing_ok=True)
                self._tuned, self._sent = said, None  # so that its guesses are fetched
                self._be_tuning("done", said.labels)
            else:
                self._be_tuning("failed", self._tuning["labels"])
                self._tuning["problem"] = said.what if isinstance(said, Refusal) else "the process ended"
            self._tuning["minutes"] = minutes
        if self._tuner is not None:
            self._tuner.end()
        self._tuner = None

    def _be(self, state: str, done: int = 0, total: int = 0) -> None:
        if state != self._state["state"]:
            self._since = time.monotonic()
        self._state = {"state": state, "done": done, "total": total}

    def _be_tuning(self, state: str, labels: int) -> None:
        self._tuning_since = time.monotonic()
        self._tuning = {"state": state, "labels": labels}
