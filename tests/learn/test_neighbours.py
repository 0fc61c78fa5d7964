"""Neighbours are as in naive loops, votes as in scikit-learn, shares as in the phantom's judges."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

import apical.learn.neighbours as room
from apical.learn.neighbours import knn_view_accuracy, nearest, shared_rate, shared_rates

UNKNOWN = -1


def clips(n, d=6, seed=0):
    """Random features, patients of about six clips, each with one machine, and views."""
    generator = np.random.default_rng(seed)
    patient = generator.integers(0, max(2, n // 6), n)
    features = torch.from_numpy(generator.normal(size=(n, d)).astype(np.float32))
    return features, patient, patient % 3, generator.integers(0, 4, n)


def cosine(features):
    unit = features.double() / features.double().norm(dim=1, keepdim=True)
    return (unit @ unit.T).numpy()


@pytest.mark.parametrize("block", [4, 512])
def test_nearest_equals_naive_loops(monkeypatch, block):
    monkeypatch.setattr(room, "ROWS_AT_ONCE", block)
    features, patient, _, _ = clips(31)
    similarity = cosine(features)
    blocks = list(nearest(features, patient, 3))
    indices = torch.cat([found for found, _ in blocks]).tolist()
    values = torch.cat([value for _, value in blocks]).numpy()
    assert len(blocks) == -(-31 // block)
    for row in range(31):
        others = [other for other in range(31) if patient[other] != patient[row]]
        assert indices[row] == sorted(others, key=lambda other: -similarity[row, other])[:3]
        assert values[row] == pytest.approx(similarity[row, indices[row]], abs=1e-6)


def test_where_there_are_too_few_neighbours_the_rest_is_infinitely_far():
    features, _, _, _ = clips(4)
    ((_, values),) = nearest(features, np.array([0, 0, 0, 1]), 3)
    assert torch.isfinite(values).sum(dim=1).tolist() == [1, 1, 1, 3]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_the_vote_equals_scikit_learn_on_each_patient_left_out(k):
    features, patient, _, label = clips(120, seed=3)
    features[:, :4] += 2 * torch.nn.functional.one_hot(torch.from_numpy(label), 4)
    said = np.empty_like(label)
    for one in np.unique(patient):
        rest = patient != one
        model = KNeighborsClassifier(
            k, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
        )
        said[~rest] = model.fit(features[rest], label[rest]).predict(features[~rest])
    plain, balanced = knn_view_accuracy(features, label, patient, k)
    assert plain == pytest.approx((said == label).mean())
    assert balanced == pytest.approx(balanced_accuracy_score(label, said))
    assert plain > 0.5


def test_clips_without_label_or_patient_have_no_vote_and_are_not_asked():
    features, patient, _, label = clips(60, seed=1)
    alone = knn_view_accuracy(features, label, patient)
    more = torch.cat([features, features, features])
    nobody, somebody = np.full(60, UNKNOWN), np.full(60, 2)
    with_others = knn_view_accuracy(
        more, np.concatenate([label, nobody, somebody]), np.concatenate([patient, patient + 100, nobody])
    )
    assert with_others == alone


def test_a_patients_own_clips_do_not_vote():
    """Each clip has a twin of its own patient with the right view; the others all say the other view."""
    label = np.array([0, 0, 1, 1])
    features = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert knn_view_accuracy(features, label, patient=np.array([0, 0, 1, 1])) == (0, 0)
    assert knn_view_accuracy(features, label, patient=np.array([0, 1, 0, 1])) == (1, 1)


def test_balanced_counts_each_view_the_same():
    """A view of many clips is found, one of two clips is not."""
    features = torch.eye(2)[[0] * 8 + [0, 0]]
    label, patient = np.array([0] * 8 + [1, 1]), np.arange(10)
    plain, balanced = knn_view_accuracy(features, label, patient)
    assert (plain, balanced) == (0.8, 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_shares_and_chance_are_those_the_phantom_is_judged_by(seed):
    from phantom_judges import neighbours as judged

    features, patient, machine, label = clips(80, seed=seed)
    features /= features.norm(dim=1, keepdim=True)  # then the nearest by distance is the nearest by cosine
    fake = SimpleNamespace(patient=patient.astype(str), label=label)
    fake = type("Clips", (SimpleNamespace,), {"__len__": lambda self: 80})(**vars(fake))
    theirs = judged(SimpleNamespace(clips=fake, machine=machine), features.numpy())
    ours = shared_rates(features, patient, machine, label)
    for name, (interval, chance) in theirs.items():
        found = ours[name.replace(" ", "_")]
        assert found.rate == pytest.approx(interval.value)
        assert found.by_chance == pytest.approx(chance)
        assert found.factor == pytest.approx(interval.value / chance)
        assert interval.high - interval.low == pytest.approx(4 * found.error, rel=0.35)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 25), st.integers(0, 1000))
def test_chance_is_the_mean_over_all_neighbours_that_could_be(n, seed):
    features, patient, _, _ = clips(n, seed=seed)
    machine = np.random.default_rng(seed).integers(-1, 3, n)  # a patient may have several, or none
    found = shared_rate(features, machine, patient, patient)
    shares = []
    for one in range(n):
        others = [o for o in range(n) if patient[o] != patient[one] and machine[o] >= 0]
        if machine[one] >= 0 and others:
            shares.append(np.mean([machine[o] == machine[one] for o in others]))
    if found is None:
        assert not any(shares) or all(share == 1 for share in shares)
    else:
        assert found.by_chance == pytest.approx(np.mean(shares))


def test_the_error_counts_a_patients_clips_as_one_draw():
    """Copies of each clip within its patient add no patients, so they add no certainty."""
    generator = np.random.default_rng(0)
    patient = np.arange(40)
    features = torch.from_numpy(generator.normal(size=(40, 4)).astype(np.float32))
    machine = generator.integers(0, 3, 40)
    once = shared_rate(features, machine, patient, patient)
    copied = shared_rate(features.repeat(5, 1), np.tile(machine, 5), np.tile(patient, 5), np.tile(patient, 5))
    assert copied.error == pytest.approx(once.error)
    assert copied.rate == once.rate


@pytest.mark.parametrize(
    ("patient", "machine", "left"),
    [
        ([0, 0, 1, 1], [0, 0, 0, 0], {"same_patient"}),  # all of one machine
        ([0, 0, 1, 1], [0, 0, 1, 1], {"same_patient"}),  # no two patients with the same machine
        ([0, 1, 2, 3], [0, 0, 1, 1], {"same_machine"}),  # nobody has two clips
        ([0, 0, 0, 0], [0, 0, 1, 1], set()),  # nobody else
        ([UNKNOWN] * 4, [0, 0, 1, 1], set()),
        ([0, 0, 1, 1], [UNKNOWN] * 4, {"same_patient"}),
    ],
)
def test_what_neighbours_cannot_tell_is_not_told(patient, machine, left):
    found = shared_rates(torch.randn(4, 3), np.array(patient), np.array(machine), np.full(4, UNKNOWN))
    assert set(found) == left


def test_there_is_no_error_where_all_patients_agree():
    """Every clip lies beside one of its own machine, and all machines have as many."""
    machine = np.arange(12) % 3
    found = shared_rate(torch.eye(3)[machine], machine, np.arange(12), np.arange(12))
    assert (found.rate, found.by_chance) == (1, pytest.approx(3 / 11))
    assert found.error == pytest.approx(0, abs=1e-12)
