"""Probabilities that mean what they say.

Temperature scaling (Guo et al., ICML 2017, arXiv 1706.04599) divides the logits by one number T, chosen
on clips of patients that neither trained nor test the classifier. It never changes which view is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo

_LOWEST, _HIGHEST = 0.05, 20.0
_FLOOR = -100.0  # stands in for log 0


@dataclass(frozen=True)
class Temperature:
    """What to divide log-probabilities by.

    Attributes:
        value: T; above 1 the classifier was too sure of itself.
        at_bound: T ran into the end of the allowed range 0.05 … 20, so do not trust it: there are too
            few calibration clips, or all of them are right, or the classifier knows nothing.
    """

    value: float
    at_bound: bool


def fit_temperature(log_probabilities: NDArray[Any], label: NDArray[np.int64]) -> Temperature:
    """The T that minimises the negative log-likelihood of clips with known view.

    The likelihood is concave in 1 / T, so its slope has one zero, which is bracketed and halved in
    log T.

    Args:
        log_probabilities: (n, k) floating; logits do as well.
        label: (n,) true views as indices; clips with -1 are left out.

    Raises:
        CannotDo: no clip has a label.
    """
    known = label >= 0
    if not known.any():
        raise CannotDo("no labelled clip to calibrate on", "label some clips of validation patients")
    logits = _finite(log_probabilities[known])
    right = np.take_along_axis(logits, label[known, None], axis=1)[:, 0].mean()

    def slope(log_t: float) -> float:
        """Of the negative log-likelihood along 1 / T: mean expected logit minus mean true logit."""
        return float((np.exp(_log_softmax(logits / np.exp(log_t))) * logits).sum(1).mean() - right)

    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    if slope(low) <= 0:
        return Temperature(_LOWEST, at_bound=True)
    if slope(high) >= 0:
        return Temperature(_HIGHEST, at_bound=True)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return Temperature(float(np.exp((low + high) / 2)), at_bound=False)


def calibrate(log_probabilities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """(n, k) float64 log-probabilities after dividing by `temperature` and normalising."""
    return _log_softmax(_finite(log_probabilities) / temperature)


def expected_calibration_error(
    probabilities: NDArray[Any], label: NDArray[np.int64], bins: int = 15
) -> float:
    """Mean distance of confidence and share right, over `bins` equal-width bins weighted by their clips.

    Bins are closed on the left; the last one is closed on both sides, so a confidence of exactly 1
    counts. NaN without labelled clips. It is biased upwards for few clips.

    Args:
        probabilities: (n, k) in 0 … 1.
        label: (n,) true views as indices; clips with -1 are left out.
        bins: number of bins.
    """
    known = label >= 0
    if not known.any():
        return float("nan")
    confidence = probabilities[known].max(1).astype(np.float64)
    right = probabilities[known].argmax(1) == label[known]
    row = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(row, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / known.sum())


def _finite(logits: NDArray[Any]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(np.maximum(shifted, _FLOOR))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
