"""Clips far from every taught view score high; taught ones are refused as often as asked."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from apical.errors import CannotDo
from apical.judge.unknown import fit_unknown

CENTRES = np.array([[0.0, 0, 0], [8, 0, 0], [0, 8, 0]])


def clips(random, n, centres=CENTRES):
    label = random.integers(0, len(centres), n)
    return (centres[label] + random.normal(0, [1, 2, 0.5], (n, 3))).astype(np.float32), label


def test_score_is_the_distance_to_the_nearest_mean():
    random = np.random.default_rng(0)
    x, label = clips(random, 60)
    detector = fit_unknown(x, label, x)
    means = np.stack([x[label == c].mean(0, dtype=np.float64) for c in range(3)])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(x - means[label]).covariance_)
    expected = [min(mahalanobis(row, m, precision) ** 2 for m in means) for row in x]
    np.testing.assert_allclose(detector.score(x), expected, rtol=1e-4)


def test_refuses_what_it_should():
    random = np.random.default_rng(1)
    x, label = clips(random, 300)
    detector = fit_unknown(x, label, clips(random, 2000)[0], refused=0.1)
    assert detector.unknown(clips(random, 4000)[0]).mean() == pytest.approx(0.1, abs=0.03)
    assert detector.unknown(clips(random, 200, np.array([[8.0, 8, 3]]))[0]).mean() > 0.95


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
    ],
)
def test_bad_inputs(features, label, held_out, message):
    with pytest.raises(CannotDo, match=message):
        fit_unknown(features, label, held_out)
