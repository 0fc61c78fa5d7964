"""A PACS beside the server, both ways: its new ultrasound in, the reports on it out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from apical.deploy.service.dicomweb import DicomWeb
from apical.deploy.service.outbox import Outbox
from apical.deploy.service.pacs import Pacs
from apical.deploy.service.queue import Queue
from apical.deploy.service.spool import Spool
from apical.errors import CannotDo


class Notice(Protocol):
    """What is new, by its UIDs as far as they are known."""

    study: str | None
    series: str | None
    instance: str | None


class PacsLink:
    """For `serve`: its method `start` is one of ``beside``, and its method `notify` is ``notify``.

    Args:
        open_client: makes a client, one for each thread.
        every, days, most_bytes: see `Pacs`.
        send: sends a document; by default it is stored by DICOMweb.
    """

    def __init__(
        self,
        open_client: Callable[[], DicomWeb],
        *,
        every: float | None = 30.0,
        days: int | None = 2,
        most_bytes: int = 2 << 30,
        send: Callable[[bytes], None] | None = None,
    ) -> None:
        self._client, self._send = open_client(), send or open_client().store
        self._every, self._days, self._most_bytes = every, days, most_bytes
        self._pacs: Pacs | None = None
        self._outbox: Outbox | None = None

    def start(self, queue: Queue, spool: Spool, model: str, stopping: threading.Event) -> PacsLink:
        """Begin to look and to send, in threads; returns itself. Raises CannotDo."""
        self._pacs = Pacs(
            self._client,
            queue,
            spool,
            model,
            every=self._every,
            days=self._days,
            most_bytes=self._most_bytes,
        )
        self._outbox = Outbox(queue, self._send)
        return self

    def notify(self, notice: Notice) -> None:
        """Look at what is new, now; see `Pacs.notify`."""
        if self._pacs is None:
            raise CannotDo("the service has not started yet", "try again in a while")
        self._pacs.notify(notice.study or "", notice.series or "", notice.instance or "")

    @property
    def problems(self) -> dict[str, str | None]:
        """For `Metrics.watch`: of looking, and of sending."""
        return {
            "pacs": None if self._pacs is None else self._pacs.problem,
            "outbox": None if self._outbox is None else self._outbox.problem,
        }

    def stop(self, seconds: float = 10.0) -> None:
        """Begin nothing new, and wait so long for what is on its way; the rest comes after the next start."""
        for one in (self._pacs, self._outbox):
            if one is not None:
                one.stop(seconds)
