"""Clips unlike every taught view score high; taught ones are refused as asked; figures as in scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, mahalanobis
from scipy.special import log_softmax
from scipy.stats import chi2, combine_pvalues, multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score, roc_curve

from apical.errors import CannotDo
from apical.judge import unknown_scores
from apical.judge.intervals import draw_patients, percentile_intervals
from apical.judge.unknown import fit_unknown, fpr_at, told_apart
from apical.judge.unknown_scores import Gaussians, fit_gaussians

CENTRES = np.array([[8.0, 0, 0], [0, 8, 0], [0, 0, 8]])


def clips(random, n, centres=CENTRES):
    label = random.integers(0, len(centres), n)
    return (centres[label] + random.normal(0, [1, 2, 0.5], (n, 3))).astype(np.float32), label


def test_score_is_the_distance_to_the_nearest_mean():
    random = np.random.default_rng(0)
    x, label = clips(random, 60)
    detector = fit_unknown(x, label, x)
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    means = np.stack([unit[label == c].mean(0) for c in range(3)])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(unit - means[label]).covariance_)
    expected = [min(mahalanobis(row, m, precision) ** 2 for m in means) for row in unit]
    np.testing.assert_allclose(detector.score(x), expected, rtol=1e-6)


def test_refuses_what_it_should():
    random = np.random.default_rng(1)
    x, label = clips(random, 300)
    detector = fit_unknown(x, label, clips(random, 2000)[0], refused=0.1)
    assert detector.unknown(clips(random, 4000)[0]).mean() == pytest.approx(0.1, abs=0.03)
    assert detector.unknown(clips(random, 200, np.array([[8.0, 8, 3]]))[0]).mean() > 0.95


def test_brightness_that_scales_all_features_changes_nothing():
    random = np.random.default_rng(2)
    x, label = clips(random, 80)
    detector = fit_unknown(x, label, x)
    np.testing.assert_allclose(detector.score(x * 7), detector.score(x), rtol=1e-4)
    assert np.isfinite(detector.score(np.zeros((1, 3)))).all()


def test_clips_without_a_label_have_no_part():
    random = np.random.default_rng(3)
    x, label = clips(random, 80)
    label[40:] = -1
    one, other = fit_unknown(x, label, x), fit_unknown(x[:40], label[:40], x)
    np.testing.assert_array_equal(one.precision, other.precision)
    assert one.threshold == other.threshold


def test_more_features_than_clips_and_a_view_with_one_clip():
    random = np.random.default_rng(2)
    x = random.normal(0, 1, (12, 64))
    detector = fit_unknown(x, np.array([0] * 6 + [1] * 4 + [2, -1]), x)
    assert detector.means.shape == (3, 64)
    assert np.isfinite(detector.score(x)).all()


@pytest.mark.parametrize(
    ("features", "label", "held_out", "message"),
    [
        (np.zeros((3, 2)), np.full(3, -1), np.zeros((3, 2)), "too few labelled clips"),
        (np.eye(3), np.arange(3), np.zeros((0, 3)), "too few labelled clips"),
        (np.zeros((3, 0)), np.arange(3), np.zeros((3, 0)), "too few labelled clips"),
        (np.ones((3, 2)), np.zeros(3, np.int64), np.ones((3, 2)), "are all equal"),
        (np.ones((3, 3)) / 3, np.zeros(3, np.int64), np.ones((3, 3)), "are all equal"),
    ],
)
def test_bad_inputs(features, label, held_out, message):
    with pytest.raises(CannotDo, match=message):
        fit_unknown(features, label, held_out)


def test_energy_and_softmax_are_what_the_papers_define():
    logits = np.random.default_rng(4).normal(0, 3, (50, 5))
    logits[:, 4] = -1e4  # not taught
    np.testing.assert_allclose(unknown_scores.energy(logits), -np.log(np.exp(logits[:, :4]).sum(1)))
    answers = log_softmax(logits, axis=1)
    np.testing.assert_allclose(unknown_scores.max_softmax(answers), 1 - np.exp(answers).max(1), atol=1e-15)
    np.testing.assert_allclose(unknown_scores.energy(answers), 0, atol=1e-12)  # so answers will not do


def test_energy_of_a_clip_follows_from_its_mean_features_as_its_answer_does():
    random = np.random.default_rng(5)
    weight, bias, windows = random.normal(0, 1, (4, 8)), random.normal(0, 1, 4), random.normal(0, 1, (6, 8))
    of_windows = windows @ weight.T + bias
    logits = windows.mean(0, keepdims=True) @ weight.T + bias
    answer = log_softmax(log_softmax(of_windows, axis=1).mean(0))  # as `classify_clips` pools
    np.testing.assert_allclose(log_softmax(logits[0]), answer)
    np.testing.assert_allclose(unknown_scores.energy(logits)[0], -np.log(np.exp(of_windows.mean(0)).sum()))


def test_relative_distance_is_twice_a_ratio_of_densities():
    random = np.random.default_rng(6)
    x = random.normal(0, 2, (40, 3))
    views = Gaussians(random.normal(0, 1, (2, 3)), np.diag([1.0, 2, 3]))
    everything = Gaussians(random.normal(0, 1, (1, 3)), np.diag([0.5, 0.2, 1]))

    def log_density(one, mean):
        cov = np.linalg.inv(one.precision)
        return multivariate_normal(mean, cov).logpdf(x) - multivariate_normal(mean, cov).logpdf(mean)

    nearest = np.max([log_density(views, mean) for mean in views.means], axis=0)
    expected = -2 * (nearest - log_density(everything, everything.means[0]))
    np.testing.assert_allclose(unknown_scores.relative_mahalanobis(x, views, everything), expected)


def test_distances_of_taught_clips_are_chi_squared():
    random = np.random.default_rng(7)
    label = random.integers(0, 2, 20000)
    x = np.array([[0.0] * 4, [60] * 4])[label] + random.normal(0, [1, 2, 3, 4], (20000, 4))
    distance = unknown_scores.mahalanobis(x, fit_gaussians(x, label))
    assert np.mean(distance > chi2(4).ppf(0.95)) == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(("k", "column"), [(1, 0), (3, 2), (7, 6), (50, 6)])
def test_neighbour_is_the_kth_smallest_distance_of_directions(k, column):
    random = np.random.default_rng(8)
    x, labelled = random.normal(0, 1, (1030, 5)), random.normal(0, 1, (7, 5))
    expected = np.sort(cdist(*(v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, labelled))), axis=1)
    np.testing.assert_allclose(unknown_scores.neighbour(x, labelled, k), expected[:, column], rtol=1e-7)


def test_a_labelled_clip_is_its_own_neighbour():
    x = np.random.default_rng(9).normal(0, 1, (5, 3))
    np.testing.assert_allclose(unknown_scores.neighbour(3 * x, x, 1), 0, atol=1e-7)


def test_surprise_counts_held_out_clips_that_score_as_high():
    held_out, asked = np.array([3.0, 1, 2, 2]), np.array([0.0, 1, 2, 2.5, 3, 9])
    expected = [(1 + np.sum(held_out >= score)) / 5 for score in asked]
    np.testing.assert_array_equal(unknown_scores.surprise(asked, held_out), expected)


def test_surprise_of_taught_clips_is_rarely_small():
    """A p-value: at most a share of 0.05 lies at or below 0.05, for whatever score."""
    random = np.random.default_rng(10)
    shares = [
        np.mean(unknown_scores.surprise(random.exponential(1, 200), random.exponential(1, 99)) <= 0.05)
        for _ in range(200)
    ]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.006)


def test_fisher_is_that_of_scipy():
    p = np.random.default_rng(11).uniform(0.01, 1, (3, 10))
    expected = [combine_pvalues(p[:, i], method="fisher").statistic for i in range(10)]
    np.testing.assert_allclose(unknown_scores.fisher(list(p)), expected)


SCORED = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30
)


@given(SCORED)
def test_fpr_is_that_of_scikit_learns_curve(rows):
    score, unknown, *weights = (np.array(column) for column in zip(*rows, strict=True))
    score, unknown, weight = score.astype(float), unknown.astype(bool), np.stack(weights, axis=1)
    found = fpr_at(score, unknown, weight, 0.8)
    for draw in range(2):
        w = weight[:, draw]
        if not w[unknown].sum() or not w[~unknown].sum():
            assert np.isnan(found[draw])
            continue
        accepts_wrongly, accepts, _ = roc_curve(~unknown, -score, sample_weight=w, drop_intermediate=False)
        expected = accepts_wrongly[np.argmax(accepts >= 0.8 - 1e-12)]
        assert found[draw] == pytest.approx(expected)


def test_fpr_of_perfect_and_of_useless_scores():
    unknown = np.repeat([False, True], 1000)
    once = np.ones((2000, 1))
    assert fpr_at(unknown.astype(float), unknown, once) == [0]
    assert fpr_at(1.0 - unknown, unknown, once) == [1]
    nothing = np.random.default_rng(12).uniform(size=2000)
    assert fpr_at(nothing, unknown, once)[0] == pytest.approx(0.95, abs=0.02)


def test_told_apart_agrees_with_scikit_learn_on_every_draw_of_patients():
    random = np.random.default_rng(13)
    patient = np.array([f"p{i:02}" for i in random.permutation(np.repeat(np.arange(12), 9))])
    unknown = random.integers(-1, 2, len(patient))
    score = random.integers(0, 8, len(patient)) + 2.0 * (unknown == 1)
    result = told_apart(score, unknown, patient, resamples=40, seed=5)
    names = list(dict.fromkeys(patient))
    counted = unknown >= 0
    (times,) = draw_patients(12, 40, 5)
    of_clip = times[:, [names.index(name) for name in patient]][:, counted]
    for draw, weight in enumerate(of_clip):
        expected = roc_auc_score(unknown[counted], score[counted], sample_weight=weight)
        assert result.samples[draw, 0] == pytest.approx(expected)
    np.testing.assert_allclose(result.samples[:, 1], fpr_at(score[counted], unknown[counted] == 1, of_clip.T))
    assert result.value[0] == pytest.approx(roc_auc_score(unknown[counted], score[counted]))
    assert (result.patients, result.seed) == (12, 5)


def test_draws_are_the_same_whichever_clips_are_counted():
    """So that figures of several kinds of clips can be averaged draw by draw."""
    random = np.random.default_rng(14)
    patient = np.array([f"p{i}" for i in np.repeat(np.arange(8), 6)])
    score, unknown = random.normal(size=48), np.tile([0, 0, 1, 0, 0, 1], 8)
    without = told_apart(score, np.where(np.arange(48) < 6, -1, unknown), patient, resamples=30)
    (times,) = draw_patients(8, 30, 0)
    never_first = times[:, 0] == 0
    assert never_first.any()
    whole = told_apart(score, unknown, patient, resamples=30)
    np.testing.assert_array_equal(without.samples[never_first], whole.samples[never_first])


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Patients with habits of their own; the truth is from very many of them."""
    random = np.random.default_rng(15)

    def world(patients):
        habit = np.repeat(random.normal(0, 1, patients), 8)
        unknown = np.tile([0, 0, 0, 0, 0, 1, 1, 1], patients)
        score = habit + 1.5 * unknown + random.normal(0, 1, len(unknown))
        return score, unknown, np.array([f"p{i}" for i in np.repeat(np.arange(patients), 8)])

    truth = told_apart(*world(20000), resamples=1).value
    held = []
    for _ in range(150):
        limits = percentile_intervals(told_apart(*world(40), resamples=200))
        held.append([one.low <= true <= one.high for one, true in zip(limits, truth, strict=True)])
    assert (np.mean(held, axis=0) > 0.88).all()


def test_nothing_to_judge_is_nan_not_an_error():
    patient = np.array(["a", "a", "b"])
    for kind in (-1, 0, 1):
        result = told_apart(np.arange(3.0), np.full(3, kind), patient, resamples=4)
        assert np.isnan(result.value).all()
        assert np.isnan(result.samples).all()
