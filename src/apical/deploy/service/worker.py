"""Processes that answer what is queued; one that hangs or crashes is killed and started anew.

A thread keeps each process (`child`): it claims an item, sends it over, waits for at most so long, and keeps
the answer. The file is removed once its answer is on the disk, or nobody asks for it any more, not before.
Whatever fails, the thread goes on: without it the service would take files that nobody answers.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from apical.deploy.service.child import CANNOT, Document, Failed, Opener, Ready, Refusal, Said, Task, work
from apical.deploy.service.logs import log
from apical.deploy.service.metrics import Metrics, outcome
from apical.deploy.service.queue import CRASHED, Item, Queue
from apical.deploy.service.spool import Spool
from apical.errors import CannotDo
from apical.ingest.parallel import TOO_LONG, TOO_MUCH

Result = TypeVar("Result")

PAUSE = 0.05  # seconds between looks at an empty queue
START_SECONDS = 300
LONGEST_PAUSE = 30.0  # seconds before a process that does not start is tried again
_WHY = {CRASHED: "crash", TOO_LONG: "time", TOO_MUCH: "memory"}


class Workers:
    """So many processes that answer; see `start` and `stop`.

    Args:
        queue: what is answered.
        spool: where its files lie.
        metrics: where it is counted.
        opener: opens what answers, in the process; picklable.
        count: processes.
        seconds: most time for an item.
        memory_mb: most memory a process may ask for once it has started.
        document: makes what is sent back for an item that came from a PACS, in the process; picklable.
    """

    def __init__(
        self,
        queue: Queue,
        spool: Spool,
        metrics: Metrics,
        opener: Opener,
        *,
        count: int = 1,
        seconds: float = 120,
        memory_mb: int | None = None,
        document: Document | None = None,
    ) -> None:
        self._queue, self._spool, self._metrics = queue, spool, metrics
        self._seconds, self._with_document = seconds, document is not None
        self._start_values = (opener, document, memory_mb)
        self._stopping, self._over = threading.Event(), threading.Event()
        self._first: Ready | Refusal | None = None
        self._said_first = threading.Event()
        self._ready = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._keep, daemon=True) for _ in range(count)]

    @property
    def is_alive(self) -> bool:
        """Whether anything is left that will answer, be it later."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def is_ready(self) -> bool:
        """Whether a process has opened its network, and none was told to stop."""
        return self._ready > 0 and not self._stopping.is_set()

    def start(self) -> dict[str, Any]:
        """Start the processes, and return what the first says of its model.

        Raises:
            CannotDo: none can start, such as for a bundle that is not whole.
        """
        for thread in self._threads:
            thread.start()
        self._said_first.wait()
        if isinstance(self._first, Ready):
            return self._first.model
        self.stop(0)
        assert self._first is not None
        raise CannotDo(self._first.what, self._first.do)

    def stop(self, seconds: float) -> None:
        """Claim nothing more; what runs may go on for so long, and is queued again after that."""
        self._stopping.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _keep(self) -> None:
        """Keep one process busy."""
        child: _Child | None = None
        pause = 1.0
        while not self._stopping.is_set():
            try:
                if child is None or not child.is_alive:
                    dead, child = child, None
                    self._end(dead)
                    child = self._started()
                    if child is None:
                        self._stopping.wait(pause)
                        pause = min(2 * pause, LONGEST_PAUSE)
                        continue
                    pause = 1.0
                item = self._queue.claim()
                if item is None:
                    self._stopping.wait(PAUSE)
                else:
                    self._do(child, item)
            except CannotDo:  # the queue cannot be written just now
                log("queue not writable", level=logging.ERROR)
                self._stopping.wait(1)
            except Exception as error:  # a fault of ours; its text may hold anything
                log("fault", level=logging.ERROR, kind=type(error).__name__)
                self._stopping.wait(1)
        self._end(child)

    def _started(self) -> _Child | None:
        """A new process that is ready; None if it is not to be had."""
        child: _Child | None = None
        said: Any
        try:
            with self._lock:
                child = _Child(*self._start_values)
            said = child.receive(START_SECONDS, self._stopping)
        except Exception as error:  # such as OSError: no more files, processes or memory
            said = Refusal(
                f"a process that answers cannot be started ({type(error).__name__})",
                "see whether there is memory enough, and that enough files may be open",
            )
        if not isinstance(said, Ready):
            if child is not None:
                child.kill()
            if self._stopping.is_set():
                said = Refusal("the service was stopped while it started", "start it again")
            elif not isinstance(said, Refusal):
                said = Refusal("the process that answers did not start", "see whether there is memory enough")
            log("process not started", level=logging.ERROR)
        with self._lock:
            self._ready += isinstance(said, Ready)
            self._first = self._first or said
        self._said_first.set()
        return child if isinstance(said, Ready) else None

    def _end(self, child: _Child | None) -> None:
        if child is not None:
            with self._lock:
                self._ready -= 1
            child.kill()

    def _do(self, child: _Child, item: Item) -> None:
        """Answer an item, or see that it is tried again; the process is killed if it is not good any more."""
        begun = time.monotonic()
        try:
            said = self._asked(child, item)
            if isinstance(said, Said):
                self._finish(item, said, time.monotonic() - begun)
            else:
                child.kill()
                self._put_back(item, said, time.monotonic() - begun)
        except CannotDo:
            raise
        except Exception as error:  # a fault of ours, which the item may have brought about
            log("fault", level=logging.ERROR, kind=type(error).__name__)
            child.kill()
            self._put_back(item, Failed(CANNOT), time.monotonic() - begun)
        state = self._durably(lambda: self._queue.item(item.item))
        if state is None or state.state == "done":  # forgotten meanwhile, or answered
            self._spool.remove(item.file)
        if state is None:
            self._spool.remove_previews([item.item])

    def _asked(self, child: _Child, item: Item) -> Said | Failed | None:
        """What a process says of an item; None if it was not tried, or not to the end as all is over."""
        if not child.send(Task(item.number, item.file, self._with_document and item.source != "http")):
            return None  # it had died before, which is not its fault
        said = child.receive(self._seconds, self._over)
        if isinstance(said, Said):
            return said
        if self._over.is_set():
            return None
        return said if isinstance(said, Failed) else Failed(TOO_LONG if said is None else CRASHED)

    def _put_back(self, item: Item, failed: Failed | None, seconds: float) -> None:
        """Queue an item again; after too many failures, what failed is its answer."""
        if failed is None:
            self._durably(lambda: self._queue.give_back(item))
            return
        problem = failed.problem
        log("process ended", level=logging.WARNING, why=problem, item=item.item, attempt=item.attempts)
        self._metrics.crashed(_WHY.get(problem, "other"))
        if self._durably(lambda: self._queue.failed(item, problem)):
            self._metrics.answered({"problem": problem}, seconds)

    def _finish(self, item: Item, said: Said, seconds: float) -> None:
        if said.preview is not None:
            with contextlib.suppress(CannotDo):  # an answer without its picture is better than none
                self._spool.keep_preview(item.item, said.preview)
        if said.lost:
            log("document not made", level=logging.WARNING, item=item.item)
        kept = self._durably(
            lambda: self._queue.finish(item, said.answer, evidence=said.evidence, document=said.document)
        )
        if kept:
            self._metrics.answered(said.answer, seconds)
            log("answered", item=item.item, outcome=outcome(said.answer), seconds=round(seconds, 3))

    def _durably(self, change: Callable[[], Result]) -> Result:
        """Make a change, again and again while the disk is full; gives up only when all is over."""
        while True:
            try:
                return change()
            except CannotDo:
                log("queue not writable", level=logging.ERROR)
                if self._over.wait(1):
                    raise  # the item is running for whoever starts next, who queues it again


class _Child:
    """A process that answers, and the line to it."""

    def __init__(self, opener: Opener, document: Document | None, memory_mb: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._line: Connection
        self._line, other = context.Pipe()
        with other:  # closed here, so that the line ends when the process does
            self._process: SpawnProcess = context.Process(
                target=work, args=(other, opener, document, memory_mb), daemon=True
            )
            try:
                self._process.start()
            except BaseException:
                self._line.close()
                raise

    @property
    def is_alive(self) -> bool:
        return not self._line.closed and self._process.is_alive()

    def send(self, task: Task) -> bool:
        """Whether the process took it."""
        try:
            self._line.send(task)
        except OSError:
            return False
        return True

    def receive(
        self, seconds: float, until: threading.Event
    ) -> Ready | Refusal | Said | Failed | EOFError | None:
        """What the process says; an EOFError if it died, None if it took too long or `until` was set."""
        last = time.monotonic() + seconds
        try:
            while not self._line.poll(min(0.1, max(0.0, last - time.monotonic()))):
                if until.is_set() or time.monotonic() >= last:
                    return None
            said: Ready | Refusal | Said | Failed = self._line.recv()
        except (EOFError, OSError):
            return EOFError()
        return said

    def kill(self) -> None:
        """End it at once; may be called again."""
        self._process.kill()
        self._process.join()
        self._line.close()
