"""Documents on their way back: sent again and again until they have arrived, or will never be wanted.

A document has the same UID however often it is made or sent, so that to send twice is harmless, and whatever
dies between sending and noting that costs one more sending. One that is refused for what it is waits in the
outbox with the reason for the next start, when it is sent once more, or until its answer is forgotten.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from apical.deploy.service.dicomweb import Hopeless, Unreachable
from apical.deploy.service.queue import NEVER, Queue
from apical.deploy.service.rounds import Rounds, backoff
from apical.errors import CannotDo

IDLE = 1.0  # seconds between two looks into an empty outbox
LONGEST = 30.0  # seconds between two documents while sending fails; each has longer pauses of its own
_log = logging.getLogger(__name__)


class Outbox:
    """What sends the documents of a queue, in a thread of its own, until stopped.

    Args:
        queue: whose outbox.
        send: sends a DICOM file, such as `DicomWeb.store` (of a client for this thread alone) or, with its
            other arguments bound, `send_by_store`; raises `Unreachable` or `Hopeless`.

    Attributes:
        problem: why the last document could not be sent; None if it was.

    Raises:
        CannotDo: the queue cannot be written.
    """

    def __init__(self, queue: Queue, send: Callable[[bytes], None]) -> None:
        self._queue, self._send = queue, send
        self._failures = 0
        self.problem: str | None = None
        queue.send_again()
        self._rounds = Rounds("outbox", self._round)
        self._rounds.start()

    @property
    def problems(self) -> dict[str, str | None]:
        """For `Metrics.watch`."""
        return {"outbox": self.problem}

    def stop(self, seconds: float = 30.0) -> None:
        """Send no more, and wait so long for the document that is being sent; the others stay."""
        self._rounds.stop(seconds)

    def _round(self) -> float:
        """Send the document that is due first; seconds until the next."""
        try:
            outgoing = self._queue.due(time.time())
            if outgoing is None:
                return IDLE
            try:
                self._send(outgoing.document)
            except Hopeless as error:
                _log.error("a document was given up: %s", error)
                self._queue.put_off(outgoing, str(error), NEVER)
                return 0.0
            except Unreachable as error:
                self._failures += 1
                pause = max(backoff(outgoing.attempts + 1), error.after)
                self._queue.put_off(outgoing, str(error), time.time() + pause)
                self._tell(error)
                return backoff(self._failures, longest=LONGEST)
            self._queue.sent(outgoing)
        except CannotDo as error:  # the queue itself
            self._failures += 1
            self._tell(error)
            return backoff(self._failures)
        self.problem, self._failures = None, 0
        return 0.0

    def _tell(self, error: CannotDo) -> None:
        if str(error) != self.problem:
            _log.warning("a document could not be sent: %s", error)
        self.problem = str(error)
