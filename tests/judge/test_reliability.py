"""Figures of reliability are the textbook's, clip by clip, and intervals are over patients."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from apical.judge.intervals import draw_patients, expanded_levels
from apical.judge.reliability import (
    calibration_error,
    debiased_calibration_error,
    judge_reliability,
)
from scaled import expected_calibration_error


def clips(n=400, k=4, sharpness=1.5, seed=0):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, k))
    honest = np.exp(log_softmax(logits, axis=1))
    label = np.array([random.choice(k, p=row) for row in honest])
    return log_softmax(logits * sharpness, axis=1), label, np.arange(n) // 7


def judge(log_probabilities, label, patient, **settings):
    return judge_reliability(log_probabilities[None], label[None], patient, **{"resamples": 200} | settings)


def binned(confidence, right, bins):
    row = np.minimum((confidence * bins).astype(int), bins - 1)
    return np.stack([np.bincount(row, weights=w, minlength=bins) for w in (None, confidence, right)], axis=-1)


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


def test_without_labels_the_error_is_not_defined():
    assert np.isnan(expected_calibration_error(np.full((3, 2), 0.5), np.full(3, -1)))


def test_scores_are_scikit_learns():
    log_probabilities, label, patient = clips()
    figures = judge(log_probabilities, label, patient)
    p = np.exp(log_probabilities)
    assert figures.log_loss.value == pytest.approx(log_loss(label, p))
    by_view = sum(brier_score_loss(label == c, p[:, c]) for c in range(4))
    assert figures.brier.value == pytest.approx(by_view)


def test_errors_are_those_of_a_loop_over_clips_and_bins():
    log_probabilities, label, patient = clips()
    p = np.exp(log_probabilities)

    def by_loop(confidence, right, bins=15):
        total = 0.0
        for b in range(bins):
            low, high = b / bins, (b + 1) / bins
            inside = [i for i, c in enumerate(confidence) if low <= c < high or (b == bins - 1 and c == 1)]
            total += abs(sum(confidence[i] - right[i] for i in inside))
        return total / len(confidence)

    figures = judge(log_probabilities, label, patient)
    expected = by_loop(p.max(1), p.argmax(1) == label)
    assert figures.error.value == pytest.approx(expected)
    assert expected_calibration_error(p, label) == pytest.approx(expected)
    by_view = [by_loop(p[:, c], label == c) for c in range(4)]
    np.testing.assert_allclose([error.value for error in figures.view_errors], by_view)
    assert figures.classwise_error.value == pytest.approx(np.mean(by_view))


def test_diagrams_are_scikit_learns():
    log_probabilities, label, patient = clips()
    p = np.exp(log_probabilities)
    figures = judge(log_probabilities, label, patient, bins=10)
    for diagram, true, sure in [
        (figures.diagram, p.argmax(1) == label, p.max(1)),
        *((figures.view_diagrams[c], label == c, p[:, c]) for c in range(4)),
    ]:
        right, confidence = calibration_curve(true, sure, n_bins=10)
        np.testing.assert_allclose(diagram.right, right)
        np.testing.assert_allclose(diagram.confidence, confidence)
        assert sum(diagram.clips) == len(label)


def test_the_debiased_error_is_what_kumars_draws_give():
    random = np.random.default_rng(3)
    confidence = random.uniform(0.3, 1, 60)
    table = binned(confidence, random.random(60) < confidence - 0.1, 8)
    filled = table[table[:, 0] > 0]
    count, sure, right = filled[:, 0], filled[:, 1] / filled[:, 0], filled[:, 2] / filled[:, 0]
    drawn = random.normal(right, np.sqrt(right * (1 - right) / count), (200_000, len(filled)))
    resampled = (np.abs(drawn - sure) * count).sum(1) / count.sum()
    expected = 2 * calibration_error(table) - resampled.mean()
    assert debiased_calibration_error(table) == pytest.approx(expected, abs=3e-4)


def test_honest_answers_of_few_clips_have_an_error_and_a_smaller_debiased_one():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.4, 1, (500, 150))
    right = random.random((500, 150)) < confidence
    tables = np.stack([binned(*each, 15) for each in zip(confidence, right, strict=True)])
    plain, debiased = calibration_error(tables).mean(), debiased_calibration_error(tables).mean()
    assert plain > 0.07
    assert 0 < debiased < plain * 2 / 3


def test_bins_of_one_clip_are_not_corrected():
    table = np.array([[1, 0.9, 1.0], [1, 0.8, 0.0], [0, 0, 0]])
    assert debiased_calibration_error(table) == pytest.approx(calibration_error(table)) == pytest.approx(0.45)


def test_the_interval_is_that_of_drawing_patients_and_computing_anew():
    log_probabilities, label, patient = clips(n=63, k=3)
    drawn = []
    for times in next(draw_patients(9, 200, 5)).astype(int):
        rows = np.concatenate([np.flatnonzero(patient == p) for p in np.repeat(np.arange(9), times)])
        drawn.append(expected_calibration_error(np.exp(log_probabilities[rows]), label[rows]))
    error = judge(log_probabilities, label, patient, seed=5).error
    centred = np.array(drawn) - np.mean(drawn) + error.value
    expected = np.maximum(np.quantile(centred, expanded_levels(9)), 0)
    np.testing.assert_allclose((error.low, error.high), expected)


def test_clips_without_label_are_left_out_and_seeds_are_averaged():
    log_probabilities, label, patient = clips(n=70)
    hidden = np.where(np.arange(70) % 3, label, -1)
    known = hidden >= 0
    one = judge(log_probabilities, label, patient)
    other = judge(log_probabilities, hidden, patient)
    without = judge(log_probabilities[known], hidden[known], patient[known])
    assert other == without
    both = judge_reliability(
        np.stack([log_probabilities] * 2), np.stack([label, hidden]), patient, resamples=100
    )
    assert both.brier.value == pytest.approx((one.brier.value + other.brier.value) / 2)
    assert sum(both.diagram.clips) == 70 + known.sum()
