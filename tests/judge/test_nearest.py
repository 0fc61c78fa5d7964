"""Neighbours equal scikit-learn's and a naive loop's, and are never of the same patient."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from apical.judge import nearest
from apical.judge.nearest import nearest_labelled


def clips(random, count, patients, features=7):
    return random.normal(0, 1, (count, features)).astype(np.float32), random.choice(patients, count)


def test_equal_to_scikit_learn_among_strangers():
    random = np.random.default_rng(0)
    named, labelled = random.normal(0, 1, (40, 7)), random.normal(0, 1, (60, 7))
    index, similarity = nearest_labelled(named, np.array(["a"] * 40), labelled, np.array(["b"] * 60), 5)
    distance, expected = NearestNeighbors(n_neighbors=5, metric="cosine").fit(labelled).kneighbors(named)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(similarity, 1 - distance, atol=1e-12)
    assert index.dtype == np.int64


def test_equal_to_a_naive_loop_that_leaves_out_the_patient(monkeypatch):
    monkeypatch.setattr(nearest, "ROWS_AT_ONCE", 7)
    random = np.random.default_rng(1)
    named, patient = clips(random, 30, list("abcd"))
    labelled, of = clips(random, 25, list("cdef"))
    index, similarity = nearest_labelled(named, patient, labelled, of, 4)
    for row, (x, who) in enumerate(zip(named, patient, strict=True)):
        others = [i for i in range(25) if of[i] != who]
        cosine = {i: x @ labelled[i] / np.linalg.norm(x) / np.linalg.norm(labelled[i]) for i in others}
        best = sorted(others, key=lambda i, cosine=cosine: -cosine[i])[:4]
        assert index[row].tolist() == best
        np.testing.assert_allclose(similarity[row], [cosine[i] for i in best], atol=1e-6)
    assert (of[index] != patient[:, None]).all()
    assert np.isin(patient, of).any()


def test_where_there_are_no_more_it_says_so():
    labelled, of = np.eye(3), np.array(["a", "a", "b"])
    index, similarity = nearest_labelled(np.array([[1.0, 0, 2]]), np.array(["b"]), labelled, of, 5)
    assert index.tolist() == [[0, 1, -1, -1, -1]]
    assert similarity[0] == pytest.approx([1 / np.sqrt(5), 0, -np.inf, -np.inf, -np.inf])


def test_who_is_unknown_may_be_the_same_patient():
    index, _ = nearest_labelled(np.ones((1, 2)), np.array([""]), np.ones((2, 2)), np.array(["", "a"]), 2)
    assert index.tolist() == [[1, -1]]


def test_length_counts_for_nothing_and_of_equals_the_first_is_taken():
    labelled = np.array([[0.0, 3], [2, 0], [500, 0], [0, 0]])
    index, similarity = nearest_labelled(
        np.array([[0.01, 0]]), np.array(["a"]), labelled, np.array(["b"] * 4), 4
    )
    assert index.tolist() == [[1, 2, 0, 3]]
    assert similarity.tolist() == [[1, 1, 0, 0]]


def test_no_clips_and_no_labels():
    index, _ = nearest_labelled(np.zeros((0, 3)), np.zeros(0, "U1"), np.ones((2, 3)), np.array(["a", "b"]), 2)
    assert index.shape == (0, 2)
    index, _ = nearest_labelled(np.ones((1, 3)), np.array(["a"]), np.zeros((0, 3)), np.zeros(0, "U1"), 2)
    assert index.tolist() == [[-1, -1]]
