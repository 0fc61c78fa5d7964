"""How unlike the taught views a clip is: published scores, each a function of arrays; more is more unknown.

- `max_softmax`: Hendrycks & Gimpel, ICLR 2017, arXiv 1610.02136.
- `energy`: Liu et al., NeurIPS 2020, arXiv 2010.03759.
- `mahalanobis`: Lee et al., NeurIPS 2018, arXiv 1807.03888, with one covariance for all views, shrunk after
  Ledoit & Wolf (J. Multivariate Analysis 2004) because labelled clips are few and features many. On features
  scaled to length 1 (`directions`): Mueller & Hein, ICML 2025, arXiv 2505.18032.
- `relative_mahalanobis`: Ren et al. 2021, arXiv 2106.09022.
- `neighbour`: Sun et al., ICML 2022, arXiv 2204.06507.
- `fisher` puts several together, each first made a p-value by `surprise`.

The first two look at the answer, the others at the features. Limits: both were learned to tell the *taught*
views apart, so what does not matter for that may be invisible here, and an unknown view that resembles a
taught one scores low. How well each tells which kind of clip was measured: docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from apical.errors import CannotDo

Scores = NDArray[np.float64]
_AT_ONCE = 512  # clips whose distances to all others are in memory


@dataclass(frozen=True)
class Gaussians:
    """c Gaussians in d dimensions that share their covariance.

    Attributes:
        means: (c, d) float64.
        precision: (d, d) float64, inverse of the covariance.
    """

    means: NDArray[np.float64]
    precision: NDArray[np.float64]

    @cached_property
    def whiten(self) -> NDArray[np.float64]:
        """L, (d, d) float64: (x - m)ᵀ L Lᵀ (x - m) is the squared distance of x to m."""
        return np.asarray(np.linalg.cholesky(self.precision), np.float64)


def fit_gaussians(features: NDArray[Any], group: NDArray[np.int64]) -> Gaussians:
    """The mean of each group, in the order of their numbers, and the shrunk covariance around them.

    Args:
        features: (n, d) floating.
        group: (n,), such as views.

    Raises:
        CannotDo: fewer than two clips, no feature dimensions, or each group's features are all equal.
    """
    from sklearn.covariance import LedoitWolf

    x = features.astype(np.float64)
    if len(x) < 2 or not x.shape[1]:
        raise CannotDo(
            "too few labelled clips with features to tell unknown ones",
            "label clips of training and of validation patients",
        )
    groups, row = np.unique(group, return_inverse=True)
    means = np.stack([x[row == number].mean(0) for number in range(len(groups))])
    residual = x - means[row]
    if np.abs(residual).max() <= 1e-12 * np.abs(x).max():  # means are rounded
        raise CannotDo(
            "the features of each view's clips are all equal, so unknown clips cannot be told",
            "label several different clips of a view",
        )
    return Gaussians(means, LedoitWolf(assume_centered=True).fit(residual).precision_)


def directions(features: NDArray[Any]) -> NDArray[np.float64]:
    """Features (n, d) scaled to length 1; zeros stay zeros."""
    x = features.astype(np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1))


def max_softmax(log_probabilities: NDArray[Any]) -> Scores:
    """(n,) in 0 … 1: one minus the probability of the likeliest view, for log-probabilities (n, k)."""
    return np.asarray(-np.expm1(log_probabilities.max(axis=1).astype(np.float64)))


def energy(logits: NDArray[Any]) -> Scores:
    """(n,): -log Σ exp of logits (n, k), temperature 1; those of views that were not taught are about -1e4.

    Log-probabilities will not do: their sum is always 1. Where the head is linear, `Classifier.logits` of a
    clip's mean features are the mean of its windows' logits, and their log-softmax is the clip's
    log-probabilities: exact but for rounding. It is the energy of the mean, not the mean of the windows'
    energies. With a head that compares directions (prototype, ldam-drw) the logits of the mean features are
    not the mean logits.
    """
    return np.asarray(-logsumexp(logits.astype(np.float64), axis=1))


def mahalanobis(features: NDArray[Any], views: Gaussians) -> Scores:
    """(n,): squared Mahalanobis distance of features (n, d) to the nearest mean."""
    x = features.astype(np.float64) @ views.whiten
    distances = np.stack([np.square(x - centre).sum(1) for centre in views.means @ views.whiten])
    return np.asarray(distances.min(axis=0))


def relative_mahalanobis(features: NDArray[Any], views: Gaussians, everything: Gaussians) -> Scores:
    """(n,), of either sign: how much farther the nearest view is than the mean of all clips is.

    It rests on both covariances being known equally well. With `everything` from many unlabelled clips and
    `views` from few labelled ones, whatever neither has met counts as near a view.

    Args:
        features: (n, d).
        views: a Gaussian a view.
        everything: one Gaussian of all training clips, with its own covariance.
    """
    return mahalanobis(features, views) - mahalanobis(features, everything)


def neighbour(features: NDArray[Any], labelled: NDArray[Any], k: int) -> Scores:
    """(n,) in 0 … 2: distance to the k-th nearest labelled training clip, by `directions`.

    Args:
        features: (n, d).
        labelled: (m, d), m ≥ 1; where m < k, the farthest counts.
        k: 1 is the nearest.
    """
    x, others = directions(features), directions(labelled)
    from_end = max(len(others) - k, 0)  # place of the k-th largest cosine in ascending order
    cosine = np.zeros(len(x))
    for start in range(0, len(x), _AT_ONCE):
        part = x[start : start + _AT_ONCE] @ others.T
        cosine[start : start + _AT_ONCE] = np.partition(part, from_end, axis=1)[:, from_end]
    return np.sqrt(np.maximum(2 - 2 * cosine, 0))


def surprise(scores: Scores, held_out: Scores) -> Scores:
    """(n,) in (0, 1]: the p-value of each score, (1 + held-out clips that score as high) / (1 + m).

    Args:
        scores: (n,).
        held_out: (m,) the same score, of held-out clips of taught views.
    """
    as_high = len(held_out) - np.searchsorted(np.sort(held_out), scores, side="left")
    return np.asarray((1 + as_high) / (1 + len(held_out)))


def fisher(surprises: Sequence[Scores]) -> Scores:
    """(n,): -2 Σ log p over several p-values a clip (Fisher 1925); any one may refuse it."""
    return np.asarray(-2 * np.sum(np.log(surprises), axis=0))
