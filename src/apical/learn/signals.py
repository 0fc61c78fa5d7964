"""Being told to stop: a scheduler's SIGTERM or a person's Ctrl-C is heeded at the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether this process was told to stop, and by what."""

    def __init__(self) -> None:
        self.signal = 0

    @property
    def name(self) -> str:
        """Of the signal, such as SIGTERM; that of another process's if it was not this one."""
        return signal.Signals(self.signal).name if self.signal else "a signal"

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: at once
        self.signal = number


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Note SIGTERM and SIGINT inside, instead of dying of them; in the main thread only."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop._note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """SIGTERM and SIGINT wait until the end of the block. Processes started in it never see them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
