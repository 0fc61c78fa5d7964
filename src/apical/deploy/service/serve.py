"""The service as a whole: one server a state folder, which loses nothing it accepted, however it ends."""

from __future__ import annotations

import resource
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from apical.config import ServeSettings
from apical.deploy.answers import Answer
from apical.deploy.runtime import has_gpu_driver
from apical.deploy.service.child import Document, Looker, Opener
from apical.deploy.service.connections import BACKLOG, connections_for, raise_file_limit
from apical.deploy.service.listening import (
    address_of,
    check_extras,
    listener_of,
    own_folder,
    run,
    stop_by_signals,
    token_for,
)
from apical.deploy.service.logs import log, write_logs
from apical.deploy.service.queue import Queue
from apical.deploy.service.spool import Spool, cannot_write_state
from apical.deploy.service.tidying import keep_tidy
from apical.deploy.service.worker import Workers

if TYPE_CHECKING:
    from apical.deploy.service.schemas import Notice

OF_A_WORKER = 4  # files
CINE_FRAMES = 12


class Running(Protocol):
    """Something that runs beside the server, such as a receiver."""

    def stop(self, seconds: float = 10.0) -> None:
        """End it; what is under way may go on for so long."""


Beside = Callable[[Queue, Spool, str, threading.Event], Running]
"""Starts something beside the server: queue, spool, the model's version, and what is set when it ends."""


def serve(
    bundle: Path,
    state: Path,
    settings: ServeSettings = ServeSettings(),
    *,
    beside: Sequence[Beside] = (),
    document: Document | None = None,
    notify: Callable[[Notice], None] | None = None,
    opener: Opener | None = None,
    tell: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Serve a bundle until SIGTERM or SIGINT; to be called from the main thread of a process of its own.

    Args:
        bundle: its folder.
        state: a private folder for all that must outlive the server: the queue, files that wait, previews,
            the token; made if it is not there. Start the server with the same again, and it goes on.
        settings: where it listens, and its limits.
        beside: started with the server, such as the DICOM receiver.
        document: makes what is sent back for items that came from a PACS, such as `document_of`; picklable.
        notify: looks at the PACS now; without it there is no such path.
        opener: opens what answers; by default the bundle's `Answerer`.
        tell: says in a line where it listens and whether a token is needed.

    Raises:
        CannotDo: an extra is not installed, the bundle or the folder cannot be used, another server uses it,
            or the address is taken.
    """
    check_extras("the service", "fastapi", "prometheus_client", "python_multipart", "uvicorn")
    from apical.deploy.service.app import Parts, make_app
    from apical.deploy.service.metrics import Metrics

    with ExitStack() as stack:
        state = stack.enter_context(own_folder(state))
        token, said = token_for(state, settings)
        listener = stack.enter_context(listener_of(settings))
        write_logs()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no picture of the memory on the disk
        others = settings.uploads + OF_A_WORKER * settings.workers
        connections = connections_for(settings, raise_file_limit(), others)
        spool = Spool(state, settings.waiting_mb << 20, settings.previews_mb << 20)
        queue = Queue(state / "queue.sqlite", settings.waiting_items, spool.remove, settings.kept_items)
        stack.callback(queue.close)
        _pick_up(queue, spool)
        metrics = Metrics(queue, spool)
        workers = Workers(
            queue, spool, metrics, opener or _opener(bundle, state, settings),
            count=settings.workers, seconds=settings.seconds_per_item, document=document,
            memory_mb=None if _uses_gpu(settings) else settings.memory_mb,
        )  # fmt: skip
        stopping = threading.Event()
        stop_by_signals(stopping)
        model = workers.start()
        stack.callback(workers.stop, settings.shutdown_seconds)
        for start in beside:
            running = start(queue, spool, model["version"], stopping)
            metrics.watch(running)
            stack.callback(running.stop)
        stack.callback(stopping.set)
        threading.Thread(target=keep_tidy, args=(queue, spool, settings, stopping), daemon=True).start()
        parts = Parts(
            queue, spool, metrics, token,
            is_alive=lambda: workers.is_alive,
            is_ready=lambda: workers.is_ready and not stopping.is_set(),
            model=model,
            notify=notify,
        )  # fmt: skip
        app = make_app(parts, settings)
        listener.listen(BACKLOG)  # who calls from now on waits for what follows
        tell(f"Apical {model['version']} answers at {address_of(settings.host, listener)}; {said}")
        run(app, listener, connections, settings, stopping)
        log("stopping")


def _uses_gpu(settings: ServeSettings) -> bool:
    """CUDA asks for more addresses than there is memory, so that no limit of these can be set."""
    return settings.device == "cuda" or (settings.device == "auto" and has_gpu_driver())


def _pick_up(queue: Queue, spool: Spool) -> None:
    """Go on where a server ended, or died."""
    queue.restart()
    removed = spool.sweep(queue.files())
    spool.sweep_previews(lambda item: queue.item(item) is not None)
    log("picked up", waiting=queue.counts()["queued"], removed=removed)


def _opener(bundle: Path, state: Path, settings: ServeSettings) -> Opener:
    """What opens the bundle in each process; studies have the same names in all, and after a restart."""
    path = state / "study.key"
    try:
        if not path.exists():
            path.touch(0o600)
        if path.stat().st_size != 32:
            path.write_bytes(secrets.token_bytes(32))
        key = path.read_bytes()
    except OSError as error:
        raise cannot_write_state(error) from None
    return partial(_open_answerer, bundle.resolve(), settings.device, settings.precision, key)


def _open_answerer(bundle: Path, device: str, precision: str, key: bytes) -> Looker:
    from apical.deploy.answering import Answerer

    return Answerer.open(bundle, device=device, precision=precision, key=key, threads=1, cine=CINE_FRAMES)


def document_of(looker: Looker, file: Path, answer: Answer) -> bytes | None:
    """The DICOM SR for a file, to be given to `serve`; None where there is no view to report.

    Raises:
        ClipProblem: the file is no DICOM file that can be referred to.
    """
    import pydicom

    from apical.deploy.dicom_sr import sr_bytes
    from apical.ingest.damage import decoding
    from apical.ingest.dicom import quiet_pydicom

    with decoding("damaged DICOM header"), quiet_pydicom():
        source = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    bundle = looker.bundle
    return sr_bytes(source, answer, bundle.vocabulary, bundle.facts, datetime.now().astimezone())
