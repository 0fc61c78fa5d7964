"""The graph of clips and what spreads over it, against dense algebra, loops and scikit-learn."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.semi_supervised import LabelSpreading

from apical.config import GraphSettings
from apical.learn.graph import centred, links, propagate, spread_labels


def some_graph(n, seed=0):
    generator = np.random.default_rng(seed)
    weights = generator.random((n, n)) * (generator.random((n, n)) < 0.4)
    weights = np.triu(weights, 1)
    return weights + weights.T


def test_links_are_mutual_neighbours_of_other_patients():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(30, 5)).astype(np.float32)
    patient = generator.integers(6, size=30)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = unit @ unit.T
    near = np.zeros((30, 30), bool)
    for i in range(30):
        others = [j for j in range(30) if patient[j] != patient[i]]
        near[i, sorted(others, key=lambda j: -similarity[i, j])[:4]] = True
    expected = np.where(near & near.T, similarity.clip(min=0), 0)
    np.testing.assert_allclose(links(features, patient, 4).toarray(), expected, atol=1e-6)


def test_propagation_solves_the_equation():
    """(I − αS) F = Y by dense algebra; a clip without links keeps its own label and gets no other."""
    weights = some_graph(12)
    weights[3] = weights[:, 3] = 0
    known = np.zeros((12, 3))
    known[[0, 1, 2, 3], [0, 1, 2, 0]] = [1, 0.5, 2, 1]
    degree = weights.sum(axis=1)
    root = np.diag([1 / np.sqrt(d) if d else 0 for d in degree])
    expected = np.linalg.solve(np.eye(12) - 0.8 * root @ weights @ root, known)
    found = propagate(csr_matrix(weights), known, 0.8)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[3].tolist() == pytest.approx([1, 0, 0])


def test_propagation_names_clips_as_scikit_learn_does():
    generator = np.random.default_rng(1)
    points = np.concatenate([generator.normal(c, 1.2, (40, 2)) for c in (0, 3)])
    label = np.full(80, -1)
    label[[0, 45]] = [0, 1]
    oracle = LabelSpreading(kernel="rbf", gamma=1.0, alpha=0.9, max_iter=5000, tol=1e-9).fit(points, label)
    distance = ((points[:, None] - points) ** 2).sum(axis=2)
    weights = np.exp(-distance) - np.eye(80)
    found = propagate(csr_matrix(weights), np.eye(2)[label] * (label >= 0)[:, None], 0.9)
    shares = found / found.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, oracle.label_distributions_, atol=1e-4)


def test_centring_takes_off_a_share_of_the_mean_of_an_exam():
    generator = np.random.default_rng(2)
    features = generator.normal(3, 2, (7, 4)).astype(np.float32)
    exam = np.array([0, 0, 0, 1, 1, -1, -1])
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = scaled.copy()
    for one in (0, 1):
        expected[exam == one] -= 0.7 * scaled[exam == one].mean(axis=0)
    np.testing.assert_allclose(centred(features, exam, 0.7), expected, atol=1e-5)
    np.testing.assert_allclose(centred(features, np.full(7, -1), 0.7), scaled, atol=1e-5)


def patients_of_views(patients=12, views=4, seed=0):
    """Each patient has each view once, and habits that outweigh the views."""
    generator = np.random.default_rng(seed)
    patient, label = np.repeat(np.arange(patients), views), np.tile(np.arange(views), patients)
    centres, habit = generator.normal(size=(views, 16)), 2 * generator.normal(size=(patients, 16))
    features = centres[label] + habit[patient] + 0.2 * generator.normal(size=(len(label), 16))
    return features.astype(np.float32), label, patient


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_labelled_clip_a_view_names_all_if_exams_are_centred(seed):
    """And does not if they are not: then the nearest clips are of patients with like habits."""
    features, label, patient = patients_of_views(seed=seed)
    few = np.where(patient == 0, label, -1)
    right = {}
    for share in (0.0, 0.7):
        said = spread_labels(features, few, patient, patient, 4, GraphSettings(neighbours=8, centre=share))
        right[share] = (said.argmax(axis=1) == label).mean()
    assert right[0.7] > 0.95
    assert right[0.0] < 0.85


def test_rows_are_shares_and_what_no_label_reaches_is_zero():
    features, label, patient = patients_of_views()
    features = np.concatenate([features, -50 * np.ones((1, 16), np.float32)])
    few = np.append(np.where((patient == 0) & (label < 2), label, -1), -1)
    patient = np.append(patient, 99)
    said = spread_labels(features, few, patient, np.full(len(few), -1), 4, GraphSettings(neighbours=3))
    sums = said.sum(axis=1)
    assert np.all((np.abs(sums - 1) < 1e-9) | (sums == 0))
    assert sums[-1] == 0
    assert (said[:, 2:] == 0).all()
