"""Figures from confusion matrices.

A confusion matrix C is (…, k, k): C[…, i, j] counts the clips whose true view is i and whose named
view is j. All functions work on any leading axes, so thousands of resamples go in one call. Counts
may be float. A figure that is not defined (the view is absent) is NaN, never 0 and never left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[Any]  # integer or floating counts
Figures = NDArray[np.float64]


def support(confusion: Counts) -> Counts:
    """(…, k): clips whose true view this is; a view with 0 is called absent."""
    return np.asarray(confusion.sum(-1))


def precision(confusion: Counts) -> Figures:
    """(…, k): of the clips named so, the share that truly are; NaN where none was named so."""
    return _ratio(_diagonal(confusion), confusion.sum(-2))


def recall(confusion: Counts) -> Figures:
    """(…, k): of the clips of the view, the share that was named so; NaN for absent views."""
    return _ratio(_diagonal(confusion), support(confusion))


def f1(confusion: Counts) -> Figures:
    """(…, k): 2 TP / (2 TP + FP + FN); NaN for absent views, even where one was wrongly named."""
    shown = support(confusion)
    figures = _ratio(2 * _diagonal(confusion), shown + confusion.sum(-2))
    return np.where(shown == 0, np.nan, figures)


def mean_f1(confusion: Counts, chosen: NDArray[np.bool_]) -> Figures:
    """(…,): mean F1 of the `chosen` views, a (k,) mask, leaving out absent ones; NaN if none is left."""
    return mean_defined(f1(confusion)[..., chosen])


def macro_f1(confusion: Counts) -> Figures:
    """(…,): mean F1 of all views present in the truth."""
    return mean_defined(f1(confusion))


def weighted_f1(confusion: Counts) -> Figures:
    """(…,): mean F1 of all views present in the truth, each weighted by its clips."""
    shown = support(confusion)
    return _ratio(np.where(shown, np.nan_to_num(f1(confusion)) * shown, 0).sum(-1), shown.sum(-1))


def balanced_accuracy(confusion: Counts) -> Figures:
    """(…,): mean recall of all views present in the truth."""
    return mean_defined(recall(confusion))


def accuracy(confusion: Counts) -> Figures:
    """(…,): share of clips named rightly; NaN without clips."""
    return _ratio(_diagonal(confusion).sum(-1), confusion.sum((-2, -1)))


def mean_cost(confusion: Counts, cost: NDArray[np.float64]) -> Figures:
    """(…,): mean over clips of what naming view i as view j costs, cost (k, k); NaN without clips."""
    return _ratio((confusion * cost).sum((-2, -1)), confusion.sum((-2, -1)))


def kappa(confusion: Counts, cost: NDArray[np.float64] | None = None) -> Figures:
    """(…,): Cohen's kappa: 1 - cost / cost if names had nothing to do with views; NaN if that is 0.

    Cohen's own (Educ. Psychol. Meas. 1960) counts every error as 1, the weighted one (Psychol. Bull. 1968) as
    `cost` (k, k), quadratic kappa as the squared distance of two levels, see `quadratic`.
    """
    if cost is None:
        cost = 1 - np.eye(confusion.shape[-1])
    by_chance = np.einsum("...i,...j,ij->...", confusion.sum(-1), confusion.sum(-2), cost)
    clips = confusion.sum((-2, -1))
    return 1 - _ratio((confusion * cost).sum((-2, -1)) * clips, by_chance)


def quadratic(levels: int) -> NDArray[np.float64]:
    """(levels, levels): costs (i - j)² of ordered levels, such as the short axis from base to apex."""
    level = np.arange(levels, dtype=np.float64)
    return np.square(level[:, None] - level)


def _diagonal(confusion: Counts) -> Counts:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(numerator: Counts, denominator: Counts) -> Figures:
    undefined = np.full(np.shape(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) != 0))


def mean_defined(figures: Figures) -> Figures:
    """(…,): mean of figures (…, k) over those that are not NaN; NaN where all are."""
    defined = ~np.isnan(figures)
    return _ratio(np.where(defined, figures, 0).sum(-1), defined.sum(-1))
