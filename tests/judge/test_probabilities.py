"""Calibration on validation patients mends probabilities that are too sure, on test patients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from apical.config import ResNetSettings
from apical.judge.calibration import calibrate
from apical.judge.probabilities import judge_probabilities, of_taught_views, taught_views
from apical.learn.classifier import Classifier, classify_clip
from fake_runs import VIEWS, fake_predictions


def run(seed, validation_patients=40, untaught=()):
    """Answers that are three times too sure."""
    honest = fake_predictions("probe", seed, patients=(0, validation_patients, 40), untaught=untaught)
    sure = calibrate(honest.log_probabilities, 1 / 3)
    shut_off = np.where(np.isin(VIEWS, untaught), honest.log_probabilities, sure)
    return replace(honest, log_probabilities=shut_off.astype(np.float32))


def judge(*runs):
    return judge_probabilities(runs, "test")


def test_too_sure_answers_are_mended():
    figures = judge(run(0), run(1))
    assert figures.temperature > 1.5
    assert figures.calibrated_error < figures.calibration_error / 2
    assert figures.set_coverage == pytest.approx(0.9, abs=0.06)
    assert 1 < figures.set_size < 13
    assert figures.validation_patients == 40
    assert figures.enough_patients
    assert not figures.temperature_at_bound


def test_is_the_mean_over_seeds():
    one, other, both = judge(run(0)), judge(run(1)), judge(run(0), run(1))
    for name in ("calibration_error", "temperature", "calibrated_error", "set_coverage", "set_size"):
        assert getattr(both, name) == pytest.approx((getattr(one, name) + getattr(other, name)) / 2)


def test_too_few_validation_patients_give_sets_of_all_views():
    figures = judge(run(0, validation_patients=3))
    assert not figures.enough_patients
    assert (figures.set_coverage, figures.set_size) == (1, 13)


def test_clips_of_views_that_were_not_taught_change_nothing_but_their_count():
    """An oracle: the same run with these clips' labels taken away."""
    some = run(0, untaught=("A5C", "IVC"))
    assert np.array(VIEWS)[~taught_views(some.log_probabilities)].tolist() == ["A5C", "IVC"]
    of_untaught = np.isin(some.label, [VIEWS.index("A5C"), VIEWS.index("IVC")])
    without = judge(replace(some, label=np.where(of_untaught, -1, some.label)))
    assert judge(some).untaught_clips == (of_untaught & (some.split == "test")).sum() > 0
    assert without.untaught_clips == 0
    assert replace(judge(some), untaught_clips=0) == without
    assert 0.8 < without.set_coverage < 1


def test_taught_views_are_those_of_the_classifier():
    """From a real classifier's own answers."""
    classifier = Classifier.empty(ResNetSettings(width=4), 5)
    classifier.taught[:] = torch.tensor([True, False, True, True, False])
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 40), np.uint8)
    said = classify_clip(classifier, frames, 32, torch.device("cpu"))
    np.testing.assert_array_equal(taught_views(said.log_probabilities), classifier.taught)


def test_without_clips_of_taught_views_there_are_no_figures():
    some = run(0)
    assert judge(some, replace(some, label=np.full(len(some), -1))) is None
    assert judge(replace(some, split=np.full(len(some), "test"))) is None


def test_calibration_clips_do_not_depend_on_the_order_of_the_predictions():
    some = run(0)
    mixed = some.select(np.random.default_rng(0).permutation(len(some)))
    np.testing.assert_array_equal(
        of_taught_views(some, "validation").clip, of_taught_views(mixed, "validation").clip
    )
    assert judge(some) == judge(mixed)
