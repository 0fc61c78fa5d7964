"""The map and the groups: alike clips stand together, whoever the patient is; "more like this" is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.label.alike import alike
from apical.label.layout import IN_GROUP, MOST_IN_GROUP, alike_groups, layout, smoothed, vectors_of


def exams(seed=0, patients=40, views=6, habit=1.0):
    """One clip a view and patient: (features, patient, view); patients differ more than views do."""
    random = np.random.default_rng(seed)
    patient, view = (part.ravel() for part in np.mgrid[:patients, :views])
    features = 2 * np.eye(views, 16)[view] + habit * random.normal(size=(patients, 16))[patient]
    return (features + 0.3 * random.normal(size=features.shape)).astype(np.float32), patient, view


def purity(group, view):
    return sum(np.bincount(view[group == one]).max() for one in np.unique(group)) / len(view)


def test_groups_are_of_one_view_though_clips_of_a_patient_are_more_alike():
    features, patient, view = exams()
    found = layout(features, patient)
    assert purity(found.group, view) > 0.95
    plain, _ = alike_groups(features / np.linalg.norm(features, axis=1, keepdims=True))
    assert purity(plain, view) < 0.8  # without taking off what a patient's clips share


def test_neighbours_on_the_map_show_the_same_view():
    features, patient, view = exams()
    found = layout(features, patient)
    place = np.stack([found.x, found.y], axis=1)
    distance = np.linalg.norm(place[:, None] - place[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (view[distance.argmin(axis=1)] == view).mean() > 0.95


def test_clips_that_the_map_did_not_place_itself_stand_beside_their_like(monkeypatch):
    monkeypatch.setattr("apical.label.layout.MAPPED", 80)
    features, patient, view = exams()
    found = layout(features, patient)
    middle = np.array([[found.x[view == one].mean(), found.y[view == one].mean()] for one in range(6)])
    place = np.stack([found.x, found.y], axis=1)
    nearest = np.linalg.norm(place[:, None] - middle[None], axis=2).argmin(axis=1)
    assert (nearest == view).mean() > 0.95


@given(st.integers(0, 150), st.integers(1, 5), st.integers(0, 3), st.booleans())
def test_what_a_layout_is(n, patients, seed, equal):
    """Places from 0 to 1, groups numbered without gaps, none too large where clips differ."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, 4)).astype(np.float32) * (not equal)
    patient = random.integers(patients, size=n)
    group, groups = alike_groups(vectors_of(features, patient), seed) if n else (np.zeros(0, int), 0)
    assert sorted(set(group.tolist())) == list(range(groups))
    if not equal and n:
        assert np.bincount(group).max() <= MOST_IN_GROUP
        assert groups >= n / MOST_IN_GROUP
    if n < 12:
        one, other = layout(features, patient, seed), layout(features, patient, seed)
        for name in ("x", "y", "group"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        assert len(one.x) == n
        assert ((one.x >= 0) & (one.x <= 1) & (one.y >= 0) & (one.y <= 1)).all()
        assert one.x.dtype == one.y.dtype == np.float32
        assert one.group.dtype == np.int32


def test_groups_are_about_as_large_as_is_wanted():
    features, patient, _ = exams(patients=200)
    size = np.bincount(layout_groups(features, patient))
    assert IN_GROUP * 0.5 < np.median(size) <= MOST_IN_GROUP


def layout_groups(features, patient):
    return alike_groups(smoothed(vectors_of(features, patient), patient))[0]


def test_smoothing_is_as_in_a_naive_loop():
    features, patient, _ = exams(patients=8)
    vectors = vectors_of(features, patient)
    expected = vectors.astype(float)
    near = []
    for row in range(len(vectors)):
        others = np.flatnonzero(patient != patient[row])
        near.append(others[np.argsort(-(vectors[others] @ vectors[row]), kind="stable")[:10]])
    for _ in range(2):
        expected = np.array([expected[row] + expected[near[row]].sum(axis=0) for row in range(len(vectors))])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert smoothed(vectors, patient) == pytest.approx(expected, abs=1e-5)


@given(st.integers(1, 60), st.integers(0, 70), st.integers(0, 1000), st.booleans())
def test_more_like_this_is_as_in_a_naive_sort(n, count, seed, all_allowed):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    row, allowed = int(random.integers(n)), random.random(n) < 0.7
    before = allowed.copy()
    found = alike(vectors, row, count, None if all_allowed else allowed).tolist()
    likeness = vectors @ vectors[row]
    expected = [
        one
        for one in np.argsort(-likeness, kind="stable").tolist()
        if one != row and (all_allowed or allowed[one])
    ]
    assert likeness[found].tolist() == likeness[expected[:count]].tolist()
    assert len(set(found)) == len(found)
    assert set(found) <= set(expected)
    assert np.array_equal(allowed, before)
