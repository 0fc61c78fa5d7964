"""A process apart: spawned, quiet, and gone when its parent is, even by ``kill -9``."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from apical.deploy.service.child import keep_quiet
from apical.ingest.parallel import exit_with_parent

NICE = 10


class Apart:
    """A process that runs the function `run(line, given)` of a module, and the line to it.

    Args:
        module: its name; imported in the process alone, so that the parent need not.
        given: picklable.
        nice: how far it lets others go first.

    Raises:
        OSError: no more processes, files or memory.
    """

    def __init__(self, module: str, given: object, nice: int = NICE) -> None:
        context = multiprocessing.get_context("spawn")
        self.line: Connection
        self.line, other = context.Pipe()
        with other:  # closed here, so that the line ends when the process does
            self._process: SpawnProcess = context.Process(
                target=_begin, args=(other, module, given, nice), daemon=True
            )
            try:
                self._process.start()
            except BaseException:
                self.line.close()
                raise

    @property
    def pid(self) -> int | None:
        """Its number in the system."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.is_alive()

    def received(self) -> Any:
        """What it has said next, of what lies ready.

        Raises:
            EOFError: it has ended.
        """
        try:
            return self.line.recv()
        except OSError:
            raise EOFError from None

    def send(self, message: object) -> None:
        """Say something to one that reads; one that has ended will be noticed by `received`."""
        with contextlib.suppress(OSError):
            self.line.send(message)

    def kill(self) -> None:
        """End it at once; who waits for what it says hears that it has ended."""
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        """End it at once, and close the line; may be called again."""
        self.kill()
        self.line.close()


def _begin(line: Connection, module: str, given: object, nice: int) -> None:
    for stop in (signal.SIGINT, signal.SIGTERM):  # these are for the parent, which decides
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    os.nice(nice)
    keep_quiet()
    importlib.import_module(module).run(line, given)
