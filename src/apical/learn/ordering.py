"""The order in which the clips of an exam are filmed: a Markov chain over views, learnt from exams.

What a clip shows is hidden; what a classifier says of it is the evidence. Only the chain is learnt, the
classifier stays as it is. Rabiner 1989 (Proc. IEEE 77, 257) is the source of all three algorithms here.

Log-probabilities come as a classifier gives them, log p(view | clip), (n, k) for the n clips of an exam in
the order of their filming. Evidence is log p(clip | view) = log p(view | clip) - log p(view), up to a
constant for each clip. The shares p(view) are those in which the classifier believes, and `log_prior`, (k,)
float64, their logarithms. A classifier that was trained with logit adjustment, or on equally many clips of
each view, believes in equal shares, and needs none. A clip with a label has 0 in that view's column and
-inf in the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]

EXAMS_AT_ONCE = 64


@dataclass(frozen=True)
class Order:
    """Which view comes first, and which after which.

    All probabilities are above 0: no order is impossible, so a sure classifier can overrule any.

    Attributes:
        initial: (k,) float64, probability of each view for the first clip.
        transition: (k, k) float64, in row i the probabilities of the view that follows view i.

    Raises:
        ValueError: the arrays do not fit this description.
    """

    initial: Array
    transition: Array

    def __post_init__(self) -> None:
        k = len(self.initial)
        if self.initial.shape != (k,) or self.transition.shape != (k, k):
            raise ValueError(f"initial is {self.initial.shape}, transition {self.transition.shape}")
        for table in (self.initial, self.transition):
            if not (table > 0).all() or not np.allclose(table.sum(axis=-1), 1, rtol=0, atol=1e-6):
                raise ValueError("probabilities must be above 0 and add up to 1")


def fit_order(
    exams: Sequence[Scores],
    *,
    log_prior: Array | None = None,
    pseudo_count: float = 1.0,
    iterations: int = 100,
    tolerance: float = 1e-5,
) -> Order:
    """Learn the chain from exams, labelled, in part labelled or not, by Baum-Welch with fixed evidence.

    From equal probabilities, expectation maximisation climbs the log-likelihood of the exams plus
    `pseudo_count`/k times the sum of the logarithms of all probabilities (a Dirichlet prior). It never falls.

    Args:
        exams: (n, k) log-probabilities each; an exam without clips has no part.
        log_prior: (k,) see the top of the file.
        pseudo_count: imaginary first clips, and followers of each view, spread evenly over the views; > 0.
        iterations: the most steps.
        tolerance: stop when a step gains less than that, in nats a clip.

    Raises:
        ValueError: no exam has a clip, a pseudo-count is not above 0, or log-probabilities are unfit.
    """
    if not pseudo_count > 0:
        raise ValueError(f"the pseudo-count is {pseudo_count}, but must be above 0")
    evidence = [_evidence(exam, log_prior) for exam in exams if len(exam)]
    if not evidence:
        raise ValueError("there is no exam with a clip")
    clips = sum(map(len, evidence))
    blocks = _blocks(evidence)
    k = evidence[0].shape[1]
    order = Order(np.full(k, 1 / k), np.full((k, k), 1 / k))
    before = -np.inf
    for _ in range(iterations):
        first, follows = np.full(k, pseudo_count / k), np.full((k, k), pseudo_count / k)
        now = pseudo_count / k * float(np.log(order.initial).sum() + np.log(order.transition).sum())
        for block, lengths in blocks:
            likelihood, block_first, block_follows = _expected_uses(block, lengths, order)
            now, first, follows = now + likelihood, first + block_first, follows + block_follows
        order = Order(first / first.sum(), follows / follows.sum(axis=1, keepdims=True))
        if now - before < tolerance * clips:
            break
        before = now
    return order


def posteriors(log_probabilities: Scores, order: Order, *, log_prior: Array | None = None) -> Array:
    """What each clip shows, given all clips of its exam: log-probabilities (n, k), by forward-backward.

    The shares of the views are the chain's, those of `log_prior` are taken out.

    Args:
        log_probabilities: (n, k), clips in the order of their filming.
        order: the chain.
        log_prior: (k,) see the top of the file.

    Raises:
        ValueError: log-probabilities are unfit.
    """
    evidence = _evidence(log_probabilities, log_prior)
    if not len(evidence):
        return evidence
    forward, backward = _messages(evidence[None], order)
    return normalised(forward[0] + backward[0])


def log_likelihood(log_probabilities: Scores, order: Order, *, log_prior: Array | None = None) -> float:
    """Log-likelihood of one exam, in nats, up to a constant of its clips; arguments as for `posteriors`."""
    evidence = _evidence(log_probabilities, log_prior)
    if not len(evidence):
        return 0.0
    forward, _ = _messages(evidence[None], order)
    return float(np.logaddexp.reduce(forward[0, -1]))


def most_likely_path(
    log_probabilities: Scores, order: Order, *, log_prior: Array | None = None
) -> NDArray[np.int64]:
    """The one most probable sequence of views, (n,) int64, by Viterbi; arguments as for `posteriors`.

    Where two are equally probable, either may be returned.
    """
    evidence = _evidence(log_probabilities, log_prior)
    n, k = evidence.shape
    path = np.zeros(n, np.int64)
    if not n:
        return path
    transition = np.log(order.transition)
    best = np.log(order.initial) + evidence[0]  # log-probability of the best path that ends in each view
    came_from = np.zeros((n, k), np.int64)
    for clip in range(1, n):
        arriving = best[:, None] + transition
        came_from[clip] = arriving.argmax(axis=0)
        best = arriving.max(axis=0) + evidence[clip]
    path[-1] = best.argmax()
    for clip in range(n - 1, 0, -1):
        path[clip - 1] = came_from[clip, path[clip]]
    return path


def normalised(scores: Scores) -> Array:
    """Logarithms of rows (n, k) that add up to 1, float64; -inf stays.

    Raises:
        ValueError: the array has not two axes, holds NaN or inf, or a row holds nothing but -inf.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or not np.isfinite(scores.max(axis=1)).all():
        raise ValueError("log-probabilities must be (n, k), with a finite greatest value in each row")
    return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))


def _evidence(log_probabilities: Scores, log_prior: Array | None) -> Array:
    """(n, k) log-likelihoods of the views, up to a constant a clip."""
    scores = normalised(log_probabilities)
    return scores if log_prior is None else scores - log_prior


def _blocks(exams: Sequence[Array]) -> list[tuple[Array, NDArray[np.int64]]]:
    """Exams of like length together: (e, n, k) evidence and (e,) lengths; 0 where an exam has no more clips.

    Such a clip is one of which nothing is known, so what is found for the real ones stays right.
    """
    blocks = []
    ranked = sorted(exams, key=len)
    for start in range(0, len(ranked), EXAMS_AT_ONCE):
        part = ranked[start : start + EXAMS_AT_ONCE]
        block = np.zeros((len(part), len(part[-1]), part[-1].shape[1]))
        for row, exam in zip(block, part, strict=True):
            row[: len(exam)] = exam
        blocks.append((block, np.array([len(exam) for exam in part])))
    return blocks


def _messages(evidence: Array, order: Order) -> tuple[Array, Array]:
    """Forward and backward log-probabilities (e, n, k) of e exams (Rabiner 1989, eq. 19-25)."""
    forward, backward = np.zeros_like(evidence), np.zeros_like(evidence)
    forward[:, 0] = np.log(order.initial) + evidence[:, 0]
    for clip in range(1, evidence.shape[1]):
        forward[:, clip] = _log_product(forward[:, clip - 1], order.transition) + evidence[:, clip]
        later = evidence[:, -clip] + backward[:, -clip]
        backward[:, -clip - 1] = _log_product(later, order.transition.T)
    return forward, backward


def _log_product(logarithms: Array, matrix: Array) -> Array:
    """log(exp(logarithms) @ matrix); cannot underflow, since the matrix is above 0."""
    top = logarithms.max(axis=-1, keepdims=True)
    return np.asarray(top + np.log(np.exp(logarithms - top) @ matrix))


def _expected_uses(evidence: Array, lengths: NDArray[np.int64], order: Order) -> tuple[float, Array, Array]:
    """Log-likelihood of a block; expected number of times each view is first (k,) and follows each (k, k)."""
    forward, backward = _messages(evidence, order)
    k = evidence.shape[2]
    first = np.exp(normalised(forward[:, 0] + backward[:, 0])).sum(axis=0)
    earlier, later = forward[:, :-1], (evidence + backward)[:, 1:]
    earlier = np.exp(earlier - earlier.max(axis=2, keepdims=True))
    later = np.exp(later - later.max(axis=2, keepdims=True))
    real = np.arange(1, evidence.shape[1]) < lengths[:, None]
    weight = real / ((earlier @ order.transition) * later).sum(axis=2)
    pairs = (earlier * weight[:, :, None]).reshape(-1, k).T @ later.reshape(-1, k)
    return float(np.logaddexp.reduce(forward[:, -1], axis=1).sum()), first, order.transition * pairs
