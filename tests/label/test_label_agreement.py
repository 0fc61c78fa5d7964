"""Agreement against scikit-learn's kappa and naive loops over clips and draws of patients."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from small_records import key, quick_records, say

from apical.judge.intervals import draw_patients, expanded_levels
from apical.label.agreement import FEWEST_PATIENTS, Confusion, agreement
from apical.label.opinions import CANNOT_TELL, NOTHING, Said
from apical.views import NO_VIEW, standard_vocabulary

VOCABULARY = standard_vocabulary()
VIEWS = ("A4C", "A2C", "PLAX", NO_VIEW, CANNOT_TELL)


@pytest.fixture
def records():
    with quick_records() as records:
        yield records


def told(records, name, views):
    """One says a view of each of some clips."""
    clips = [(clip, None) for clip in views]
    records.say_all(name, clips, [Said(view) for view in views.values()], kind="import", key=key())


def at_random(seed, clips=60, patients=12, share=0.8):
    """What three people say of clips, some only of some, and whose clips they are."""
    random = np.random.default_rng(seed)
    truth = random.choice(VIEWS, clips)
    said = {
        name: {
            f"c{i}": str(truth[i] if random.random() < 0.7 else random.choice(VIEWS))
            for i in range(clips)
            if random.random() < share
        }
        for name in ("Anna", "Ben", "Cem")
    }
    return said, {f"c{i}": f"p{random.integers(patients)}" for i in range(clips)}


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_what_scikit_learn_and_a_loop_over_draws_say(records, seed):
    said, patients = at_random(seed)
    for name, views in said.items():
        told(records, name, views)
    found = agreement(records, patients, VOCABULARY, resamples=100, confidence=0.9, seed=seed)
    assert [(pair.one, pair.other) for pair in found.pairs] == list(combinations(said, 2))
    for pair in found.pairs:
        both = [clip for clip in patients if clip in said[pair.one] and clip in said[pair.other]]
        one, other = [[said[name][clip] for clip in both] for name in (pair.one, pair.other)]
        assert pair.clips == len(both)
        assert pair.share == pytest.approx(np.mean([a == b for a, b in zip(one, other, strict=True)]))
        assert pair.kappa == pytest.approx(cohen_kappa_score(one, other))
        limits = naive_interval(one, other, [patients[clip] for clip in both], 100, 0.9, seed)
        assert [pair.low, pair.high] == pytest.approx(limits)


def naive_interval(one, other, patient, resamples, confidence, seed):
    """Each draw as a list of clips, some more than once."""
    order, kappas = sorted(set(patient)), []
    for times in np.vstack(list(draw_patients(len(order), resamples, seed))):
        often = dict(zip(order, times.astype(int), strict=True))
        drawn = [clip for clip, name in enumerate(patient) for _ in range(often[name])]
        kappas.append(cohen_kappa_score([one[i] for i in drawn], [other[i] for i in drawn]))
    return list(np.quantile(kappas, expanded_levels(len(order), confidence)))


def test_second_looks_are_compared_with_the_first(records):
    said, patients = at_random(7, clips=40, share=1)
    told(records, "Anna", said["Anna"])
    for clip, view in said["Ben"].items():  # her second looks
        say(records, "Anna", clip, view, "repeat")
    say(records, "Anna", "c0", NOTHING, "repeat")  # says nothing, so is none
    told(records, "Ben", said["Ben"])
    found = agreement(records, patients, VOCABULARY, seed=3)
    [own], [pair] = found.selves, found.pairs
    assert (own.annotator, own.clips) == ("Anna", 40)
    assert own.kappa == pytest.approx(
        cohen_kappa_score(list(said["Anna"].values()), list(said["Ben"].values()))
    )
    assert (own.share, own.kappa, own.low, own.high) == (pair.share, pair.kappa, pair.low, pair.high)
    assert own.low < own.kappa < own.high


@pytest.mark.parametrize("seed", range(3))
def test_confusions_are_counted_once_a_clip_in_the_order_of_the_vocabulary(records, seed):
    said, patients = at_random(seed)
    for name, views in said.items():
        told(records, name, views)
    order = [*VOCABULARY.names, NO_VIEW, CANNOT_TELL]
    expected = Counter()
    for clip in patients:
        expected.update(
            {
                tuple(sorted((said[a][clip], said[b][clip]), key=order.index))
                for a, b in combinations(said, 2)
                if clip in said[a] and clip in said[b] and said[a][clip] != said[b][clip]
            }
        )
    found = agreement(records, patients, VOCABULARY, resamples=10).confusions
    assert {(one.one_said, one.other_said): one.clips for one in found} == expected
    assert [one.clips for one in found] == sorted(expected.values(), reverse=True)
    ties = [(-one.clips, order.index(one.one_said), order.index(one.other_said)) for one in found]
    assert ties == sorted(ties)


def test_only_what_was_said_before_anybody_decided_counts(records):
    patients = {"c1": "p1", "c2": "p2"}
    told(records, "Anna", {"c1": "A4C", "c2": "A4C"})
    told(records, "Ben", {"c1": "A2C"})
    say(records, "Eve", "c1", "A4C", "adjudication")
    told(records, "Ben", {"c1": "A4C", "c2": "A4C"})  # of c1 he knows better now
    told(records, "Cem", {"c1": "A4C", "c2": "PLAX"})  # of c1 he might
    pairs = {
        (one.one, one.other): (one.clips, one.share) for one in agreement(records, patients, VOCABULARY).pairs
    }
    assert pairs == {("Anna", "Ben"): (2, 0.5), ("Anna", "Cem"): (1, 0.0), ("Ben", "Cem"): (1, 0.0)}
    records.undo("Eve", key=key())  # he has seen it all the same
    again = agreement(records, patients, VOCABULARY)
    assert {(one.one, one.other): (one.clips, one.share) for one in again.pairs} == pairs


def test_figures_that_cannot_be_had_are_none(records):
    clips = [f"c{i}" for i in range(3 * FEWEST_PATIENTS)]
    told(records, "Anna", {clip: VIEWS[i % 2] for i, clip in enumerate(clips)})
    told(records, "Ben", {clip: VIEWS[i % 2 if i else 1] for i, clip in enumerate(clips)})
    told(records, "Cem", dict.fromkeys(clips, "PLAX"))
    told(records, "Dot", dict.fromkeys(clips, "PLAX"))
    told(records, "Eve", {clip: VIEWS[i % 2] for i, clip in enumerate(clips)})

    def of(one, other, patients):
        many = {clip: f"p{i % patients}" for i, clip in enumerate(clips)}
        found = agreement(records, many, VOCABULARY).pairs
        return next(pair for pair in found if (pair.one, pair.other) == (one, other))

    enough, few = of("Anna", "Ben", FEWEST_PATIENTS), of("Anna", "Ben", FEWEST_PATIENTS - 1)
    assert enough.low < enough.kappa < enough.high
    assert (few.kappa, few.low, few.high) == (enough.kappa, None, None)
    by_chance = of("Cem", "Dot", FEWEST_PATIENTS)
    assert (by_chance.share, by_chance.kappa, by_chance.low, by_chance.high) == (1, None, None, None)
    always = of("Anna", "Eve", FEWEST_PATIENTS)
    assert (always.kappa, always.low, always.high) == (1, None, None)


def test_clips_of_no_known_patient_are_left_out_and_nothing_gives_nothing(records):
    empty = agreement(records, {}, VOCABULARY)
    assert (empty.pairs, empty.selves, empty.confusions) == ([], [], [])
    told(records, "Anna", {"c1": "A4C", "c2": "A4C"})
    told(records, "Ben", {"c1": "A4C", "c2": "A2C"})
    say(records, "Ben", "c2", "A2C", "repeat")
    found = agreement(records, {"c1": "p1"}, VOCABULARY)
    assert [(pair.clips, pair.share) for pair in found.pairs] == [(1, 1)]
    assert (found.selves, found.confusions) == ([], [])


def test_figures_depend_on_the_seed_and_not_on_who_labelled_what_first(records):
    said, patients = at_random(5)
    for name, views in said.items():
        told(records, name, views)
    first = agreement(records, patients, VOCABULARY, seed=1)
    assert first != agreement(records, patients, VOCABULARY, seed=2)
    with quick_records() as others:
        for name, views in reversed(said.items()):
            told(others, name, dict(reversed(views.items())))
        assert first == agreement(others, patients, VOCABULARY, seed=1)


def test_confusions_are_counted_whether_or_not_somebody_decided(records):
    patients = {f"c{i}": f"p{i}" for i in range(4)}
    told(records, "Anna", dict.fromkeys(patients, "A4C"))
    told(records, "Ben", {"c0": "A2C", "c1": CANNOT_TELL, "c2": "A4C"})
    say(records, "Anna", "c1", "A4C", "adjudication")
    pair = sorted(("A4C", "A2C"), key=VOCABULARY.names.index)
    found = agreement(records, patients, VOCABULARY).confusions
    assert found == [Confusion(*pair, 1), Confusion("A4C", CANNOT_TELL, 1)]
