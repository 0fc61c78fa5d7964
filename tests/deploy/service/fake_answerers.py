"""Stand-ins for an Answerer, picklable: what a file says is what happens to the process that reads it."""

import hashlib
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from apical.deploy.answers import Answer
from apical.errors import CannotDo, ClipProblem
from apical.views import standard_vocabulary

MODEL = "fake"


class FakeAnswerer:
    """Answers a text by its hash; some texts crash, hang, or eat memory."""

    runtime = SimpleNamespace(name="fake (cpu)")

    def __init__(self, log=None):
        self.log = log
        self.bundle = SimpleNamespace(
            model_version=MODEL,
            vocabulary=standard_vocabulary(),
            facts={"taught": ["A4C", "PLAX"], "intended_use": "tests"},
            unknown=SimpleNamespace(threshold=9.0),
            doubtful_below=0.8,
        )

    def look(self, number, place):
        data = Path(place).read_bytes()
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write(f"{clip_of(data)}\n")
        word, _, rest = data.partition(b":")
        if word == b"crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == b"hang" or (word == b"hang-once" and first_time(rest)):
            time.sleep(3600)
        if word == b"eat":
            np.ones(16 << 30, np.uint8)
        if word == b"raise":
            raise ValueError(data)
        if word == b"print":
            print(data.decode(), flush=True)
            os.write(2, data)
        if word == b"wait":
            while not os.path.exists(rest):
                time.sleep(0.01)
        if word == b"bad":
            return Answer(number, place, model=MODEL, problem="damaged"), None
        answer = Answer(
            number, place, clip=clip_of(data), view="A4C", likeliest="A4C", probability=0.9, unknown=False,
            unknown_score=float("nan"), doubtful=False, mode="2d", frames_used=(0, 3), model=MODEL,
        )  # fmt: skip
        return answer, seen()


def seen():
    chances = np.zeros((2, len(standard_vocabulary())))
    chances[0, 2], chances[1, 0] = 0.9, 0.6
    frames = np.arange(2 * 32 * 32).reshape(2, 32, 32).astype(np.uint8)
    frames[1] = 255 - frames[1]
    starts = np.array([0, 3])
    return SimpleNamespace(
        frames=frames, numbers=starts, probabilities=chances.mean(0), by_frame=chances, starts=starts,
        cine=None,
    )  # fmt: skip


def clip_of(data):
    return hashlib.sha256(data).hexdigest()[:16]


def first_time(path):
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def open_fake(log=None):
    return FakeAnswerer(log)


def open_refused():
    raise CannotDo("the bundle is not whole", "make it again")


def open_broken():
    raise RuntimeError("/home/somebody/secret")


def document(looker, file, answer):
    if file.read_bytes().startswith(b"no-sr"):
        raise ClipProblem("no UIDs")
    return b"SR of " + answer.clip.encode()
