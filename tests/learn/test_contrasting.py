"""Contrastive losses beside a classifier's: against loops, gradcheck, and what they are without weight."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from apical.config import ContrastSettings, ObjectiveSettings
from apical.learn import imbalance
from apical.learn.contrasting import balanced_contrastive, bcl, joint, supcon
from apical.learn.lessons import Learner
from apical.learn.losses import contrastive, masked_contrastive
from apical.learn.relations import Members
from learn.lessons_of import CPU, a_desk, fixed_network


def some(n=7, d=5, views=(0, 2, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, d, generator=generator, dtype=torch.float64)
    centres = torch.randn(len(views), d, generator=generator, dtype=torch.float64)
    label = torch.tensor(views)[torch.randint(len(views), (n,), generator=generator)]
    return embeddings, label, centres, torch.tensor(views)


def test_the_balanced_loss_is_its_definition():
    embeddings, label, centres, view = some()
    everything = torch.cat([embeddings, centres])
    of = [*label.tolist(), *view.tolist()]
    total = 0.0
    for i in range(len(embeddings)):
        s = [float(torch.cosine_similarity(embeddings[i], other, dim=0)) / 0.2 for other in everything]
        members = {v: [a for a in range(len(of)) if of[a] == v and a != i] for v in view.tolist()}
        bottom = sum(sum(math.exp(s[a]) for a in who) / len(who) for who in members.values())
        positives = members[of[i]]
        total -= sum(math.log(math.exp(s[p]) / bottom) for p in positives) / len(positives)
    ours = balanced_contrastive(embeddings, label, centres, view, 0.2)
    assert float(ours) == pytest.approx(total / len(embeddings))


def test_the_balanced_loss_has_the_right_gradient():
    embeddings, label, centres, view = some()
    assert torch.autograd.gradcheck(
        lambda e, c: balanced_contrastive(e, label, c, view, 0.3),
        (embeddings.requires_grad_(), centres.requires_grad_()),
    )


@pytest.mark.parametrize("crowd", [1, 40])
def test_identical_embeddings_give_the_log_of_the_number_of_views_whatever_their_clips(crowd):
    label = torch.tensor([0, 2] + [3] * crowd)
    same = torch.ones(len(label), 5, dtype=torch.float64)
    found = balanced_contrastive(same, label, same[:3], torch.tensor([0, 2, 3]), 0.2)
    assert float(found) == pytest.approx(math.log(3))


@pytest.mark.parametrize("method", ["supcon", "bcl", "joint"])
def test_without_weight_what_is_left_is_logit_adjusted_cross_entropy(exams, training, method):
    settings = training(method)
    weightless = settings.contrast.model_copy(update={"weight": 0.0})
    desk, clips = a_desk(exams, settings.model_copy(update={"contrast": weightless}))
    network, seen = fixed_network(desk)
    learner = Learner(network.classifier, 16)
    lesson = {
        "supcon": lambda: supcon(desk),
        "bcl": lambda: bcl(desk, learner),
        "joint": lambda: joint(desk, clips),
    }[method]()
    loss = lesson(network, 1)
    logits, label = seen[0]
    known = len(label)
    expected = F.cross_entropy(imbalance.adjusted(logits[:known], desk.prior, 1.0), label)
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_supcon_pulls_together_what_has_one_label(exams, training):
    desk, _ = a_desk(exams, training("supcon"))
    network, seen = fixed_network(desk)
    loss = supcon(desk)(network, 1)
    logits, label = seen[0]
    alike = label[:, None] == label[None]
    temperature = desk.settings.contrast.objective.temperature
    beside = masked_contrastive(network.embeddings, alike, ~alike, temperature=temperature)
    known = F.cross_entropy(imbalance.adjusted(logits, desk.prior, 1.0), label)
    assert float(loss.detach()) == pytest.approx(float(known + beside), rel=1e-5)
    assert len(label) == desk.settings.batch_frames // 2 * 2
    assert np.isin(label.numpy(), desk.teaching.label).all()
    assert logits.device == CPU


@pytest.mark.parametrize("relation", ["same-clip", "same-frame"])
def test_joint_contrasts_two_crops_of_each_clip_of_exams(exams, training, relation):
    """The whole loss, from members written by hand; with crops of one frame as positives they show one."""
    objective = ObjectiveSettings(relation=relation)
    settings = training("joint", contrast=ContrastSettings(objective=objective, weight=0.6))
    desk, clips = a_desk(exams, settings, labelled=3)
    network, seen = fixed_network(desk)
    read = []
    rows = desk.rows
    object.__setattr__(desk, "rows", lambda *a, **k: read.append(rows(*a, **k)) or read[-1])
    loss = joint(desk, clips)(network, 1)
    logits, label = seen[0]
    of_exams = read[1][:, 0]
    clip = torch.from_numpy(np.searchsorted(clips.first, of_exams, side="right") - 1)
    n = len(clip) // 2
    assert torch.equal(clip[:n], clip[n:])
    assert (of_exams[:n] == of_exams[n:]).all() == (relation == "same-frame")
    unknown = torch.full((2 * n,), -1)
    members = Members(
        torch.arange(2 * n),
        torch.from_numpy(of_exams),
        clip,
        unknown,
        torch.from_numpy(clips.patient_code)[clip],
        unknown,
    )
    beside = contrastive(network.embeddings[len(label) :], members, objective)
    known = F.cross_entropy(imbalance.adjusted(logits[: len(label)], desk.prior, 1.0), label)
    assert float(beside) > 0.5
    assert float(loss) == pytest.approx(float(known) + 0.6 * float(beside), rel=1e-5)


def test_bcl_contrasts_with_the_centres_of_views(exams, training):
    desk, _ = a_desk(exams, training("bcl"))
    network, seen = fixed_network(desk)
    learner = Learner(network.classifier, 16)
    loss = bcl(desk, learner)(network, 1)
    logits, label = seen[0]
    taught = np.flatnonzero(desk.count)
    centres = learner.centres.weight[taught]
    beside = balanced_contrastive(network.embeddings, label, centres, torch.from_numpy(taught), 0.2)
    known = F.cross_entropy(imbalance.adjusted(logits, desk.prior, 1.0), label)
    assert float(loss.detach()) == pytest.approx(float(known) + float(beside.detach()), rel=1e-5)
