"""Whether views labelled without contrast agent alone are named with it too: labelling once, not twice.

Exams of synthetic patients, many of which end with clips with contrast agent. Of four views (`BARE`) the
labels of clips with agent are taken away; those of the others stay. Judged are the clips with agent of those
four views, on test patients, among all clips with agent. Beside it: with the labels of both kinds, which is
twice the effort. Each method from labels alone and on a pre-training, with crops (of both) that do and do not
change dark for bright as agent does (`polarity`). Intervals (95 %) are over patients; label draws and
training seeds go together. Two more rows compare, on the same frozen features, a probe of views (agent has a
head of its own) with one of 26 classes, each view with and without agent.

    OMP_NUM_THREADS=1 python benchmarks/contrast_agent.py --work /tmp/agent
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.catalogue import limit_labels, read_catalogue, write_catalogue
from apical.config import EITHER, NEEDS_ENCODER, AugmentSettings, PretrainSettings, TrainSettings
from apical.judge import metrics
from apical.judge.intervals import bootstrap, difference, patient_confusions, percentile_intervals
from apical.learn.predictions import Predictions
from apical.learn.probe import probe_answers
from many_runs import Job, run_all
from phantom_lab import NETWORK, VIEWS, table, with_interval, with_sign
from study_grounds import phantom

BARE = tuple(view for view in VIEWS if view in ("PLAX", "PSAX-PM", "A2C", "A3C"))
IS_BARE = np.isin(VIEWS, BARE)
POLARITY = {"plain": 0.0, "polarity": 0.3}
METHODS = ("logit-adjusted", "label-propagation", "self-training")
Case = tuple[str, str, bool]  # method, crops, whether labelled twice


def labels(work: Path, twice: bool, patients: int, draw: int) -> Path:
    """A catalogue with labels of so many patients a view; of `BARE` views without agent unless `twice`."""
    path = work / f"labels-{'twice' if twice else 'once'}-{patients}-{draw}.parquet"
    if not path.exists():
        few = limit_labels(read_catalogue(work / "catalogue.parquet"), {}, default=patients, seed=draw)
        hidden = (pl.col("split") == "train") & pl.col("view").is_in(BARE) & pl.col("contrast_agent")
        if not twice:
            few = few.with_columns(view=pl.when(hidden.fill_null(False)).then(None).otherwise(pl.col("view")))
        write_catalogue(few, path)
    return path


def counts(run: Path, agent: set[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Confusions (P, k, k) a test patient on clips with agent, and whether agent was told rightly, a clip."""
    said = Predictions.load(run / "predictions.parquet")
    judged = said.select(said.split == "test")
    with_agent = np.isin(judged.clip, list(agent))
    label = np.where(with_agent, judged.label, -1)
    right = np.zeros(0, bool) if judged.agent is None else (judged.agent > 0.5) == with_agent
    return patient_confusions(label, judged.predicted, judged.patient, len(VIEWS)), right


def probed(run: Path, few: Path, agent: set[str], *, classes: bool) -> NDArray[np.int64]:
    """Confusions as of `counts`, of a probe of views, or of view × agent, on frozen features."""
    said = Predictions.load(run / "predictions.parquet")
    view = dict(read_catalogue(few).select("clip", "view").iter_rows())
    label = np.array([VIEWS.index(view[clip]) if view[clip] else -1 for clip in said.clip])
    teaches, judged = (said.split == "train") & (label >= 0), said.split == "test"
    with_agent = np.isin(said.clip, list(agent))
    answers = probe_answers(
        said.features[teaches],
        label[teaches] + classes * len(VIEWS) * with_agent[teaches],
        said.features[judged],
        views=len(VIEWS) * (1 + classes),
        penalty=TrainSettings().probe_penalty,
        adjustment=1.0,
    )
    named = np.logaddexp.reduce(answers.reshape(len(answers), -1, len(VIEWS)), axis=1).argmax(axis=1)
    truth = np.where(with_agent[judged], said.label[judged], -1)
    return patient_confusions(truth, named, said.patient[judged], len(VIEWS))


def figures(confusion: metrics.Counts) -> metrics.Figures:
    """F1 of each bare view and their mean, (…, 5)."""
    each = metrics.f1(confusion)[..., IS_BARE]
    return np.concatenate([each, metrics.mean_f1(confusion, IS_BARE)[..., None]], axis=-1)


def plan(options: argparse.Namespace) -> tuple[list[Job], dict[Case, list[Job]]]:
    """The pre-trainings, and each method's trainings."""
    work: Path = options.work
    frames, catalogue = work / "frames", work / "catalogue.parquet"
    network = NETWORK.model_copy(update={"stem_stride": 2})
    same = {"encoder": network, "input_size": 64, "learning_rate": 4e-3, "precision": "bf16"}
    crops = {name: AugmentSettings(polarity=share) for name, share in POLARITY.items()}
    pretrainings = [
        Job(
            frames,
            catalogue,
            work / name,
            PretrainSettings(epochs=options.epochs, augment=augment, feeders=0, **same),
        )
        for name, augment in crops.items()
    ]
    cases: dict[Case, list[Job]] = {}
    for method, name, twice in itertools.product(METHODS, POLARITY, (False, True)):
        settings = TrainSettings(method=method, steps=options.steps, augment=crops[name], **same)
        cases[method, name, twice] = [
            Job(
                frames,
                labels(work, twice, options.labelled, draw),
                work / "runs" / f"{method}-{name}-{'twice' if twice else 'once'}-{draw}",
                settings.model_copy(update={"seed": draw}),
                work / name if method in (*NEEDS_ENCODER, *EITHER) else None,
            )
            for draw in range(options.draws)
        ]
    return pretrainings, cases


def report(cases: dict[Case, list[Job]], agent: set[str]) -> list[list[str]]:
    """Rows of figures."""
    rows = [["method", "crops", "labels", *BARE, "mean", "− logit-adjusted, plain, without", "agent told"]]
    reference = None
    for (method, crops, twice), jobs in cases.items():
        found: dict[str, list[NDArray[np.int64]]] = {}
        told = []
        for job in jobs:
            confusion, right = counts(job.out, agent)
            found.setdefault(method, []).append(confusion)
            told.append(right.mean())
            if method == "label-propagation":
                for name, classes in (("probe", False), ("probe of 26 classes", True)):
                    one = probed(job.out, job.catalogue, agent, classes=classes)
                    found.setdefault(name, []).append(one)
        for name, confusions in found.items():
            drawn = bootstrap(np.stack(confusions), figures)
            reference = reference or drawn
            *each, mean = percentile_intervals(drawn)
            gain = percentile_intervals(difference(drawn, reference))[-1]
            rows.append(
                [
                    name,
                    crops,
                    "with and without agent" if twice else "without",
                    *(f"{view.value:.3f}" for view in each),
                    with_interval(mean),
                    with_sign(gain),
                    f"{np.mean(told):.2f}" if name == method else "",
                ]
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for everything; gone on with")
    parser.add_argument("--patients", type=int, default=320)
    parser.add_argument("--seed", type=int, default=607, help="of the phantom")
    parser.add_argument("--contrast", type=float, default=0.6, help="share of exams with agent")
    parser.add_argument("--labelled", type=int, default=20, help="patients a view")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if not (options.work / "frames" / "store.json").exists():
        phantom(options.work, options)
    pretrainings, cases = plan(options)
    run_all(pretrainings, options.workers)
    run_all([job for jobs in cases.values() for job in jobs], options.workers)
    agent = set(read_catalogue(options.work / "catalogue.parquet").filter(pl.col("contrast_agent"))["clip"])
    print(f"F1 on clips with contrast agent of test patients\n{table(report(cases, agent))}")


if __name__ == "__main__":
    main()
