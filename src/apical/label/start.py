"""The labelling server: one a state folder, which keeps every label, however it ends."""

from __future__ import annotations

import logging
import resource
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from apical.catalogue import read_catalogue
from apical.config import LabelSettings
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
from apical.errors import CannotDo
from apical.ingest.frames import FrameStore
from apical.label.board import Board
from apical.label.coach import Coach
from apical.label.curve import Curve
from apical.label.lesson import School
from apical.label.parts import Parts
from apical.label.pictures import Pictures
from apical.label.records import FILE, Records
from apical.label.tasks import Tasks
from apical.views import Vocabulary, standard_vocabulary

SHIPPED = Path("shipped")  # the encoder that comes with Apical, see `apical.learn.start`

Tell = Callable[[str], None]


def label(
    catalogue: Path,
    store: Path,
    state: Path,
    settings: LabelSettings = LabelSettings(),
    *,
    encoder: Path = SHIPPED,
    vocabulary: Vocabulary | None = None,
    tell: Tell = lambda line: print(line, flush=True),
) -> None:
    """Serve the labelling page until SIGTERM or SIGINT; for the main thread of a process of its own.

    Args:
        catalogue: its file is read now and is written only when somebody asks for it on the page.
        store: frame store of its clips.
        state: a private folder for all that must outlive the server: labels, pictures, features, the token;
            made if it is not there. Start the server with the same again, and it goes on.
        settings: where it listens, and what is offered.
        encoder: run folder of a pre-training; the shipped encoder by default.
        vocabulary: the views; the standard ones by default.
        tell: is given a line that says where the page is, and whether a token is needed.

    Raises:
        CannotDo: an extra is not installed, inputs or folder cannot be used, no clip is on offer, another
            server uses the folder, or the address is taken.
        WrongCall: the catalogue has labels that the vocabulary lacks.
    """
    check_extras("the labelling page", "fastapi", "uvicorn")
    from apical.label.app import make_app

    vocabulary = vocabulary or standard_vocabulary()
    _check_encoder(encoder)
    frames, table = FrameStore.open(store), read_catalogue(catalogue)
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder(state))
        token, said = token_for(folder, settings)
        listener = stack.enter_context(listener_of(settings))
        records = Records(folder / FILE)
        stack.callback(records.close)
        board = Board(store, catalogue, records, vocabulary, settings.splits)
        if not board.offered.any():
            raise CannotDo(
                "no clip is on offer: all are of patients that validate or test",
                "give splits anew ('apical labels split'), or name them in the settings ('splits')",
            )
        write_logs(level=logging.WARNING)  # a line for each request is for services
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no picture of the memory on the disk
        pictures = Pictures(
            frames, table, folder / "pictures",
            side=settings.side, most_frames=settings.most_frames, most_mb=settings.pictures_mb,
        )  # fmt: skip
        stopping = threading.Event()
        stop_by_signals(stopping)
        pictures.start()
        stack.callback(pictures.stop)
        school = School(
            board.clips,
            store,
            catalogue,
            encoder,
            vocabulary,
            folder / "coach",
            settings.splits,
            settings.seed,
        )
        coach = Coach(school, fine_tune_every=settings.fine_tune_every or None)
        coach.start()
        stack.callback(coach.stop)
        coach.teach(board.known())
        parts = Parts(
            catalogue, folder, vocabulary, records, board, Tasks(board, records, settings), coach,
            Curve(folder / "curve.jsonl"), pictures, settings, token,
        )  # fmt: skip
        app = make_app(parts)
        connections = connections_for(settings, raise_file_limit())
        listener.listen(BACKLOG)
        tell(f"Label at {address_of(settings.host, listener)}; {said}")
        run(app, listener, connections, settings, stopping)
        log("stopping")


def _check_encoder(encoder: Path) -> None:
    """See early, and without torch, whether there is one; it is opened by the coach's process."""
    if encoder != SHIPPED and not (encoder / "encoder.safetensors").is_file():
        raise CannotDo(
            f"'{encoder.name}' is no finished pre-training run", "give a folder that 'apical pretrain' made"
        )
