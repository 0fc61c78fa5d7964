"""The cluster bootstrap equals its definition written as a loop, and its intervals cover."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import confusion_matrix

from apical.judge import intervals, metrics
from apical.judge.intervals import (
    Bootstrap,
    bca_intervals,
    bootstrap,
    difference,
    draw_patients,
    expanded_intervals,
    patient_confusions,
    patient_sums,
    percentile_intervals,
)

K = 3


def figures(confusion):
    return np.concatenate([metrics.macro_f1(confusion)[..., None], metrics.f1(confusion)], axis=-1)


def share_right(confusion):
    return metrics.accuracy(confusion)[..., None]


def clips(random, patients=9, runs=2):
    """Patients of unequal size; the same truth under every training seed."""
    patient = np.repeat(np.arange(patients), random.integers(1, 8, patients)).astype(str)
    label = random.integers(-1, K, len(patient))
    predicted = [
        np.where(random.random(len(label)) < 0.6, np.maximum(label, 0), random.integers(0, K, len(label)))
        for _ in range(runs)
    ]
    return patient, label, predicted


def test_equal_to_drawing_patients_in_a_loop():
    patient, label, predicted = clips(np.random.default_rng(1))
    counts = np.stack([patient_confusions(label, each, patient, K) for each in predicted])
    result = bootstrap(counts, figures, resamples=40, seed=7)

    names = np.unique(patient)
    weights = np.concatenate(list(draw_patients(len(names), 40, seed=7)))
    for row, times in enumerate(weights):
        by_run = []
        for each in predicted:
            drawn = np.concatenate(
                [
                    np.tile(np.flatnonzero(patient == name), int(t))
                    for name, t in zip(names, times, strict=True)
                ]
            )
            by_run.append(figures(confusion_matrix(label[drawn], each[drawn], labels=range(K))))
        np.testing.assert_allclose(result.samples[row], np.mean(by_run, axis=0))
    whole = [figures(confusion_matrix(label, each, labels=range(K))) for each in predicted]
    np.testing.assert_allclose(result.value, np.mean(whole, axis=0))


def test_chunks_do_not_change_the_draws(monkeypatch):
    patient, label, predicted = clips(np.random.default_rng(2))
    counts = np.stack([patient_confusions(label, each, patient, K) for each in predicted])
    whole = bootstrap(counts, figures, resamples=101)
    monkeypatch.setattr(intervals, "_CHUNK_VALUES", 70)
    np.testing.assert_array_equal(bootstrap(counts, figures, resamples=101).samples, whole.samples)


def test_each_draw_has_as_many_patients_as_there_are():
    weights = np.concatenate(list(draw_patients(13, 50, seed=0, chunk=7)))
    assert weights.shape == (50, 13)
    assert (weights.sum(1) == 13).all()
    assert weights.mean(0) == pytest.approx(1, abs=0.6)


def test_equal_to_the_normal_interval_of_a_proportion():
    """One clip a patient: the share right is a binomial proportion with a known standard error."""
    n, right = 400, 300
    counts = np.zeros((1, n, 2, 2), np.int64)
    counts[0, :right, 0, 0] = 1
    counts[0, right:, 0, 1] = 1
    (interval,) = percentile_intervals(bootstrap(counts, share_right, resamples=4000))
    error = 1.96 * np.sqrt(0.75 * 0.25 / n)
    assert interval.value == 0.75
    assert interval.low == pytest.approx(0.75 - error, abs=0.006)
    assert interval.high == pytest.approx(0.75 + error, abs=0.006)


def test_covers_the_truth_where_clips_of_a_patient_are_alike():
    """True accuracy 0.7; each patient has an own rate. Drawing clips instead would cover far less."""
    random = np.random.default_rng(3)
    by_patient, by_clip, repeats = 0, 0, 120
    for _ in range(repeats):
        right = random.random((40, 20)) < random.beta(1.4, 0.6, 40)[:, None]
        counts = np.zeros((1, 40, 2, 2), np.int64)
        counts[0, :, 0, 0], counts[0, :, 0, 1] = right.sum(1), (~right).sum(1)
        (interval,) = percentile_intervals(bootstrap(counts, share_right, resamples=300))
        by_patient += interval.low <= 0.7 <= interval.high
        single = np.zeros((1, 800, 2, 2), np.int64)
        single[0, :, 0, 0], single[0, :, 0, 1] = right.ravel(), ~right.ravel()
        (naive,) = percentile_intervals(bootstrap(single, share_right, resamples=100))
        by_clip += naive.low <= 0.7 <= naive.high
    assert by_patient / repeats > 0.88
    assert by_clip / repeats < 0.75


def test_paired_difference_is_draw_by_draw():
    random = np.random.default_rng(4)
    patient, label, predicted = clips(random, patients=30)
    counts = [patient_confusions(label, each, patient, K)[None] for each in predicted]
    one, other = (bootstrap(each, figures, resamples=200) for each in counts)
    gain = difference(one, other)
    np.testing.assert_array_equal(gain.samples, one.samples - other.samples)
    zero = percentile_intervals(difference(one, one))[0]
    assert (zero.value, zero.low, zero.high) == (0, 0, 0)


def test_differences_of_unlike_draws_are_refused():
    one = Bootstrap(np.zeros(1), np.zeros((5, 1)), patients=3, seed=0)
    with pytest.raises(ValueError, match="same draws"):
        difference(one, Bootstrap(np.zeros(1), np.zeros((5, 1)), patients=3, seed=1))


def test_one_patient_gives_no_interval():
    counts = patient_confusions(np.array([0, 1]), np.array([0, 0]), np.array(["a", "a"]), 2)[None]
    (interval,) = percentile_intervals(bootstrap(counts, share_right, resamples=100))
    assert interval.value == 0.5
    assert np.isnan([interval.low, interval.high]).all()


def test_draws_without_a_view_are_left_out_and_counted():
    """A view of one of three patients is missing from (2/3)³ of the draws."""
    label, patient = np.array([0, 0, 1]), np.array(["a", "b", "c"])
    counts = patient_confusions(label, label, patient, 2)[None]
    interval = percentile_intervals(bootstrap(counts, metrics.f1, resamples=2000))[1]
    assert interval.resamples == pytest.approx(2000 * (1 - (2 / 3) ** 3), rel=0.06)
    assert (interval.low, interval.high) == (1, 1)


def test_other_pseudonyms_give_the_same_draws():
    patient, label, predicted = clips(np.random.default_rng(3))
    renamed = np.array([f"{(int(name) * 7 + 5) % 11}" for name in patient])
    one, other = (
        bootstrap(patient_confusions(label, predicted[0], names, K)[None], figures, resamples=20).samples
        for names in (patient, renamed)
    )
    np.testing.assert_array_equal(one, other)


def test_sums_of_any_shape_are_added_up_by_patient():
    random = np.random.default_rng(6)
    patient = np.array(["b", "a", "b", "c", "a"])
    values = random.random((5, 2, 3))
    expected = [values[[0, 2]].sum(0), values[[1, 4]].sum(0), values[3]]
    np.testing.assert_allclose(patient_sums(values, patient), expected)
    label, predicted = random.integers(0, K, (2, 5))
    cells = np.eye(K)[label][:, :, None] * np.eye(K)[predicted][:, None]
    np.testing.assert_array_equal(
        patient_sums(cells, patient), patient_confusions(label, predicted, patient, K)
    )


def test_without_each_patient_is_the_figure_of_the_others():
    patient, label, predicted = clips(np.random.default_rng(5))
    counts = np.stack([patient_confusions(label, each, patient, K) for each in predicted])
    result = bootstrap(counts, figures, resamples=10)
    for left_out in range(9):
        others = np.delete(counts, left_out, axis=1).sum(axis=1)
        np.testing.assert_allclose(result.without[left_out], figures(others).mean(axis=0))


def test_expanded_and_bca_equal_scipys_at_the_expanded_level():
    """A skewed mean of one number a patient, from so many draws that the random part is small."""
    values = np.random.default_rng(7).exponential(size=25) ** 1.5
    tables = np.stack([values, np.ones(25)], axis=1)[None]
    result = bootstrap(tables, lambda sums: sums[..., :1] / sums[..., 1:], resamples=60_000)
    level = 2 * stats.norm.cdf(stats.t.ppf(0.975, 24) * np.sqrt(25 / 24)) - 1  # what expansion makes of 95 %
    (mine,), (percentile,) = bca_intervals(result), expanded_intervals(result)
    options = {"confidence_level": level, "n_resamples": 60_000, "rng": 1}
    theirs = stats.bootstrap((values,), np.mean, method="BCa", **options).confidence_interval
    plain = stats.bootstrap((values,), np.mean, method="percentile", **options).confidence_interval
    assert percentile.low == pytest.approx(plain.low, rel=0.01)
    assert percentile.high == pytest.approx(plain.high, rel=0.01)
    assert mine.low == pytest.approx(theirs.low, rel=0.01)
    assert mine.high == pytest.approx(theirs.high, rel=0.01)
    assert mine.high > percentile.high + 0.03  # so that the test could fail


def test_bca_has_limits_where_all_draws_are_alike_and_none_without_a_jackknife():
    counts = patient_confusions(np.array([0, 1]), np.array([0, 1]), np.array(["a", "b"]), 2)[None]
    (interval,) = bca_intervals(bootstrap(counts, share_right, resamples=100))
    assert (interval.low, interval.value, interval.high) == (1, 1, 1)
    with pytest.raises(ValueError, match="without each patient"):
        bca_intervals(Bootstrap(np.zeros(1), np.zeros((5, 1)), patients=3, seed=0))
