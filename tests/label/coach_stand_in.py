"""What stands in for the process that advises, so that its keeper is tested without torch.

What it does is written in files of the school's folder: ``slow`` (seconds a lesson takes), ``dies`` (versions
at which it ends), ``refuses``.
"""

import os
import time
from pathlib import Path

import numpy as np

from apical.label.advice import Advice
from apical.label.cache import write_array
from apical.label.lesson import Done, Refusal, Vectors, Waiting


def order(folder, name, default=""):
    path = folder / name
    return path.read_text() if path.exists() else default


def note(folder, name, text):
    with (folder / name).open("a") as file:
        file.write(f"{text}\n")


def advice(version, model="probe"):
    nothing = np.zeros(0, np.int64)
    return Advice(version, 0, model, nothing, nothing, nothing, [], {}, [], None, [], 0.0)


def run(line, school):
    folder = Path(school.folder)
    note(folder, "started", os.getpid())
    if order(folder, "refuses"):
        line.send(Refusal("the encoder is broken", "give another"))
        return
    line.send(Done(1, 2))
    write_array(folder / "vectors.npy", np.eye(3, dtype=np.float32))
    line.send(Vectors(folder / "vectors.npy"))
    while True:
        line.send(Waiting())
        try:
            lesson = line.recv()
        except EOFError:
            return
        note(folder, "lessons", lesson.known.version)
        if str(lesson.known.version) in order(folder, "dies").split():
            os._exit(1)
        time.sleep(float(order(folder, "slow", "0")))
        line.send(advice(lesson.known.version, lesson.network.name if lesson.network else "probe"))
