"""What wrong labels among the common views cost with few labels, and whether they are found.

Of the labels of common views of training patients a share is changed to another view, drawn evenly; rare
views keep their few, which are right. Each method learns from them by `apical train` as with right ones;
judged are clips of test patients by their right labels. F1 of rare and of common views with intervals (95 %)
over those patients, and the paired difference to the same method with right labels. Beside it what `apical
labels check` says of the few labels: how many suspects, the share of them that are wrong (precision) and of
the wrong ones that are suspects (recall).

    OMP_NUM_THREADS=1 python benchmarks/label_noise.py FRAMES CATALOGUE --encoder RUN --work /tmp/noise
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.catalogue import limit_labels, read_catalogue, write_catalogue
from apical.config import EITHER, NEEDS_ENCODER, TrainSettings
from apical.demo import RARE
from apical.judge.intervals import bootstrap, difference, patient_confusions, percentile_intervals
from apical.learn.predictions import Predictions
from apical.learn.start import settings_of
from apical.learn.suspects import check_labels
from exam_parts import VIEWS, figures
from many_runs import Job, run_all
from phantom_lab import table, with_interval, with_sign

METHODS = ("logit-adjusted", "label-propagation", "self-training")


def wrong_labels(catalogue: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    """The catalogue with a share of the labels of common views of training patients changed to others."""
    generator = np.random.default_rng(seed)
    view = catalogue["view"].to_numpy().astype(object)
    chosen = generator.random(len(view)) < share
    step = generator.integers(1, len(VIEWS), len(view))
    common = (catalogue["split"] == "train").to_numpy() & np.isin(
        view, [name for name in VIEWS if name not in RARE]
    )
    for row in np.flatnonzero(chosen & common):
        view[row] = VIEWS[(VIEWS.index(view[row]) + step[row]) % len(VIEWS)]
    return catalogue.with_columns(view=pl.Series(view.tolist(), dtype=pl.String))


def make_labels(options: argparse.Namespace, whole: pl.DataFrame, share: float, draw: int) -> list[float]:
    """Write few labels, some of them wrong, and have them checked.

    Returns:
        how many labels common views have, how many are wrong, how many are suspects; precision, recall.
    """
    few = limit_labels(whole, dict.fromkeys(RARE, options.budget), default=options.common, seed=draw)
    noisy = wrong_labels(few, share, seed=draw)
    path = labels_of(options, share, draw)
    write_catalogue(noisy, path)
    wrong = set(noisy.filter(noisy["view"].ne_missing(few["view"]))["clip"])
    found = {one.clip for one in check_labels(options.frames, path, encoder=options.encoder)}
    labels = few.filter((pl.col("split") == "train") & ~pl.col("view").is_in(RARE)).height
    hit = len(found & wrong)
    return [labels, len(wrong), len(found), hit / max(len(found), 1), hit / max(len(wrong), 1)]


def labels_of(options: argparse.Namespace, share: float, draw: int) -> Path:
    return Path(options.work / f"labels-{share}-{draw}.parquet")


def job_of(options: argparse.Namespace, method: str, share: float, draw: int) -> Job:
    """`method` learning from such labels."""
    pretrained = settings_of(options.encoder)
    settings = TrainSettings(
        method=method,
        steps=options.steps,
        seed=draw,
        learning_rate=4e-3,
        precision="bf16",
        encoder=pretrained.encoder,
        input_size=pretrained.input_size,
    )
    start = options.encoder if method in (*NEEDS_ENCODER, *EITHER) else None
    out = options.work / "runs" / f"{method}-{share}-{draw}"
    return Job(options.frames, labels_of(options, share, draw), out, settings, start)


def judged(options: argparse.Namespace, job: Job) -> NDArray[np.int64]:
    """Confusions (P, k, k) of the patients who judge, after that."""
    said = Predictions.load(job.out / "predictions.parquet")
    said = said.select(said.split == options.split)
    return patient_confusions(said.label, said.predicted, said.patient, len(VIEWS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--encoder", type=Path, required=True, help="run folder of a pre-training")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs; gone on with")
    parser.add_argument("--split", default="test", choices=["validation", "test"], help="who judges")
    parser.add_argument("--budget", type=int, default=5, help="patients a rare view")
    parser.add_argument("--common", type=int, default=50, help="patients of every other view")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.05, 0.1, 0.2])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    whole = read_catalogue(options.catalogue)
    rows = [["wrong", "labels of common views", "wrong ones", "suspects", "precision", "recall"]]
    for share in options.shares:
        told = [make_labels(options, whole, share, draw) for draw in range(options.draws)]
        mean = np.mean(told, axis=0)
        quality = [f"{value:.2f}" for value in mean[3:]] if share else ["", ""]
        rows.append([f"{share:.0%}", *(f"{value:.0f}" for value in mean[:3]), *quality])
    print(f"{table(rows)}\n", flush=True)
    draws = range(options.draws)
    jobs = {
        (method, share): [job_of(options, method, share, draw) for draw in draws]
        for method in options.methods
        for share in options.shares
    }
    run_all([job for some in jobs.values() for job in some], options.workers)
    first = f"− with {options.shares[0]:.0%} wrong"
    rows = [["method", "wrong", "rare", "common", f"rare {first}", f"common {first}"]]
    for method in options.methods:
        drawn = [
            bootstrap(np.stack([judged(options, job) for job in jobs[method, share]]), figures)
            for share in options.shares
        ]
        for share, one in zip(options.shares, drawn, strict=True):
            own, gains = percentile_intervals(one), percentile_intervals(difference(one, drawn[0]))
            cells = [*map(with_interval, own)]
            cells += map(with_sign, gains)
            rows.append([method, f"{share:.0%}", *cells])
    print(table(rows), flush=True)


if __name__ == "__main__":
    main()
