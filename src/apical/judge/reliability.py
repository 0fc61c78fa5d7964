"""How far probabilities can be trusted: calibration errors, scores and reliability diagrams, over patients.

- calibration error (ECE; Naeini et al., AAAI 2015; Guo et al. 2017, arXiv 1706.04599): clips are put in bins
  of equal width by how sure the classifier is; the mean distance of mean confidence and share right;
- debiased (Kumar, Liang & Ma 2019, arXiv 1909.10155): few clips in a bin make distances even where there are
  none. Their expected excess, were each bin's share right normal around what was seen, is taken off. They
  draw from that normal distribution; here the mean of the folded normal is used (Leone et al., Technometrics
  1961);
- by view (Kull et al. 2019, arXiv 1910.12656): the same for the probability of one view against the rest;
- log loss and Brier score (the sum over views of squared distances, 0 … 2), which also reward being right.

All follow from sums over patients, so that intervals come from draws of patients (`apical.judge.intervals`).

Limits: errors depend on the bins. The debiased one takes clips as independent, so with many like clips a
patient too little is taken off, and where answers are honest about half of what few clips make remains; it
may also be below 0. Draws of patients have fewer different ones than there are, which makes errors larger:
limits are moved to where the figure is, and tell how much it varies, not how far it lies above that of
endless clips.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from apical.judge.intervals import Bootstrap, Interval, bootstrap, expanded_intervals, patient_sums
from apical.judge.metrics import Counts, Figures
from apical.learn.clips import codes

BINS = 15


@dataclass(frozen=True)
class Diagram:
    """A reliability diagram: the b bins of equal width over 0 … 1 in which there are clips, rising.

    Attributes:
        clips: (b,) how many fell in each.
        confidence: (b,) their mean probability.
        right: (b,) share of them for which it came true.
    """

    clips: tuple[float, ...]
    confidence: tuple[float, ...]
    right: tuple[float, ...]


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be trusted; means over training seeds, intervals over patients.

    Attributes:
        log_loss: mean negative log-probability of the true view.
        brier: mean over clips of the sum over views of squared distances, 0 … 2.
        error: calibration error of the named view's probability, 0 … 1.
        debiased_error: without the error that few clips make; may be below 0.
        classwise_error: mean of `view_errors`.
        view_errors: (k,) calibration error of each view's probability over all clips, 0 … 1.
        diagram: of the named view's probability, clips of all seeds together.
        view_diagrams: (k,) of each view's probability.
    """

    log_loss: Interval
    brier: Interval
    error: Interval
    debiased_error: Interval
    classwise_error: Interval
    view_errors: tuple[Interval, ...]
    diagram: Diagram
    view_diagrams: tuple[Diagram, ...]


def judge_reliability(
    log_probabilities: NDArray[Any],
    label: NDArray[np.int64],
    patient: NDArray[Any],
    *,
    bins: int = BINS,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Reliability:
    """All figures, of s training seeds on the same n clips.

    Args:
        log_probabilities: (s, n, k) natural logarithms, finite at the true views.
        label: (s, n) true views as indices; clips with -1 are left out.
        patient: (n,) pseudonyms.
        bins: number of bins.
        resamples: number of draws of patients.
        seed: fixes the draws.
        level: confidence of the intervals.
    """
    k = log_probabilities.shape[2]
    tables = np.stack(
        [patient_table(*each, patient, bins) for each in zip(log_probabilities, label, strict=True)]
    )
    drawn = bootstrap(tables, lambda sums: _figures(sums, bins), resamples=resamples, seed=seed)
    loss, brier, *errors = expanded_intervals(_centred(drawn), level)
    error, debiased, classwise, *by_view = (_not_negative(each, i) for i, each in enumerate(errors))
    binned, _ = _split(tables.sum(axis=(0, 1)), bins)
    diagrams = [_diagram(binned[i]) for i in range(1 + k)]
    return Reliability(
        loss, brier, error, debiased, classwise, tuple(by_view), diagrams[0], tuple(diagrams[1:])
    )


def _centred(drawn: Bootstrap) -> Bootstrap:
    """The draws, moved so that their mean is the figure: plain limits may lie above it, see above."""
    return replace(drawn, samples=drawn.samples - (np.nanmean(drawn.samples, axis=0) - drawn.value))


def _not_negative(error: Interval, place: int) -> Interval:
    """An error as it is, with no limit below 0 but for the debiased one, the second."""
    return error if place == 1 else replace(error, low=max(error.low, 0.0))


def patient_table(
    log_probabilities: NDArray[Any], label: NDArray[np.int64], patient: NDArray[Any], bins: int = BINS
) -> NDArray[np.float64]:
    """(P, (1 + k) · bins · 3 + 3) float64: sums over each patient's clips, from which all figures follow.

    First clips, their probabilities and how many came true, in each bin of the named view's probability and
    then of each view's; last log loss, Brier score and clips.

    Args:
        log_probabilities: (n, k).
        label: (n,) true views as indices; clips with -1 are not counted, but their patients are.
        patient: (n,) pseudonyms.
        bins: number of bins, closed on the left; the last one is closed on both sides.
    """
    n, k = log_probabilities.shape
    p = np.exp(log_probabilities.astype(np.float64))
    known = label >= 0
    truth = np.eye(k)[np.maximum(label, 0)]
    named = p.argmax(axis=1)[:, None]
    sure = np.concatenate([np.take_along_axis(p, named, axis=1), p], axis=1)
    true = np.concatenate([np.take_along_axis(truth, named, axis=1), truth], axis=1)
    who = codes(patient)
    rows = int(who.max(initial=-1)) + 1
    place = np.clip((sure * bins).astype(int), 0, bins - 1)
    cell = ((who[:, None] * (1 + k) + np.arange(1 + k)) * bins + place)[known].ravel()
    sums = [
        np.bincount(cell, weights=values[known].ravel(), minlength=rows * (1 + k) * bins)
        for values in (np.ones_like(sure), sure, true)
    ]
    binned = np.stack(sums, axis=-1).reshape(rows, -1)
    loss = -np.take_along_axis(log_probabilities, np.maximum(label, 0)[:, None], axis=1)[:, 0]
    brier = np.square(p - truth).sum(axis=1)
    scores = np.stack([loss, brier, np.ones(n)], axis=1) * known[:, None]
    return np.concatenate([binned, patient_sums(scores, patient)], axis=1)


def calibration_error(binned: Counts) -> Figures:
    """(…,): the error of bins (…, bins, 3) that hold clips, sums of probabilities and how many came true."""
    return _ratio(np.abs(binned[..., 1] - binned[..., 2]).sum(-1), binned[..., 0].sum(-1))


def debiased_calibration_error(binned: Counts) -> Figures:
    """(…,): twice the error, minus what is expected of bins whose share right is normal around the one seen.

    With gap d of a bin's mean probability and share right a, and s² = a (1 - a) / clips, that is
    s √(2/π) exp(-d²/2s²) + |d| (2 Φ(|d|/s) - 1); a bin of one clip has s = 0 and is not corrected.
    """
    clips = binned[..., 0]
    gap = np.abs(_or_zero(binned[..., 1] - binned[..., 2], clips))
    right = _or_zero(binned[..., 2], clips)
    spread = np.sqrt(np.maximum(_or_zero(right * (1 - right), clips), 0))
    z = np.divide(gap, spread, out=np.full(gap.shape, np.inf), where=spread > 0)
    expected = spread * np.sqrt(2 / np.pi) * np.exp(-np.square(z) / 2) + gap * (2 * ndtr(z) - 1)
    return _ratio(((2 * gap - expected) * clips).sum(-1), clips.sum(-1))


def _figures(sums: Counts, bins: int) -> Figures:
    """(…, 5 + k) in the order of `Reliability`, from sums (…, columns) of `patient_table`."""
    binned, (loss, brier, clips) = _split(sums, bins)
    by_view = calibration_error(binned[..., 1:, :, :])
    named = binned[..., 0, :, :]
    first = [_ratio(loss, clips), _ratio(brier, clips), calibration_error(named)]
    first += [debiased_calibration_error(named), by_view.mean(axis=-1)]
    return np.concatenate([np.stack(first, axis=-1), by_view], axis=-1)


def _split(sums: Counts, bins: int) -> tuple[Counts, tuple[Counts, Counts, Counts]]:
    """Bins (…, 1 + k, bins, 3); log loss, Brier score and clips, each (…,)."""
    binned = sums[..., :-3].reshape(*sums.shape[:-1], -1, bins, 3)
    return binned, (sums[..., -3], sums[..., -2], sums[..., -1])


def _diagram(binned: Counts) -> Diagram:
    clips, confidence, right = binned[binned[:, 0] > 0].T
    return Diagram(
        tuple(clips.tolist()), tuple((confidence / clips).tolist()), tuple((right / clips).tolist())
    )


def _ratio(numerator: Counts, denominator: Counts) -> Figures:
    undefined = np.full(np.shape(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) > 0))


def _or_zero(numerator: Counts, denominator: Counts) -> Figures:
    return np.nan_to_num(_ratio(numerator, denominator), nan=0.0)
