"""Holm's correction is its definition; bootstrap p-values are those of the test they stand for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from apical.judge.holm import holm, holm_together, two_sided_p


def rejected_step_down(p, level):
    """Holm 1979: the i-th smallest of n, from 0, if it and all smaller ones are at most level / (n - i)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    rejected = set()
    for i, place in enumerate(order):
        if p[place] * (len(p) - i) > level:
            break
        rejected.add(place)
    return rejected


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
    st.floats(0.001, 0.999),
)
def test_rejects_what_the_procedure_rejects(p, level):
    assert set(np.flatnonzero(holm(np.array(p)) <= level)) == rejected_step_down(p, level)


def test_a_worked_example():
    """p × (4, 3, 2, 1) in the order of size, and never less than the one before."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=9))
def test_comparisons_that_could_not_be_made_are_as_if_not_there(p):
    adjusted = holm(np.array(p))
    made = [value for value in p if not math.isnan(value)]
    assert np.isnan(adjusted).tolist() == [math.isnan(value) for value in p]
    np.testing.assert_array_equal(adjusted[~np.isnan(adjusted)], holm(np.array(made)))


@given(st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(math.nan)), min_size=1, max_size=30))
def test_p_by_counting(samples):
    known = [value for value in samples if not math.isnan(value)]
    p = two_sided_p(np.array(samples))
    if not known:
        assert math.isnan(p)
        return
    below, above = (sum(sign * value >= 0 for value in known) for sign in (-1, 1))
    assert p == min(1, 2 * (1 + min(below, above)) / (1 + len(known)))
    assert p == two_sided_p(-np.array(samples))


@pytest.mark.parametrize("z", [0.5, 1.5, 2.5])
def test_p_of_normal_samples_is_that_of_the_z_test(z):
    samples = np.random.default_rng(0).normal(z, 1, 200_000)
    assert two_sided_p(samples) == pytest.approx(2 * norm.sf(z), rel=0.05)


def test_p_is_never_zero():
    assert two_sided_p(np.ones(999)) == 0.002
    assert two_sided_p(np.zeros(999)) == 1


def test_named_comparisons_are_adjusted_together():
    groups = [{"rare": 0.01, "common": 0.04}, {}, {"rare": 0.03, "common": float("nan")}]
    found = holm_together(groups)
    flat = holm(np.array([0.01, 0.04, 0.03, np.nan]))
    assert [list(group) for group in found] == [["rare", "common"], [], ["rare", "common"]]
    np.testing.assert_array_equal([*found[0].values(), *found[2].values()], flat)
