"""Probabilities that mean what they say.

Log-probabilities are scaled by numbers that are chosen on clips of patients that neither trained nor test the
classifier (Guo et al., ICML 2017, arXiv 1706.04599): temperature scaling divides them by one number T, which
never changes the view that is named; vector scaling gives each view a weight, for how far its log-probability
lies above the clip's mean over views, and a bias; this may change the view that is named.
Rare views have few clips, so vector scaling is drawn towards temperature scaling, and taken only where
cross-validation over patients is clear (`choose_scaling`).

Limits: one scaling for all patients, machines and qualities; it holds for patients like those of the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo
from apical.learn.clips import codes

Kind = Literal["none", "temperature", "vector"]

SHUT_OFF = -5e3
"""Log-probabilities of views that were not taught are about -1e4; no others come below this."""

_FOLDS = 5
_LOWEST, _HIGHEST = 0.05, 20.0
_FLOOR = -100.0  # stands in for log 0
_SPREAD = 0.5  # by how much weights (as shares of 1 / T) and biases are thought to differ between views


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


@dataclass(frozen=True)
class Scaling:
    """What each view's log-probability, less the clip's mean over views, is multiplied by, and what is added.

    Attributes:
        kind: ``none`` (weights 1), ``temperature`` (weights 1 / T) or ``vector``.
        weight: (k,) at least 0.
        bias: (k,), 0 but for ``vector``.
    """

    kind: Kind
    weight: tuple[float, ...]
    bias: tuple[float, ...]

    def __call__(self, log_probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """(n, k) log-probabilities that add up to 1, from (n, k) log-probabilities or logits.

        A view that is shut off stays so. Minus infinity is a probability that was rounded to 0, not a view
        that is shut off.
        """
        scaled = _centred(log_probabilities) * np.array(self.weight) + np.array(self.bias)
        return _log_softmax(np.where(_shut_off(log_probabilities), 2 * SHUT_OFF, scaled))


def fit_temperature(log_probabilities: NDArray[Any], label: NDArray[np.int64]) -> Temperature:
    """The T that minimises the negative log-likelihood of clips with known view.

    The likelihood is concave in 1 / T, so its slope has one zero, which is bracketed and halved in
    log T.

    Args:
        log_probabilities: (n, k) floating; logits do as well.
        label: (n,) true views as indices; clips with -1, and those of views that are shut off, are left out.

    Raises:
        CannotDo: no clip has a label.
    """
    logits, is_open, view = _to_fit_on(log_probabilities, label)
    right = logits[np.arange(len(view)), view].mean()

    def slope(log_t: float) -> float:
        """Of the negative log-likelihood along 1 / T: mean expected logit minus mean true logit."""
        return float((_softmax(logits / np.exp(log_t), is_open) * logits).sum(1).mean() - right)

    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    if slope(low) <= 0:
        return Temperature(_LOWEST, at_bound=True)
    if slope(high) >= 0:
        return Temperature(_HIGHEST, at_bound=True)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return Temperature(float(np.exp((low + high) / 2)), at_bound=False)


def fit_scaling(kind: Kind, log_probabilities: NDArray[Any], label: NDArray[np.int64]) -> Scaling:
    """The scaling of this kind that fits clips with known view best.

    Vector scaling minimises the negative log-likelihood of all clips + Σ ((w T - 1)² + b²) / (2 · 0.5²),
    which is convex: the most probable w ≥ 0 and b, if views differ by about 0.5 from the temperature T of
    all. A view without clips so keeps about its temperature.

    Args:
        kind: ``none``, ``temperature`` or ``vector``.
        log_probabilities: (n, k) floating.
        label: as for `fit_temperature`.

    Raises:
        CannotDo: no clip has a label (but for ``none``).
    """
    k = log_probabilities.shape[1]
    if kind == "none":
        return Scaling(kind, (1.0,) * k, (0.0,) * k)
    temperature = fit_temperature(log_probabilities, label).value
    if kind == "temperature":
        return Scaling(kind, (1 / temperature,) * k, (0.0,) * k)
    from scipy.optimize import minimize

    logits, is_open, view = _to_fit_on(log_probabilities, label)
    logits = logits / temperature
    fitted = minimize(
        vector_loss,
        np.repeat([1.0, 0.0], k),
        args=(logits, is_open, view),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * k + [(None, None)] * k,
        options={"maxiter": 1000},
    )
    weight, bias = fitted.x[:k] / temperature, fitted.x[k:]
    return Scaling(kind, tuple(weight.tolist()), tuple(bias.tolist()))


def vector_loss(
    weight_and_bias: NDArray[np.float64],
    logits: NDArray[np.float64],
    is_open: NDArray[np.bool_],
    view: NDArray[np.int64],
) -> tuple[float, NDArray[np.float64]]:
    """What vector scaling minimises, and its gradient (2k,).

    Args:
        weight_and_bias: (2k,) weights, then biases.
        logits: (n, k) finite, divided by the temperature.
        is_open: (n, k) False where a view is shut off.
        view: (n,) true views, none of them shut off.
    """
    weight, bias = np.split(weight_and_bias, 2)
    p = _softmax(logits * weight + bias, is_open)
    rows = np.arange(len(view))
    off = np.concatenate([weight - 1, bias])
    loss = -np.log(np.maximum(p[rows, view], 1e-300)).sum() + np.square(off).sum() / (2 * _SPREAD**2)
    p[rows, view] -= 1
    gradient = np.concatenate([(p * logits).sum(0), p.sum(0)]) + off / _SPREAD**2
    return float(loss), gradient


def scaled_by_others(
    kind: Kind, log_probabilities: NDArray[Any], label: NDArray[np.int64], patient: NDArray[Any]
) -> NDArray[np.float64]:
    """(n, k) log-probabilities of each clip after a scaling that was fitted on other patients' clips.

    Patients go to five folds in turn, in the order of their first clips. Where nobody else has a label the
    clips are left as they are.
    """
    fold = codes(patient) % _FOLDS
    scaled = np.empty(log_probabilities.shape)
    for one in np.unique(fold):
        others = (fold != one) & _usable(log_probabilities, label)
        kind_here: Kind = kind if others.any() else "none"
        scaling = fit_scaling(kind_here, log_probabilities[others], label[others])
        scaled[fold == one] = scaling(log_probabilities[fold == one])
    return scaled


def choose_scaling(
    log_probabilities: NDArray[Any], label: NDArray[np.int64], patient: NDArray[Any]
) -> tuple[Scaling, dict[Kind, float]]:
    """The scaling to use, fitted on all clips, and what cross-validation over patients found for each kind.

    Compared is each patient's mean negative log-likelihood, after a scaling fitted on others
    (`scaled_by_others`), averaged over patients. Temperature is taken if it is better than none; vector only
    if it is better than that by more than one standard error of the patients' differences. None is taken
    where the best temperature runs into its bound: where every clip is right, no scaling is sure enough for
    them, and the first wrong one would pay for it.

    Args:
        log_probabilities: (n, k) floating.
        label: as for `fit_temperature`.
        patient: (n,) pseudonyms.

    Raises:
        CannotDo: no clip has a label.
    """
    known = _usable(log_probabilities, label)
    if not known.any():
        raise _nothing_to_fit_on()
    log_probabilities, label, patient = log_probabilities[known], label[known], patient[known]
    row = codes(patient)

    def loss(kind: Kind) -> NDArray[np.float64]:
        scaled = scaled_by_others(kind, log_probabilities, label, patient)
        return np.asarray(np.bincount(row, -scaled[np.arange(len(label)), label]) / np.bincount(row))

    losses: dict[Kind, NDArray[np.float64]] = {kind: loss(kind) for kind in ("none", "temperature", "vector")}
    means: dict[Kind, float] = {kind: float(of_patients.mean()) for kind, of_patients in losses.items()}
    if fit_temperature(log_probabilities, label).at_bound:
        return fit_scaling("none", log_probabilities, label), means
    chosen: Kind = "temperature" if losses["temperature"].mean() < losses["none"].mean() else "none"
    gain = losses[chosen] - losses["vector"]
    if len(gain) > 1 and gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):
        chosen = "vector"
    return fit_scaling(chosen, log_probabilities, label), means


def _to_fit_on(
    log_probabilities: NDArray[Any], label: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Finite logits, which views are not shut off, and true views of the clips to fit on."""
    known = _usable(log_probabilities, label)
    if not known.any():
        raise _nothing_to_fit_on()
    return _centred(log_probabilities[known]), ~_shut_off(log_probabilities[known]), label[known]


def _nothing_to_fit_on() -> CannotDo:
    return CannotDo("no labelled clip to calibrate on", "label some clips of validation patients")


def _usable(log_probabilities: NDArray[Any], label: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,): clips with a label whose view is not shut off."""
    shut_off = _shut_off(log_probabilities)[np.arange(len(label)), np.maximum(label, 0)]
    return np.asarray((label >= 0) & ~shut_off)


def _shut_off(logits: NDArray[Any]) -> NDArray[np.bool_]:
    below = logits - logits.max(axis=1, keepdims=True)
    return np.asarray((below < SHUT_OFF) & np.isfinite(below))


def _centred(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Finite logits whose mean over the views that are not shut off is 0."""
    shifted = np.maximum(logits.astype(np.float64) - logits.max(axis=1, keepdims=True), _FLOOR)
    is_open = ~_shut_off(logits)
    mean = np.where(is_open, shifted, 0).sum(axis=1) / is_open.sum(axis=1)
    return np.asarray(shifted - mean[:, None])


def _softmax(logits: NDArray[np.float64], is_open: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, k) probabilities, exactly 0 where not `is_open`."""
    return np.asarray(np.exp(_log_softmax(np.where(is_open, logits, 2 * SHUT_OFF))))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
