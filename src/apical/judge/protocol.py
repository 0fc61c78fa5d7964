"""The paper's protocol: methods × label budgets × label draws × pre-training seeds, run cell by cell.

After Chartsias et al. (ASMUS at MICCAI 2021, arXiv 2108.03124): labels of some views are made few, and a
classifier after contrastive pre-training is compared with the same network trained from scratch.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from apical.catalogue import limit_labels, read_catalogue, write_catalogue
from apical.config import StudySettings
from apical.errors import CannotDo
from apical.files import cannot_write
from apical.ingest.parallel import ordered_map
from apical.judge.cells import Cell, Made, check_catalogue, finished, labels_hash, limited, plan_cells
from apical.judge.jobs import Pretraining, Training, make_cell, make_encoder, pretrained, threads_each
from apical.judge.study_report import Study, judge_study
from apical.learn.clips import load_clips
from apical.learn.run import RunFolder
from apical.learn.start import RANDOM, SHIPPED, describe, load_encoder
from apical.views import Vocabulary, standard_vocabulary

log = logging.getLogger(__name__)
NO_LABELS = Path("labels", "none.parquet")  # the catalogue that pre-training sees


def run_study(
    settings: StudySettings,
    store: Path,
    catalogue: Path,
    out: Path,
    *,
    workers: int = 1,
    report_only: bool = False,
    vocabulary: Vocabulary | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] = log.info,
) -> Study:
    """Pre-train, train every cell that is not done yet, and judge all that are done.

    It may be stopped at any point, also killed: the same call goes on, and only the running cells are lost. A
    cell that fails becomes a problem, and the others go on; the next call tries it again.

    Args:
        settings: what to compare.
        store: folder of a frame store.
        catalogue: with splits by patient and all labels; those beyond a budget are hidden from its cells.
        out: a folder for everything: ``pretrain-SEED``, ``labels``, ``cells``, ``study.json``, ``study.md``
            and ``curves.png``.
        workers: processes, which share the cores; 1 runs here; 0 is one per core.
        report_only: judge what is done, and train nothing.
        vocabulary: the views; the standard ones by default.
        progress: called with how many cells this call has made, and how many it has to.
        tell: is given what happens, in words.

    Returns:
        the figures, and what went wrong.

    Raises:
        CannotDo: splits or labels that the study needs are missing, a finished cell or pre-training was made
            with other settings or clips, another study runs in the folder, pre-training was told to stop,
            no cell is done, or inputs cannot be read.
        PatientOverlap: a patient stands in two splits.
        WrongCall: the catalogue has a label that the vocabulary does not know.
    """
    plan = make_plan(settings, store, catalogue, out, vocabulary or standard_vocabulary())
    with alone_in(out):
        plan.done()
        problems: list[str] = []
        if not report_only:
            workers = workers or os.cpu_count() or 1
            problems += pretrain_all(plan, workers, tell)
            problems += train_all(plan, workers, progress or (lambda done, total: None), tell)
        return judge_study(settings, plan.cells, plan.done(), out, problems)


@dataclass(frozen=True)
class Plan:
    """A study that can be made: its inputs have been read and fit.

    Attributes:
        settings: what to compare.
        store: folder of the frame store.
        out: folder of the study.
        vocabulary: the views.
        table: the catalogue.
        fingerprint: of its clips, see `Clips.fingerprint`.
        cells: in the order in which they run.
        labels: hash of the labels in each catalogue that cells learn from, by its place in the folder.
    """

    settings: StudySettings
    store: Path
    out: Path
    vocabulary: Vocabulary
    table: pl.DataFrame
    fingerprint: str
    cells: tuple[Cell, ...]
    labels: dict[Path, str]

    def encoder(self, cell: Cell) -> Path | None:
        """What the encoder of a cell begins with, as `train` takes it."""
        start = self.settings.methods[cell.method].start
        if start == "pretrained" and cell.pretraining is not None:
            encoders = self.settings.encoders
            return encoders[cell.pretraining] if encoders else self.pretraining(cell.pretraining)
        return {"shipped": SHIPPED, "random": RANDOM}.get(str(start))

    def pretraining(self, seed: int) -> Path:
        """The run folder of a pre-training of the study."""
        return self.out / f"pretrain-{seed}"

    def made(self) -> dict[Cell, Made]:
        """From what each cell is made, as far as its encoder is there."""
        encoders = {cell: self.encoder(cell) for cell in self.cells}
        starts = {encoder: _facts_of(encoder) for encoder in set(encoders.values())}
        return {
            cell: Made(
                clips=self.fingerprint,
                labels=self.labels[cell.labels],
                views=self.vocabulary.names,
                start=starts[encoders[cell]],
                settings=self.settings.training(cell.method, cell.seed),
            )
            for cell in self.cells
        }

    def done(self) -> dict[Cell, dict[str, Any]]:
        """What is known of each finished cell; see `finished` for the errors."""
        return finished(self.out, self.cells, self.made())


def make_plan(
    settings: StudySettings, store: Path, catalogue: Path, out: Path, vocabulary: Vocabulary
) -> Plan:
    """Read the inputs of a study and check that they fit; see `run_study` for the errors. Writes nothing."""
    table = read_catalogue(catalogue)
    check_catalogue(table, settings)
    for encoder in settings.encoders:
        load_encoder(encoder)
    cells = plan_cells(settings)
    one_each = {cell.labels: cell for cell in cells}
    return Plan(
        settings=settings,
        store=store,
        out=out,
        vocabulary=vocabulary,
        table=table,
        fingerprint=load_clips(store, catalogue, vocabulary).fingerprint(),
        cells=cells,
        labels={name: labels_hash(limited(table, settings, cell)) for name, cell in one_each.items()},
    )


def pretrain_all(plan: Plan, workers: int, tell: Callable[[str], None]) -> list[str]:
    """Make every pre-training that a cell to be made starts from; gives what went wrong.

    Raises:
        CannotDo: a finished one was made with other settings or clips, or one was told to stop.
    """
    settings = plan.settings
    if settings.pretrain is None:
        return []
    write_catalogue(limit_labels(_without_paths(plan.table), {}, default=0), plan.out / NO_LABELS)
    jobs = [
        Pretraining(
            seed=seed,
            store=plan.store,
            catalogue=plan.out / NO_LABELS,
            out=plan.pretraining(seed),
            settings=settings.pretraining(seed),
            start=SHIPPED if settings.pretraining_start == "shipped" else RANDOM,
            vocabulary=plan.vocabulary,
            threads=threads_each(workers),
        )
        for seed in settings.pretrainings
    ]
    for job in jobs:
        if RunFolder(job.out).encoder.exists():
            pretrained(job)
    wanted = {cell.pretraining for cell in set(plan.cells) - set(plan.done())}
    jobs = [job for job in jobs if job.seed in wanted and not RunFolder(job.out).encoder.exists()]
    if jobs:
        tell(f"{len(jobs)} pre-training{'s' * (len(jobs) > 1)} to make")
    problems = []
    for job, problem in zip(jobs, ordered_map(make_encoder, jobs, workers, _crashed), strict=True):
        if problem and problem.startswith("stopped by"):
            raise CannotDo("the pre-training was stopped; all is saved", "go on with the same call")
        if problem:
            problems.append(f"pre-training {job.seed}: {problem}")
    return problems


def train_all(
    plan: Plan, workers: int, progress: Callable[[int, int], None], tell: Callable[[str], None]
) -> list[str]:
    """Make every cell that is not done and whose encoder is there; gives what went wrong."""
    made, done = plan.made(), plan.done()
    if done:
        tell(f"{len(done)} of {len(plan.cells)} cells are done already")
    cells = [cell for cell in plan.cells if cell not in done and made[cell].start != {}]
    for name, cell in {cell.labels: cell for cell in cells}.items():
        write_catalogue(_without_paths(limited(plan.table, plan.settings, cell)), plan.out / name)
    jobs = [
        Training(
            cell=cell,
            made=made[cell],
            store=plan.store,
            catalogue=plan.out / cell.labels,
            out=plan.out / cell.folder,
            encoder=plan.encoder(cell),
            vocabulary=plan.vocabulary,
            threads=threads_each(workers),
        )
        for cell in cells
    ]
    problems = []
    for count, problem in enumerate(ordered_map(make_cell, jobs, workers, _crashed)):
        if problem:
            problems.append(f"{cells[count]}: {problem}")
        progress(count + 1, len(cells))
    return problems


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder of a study for this process; the system lets go of it when the process ends.

    Raises:
        CannotDo: another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise cannot_write(folder, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotDo(
                f"another study runs in '{folder.name}'", "wait for it, or choose another --out"
            ) from None
        yield


def _facts_of(encoder: Path | None) -> dict[str, str] | None:
    """See `Made.start`."""
    if encoder is None:
        return None
    if encoder == RANDOM:
        return {"from": RANDOM.name}
    return describe(encoder) if encoder == SHIPPED or RunFolder(encoder).encoder.exists() else {}


def _without_paths(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.lit("").alias("path"))


def _crashed(job: Pretraining | Training, why: str) -> str:
    return "its process ended before it; there may be too little memory for so many workers"
