"""Looking stops only when the rest of a clip could hardly change what is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.deploy.early import ERRORS, FEWEST, is_settled, looking_order

SURE = {"doubtful_below": None, "threshold": 1e9}


def rows(*probabilities):
    return np.log(np.array(probabilities))


@given(st.integers(1, 200))
def test_every_frame_comes_once_and_the_first_ones_lie_evenly(count):
    order = looking_order(count)
    assert sorted(order) == list(range(count))
    assert order[0] == count // 2
    for seen in range(1, count + 1):
        places = np.sort(order[:seen])
        gaps = np.diff([-1, *places, count])
        assert gaps.max() <= 2 * (count + 1) / seen + 1  # evenly would be (count + 1) / (seen + 1)


@pytest.mark.parametrize("extra", [0, 1])
def test_one_frame_settles_nothing_and_all_frames_settle_everything(extra):
    equal = rows(*[[0.5, 0.5]] * (FEWEST + extra))
    assert not is_settled(equal[: FEWEST - 1], np.ones(FEWEST - 1), 8, **SURE)
    assert not is_settled(equal, np.ones(len(equal)), 8, **SURE)
    assert is_settled(equal, np.ones(len(equal)), len(equal), **SURE)


def test_frames_that_agree_settle_it_and_frames_that_do_not_do_not():
    assert is_settled(rows([0.9, 0.1], [0.89, 0.11]), np.ones(2), 8, **SURE)
    assert not is_settled(rows([0.9, 0.1], [0.4, 0.6]), np.ones(2), 8, **SURE)


def test_a_view_close_to_the_point_of_doubt_or_to_unknown_is_looked_at_longer():
    said = rows([0.90, 0.1], [0.85, 0.15])
    assert is_settled(said, np.ones(2), 8, **SURE)
    assert is_settled(said, np.ones(2), 8, doubtful_below=0.5, threshold=1e9)
    assert not is_settled(said, np.ones(2), 8, doubtful_below=0.88, threshold=1e9)
    assert is_settled(said, np.array([10.0, 11]), 8, doubtful_below=None, threshold=100)
    assert not is_settled(said, np.array([60.0, 120]), 8, doubtful_below=None, threshold=100)


@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.floats(0.1, 3))
def test_it_is_the_rule_of_a_finite_population(seed, seen, spread):
    """Written out for two views: the margin's mean against its standard error among 8 frames."""
    random = np.random.default_rng(seed)
    margin = 1 + spread * random.standard_normal(seen)
    said = np.stack([-np.log1p(np.exp(-margin)), -np.log1p(np.exp(margin))], axis=1)
    error = margin.std(ddof=1) / np.sqrt(seen) * np.sqrt(1 - seen / 8)
    assert is_settled(said, np.ones(seen), 8, **SURE) == (abs(margin.mean()) > ERRORS * error)
    assert is_settled(said, np.ones(seen), 8, doubtful_below=0.0, threshold=1e9) == is_settled(
        said, np.ones(seen), 8, **SURE
    )
