"""Naming the clips of an exam together: the order of filming, and about so many clips of each view.

A standard exam shows most views once or a few times, in a usual order. Both are learnt from exams
(`fit_prior`), labelled or not, and used in this order (`decode_exam`):

1. Clips whose place is known: posteriors of the chain of views (`ordering`).
2. All clips: `transport`, which pulls the number of clips of each view towards the expected one.

Both hold the shares of the views, yet these are not counted twice. The chain's shares replace those of the
classifier, which are taken out as `log_prior`. Transport does not multiply by shares: it acts on the
difference between the number of clips and the expected one, and where there is none, it changes nothing.

Probabilities must be calibrated (`judge.calibration`): an overconfident classifier is not moved by its exam.
A prior must not come from the exams that are judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo
from apical.learn.ordering import Array, Order, Scores, fit_order, normalised, posteriors

LEAST_SHARE = 1e-6
"""No view is expected in a smaller share of clips, so that a sure clip can show any view."""


@dataclass(frozen=True)
class ExamPrior:
    """What is known of exams before one is seen.

    Attributes:
        expected: (k,) float64 ≥ 0, mean number of clips of each view in an exam; its sum is the usual length.
        order: the chain of views; None where the order of filming is not to be used.
        log_prior: (k,) logarithms of the shares in which the classifier believes; None if they are equal.
    """

    expected: Array
    order: Order | None = None
    log_prior: Array | None = None


def transport(
    log_probabilities: Scores,
    expected: Array,
    *,
    strength: float,
    entropy: float = 1.0,
    tolerance: float = 1e-9,
    iterations: int = 10_000,
) -> Array:
    """Log-probabilities (n, k) of one exam that agree better with the expected number of clips of each view.

    The P ≥ 0 with rows that add up to 1 that minimises

        -Σ P·L + entropy Σ P log P + strength KL(column sums of P ‖ expected),

    KL(a ‖ b) = Σ a log(a/b) - a + b: unbalanced optimal transport, solved by Sinkhorn scaling of logarithms
    (Chizat et al. 2018, arXiv 1607.05816, alg. 1, with one exact and one relaxed marginal). With `entropy` 1,
    a strength of 0 gives softmax(L), and inf the expected numbers exactly (balanced transport).

    By a large-deviation approximation, numbers of clips then have 1 / (1 + strength) of the variance that
    they would have if each clip were drawn for itself.

    Args:
        log_probabilities: L, (n, k). -inf stays -inf.
        expected: (k,) ≥ 0, scaled here to add up to n, with at least `LEAST_SHARE` of them a view.
        strength: ≥ 0, may be inf.
        entropy: > 0; below 1 sharpens.
        tolerance: stop when no column's factor changes more, in nats, beyond a change common to all.
        iterations: the most steps. The error falls as (strength / (strength + entropy))^steps or faster.
            A strength of inf with very sure clips may need more steps; the columns are then inexact, the
            rows still add up to 1.

    Raises:
        ValueError: log-probabilities, expected numbers, strength or entropy are not as described.
    """
    if not strength >= 0 or not 0 < entropy < np.inf:
        raise ValueError(f"strength is {strength} and entropy {entropy}, but must be ≥ 0, and above 0")
    scores = normalised(np.asarray(log_probabilities, np.float64) / entropy)
    n, k = scores.shape
    wanted = np.log(n) + _log_shares(expected, k) if n else np.zeros(k)
    relaxation = 1.0 if np.isinf(strength) else strength / (strength + entropy)
    possible = (scores > -np.inf).any(axis=0)
    factor, coupling = np.zeros(k), scores
    for _ in range(iterations if n else 0):
        unscaled = np.logaddexp.reduce(coupling, axis=0) - factor
        updated = np.where(possible, relaxation * (wanted - np.where(possible, unscaled, 0)), 0)
        change = np.ptp((updated - factor)[possible])
        factor = updated
        coupling = normalised(scores + factor)
        if change < tolerance:
            break
    return coupling


def expected_counts(exams: Sequence[Array], *, pseudo_count: float = 1.0) -> Array:
    """Mean number of clips of each view in an exam, (k,) float64; the sum is the mean length.

    Args:
        exams: (n, k) each, probabilities of the views of its clips: one-hot where labelled, a classifier's
            where not. A classifier that believes in other shares than the exams have draws the numbers there.
        pseudo_count: imaginary exams, of mean length and with equally many clips of each view; ≥ 0.

    Raises:
        ValueError: there is no exam.
    """
    if not exams:
        raise ValueError("there is no exam to count views in")
    total = np.stack([np.asarray(exam, np.float64).sum(axis=0) for exam in exams]).sum(axis=0)
    even = total.sum() / len(exams) / len(total)
    return np.asarray((total + pseudo_count * even) / (len(exams) + pseudo_count))


def decode_exam(
    log_probabilities: Scores, *, order: NDArray[np.int64], prior: ExamPrior, strength: float = 1.0
) -> Array:
    """Log-probabilities (n, k) of the clips of one exam, given each other.

    A shorter exam than usual is taken as a random part of one, in which numbers vary more: the strength falls
    with its length, to 0 for a single clip. A single clip is thus answered as it is without an exam, exactly.

    Args:
        log_probabilities: (n, k) of a calibrated classifier; a labelled clip's as from `with_labels`.
        order: (n,) acquisition numbers, only their order counts; -1 where unknown. Clips with the same number
            as another have no place either. The chain joins those that have one, if they are two or more.
        prior: from `fit_prior`.
        strength: that of `transport` in an exam of usual length or more; 0 uses the order alone.

    Raises:
        ValueError: the arrays do not fit each other, or are not as described.
    """
    if order.shape != (len(log_probabilities),):
        raise ValueError(f"order is {order.shape} for {len(log_probabilities)} clips")
    scores = _with_order(log_probabilities, order, prior.order, prior.log_prior)
    strength = strength_in_part(strength, len(scores), float(prior.expected.sum()))
    return transport(scores, prior.expected, strength=strength)


def strength_in_part(strength: float, clips: int, usual: float) -> float:
    """The strength for a random part of an exam: `clips` of its `usual` number.

    If numbers in whole exams have 1 / (1 + strength) of the variance of independent clips, those in a part
    drawn without replacement have 1 - f + f / (1 + strength) of it, f = (clips - 1) / (usual - 1).
    """
    part = 0.0 if clips <= 1 else 1.0 if clips >= usual else (clips - 1) / (usual - 1)
    if part == 0 or strength == 0:
        return 0.0
    rest = 1 / strength + 1 - part
    return part / rest if rest > 0 else float("inf")


def decode(
    log_probabilities: Scores,
    study: NDArray[np.int64],
    order: NDArray[np.int64],
    prior: ExamPrior,
    *,
    strength: float = 1.0,
) -> Array:
    """`decode_exam` for all exams: log-probabilities (N, k) float64, in the order given.

    Args:
        log_probabilities: (N, k).
        study: (N,) codes, equal for clips of one exam; clips with -1 are left alone.
        order: (N,) acquisition numbers within the exam, -1 where unknown.
        prior: from `fit_prior`.
        strength: see `decode_exam`.

    Raises:
        ValueError: the arrays do not fit each other, or are not as described.
    """
    decoded = np.array(log_probabilities, np.float64)
    for clips in _exams(study, order, len(decoded)):
        decoded[clips] = decode_exam(decoded[clips], order=order[clips], prior=prior, strength=strength)
    return decoded


def fit_prior(
    log_probabilities: Scores,
    study: NDArray[np.int64],
    order: NDArray[np.int64],
    *,
    label: NDArray[np.int64] | None = None,
    log_prior: Array | None = None,
    pseudo_count: float = 1.0,
) -> ExamPrior:
    """Learn what exams are like: how many clips of each view there are, and which follows which.

    The chain is learnt by one step of expectation maximisation: it counts how likely each view follows each
    by what is said of the two clips alone. More steps fit the chain to the classifier's own errors (a weak
    one likes to name the clips of a patient alike); with few labels five took back all that one had gained.

    Args:
        log_probabilities: (N, k) of a calibrated classifier, best for exams that it was not trained on.
        study: (N,) codes, equal for clips of one exam; clips with -1 have no part.
        order: (N,) acquisition numbers within the exam, -1 where unknown. Without an exam in which two clips
            have a place, the prior has no chain.
        label: (N,) views of the clips, -1 where unknown.
        log_prior: (k,) logarithms of the shares in which the classifier believes; None if they are equal.
        pseudo_count: see `fit_order` and `expected_counts`.

    Raises:
        CannotDo: no clip has a study.
        ValueError: the arrays do not fit each other, or are not as described.
    """
    scores = normalised(log_probabilities)
    if label is not None:
        scores = with_labels(scores, label)
    exams = _exams(study, order, len(scores))
    if not exams:
        raise CannotDo("no clip has a study", "give clips of exams, or decode without an exam prior")
    expected = expected_counts([np.exp(scores[clips]) for clips in exams], pseudo_count=pseudo_count)
    chains = [scores[clips][_places(order[clips])] for clips in exams]
    chains = [chain for chain in chains if len(chain) > 1]
    if not chains:
        return ExamPrior(expected, None, log_prior)
    chain = fit_order(chains, log_prior=log_prior, pseudo_count=pseudo_count, iterations=1)
    return ExamPrior(expected, chain, log_prior)


def with_labels(log_probabilities: Scores, label: NDArray[np.int64]) -> Array:
    """The log-probabilities (n, k), but 0 and -inf in rows with a label, (n,) int64, that is not -1.

    Raises:
        ValueError: labels do not fit the log-probabilities.
    """
    scores = np.array(log_probabilities, np.float64)
    if label.shape != scores.shape[:1] or (label >= scores.shape[1]).any():
        raise ValueError(f"labels must be {scores.shape[:1]} numbers below {scores.shape[1]}")
    known = np.flatnonzero(label >= 0)
    scores[known] = -np.inf
    scores[known, label[known]] = 0
    return scores


def _with_order(
    log_probabilities: Scores, order: NDArray[np.int64], chain: Order | None, log_prior: Array | None
) -> Array:
    """The log-probabilities (n, k), those of clips with a place being the chain's posteriors."""
    scores = normalised(log_probabilities)
    places = _places(order)
    if chain is not None and len(places) > 1:
        scores[places] = posteriors(scores[places], chain, log_prior=log_prior)
    return scores


def _places(order: NDArray[np.int64]) -> NDArray[np.intp]:
    """The clips with an acquisition number of their own, as row numbers in the order of filming."""
    number, row, count = np.unique(order, return_index=True, return_counts=True)
    placed: NDArray[np.intp] = row[(number >= 0) & (count == 1)]
    return placed


def _exams(study: NDArray[np.int64], order: NDArray[np.int64], clips: int) -> list[NDArray[np.intp]]:
    """Row numbers of each exam's clips; clips without a study are in none."""
    if study.shape != (clips,) or order.shape != (clips,):
        raise ValueError(f"study is {study.shape} and order {order.shape} for {clips} clips")
    rows = np.argsort(study, kind="stable")
    rows = rows[study[rows] >= 0]
    return np.split(rows, np.flatnonzero(np.diff(study[rows])) + 1) if len(rows) else []


def _log_shares(expected: Array, views: int) -> Array:
    """Logarithms of shares (k,) that add up to 1, each at least about `LEAST_SHARE`."""
    total = expected.sum()
    if expected.shape != (views,) or not (expected >= 0).all() or not 0 < total < np.inf:
        raise ValueError(f"expected must be ({views},) numbers ≥ 0, not all 0")
    shares = np.maximum(expected / total, LEAST_SHARE)
    return np.asarray(np.log(shares / shares.sum()))
