"""The work of a study for one process to do: a cell, or a pre-training."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from apical.config import PretrainSettings
from apical.errors import ApicalError
from apical.files import write_atomically
from apical.judge.cells import CELL, Cell, Made, read_cell
from apical.judge.cost import measured
from apical.learn.pretrain import pretrain
from apical.learn.train import train
from apical.views import Vocabulary


@dataclass(frozen=True)
class Pretraining:
    """A pre-training to make, or to go on with; see `pretrain` for all but the number of `threads`."""

    seed: int
    store: Path
    catalogue: Path
    out: Path
    settings: PretrainSettings
    start: Path
    vocabulary: Vocabulary
    threads: int


@dataclass(frozen=True)
class Training:
    """A cell to make; see `train` for all but `cell`, what it is `made` from, and the number of `threads`."""

    cell: Cell
    made: Made
    store: Path
    catalogue: Path
    out: Path
    encoder: Path | None
    vocabulary: Vocabulary
    threads: int


def pretrained(job: Pretraining) -> None:
    """Pre-train, or go on where it was stopped; a finished one is compared with what is asked for alone."""
    pretrain(
        job.store,
        job.catalogue,
        job.out,
        job.settings,
        vocabulary=job.vocabulary,
        start=job.start,
        resume=True,
        tell=lambda line: None,
    )


def make_encoder(job: Pretraining) -> str | None:
    """`pretrained`, with the job's threads; gives what went wrong."""
    return _problem_of(lambda: pretrained(job), job.threads)


def make_cell(job: Training) -> str | None:
    """Train a cell from its beginning; gives what went wrong.

    ``cell.json`` is written last: which cell it is, from what it was made, and what it took.
    """
    if read_cell(job.out) is not None:
        return None  # its process was ended for another's sake, when it was done

    def work() -> None:
        if job.out.exists():
            shutil.rmtree(job.out)  # stopped half-way
        with measured() as cost:
            train(
                job.store,
                job.catalogue,
                job.out,
                job.made.settings,
                encoder=job.encoder,
                vocabulary=job.vocabulary,
            )
        cost["threads"] = job.threads
        facts = {"cell": asdict(job.cell), "made": job.made.facts(), "cost": cost}
        write_atomically(job.out / CELL, (json.dumps(facts, indent=2) + "\n").encode())

    return _problem_of(work, job.threads)


def threads_each(workers: int) -> int:
    """Threads for each of so many processes that share the cores; no more than this process was given."""
    return max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // workers))


def _problem_of(work: Callable[[], None], threads: int) -> str | None:
    """Do the work with so many threads; gives what went wrong in words, without what others wrote."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        work()
    except ApicalError as error:
        return str(error)
    except Exception as error:  # one cell's failure is not another's
        return f"it failed ({type(error).__name__})"
    finally:
        torch.set_num_threads(before)
    return None
