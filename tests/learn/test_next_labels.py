"""What to label next: rare views come sooner than at random, patients take turns, rows have no order."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.catalogue import read_catalogue, write_catalogue
from apical.errors import CannotDo, WrongCall
from apical.learn.next_labels import choose, has_enough, next_labels, what_next
from apical.learn.probe import probe_answers
from learn.conftest import VIEWS

SHARES = np.array([0.3, 0.22, 0.16, 0.12, 0.08, 0.06, 0.03, 0.02, 0.01])
UNKNOWN = -1


def mixture(seed, patients=60, clips=10, shares=SHARES, habit=0.3):
    """Clips of patients with their own habits, of views as rare as `shares` say."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(len(shares), 24))
    centres *= 3 / np.linalg.norm(centres, axis=1, keepdims=True)
    patient = np.repeat(np.arange(patients), clips)
    view = random.choice(len(shares), len(patient), p=shares / shares.sum())
    features = centres[view] + habit * random.normal(size=(patients, 24))[patient]
    features += 0.4 * random.normal(size=features.shape)
    return features.astype(np.float32), patient, view


def sure(view, views, seed=0, skill=1.0):
    """Log-probabilities of a classifier that knows the views more or less."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(len(view), views)) + skill * np.eye(views)[view]
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def labels_until_all_views(ask, view):
    """Labels given, 12 at a time, until each view has one."""
    label = np.full(len(view), UNKNOWN)
    while len(np.unique(label[label >= 0])) < len(np.unique(view)):
        asked = ask(label)
        label[asked] = view[asked]
    return (label >= 0).sum()


def test_rare_views_are_found_with_fewer_labels_than_at_random():
    """The rarest is one clip in a hundred."""
    ours, random = [], []
    for seed in range(6):
        features, patient, view = mixture(seed)
        draw = np.random.default_rng(seed)
        ours.append(
            labels_until_all_views(
                lambda label, f=features, p=patient: what_next(f, p, label, 12, centre=0.7), view
            )
        )
        random.append(
            labels_until_all_views(
                lambda label, draw=draw: draw.choice(np.flatnonzero(label < 0), 12, replace=False), view
            )
        )
    assert np.mean(ours) < 0.6 * np.mean(random)


def test_views_with_few_labels_are_asked_for_once_there_are_enough():
    """A tenth of the clips are of two rare views, which have one label each; far more of the picks are."""
    rare, random = [], []
    for seed in range(6):
        features, patient, view = mixture(seed, shares=np.array([0.45, 0.45, 0.05, 0.05]))
        label = np.full(len(view), UNKNOWN)
        for one, number in enumerate((20, 20, 1, 1)):
            label[np.flatnonzero(view == one)[:number]] = one
        known = label >= 0
        said = probe_answers(features[known], label[known], features, views=4, penalty=1e-2, adjustment=1)
        picked = what_next(features, patient, label, 12, log_probabilities=said)
        rare.append((view[picked] > 1).mean())
        random.append((view[~known] > 1).mean())
    assert np.mean(rare) > 0.4 > 3 * np.mean(random)


def test_the_unsure_ones_are_as_in_a_naive_loop():
    features, patient, view = mixture(1, patients=12)
    label = np.where(np.arange(len(view)) % 2 == 0, view, UNKNOWN)
    said = sure(view, len(SHARES))
    unit = features.astype(float)
    unit = (unit - unit.mean(axis=0)) / unit.std(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    count = np.bincount(label[label >= 0], minlength=len(SHARES)).astype(float)
    picked = []
    for _ in range(8):
        worth = np.zeros(len(view))
        for one in range(len(view)):
            near = sorted(unit[patient != patient[one]] @ unit[one])[-20:]
            first, second = sorted(np.exp(said[one]))[::-1][:2]
            worth[one] = (1 - first + second) * max(np.mean(near), 1e-6) / (1 + count[said[one].argmax()])
        worth[label >= 0] = -1
        worth[np.isin(patient, patient[picked])] = -1  # eight picks of twelve patients
        picked.append(int(worth.argmax()))
        count[said[picked[-1]].argmax()] += 1
    assert what_next(features, patient, label, 8, log_probabilities=said).tolist() == picked


def test_one_label_is_asked_for_where_most_clips_are():
    """One group: the clip with the most similar neighbours of other patients, by a naive loop."""
    features, patient, _ = mixture(2, patients=20)
    unit = (features - features.mean(axis=0)) / features.std(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    near = [np.mean(sorted(unit[patient != patient[one]] @ unit[one])[-20:]) for one in range(len(features))]
    (pick,) = choose(features, patient, np.full(len(features), UNKNOWN), 1)
    assert (pick.row, pick.group, pick.size, pick.labelled) == (int(np.argmax(near)), 0, len(features), 0)


def test_each_group_that_stands_apart_is_asked_for_once_and_the_labelled_ones_not():
    """Seven views apart, two of which have a label: five picks are of the five others."""
    shares = np.full(7, 1.0)
    features, patient, view = mixture(3, shares=shares, habit=0.1)
    label = np.full(len(view), UNKNOWN)
    for known in (0, 4):
        label[np.flatnonzero(view == known)[0]] = known
    assert sorted(view[what_next(features, patient, label, 5)]) == [1, 2, 3, 5, 6]


def test_a_group_far_from_labels_is_asked_for_before_a_larger_one_beside_them():
    """Groups of 46, 23 and 21 clips; the second is like the first. TypiClust would go by size alone."""
    places = np.array([[0] * 12, [1] + [0] * 11, [0] + [1] * 11])
    group = np.repeat([0, 1, 2], [46, 23, 21])
    features = (places[group] + 0.02 * np.random.default_rng(0).normal(size=(90, 12))).astype(np.float32)
    label = np.full(90, UNKNOWN)
    assert group[what_next(features, np.arange(90), label, 3)].tolist() == [0, 2, 1]
    label[0] = 0
    assert group[what_next(features, np.arange(90), label, 2)].tolist() == [2, 1]


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 50), st.booleans(), st.integers(0, 10_000))
def test_what_is_proposed(n, patients, count, unsure, seed):
    """Clips without a label, each once, the wanted number of them, patients in turns."""
    random = np.random.default_rng(seed)
    features = random.integers(-1, 2, (n, 3)).astype(np.float32)  # many duplicates
    patient = random.integers(patients, size=n)
    view = random.integers(2, size=n)
    label = np.where(random.random(n) < random.random(), view, UNKNOWN)
    said = sure(view, 2, seed) if unsure else None
    picked = what_next(features, patient, label, count, log_probabilities=said, centre=0.5, seed=seed % 3)
    assert picked.dtype == np.int64
    assert len(picked) == min(count, (label < 0).sum())
    assert len(set(picked.tolist())) == len(picked)
    assert (label[picked] < 0).all()
    times = np.zeros(patients, int)
    left = np.bincount(patient[label < 0], minlength=patients)
    for one in patient[picked]:
        assert times[one] == times[left > 0].min()
        times[one] += 1
        left[one] -= 1
    again = what_next(features, patient, label, count, log_probabilities=said, centre=0.5, seed=seed % 3)
    assert again.tolist() == picked.tolist()


@pytest.mark.parametrize("unsure", [False, True])
def test_the_order_of_rows_does_not_matter(unsure):
    features, patient, view = mixture(4, patients=30)
    label = np.where(np.arange(len(view)) % 4 == 0, view, UNKNOWN)
    said = sure(view, len(SHARES)) if unsure else None
    order = np.random.default_rng(0).permutation(len(view))
    one = what_next(features, patient, label, 20, log_probabilities=said, centre=0.7)
    other = what_next(
        features[order],
        patient[order],
        label[order],
        20,
        log_probabilities=said[order] if unsure else None,
        centre=0.7,
    )
    assert order[other].tolist() == one.tolist()
    assert (choose(features, patient, label, 1, log_probabilities=said)[0].group == -1) is unsure


@pytest.mark.parametrize(
    ("label", "enough"),
    [
        ([], False),
        ([0] * 30, False),  # one view only
        ([0] * 5 + [1] * 5, True),
        ([0] * 5 + [1] * 4, False),
        ([0] * 9 + [1], True),
        ([0] * 5 + [1] * 5 + [7], False),
    ],
)
def test_when_uncertainty_decides(label, enough):
    assert has_enough(np.array([*label, UNKNOWN, UNKNOWN], np.int64)) is enough


def test_without_a_classifier_typical_clips_are_picked_however_many_labels_there_are():
    features, patient, view = mixture(5)
    label = np.where(np.arange(len(view)) % 2 == 0, view, UNKNOWN)
    assert all(pick.group >= 0 for pick in choose(features, patient, label, 5))


def test_more_groups_than_can_be(monkeypatch):
    """With a bound on groups, each still gets its turn before any gets a second."""
    monkeypatch.setattr("apical.learn.next_labels.MOST_GROUPS", 4)
    features, patient, view = mixture(6, shares=np.full(4, 1.0), habit=0.1)
    picked = what_next(features, patient, np.full(len(view), UNKNOWN), 8)
    assert np.bincount(view[picked]).tolist() == [2, 2, 2, 2]


def test_many_clips_are_grouped_by_parts(monkeypatch):
    monkeypatch.setattr("apical.learn.next_labels.SMALL", 100)
    features, patient, view = mixture(7, shares=np.full(5, 1.0), habit=0.1)
    picked = what_next(features, patient, np.full(len(view), UNKNOWN), 5)
    assert sorted(view[picked]) == list(range(5))


def hide(exams_folder, out, kept):
    """The catalogue of the small exams with the labels of these clips only."""
    table = read_catalogue(exams_folder / "catalogue.parquet")
    view = pl.when(pl.col("clip").is_in(list(kept))).then("view").otherwise(None)
    write_catalogue(table.with_columns(view=view), out)
    return out


def test_the_verb_proposes_unlabelled_training_clips(exams, encoder, tmp_path):
    kept = [f"clip{patient}-{view}" for patient in (0, 1) for view in VIEWS]
    catalogue = hide(exams, tmp_path / "c.parquet", kept)
    proposals = next_labels(exams / "frames", catalogue, 40, encoder=encoder)
    training = {f"clip{patient}-{view}" for patient in range(12) for view in VIEWS}
    assert {one.clip for one in proposals} == training - set(kept)
    assert len(proposals) == 30
    assert {one.guess for one in proposals} <= set(VIEWS)
    right = [one.clip.endswith(one.guess) for one in proposals]
    assert np.mean(right) > 0.5  # chance is 0.33
    assert all(one.reason.startswith("typical of ") for one in proposals)
    first = next_labels(exams / "frames", catalogue, 10, encoder=encoder)
    assert len({one.clip.split("-")[0] for one in first}) == 10  # of ten of twelve patients


def test_a_clip_that_is_known_to_show_no_view_is_not_asked_for_again(exams, encoder, tmp_path):
    table = read_catalogue(exams / "catalogue.parquet")
    known = pl.when(pl.col("clip") == "clip1-A4C").then(pl.lit("none"))
    write_catalogue(table.with_columns(view=known), tmp_path / "c.parquet")
    proposals = next_labels(exams / "frames", tmp_path / "c.parquet", 40, encoder=encoder)
    assert len(proposals) == 35
    assert "clip1-A4C" not in {one.clip for one in proposals}


def test_the_verb_says_why(exams, encoder, tmp_path):
    """Without labels there is no guess; with enough, the two views between which the classifier wavers."""
    bare = hide(exams, tmp_path / "bare.parquet", [])
    assert {one.guess for one in next_labels(exams / "frames", bare, 3, encoder=encoder)} == {None}
    kept = [f"clip{patient}-{view}" for patient in range(6) for view in VIEWS]
    some = hide(exams, tmp_path / "some.parquet", kept)
    for one in next_labels(exams / "frames", some, 3, encoder=encoder):
        assert one.reason.startswith(f"unsure, {one.guess} or ")
    everything = exams / "catalogue.parquet"
    assert next_labels(exams / "frames", everything, encoder=encoder) == []


def test_bad_calls_give_one_line(exams, encoder, tmp_path):
    with pytest.raises(WrongCall, match="no clip is asked for"):
        next_labels(exams / "frames", exams / "catalogue.parquet", 0, encoder=encoder)
    table = read_catalogue(exams / "catalogue.parquet").with_columns(split=pl.lit(None, pl.String))
    write_catalogue(table, tmp_path / "c.parquet")
    with pytest.raises(CannotDo, match="no clip is of the split 'train'"):
        next_labels(exams / "frames", tmp_path / "c.parquet", encoder=encoder)
