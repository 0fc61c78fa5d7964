"""The advice: what the labels suggest, from allowed patients alone, and nothing that is known already."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from apical.config import FrameSettings, TrainSettings
from apical.label.advice import LOOKED_AT, NO_GUESS, Advice, Known, Layout
from apical.label.advising import Ground, advise, judged, suggest, taught_from, with_figures_of
from apical.learn.clips import SHOWS_NONE, Clips
from apical.learn.next_labels import CENTRE, choose, likeness_of_nearest
from apical.learn.probe import propagated_answers
from apical.learn.suspects import cross_fitted

NAMES = ("PLAX", "A4C", "A2C", "A5C")
PATIENTS, CLIPS = 26, 6


def world(seed=0):
    """Features, clips without labels, and the truth; patients 0 to 19 train, then 3 validate and 3 test."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(PATIENTS), CLIPS)
    n = len(patient)
    truth = np.tile(np.arange(CLIPS) % 4, PATIENTS)
    features = 2.5 * np.eye(4, 12)[truth] + 0.5 * random.normal(size=(PATIENTS, 12))[patient]
    features += 0.4 * random.normal(size=features.shape)
    names = np.array([f"p{one}" for one in patient])
    clips = Clips(
        frames=np.zeros((n, 8, 8), np.uint8),
        first=np.arange(n),
        count=np.ones(n, np.int64),
        clip=np.array([f"c{one}" for one in range(n)]),
        patient=names,
        study=names,
        machine=np.full(n, ""),
        split=np.where(patient < 20, "train", np.where(patient < 23, "validation", "test")),
        label=np.full(n, -1),
        agent=np.full(n, -1),
        order=np.tile(np.arange(CLIPS), PATIENTS),
        made=FrameSettings(),
    )
    return features.astype(np.float32), clips, truth


FEATURES, SOME, TRUTH = world()
PATIENT = SOME.patient_code
TRAIN = np.flatnonzero(SOME.split == "train")


@pytest.fixture(scope="module")
def ground():
    return Ground.of(FEATURES, SOME, NAMES)


def known(rows, version=7, **others):
    """The truth of some rows; other labels by name: none, looked_at."""
    label = np.full(len(SOME), -1)
    label[rows] = TRUTH[rows]
    for code, chosen in others.items():
        label[chosen] = {"none": SHOWS_NONE, "looked_at": LOOKED_AT}[code]
    return Known(version, label, SOME.agent)


@pytest.fixture(scope="module")
def whole(ground):
    """All advice on the labels of `FEW`."""
    return advise(ground, known(FEW))


FEW = np.flatnonzero((PATIENT < 8) & (np.arange(len(SOME)) % CLIPS < 4))


def test_without_labels_typical_clips_of_training_patients_are_picked(ground):
    found = advise(ground, known([]))
    assert (found.guess == NO_GUESS).all()
    assert (found.probability == 0).all()
    assert (found.labels, found.estimate, found.suspects, found.by_view, found.help) == (0, None, [], {}, [])
    rows = [pick.row for pick in found.picks]
    assert sorted(rows) == TRAIN.tolist()
    assert len(set(TRUTH[rows[:8]].tolist())) == 4
    assert len(set(PATIENT[rows[:20]].tolist())) == 20
    assert all(pick.reason.startswith("typical of ") for pick in found.picks)


def test_unsure_clips_are_asked_for_once_views_have_enough_labels(ground, monkeypatch):
    now = known(TRAIN[: len(TRAIN) // 2])
    assert all(pick.reason.startswith("unsure, ") for pick in suggest(ground, now).picks)
    monkeypatch.setattr("apical.label.advising.ENOUGH", 16)
    assert all(pick.reason.startswith("typical of ") for pick in suggest(ground, now).picks)


def test_guesses_are_those_of_propagated_labels_and_whole_exams(ground):
    now = known(FEW)
    found = suggest(ground, now)
    clips = replace(SOME, label=now.label)
    said = propagated_answers(
        FEATURES, clips, TrainSettings(), views=4, teaching=np.asarray(SOME.split == "train")
    )
    assert found.guess.tolist() == said.argmax(axis=1).tolist()
    sharp = np.exp(said) ** 2  # at a temperature of a half
    assert found.probability == pytest.approx(sharp.max(axis=1) / sharp.sum(axis=1), abs=1e-6)
    second = np.argsort(said, axis=1)[:, -2]
    assert found.second.tolist() == second.tolist()
    assert (found.guess == TRUTH).mean() > 0.9
    assert (found.model, found.version, found.labels) == ("probe 7", 7, len(FEW))


def test_labels_of_validation_and_test_patients_teach_nothing(ground, whole):
    of_judged = np.flatnonzero(SOME.split != "train")
    wrong = known(FEW)
    wrong.label[of_judged] = (TRUTH[of_judged] + 1) % 4
    one, other = whole, advise(ground, wrong)
    assert one.guess.tolist() == other.guess.tolist()
    assert one.probability.tolist() == other.probability.tolist()
    assert (one.estimate, one.suspects, one.labels) == (other.estimate, other.suspects, other.labels)


def test_clips_of_other_splits_are_proposed_only_where_that_was_asked_for():
    now = known(FEW)
    for splits in (("train", ""), ("test",), ("train", "validation")):
        found = suggest(Ground.of(FEATURES, SOME, NAMES, splits=splits), now)
        rows = [pick.row for pick in found.picks]
        rows += [row for of_view in found.by_view.values() for row in of_view]
        assert set(SOME.split[rows].tolist()) == {one for one in splits if one}
    without = replace(SOME, split=np.full(len(SOME), ""))
    assert len(suggest(Ground.of(FEATURES, without, NAMES), known([])).picks) == len(SOME)


def test_what_somebody_looked_at_is_not_proposed(ground):
    none, unsure = np.arange(48, 54), np.arange(54, 60)
    found = suggest(ground, known(FEW, none=none, looked_at=unsure))
    rows = {pick.row for pick in found.picks}
    rows |= {row for of_view in found.by_view.values() for row in of_view}
    assert rows == set(TRAIN.tolist()) - {*FEW.tolist(), *none.tolist(), *unsure.tolist()}


def test_rows_of_a_view_begin_with_new_patients_the_likeliest_first(ground):
    found = suggest(ground, known(FEW))
    assert sorted(found.by_view) == [0, 1, 2, 3]
    said = propagated_answers(
        FEATURES,
        replace(SOME, label=known(FEW).label),
        TrainSettings(),
        views=4,
        teaching=np.asarray(SOME.split == "train"),
    )
    said = 2 * said - np.logaddexp.reduce(2 * said, axis=1, keepdims=True)  # at a temperature of a half
    for view, rows in found.by_view.items():
        assert (TRUTH[rows[:8]] == view).all()
        times = {one: int((TRUTH[FEW[PATIENT[FEW] == one]] == view).sum()) for one in range(20)}
        turns = []
        for row in rows:
            assert view in (found.guess[row], found.second[row])
            turns.append(times[PATIENT[row]])
            times[PATIENT[row]] += 1
        assert turns == sorted(turns)
        for one, other in itertools.pairwise(rows):
            if turns[rows.index(one)] == turns[rows.index(other)]:
                assert said[one, view] >= said[other, view]


def test_wrong_labels_are_suspected_and_the_estimate_is_the_cross_validated_one(ground):
    now = known(TRAIN)
    wrong = np.array([4, 41, 78])  # of patients who have another clip of the view
    now.label[wrong] = (TRUTH[wrong] + 1) % 4
    found = advise(ground, now)
    assert {one.row for one in found.suspects} == set(wrong.tolist())
    for one in found.suspects:
        assert one.likelier == TRUTH[one.row]
        assert 0.5 < one.suspicion <= 1
    doubt = [one.suspicion for one in found.suspects]
    assert doubt == sorted(doubt, reverse=True)

    def answer(label):
        clips = replace(SOME, label=label).select(SOME.split == "train")
        values = np.full((len(SOME), 4), -np.inf)
        values[TRAIN] = propagated_answers(FEATURES[TRAIN], clips, TrainSettings(), views=4)
        return values

    said = cross_fitted(answer, now.label, PATIENT, views=4)[TRAIN]
    truth = now.label[TRAIN]
    assert found.estimate.macro_f1 == pytest.approx(f1_score(truth, said.argmax(axis=1), average="macro"))
    assert found.estimate.low < found.estimate.macro_f1 < found.estimate.high
    assert [one.patients for one in found.estimate.views] == [20] * 4
    assert len(found.help) == 3


def test_a_network_guesses_but_does_not_judge_itself(ground, whole):
    now = known(FEW)
    values = np.full((len(SOME), 4), np.log(0.1))
    values[:, 2] = np.log(0.7)
    found, plain = advise(ground, now, network=("network 3", values)), whole
    assert (found.guess == 2).all()
    assert found.probability == pytest.approx(0.7)
    assert found.model == "network 3"
    assert (found.estimate, found.suspects, found.picks) == (plain.estimate, plain.suspects, plain.picks)


def test_advice_in_two_parts_is_the_advice_in_one(ground, whole):
    now = known(FEW)
    quick = suggest(ground, now)
    parts = judged(ground, now, quick)
    for name in ("picks", "by_view", "suspects", "estimate", "help"):
        assert getattr(whole, name) == getattr(parts, name)
    carried = with_figures_of(whole, quick)
    assert (carried.estimate, carried.help) == (whole.estimate, whole.help)
    assert carried.version == quick.version


def test_labels_are_spread_over_no_more_than_so_many_clips_labelled_patients_first(monkeypatch):
    label = np.where(np.isin(np.arange(len(SOME)), FEW), TRUTH, -1)
    label[-1] = SHOWS_NONE
    everything = taught_from(SOME, label, 0)
    assert everything.sum() == len(TRAIN)
    monkeypatch.setattr("apical.label.advising.POOL", 30)
    pool = taught_from(SOME, label, 0)
    assert pool[FEW].all()
    assert pool.sum() == len(FEW) + 30
    assert pool[PATIENT < 8].all()  # 16 clips of theirs without a label, then 14 of others
    assert set(SOME.split[pool].tolist()) == {"train"}
    assert len(set(PATIENT[pool].tolist())) == 8 + 3
    assert np.array_equal(pool, taught_from(SOME, label, 0))
    assert not np.array_equal(pool, taught_from(SOME, label, 1))


def test_with_a_small_pool_all_clips_are_answered_all_the_same(monkeypatch, ground):
    monkeypatch.setattr("apical.label.advising.POOL", 30)
    found = advise(ground, known(FEW))
    assert (found.guess == TRUTH).mean() > 0.85
    assert found.estimate.macro_f1 > 0.8


def test_what_the_chooser_is_handed_changes_nothing_but_time():
    label = known(FEW).label[TRAIN]
    features, patient = FEATURES[TRAIN], PATIENT[TRAIN]
    likeness = likeness_of_nearest(features, patient, centre=CENTRE)
    for said in (None, np.log(np.random.default_rng(0).dirichlet(np.ones(4), len(TRAIN)))):
        one, other = (
            choose(features, patient, label, 20, log_probabilities=said, centre=CENTRE, likeness=given)
            for given in (None, likeness)
        )
        assert one == other


def test_a_long_list_begins_as_a_short_one_does():
    label = known(FEW[:5]).label[TRAIN]
    short = choose(FEATURES[TRAIN], PATIENT[TRAIN], label, 6, centre=CENTRE)
    long = choose(FEATURES[TRAIN], PATIENT[TRAIN], label, 60, centre=CENTRE, ahead=6)
    assert long[:6] == short
    assert choose(FEATURES[TRAIN], PATIENT[TRAIN], label, 60, centre=CENTRE)[:6] != short


def test_a_group_that_was_found_to_show_no_view_is_not_asked_for_again_before_the_others():
    """Five groups apart; one label is of a view, one says that it shows none."""
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(5), 12)
    features = (4 * np.eye(5, 8)[group] + 0.1 * random.normal(size=(60, 8))).astype(np.float32)
    label = np.full(60, -1)
    label[0], label[12] = 0, SHOWS_NONE
    picks = choose(features, np.arange(60), label, 3)
    assert sorted(group[[pick.row for pick in picks]].tolist()) == [2, 3, 4]


def test_clips_that_probably_show_no_view_are_asked_for_last():
    said = np.log(np.full((40, 2), 0.5))
    random = np.random.default_rng(0)
    features = random.normal(size=(40, 6)).astype(np.float32)
    label = np.full(40, -1)
    label[:10] = np.arange(10) % 2
    shows = np.where(np.arange(40) < 25, 1e-6, 1.0)
    picks = choose(features, np.arange(40), label, 15, log_probabilities=said, shows_view=shows)
    assert {pick.row for pick in picks} == set(range(25, 40))


def test_messages_are_small():
    n = 20_000
    rows, values = np.zeros(n, np.int64), np.zeros(n, np.float32)
    advice = Advice(1, 2, "probe 1", rows, values, rows, [], {}, [], None, [], 0.1)
    for message in (Known(1, rows, rows), advice, Layout(values, values, rows.astype(np.int32), 1)):
        data = pickle.dumps(message)
        assert len(data) < 1_000_000
        assert type(pickle.loads(data)) is type(message)
