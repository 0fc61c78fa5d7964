"""The estimate: F1 as scikit-learn has it, intervals over patients, and nothing said that cannot be."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from apical.label.advice import Estimate, ViewFigures
from apical.label.estimate import FEWEST, estimate, most_help

NAMES = ("PLAX", "A4C", "A2C", "A5C")


def answers_for(said):
    """Log-probabilities of somebody who is rather sure."""
    values = np.full((len(said), len(NAMES)), np.log(0.1))
    values[np.arange(len(said)), said] = np.log(0.7)
    return values


def drawn(seed, patients=20, wrong=0.3):
    """Labels of three views, what was said of them, and patients."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 6)
    label = random.integers(3, size=len(patient))
    said = np.where(random.random(len(label)) < wrong, random.integers(3, size=len(label)), label)
    return label, said, patient


def test_figures_are_those_of_scikit_learn():
    label, said, patient = drawn(0)
    found = estimate(answers_for(said), label, patient, NAMES)
    expected = f1_score(label, said, labels=[0, 1, 2], average=None)
    assert [one.f1 for one in found.views[:3]] == pytest.approx(expected.tolist())
    assert found.macro_f1 == pytest.approx(f1_score(label, said, average="macro"))
    assert [one.clips for one in found.views] == np.bincount(label, minlength=4).tolist()
    for view, one in enumerate(found.views):
        assert one.patients == len(set(patient[label == view].tolist()))
    assert found.labels == len(label)
    assert found.views[3] == ViewFigures("A5C", 0, 0, None, None, None)


def test_a_view_of_one_patient_is_not_judged_and_does_not_count():
    label, said, patient = drawn(1)
    more = np.append(label, [3, 3]), np.append(said, [0, 0]), np.append(patient, [5, 5])
    found = estimate(answers_for(more[1]), more[0], more[2], NAMES)
    assert found.views[3] == ViewFigures("A5C", 1, 2, None, None, None)
    assert found.macro_f1 == pytest.approx(f1_score(label, said, average="macro"))


@pytest.mark.parametrize(("patients", "has_limits"), [(FEWEST - 1, False), (FEWEST, True)])
def test_too_few_patients_make_no_interval(patients, has_limits):
    label, said, patient = drawn(1, patients=patients)
    found = estimate(answers_for(said), label, patient, NAMES)
    assert found.macro_f1 is not None
    for one in (*found.views[:3], found):
        assert (one.low is not None, one.high is not None) == (has_limits, has_limits)


def test_clips_without_a_label_and_labels_that_could_not_be_answered_have_no_part():
    label, said, patient = drawn(2)
    answers = answers_for(said)
    hidden = np.arange(len(label)) % 5 == 0
    expected = estimate(answers[~hidden], label[~hidden], patient[~hidden], NAMES)
    assert estimate(answers, np.where(hidden, -1, label), patient, NAMES).views == expected.views
    assert estimate(answers, np.where(hidden, -2, label), patient, NAMES).views == expected.views
    unanswered = answers.copy()
    unanswered[hidden] = -np.inf
    found = estimate(unanswered, label, patient, NAMES)
    assert found.macro_f1 == pytest.approx(expected.macro_f1)
    assert found.labels == len(label)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Of patients drawn from a world whose F1 is known."""
    label, said, _ = drawn(3, patients=20_000)
    truth = f1_score(label, said, average="macro")
    held = 0
    for seed in range(100):
        found = estimate(answers_for(drawn(seed, 15)[1]), drawn(seed, 15)[0], drawn(seed, 15)[2], NAMES)
        held += found.low <= truth <= found.high
    assert 88 <= held <= 100


def test_without_labels_or_with_one_view_there_is_no_mean():
    nobody = estimate(np.full((3, 4), -np.inf), np.full(3, -1), np.arange(3), NAMES)
    assert (nobody.macro_f1, nobody.low, nobody.high, nobody.labels) == (None, None, None, 0)
    assert all(one.f1 is None for one in nobody.views)
    one_view = estimate(answers_for([0, 0, 0]), np.zeros(3, int), np.arange(3), NAMES)
    assert one_view.macro_f1 is None
    assert one_view.views[0].f1 == 1


def figures(**views):
    """An estimate from patients and F1."""
    of_views = [ViewFigures(name, count, count, f1, f1, f1) for name, (count, f1) in views.items()]
    return Estimate(of_views, None, None, None, 0)


def test_views_that_are_named_worst_are_helped_first_and_those_nobody_labelled_last():
    found = most_help(figures(PLAX=(9, 0.9), A4C=(8, 0.4), A2C=(1, None), A5C=(0, None), A3C=(4, 0.4)))
    assert [(one.view, one.patients) for one in found] == [("A2C", 4), ("A3C", 3), ("A4C", 3)]
    found = most_help(figures(PLAX=(6, 0.0), A4C=(4, 0.1), A5C=(0, None)))
    assert [(one.view, one.patients) for one in found] == [("PLAX", 3), ("A4C", 3), ("A5C", 5)]
