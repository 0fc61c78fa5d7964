"""Sets hold the true view as often as promised, for clips of new patients."""

import numpy as np
import pytest

from apical.errors import CannotDo
from apical.judge.conformal import fit_conformal, prediction_sets


def clips(random, patients, each=6, k=4):
    """Clips of a patient share how hard the patient is."""
    patient = np.repeat(np.arange(patients), each)
    skill = random.normal(1.5, 1.0, patients)[patient]
    label = random.integers(0, k, len(patient))
    logits = random.normal(0, 1, (len(patient), k)) + skill[:, None] * np.eye(k)[label]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), label, patient


@pytest.mark.parametrize("error_rate", [0.1, 0.3])
def test_covers_clips_of_new_patients(error_rate):
    random = np.random.default_rng(0)
    held = []
    for repeat in range(150):
        fitted = fit_conformal(*clips(random, 39), error_rate=error_rate, seed=repeat)
        assert fitted.enough
        probabilities, label, _ = clips(random, 60)
        held.append(prediction_sets(probabilities, fitted.threshold)[np.arange(len(label)), label].mean())
    assert np.mean(held) == pytest.approx(1 - error_rate, abs=0.02)


def test_threshold_is_the_finite_sample_quantile():
    scores = np.arange(1, 20) / 100  # 19 patients: rank ceil(20 × 0.9) = 18
    probabilities = np.stack([1 - scores, scores], axis=1)
    fitted = fit_conformal(probabilities, np.zeros(19, np.int64), np.arange(19))
    assert fitted.threshold == pytest.approx(0.18)
    assert fitted.patients == 19


def test_takes_one_labelled_clip_a_patient():
    probabilities = np.array([[0.9, 0.1]] * 50 + [[0.2, 0.8]])
    label = np.zeros(51, np.int64)
    label[0] = -1
    fitted = fit_conformal(probabilities, label, np.array(["a"] * 50 + ["b"]), error_rate=0.5)
    assert fitted.patients == 2
    assert fitted.threshold == pytest.approx(0.8)  # rank ceil(3 × 0.5) = 2 of the scores 0.1, 0.8


def test_too_few_patients_give_all_views_and_say_so():
    fitted = fit_conformal(np.eye(3), np.arange(3), np.arange(3), error_rate=0.1)
    assert not fitted.enough
    assert prediction_sets(np.eye(3), fitted.threshold).all()


def test_without_labels():
    with pytest.raises(CannotDo, match="no labelled clip to calibrate on"):
        fit_conformal(np.eye(2), np.full(2, -1), np.arange(2))
