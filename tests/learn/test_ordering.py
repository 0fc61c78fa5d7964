"""Posteriors, paths and steps of learning equal the enumeration of all paths; counts equal counting."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apical.learn.ordering as room
from apical.learn.ordering import (
    Order,
    fit_order,
    log_likelihood,
    most_likely_path,
    normalised,
    posteriors,
)


def an_order(k, seed=0):
    generator = np.random.default_rng(seed)
    return Order(generator.dirichlet(np.ones(k)), generator.dirichlet(np.ones(k), k))


def an_exam(n, k, seed=0, spread=2.0):
    return normalised(np.random.default_rng(seed).normal(0, spread, (n, k)))


def one_hot(label, k):
    return np.where(np.arange(k) == np.array(label)[:, None], 0, -np.inf)


def paths(exam, order, log_prior=0.0):
    """All k^n paths and the log-probability of each with its evidence, by multiplying along the path."""
    evidence = exam - log_prior
    found = list(product(range(exam.shape[1]), repeat=len(exam)))
    score = [
        np.log(order.initial[path[0]])
        + sum(np.log(order.transition[one, other]) for one, other in pairwise(path))
        + sum(evidence[clip, view] for clip, view in enumerate(path))
        for path in found
    ]
    return np.array(found), np.array(score)


def expected_uses(exam, order):
    """By enumeration: log-likelihood, and how often each view comes first and follows each."""
    found, score = paths(exam, order)
    k = exam.shape[1]
    total = np.logaddexp.reduce(score)
    first, follows = np.zeros(k), np.zeros((k, k))
    for path, weight in zip(found, np.exp(score - total), strict=True):
        first[path[0]] += weight
        for one, other in pairwise(path):
            follows[one, other] += weight
    return total, first, follows


def objective(exams, order, pseudo_count):
    k = len(order.initial)
    dirichlet = pseudo_count / k * (np.log(order.initial).sum() + np.log(order.transition).sum())
    return sum(log_likelihood(exam, order) for exam in exams) + dirichlet


CASES = [(1, 3), (2, 3), (5, 3), (4, 4), (7, 2)]


@pytest.mark.parametrize(("n", "k"), CASES)
@pytest.mark.parametrize("labelled", [False, True])
def test_posteriors_likelihood_and_path_equal_the_enumeration_of_all_paths(n, k, labelled):
    exam, order = an_exam(n, k, seed=n), an_order(k, seed=k)
    if labelled:
        exam[n // 2] = one_hot([1], k)
    log_prior = np.log(np.random.default_rng(9).dirichlet(np.ones(k)))
    found, score = paths(exam, order, log_prior)
    total = np.logaddexp.reduce(score)
    expected = [
        [np.exp(score[found[:, clip] == view] - total).sum() for view in range(k)] for clip in range(n)
    ]
    assert np.exp(posteriors(exam, order, log_prior=log_prior)) == pytest.approx(
        np.array(expected), abs=1e-12
    )
    assert log_likelihood(exam, order, log_prior=log_prior) == pytest.approx(total)
    path = most_likely_path(exam, order, log_prior=log_prior)
    assert path.dtype == np.int64
    assert path.tolist() == found[score.argmax()].tolist()


def test_the_likeliest_path_is_not_the_likeliest_view_of_each_clip():
    """Else the test above could not tell one from the other: here they differ."""
    order = Order(
        np.array([0.4, 0.3, 0.3]), np.array([[0.1, 0.45, 0.45], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]])
    )
    exam = np.log(np.full((2, 3), 1 / 3))
    assert posteriors(exam, order)[0].argmax() == 0
    assert most_likely_path(exam, order)[0] in (1, 2)


@pytest.mark.parametrize("block", [1, 2, 64])
def test_one_step_of_learning_is_the_count_over_all_paths(monkeypatch, block):
    """Also with exams of other lengths beside it: what fills them up adds nothing."""
    monkeypatch.setattr(room, "EXAMS_AT_ONCE", block)
    k, pseudo_count = 3, 0.7
    exams = [an_exam(n, k, seed=n) for n in (1, 4, 2, 6)]
    exams[1][2] = one_hot([0], k)
    uniform = Order(np.full(k, 1 / k), np.full((k, k), 1 / k))
    uses = [expected_uses(exam, uniform) for exam in exams]
    first = sum(use[1] for use in uses) + pseudo_count / k
    follows = sum(use[2] for use in uses) + pseudo_count / k
    order = fit_order([*exams, np.zeros((0, k))], pseudo_count=pseudo_count, iterations=1)
    assert order.initial == pytest.approx(first / first.sum(), abs=1e-12)
    assert order.transition == pytest.approx(follows / follows.sum(axis=1, keepdims=True), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_learning_never_falls_and_ends_where_a_step_changes_nothing(seed):
    k, pseudo_count = 4, 0.5
    truth = an_order(k, seed)
    generator = np.random.default_rng(seed)
    exams = [
        normalised(3 * np.eye(k)[walk(truth, n, generator)] + generator.normal(0, 1, (n, k)))
        for n in generator.integers(1, 12, 30)
    ]
    orders = [
        fit_order(exams, pseudo_count=pseudo_count, iterations=step, tolerance=0) for step in range(1, 25)
    ]
    values = [objective(exams, order, pseudo_count) for order in orders]
    assert (np.diff(values) > -1e-9).all()
    assert values[-1] > values[0] + 1
    last = fit_order(exams, pseudo_count=pseudo_count, iterations=3000, tolerance=1e-14)
    again = fit_order(exams, pseudo_count=pseudo_count, iterations=3001, tolerance=1e-14)
    assert again.transition == pytest.approx(last.transition, abs=1e-4)
    assert objective(exams, last, pseudo_count) >= values[-1] - 1e-9


def walk(order, n, generator):
    views = [generator.choice(len(order.initial), p=order.initial)]
    while len(views) < n:
        views.append(generator.choice(len(order.initial), p=order.transition[views[-1]]))
    return np.array(views)


def test_the_shares_in_which_the_classifier_believes_are_taken_out_before_learning():
    exams, log_prior = [an_exam(5, 3, seed=seed) for seed in range(8)], np.log([0.7, 0.2, 0.1])
    order = fit_order(exams, log_prior=log_prior)
    assert order.transition == pytest.approx(fit_order([exam - log_prior for exam in exams]).transition)
    assert np.abs(order.transition - fit_order(exams).transition).max() > 0.1


def test_learning_stops_at_the_tolerance():
    exams = [an_exam(6, 3, seed=seed) for seed in range(10)]
    early, late = fit_order(exams, tolerance=0.1), fit_order(exams, tolerance=1e-9)
    assert (early.transition == fit_order(exams, tolerance=0.1, iterations=2).transition).all()
    assert objective(exams, late, 1) > objective(exams, early, 1)


def test_labelled_exams_are_counted():
    k = 3
    labels = [[0, 0, 1, 2], [0, 1], [1, 2, 2], [2]]
    order = fit_order([one_hot(label, k) for label in labels], pseudo_count=0.3)
    first, follows = np.full(k, 0.1), np.full((k, k), 0.1)
    for label in labels:
        first[label[0]] += 1
        for one, other in pairwise(label):
            follows[one, other] += 1
    assert order.initial == pytest.approx(first / first.sum())
    assert order.transition == pytest.approx(follows / follows.sum(axis=1, keepdims=True))


def test_the_true_chain_is_found_from_exams_without_labels():
    truth = Order(np.array([0.8, 0.1, 0.1]), np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]]))
    generator = np.random.default_rng(0)
    views = [walk(truth, 12, generator) for _ in range(600)]
    seen = [generator.normal(path, 0.5)[:, None] for path in views]
    exams = [normalised(-((place - np.arange(3)) ** 2) / (2 * 0.5**2)) for place in seen]
    alone = np.mean([exam.argmax(axis=1) == path for exam, path in zip(exams, views, strict=True)])
    assert alone < 0.85
    order = fit_order(exams, tolerance=1e-8, iterations=500)
    assert order.transition == pytest.approx(truth.transition, abs=0.05)
    assert order.initial == pytest.approx(truth.initial, abs=0.05)
    assert objective(exams, order, 1) > objective(exams, truth, 1)


def test_without_an_order_the_prior_is_swapped_and_no_more():
    """Where the next view does not depend on the last, Bayes' rule gives each clip's answer alone."""
    k, share = 4, np.array([0.1, 0.2, 0.3, 0.4])
    exam, log_prior = an_exam(6, k), np.log([0.4, 0.4, 0.1, 0.1])
    independent = Order(share, np.tile(share, (k, 1)))
    assert posteriors(exam, independent, log_prior=log_prior) == pytest.approx(
        normalised(exam - log_prior + np.log(share))
    )
    equal = Order(np.full(k, 1 / k), np.full((k, k), 1 / k))
    assert posteriors(exam, equal) == pytest.approx(exam)


def test_a_long_exam_of_sure_clips_neither_underflows_nor_loses_small_probabilities():
    k, n = 5, 2000
    order = an_order(k, 3)
    exam = an_exam(n, k, seed=5, spread=300)
    exam[:, 4] = -1e4  # a view that was not taught
    found = posteriors(exam, order)
    forward, backward = np.log(order.initial) + exam[0], np.zeros(k)
    transition = np.log(order.transition)
    forwards, backwards = [forward], [backward]
    for clip in range(1, n):
        forwards.append(np.logaddexp.reduce(forwards[-1][:, None] + transition, axis=0) + exam[clip])
        backwards.append(np.logaddexp.reduce(transition + exam[n - clip] + backwards[-1], axis=1))
    assert np.isfinite(found).all()
    assert found == pytest.approx(normalised(np.array(forwards) + np.array(backwards[::-1])), abs=1e-6)
    assert not (most_likely_path(exam, order) == 4).any()


@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_rows_are_probabilities_whatever_views_are_called(n, k, seed):
    exam, order = an_exam(n, k, seed, spread=5), an_order(k, seed)
    name = np.random.default_rng(seed).permutation(k)
    renamed = Order(order.initial[name], order.transition[np.ix_(name, name)])
    found = posteriors(exam, order)
    assert np.exp(found).sum(axis=1) == pytest.approx(np.ones(n))
    assert posteriors(exam[:, name], renamed) == pytest.approx(found[:, name])
    assert (name[most_likely_path(exam[:, name], renamed)] == most_likely_path(exam, order)).all()
    learnt = fit_order([exam, exam[::-1]], iterations=3)
    assert fit_order([exam[:, name], exam[::-1, name]], iterations=3).transition == pytest.approx(
        learnt.transition[np.ix_(name, name)]
    )


def test_an_exam_without_clips_has_no_answers():
    order, nothing = an_order(3), np.zeros((0, 3), np.float32)
    assert posteriors(nothing, order).shape == (0, 3)
    assert most_likely_path(nothing, order).shape == (0,)
    assert log_likelihood(nothing, order) == 0


@pytest.mark.parametrize(
    "bad",
    [np.zeros(3), [[np.nan, 0]], [[np.inf, 0]], [[-np.inf, -np.inf]]],
    ids=["1-D", "nan", "inf", "none"],
)
def test_unfit_log_probabilities_are_refused(bad):
    with pytest.raises(ValueError, match="log-probabilities must be"):
        posteriors(np.array(bad), an_order(2))


def test_an_order_is_of_positive_probabilities():
    half = np.full(2, 0.5)
    for initial, transition in (
        (np.array([1.0, 0.0]), np.full((2, 2), 0.5)),
        (half, np.eye(2)),
        (half, np.full((2, 2), 0.4)),
        (half, np.full((2, 3), 1 / 3)),
    ):
        with pytest.raises(ValueError, match=r"above 0|initial is"):
            Order(initial, transition)


def test_learning_from_nothing_is_refused():
    with pytest.raises(ValueError, match="no exam"):
        fit_order([np.zeros((0, 3))])
    with pytest.raises(ValueError, match="pseudo-count"):
        fit_order([an_exam(3, 3)], pseudo_count=0)
