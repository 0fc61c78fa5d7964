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
    return _mean_defined(f1(confusion)[..., chosen])


def macro_f1(confusion: Counts) -> Figures:
    """(…,): mean F1 of all views present in the truth."""
    return _mean_defined(f1(confusion))


def balanced_accuracy(confusion: Counts) -> Figures:
    """(…,): mean recall of all views present in the truth."""
    return _mean_defined(recall(confusion))


def accuracy(confusion: Counts) -> Figures:
    """(…,): share of clips named rightly; NaN without clips."""
    return _ratio(_diagonal(confusion).sum(-1), confusion.sum((-2, -1)))


def _diagonal(confusion: Counts) -> Counts:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(numerator: Counts, denominator: Counts) -> Figures:
    undefined = np.full(np.shape(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) != 0))


def _mean_defined(figures: Figures) -> Figures:
    defined = ~np.isnan(figures)
    return _ratio(np.where(defined, figures, 0).sum(-1), defined.sum(-1))
