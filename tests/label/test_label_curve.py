"""The curve of estimates over labels: kept from run to run, whatever becomes of its file."""

import numpy as np

from apical.label.advice import Advice, Estimate
from apical.label.curve import MOST, Curve


def advice(labels, f1, taught=None):
    figures = None if f1 is None else Estimate([], f1, f1 - 0.1, f1 + 0.1, labels)
    none = np.zeros(0, np.int64)
    return Advice(
        1, taught or labels, "probe 1", none, none.astype(np.float32), none, [], {}, [], figures, [], 0.1
    )


def test_points_are_kept_by_the_labels_that_were_judged_and_come_back(tmp_path):
    curve = Curve(tmp_path / "curve.jsonl")
    for one in (None, advice(5, None), advice(24, 0.5), advice(12, 0.4), advice(24, 0.6, taught=30)):
        curve.add(one)
    points = [(point["labels"], point["f1"]) for point in curve.points()]
    assert points == [(12, 0.4), (24, 0.6)]
    assert Curve(tmp_path / "curve.jsonl").points() == curve.points()


def test_what_is_said_again_is_not_written_again(tmp_path):
    curve = Curve(tmp_path / "curve.jsonl")
    for _ in range(3):
        curve.add(advice(12, 0.4))
    assert len((tmp_path / "curve.jsonl").read_text().splitlines()) == 1


def test_a_line_that_was_cut_off_is_passed_over(tmp_path):
    curve = Curve(tmp_path / "curve.jsonl")
    curve.add(advice(12, 0.4))
    with (tmp_path / "curve.jsonl").open("a") as file:
        file.write('{"labels": 2')
    assert [point["labels"] for point in Curve(tmp_path / "curve.jsonl").points()] == [12]


def test_very_many_points_are_thinned_out(tmp_path):
    curve = Curve(tmp_path / "curve.jsonl")
    for labels in range(1, 3 * MOST):
        curve.add(advice(labels, 0.5))
    assert MOST / 2 <= len(curve.points()) <= MOST
