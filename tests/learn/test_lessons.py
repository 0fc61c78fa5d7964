"""Lessons on labels alone: each method's loss written out, on clips that are drawn as the method says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from apical.config import ImbalanceSettings, PseudoSettings
from apical.learn import imbalance
from apical.learn.lessons import focal, ldam_drw, supervised
from learn.lessons_of import a_desk, fixed_network


def unbalanced(exams, settings):
    """A desk with twelve, three and one labelled clips of three views."""
    desk, clips = a_desk(exams, settings)
    views = np.unique(clips.label)
    label = clips.label.copy()
    for view, kept in zip(views, (12, 3, 1), strict=True):
        label[np.flatnonzero(label == view)[kept:]] = -1
    few = replace(clips, label=label).labelled()
    assert sorted(np.bincount(few.label)[views].tolist()) == [1, 3, 12]
    return replace(desk, teaching=few), views


def one_step(desk, lesson, step=1):
    network, seen = fixed_network(desk)
    loss = lesson(desk)(network, step)
    logits, label = seen[0]
    return float(loss), logits, label


def test_plain_and_adjusted_cross_entropy_differ_by_the_shares_of_views(exams, training):
    desk, _ = unbalanced(exams, training("naive"))
    loss, logits, label = one_step(desk, supervised)
    assert loss == pytest.approx(float(F.cross_entropy(logits, label)))
    desk, views = unbalanced(exams, training("logit-adjusted"))
    loss, logits, label = one_step(desk, lambda d: supervised(d, adjustment=1.0))
    shifted = logits.clone()
    shifted[:, views] += torch.tensor([12 / 16, 3 / 16, 1 / 16]).log()
    assert loss == pytest.approx(float(F.cross_entropy(shifted, label)), rel=1e-5)


def test_clips_are_drawn_at_random_or_evenly_over_views(exams, training):
    for evenly, expected in ((False, [12 / 16, 3 / 16, 1 / 16]), (True, [1 / 3] * 3)):
        desk, views = unbalanced(exams, training("naive", batch_frames=1200))
        _, _, label = one_step(desk, lambda d, evenly=evenly: supervised(d, evenly=evenly))
        shares = np.bincount(label.numpy(), minlength=views.max() + 1)[views] / 1200
        assert shares.tolist() == pytest.approx(expected, abs=0.05)


def test_the_focal_lesson_is_the_focal_loss(exams, training):
    desk, _ = unbalanced(exams, training("focal", imbalance=ImbalanceSettings(focusing=1.5)))
    loss, logits, label = one_step(desk, focal)
    assert loss == pytest.approx(float(imbalance.focal(logits, label, 1.5)), rel=1e-5)


@pytest.mark.parametrize(("step", "weighted"), [(32, False), (33, True)])
def test_ldam_has_margins_always_and_weights_late(exams, training, step, weighted):
    """Of 40 steps, 0.8 are 32."""
    desk, _ = unbalanced(exams, training("ldam-drw", steps=40))
    loss, logits, label = one_step(desk, ldam_drw, step)
    margin = imbalance.margins(desk.count, 0.5)
    lowered = logits.clone()
    lowered[torch.arange(len(label)), label] -= 30 * margin[label]
    weight = imbalance.effective_weights(desk.count) if weighted else None
    assert loss == pytest.approx(float(F.cross_entropy(lowered, label, weight=weight)), rel=1e-5)


@pytest.mark.parametrize(("share", "others"), [(0.01, 1), (0.5, 12), (0.99, 23)])
def test_a_batch_always_has_labelled_clips_and_others(exams, training, share, others):
    desk, _ = a_desk(exams, training("fixmatch", pseudo=PseudoSettings(share=share)))
    assert desk.others == others
