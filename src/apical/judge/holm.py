"""Many comparisons: how sure each still is when all of them are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def holm(p: NDArray[Any]) -> NDArray[np.float64]:
    """Holm's step-down adjusted p-values (Holm, Scand. J. Statist. 1979), (n,) float64 in 0 … 1.

    Calling those below α shown is wrong for any of them with a probability of α at most, however the
    comparisons hang together.

    Args:
        p: (n,) p-values; NaN stands for a comparison that could not be made, stays NaN and is not counted.
    """
    p = np.asarray(p, np.float64)
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def holm_together(groups: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Named p-values of several comparisons, adjusted over all names of all of them together."""
    places = [(i, name) for i, group in enumerate(groups) for name in group]
    values = holm(np.array([groups[i][name] for i, name in places], np.float64)).tolist()
    adjusted = dict(zip(places, values, strict=True))
    return [{name: adjusted[i, name] for name in group} for i, group in enumerate(groups)]


def two_sided_p(differences: NDArray[Any]) -> float:
    """The p-value of "no difference" from bootstrap samples of a difference (n,), in 0 … 1.

    Twice the smaller share of samples on one side of zero, those at zero on both; one sample is added to
    both counts, so that it is never 0 (Davison & Hinkley 1997, ch. 4). NaN samples are left out; NaN where
    none is left.
    """
    samples = differences[~np.isnan(differences)]
    if not len(samples):
        return float("nan")
    smaller = min(int((samples <= 0).sum()), int((samples >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(samples) + 1))
