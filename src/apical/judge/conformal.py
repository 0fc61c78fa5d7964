"""Sets of views that hold the true one with a promised probability: split conformal prediction.

A view's score says how badly it fits a clip; a view is in the set if its score is at most a threshold, which
is a quantile of the true views' scores on validation patients. Scores, from probabilities p:

- ``lac``: 1 - p (Sadinle, Lei & Wasserman, JASA 2019, arXiv 1609.00451): the smallest sets on average;
- ``aps``: the probability of all views that are more probable (Romano, Sesia & Candès 2020, arXiv
  2006.02544);
- ``raps``: the same + 0.1 for each view more probable, which keeps sets small (Angelopoulos et al. 2021,
  arXiv 2009.14193, with λ = 0.1 and k_reg = 1 for everybody, so nothing is tuned).

Answers must not be drawn by lot, so `aps` and `raps` are without the random part: theirs is u·p of the view
itself with u uniform in 0 … 1, and here u = 0, in calibration as in sets. Any fixed score keeps the promise;
the conservative variant (calibrate with u = 1, sets with u = 0) has the same sets with a higher threshold,
thus larger ones. The likeliest view is always in the set: with `aps` and `raps` by itself, with `lac` it is
added. So no set is empty, and coverage can only rise. To refuse a clip is for `apical.judge.unknown` and
`apical.judge.selective`.

**The promise.** Clips of one patient are not exchangeable, patients are. So every patient weighs 1 and each
of their n clips 1/n, and a weight of 1 stands at infinity for the new patient (hierarchical conformal
prediction: Lee, Barber & Willett 2023, arXiv 2306.06342; Dunn, Wasserman & Ramdas 2022, arXiv 1809.07441). If
P validation patients and a new one are exchangeable, with their clips, then a clip drawn evenly from those of
the new patient has its true view in the set with probability ≥ 1 - α, over patients, clips and calibrations.
Why: with the new patient's clips at their place the quantile is that of all P + 1, of whom the new one is as
likely to be any, and to move their weight to infinity only raises it (so coverage may lie above by about 1 /
(P + 1), where single draws of one clip a patient, which keep the same promise, differ from draw to draw).
Nothing is asked of clips within a patient: neither independence nor equal numbers. `per_view` (Mondrian) does
this for each view over the patients who have it: the promise is then for a clip of that view, drawn evenly
from those of a new patient who has some.

It is not a promise for other hospitals or machines, nor for this calibration (that varies with few
patients), nor for each kind of patient, nor for clips of views that were never taught, which are in no set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo
from apical.judge.intervals import Interval, bootstrap, expanded_intervals, patient_sums
from apical.judge.metrics import Counts, Figures
from apical.learn.clips import codes

Score = Literal["lac", "aps", "raps"]

_PENALTY = 0.1  # of raps, for each view that is more probable
_NEVER = -1.0  # a threshold below all scores


@dataclass(frozen=True)
class Conformal:
    """Which scores are low enough.

    Attributes:
        score: how views are scored.
        threshold: of all views together; the highest score there is if the patients are not `enough`.
        patients: P, how many it was calibrated on.
        enough: False if those are too few for the error rate, so that every taught view is in every set.
        thresholds: (k,) to be used: `threshold`, or with `per_view` a view's own; -1 for views never taught.
        view_patients: (k,) how many patients have a labelled clip of each view.
        promised: (k,) views for which their own clips' coverage is promised; none without `per_view`. With
            it, a taught view with too few patients takes `threshold`, and then no view's is below that, so
            that coverage over all clips is promised too. To put it in every set would keep the
            promise by saying nothing, in every clip's answer; that it is not promised can be said once.
    """

    score: Score
    threshold: float
    patients: int
    enough: bool
    thresholds: tuple[float, ...]
    view_patients: tuple[int, ...]
    promised: tuple[bool, ...]

    def sets(self, probabilities: NDArray[Any]) -> NDArray[np.bool_]:
        """(n, k): which views are in each clip's set, for probabilities (n, k)."""
        return prediction_sets(probabilities, np.array(self.thresholds), self.score)


def scores(probabilities: NDArray[Any], score: Score) -> NDArray[np.float64]:
    """(n, k) float64: the score of each view for each clip; equally probable ones score the same."""
    p = probabilities.astype(np.float64)
    if score == "lac":
        return np.asarray(1 - p)
    more = p[:, None, :] > p[:, :, None]  # [clip, view, other]: the other view is more probable
    before = np.minimum(np.einsum("nij,nj->ni", more, p), 1)
    return np.asarray(before + _PENALTY * more.sum(axis=2) if score == "raps" else before)


def fit_conformal(
    probabilities: NDArray[Any],
    label: NDArray[np.int64],
    patient: NDArray[Any],
    *,
    error_rate: float = 0.1,
    score: Score = "lac",
    per_view: bool = False,
) -> Conformal:
    """The 1 - α quantile of the true views' scores, where every patient weighs the same.

    Args:
        probabilities: (n, k) in 0 … 1, of clips that neither trained nor test the classifier; exactly 0 for
            all clips where a view was not taught.
        label: (n,) true views as indices; clips with -1 are left out.
        patient: (n,) pseudonyms.
        error_rate: α, the share of new clips whose set may miss the true view.
        score: ``lac``, ``aps`` or ``raps``.
        per_view: whether each view gets a threshold of its own.

    Raises:
        CannotDo: no clip has a label.
    """
    known = label >= 0
    if not known.any():
        raise CannotDo("no labelled clip to calibrate on", "label some clips of validation patients")
    k = probabilities.shape[1]
    view, who = label[known], codes(patient[known])
    of_truth = scores(probabilities[known], score)[np.arange(len(view)), view]
    all_in = 1 + (_PENALTY * k if score == "raps" else 0)
    common = weighted_threshold(of_truth, who, error_rate)
    threshold = all_in if common is None else common
    own = [weighted_threshold(of_truth[view == c], who[view == c], error_rate) for c in range(k)]
    taught = probabilities.max(axis=0) > 0
    all_own = all(each is not None for each, is_taught in zip(own, taught, strict=True) if is_taught)
    if not per_view:
        used = [threshold] * k
    elif all_own:
        used = [threshold if each is None else each for each in own]
    else:  # no set is smaller than with the common threshold, whose promise over all clips then holds too
        used = [threshold if each is None else max(each, threshold) for each in own]
    return Conformal(
        score=score,
        threshold=threshold,
        patients=len(np.unique(who)),
        enough=common is not None,
        thresholds=tuple(each if is_taught else _NEVER for each, is_taught in zip(used, taught, strict=True)),
        view_patients=tuple(len(np.unique(who[view == c])) for c in range(k)),
        promised=tuple(
            bool(per_view and each is not None and is_taught)
            for each, is_taught in zip(own, taught, strict=True)
        ),
    )


def weighted_threshold(
    of_truth: NDArray[np.float64], patient: NDArray[Any], error_rate: float
) -> float | None:
    """The least score at or below which 1 - α of all weight lies: 1/n for each of a patient's n clips, and 1
    at infinity.

    None where the P patients are too few, that is (P + 1) (1 - α) > P.
    """
    _, row, clips = np.unique(patient, return_inverse=True, return_counts=True)
    order = np.argsort(of_truth, kind="stable")
    reached = np.cumsum(1 / clips[row[order]]) >= (len(clips) + 1) * (1 - error_rate) - 1e-9
    return float(of_truth[order[reached.argmax()]]) if reached.any() else None


def prediction_sets(
    probabilities: NDArray[Any], threshold: float | NDArray[np.float64], score: Score = "lac"
) -> NDArray[np.bool_]:
    """(n, k): each clip's set: the views that score at most `threshold`, and the likeliest one.

    Args:
        probabilities: (n, k) in 0 … 1.
        threshold: one for all views, or (k,).
        score: by which the threshold was found.
    """
    inside = scores(probabilities, score) <= threshold
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return np.asarray(inside)


@dataclass(frozen=True)
class SetFigures:
    """How sets did on judged clips; every patient weighs the same, as in the promise.

    Attributes:
        coverage: share of clips whose set holds the true view.
        size: mean number of views in a set.
        view_coverage: (k,) coverage of each view's clips, over the patients who have some; NaN without.
        view_size: (k,) mean number of views in the sets of each view's clips.
    """

    coverage: Interval
    size: Interval
    view_coverage: tuple[Interval, ...]
    view_size: tuple[Interval, ...]


def set_figures(
    sets: NDArray[np.bool_],
    label: NDArray[np.int64],
    patient: NDArray[Any],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> SetFigures:
    """Coverage and size, averaged over s training seeds, with intervals over patients.

    Args:
        sets: (s, n, k) of the same n clips.
        label: (s, n) true views as indices; clips with -1 are left out.
        patient: (n,) pseudonyms.
        resamples: number of draws of patients.
        seed: fixes the draws.
        level: confidence of the intervals.
    """
    k = sets.shape[2]
    tables = np.stack([_patient_means(*each, patient) for each in zip(sets, label, strict=True)])
    drawn = bootstrap(tables, _means, resamples=resamples, seed=seed)
    intervals = expanded_intervals(drawn, level)
    coverage, size = intervals[: k + 1], intervals[k + 1 :]
    return SetFigures(coverage[0], size[0], tuple(coverage[1:]), tuple(size[1:]))


def _patient_means(
    sets: NDArray[np.bool_], label: NDArray[np.int64], patient: NDArray[Any]
) -> NDArray[np.float64]:
    """(P, 1 + k, 3): mean coverage and size of a patient's clips, then of each view's; 1, or 0 without."""
    n, k = sets.shape
    known = label >= 0
    counted = np.zeros((n, 1 + k), bool)
    counted[:, 0] = known
    counted[known, 1 + label[known]] = True
    covered = sets[np.arange(n), np.maximum(label, 0)]
    values = np.stack([covered, sets.sum(1), np.ones(n)], axis=1)
    sums = patient_sums(counted[:, :, None] * values[:, None, :], patient)
    return np.asarray(sums / np.maximum(sums[..., 2:], 1))


def _means(tables: Counts) -> Figures:
    """(…, 1 + k, 3) → (…, 2 (1 + k)): coverages, then sizes."""
    patients = tables[..., 2]
    of = [
        np.divide(tables[..., i], patients, out=np.full(patients.shape, np.nan), where=patients > 0)
        for i in (0, 1)
    ]
    return np.concatenate(of, axis=-1)
