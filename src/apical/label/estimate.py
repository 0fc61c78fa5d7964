"""How well the views are known, and which of them need help: from the labels alone, by cross-validation.

Answers are cross-fitted (`apical.learn.suspects.cross_fitted`): each label is judged by who does not know the
labels of its patient. Two things bend the figures. The labels were chosen, not drawn: unsure and unusual
clips are over-represented among them, and views do not stand in their true shares. And who judges knows four
labels in five. Both make the estimate too low once unsure clips are chosen; what it was on a phantom beside
the truth is in docs/labelling.md. A view with labels of fewer than two patients is not in the mean, which
makes it too high while there are such views.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apical.judge.intervals import Interval, bootstrap, expanded_intervals, patient_confusions
from apical.judge.metrics import Counts, Figures, f1, mean_f1
from apical.label.advice import Estimate, Help, Rows, ViewFigures

TWO = 2  # patients that make a view judgeable
FEWEST = 5  # patients that make an interval: of fewer it covers far less often than it says
RESAMPLES = 1000
ENOUGH_PATIENTS = 5
STEP = 3  # patients asked for where a view has enough and is not known well
NAMED = 3  # views that are named as in need of help


def estimate(
    answers: NDArray[np.float64], label: Rows, patient: Rows, names: tuple[str, ...], seed: int = 0
) -> Estimate:
    """F1 of each view and their mean, with 95 % intervals over patients.

    Args:
        answers: (n, k) cross-fitted log-probabilities; -inf for views that could not be answered.
        label: (n,) views, or below 0: no part.
        patient: (n,) codes.
        names: k views.
        seed: fixes the draws of patients.

    Returns:
        figures; without limits where fewer than `FEWEST` patients make them.
    """
    labelled = label >= 0
    answers, label, patient = answers[labelled], label[labelled], patient[labelled]
    views = len(names)
    clips = np.bincount(label, minlength=views)
    patients = np.bincount(np.unique(np.stack([label, patient]), axis=1)[0], minlength=views)
    known = patients >= TWO
    judged = known[label] & (answers[np.arange(len(label)), label] > -np.inf)
    intervals: list[Interval | None] = [None] * (views + 1)
    if judged.any():
        tables = patient_confusions(label[judged], answers[judged].argmax(axis=1), patient[judged], views)

        def figures(confusion: Counts) -> Figures:
            return np.concatenate([f1(confusion), mean_f1(confusion, known)[..., None]], axis=-1)

        found = expanded_intervals(bootstrap(tables[None], figures, resamples=RESAMPLES, seed=seed))
        intervals = [None if np.isnan(one.value) else one for one in found]
    of_views = [
        ViewFigures(name, int(patients[view]), int(clips[view]), *_limits(intervals[view], patients[view]))
        for view, name in enumerate(names)
    ]
    judgeable = sum(one.f1 is not None for one in of_views)
    everybody = len(np.unique(patient[judged]))
    macro = _limits(intervals[-1] if judgeable >= TWO else None, everybody)
    return Estimate(of_views, *macro, labels=int(labelled.sum()))


def _limits(interval: Interval | None, patients: int) -> tuple[float | None, float | None, float | None]:
    if interval is None:
        return None, None, None
    limits = (interval.low, interval.high) if patients >= FEWEST else (np.nan, np.nan)
    low, high = (None if np.isnan(one) else float(one) for one in limits)
    return float(interval.value), low, high


def most_help(found: Estimate) -> list[Help]:
    """Views of which further patients would help most, and of how many, the neediest first.

    Those with the lowest F1, of equals those with labels in the fewest patients; a view that one patient has
    cannot be judged, and counts as 0. So many as are missing to `ENOUGH_PATIENTS`, or `STEP` more. Views
    without any label come last: nobody knows that there are any. Of six rules this one named the views that
    helped most on a phantom's validation patients; on its test patients they did not help more than others.
    """
    ordered = sorted(found.views, key=lambda one: (one.patients == 0, one.f1 or 0.0, one.patients))[:NAMED]
    return [Help(one.view, max(ENOUGH_PATIENTS - one.patients, STEP)) for one in ordered]
