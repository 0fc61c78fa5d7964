"""Clips that show none of the views the classifier was taught: a score, a threshold, and how well it works.

The score is the squared Mahalanobis distance of a clip's features, scaled to length 1, to the nearest mean of
a taught view. It was chosen on validation patients of the phantom among all scores of
`apical.judge.unknown_scores` and their combinations (docs/benchmarks.md): no other single score let fewer
unknown clips pass, and no combination clearly fewer. It needs means, one matrix and a threshold.

Limits: a view that resembles a taught one scores low, and a sweep from one taught view to the next even lower
than a clip of either: of features only the mean over frames is seen. A view with a handful of labelled clips
has an uncertain mean, so its own clips score high and are refused more often. The threshold fixes how many
clips of taught views are refused on patients like the held-out ones; it says nothing about how many unknown
clips are caught, which only labelled unknown clips can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo
from apical.judge.intervals import Bootstrap, draw_patients
from apical.judge.metrics import Figures
from apical.judge.ranking import auroc_and_precision
from apical.judge.unknown_scores import Gaussians, Scores, directions, fit_gaussians, mahalanobis
from apical.learn.clips import codes

ACCEPTED = 0.95  # of the clips of taught views, where `fpr_at` looks

_CHUNK_VALUES = 4_000_000  # doubles in the largest temporary array: 32 MB


@dataclass(frozen=True)
class UnknownDetector:
    """Means of views, shared precision, and the score above which a clip is unknown.

    Attributes:
        means: (c, d) float64, of the `directions` of the c views that had labelled clips.
        precision: (d, d) float64, inverse of the shrunk covariance.
        threshold: in units of `score`.
    """

    means: NDArray[np.float64]
    precision: NDArray[np.float64]
    threshold: float

    def score(self, features: NDArray[Any]) -> Scores:
        """(n,) float64: squared Mahalanobis distance to the nearest view's mean, for features (n, d)."""
        return mahalanobis(directions(features), self._gaussians)

    @cached_property
    def _gaussians(self) -> Gaussians:
        return Gaussians(self.means, self.precision)

    def unknown(self, features: NDArray[Any]) -> NDArray[np.bool_]:
        """(n,): which clips score above the threshold, for features (n, d)."""
        return self.score(features) > self.threshold


def fit_unknown(
    features: NDArray[Any],
    label: NDArray[np.int64],
    held_out: NDArray[Any],
    *,
    refused: float = 0.05,
) -> UnknownDetector:
    """Means and covariance from labelled training clips; the threshold from held-out clips of taught views.

    Args:
        features: (n, d) floating, of training clips.
        label: (n,) their views as indices; clips with -1 are left out.
        held_out: (m, d) floating, clips of taught views from validation patients.
        refused: share of the held-out clips that may be called unknown.

    Raises:
        CannotDo: fewer than two labelled or no held-out clips, no feature dimensions, or all features equal.
    """
    if not len(held_out):
        raise CannotDo(
            "there are too few labelled clips of validation patients to tell unknown ones",
            "label clips of training and of validation patients",
        )
    known = label >= 0
    views = fit_gaussians(directions(features[known]), label[known])
    scores = mahalanobis(directions(held_out), views)
    threshold = float(np.quantile(scores, 1 - refused, method="higher"))
    return UnknownDetector(views.means, views.precision, threshold)


def fpr_at(
    score: Scores, unknown: NDArray[np.bool_], weight: NDArray[Any], accepted: float = ACCEPTED
) -> Figures:
    """(r,): the share of unknown clips that is accepted where so many clips of taught views are.

    FPR@95 as the field has it: positive is a clip of a taught view, and a clip is accepted up to a threshold,
    the lowest at which at least the wanted share of clips of taught views is. 0 is perfect; with scores that
    tell nothing it is `accepted`. NaN where the weights leave none of either kind.

    Args:
        score: (n,) higher is more unknown.
        unknown: (n,) whether the clip shows none of the taught views.
        weight: (n, r) how often each clip counts.
        accepted: share, 0 … 1.
    """
    known = np.flatnonzero(~unknown)
    known = known[np.argsort(score[known], kind="stable")]
    upto = np.cumsum(weight[known], axis=0, dtype=np.float64)
    if not len(known):
        return np.full(weight.shape[1], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        at = (upto / upto[-1] < accepted).sum(axis=0)
        threshold = np.where(upto[-1] > 0, score[known[np.minimum(at, len(known) - 1)]], np.nan)
        passed = weight[unknown] * (score[unknown, None] <= threshold)
        share = passed.sum(axis=0, dtype=np.float64) / weight[unknown].sum(axis=0, dtype=np.float64)
    return np.where(np.isnan(threshold), np.nan, share)


def told_apart(
    score: Scores,
    unknown: NDArray[np.int64],
    patient: NDArray[Any],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Bootstrap:
    """AUROC and FPR@95 of a score, over draws of patients with all their clips of both kinds.

    Args:
        score: (n,) higher is more unknown.
        unknown: (n,) 1 shows none of the taught views, 0 one of them; clips with -1 are not counted, but
            their patients are drawn.
        patient: (n,) pseudonyms.
        resamples: number of draws.
        seed: scores and kinds with the same patients in the same order and seed are judged on the same draws.
    """
    row = codes(patient)
    patients = int(row.max(initial=-1)) + 1
    counted = unknown >= 0
    score, is_unknown, row = score[counted], unknown[counted] == 1, row[counted]
    figures = [_figures(score, is_unknown, np.ones((patients, 1)), row)]
    chunk = max(1, _CHUNK_VALUES // max(len(score), 1))
    for times in draw_patients(patients, resamples, seed, chunk):
        figures.append(_figures(score, is_unknown, times.T, row))
    found = np.concatenate(figures)
    return Bootstrap(found[0], found[1:], patients, seed)


def _figures(
    score: Scores, unknown: NDArray[np.bool_], times: NDArray[Any], row: NDArray[np.int64]
) -> Figures:
    """(r, 2), where patients are drawn so often, (P, r), and each clip is of one, (n,)."""
    auroc, _ = auroc_and_precision(score, unknown, times, row)
    return np.stack([auroc, fpr_at(score, unknown, times[row])], axis=1)
