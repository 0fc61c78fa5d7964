"""A labelling server on made-up clips whose views can be told apart, with a coach who knows the truth."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import uvicorn

from apical.catalogue import read_catalogue, write_catalogue
from apical.config import LabelSettings
from apical.deploy.service.access import Token
from apical.ingest.frames import FrameStore
from apical.label.advice import Advice, Help, Known, Layout, Pick, Suspicion
from apical.label.app import make_app
from apical.label.board import Board
from apical.label.curve import Curve
from apical.label.parts import Parts
from apical.label.pictures import Pictures
from apical.label.records import Records
from apical.label.tasks import Tasks
from apical.views import standard_vocabulary
from fake_stores import write_store

VOCABULARY = standard_vocabulary()
VIEWS = ("PLAX", "A4C", "A2C", "A5C", "IVC")
SIZE, FRAMES = 48, 4
HOME = "http://127.0.0.1"
KEYS = iter(range(1, 1 << 60))


def key() -> str:
    """Another one each time."""
    return f"{next(KEYS):032x}"


def write_ground(
    folder: Path, patients: int = 8, times: int = 2, labelled: int = 0, before: str = ""
) -> dict[str, str]:
    """Write ``frames`` and ``catalogue.parquet``; the views of the clips by their ids.

    The last patient is a test patient; the clips of the first `labelled` ones have labels. Ids begin with
    `before`.
    """
    generator = np.random.default_rng(0)
    truth, rows, frames = {}, [], []
    for patient in range(patients):
        for number in range(times * len(VIEWS)):
            view = VIEWS[number % len(VIEWS)]
            clip = f"{before}{patient:02}-{number:02}-{generator.integers(1 << 30):08x}"
            truth[clip] = view
            rows.append(
                {
                    "clip": clip,
                    "path": f"/nowhere/DOE^JANE/{clip}.dcm",
                    "patient": f"pseudonym{patient}",
                    "study": f"study{patient}",
                    "frames": FRAMES,
                    "frame_time_ms": 40.0,
                    "view": view if patient < labelled else None,
                    "labelled_by": "table" if patient < labelled else None,
                    "split": "test" if patient == patients - 1 else "train",
                }
            )
            frames += [_frame(number % len(VIEWS), time, generator) for time in range(FRAMES)]
    table = pl.DataFrame(rows)
    write_catalogue(table, folder / "catalogue.parquet")
    write_store(folder / "frames", np.repeat(table["clip"].to_list(), FRAMES).tolist(), np.stack(frames))
    return truth


def _frame(view: int, time: int, generator: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    angle = view * np.pi / len(VIEWS)
    bar = np.abs(x * np.sin(angle) - y * np.cos(angle) + time - 1) < 4
    return np.clip(40 + 170 * bar + generator.normal(0, 12, (SIZE, SIZE)), 1, 255).astype(np.uint8)


@dataclass
class FakeCoach:
    """Guesses the truth, is done at once, and remembers what it was told."""

    truth: list[int]
    taught: list[Known] = field(default_factory=list)
    suspects: list[Suspicion] = field(default_factory=list)
    picks: list[Pick] = field(default_factory=list)
    ready: bool = True
    asked_to_tune: int = 0

    @property
    def advice(self) -> Advice | None:
        if not self.ready:
            return None
        guess = np.array(self.truth)
        by_view = {view: np.flatnonzero(guess == view).tolist() for view in set(self.truth)}
        known = self.taught[-1].label if self.taught else np.full(len(guess), -1)
        return Advice(
            version=len(self.taught), labels=int((known >= 0).sum()), model=f"probe {len(self.taught)}",
            guess=guess, probability=np.full(len(guess), 0.9, np.float32), second=np.roll(guess, 1),
            picks=self.picks, by_view=by_view, suspects=self.suspects, estimate=None,
            help=[Help("A5C", 3)], seconds=0.1,
        )  # fmt: skip

    @property
    def layout(self) -> Layout | None:
        if not self.ready:
            return None
        generator = np.random.default_rng(1)
        place = np.array(self.truth) / max(self.truth) * 0.8 + 0.1
        jitter = generator.normal(0, 0.02, (2, len(place)))
        _, group = np.unique(self.truth, return_inverse=True)
        x, y = (place + jitter[0]).astype(np.float32), (1 - place + jitter[1]).astype(np.float32)
        return Layout(x, y, group.astype(np.int32), int(group.max()) + 1)

    @property
    def features(self) -> np.ndarray | None:
        return np.eye(max(self.truth) + 1, dtype=np.float32)[self.truth] if self.ready else None

    @property
    def state(self) -> dict:
        return {"state": "ready" if self.ready else "reading", "done": 1, "total": 2, "seconds": 0.1}

    @property
    def tuning(self) -> dict:
        return {"state": "off", "labels": 0, "minutes": None, "problem": None}

    def teach(self, known: Known) -> None:
        self.taught.append(known)

    def fine_tune(self) -> None:
        self.asked_to_tune += 1


def parts_of(folder: Path, state: Path, truth: dict[str, str], token: str | None = None, **changes) -> Parts:
    """What the server consists of; the pictures' processes are not started."""
    settings = LabelSettings(**changes)
    catalogue = folder / "catalogue.parquet"
    records = Records(state / "labels.sqlite")
    board = Board(folder / "frames", catalogue, records, VOCABULARY, settings.splits)
    coach = FakeCoach([VOCABULARY.names.index(truth[clip]) for clip in board.clips.clip])
    nothing = read_catalogue(catalogue).with_columns(
        problem=pl.lit("the file is not there")
    )  # starts no decoder
    pictures = Pictures(FrameStore.open(folder / "frames"), nothing, state / "pictures")
    return Parts(
        catalogue, state, VOCABULARY, records, board, Tasks(board, records, settings), coach,
        Curve(state / "curve.jsonl"), pictures, settings, Token(token),
    )  # type: ignore[arg-type]  # fmt: skip


@contextmanager
def serving(parts: Parts) -> Iterator[str]:
    """A server on a free port of this machine; its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(parts), log_config=None, access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    listener.listen(64)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        parts.pictures.stop()
        parts.records.close()


def following(client, annotator="anna", queue="useful", count=8, without=""):
    answer = client.get(
        "/v1/next", params={"annotator": annotator, "queue": queue, "count": count, "without": without}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def body_of(item, view):
    """What the page sends as an answer."""
    answer = {"task": item["task"], "said": {"view": view}, "seen": item["seen"]}
    return answer | {"key": key(), "shown": False, "seconds": 1.5}


def say(client, item, view, expect=200, **changes):
    answer = client.post("/v1/labels", json=body_of(item, view) | changes)
    assert answer.status_code == expect, answer.text
    return answer.json()


def take(client, rows):
    """Import rows as a table; how many clips were labelled."""
    answer = client.post(
        "/v1/import", params={"annotator": "ann", "format": "json"}, content=json.dumps(rows)
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["labelled"]
