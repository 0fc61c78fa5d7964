"""Whether views labelled without contrast agent alone are named with it too: labelling once, not twice.

Exams of synthetic patients, many of which end with clips with contrast agent. Of four views (`BARE`) the
labels of clips with agent are taken away; those of the others stay. Judged are the clips with agent of those
four views, on test patients, among all clips with agent. Beside it: with the labels of both kinds, which is
twice the effort. Each method with and without, from labels alone and on pre-trainings whose crops do and do
not change dark for bright as agent does (`polarity`). Intervals (95 %) are over patients; label draws and
training seeds go together.

    OMP_NUM_THREADS=1 python benchmarks/contrast_agent.py --work /tmp/agent
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.catalogue import limit_labels, read_catalogue, write_catalogue
from apical.config import AugmentSettings, PretrainSettings, TrainSettings
from apical.judge import metrics
from apical.judge.intervals import bootstrap, difference, patient_confusions, percentile_intervals
from apical.learn.predictions import Predictions
from apical.learn.pretrain import pretrain
from apical.learn.start import RANDOM
from apical.learn.train import train
from phantom_lab import NETWORK, VIEWS, table
from study_grounds import phantom

BARE = tuple(view for view in VIEWS if view in ("PLAX", "PSAX-PM", "A2C", "A3C"))
IS_BARE = np.isin(VIEWS, BARE)
POLARITY = {"plain": 0.0, "polarity": 0.3}
LABELS_ONLY, SEMI = ("naive", "logit-adjusted"), ("label-propagation", "self-training")


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
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "frames" / "store.json").exists():
        phantom(work, options)
    network = {"encoder": NETWORK.model_copy(update={"stem_stride": 2}), "input_size": 64}
    same = {"learning_rate": 4e-3, "precision": "bf16", **network}
    for name, share in POLARITY.items():
        augment = AugmentSettings(polarity=share)
        settings = PretrainSettings(epochs=options.epochs, augment=augment, feeders=0, **same)
        resume = (work / name / "settings.json").exists()
        pretrain(
            work / "frames", work / "catalogue.parquet", work / name, settings, start=RANDOM, resume=resume
        )
    begins = [(method, "") for method in LABELS_ONLY] + list(itertools.product(SEMI, POLARITY))
    whole = read_catalogue(work / "catalogue.parquet")
    agent = set(whole.filter(pl.col("contrast_agent"))["clip"])
    rows = [["method", "pre-training", "labels", *BARE, "mean", "− logit-adjusted, once", "agent told"]]
    drawn, reference = {}, None
    for (method, begin), twice in itertools.product(begins, (False, True)):
        found, told = [], []
        for draw in range(options.draws):
            run = work / "runs" / f"{method}-{begin or 'none'}-{'twice' if twice else 'once'}-{draw}"
            if not (run / "predictions.parquet").exists():
                began = time.monotonic()
                settings = TrainSettings(method=method, steps=options.steps, seed=draw, **same)
                few = labels(work, twice, options.labelled, draw)
                train(work / "frames", few, run, settings, encoder=work / begin if begin else None)
                print(f"  {run.name}: {time.monotonic() - began:.0f} s", flush=True)
            confusion, right = counts(run, agent)
            found.append(confusion)
            told.append(right.mean())

        def figures(confusion: metrics.Counts) -> metrics.Figures:
            each = metrics.f1(confusion)[..., IS_BARE]
            return np.concatenate([each, metrics.mean_f1(confusion, IS_BARE)[..., None]], axis=-1)

        drawn[method, begin, twice] = bootstrap(np.stack(found), figures)
        if (method, twice) == ("logit-adjusted", False):
            reference = drawn[method, begin, twice]
        intervals = percentile_intervals(drawn[method, begin, twice])
        gain = ""
        if reference is not None:
            one = percentile_intervals(difference(drawn[method, begin, twice], reference))[-1]
            gain = f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
        mean = intervals[-1]
        cells = [f"{one.value:.3f}" for one in intervals[:-1]]
        cells += [f"{mean.value:.3f} ({mean.low:.3f}–{mean.high:.3f})", gain, f"{np.mean(told):.2f}"]
        rows.append([method, begin, "with and without agent" if twice else "without", *cells])
    print(f"F1 on clips with contrast agent of test patients\n{table(rows)}")


if __name__ == "__main__":
    main()
