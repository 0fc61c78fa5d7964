"""Metrics equal scikit-learn's; what is not defined is NaN and never left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from apical.judge import metrics

K = 5
pairs = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[hnp.arrays(np.int64, n, elements=st.integers(0, K - 1))] * 2)
)


@settings(deadline=None, max_examples=80)
@given(pairs)
def test_equal_to_scikit_learn_on_views_present_in_the_truth(pair):
    label, predicted = pair
    confusion = metrics.confusion_matrix(label, predicted, K)
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(label, predicted, labels=range(K)))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        label, predicted, labels=range(K), zero_division=np.nan
    )
    present = support > 0
    np.testing.assert_array_equal(metrics.support(confusion), support)
    np.testing.assert_array_equal(metrics.absent_views(confusion), ~present)
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
    assert metrics.accuracy(confusion) == pytest.approx(sk.accuracy_score(label, predicted))


def test_batches_give_what_single_matrices_give():
    batch = np.random.default_rng(0).integers(0, 4, (3, 2, K, K))
    batch[0, 0, 2] = 0
    for function in (metrics.precision, metrics.recall, metrics.f1, metrics.macro_f1, metrics.accuracy):
        single = np.array([[function(matrix) for matrix in row] for row in batch])
        np.testing.assert_array_equal(function(batch), single)


def test_an_absent_view_is_nan_even_where_it_was_wrongly_named():
    confusion = metrics.confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 1]), 3)
    assert metrics.absent_views(confusion).tolist() == [False, False, True]
    assert np.isnan(metrics.f1(confusion)[2])
    assert np.isnan(metrics.recall(confusion)[2])
    assert metrics.precision(confusion)[2] == 0
    assert metrics.macro_f1(confusion) == pytest.approx((2 / 3 + 1) / 2)


def test_unlabelled_clips_are_not_counted_and_no_clip_gives_nan():
    confusion = metrics.confusion_matrix(np.array([-1, -1]), np.array([0, 1]), 2)
    assert confusion.sum() == 0
    assert np.isnan(metrics.macro_f1(confusion))
    assert np.isnan(metrics.accuracy(confusion))


def test_one_view_only_in_the_truth():
    confusion = metrics.confusion_matrix(np.zeros(4, np.int64), np.array([0, 0, 0, 1]), 2)
    assert metrics.macro_f1(confusion) == pytest.approx(6 / 7)
    assert metrics.balanced_accuracy(confusion) == 0.75


def test_mean_f1_takes_the_chosen_views():
    confusion = metrics.confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), 3)
    f1 = metrics.f1(confusion)
    assert metrics.mean_f1(confusion, np.array([False, True, True])) == f1[1]
    assert np.isnan(metrics.mean_f1(confusion, np.array([False, False, True])))
