"""Answering only when sure: what share is wrong of the clips that are answered, and how many those are.

`risk_coverage` is the curve over all thresholds (El-Yaniv & Wiener, JMLR 2010), its area a figure of how well
confidence sorts wrong from right (AURC; Geifman & El-Yaniv, NeurIPS 2017, arXiv 1705.08500). Every patient
weighs 1 and each of their n clips 1/n, as in `apical.judge.conformal`.

`operating_point` finds the lowest threshold of which a risk can be *promised*. Let a patient's excess be the
mean over their clips of (wrong - risk), where clips that are not answered count 0. If the risk at a threshold
is above the one allowed, its expectation over patients is not below 0. A bet against that, E = Σ stake · Π (1
- λ · excess), over patients, with λ = 1 / (1 - risk) for a stake of 3/4 and half of that for 1/4, then has an
expectation of at most 1, so it exceeds 1/failure with a probability of at most `failure` (Markov; betting:
Waudby-Smith & Ramdas 2024, arXiv 2010.09686). That asks of patients to be independent draws, and nothing of
the clips of one patient. Thresholds are tried in a fixed order, from 1 - risk down in steps of 0.005, until
one fails: then the promise is for the last that passed, without any correction for the number tried
(fixed-sequence testing; Learn then Test: Angelopoulos et al. 2021, arXiv 2110.01052).

Limits: it needs many patients: with risk 0.02 and failure 0.1 no fewer than 124 even if all is right, since
one patient in fifty may be all wrong; `needed` tells. Confidence should be calibrated, or the first threshold
may be a bad one. The promise is for patients like the validation patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo
from apical.judge.intervals import (
    Bootstrap,
    Interval,
    bootstrap,
    draw_patients,
    expanded_intervals,
    patient_sums,
)
from apical.judge.metrics import Counts, Figures
from apical.learn.clips import codes

_BETS = (0.5, 1.0)  # shares of the largest bet that cannot lose more than all
_STAKES = (0.25, 0.75)  # of each: the largest wins most, unless a patient is wholly wrong, which is rare
_STEP = 0.005
_CHUNK_VALUES = 2_000_000


@dataclass(frozen=True)
class RiskCoverage:
    """The curve: one point for each different confidence c, falling; every patient weighs the same.

    Attributes:
        threshold: (c,) clips at least so sure are answered.
        coverage: (c,) share answered, up to 1.
        risk: (c,) share wrong of those answered.
    """

    threshold: NDArray[np.float64]
    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]


def risk_coverage(confidence: NDArray[Any], wrong: NDArray[np.bool_], patient: NDArray[Any]) -> RiskCoverage:
    """The curve of n ≥ 1 clips.

    Args:
        confidence: (n,) any numbers, higher is surer.
        wrong: (n,) whether the named view is not the true one.
        patient: (n,) pseudonyms.
    """
    order, last = _by_confidence(confidence)
    answered = np.cumsum(_shares(patient)[order])
    mistaken = np.cumsum((_shares(patient) * wrong)[order])
    return RiskCoverage(
        threshold=confidence[order][last].astype(np.float64),
        coverage=answered[last] / answered[-1],
        risk=mistaken[last] / answered[last],
    )


def thinned(curve: RiskCoverage, most: int = 200) -> RiskCoverage:
    """At most so many of its points, evenly spread over them, with the first and the last."""
    points = len(curve.threshold)
    kept = np.unique(np.linspace(0, points - 1, min(most, points)).round().astype(int))
    return RiskCoverage(curve.threshold[kept], curve.coverage[kept], curve.risk[kept])


def risk_coverage_area(
    confidence: NDArray[Any],
    wrong: NDArray[np.bool_],
    patient: NDArray[Any],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The mean risk over all coverages, averaged over s training seeds; 0 is best, lower is better.

    Each clip adds the risk of answering all that are as sure or surer; those equally sure come together.

    Args:
        confidence: (s, n) of the same n ≥ 1 clips.
        wrong: (s, n).
        patient: (n,) pseudonyms.
        resamples: number of draws of patients.
        seed: fixes the draws.
        level: confidence of the interval.
    """
    row = codes(patient)
    patients = int(row.max()) + 1
    share = _shares(patient)
    sorts = [_by_confidence(each) for each in confidence]

    def areas(times: NDArray[np.float64]) -> NDArray[np.float64]:
        """(r,) of r draws, given how often each patient was drawn (r, P)."""
        total = np.zeros(len(times))
        for (order, last), mistaken in zip(sorts, wrong, strict=True):
            weight = (times[:, row] * share)[:, order]
            answered = np.cumsum(weight, axis=1)[:, last]
            risk = np.cumsum(weight * mistaken[order], axis=1)[:, last]
            risk = np.divide(risk, answered, out=np.zeros_like(risk), where=answered > 0)
            total += (np.diff(answered, axis=1, prepend=0) * risk).sum(axis=1) / answered[:, -1]
        return total / len(sorts)

    chunk = max(1, _CHUNK_VALUES // len(row))
    draws = draw_patients(patients, resamples, seed, chunk)
    samples = np.concatenate([areas(times) for times in draws])[:, None]
    return expanded_intervals(Bootstrap(areas(np.ones((1, patients))), samples, patients, seed), level)[0]


@dataclass(frozen=True)
class OperatingPoint:
    """From which confidence on clips may be answered.

    Attributes:
        threshold: clips at least so sure may be answered; None if the risk can be promised of none.
        seen: the lowest threshold at which no more were wrong among the validation clips; None if none is.
            Nothing is promised there: it is broken on about every other set of patients.
        risk: at most this share of answered clips of new patients is wrong, each patient weighing the same,
        failure: but for this probability, over validation patients.
        answered: share of the validation clips that is answered from `used` on, each patient weighing the
            same; 0 for None.
        wrong: share of those that is wrong; None if none is answered.
        patients: validation patients it was found on.
        needed: with fewer patients no threshold could have been had, even if everything is right.
    """

    threshold: float | None
    seen: float | None
    risk: float
    failure: float
    answered: float
    wrong: float | None
    patients: int
    needed: int

    @property
    def used(self) -> float | None:
        """The promised threshold, or else the one that was seen to do; None if there is neither."""
        return self.seen if self.threshold is None else self.threshold

    def __str__(self) -> str:
        promise = f"at most {100 * self.risk:g} % wrong"
        if self.threshold is not None:
            return f"answers from a confidence of {self.threshold:.3f} on: {promise}"
        if self.patients < self.needed:
            why = (
                f"no clip can be answered with {promise} for sure: that cannot be known from "
                f"{self.patients} validation patients, {self.needed} are the least"
            )
        else:
            why = f"no clip can be answered with {promise} for sure: too few are sure, or too many are wrong"
        if self.seen is None:
            return why
        return f"{why}; from a confidence of {self.seen:.3f} on it was so on the validation clips, no promise"


def operating_point(
    confidence: NDArray[Any],
    wrong: NDArray[np.bool_],
    patient: NDArray[Any],
    *,
    risk: float = 0.02,
    failure: float = 0.1,
) -> OperatingPoint:
    """The lowest threshold of which can be promised that at most `risk` of the answered clips are wrong.

    Args:
        confidence: (n,) calibrated, 0 … 1.
        wrong: (n,) whether the named view is not the true one; also True for views that were not taught.
        patient: (n,) pseudonyms, of patients that neither trained nor test the classifier.
        risk: in 0 … 1, exclusive.
        failure: the probability with which the promise may be broken.

    Raises:
        CannotDo: there is no clip.
    """
    if not len(confidence):
        raise CannotDo("no labelled clip to find a threshold on", "label some clips of validation patients")
    share = _shares(patient)
    found = None
    for threshold in np.arange(1 - risk, -_STEP / 2, -_STEP):
        answered = confidence >= threshold
        excess = patient_sums(share * answered * (wrong - risk), patient)
        if _bet(excess, risk) < 1 / failure:
            break
        found = max(float(threshold), 0.0)
    curve = risk_coverage(confidence, wrong, patient)
    allowed = np.flatnonzero(curve.risk <= risk)
    seen = float(curve.threshold[allowed[-1]]) if len(allowed) else None
    used = seen if found is None else found
    answered = np.zeros(len(confidence), bool) if used is None else confidence >= used
    return OperatingPoint(
        threshold=found,
        seen=seen,
        risk=risk,
        failure=failure,
        answered=float(share[answered].sum() / share.sum()),
        wrong=float((share * wrong)[answered].sum() / share[answered].sum()) if answered.any() else None,
        patients=len(np.unique(patient)),
        needed=patients_needed(risk, failure),
    )


def patients_needed(risk: float, failure: float) -> int:
    """With fewer validation patients `operating_point` finds nothing, even if all answers are right."""

    def enough(patients: int) -> bool:
        gains = np.log1p(np.array(_BETS) * risk / (1 - risk))
        return bool(np.exp(np.minimum(gains * patients, 500)) @ _STAKES >= 1 / failure)

    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def answered_figures(
    confidence: NDArray[Any],
    wrong: NDArray[np.bool_],
    patient: NDArray[Any],
    threshold: Sequence[float | None],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[Interval, Interval | None]:
    """Share answered, and share wrong of those, on judged clips; averaged over s training seeds.

    The second is None where a seed answers none.

    Args:
        confidence: (s, n) of the same n clips.
        wrong: (s, n).
        patient: (n,) pseudonyms.
        threshold: one a seed; None answers nothing.
        resamples: number of draws of patients.
        seed: fixes the draws.
        level: confidence of the intervals.
    """
    answered = np.stack(
        [sure >= (np.inf if t is None else t) for sure, t in zip(confidence, threshold, strict=True)]
    )
    share = _shares(patient)
    values = np.stack([np.ones_like(answered), answered, answered & wrong], axis=2) * share[:, None]
    tables = np.stack([patient_sums(each, patient) for each in values])
    drawn = bootstrap(tables, _answered_and_wrong, resamples=resamples, seed=seed)
    first, second = expanded_intervals(drawn, level)
    return first, None if np.isnan(second.value) else second


def _answered_and_wrong(sums: Counts) -> Figures:
    shares = np.full((*sums.shape[:-1], 2), np.nan)  # of none at all there is no share
    np.divide(sums[..., 1:], sums[..., :2], out=shares, where=sums[..., :2] > 0)
    return shares


def _bet(excess: NDArray[np.float64], risk: float) -> float:
    """E, from each patient's excess (P,) in -risk … 1 - risk."""
    bets = np.array(_BETS) / (1 - risk)
    with np.errstate(divide="ignore"):  # the largest bet loses everything on a patient who is all wrong
        logs = np.log(np.maximum(1 - bets[:, None] * excess, 0)).sum(axis=1)
    return float(np.exp(np.minimum(logs, 500)) @ _STAKES)


def _shares(patient: NDArray[Any]) -> NDArray[np.float64]:
    """(n,): 1 / the number of clips of the clip's patient."""
    _, row, clips = np.unique(patient, return_inverse=True, return_counts=True)
    return np.asarray(1 / clips[row])


def _by_confidence(confidence: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(n,) the surest first; and of each different confidence the last place, (c,)."""
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    return order, np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
