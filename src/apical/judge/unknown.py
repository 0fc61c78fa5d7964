"""Clips that show none of the views the classifier was taught.

The score is the squared Mahalanobis distance of a clip's features to the nearest class mean, under one
covariance shared by all classes (Lee et al., NeurIPS 2018, arXiv 1807.03888), shrunk after Ledoit & Wolf
(J. Multivariate Analysis 2004) because labelled clips are few and features many.

Limits: the features were learned to tell the *taught* views apart, so what does not matter for that may be
invisible here: an unknown view that resembles a taught one scores low. A view with a handful of labelled
clips has an uncertain mean, so its own clips score high and are refused more often. The threshold fixes how
many clips of taught views are refused on patients like the held-out ones; it says nothing about how many
unknown clips are caught, which only labelled unknown clips can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo


@dataclass(frozen=True)
class UnknownDetector:
    """Class means, shared precision, and the score above which a clip is unknown.

    Attributes:
        means: (c, d) float64, of the c views that had labelled clips.
        precision: (d, d) float64, inverse of the shrunk covariance.
        threshold: in units of `score`.
    """

    means: NDArray[np.float64]
    precision: NDArray[np.float64]
    threshold: float

    def score(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) float64: squared Mahalanobis distance to the nearest class mean, for features (n, d)."""
        return _nearest(features, self.means, self.precision)

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
    from sklearn.covariance import LedoitWolf

    known = label >= 0
    x, view = features[known].astype(np.float64), label[known]
    if len(x) < 2 or not len(held_out) or not x.shape[1]:
        raise CannotDo(
            "too few labelled clips with features to tell unknown ones",
            "label clips of training and of validation patients",
        )
    classes, row = np.unique(view, return_inverse=True)
    means = np.stack([x[row == c].mean(0) for c in range(len(classes))])
    residual = x - means[row]
    if not residual.any():
        raise CannotDo(
            "the features of each view's clips are all equal, so unknown clips cannot be told",
            "label several different clips of a view",
        )
    precision = LedoitWolf(assume_centered=True).fit(residual).precision_
    scores = _nearest(held_out, means, precision)
    return UnknownDetector(means, precision, float(np.quantile(scores, 1 - refused, method="higher")))


def _nearest(
    features: NDArray[Any], means: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    whiten = np.linalg.cholesky(precision)  # (x - m)ᵀ L Lᵀ (x - m)
    x, centres = features.astype(np.float64) @ whiten, means @ whiten
    distances = np.stack([np.square(x - centre).sum(1) for centre in centres])
    return np.asarray(distances.min(axis=0))
