"""Seconds of a bootstrap over patients beside a loop over scikit-learn, in one run.

    OMP_NUM_THREADS=1 python benchmarks/bootstrap.py

100,000 clips of 5,000 patients, 13 views, 2,000 draws: the F1 of each view, their mean and accuracy; then
AUROC and average precision of each view against the rest. The rival draws the same patients and calls
`sklearn.metrics.f1_score` on their clips; it is timed on a few draws, and its time for all is that times
the rest. Both must give the same figures.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.metrics import f1_score

from apical.judge import metrics
from apical.judge.intervals import bca_intervals, bootstrap, draw_patients, patient_confusions
from apical.judge.ranking import rank_figures
from apical.learn.predictions import Predictions
from apical.views import standard_vocabulary

VIEWS = standard_vocabulary().names


def made_up(clips: int, patients: int) -> Predictions:
    """Answers that are often right."""
    random = np.random.default_rng(0)
    label = random.integers(len(VIEWS), size=clips)
    logits = 2.0 * np.eye(len(VIEWS))[label] + random.normal(0, 1, (clips, len(VIEWS)))
    return Predictions(
        method="made up",
        seed=0,
        views=VIEWS,
        clip=np.arange(clips).astype(str),
        patient=(np.arange(clips) % patients).astype(str),
        split=np.full(clips, "test"),
        label=label,
        log_probabilities=(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32),
        features=np.zeros((clips, 0), np.float32),
    )


def figures(confusion: metrics.Counts) -> metrics.Figures:
    means = (metrics.macro_f1(confusion)[..., None], metrics.accuracy(confusion)[..., None])
    return np.concatenate([*means, metrics.f1(confusion)], axis=-1)


def compare(clips: int, patients: int, resamples: int, looped: int) -> dict[str, float]:
    """Seconds of `bootstrap` with BCa, of the loop over all draws, of `rank_figures`; the largest gap."""
    answers = made_up(clips, patients)
    code = answers.patient.astype(int)
    began = time.perf_counter()
    table = patient_confusions(answers.label, answers.predicted, answers.patient, len(VIEWS))
    drawn = bootstrap(table[None], figures, resamples=resamples)
    bca_intervals(drawn)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    by_patient = [np.flatnonzero(code == p) for p in range(patients)]
    loop = []
    for times in next(draw_patients(patients, looped, 0)):
        rows = np.concatenate([np.tile(by_patient[p], int(times[p])) for p in np.flatnonzero(times)])
        loop.append(f1_score(answers.label[rows], answers.predicted[rows], average=None))
    theirs = (time.perf_counter() - began) * resamples / looped
    began = time.perf_counter()
    rank_figures([answers], resamples=resamples)
    ranking = time.perf_counter() - began
    gap = float(np.abs(drawn.samples[:looped, 2:] - np.array(loop)).max())
    return {"bootstrap": ours, "loop over scikit-learn": theirs, "ranking figures": ranking, "gap": gap}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--patients", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()
    found = compare(options.clips, options.patients, options.resamples, looped=10)
    for name in ("bootstrap", "loop over scikit-learn", "ranking figures"):
        print(f"{name:24} {found[name]:8.1f} s")
    ratio = found["loop over scikit-learn"] / found["bootstrap"]
    print(f"ratio {ratio:.0f}; largest difference of a figure {found['gap']:.1g}")


if __name__ == "__main__":
    main()
