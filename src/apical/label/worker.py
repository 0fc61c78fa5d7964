"""One process that calls one function, within bounds: what hangs, crashes or fills the memory costs only it.

The bound of time is a timer in the process itself (``SIGALRM`` ends it, whatever C code it is in), so that
none stays busy after its parent, either; an idle one ends with the pipe.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

import cv2

from apical.ingest.parallel import bound_memory
from apical.label.apart import Apart

Item = TypeVar("Item")
Result = TypeVar("Result")

START_SECONDS = 60.0


class Died(Exception):
    """The process crashed, took too long, needed too much memory, or was stopped; the call has no result."""


class Worker(Generic[Item, Result]):
    """A process that is started when it is needed, and anew after it died. For one caller at a time.

    Args:
        function: picklable; the process imports its module once. One that raises ends its process.
        seconds: most time for a call.
        memory_mb: most memory that the process may ask for once it has started.
    """

    def __init__(self, function: Callable[[Item], Result], *, seconds: float, memory_mb: int) -> None:
        self._given = (function, seconds, memory_mb)
        self._longest = START_SECONDS + seconds
        self._lock = threading.Lock()
        self._process: Apart | None = None
        self._stopped = False

    def start(self) -> None:
        """Start the process if there is none, without waiting for it.

        Raises:
            Died: it cannot be started, or the worker was stopped.
        """
        self._started()

    def call(self, item: Item) -> Result:
        """The function's result for an item.

        Raises:
            Died
        """
        process = self._started()
        try:
            process.send(item)
            if not process.line.poll(self._longest):
                raise EOFError
            result: Result = process.received()
        except (EOFError, OSError):
            with self._lock:
                process.end()
            raise Died from None
        return result

    def stop(self) -> None:
        """End the process at once, for good; a call that runs raises `Died`."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def _started(self) -> Apart:
        with self._lock:
            if self._stopped:
                raise Died
            if self._process is None or not self._process.is_alive:
                if self._process is not None:
                    self._process.end()
                try:
                    self._process = Apart(__name__, self._given, nice=0)
                except OSError:  # no more processes, files or memory
                    self._process = None
                    raise Died from None
            return self._process


def run(line: Connection, given: tuple[Callable[[Any], Any], float, int]) -> None:
    """Call the function for what comes over the line, until that is closed."""
    function, seconds, memory_mb = given
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    cv2.setNumThreads(1)
    bound_memory(memory_mb)
    while True:
        try:
            item = line.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds)
        result = function(item)
        signal.setitimer(signal.ITIMER_REAL, 0)
        line.send(result)
