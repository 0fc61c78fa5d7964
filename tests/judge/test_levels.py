"""Frames, clips and studies are judged as their definitions say, which scikit-learn computes on its own."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from apical.config import JudgeSettings
from apical.judge.levels import judge_clips, judge_studies
from apical.judge.runs import labelled
from fake_runs import RARE, VIEWS, fake_predictions

FAST = JudgeSettings(resamples=200)
RUNS = [labelled(fake_predictions(seed=seed, skill=1.5), "test") for seed in (0, 1)]
IS_RARE = np.isin(VIEWS, RARE)


def test_clips_equal_scikit_learn_averaged_over_seeds():
    level = judge_clips("clip", RUNS, RARE, FAST)
    f1 = np.mean([f1_score(r.label, r.predicted, labels=range(13), average=None) for r in RUNS], axis=0)
    assert level.units == len(RUNS[0])
    assert level.macro_f1.value == pytest.approx(f1.mean())
    assert level.rare_f1.value == pytest.approx(f1[IS_RARE].mean())
    assert level.common_f1.value == pytest.approx(f1[~IS_RARE].mean())
    assert level.accuracy.value == pytest.approx(np.mean([(r.label == r.predicted).mean() for r in RUNS]))
    assert level.macro_f1.low < level.macro_f1.value < level.macro_f1.high


def test_studies_equal_scikit_learns_for_several_labels():
    """Two studies a patient; clips without one do not count."""
    random = np.random.default_rng(2)
    study = np.array(
        [
            f"{patient} {half}"
            for patient, half in zip(RUNS[0].patient, random.integers(2, size=264), strict=True)
        ]
    )
    study[::10] = ""
    level = judge_studies(RUNS, study, RARE, FAST)
    names = np.unique(study[study != ""])
    f1, exact = [], []
    for run in RUNS:
        sets = []
        for view in (run.label, run.predicted):
            sets.append([[(view[study == name] == v).any() for v in range(13)] for name in names])
        f1.append(f1_score(*map(np.array, sets), average=None))
        exact.append(accuracy_score(*map(np.array, sets)))  # the whole set must be right
    assert level.units == len(names)
    assert level.macro_f1.value == pytest.approx(np.mean(f1))
    assert level.rare_f1.value == pytest.approx(np.mean(f1, axis=0)[IS_RARE].mean())
    assert level.accuracy.value == pytest.approx(np.mean(exact))


def test_a_view_that_no_study_holds_is_left_out_and_no_study_is_no_level():
    run = RUNS[0]
    run = run.select(run.label != 3)
    one_study = np.full(len(run), "s")
    level = judge_studies([run], one_study, RARE, FAST)
    wrongly = 3 in run.predicted
    found = np.isin(range(13), run.predicted)
    assert wrongly  # so that the test could fail
    assert level.macro_f1.value == pytest.approx(found[np.arange(13) != 3].mean())
    assert np.isnan(level.macro_f1.low)  # one patient, if one study
    assert judge_studies([run], np.full(len(run), ""), RARE, FAST) is None


def test_without_rare_views_their_mean_is_not_known():
    level = judge_clips("clip", [replace(RUNS[0], method="x")], (), FAST)
    assert np.isnan(level.rare_f1.value)
    assert level.common_f1.value == pytest.approx(level.macro_f1.value)
