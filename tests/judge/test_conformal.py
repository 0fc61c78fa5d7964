"""Sets hold the true view as often as promised, for new patients, however alike a patient's clips are."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from apical.errors import CannotDo
from apical.judge.conformal import (
    Conformal,
    fit_conformal,
    prediction_sets,
    scores,
    set_figures,
    weighted_threshold,
)

SCORES = ("lac", "aps", "raps")


def clips(random, patients, k=4, spread=1.5):
    """Clips of a patient share how hard the patient is, and hard patients have many more clips."""
    skill = random.normal(2.0, spread, patients)
    each = np.where(skill < 2, random.integers(5, 20, patients), random.integers(1, 4, patients))
    patient = np.repeat(np.arange(patients), each)
    label = random.integers(0, k, len(patient))
    logits = random.normal(0, 1, (len(patient), k)) + skill[patient][:, None] * np.eye(k)[label]
    logits[:, 0] -= 1.0  # view 0 is harder than the others
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), label, patient


def per_patient(values, patient):
    """Of a clip drawn evenly from those of each patient, on average over patients."""
    return np.mean([values[patient == p].mean() for p in np.unique(patient)])


def covered(fitted, probabilities, label):
    return fitted.sets(probabilities)[np.arange(len(label)), label]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("error_rate", [0.1, 0.3])
def test_covers_a_clip_of_a_new_patient(score, error_rate):
    """The mean over 200 calibrations on 19 patients; its standard error is under 0.008."""
    random = np.random.default_rng(0)
    held = []
    for _ in range(200):
        fitted = fit_conformal(*clips(random, 19), error_rate=error_rate, score=score)
        assert fitted.enough
        probabilities, label, patient = clips(random, 40)
        held.append(per_patient(covered(fitted, probabilities, label), patient))
    assert np.mean(held) > 1 - error_rate - 0.02
    assert np.mean(held) < 0.97  # and not by being large


def test_taking_all_clips_alike_would_not_keep_the_promise():
    """The simulation can tell: where one patient's many easy clips weigh as others', too few are covered."""
    random = np.random.default_rng(0)
    right, naive = [], []
    for _ in range(100):
        probabilities, label, patient = clips(random, 19)
        twin = np.tile(np.eye(4)[0] * 0.97 + 0.0075, (300, 1))  # one patient with 300 sure and right clips
        mixed = np.concatenate([probabilities, twin]), np.concatenate([label, np.zeros(300, np.int64)])
        who = np.concatenate([patient, np.full(300, 99)])
        new, truth, newcomer = clips(random, 40)
        for found, unit in ((right, who), (naive, np.arange(len(who)))):
            fitted = fit_conformal(*mixed, unit)
            found.append(per_patient(covered(fitted, new, truth), newcomer))
    assert np.mean(right) > 0.88
    assert np.mean(naive) < 0.8


@pytest.mark.parametrize("score", SCORES)
def test_by_view_every_view_is_covered_and_only_so(score):
    random = np.random.default_rng(1)
    by_view, common = [], []
    for _ in range(150):
        calibration, (probabilities, label, patient) = clips(random, 40), clips(random, 60)
        for found, per_view in ((by_view, True), (common, False)):
            fitted = fit_conformal(*calibration, score=score, per_view=per_view)
            held = covered(fitted, probabilities, label)
            found.append([per_patient(held[label == c], patient[label == c]) for c in range(4)])
    assert np.mean(by_view, axis=0).min() > 0.88
    assert np.mean(common, axis=0)[0] < 0.86  # the hard view


def test_single_draws_of_one_clip_a_patient_agree_but_for_the_new_patients_weight():
    """All draws at once cover as much as single draws do on average, or more, by at most 1 / (P + 1)."""
    random = np.random.default_rng(2)
    at_once, drawn = [], []
    for _ in range(60):
        (probabilities, label, patient), (new, truth, newcomer) = clips(random, 39), clips(random, 60)
        fitted = fit_conformal(probabilities, label, patient)
        at_once.append(per_patient(covered(fitted, new, truth), newcomer))
        for _ in range(10):
            mixed = random.permutation(len(label))
            one = mixed[np.unique(patient[mixed], return_index=True)[1]]
            single = fit_conformal(probabilities[one], label[one], patient[one])
            drawn.append(per_patient(covered(single, new, truth), newcomer))
    assert np.mean(drawn) - 0.003 < np.mean(at_once) < np.mean(drawn) + 1 / 40


def test_clips_that_are_all_alike_are_one_clip():
    random = np.random.default_rng(3)
    one = random.dirichlet(np.ones(4), 30), random.integers(0, 4, 30)
    each = random.integers(1, 9, 30)
    many = np.repeat(one[0], each, axis=0), np.repeat(one[1], each), np.repeat(np.arange(30), each)
    for score in SCORES:
        assert fit_conformal(*many, score=score) == fit_conformal(*one, np.arange(30), score=score)


def test_threshold_is_the_finite_sample_quantile_for_one_clip_a_patient():
    of_truth = np.arange(1, 20) / 100  # 19 patients: rank ceil(20 × 0.9) = 18
    probabilities = np.stack([1 - of_truth, of_truth], axis=1)
    fitted = fit_conformal(probabilities, np.zeros(19, np.int64), np.arange(19))
    assert fitted.threshold == pytest.approx(0.18)
    assert fitted.patients == 19


def test_threshold_is_that_of_a_table_of_weights():
    random = np.random.default_rng(3)
    patient = random.integers(0, 25, 120)
    of_truth = random.random(120).round(1)  # with ties
    weight = np.array([1 / (patient == p).sum() for p in patient])
    total = len(np.unique(patient)) + 1
    expected = min(s for s in of_truth if weight[of_truth <= s].sum() >= total * 0.85)
    assert weighted_threshold(of_truth, patient, 0.15) == expected


def test_every_patient_weighs_the_same_and_clips_without_label_nothing():
    probabilities = np.array([[0.9, 0.1]] * 50 + [[0.2, 0.8]])
    label = np.zeros(51, np.int64)
    label[0] = -1
    fitted = fit_conformal(probabilities, label, np.array(["a"] * 50 + ["b"]), error_rate=0.5)
    assert fitted.patients == 2
    assert fitted.threshold == pytest.approx(
        0.8
    )  # weights 1 below, 1 at 0.8, 1 at infinity; half of 3 is 1.5


@pytest.mark.parametrize(("error_rate", "least"), [(0.1, 9), (0.05, 19), (0.3, 3)])
def test_the_least_number_of_patients(error_rate, least):
    for patients in (least - 1, least):
        probabilities = np.eye(3)[np.arange(patients) % 3] * 0.7 + 0.1
        fitted = fit_conformal(
            probabilities, np.arange(patients) % 3, np.arange(patients), error_rate=error_rate
        )
        assert fitted.enough == (patients == least)


@pytest.mark.parametrize("score", SCORES)
def test_too_few_patients_give_all_taught_views_and_say_so(score):
    probabilities = np.array([[0.98, 0.01, 0.01, 0.0], [0.2, 0.7, 0.1, 0.0]])  # nobody taught the last
    fitted = fit_conformal(probabilities, np.array([0, 1]), np.arange(2), score=score, per_view=True)
    assert not fitted.enough
    assert fitted.sets(probabilities).tolist() == [[True, True, True, False]] * 2
    assert not any(fitted.promised)


@pytest.mark.parametrize("score", SCORES)
def test_a_view_with_too_few_patients_takes_the_common_threshold_without_promise(score):
    random = np.random.default_rng(4)
    probabilities, label, patient = clips(random, 30)
    few = (label != 2) | (patient < 8)
    fitted = fit_conformal(probabilities[few], label[few], patient[few], score=score, per_view=True)
    common = fit_conformal(probabilities[few], label[few], patient[few], score=score)
    assert fitted.view_patients[2] <= 8
    assert fitted.promised == (True, True, False, True)
    assert common.promised == (False,) * 4
    assert fitted.thresholds[2] == common.threshold == common.thresholds[0]
    for view in (0, 1, 3):
        own = label[few] == view
        alone = fit_conformal(probabilities[few][own], label[few][own], patient[few][own], score=score)
        # not below the common one, so that what is promised over all clips holds as well
        assert fitted.thresholds[view] == max(alone.threshold, common.threshold)


@pytest.mark.parametrize("score", SCORES)
def test_scores_are_those_of_a_loop(score):
    random = np.random.default_rng(5)
    probabilities = random.dirichlet(np.ones(5) / 2, 40)
    probabilities[:3] = [[0.25, 0.25, 0.25, 0.25, 0], [0.4, 0.4, 0.1, 0.1, 0], [0, 0, 1, 0, 0]]
    expected = np.zeros((40, 5))
    for i, p in enumerate(probabilities):
        for view in range(5):
            above = [other for other in range(5) if p[other] > p[view]]
            mass = sum(p[other] for other in above)
            expected[i, view] = {"lac": 1 - p[view], "aps": mass, "raps": mass + 0.1 * len(above)}[score]
    np.testing.assert_allclose(scores(probabilities, score), expected, atol=1e-12)


def test_aps_sets_are_the_shortest_lists_that_reach_a_mass():
    """From the likeliest view down, until more than the threshold is gathered, the last one included."""
    random = np.random.default_rng(6)
    probabilities = random.dirichlet(np.ones(6), 200)
    sets = prediction_sets(probabilities, 0.7, "aps")
    for p, inside in zip(probabilities, sets, strict=True):
        gathered, expected = 0.0, set()
        for view in np.argsort(-p):
            expected.add(int(view))
            gathered += p[view]
            if gathered > 0.7:
                break
        assert set(np.flatnonzero(inside)) == expected


def test_the_conservative_variant_is_never_smaller():
    """Calibrated on the mass up to and with the true view, as where the random part is simply left out."""
    random = np.random.default_rng(7)
    probabilities, label, patient = clips(random, 60)
    rows = np.arange(len(label))
    with_own = scores(probabilities, "aps")[rows, label] + probabilities[rows, label]
    conservative = prediction_sets(probabilities, weighted_threshold(with_own, patient, 0.1), "aps")
    ours = fit_conformal(probabilities, label, patient, score="aps").sets(probabilities)
    assert (ours <= conservative).all()
    assert ours.sum() < 0.9 * conservative.sum()


@pytest.mark.parametrize("score", SCORES)
def test_no_set_is_empty_or_lacks_the_likeliest_view(score):
    probabilities, label, patient = clips(np.random.default_rng(8), 40, spread=0.1)
    fitted = fit_conformal(probabilities, label, patient, error_rate=0.7, score=score)
    sets = fitted.sets(probabilities)
    assert sets[np.arange(len(label)), probabilities.argmax(1)].all()
    assert sets.sum(1).mean() < 1.5


@pytest.mark.parametrize("score", SCORES)
def test_views_that_were_not_taught_are_in_no_set(score):
    probabilities, label, patient = clips(np.random.default_rng(9), 40)
    wider = np.insert(probabilities, 2, 0.0, axis=1)
    fitted = fit_conformal(
        wider, np.where(label >= 2, label + 1, label), patient, error_rate=0.02, score=score
    )
    narrow = fit_conformal(probabilities, label, patient, error_rate=0.02, score=score)
    assert not fitted.sets(wider)[:, 2].any()
    np.testing.assert_array_equal(np.delete(fitted.sets(wider), 2, axis=1), narrow.sets(probabilities))


def test_goes_through_json_and_does_not_depend_on_order():
    probabilities, label, patient = clips(np.random.default_rng(10), 40)
    fitted = fit_conformal(probabilities, label, patient, per_view=True)
    mixed = np.random.default_rng(0).permutation(len(label))
    assert fit_conformal(probabilities[mixed], label[mixed], patient[mixed], per_view=True) == fitted
    read = json.loads(json.dumps(asdict(fitted)))
    assert Conformal(**{n: tuple(v) if isinstance(v, list) else v for n, v in read.items()}) == fitted


def test_figures_are_those_of_a_loop_over_patients():
    random = np.random.default_rng(11)
    probabilities, label, patient = clips(random, 12)
    label = np.where(random.random(len(label)) < 0.2, -1, label)
    label[label == 3] = -1
    sets = prediction_sets(probabilities, 0.6)
    figures = set_figures(sets[None], label[None], patient, resamples=200)
    known = label >= 0
    held = sets[np.arange(len(label)), label]
    assert figures.coverage.value == pytest.approx(per_patient(held[known], patient[known]))
    assert figures.size.value == pytest.approx(per_patient(sets.sum(1)[known], patient[known]))
    assert figures.coverage.low < figures.coverage.value < figures.coverage.high
    for c in range(3):
        of = label == c
        assert figures.view_coverage[c].value == pytest.approx(per_patient(held[of], patient[of]))
        assert figures.view_size[c].value == pytest.approx(per_patient(sets.sum(1)[of], patient[of]))
    assert np.isnan(figures.view_coverage[3].value)


def test_figures_are_averaged_over_seeds():
    probabilities, label, patient = clips(np.random.default_rng(12), 12)
    both = np.stack([prediction_sets(probabilities, 0.3), prediction_sets(probabilities, 0.9)])
    mean = set_figures(both, np.stack([label] * 2), patient, resamples=100)
    one, other = (set_figures(each[None], label[None], patient, resamples=100) for each in both)
    assert mean.size.value == pytest.approx((one.size.value + other.size.value) / 2)


def test_without_labels():
    with pytest.raises(CannotDo, match="no labelled clip to calibrate on"):
        fit_conformal(np.eye(2), np.full(2, -1), np.arange(2))


def test_coverage_over_all_clips_holds_where_some_views_have_too_few_patients():
    """Rare views that take the common threshold are covered less, which the others must not add to."""
    covered = []
    for seed in range(150):
        random = np.random.default_rng(seed)
        probabilities, label, patient = clips(random, 60)
        rare = (label == 2) & (patient % 30 >= 4)  # of four calibration patients a rare view, nine are needed
        probabilities, label, patient = probabilities[~rare], label[~rare], patient[~rare]
        old = patient < 30
        fitted = fit_conformal(probabilities[old], label[old], patient[old], per_view=True)
        assert not fitted.promised[2]
        sets = fitted.sets(probabilities[~old])[np.arange((~old).sum()), label[~old]]
        who = patient[~old]
        covered.append(np.mean([sets[who == p].mean() for p in np.unique(who)]))
    assert np.mean(covered) > 0.9
