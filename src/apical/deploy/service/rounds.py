"""Work that comes round again and again in a thread of its own, and how long to wait after a failure."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

LONGEST = 600.0  # seconds
_log = logging.getLogger(__name__)


class Rounds:
    """Calls a function again and again, each time after as many seconds as it returned, until stopped.

    A round that raises is logged by its kind of error, and comes again in a minute: a thread that died
    silently would stop the service without anybody knowing.
    """

    def __init__(self, name: str, one_round: Callable[[], float]) -> None:
        self._name, self._round = name, one_round
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin the first round."""
        self._thread.start()

    def wake(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    def stop(self, seconds: float = 30.0) -> None:
        """Begin no more rounds, and wait so long for the one that is being done."""
        self._stopped.set()
        self._wake.set()
        self._thread.join(seconds)

    @property
    def stopped(self) -> bool:
        """Whether no more rounds are begun; a long one may ask, and end early."""
        return self._stopped.is_set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                pause = self._round()
            except Exception as error:  # its text may hold identifiers
                _log.error("%s: a round failed (%s)", self._name, type(error).__name__)
                pause = 60.0
            self._wake.wait(max(0.0, pause))


def backoff(failures: int, *, longest: float = LONGEST) -> float:
    """Seconds to wait after so many failures in a row: doubled each time up to a limit, and spread.

    Half of it is by chance, so that those who failed together do not come again together.
    """
    full: float = min(longest, 2.0 ** min(failures, 30) / 2)
    return full * random.uniform(0.5, 1.0)
