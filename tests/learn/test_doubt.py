"""How far labels are believed: Bayes' rule in loops, closed forms, and labels made wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.learn.doubt import believed_labels


def shares(n, k, seed=0, sureness=1.0):
    return np.random.default_rng(seed).dirichlet(np.full(k, 1 / sureness), n)


def noisy(said, share, seed=0):
    """Views drawn from what is said, and labels of them, a share of which is any other view."""
    generator = np.random.default_rng([seed, 1])
    truth = np.array([generator.choice(said.shape[1], p=row) for row in said])
    wrong = generator.random(len(said)) < share
    step = generator.integers(1, said.shape[1], len(said))
    return truth, np.where(wrong, (truth + step) % said.shape[1], truth)


def test_it_is_where_bayes_rule_and_the_share_of_wrong_labels_agree():
    """The fixed point, clip by clip in plain loops."""
    said = shares(40, 4)
    _, label = noisy(said, 0.3)
    belief, share = believed_labels(said, label)
    wrong = 1.0
    for clip in range(40):
        weight = [said[clip, view] * (1 - share if view == label[clip] else share / 3) for view in range(4)]
        assert belief[clip].tolist() == pytest.approx([value / sum(weight) for value in weight], abs=1e-5)
        wrong += 1 - weight[label[clip]] / sum(weight)
    assert share == pytest.approx(wrong / 60, abs=1e-5)


def test_evidence_that_leaves_no_doubt_is_believed_and_counted():
    """Ten of fifty labels contradicted by all but certainty: ε = (1 + 10) / (20 + 50)."""
    truth = np.arange(50) % 5
    label = np.where(np.arange(50) < 10, (truth + 1) % 5, truth)
    belief, share = believed_labels(np.eye(5)[truth] * (1 - 5e-7) + 1e-7, label)
    np.testing.assert_array_equal(belief.argmax(axis=1), truth)
    assert share == pytest.approx(11 / 70, abs=1e-4)


def test_where_nothing_is_known_of_a_clip_its_label_is_believed():
    label = np.arange(30) % 3
    belief, share = believed_labels(np.full((30, 3), 1 / 3), label)
    np.testing.assert_array_equal(belief.argmax(axis=1), label)
    assert share == pytest.approx(0.05, abs=1e-4)


@given(st.integers(0, 99), st.sampled_from([0.0, 0.1, 0.3]))
def test_the_share_of_wrong_labels_is_found(seed, wrong):
    """From evidence as sure as it says: within sampling error and what the prior weighs."""
    said = shares(600, 6, seed, sureness=8)
    _, label = noisy(said, wrong, seed)
    assert believed_labels(said, label)[1] == pytest.approx(wrong, abs=0.07)


def test_beliefs_are_better_than_labels_and_than_evidence():
    said = shares(2000, 6, sureness=3)
    truth, label = noisy(said, 0.3)
    right = (believed_labels(said, label)[0].argmax(axis=1) == truth).mean()
    assert right > max((label == truth).mean(), (said.argmax(axis=1) == truth).mean()) + 0.05


def test_a_view_that_is_never_said_is_no_wrong_label_either():
    """It gets nothing; the others' chances are as without it."""
    said = shares(40, 3)
    _, label = noisy(said, 0.2)
    belief, share = believed_labels(said, label)
    wider = np.insert(said, 1, 0, axis=1)
    found, same = believed_labels(wider, label + (label >= 1))
    assert found[:, 1].max() == 0
    assert same == share
    np.testing.assert_array_equal(np.delete(found, 1, axis=1), belief)


def test_nothing_is_lost_where_there_are_no_labels_or_one_view():
    belief, share = believed_labels(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert belief.shape == (0, 3)
    assert share == pytest.approx(0.05)
    assert believed_labels(np.ones((4, 1)), np.zeros(4, np.int64))[0].tolist() == [[1.0]] * 4
