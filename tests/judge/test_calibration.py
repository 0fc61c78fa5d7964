"""The fitted temperature is scikit-learn's, and the error is the textbook's."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from apical.errors import CannotDo
from apical.judge.calibration import calibrate, expected_calibration_error, fit_temperature


def too_sure(n=600, k=4, sharpness=3.0, seed=0):
    """Log-probabilities that are `sharpness` times too sharp, and labels drawn from the honest ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, k))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = np.array([random.choice(k, p=row) for row in honest])
    return calibrate(logits, 1 / sharpness).astype(np.float32), label


def loss(log_probabilities, label, temperature):
    return -calibrate(log_probabilities, temperature)[np.arange(len(label)), label].mean()


def test_finds_the_temperature_that_made_the_answers_too_sure():
    fitted = fit_temperature(*too_sure(n=5000))
    assert fitted.value == pytest.approx(3.0, rel=0.05)
    assert not fitted.at_bound


def test_no_temperature_of_a_fine_grid_is_better():
    log_probabilities, label = too_sure(n=200, seed=3)
    fitted = fit_temperature(log_probabilities, label)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4001))
    losses = [loss(log_probabilities, label, t) for t in grid]
    assert fitted.value == pytest.approx(grid[np.argmin(losses)], rel=2e-3)
    assert loss(log_probabilities, label, fitted.value) <= min(losses) + 1e-12


def test_equal_to_scikit_learn():
    random = np.random.default_rng(1)
    x, label = random.normal(0, 1, (300, 5)), random.integers(0, 3, 300)
    x[:, 0] += label
    model = LogisticRegression(C=1e6).fit(x[:30], label[:30])
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(x[30:], label[30:])
    log_probabilities = model.predict_log_proba(x[30:])
    fitted = fit_temperature(log_probabilities, label[30:])
    ours = np.exp(calibrate(log_probabilities, fitted.value))
    np.testing.assert_allclose(ours, theirs.predict_proba(x[30:]), atol=1e-3)


def test_says_when_the_answer_is_at_a_bound():
    right = np.log(np.full((5, 3), 0.1) + 0.7 * np.eye(3)[[0, 1, 2, 0, 1]])
    assert fit_temperature(right, np.array([0, 1, 2, 0, 1])).at_bound  # all right: T wants to be 0
    assert fit_temperature(right, np.array([1, 2, 0, 1, 2])).at_bound  # all wrong: T wants to be infinite


def test_probabilities_of_exactly_zero_are_survived():
    with np.errstate(divide="ignore"):
        log_probabilities = np.log(np.eye(3, dtype=np.float32))[[0, 1, 2, 0]]
    fitted = fit_temperature(log_probabilities, np.array([0, 1, 2, 1]))
    assert np.isfinite(fitted.value)
    assert np.isfinite(calibrate(log_probabilities, fitted.value)).all()


def test_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [1.0, 0.0]])
    label = np.array([0, 1, 1, 0])
    # bins of width 0.5: all confidences are in the upper one: |mean confidence − share right|
    assert expected_calibration_error(probabilities, label, bins=2) == pytest.approx(abs(3.25 / 4 - 0.75))
    # bins of width 0.1: 0.55 | 0.8 | 0.9 and 1.0 together, as the last bin is closed
    expected = (abs(0.55 - 1) + abs(0.8 - 0) + 2 * abs(0.95 - 1)) / 4
    assert expected_calibration_error(probabilities, label, bins=10) == pytest.approx(expected)


def test_confidence_of_exactly_one_falls_into_the_last_bin():
    """0.95 and right, 1 and wrong: in one bin their gaps of −0.05 and +1 partly cancel."""
    probabilities = np.array([[0.95, 0.05], [1.0, 0.0]])
    assert expected_calibration_error(probabilities, np.array([0, 1]), bins=10) == pytest.approx(0.95 / 2)


def test_confidence_of_one_and_right_is_no_error():
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_without_labels():
    unlabelled = np.full(3, -1)
    with pytest.raises(CannotDo, match="no labelled clip to calibrate on"):
        fit_temperature(np.log(np.full((3, 2), 0.5)), unlabelled)
    assert np.isnan(expected_calibration_error(np.full((3, 2), 0.5), unlabelled))
