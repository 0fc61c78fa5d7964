"""Metrics equal scikit-learn's; what is not defined is NaN and never left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from apical.judge import metrics

K = 5


def confusion_matrix(label, predicted, views):
    return sk.confusion_matrix(label, predicted, labels=range(views))


pairs = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[hnp.arrays(np.int64, n, elements=st.integers(0, K - 1))] * 2)
)


@settings(deadline=None, max_examples=80)
@given(pairs)
def test_equal_to_scikit_learn_on_views_present_in_the_truth(pair):
    label, predicted = pair
    confusion = confusion_matrix(label, predicted, K)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        label, predicted, labels=range(K), zero_division=np.nan
    )
    present = support > 0
    np.testing.assert_array_equal(metrics.support(confusion), support)
    np.testing.assert_allclose(metrics.precision(confusion), precision)
    np.testing.assert_allclose(metrics.recall(confusion), recall)
    np.testing.assert_allclose(metrics.f1(confusion), np.where(present, f1, np.nan))
    shown = np.unique(label)
    assert metrics.macro_f1(confusion) == pytest.approx(
        sk.f1_score(label, predicted, labels=shown, average="macro", zero_division=0)
    )
    assert metrics.balanced_accuracy(confusion) == pytest.approx(
        sk.recall_score(label, predicted, labels=shown, average="macro")
    )
    assert metrics.weighted_f1(confusion) == pytest.approx(
        sk.f1_score(label, predicted, labels=shown, average="weighted", zero_division=0)
    )
    assert metrics.accuracy(confusion) == pytest.approx(sk.accuracy_score(label, predicted))
    cost = 1 - np.eye(K)
    assert metrics.mean_cost(confusion, cost) == pytest.approx(sk.zero_one_loss(label, predicted))
    if len({*label, *predicted}) > 1:  # scikit-learn, too, has no kappa where all is one view
        for weights, of in ((None, None), ("quadratic", metrics.quadratic(K))):
            expected = sk.cohen_kappa_score(label, predicted, labels=range(K), weights=weights)
            assert metrics.kappa(confusion, of) == pytest.approx(expected)


def test_batches_give_what_single_matrices_give():
    batch = np.random.default_rng(0).integers(0, 4, (3, 2, K, K))
    batch[0, 0, 2] = 0
    for function in (
        metrics.precision, metrics.recall, metrics.f1, metrics.macro_f1, metrics.weighted_f1,
        metrics.accuracy, metrics.kappa,
    ):  # fmt: skip
        single = np.array([[function(matrix) for matrix in row] for row in batch])
        np.testing.assert_array_equal(function(batch), single)


def test_an_absent_view_is_nan_even_where_it_was_wrongly_named():
    confusion = confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 1]), 3)
    assert metrics.support(confusion).tolist() == [2, 1, 0]
    assert np.isnan(metrics.f1(confusion)[2])
    assert np.isnan(metrics.recall(confusion)[2])
    assert metrics.precision(confusion)[2] == 0
    assert metrics.macro_f1(confusion) == pytest.approx((2 / 3 + 1) / 2)


def test_no_clip_gives_nan():
    nothing = np.zeros((2, 2), np.int64)
    assert np.isnan(metrics.macro_f1(nothing))
    assert np.isnan(metrics.accuracy(nothing))


def test_one_view_only_in_the_truth():
    confusion = confusion_matrix(np.zeros(4, np.int64), np.array([0, 0, 0, 1]), 2)
    assert metrics.macro_f1(confusion) == pytest.approx(6 / 7)
    assert metrics.balanced_accuracy(confusion) == 0.75


def test_mean_f1_takes_the_chosen_views():
    confusion = confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), 3)
    f1 = metrics.f1(confusion)
    assert metrics.mean_f1(confusion, np.array([False, True, True])) == f1[1]
    assert np.isnan(metrics.mean_f1(confusion, np.array([False, False, True])))


def test_a_cost_is_per_clip_and_kappa_compares_it_with_chance():
    confusion = np.array([[8, 2], [1, 9]])
    cost = np.array([[0, 0.25], [0.5, 0]])
    assert metrics.mean_cost(confusion, cost) == pytest.approx((2 * 0.25 + 0.5) / 20)
    by_chance = (10 * 11 * 0.25 + 10 * 9 * 0.5) / 20 / 20
    assert metrics.kappa(confusion, cost) == pytest.approx(1 - metrics.mean_cost(confusion, cost) / by_chance)


def test_kappa_is_nan_where_chance_makes_no_error():
    assert np.isnan(metrics.kappa(np.array([[7, 0], [0, 0]])))
