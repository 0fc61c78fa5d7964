"""Ranking figures equal scikit-learn's under any weights, also with ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, top_k_accuracy_score

from apical.judge import ranking
from apical.judge.intervals import draw_patients
from apical.judge.ranking import auroc_and_precision, rank_figures
from apical.learn.clips import codes
from fake_runs import fake_predictions


@settings(deadline=None, max_examples=150)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 1000]))
def test_equal_to_scikit_learn_with_weights_and_ties(n, seed, levels):
    random = np.random.default_rng(seed)
    score = random.integers(0, levels, n) / levels
    positive = random.random(n) < 0.4
    weight = random.integers(0, 4, (n, 3)).astype(np.float32)
    auroc, precision = auroc_and_precision(score, positive, weight)
    for column in range(3):
        counted = weight[:, column] > 0
        truth = positive[counted]
        if not truth.any():
            assert np.isnan([auroc[column], precision[column]]).all()
            continue
        given_weights = {"sample_weight": weight[counted, column]}
        assert precision[column] == pytest.approx(
            average_precision_score(truth, score[counted], **given_weights)
        )
        if truth.all():
            assert np.isnan(auroc[column])
        else:
            assert auroc[column] == pytest.approx(roc_auc_score(truth, score[counted], **given_weights))


def test_each_draw_equals_scikit_learn_on_the_clips_of_the_drawn_patients():
    runs = [fake_predictions(seed=seed, patients=(0, 0, 12), skill=1.5) for seed in (0, 1)]
    names, drawn = rank_figures(runs, resamples=7, seed=3)
    patient = codes(runs[0].patient)
    weights = np.concatenate([np.ones((1, 12)), *draw_patients(12, 7, 3)])
    figures = np.vstack([drawn.value, drawn.samples])
    for times, found in zip(weights, figures, strict=True):
        rows = np.repeat(np.arange(len(patient)), times[patient].astype(int))
        label = runs[0].label[rows]
        shown = np.unique(label)
        auroc = [
            np.mean([roc_auc_score(label == v, run.log_probabilities[rows, v]) for run in runs])
            for v in shown
        ]
        precision = [
            np.mean([average_precision_score(label == v, run.log_probabilities[rows, v]) for run in runs])
            for v in shown
        ]
        top = np.mean(
            [top_k_accuracy_score(label, run.log_probabilities[rows], k=2, labels=range(13)) for run in runs]
        )
        of = dict(zip(names, found, strict=True))
        assert of["top-2 accuracy"] == pytest.approx(top)
        assert of["macro AUROC"] == pytest.approx(np.mean(auroc))
        assert of["macro average precision"] == pytest.approx(np.mean(precision))
        of_views = [of[f"AUROC of {runs[0].views[v]}"] for v in shown]
        np.testing.assert_allclose(of_views, auroc)
        missing = set(range(13)) - set(shown.tolist())
        assert all(np.isnan(of[f"average precision of {runs[0].views[v]}"]) for v in missing)


def test_chunks_do_not_change_the_figures(monkeypatch):
    runs = [fake_predictions(patients=(0, 0, 6))]
    whole = rank_figures(runs, resamples=20)[1]
    monkeypatch.setattr(ranking, "_CHUNK_VALUES", 3 * len(runs[0]))
    np.testing.assert_allclose(rank_figures(runs, resamples=20)[1].samples, whole.samples)
