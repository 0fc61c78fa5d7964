"""Which sets of views to make: three scores, with one threshold or one a view, on finished runs.

    OMP_NUM_THREADS=1 python benchmarks/conformal.py RUN RUN… --split validation
    OMP_NUM_THREADS=1 python benchmarks/conformal.py RUN RUN… --split test

With `--split validation`, on which a choice may rest, sets for one half of the validation patients come from
the other half, and the other way round. With `--split test` they come from all validation patients. 90 % is
wanted. Means over runs; "worst view" is the mean over runs of the least covered view's share.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from apical.judge.calibration import choose_scaling
from apical.judge.conformal import Score, fit_conformal, set_figures
from apical.judge.probabilities import of_taught_views
from apical.learn.clips import codes
from apical.learn.predictions import Predictions


def halves(clips: Predictions) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Masks (n,) of the clips to fit on and of those to judge."""
    first = codes(clips.patient) % 2 == 0
    yield first, ~first
    yield ~first, first


def judged(run: Predictions, split: str, score: Score, per_view: bool) -> tuple[float, float, float]:
    """Coverage, coverage of the worst view, mean number of views in a set."""
    held_out = of_taught_views(run, "validation")
    clips = held_out if split == "validation" else of_taught_views(run, split)
    inside = np.zeros(clips.log_probabilities.shape, bool)
    whole = np.ones(len(held_out), bool), np.ones(len(clips), bool)
    for fit, use in halves(held_out) if split == "validation" else [whole]:
        label, patient = held_out.label[fit], held_out.patient[fit]
        scaling, _ = choose_scaling(held_out.log_probabilities[fit], label, patient)
        known = np.exp(scaling(held_out.log_probabilities[fit]))
        conformal = fit_conformal(known, label, patient, score=score, per_view=per_view)
        inside[use] = conformal.sets(np.exp(scaling(clips.log_probabilities[use])))
    figures = set_figures(inside[None], clips.label[None], clips.patient, resamples=100)
    worst = min(view.value for view in figures.view_coverage if not np.isnan(view.value))
    return figures.coverage.value, worst, figures.size.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of trainings")
    parser.add_argument("--split", choices=["validation", "test"], required=True)
    options = parser.parse_args()
    runs = [Predictions.load(folder / "predictions.parquet") for folder in options.runs]
    print("| score | thresholds | coverage | worst view | views in a set |\n|---|---|---|---|---|")
    for score in get_args(Score):
        for per_view in (False, True):
            found = np.mean([judged(run, options.split, score, per_view) for run in runs], axis=0)
            cells = f"{found[0]:.3f} | {found[1]:.3f} | {found[2]:.2f}"
            print(f"| {score} | {'one a view' if per_view else 'one'} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
