"""Confident learning is as in cleanlab and naive loops; planted errors are found; rare views are spared."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from apical.catalogue import read_catalogue, write_catalogue
from apical.errors import CannotDo, WrongCall
from apical.learn.probe import probe_answers
from apical.learn.suspects import (
    FOLDS,
    calibrated,
    check_labels,
    confident_joint,
    cross_fitted,
    likely_wrong,
    patient_folds,
    suspicion,
)

# Inputs drawn at random; what cleanlab 2.9.0 (Apache-2.0) makes of them: compute_confident_joint, without and
# with calibration, find_label_issues by noise rate, and 100 x get_label_quality_scores by normalised margin.
PERCENT = [
    [67, 17, 16], [45, 35, 20], [83, 14, 3], [92, 3, 5], [97, 1, 2], [30, 58, 12], [94, 5, 1],
    [74, 19, 7], [84, 3, 13], [93, 3, 4], [23, 40, 37], [10, 79, 11], [5, 84, 11], [27, 68, 5],
    [29, 55, 16], [26, 66, 8], [7, 73, 20], [5, 8, 87], [4, 3, 93], [7, 17, 76], [46, 27, 27],
]  # fmt: skip
SAID = np.array([1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 2, 1, 2, 2])
THEIR_JOINT = [[7, 2, 0], [0, 4, 1], [0, 1, 2]]
THEIR_CALIBRATED = [[8, 2, 0], [0, 6, 1], [0, 1, 3]]
THEIR_ISSUES = [5, 11, 12, 18]
THEIR_QUALITY = [
    25, 55, 84.5, 93.5, 97.5, 27, 94.5, 77.5, 85.5, 94.5, 51.5, 15.5, 10.5, 70.5, 63, 70, 76.5, 89.5, 5,
    79.5, 40.5,
]  # fmt: skip


def answers(n, k, seed, skill=2.0):
    """Log-probabilities of a classifier with some skill, and labels of which some are wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(k, size=n)
    label = np.where(random.random(n) < 0.15, random.integers(k, size=n), truth)
    logits = random.normal(size=(n, k)) + skill * np.eye(k)[truth]
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), label


def exams(seed, patients=60, clips=6, views=4, wrong=0.0, spread=0.6):
    """Features of clips of patients with their own habits; labels; which of them are wrong."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), clips)
    truth = random.integers(views, size=len(patient))
    features = 2 * random.normal(size=(views, 12))[truth] + random.normal(size=(patients, 12))[patient]
    features += spread * random.normal(size=features.shape)
    bad = random.random(len(patient)) < wrong
    label = np.where(bad, (truth + random.integers(1, views, len(patient))) % views, truth)
    return features.astype(np.float32), label, patient, bad


def by_probes(features, label, patient, *, views, folds=FOLDS, penalty=1e-2, adjustment=1.0):
    """What probes say of clips of patients that they did not see."""

    def answer(known):
        taught = known >= 0
        return probe_answers(
            features[taught], known[taught], features, views=views, penalty=penalty, adjustment=adjustment
        )

    return cross_fitted(answer, label, patient, views=views, folds=folds)


def test_as_cleanlab_does():
    given_answers = np.log(np.array(PERCENT) / 100)
    joint = confident_joint(given_answers, SAID)
    np.testing.assert_array_equal(joint, THEIR_JOINT)
    np.testing.assert_array_equal(calibrated(joint, np.bincount(SAID)), THEIR_CALIBRATED)
    assert np.flatnonzero(likely_wrong(given_answers, SAID, most=1)).tolist() == THEIR_ISSUES
    np.testing.assert_allclose(100 * (1 - suspicion(given_answers, SAID)), THEIR_QUALITY)


@pytest.mark.parametrize("seed", range(20))
def test_as_cleanlab_does_where_it_is_there(seed):
    count = pytest.importorskip("cleanlab.count")
    filtering = pytest.importorskip("cleanlab.filter")
    k = 2 + seed % 4
    said, label = answers(40 * k, k, seed)
    probability = np.exp(said)
    reaches = probability >= [probability[label == j, j].mean() for j in range(k)]
    if (reaches.sum(1) > 1).any() and not reaches[np.arange(len(label)), probability.argmax(1)][
        reaches.any(1)
    ].all():
        pytest.skip("cleanlab takes the likeliest view even if it is none of those reached; eq. 1 does not")
    joint = confident_joint(said, label)
    np.testing.assert_array_equal(joint, count.compute_confident_joint(label, probability, calibrate=False))
    theirs = filtering.find_label_issues(label, probability, filter_by="prune_by_noise_rate", n_jobs=1)
    whole = calibrated(joint, np.bincount(label, minlength=k))
    if np.array_equal(whole, count.calibrate_confident_joint(joint, label)):
        np.testing.assert_array_equal(likely_wrong(said, label, most=1), theirs)


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 10_000), st.floats(0, 0.5))
def test_the_joint_equals_naive_loops(n, k, seed, untaught):
    said, label = answers(n, k, seed)
    said[np.random.default_rng(seed).random(said.shape) < untaught] = -np.inf
    joint = np.zeros((k, k), int)
    judged = [i for i in range(n) if said[i, label[i]] > -np.inf]
    for i in judged:
        reached = {}
        for j in range(k):
            own = [np.exp(said[other, j]) for other in judged if label[other] == j]
            if own and np.exp(said[i, j]) >= np.mean(own) - 1e-6:
                reached[j] = said[i, j]
        if reached:
            joint[label[i], max(reached, key=reached.get)] += 1
    np.testing.assert_array_equal(confident_joint(said, label), joint)


@given(st.integers(2, 5), st.integers(0, 10_000))
def test_the_calibrated_joint_has_the_labels_as_its_rows(k, seed):
    random = np.random.default_rng(seed)
    joint, count = random.integers(0, 5, (k, k)), random.integers(0, 40, k)
    whole = calibrated(joint, count)
    assert whole.sum(axis=1).tolist() == count.tolist()
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    exact = joint / joint.sum(axis=1, keepdims=True) * count[:, None]
    assert (np.abs(whole - exact) < 1).all()


@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 10_000), st.sampled_from([0.2, 0.5, 1.0]))
def test_what_is_listed(n, k, seed, most):
    """Never a label that is the likeliest, nor one that is not judged, nor more than a share of a view's."""
    said, label = answers(n, k, seed, skill=0.3)
    said[np.random.default_rng(seed + 1).random(said.shape) < 0.2] = -np.inf
    wrong, doubt = likely_wrong(said, label, most), suspicion(said, label)
    judged = said[np.arange(n), label] > -np.inf
    assert np.isnan(doubt).tolist() == (~judged).tolist()
    assert not wrong[~judged].any()
    assert (doubt[wrong] > 0.5).all()
    assert (said[wrong].argmax(axis=1) != label[wrong]).all()
    for view in range(k):
        assert wrong[label == view].sum() <= most * judged[label == view].sum()
    left = likely_wrong(said, label, 1) & ~wrong
    assert (wrong <= likely_wrong(said, label, 1)).all()
    for one in np.flatnonzero(left):
        assert (doubt[wrong & (label == label[one])] >= doubt[one]).all()


def test_no_label_of_a_sure_classifier_that_agrees_is_listed():
    said, _ = answers(50, 3, 0)
    assert not likely_wrong(said, said.argmax(axis=1)).any()


@pytest.mark.parametrize("seed", range(3))
def test_planted_errors_are_found(seed):
    features, label, patient, bad = exams(seed, wrong=0.08)
    said = by_probes(features, label, patient, views=4)
    wrong = likely_wrong(said, label)
    assert bad.sum() > 15
    assert wrong[bad].mean() > 0.8
    assert bad[wrong].mean() > 0.7
    doubt = suspicion(said, label)
    assert np.median(doubt[bad]) > 0.8 > 0.2 > np.median(doubt[~bad])


def test_where_all_labels_are_right_hardly_any_is_listed():
    features, label, patient, _ = exams(5)
    assert likely_wrong(by_probes(features, label, patient, views=4), label).mean() < 0.02


def test_a_view_of_one_patient_is_not_judged():
    """Nobody else could teach how it looks; its clips are not wrong for that, and no clip surely shows it."""
    features, label, patient, _ = exams(1)
    label[patient == 7] = 4
    said = by_probes(features, label, patient, views=6)
    assert np.isnan(suspicion(said, label)[label == 4]).all()
    assert not likely_wrong(said, label)[label == 4].any()
    assert np.isfinite(suspicion(said, label)[label != 4]).all()
    assert confident_joint(said, label)[:, 4:].sum() == 0
    assert (said[:, 5] == -np.inf).all()  # a view that nobody has


def test_a_view_of_two_patients_is_never_wrong_as_a_whole():
    """Two patients whose clips look like any other view's, so that the probe must fail on them."""
    features, label, patient, _ = exams(2)
    rare = np.isin(patient, [3, 4])
    label[rare] = 4
    said = by_probes(features, label, patient, views=5)
    assert (said[rare].argmax(axis=1) != 4).mean() > 0.8
    assert likely_wrong(said, label, most=1)[rare].mean() > 0.5
    assert likely_wrong(said, label)[rare].mean() == 0.5


def test_nobody_is_judged_by_a_probe_that_saw_the_patient():
    """A fold's answers are scikit-learn's, taught on the other folds alone."""
    features, label, patient, _ = exams(3, patients=20)
    fold = patient_folds(label, patient, 4)
    said = by_probes(features, label, patient, views=4, folds=4)
    asked = fold == 2
    model = LogisticRegression(C=1 / (2 * (~asked).sum() * 1e-2), tol=1e-10, max_iter=5000)
    mean, deviation = features[~asked].mean(axis=0), features[~asked].std(axis=0)
    model.fit((features[~asked] - mean) / deviation, label[~asked])
    plain = by_probes(features, label, patient, views=4, folds=4, penalty=1e-2, adjustment=0)
    theirs = model.predict_proba((features[asked] - mean) / deviation)
    np.testing.assert_allclose(np.exp(plain[asked]), theirs, atol=2e-4)
    assert not np.allclose(np.exp(said[asked]), theirs, atol=2e-4)  # the adjustment is used
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1)


def test_clips_without_a_label_help_to_answer_and_are_not_judged():
    """Each is there whenever anybody is asked; nobody answers for a patient whose labels are known."""
    label = np.array([0, 1, -1, 0, 1, -1, 1, -1])
    patient = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    asked = []

    def answer(known):
        asked.append(known)
        return np.full((8, 2), float(-len(asked)))

    said = cross_fitted(answer, label, patient, views=2, folds=3)
    assert (said[label < 0] == -np.inf).all()
    assert len(asked) == 3
    for row in np.flatnonzero(label >= 0):
        known = asked[int(-said[row, 0]) - 1]
        assert (known[patient == patient[row]] == -1).all()
        assert ((known == label) | (known == -1)).all()


@given(st.integers(1, 20), st.integers(2, 6), st.integers(1, 5), st.integers(0, 10_000))
def test_folds_keep_patients_whole_and_spread_views(patients, folds, views, seed):
    """Each patient has one view here, so a view's patients can be spread evenly, and are."""
    random = np.random.default_rng(seed)
    patient = random.permutation(np.repeat(np.arange(patients), random.integers(1, 5, patients)))
    label = random.integers(views, size=patients)[patient]
    fold = patient_folds(label, patient, folds)
    assert 0 <= fold.min() <= fold.max() < folds
    for one in range(patients):
        assert len(set(fold[patient == one])) == 1
    for view in set(label):
        of_view = {one: fold[patient == one][0] for one in patient[label == view]}
        number = np.bincount(list(of_view.values()), minlength=folds)
        assert number.max() - number.min() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_folds_of_whole_exams_leave_no_view_of_two_patients_in_one(seed):
    """Common views in every exam, rare ones in two each."""
    random = np.random.default_rng(seed)
    common = [(one, view) for one in range(30) for view in range(4)]
    rare = [(one, 4 + number) for number in range(5) for one in random.choice(30, 2, replace=False)]
    patient, label = np.array(common + rare).T
    fold = patient_folds(label, patient, 5)
    for view in range(9):
        assert len(set(fold[label == view])) == min(5, len(set(patient[label == view])))


def test_folds_do_not_depend_on_the_numbers_of_patients():
    _, label, patient, _ = exams(0, patients=15)
    other = np.random.default_rng(0).permutation(100)[patient]
    np.testing.assert_array_equal(patient_folds(label, patient, 5), patient_folds(label, other, 5))


@given(st.integers(1, 4))
def test_fewer_patients_than_folds(patients):
    features, label, patient, _ = exams(0, patients=patients)
    assume(len(np.unique(label)) > 1)
    said = by_probes(features, label, patient, views=4, folds=5)
    assert not np.isnan(said).any()
    assert np.isfinite(said).any() == (patients > 1)
    assert likely_wrong(said, label).shape == label.shape


def mislabelled(exams_folder, out, change):
    """The catalogue of the small exams, its labels changed."""
    table = read_catalogue(exams_folder / "catalogue.parquet")
    views = [change(clip, view) for clip, view in table.select("clip", "view").iter_rows()]
    write_catalogue(table.with_columns(view=pl.Series(views, dtype=pl.String)), out)
    return out


def test_the_verb_finds_swapped_labels_of_training_clips(exams, tmp_path, monkeypatch):
    """Two of training patients and one of a test patient are wrong: it lists the two, the other never.

    The encoder here is a good one: the pixels of these simple pictures.
    """
    monkeypatch.setattr(
        "apical.learn.suspects.embed_clips",
        lambda run, clips: clips.read(clips.first).reshape(len(clips), -1)[:, ::5].astype(np.float32),
    )
    swapped = {"clip3-PLAX": "A4C", "clip8-A4C": "A2C", "clip17-PLAX": "A2C"}
    catalogue = mislabelled(exams, tmp_path / "c.parquet", lambda clip, view: swapped.get(clip, view))
    told = []
    suspects = check_labels(exams / "frames", catalogue, tell=told.append)
    assert {(one.clip, one.said, one.likelier) for one in suspects} == {
        ("clip3-PLAX", "A4C", "PLAX"),
        ("clip8-A4C", "A2C", "A4C"),
    }
    doubts = [one.suspicion for one in suspects]
    assert doubts == sorted(doubts, reverse=True)
    assert 0.5 < min(doubts) <= max(doubts) <= 1
    assert told == []


def test_the_verb_says_what_it_cannot_check(exams, encoder, tmp_path):
    rare = mislabelled(
        exams, tmp_path / "c.parquet", lambda clip, view: "IVC" if clip.startswith("clip5-") else view
    )
    told = []
    suspects = check_labels(exams / "frames", rare, encoder=encoder, tell=told.append)
    assert told == ["3 labels of IVC cannot be checked: too few other patients have one"]
    assert suspects
    assert "IVC" not in {one.said for one in suspects}


def test_bad_calls_give_one_line(exams, encoder, tmp_path):
    def check(change, **options):
        catalogue = mislabelled(exams, tmp_path / "c.parquet", change)
        return check_labels(exams / "frames", catalogue, encoder=encoder, **options)

    with pytest.raises(CannotDo, match="fewer than two views"):
        check(lambda clip, view: None)
    with pytest.raises(CannotDo, match="no label can be checked"):
        check(lambda clip, view: view if clip.startswith("clip5-") else None)
    with pytest.raises(WrongCall, match="two folds"):
        check(lambda clip, view: view, folds=1)
