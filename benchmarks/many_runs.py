"""Several trainings at a time, each in a process; those that are finished already are not made again."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from apical.config import PretrainSettings, TrainSettings
from apical.learn.pretrain import pretrain
from apical.learn.run import RunFolder
from apical.learn.start import RANDOM
from apical.learn.train import train


@dataclass(frozen=True)
class Job:
    """A training, or a pre-training from random weights (by its settings), and the folder that it makes."""

    frames: Path
    catalogue: Path
    out: Path
    settings: TrainSettings | PretrainSettings
    encoder: Path | None = None


def run_all(jobs: Sequence[Job], workers: int) -> None:
    """Do what is not finished, so many at a time; a line for each."""
    left = [job for job in jobs if not _finished(job)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for job, seconds in zip(left, pool.map(_run, left), strict=True):
            print(f"  {job.out.name}: {seconds:.0f} s", flush=True)


def _finished(job: Job) -> bool:
    run = RunFolder(job.out)
    return (run.encoder if isinstance(job.settings, PretrainSettings) else run.classifier).exists()


def _run(job: Job) -> float:
    began = time.monotonic()
    if isinstance(job.settings, PretrainSettings):
        resume = (job.out / "settings.json").exists()
        pretrain(job.frames, job.catalogue, job.out, job.settings, start=RANDOM, resume=resume)
    else:
        train(job.frames, job.catalogue, job.out, job.settings, encoder=job.encoder)
    return time.monotonic() - began
