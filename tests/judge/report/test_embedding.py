"""Maps are the same every time, keep neighbours together, and are left out where they cannot be drawn."""

import numpy as np
import pytest

from apical.judge.report.embedding import embed, map_rows


@pytest.mark.parametrize("dimensions", [1, 8])
def test_groups_stay_groups_and_nothing_is_random(dimensions):
    group = np.repeat([0, 1], 20)
    features = np.random.default_rng(0).normal(0, 1, (40, dimensions)) + 30 * group[:, None]
    position = embed(features)
    assert position.shape == (40, 2)
    np.testing.assert_array_equal(position, embed(features))
    distance = np.linalg.norm(position[:, None] - position, axis=-1) + 1e9 * np.eye(40)
    assert (group[distance.argmin(1)] == group).all()


@pytest.mark.parametrize("features", [np.ones((4, 3)), np.ones((9, 0)), np.ones((9, 3))])
def test_too_few_clips_or_nothing_that_differs(features):
    assert embed(features) is None


def test_rows_are_a_sorted_draw_of_at_most_so_many():
    rows = map_rows(1000, most=10)
    assert len(set(rows.tolist())) == 10
    assert (np.diff(rows) > 0).all()
    assert map_rows(3).tolist() == [0, 1, 2]
