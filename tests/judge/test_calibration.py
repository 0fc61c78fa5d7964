"""Fitted scalings are scikit-learn's, or a plain optimiser's, and the choice between them is honest."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, minimize
from scipy.special import log_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from apical.errors import CannotDo
from apical.judge.calibration import (
    Scaling,
    choose_scaling,
    fit_scaling,
    fit_temperature,
    scaled_by_others,
    vector_loss,
)
from scaled import divided


def too_sure(n=600, k=4, sharpness=3.0, seed=0):
    """Log-probabilities that are `sharpness` times too sharp, and labels drawn from the honest ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, k))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = np.array([random.choice(k, p=row) for row in honest])
    return divided(logits, 1 / sharpness).astype(np.float32), label


def lopsided(n=600, k=4, seed=0):
    """Honest answers, but for view 0, of which the classifier says far too little."""
    log_probabilities, label = too_sure(n, k, 1.0, seed)
    return log_softmax(log_probabilities - 2.0 * np.eye(k)[0], axis=1), label


def loss(log_probabilities, label):
    return -log_probabilities[np.arange(len(label)), label].mean()


def test_finds_the_temperature_that_made_the_answers_too_sure():
    fitted = fit_temperature(*too_sure(n=5000))
    assert fitted.value == pytest.approx(3.0, rel=0.05)
    assert not fitted.at_bound


def test_no_temperature_of_a_fine_grid_is_better():
    log_probabilities, label = too_sure(n=200, seed=3)
    fitted = fit_temperature(log_probabilities, label)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4001))
    losses = [loss(divided(log_probabilities, t), label) for t in grid]
    assert fitted.value == pytest.approx(grid[np.argmin(losses)], rel=2e-3)
    assert loss(divided(log_probabilities, fitted.value), label) <= min(losses) + 1e-12


def test_temperature_is_scikit_learns():
    random = np.random.default_rng(1)
    x, label = random.normal(0, 1, (300, 5)), random.integers(0, 3, 300)
    x[:, 0] += label
    model = LogisticRegression(C=1e6).fit(x[:30], label[:30])
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(x[30:], label[30:])
    log_probabilities = model.predict_log_proba(x[30:])
    scaling = fit_scaling("temperature", log_probabilities, label[30:])
    ours = np.exp(scaling(log_probabilities))
    np.testing.assert_allclose(ours, theirs.predict_proba(x[30:]), atol=1e-3)
    assert scaling.weight == (1 / fit_temperature(log_probabilities, label[30:]).value,) * 3
    assert scaling.bias == (0, 0, 0)


def test_says_when_the_answer_is_at_a_bound():
    right = np.log(np.full((5, 3), 0.1) + 0.7 * np.eye(3)[[0, 1, 2, 0, 1]])
    assert fit_temperature(right, np.array([0, 1, 2, 0, 1])).at_bound  # all right: T wants to be 0
    assert fit_temperature(right, np.array([1, 2, 0, 1, 2])).at_bound  # all wrong: T wants to be infinite


@pytest.mark.parametrize("kind", ["temperature", "vector"])
def test_probabilities_of_exactly_zero_are_survived_and_count_against_the_classifier(kind):
    with np.errstate(divide="ignore"):
        log_probabilities = np.log(np.eye(3, dtype=np.float32))[[0, 1, 2, 0]]
    scaling = fit_scaling(kind, log_probabilities, np.array([0, 1, 2, 1]))
    assert max(scaling.weight) < 1
    assert np.isfinite(scaling(log_probabilities)).all()


def test_the_gradient_of_vector_scaling_is_that_of_finite_differences():
    random = np.random.default_rng(0)
    logits, view = random.normal(0, 2, (40, 5)), random.integers(0, 4, 40)
    is_open = np.ones((40, 5), bool)
    is_open[:, 4] = False
    at = random.normal(1, 0.3, 10)
    assert check_grad(
        lambda x: vector_loss(x, logits, is_open, view)[0],
        lambda x: vector_loss(x, logits, is_open, view)[1],
        at,
    ) < 1e-4 * np.linalg.norm(vector_loss(at, logits, is_open, view)[1])


def test_vector_scaling_is_what_a_plain_optimiser_finds():
    log_probabilities, label = lopsided(n=80)
    temperature = fit_temperature(log_probabilities, label).value
    centred = log_probabilities - log_probabilities.mean(axis=1, keepdims=True)

    def objective(x):
        scaled = log_softmax(centred / temperature * x[:4] + x[4:], axis=1)
        return loss(scaled, label) * 80 + 2 * (np.square(x[:4] - 1).sum() + np.square(x[4:]).sum())

    plain = minimize(
        objective, np.repeat([1.0, 0.0], 4), method="Powell", options={"ftol": 1e-12, "xtol": 1e-8}
    )
    fitted = fit_scaling("vector", log_probabilities, label)
    np.testing.assert_allclose(np.array(fitted.weight) * temperature, plain.x[:4], atol=1e-3)
    np.testing.assert_allclose(fitted.bias, plain.x[4:], atol=1e-3)


def test_vector_scaling_mends_one_view_and_leaves_views_without_clips_near_the_temperature():
    log_probabilities, label = lopsided(n=3000)
    fitted = fit_scaling("vector", log_probabilities, label)
    bias = np.array(fitted.bias)
    np.testing.assert_allclose(bias[0] - bias[1:], 2.0, atol=0.25)
    np.testing.assert_allclose(fitted.weight, 1.0, atol=0.15)
    few = fit_scaling("vector", log_probabilities[:6], np.array([1, 2, 3, 1, 2, 3]))
    temperature = fit_temperature(log_probabilities[:6], np.array([1, 2, 3, 1, 2, 3])).value
    assert few.weight[0] * temperature == pytest.approx(1, abs=0.3)


@settings(deadline=None, max_examples=40)
@given(
    weight=st.lists(st.floats(0, 20), min_size=4, max_size=4),
    bias=st.lists(st.floats(-5, 5), min_size=4, max_size=4),
)
def test_views_that_were_not_taught_stay_shut_off_whatever_the_scaling(weight, bias):
    logits = np.random.default_rng(0).normal(0, 3, (6, 4))
    logits[:, 2] = -1e4
    scaled = Scaling("vector", tuple(weight), tuple(bias))(log_softmax(logits, axis=1).astype(np.float32))
    assert (np.exp(scaled[:, 2]) == 0).all()
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(np.exp(scaled).sum(1), 1)


@pytest.mark.parametrize("kind", ["temperature", "vector"])
def test_views_that_were_not_taught_change_nothing_for_the_others(kind):
    """An oracle: the same clips without that view at all."""
    log_probabilities, label = lopsided(n=200, k=4)
    wider = np.insert(log_probabilities, 4, -1e4, axis=1)
    with_clips_of_it = np.concatenate([wider, wider[:9]]), np.concatenate([label, np.full(9, 4)])
    narrow, wide = fit_scaling(kind, log_probabilities, label), fit_scaling(kind, *with_clips_of_it)
    np.testing.assert_allclose(wide.weight[:4], narrow.weight, atol=1e-4)
    np.testing.assert_allclose(wide.bias[:4], narrow.bias, atol=1e-4)


def test_a_scaling_goes_through_json():
    scaling = fit_scaling("vector", *lopsided(50))
    assert (
        Scaling(
            **{
                name: tuple(v) if isinstance(v, list) else v
                for name, v in json.loads(json.dumps(asdict(scaling))).items()
            }
        )
        == scaling
    )


def test_scaled_by_others_is_a_fit_without_ones_own_fold():
    log_probabilities, label = too_sure(90)
    patient = np.repeat([f"p{i}" for i in range(15)], 6)
    scaled = scaled_by_others("temperature", log_probabilities, label, patient)
    for fold in range(5):
        own = np.isin(patient, [f"p{i}" for i in range(fold, 15, 5)])
        expected = divided(
            log_probabilities[own], fit_temperature(log_probabilities[~own], label[~own]).value
        )
        np.testing.assert_allclose(scaled[own], expected)


def test_clips_that_are_all_right_are_left_alone():
    """However sure they are made they stay right, which says nothing of the first wrong one."""
    label = np.arange(60) % 4
    logits = np.eye(4)[label] + np.random.default_rng(3).normal(0, 0.1, (60, 4))
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    scaling, losses = choose_scaling(log_probabilities, label, np.arange(60) // 6)
    assert fit_temperature(log_probabilities, label).at_bound
    assert losses["temperature"] < losses["none"]
    assert (scaling.kind, set(scaling.weight), set(scaling.bias)) == ("none", {1.0}, {0.0})


@pytest.mark.parametrize(
    ("clips", "kind"),
    [(too_sure(600), "temperature"), (lopsided(600), "vector"), (too_sure(80), "temperature")],
)
def test_chooses_what_the_answers_need(clips, kind):
    log_probabilities, label = clips
    scaling, losses = choose_scaling(log_probabilities, label, np.arange(len(label)) // 6)
    assert scaling.kind == kind
    assert scaling == fit_scaling(kind, log_probabilities, label)
    assert losses["none"] > losses["temperature"]


def test_honest_answers_of_few_patients_are_rarely_scaled_by_vector():
    """Vector scaling of 26 numbers must be clearly better, not only by chance: 20 calibrations."""
    chosen = []
    for seed in range(20):
        log_probabilities, label = too_sure(60, 5, 1.0, seed)
        chosen.append(choose_scaling(log_probabilities, label, np.arange(60) // 6)[0].kind)
    assert chosen.count("vector") <= 3


def test_the_choice_weighs_patients_not_clips():
    """One patient with a hundred clips, for whom too sure is right, is outvoted by thirty with one."""
    log_probabilities, label = too_sure(30, 3, 4.0, 1)
    many = np.log(np.full((100, 3), 0.05) + 0.85 * np.eye(3)[np.arange(100) % 3])
    clips = np.concatenate([log_probabilities, many]), np.concatenate([label, np.arange(100) % 3])
    patient = np.concatenate([np.arange(30), np.full(100, 30)])
    _, losses = choose_scaling(*clips, patient)
    each = -scaled_by_others("none", *clips, patient)[np.arange(130), clips[1]]
    assert losses["none"] == pytest.approx(np.mean([each[patient == p].mean() for p in range(31)]))


def test_one_patient_gives_no_scaling():
    scaling, losses = choose_scaling(*too_sure(20), np.zeros(20, np.int64))
    assert scaling == Scaling("none", (1.0,) * 4, (0.0,) * 4)
    assert len(set(losses.values())) == 1


def test_without_labels():
    unlabelled = np.full(3, -1)
    log_probabilities = np.log(np.full((3, 2), 0.5))
    with pytest.raises(CannotDo, match="no labelled clip to calibrate on"):
        fit_temperature(log_probabilities, unlabelled)
    with pytest.raises(CannotDo, match="no labelled clip to calibrate on"):
        choose_scaling(log_probabilities, unlabelled, np.arange(3))
