"""Old answers are forgotten, and what nobody wants any more is removed, while the service runs."""

from __future__ import annotations

import logging
import threading
import time

from apical.config import ServeSettings
from apical.deploy.service.logs import log
from apical.deploy.service.queue import Queue
from apical.deploy.service.spool import Spool

DAY, EVERY = 86_400, 600.0  # seconds


def keep_tidy(queue: Queue, spool: Spool, settings: ServeSettings, stopping: threading.Event) -> None:
    """Tidy from time to time until stopped, whatever fails."""
    while not stopping.is_set():
        try:
            tidy(queue, spool, settings)
        except Exception as error:  # its text may hold anything
            log("not tidied", level=logging.ERROR, kind=type(error).__name__)
        stopping.wait(EVERY)


def tidy(queue: Queue, spool: Spool, settings: ServeSettings) -> None:
    """Forget old answers with their previews, remove what belongs to nothing, and shorten the queue's log.

    Files are removed a day after they can belong to an upload: there are none but for disks that failed.

    Raises:
        CannotDo: the state folder cannot be written.
    """
    spool.remove_previews(queue.expire(time.time() - settings.keep_days * DAY))
    queue.shorten_log()
    spool.sweep_previews(lambda item: queue.item(item) is not None)  # of jobs that made room for others
    spool.sweep(queue.files(), older_than=DAY + settings.upload_seconds + settings.unpack_seconds)
