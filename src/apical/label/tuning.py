"""The process that fine-tunes: a training as `apical train` has it, on the labels as they are now.

It works on a copy of the catalogue without paths, in a folder of its own that is removed in the end.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from apical.catalogue import read_catalogue, write_catalogue
from apical.config import TrainSettings
from apical.errors import ApicalError
from apical.label.advice import Known
from apical.label.cache import write_array
from apical.label.lesson import NETWORK, Done, Network, Refusal, School, Tuning, labels_of
from apical.learn.clips import SHOWS_NONE, Clips
from apical.learn.predictions import Predictions
from apical.learn.run import RunFolder
from apical.learn.train import train
from apical.views import NO_VIEW


def run(line: Connection, asked: Tuning) -> None:
    """Train, say how far it is, and last `Network` or `Refusal`."""
    torch.set_num_threads(asked.school.threads)
    with threadpool_limits(asked.school.threads):
        try:
            line.send(tune(asked, lambda done, total: line.send(Done(done, total))))
        except ApicalError as error:
            line.send(Refusal(error.what, error.do))


def tune(asked: Tuning, progress: Callable[[int, int], None]) -> Network:
    """Fine-tune, and keep what the network says of all clips.

    Args:
        asked: labels and steps.
        progress: called with steps done and in all.

    Raises:
        ApicalError: as of `apical.learn.train.train`.
    """
    school, known = asked.school, asked.known
    folder = school.folder / "fine-tune"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        catalogue = folder / "catalogue.parquet"
        write_catalogue(labelled_copy(school, known), catalogue)
        settings = TrainSettings(steps=asked.steps, seed=school.seed)
        out = train(
            school.store,
            catalogue,
            folder / "run",
            settings,
            encoder=school.encoder,
            vocabulary=school.vocabulary,
            progress=progress,
        )
        said = answers_of(out, school.clips)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    file = school.folder / f"{NETWORK}-{known.version}-{time.time_ns()}.npy"
    write_array(file, said)
    return Network(f"{NETWORK} {known.version}", file, labels_of(school.clips, known))


def labelled_copy(school: School, known: Known) -> pl.DataFrame:
    """The catalogue's clips with the labels as they are now; without paths. Clips without a split train."""
    clips = school.clips
    view = {SHOWS_NONE: NO_VIEW} | dict(enumerate(school.vocabulary.names))
    now = pl.DataFrame(
        {
            "clip": clips.clip.tolist(),
            "view": [view.get(label) for label in known.label.tolist()],
            "contrast_agent": [None if agent < 0 else bool(agent) for agent in known.agent.tolist()],
        },
        schema={"clip": pl.String, "view": pl.String, "contrast_agent": pl.Boolean},
    )
    table = read_catalogue(school.catalogue).drop("view", "contrast_agent").join(now, on="clip")
    return table.with_columns(
        path=pl.lit("-"), labelled_by=pl.lit(None, pl.String), split=pl.col("split").fill_null("train")
    )


def answers_of(run: Path, clips: Clips) -> NDArray[np.float32]:
    """What a training run says of clips, (n, k) log-probabilities, given whole exams where it has these."""
    folder = RunFolder(run)
    exams = folder.exam_predictions
    said = Predictions.load(exams if exams.exists() else folder.predictions)
    place = {clip: row for row, clip in enumerate(said.clip.tolist())}
    return said.log_probabilities[[place[clip] for clip in clips.clip.tolist()]]
