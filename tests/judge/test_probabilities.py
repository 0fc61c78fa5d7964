"""Calibration on validation patients mends probabilities that are too sure, on test patients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from apical.config import JudgeSettings, ResNetSettings
from apical.errors import CannotDo
from apical.judge.calibration import fit_scaling, fit_temperature
from apical.judge.conformal import fit_conformal
from apical.judge.figures import plain
from apical.judge.probabilities import (
    ERROR_RATE,
    calibrate_run,
    judge_probabilities,
    of_taught_views,
    taught_views,
)
from apical.learn.classifier import Classifier, classify_clip
from fake_runs import VIEWS, fake_predictions
from scaled import divided, expected_calibration_error

FAST = JudgeSettings(resamples=100)


def run(seed, validation_patients=40, untaught=(), skill=2.5):
    """Answers that are three times too sure."""
    honest = fake_predictions(
        "probe", seed, patients=(0, validation_patients, 40), untaught=untaught, skill=skill
    )
    sure = divided(honest.log_probabilities, 1 / 3)
    shut_off = np.where(np.isin(VIEWS, untaught), honest.log_probabilities, sure)
    return replace(honest, log_probabilities=shut_off.astype(np.float32))


def judge(*runs):
    return judge_probabilities(runs, "test", FAST)


def test_too_sure_answers_are_mended():
    figures = judge(run(0), run(1))
    assert figures.temperature > 1.5
    assert figures.calibrated_error < figures.calibration_error / 2
    assert figures.after.error.high < figures.before.error.low
    assert figures.after.log_loss.value < figures.before.log_loss.value
    assert figures.after.debiased_error.value < figures.calibrated_error
    assert figures.set_coverage == pytest.approx(0.9, abs=0.06)
    assert figures.sets.coverage.low < figures.set_coverage < figures.sets.coverage.high
    assert 1 < figures.set_size < 13
    assert figures.validation_patients == 40
    assert figures.enough_patients
    assert not figures.temperature_at_bound
    assert figures.unpromised == ()


def test_every_view_is_covered_about_as_promised():
    figures = judge(run(0), run(1), run(2))
    coverages = [interval.value for interval in figures.sets.view_coverage]
    assert np.mean(coverages) > 0.88
    assert min(coverages) > 0.78  # of some 120 clips, after calibrations on some 35 patients with the view


def test_is_the_mean_over_seeds():
    one, other, both = judge(run(0)), judge(run(1)), judge(run(0), run(1))
    for name in (
        "calibration_error",
        "temperature",
        "calibrated_error",
        "set_coverage",
        "set_size",
        "renamed",
    ):
        assert getattr(both, name) == pytest.approx((getattr(one, name) + getattr(other, name)) / 2)
    assert both.area.value == pytest.approx((one.area.value + other.area.value) / 2)
    assert both.scalings == one.scalings + other.scalings
    assert both.operating == one.operating + other.operating


def test_figures_are_those_of_the_calibrated_run():
    """By hand, from `calibrate_run` alone."""
    some = run(0)
    fitted, test = calibrate_run(some), of_taught_views(some, "test")
    probabilities = np.exp(fitted.scaling(test.log_probabilities))
    figures = judge(some)
    assert figures.scalings == (fitted.scaling.kind,)
    assert figures.calibration_error == pytest.approx(
        expected_calibration_error(np.exp(test.log_probabilities), test.label)
    )
    assert figures.calibrated_error == pytest.approx(expected_calibration_error(probabilities, test.label))
    sets = fitted.conformal.sets(probabilities)
    assert figures.set_size == pytest.approx(sets.sum(1).mean())  # as many clips of each patient
    assert figures.set_coverage == pytest.approx(sets[np.arange(len(test)), test.label].mean())
    assert figures.renamed == (probabilities.argmax(1) != test.predicted).mean()


def test_calibration_is_chosen_and_fitted_on_validation_clips_only():
    some = run(0)
    test = some.split == "test"
    nonsense = np.where(test[:, None], some.log_probabilities[:, ::-1], some.log_probabilities)
    fitted = calibrate_run(some)
    assert calibrate_run(replace(some, log_probabilities=nonsense)) == fitted
    held_out = of_taught_views(some, "validation")
    assert fitted.temperature == fit_temperature(held_out.log_probabilities, held_out.label)
    assert fitted.scaling == fit_scaling(fitted.scaling.kind, held_out.log_probabilities, held_out.label)
    assert fitted.losses["temperature"] < fitted.losses["none"]


def test_scores_of_sets_are_of_scalings_fitted_on_other_patients():
    """With clips that flatter their own scaling, sets found on them in-sample would be smaller."""
    some = run(0, validation_patients=12)
    clips = of_taught_views(some, "validation")
    fitted = calibrate_run(some)
    scaled = np.exp(fitted.scaling(clips.log_probabilities))
    in_sample = fit_conformal(scaled, clips.label, clips.patient, error_rate=ERROR_RATE, per_view=True)
    assert fitted.temperature == fit_temperature(clips.log_probabilities, clips.label)
    assert fitted.conformal.patients == in_sample.patients == 12
    assert fitted.conformal.threshold != in_sample.threshold


def test_answers_at_the_operating_point_where_there_are_patients_enough():
    figures = judge(run(0, validation_patients=160, skill=9.0))
    (point,) = figures.operating
    assert point.threshold is not None
    assert figures.answered.value > 0.5
    assert figures.wrong.value < 0.02
    few = judge(run(0, skill=9.0))
    assert few.operating[0].threshold is None
    assert few.operating[0].seen is not None
    assert few.answered.value > 0.5  # without promise


def test_too_few_validation_patients_give_sets_of_all_views():
    figures = judge(run(0, validation_patients=3))
    assert not figures.enough_patients
    assert (figures.set_coverage, figures.set_size) == (1, 13)
    assert figures.unpromised == VIEWS


def test_clips_of_views_that_were_not_taught_are_wrong_answers_and_nothing_else():
    """An oracle: the same run with these clips' labels taken away."""
    some = run(0, untaught=("A5C", "IVC"))
    assert np.array(VIEWS)[~taught_views(some.log_probabilities)].tolist() == ["A5C", "IVC"]
    of_untaught = np.isin(some.label, [VIEWS.index("A5C"), VIEWS.index("IVC")])
    with_them, without = judge(some), judge(replace(some, label=np.where(of_untaught, -1, some.label)))
    assert with_them.untaught_clips == (of_untaught & (some.split == "test")).sum() > 0
    assert without.untaught_clips == 0
    assert with_them.area.value > without.area.value + 0.05
    for name in ("scalings", "temperature", "unpromised", "validation_patients"):
        assert getattr(with_them, name) == getattr(without, name)
    for name in ("calibration_error", "calibrated_error"):
        assert getattr(with_them, name) == pytest.approx(getattr(without, name))
    assert with_them.set_coverage == pytest.approx(without.set_coverage, abs=0.02)  # other folds of patients
    assert 0.8 < without.set_coverage < 1
    assert not {"A5C", "IVC"} & set(without.unpromised)


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
    with pytest.raises(CannotDo, match="no labelled clip to calibrate on"):
        calibrate_run(replace(some, split=np.full(len(some), "test")))


def test_calibration_clips_do_not_depend_on_the_order_of_the_predictions():
    some = run(0)
    mixed = some.select(np.random.default_rng(0).permutation(len(some)))
    np.testing.assert_array_equal(
        of_taught_views(some, "validation").clip, of_taught_views(mixed, "validation").clip
    )
    assert plain(judge(some)) == plain(judge(mixed))
