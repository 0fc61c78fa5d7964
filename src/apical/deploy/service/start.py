"""The service as its settings ask for it: over HTTP, and beside it DICOM's network, both ways."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from apical.config import ReceiverSettings, ReplySettings, ServeSettings
from apical.deploy.dicom_sr import check_sr
from apical.deploy.service.dicomweb import DicomWeb, authorization
from apical.deploy.service.link import PacsLink
from apical.deploy.service.outbox import Outbox
from apical.deploy.service.queue import Queue
from apical.deploy.service.receiver import Receiver, start_receiver
from apical.deploy.service.sender import send_by_store
from apical.deploy.service.serve import Beside, document_of, serve
from apical.deploy.service.spool import Spool

Tell = Callable[[str], None]


def serve_bundle(bundle: Path, state: Path, settings: ServeSettings, tell: Tell) -> None:
    """Serve a bundle until SIGTERM or SIGINT; to be called from the main thread of a process of its own.

    Args:
        bundle: its folder or zip.
        state: a private folder, see `serve`.
        settings: where it listens; the PACS and the receiver, if any.
        tell: is given a line for each address.

    Raises:
        WrongCall, CannotDo: see `serve`, `start_receiver` and `DicomWeb`.
    """
    beside: list[Beside] = []
    link = _link(settings)
    if link is not None:
        beside.append(link.start)
    elif settings.reply is not None:
        beside.append(partial(_start_outbox, settings.reply))
    if settings.receiver is not None:
        beside.append(partial(_start_receiver, settings.receiver, settings.file_mb << 20, tell))
    replies = settings.pacs is not None or settings.reply is not None
    if replies:
        check_sr()
    elif settings.receiver is not None:
        tell("what is received is answered, but no reports are sent: that needs --pacs or --reply")
    serve(
        bundle,
        state,
        settings,
        beside=beside,
        document=document_of if replies else None,
        notify=link.notify if link is not None else None,
        tell=tell,
    )


def _link(settings: ServeSettings) -> PacsLink | None:
    pacs = settings.pacs
    if pacs is None:
        return None
    open_client = partial(
        DicomWeb,
        pacs.url,
        authorization=authorization(os.environ),
        certificates=True if pacs.certificates is None else str(pacs.certificates),
    )
    return PacsLink(
        open_client,
        every=pacs.every,
        days=pacs.days,
        most_bytes=settings.file_mb << 20,
        send=None if settings.reply is None else _sender(settings.reply),
    )


def _sender(reply: ReplySettings) -> Callable[[bytes], None]:
    return partial(send_by_store, host=reply.host, port=reply.port, called=reply.title)


def _start_outbox(
    reply: ReplySettings, queue: Queue, spool: Spool, model: str, stopping: threading.Event
) -> Outbox:
    return Outbox(queue, _sender(reply))


def _start_receiver(
    settings: ReceiverSettings,
    most_bytes: int,
    tell: Tell,
    queue: Queue,
    spool: Spool,
    model: str,
    stopping: threading.Event,
) -> Receiver:
    receiver = start_receiver(
        queue,
        spool,
        model,
        stopping,
        host=settings.host,
        port=settings.port,
        title=settings.title,
        calling=settings.calling,
        hosts=settings.hosts,
        most_bytes=most_bytes,
        most_associations=settings.associations,
    )
    tell(f"{settings.title} receives DICOM at {settings.host}:{receiver.port}")
    return receiver
