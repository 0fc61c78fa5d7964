"""Calibration on validation patients mends probabilities that are too sure, on test patients."""

from dataclasses import replace

import numpy as np
import pytest

from apical.judge.calibration import calibrate
from apical.judge.probabilities import judge_probabilities
from apical.judge.runs import labelled
from fake_runs import fake_predictions


def run(seed, validation_patients=40):
    """Answers that are three times too sure."""
    honest = fake_predictions("probe", seed, patients=(0, validation_patients, 40))
    return replace(honest, log_probabilities=calibrate(honest.log_probabilities, 1 / 3).astype(np.float32))


def judge(*runs):
    return judge_probabilities(
        [labelled(run, "test") for run in runs], [labelled(run, "validation") for run in runs]
    )


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
