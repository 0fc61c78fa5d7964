"""How well clips of none of the views are told: scikit-learn's figures, averaged over seeds."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from apical.config import JudgeSettings
from apical.judge.unknown_figures import DEFAULT, detector_of, judge_unknown
from apical.learn.clips import SHOWS_NONE
from fake_runs import fake_predictions

FAST = JudgeSettings(resamples=100)


def with_unknown(seed, far=1.5):
    """Every seventh clip shows no view; its features lie off those of the views."""
    run = fake_predictions(seed=seed)
    none = np.arange(len(run)) % 7 == 0
    off = np.random.default_rng([seed, 4]).normal(far, 1, run.features.shape).astype(np.float32)
    label = np.where(none, SHOWS_NONE, run.label)
    return replace(run, label=label, features=np.where(none[:, None], off, run.features))


def test_equal_to_scikit_learn_averaged_over_seeds():
    runs = [with_unknown(seed) for seed in (0, 1)]
    found = judge_unknown(runs, "test", FAST)
    auroc, caught, refused = [], [], []
    for run in runs:
        test = run.select(run.split == "test")
        none, detector = test.label == SHOWS_NONE, detector_of(run)
        auroc.append(roc_auc_score(none, detector.score(test.features)))
        called = detector.unknown(test.features)
        caught.append(called[none].mean())
        refused.append(called[~none].mean())
    assert found.clips == (runs[0].label[runs[0].split == "test"] == SHOWS_NONE).sum()
    assert found.scores[DEFAULT].auroc.value == pytest.approx(np.mean(auroc))
    assert found.caught.value == pytest.approx(np.mean(caught))
    assert found.refused.value == pytest.approx(np.mean(refused))
    assert found.caught.low <= found.caught.value <= found.caught.high
    assert found.scores[DEFAULT].auroc.value > 0.8 > 0.6 > found.scores[DEFAULT].fpr.value


def test_the_detector_sees_neither_test_nor_unknown_clips():
    run = with_unknown(0)
    outside = (run.split == "test") | (run.label == SHOWS_NONE)
    changed = replace(run, features=run.features + 50 * outside[:, None].astype(np.float32))
    one, other = detector_of(run), detector_of(changed)
    np.testing.assert_array_equal(one.means, other.means)
    assert one.threshold == other.threshold


def test_nothing_is_told_without_such_clips_or_without_features():
    assert judge_unknown([fake_predictions()], "test", FAST) is None
    run = with_unknown(0)
    assert judge_unknown([replace(run, features=run.features[:, :0])], "test", FAST) is None
    untaught = replace(run, label=np.where(run.split == "validation", -1, run.label))
    assert judge_unknown([untaught], "test", FAST) is None
