"""The permutation test equals its definition, and its p-values are uniform where nothing differs."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import permutation_test

from apical.judge import metrics, permutation
from apical.judge.permutation import permutation_p


def figures(table):
    return np.stack([metrics.accuracy(table), metrics.macro_f1(table)], axis=-1)


def tables(random, patients, better=0.0):
    """(1, P, 2, 2) of two methods whose answers for a patient's clips hang together."""
    pair = []
    for gain in (better, 0.0):
        rate = np.clip(random.beta(4, 2, patients) + gain, 0, 1)
        right = random.binomial(5, rate[:, None], (patients, 2))
        table = np.zeros((1, patients, 2, 2))
        table[0, :, 0, 0], table[0, :, 0, 1] = right[:, 0], 5 - right[:, 0]
        table[0, :, 1, 1], table[0, :, 1, 0] = right[:, 1], 5 - right[:, 1]
        pair.append(table)
    return pair


def test_equal_to_all_exchanges_of_few_patients():
    one, other = tables(np.random.default_rng(2), 6)
    seen = figures(one.sum(1))[0] - figures(other.sum(1))[0]
    drawn = []
    for coins in product([False, True], repeat=6):
        keep = np.array(coins)[None, :, None, None]
        a, b = np.where(keep, one, other).sum(1), np.where(keep, other, one).sum(1)
        drawn.append(figures(a)[0] - figures(b)[0])
    exact = (np.abs(drawn) >= np.abs(seen) - 1e-12).mean(axis=0)
    np.testing.assert_allclose(permutation_p(one, other, figures, resamples=40_000), exact, atol=0.01)


def test_equal_to_scipy_for_a_mean():
    """Ten clips a patient: the difference of accuracies is a mean, which scipy permutes by itself."""
    one, other = tables(np.random.default_rng(5), 25, better=0.1)
    right = [table[0][:, [0, 1], [0, 1]].sum(axis=1) / 10 for table in (one, other)]
    expected = permutation_test(
        right, lambda a, b: a.mean() - b.mean(), permutation_type="samples", n_resamples=20_000, rng=1
    )
    found = permutation_p(one, other, figures, resamples=20_000)[0]
    assert found == pytest.approx(expected.pvalue, abs=0.01)


def test_rarely_small_where_nothing_differs_and_small_where_much_does():
    random = np.random.default_rng(8)
    p = [permutation_p(*tables(random, 20), figures, resamples=200, seed=i)[0] for i in range(300)]
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.085
    assert permutation_p(*tables(random, 40, better=0.25), figures)[0] < 0.01


def test_equal_methods_give_one_and_absent_views_nan():
    one, _ = tables(np.random.default_rng(3), 7)
    assert permutation_p(one, one, figures).tolist() == [1, 1]
    assert np.isnan(permutation_p(0 * one, 0 * one, figures)).all()


def test_chunks_do_not_change_the_draws(monkeypatch):
    one, other = tables(np.random.default_rng(4), 9)
    whole = permutation_p(one, other, figures, resamples=101)
    monkeypatch.setattr(permutation, "_CHUNK_VALUES", 70)
    np.testing.assert_array_equal(permutation_p(one, other, figures, resamples=101), whole)


def test_unlike_tables_are_refused():
    one, _ = tables(np.random.default_rng(3), 7)
    with pytest.raises(ValueError, match="different shapes"):
        permutation_p(one, one[:, :3], figures)
