"""Curve and area are the textbook's; the operating point keeps its promise with clips that are alike."""

import numpy as np
import pytest

from apical.errors import CannotDo
from apical.judge.intervals import draw_patients, expanded_levels
from apical.judge.selective import (
    answered_figures,
    operating_point,
    patients_needed,
    risk_coverage,
    risk_coverage_area,
    thinned,
)


def clips(random, patients, hard=0.1):
    """Some patients are hard: all their clips are wrong more often than the classifier's confidence says."""
    each = random.integers(1, 25, patients)
    patient = np.repeat(np.arange(patients), each)
    confidence = 1 - random.beta(0.5, 5, len(patient))
    is_hard = (random.random(patients) < hard)[patient]
    wrong = random.random(len(patient)) < np.where(is_hard, 0.25, (1 - confidence) * 0.5)
    return confidence, wrong, patient


def per_patient_risk(confidence, wrong, patient, threshold):
    answered = confidence >= threshold
    means = [
        ((answered & wrong)[patient == p].mean(), answered[patient == p].mean()) for p in np.unique(patient)
    ]
    mistaken, share = np.mean(means, axis=0)
    return mistaken / share


def test_curve_by_hand():
    curve = risk_coverage(np.array([0.9, 0.5, 0.7, 0.5]), np.array([False, True, True, False]), np.arange(4))
    np.testing.assert_allclose(curve.threshold, [0.9, 0.7, 0.5])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 1])
    np.testing.assert_allclose(curve.risk, [0, 1 / 2, 1 / 2])


def test_every_point_of_the_curve_weighs_patients_alike():
    confidence, wrong, patient = clips(np.random.default_rng(0), 15)
    confidence = confidence.round(2)
    curve = risk_coverage(confidence, wrong, patient)
    assert len(curve.threshold) == len(np.unique(confidence))
    for threshold, coverage, risk in zip(curve.threshold, curve.coverage, curve.risk, strict=True):
        answered = confidence >= threshold
        assert coverage == pytest.approx(np.mean([answered[patient == p].mean() for p in range(15)]))
        assert risk == pytest.approx(per_patient_risk(confidence, wrong, patient, threshold))


def test_area_is_the_mean_risk_at_each_clip_for_one_clip_a_patient():
    """Geifman & El-Yaniv's AURC: over i, the share wrong of the i surest."""
    random = np.random.default_rng(1)
    confidence, wrong = random.permutation(50) / 50, random.random(50) < 0.3
    falling = wrong[np.argsort(-confidence)]
    expected = np.mean([falling[:i].mean() for i in range(1, 51)])
    area = risk_coverage_area(confidence[None], wrong[None], np.arange(50), resamples=100)
    assert area.value == pytest.approx(expected)


def test_area_is_that_under_the_curve_and_averaged_over_seeds():
    confidence, wrong, patient = clips(np.random.default_rng(2), 15)
    confidence = np.stack([confidence.round(1), confidence])
    areas = []
    for each in confidence:
        curve = risk_coverage(each, wrong, patient)
        areas.append((np.diff(curve.coverage, prepend=0) * curve.risk).sum())
    found = risk_coverage_area(confidence, np.stack([wrong] * 2), patient, resamples=100)
    assert found.value == pytest.approx(np.mean(areas))


def test_area_of_ties_is_the_risk_of_all_and_of_no_wrong_clip_nothing():
    wrong = np.arange(20) % 4 == 0
    same = risk_coverage_area(np.full((1, 20), 0.8), wrong[None], np.arange(20), resamples=100)
    assert same.value == pytest.approx(0.25)
    none = risk_coverage_area(np.full((1, 20), 0.8), np.zeros((1, 20), bool), np.arange(20), resamples=100)
    assert (none.low, none.value, none.high) == (0, 0, 0)


def test_the_interval_is_that_of_drawing_patients_and_computing_anew():
    confidence, wrong, patient = clips(np.random.default_rng(3), 9)
    drawn = []
    for times in next(draw_patients(9, 150, 5)).astype(int):
        chosen = np.repeat(np.arange(9), times)
        rows = [np.flatnonzero(patient == p) for p in chosen]
        who = np.repeat(np.arange(9), [len(each) for each in rows])
        rows = np.concatenate(rows)
        drawn.append(risk_coverage_area(confidence[None, rows], wrong[None, rows], who, resamples=100).value)
    area = risk_coverage_area(confidence[None], wrong[None], patient, resamples=150, seed=5)
    np.testing.assert_allclose((area.low, area.high), np.quantile(drawn, expanded_levels(9)))


@pytest.mark.parametrize("hard", [0.1, 0.25])
def test_the_promise_is_broken_no_more_often_than_allowed(hard):
    """Where the share seen is simply believed, it is broken about half the time: the simulation can tell."""
    random = np.random.default_rng(4)
    curve = risk_coverage(*clips(random, 8000, hard))  # as good as the truth

    def true_risk(threshold):
        return curve.risk[np.flatnonzero(curve.threshold >= threshold)[-1]]

    risk = 0.06 + 0.2 * (hard - 0.1)
    found, broken, believed = 0, 0, 0
    for _ in range(200):
        calibration = clips(random, 150, hard)
        point = operating_point(*calibration, risk=risk, failure=0.1)
        if point.threshold is not None:
            found += 1
            broken += true_risk(point.threshold) > risk
        seen = risk_coverage(*calibration)
        believed += true_risk(seen.threshold[np.flatnonzero(seen.risk <= risk)[-1]]) > risk
    assert broken <= 0.1 * 200
    assert found > 20
    assert believed > 0.3 * 200


def test_with_all_clips_of_a_patient_alike_the_promise_is_only_just_kept():
    """The worst case: one clip in effect a patient, and the true risk a little above what is promised."""
    random = np.random.default_rng(5)
    broken = 0
    for _ in range(1000):
        wrong = np.repeat(random.random(80) < 0.0501, 10)
        point = operating_point(np.full(800, 0.99), wrong, np.repeat(np.arange(80), 10), risk=0.05)
        broken += point.threshold is not None
    assert 0.01 * 1000 < broken < 0.1 * 1000


def test_many_patients_let_nearly_all_be_answered_that_may_be():
    """The more patients, the closer to the lowest threshold at which the true risk is still allowed."""
    random = np.random.default_rng(6)
    many = clips(random, 4000, 0)
    curve = risk_coverage(*many)
    best = curve.coverage[np.flatnonzero(curve.risk <= 0.02)[-1]]
    points = [operating_point(*clips(random, patients, 0), risk=0.02) for patients in (200, 600, 2000)]
    answered = [0 if point.threshold is None else point.answered for point in points]
    assert answered[0] < answered[1] < answered[2] < best
    assert answered[2] > 0.85 * best


def test_too_few_patients_are_said():
    point = operating_point(np.full(60, 1.0), np.zeros(60, bool), np.arange(60) // 2, risk=0.02)
    assert point.threshold is None
    assert (point.seen, point.used, point.answered, point.wrong) == (1, 1, 1, 0)
    assert point.needed == 124
    assert str(point).endswith("from a confidence of 1.000 on it was so on the validation clips, no promise")
    assert "that cannot be known from 30 validation patients, 124 are the least" in str(point)


def test_a_thinned_curve_keeps_its_ends():
    curve = risk_coverage(*clips(np.random.default_rng(12), 200))
    few = thinned(curve, 50)
    assert len(few.risk) == 50
    for name in ("threshold", "coverage", "risk"):
        all_points, kept = getattr(curve, name), getattr(few, name)
        assert (kept[0], kept[-1]) == (all_points[0], all_points[-1])
        assert set(kept) <= set(all_points)
    np.testing.assert_array_equal(thinned(curve, 10**6).risk, curve.risk)


def test_the_threshold_that_was_seen_to_do_is_the_lowest_of_the_curve():
    confidence, wrong, patient = clips(np.random.default_rng(11), 40)
    point = operating_point(confidence, wrong, patient, risk=0.03)
    lower = np.unique(confidence)
    risks = [per_patient_risk(confidence, wrong, patient, threshold) for threshold in lower]
    assert point.threshold is None
    assert point.used == point.seen == lower[np.flatnonzero(np.array(risks) <= 0.03)[0]]
    assert point.wrong == pytest.approx(per_patient_risk(confidence, wrong, patient, point.seen))


def test_wrong_answers_that_are_sure_are_said():
    point = operating_point(np.full(300, 0.99), np.arange(300) % 5 == 0, np.arange(300), risk=0.02)
    assert (point.threshold, point.seen, point.used) == (None, None, None)
    assert (point.answered, point.wrong) == (0, None)
    assert "too few are sure, or too many are wrong" in str(point)


@pytest.mark.parametrize(("risk", "failure"), [(0.02, 0.1), (0.1, 0.05), (0.3, 0.2)])
def test_the_number_of_patients_needed_is_exact(risk, failure):
    needed = patients_needed(risk, failure)
    for patients, enough in ((needed - 1, False), (needed, True)):
        right = np.zeros(patients, bool)
        point = operating_point(np.ones(patients), right, np.arange(patients), risk=risk, failure=failure)
        assert (point.threshold is not None) == enough
        assert point.needed == needed
    assert (1 - risk) ** needed < failure  # what no bound at all can do better than


def test_all_right_lets_all_be_answered():
    confidence, _, patient = clips(np.random.default_rng(7), 400)
    point = operating_point(confidence, np.zeros(len(patient), bool), patient)
    assert (point.threshold, point.answered, point.wrong) == (0, 1, 0)
    assert "answers from a confidence of 0.000 on: at most 2 % wrong" in str(point)


def test_what_is_answered_is_counted_by_patient():
    confidence, wrong, patient = clips(np.random.default_rng(8), 30)
    point = operating_point(confidence, wrong, patient, risk=0.2)
    assert point.threshold is not None
    answered, mistaken = answered_figures(
        confidence[None], wrong[None], patient, [point.threshold], resamples=100
    )
    assert answered.value == pytest.approx(point.answered)
    assert mistaken.value == pytest.approx(point.wrong)
    assert point.wrong == pytest.approx(per_patient_risk(confidence, wrong, patient, point.threshold))
    assert mistaken.low <= mistaken.value <= mistaken.high


def test_a_seed_without_threshold_answers_nothing():
    confidence, wrong, patient = clips(np.random.default_rng(9), 30)
    both = np.stack([confidence] * 2), np.stack([wrong] * 2)
    answered, mistaken = answered_figures(*both, patient, [0.0, None], resamples=100)
    assert answered.value == pytest.approx(0.5)
    assert mistaken is None


def test_without_clips():
    with pytest.raises(CannotDo, match="no labelled clip to find a threshold on"):
        operating_point(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))
