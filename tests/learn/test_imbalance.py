"""Fairness to rare views: each formula against its paper's, written out a term at a time."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from apical.learn.imbalance import (
    adjusted,
    draw_evenly,
    effective_weights,
    focal,
    log_prior,
    log_share,
    margins,
    with_margin,
)

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABEL = torch.tensor([0, 0, 0, 1, 1, 2])


def test_logit_adjustment_is_balanced_softmax():
    """Ren et al. 2020, eq. 3: exp(z) weighted by the class counts."""
    weighted = LOGITS.exp() * torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    expected = -(weighted / weighted.sum(1, keepdim=True)).log()[range(6), LABEL].mean()
    ours = F.cross_entropy(adjusted(LOGITS, log_prior(LABEL.numpy(), 3).double(), 1.0), LABEL)
    assert float(ours) == pytest.approx(float(expected), rel=1e-6)


def test_the_prior_of_a_view_without_labels_is_zero_and_shares_are_shares():
    assert log_prior(np.array([0, 0, 2]), 4).tolist() == pytest.approx(
        [math.log(2 / 3), 0, math.log(1 / 3), 0]
    )
    assert log_share(np.array([1.5, 4.5])).exp().tolist() == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize("focusing", [0.0, 2.0])
def test_the_focal_loss_is_its_definition(focusing):
    p = LOGITS.softmax(1)
    terms = [-((1 - p[i, y]) ** focusing) * p[i, y].log() for i, y in enumerate(LABEL)]
    assert float(focal(LOGITS, LABEL, focusing)) == pytest.approx(float(sum(terms) / 6))
    if not focusing:
        assert float(focal(LOGITS, LABEL, 0.0)) == pytest.approx(float(F.cross_entropy(LOGITS, LABEL)))


def test_the_focal_loss_of_what_is_sure_has_a_finite_gradient():
    """Where p rounds to 1, the power of what is left has no finite slope for exponents below 1."""
    sure = torch.tensor([[40.0, 0, 0]], requires_grad=True)
    focal(sure, torch.tensor([0]), 0.5).backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


def test_margins_fall_with_the_fourth_root_of_the_clips():
    found = margins(np.array([1, 16, 0, 81]), 0.5)
    assert found.tolist() == pytest.approx([0.5, 0.25, 0, 0.5 / 3])


def test_a_margin_is_taken_from_the_true_view_alone():
    margin = torch.tensor([0.1, 0.2, 0.5], dtype=torch.float64)
    found = with_margin(LOGITS, LABEL, margin, 30.0) - LOGITS
    for row, view in zip(found, LABEL.tolist(), strict=True):
        expected = [-30 * float(margin[view]) if k == view else 0 for k in range(3)]
        assert row.tolist() == pytest.approx(expected)


def test_effective_weights_are_nearly_one_over_n_for_few_clips_and_average_one():
    found = effective_weights(np.array([1, 4, 0, 10]))
    assert float(found[0] / found[1]) == pytest.approx(4, rel=1e-3)
    assert float(found[[0, 1, 3]].mean()) == pytest.approx(1)
    assert found[2] == 0


def test_drawing_evenly_takes_each_view_and_each_of_its_clips_as_often_as_another():
    label = np.array([2] * 20 + [0] + [2] * 10 + [5] * 4)
    drawn = draw_evenly(label, 60_000, np.random.default_rng(0))
    times = np.bincount(drawn, minlength=len(label))
    for view in (0, 2, 5):
        of_view = times[label == view]
        assert of_view.sum() == pytest.approx(20_000, rel=0.03)
        assert of_view == pytest.approx(of_view.mean(), rel=0.2)
