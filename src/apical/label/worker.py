"""One process that calls one function, within bounds: what hangs, crashes or fills the memory costs only it.

The bound of time is a timer in the process itself (``SIGALRM`` ends it, whatever C code it is in), so that
none stays busy after its parent, either; an idle one ends with the pipe.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

import cv2

from apical.deploy.service.child import keep_quiet
from apical.ingest.parallel import bound_memory

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
        self._values = (function, seconds, memory_mb)
        self._longest = START_SECONDS + seconds
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._line: Connection | None = None
        self._stopped = False

    def start(self) -> None:
        """Start the process if there is none, without waiting for it.

        Raises:
            Died: it cannot be started, or the worker was stopped.
        """
        with self._lock:
            if self._stopped:
                raise Died
            if self._process is not None and self._process.is_alive():
                return
            self._end()
            context = multiprocessing.get_context("spawn")
            self._line, other = context.Pipe()
            with other:  # closed here, so that the line ends when the process does
                self._process = context.Process(target=_serve, args=(other, *self._values), daemon=True)
                try:
                    self._process.start()
                except OSError:  # no more processes, files or memory
                    self._process = None
                    raise Died from None

    def call(self, item: Item) -> Result:
        """The function's result for an item.

        Raises:
            Died
        """
        self.start()
        line = self._line
        try:
            if line is None:
                raise EOFError  # stopped meanwhile
            line.send(item)
            if not line.poll(self._longest):
                raise EOFError
            result: Result = line.recv()
        except (EOFError, OSError):
            with self._lock:
                self._end()
            raise Died from None
        return result

    def stop(self) -> None:
        """End the process at once, for good; a call that runs raises `Died`."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()
                self._process.join()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._line is not None:
            self._line.close()
        self._process = self._line = None


def _serve(line: Connection, function: Callable[[Any], Any], seconds: float, memory_mb: int) -> None:
    """Call the function for what comes over the line, until that is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # is for the parent, which decides
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    cv2.setNumThreads(1)
    keep_quiet()
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
