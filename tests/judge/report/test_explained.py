"""Which decisions are explained: the surest wrong ones, and right ones of as many views as can be."""

from dataclasses import replace

import numpy as np
import pytest

from apical.judge.report.explained import chosen_rows
from apical.judge.runs import labelled
from fake_runs import VIEWS, fake_predictions

JUDGED = labelled(fake_predictions(skill=1.5), "test")
RIGHT = JUDGED.predicted == JUDGED.label
SURE = JUDGED.log_probabilities.max(axis=1)


@pytest.mark.parametrize("count", [1, 6, 20, 10_000])
def test_half_are_wrong_and_the_surest(count):
    rows = chosen_rows(JUDGED, count)
    assert len(set(rows.tolist())) == len(rows) == min(count, len(JUDGED))
    wrong = rows[~RIGHT[rows]]
    assert len(wrong) == (min(count // 2, (~RIGHT).sum()) if count < 100 else (~RIGHT).sum())
    np.testing.assert_array_equal(SURE[wrong], np.sort(SURE[~RIGHT])[::-1][: len(wrong)])


def test_right_ones_are_of_different_views_first():
    rows = chosen_rows(JUDGED, 20)
    right = rows[RIGHT[rows]]
    assert len(set(JUDGED.label[right])) == len(right) == 10
    for row in right:
        same = RIGHT & (JUDGED.label == JUDGED.label[row])
        assert SURE[row] == SURE[same].max()


def test_where_all_are_right_or_wrong_the_others_fill_the_page():
    right = JUDGED.select(RIGHT)
    assert len(chosen_rows(right, 8)) == 8
    shifted = replace(right, label=(right.label + 1) % len(VIEWS))
    assert len(chosen_rows(shifted, 8)) == 8
