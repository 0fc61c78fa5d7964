"""Predictions come back as they were saved; what does not fit together is refused."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from apical.errors import CannotDo
from apical.learn.clips import SHOWS_NONE
from apical.learn.predictions import Predictions
from fake_runs import fake_predictions


@pytest.mark.parametrize("dimensions", [16, 0])
def test_round_trip(tmp_path, dimensions):
    one = fake_predictions("fine-tune", 3)
    label = np.where(np.arange(len(one)) % 9, one.label, SHOWS_NONE)
    one = replace(one, features=one.features[:, :dimensions], label=label)
    one.save(tmp_path / "new" / "predictions.parquet")
    other = Predictions.load(tmp_path / "new" / "predictions.parquet")
    assert (other.method, other.seed, other.views) == ("fine-tune", 3, one.views)
    for name in ("clip", "patient", "split", "label", "log_probabilities", "features"):
        np.testing.assert_array_equal(getattr(other, name), getattr(one, name))
        assert getattr(other, name).dtype.kind == getattr(one, name).dtype.kind
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["predictions.parquet"]


def test_no_clips_round_trip(tmp_path):
    none = fake_predictions().select(np.zeros(440, bool))
    none.save(tmp_path / "p.parquet")
    assert len(Predictions.load(tmp_path / "p.parquet")) == 0


def test_select_and_predicted():
    one = fake_predictions()
    test = one.select(one.split == "test")
    assert set(test.split) == {"test"}
    assert test.predicted[0] == test.log_probabilities[0].argmax()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": np.zeros(3, np.int64)}, "label is int64"),
        ({"label": np.full(440, 13)}, "label is outside"),
        ({"label": np.full(440, -3)}, "label is outside"),
        ({"clip": np.full(440, "a")}, "a clip stands twice"),
        ({"split": np.full(440, "dev")}, "split holds something else"),
        ({"log_probabilities": np.zeros((440, 13), np.float32)}, "do not add up to 1"),
        ({"log_probabilities": np.full((440, 13), np.nan, np.float32)}, "do not add up to 1"),
        ({"views": ("A4C",) * 13}, "stand twice"),
        ({"patient": np.zeros(440)}, "patient is float64"),
    ],
)
def test_arrays_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(fake_predictions(), **changes)


def test_files_that_are_not_predictions(tmp_path):
    with pytest.raises(CannotDo, match="it is not there"):
        Predictions.load(tmp_path / "none.parquet")
    pl.DataFrame({"clip": ["a"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(CannotDo, match="cannot be read"):
        Predictions.load(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(CannotDo, match="cannot be read"):
        Predictions.load(tmp_path / "text.parquet")
