"""Lessons from what a classifier says of other clips: losses written out, targets of clips, not of frames."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from apical.config import PseudoSettings
from apical.learn import imbalance, pseudo
from apical.learn.augment import plain
from apical.learn.pseudo import Alignment, clip_targets, fixmatch, mixmatch, on_targets, soft_cross_entropy
from learn.lessons_of import CPU, a_desk, fixed_network

COUNT = np.array([3, 0, 1])


def targets(n=50, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).dirichlet([4, 1, 1], n)).float()


def test_alignment_makes_views_as_frequent_as_expected():
    """One batch after another, each with views in other shares than wanted; untaught views stay empty."""
    align = Alignment.of(PseudoSettings(align="uniform"), COUNT, CPU)
    for seed in range(20):
        aligned = align(targets(seed=seed))
    assert aligned.sum(dim=1).tolist() == pytest.approx([1.0] * 50, abs=1e-5)
    assert aligned[:, 1].max() == 0
    before = targets(seed=19)
    assert abs(float(aligned[:, 0].mean()) - 0.5) < 0.08 < float(before[:, 0].mean()) - 0.5


def test_alignment_is_its_definition_in_the_first_batch_and_nothing_where_not_wanted():
    target = targets()
    expected = target * torch.tensor([0.75, 0, 0.25]) / target.mean(dim=0)
    expected = expected / expected.sum(dim=1, keepdim=True)
    found = Alignment.of(PseudoSettings(align="labels"), COUNT, CPU)(target)
    assert found.flatten().tolist() == pytest.approx(expected.flatten().tolist(), abs=1e-6)
    assert Alignment.of(PseudoSettings(align="none"), COUNT, CPU)(target) is target


def test_soft_cross_entropy_is_that_of_torch():
    logits, target = torch.randn(6, 3), targets(6)
    assert float(soft_cross_entropy(logits, target)) == pytest.approx(float(F.cross_entropy(logits, target)))


def test_a_clips_target_is_the_mean_log_probability_of_its_whole_frames(exams, training):
    """All three frames of each clip, whatever their order: so the target is a function of the clip."""
    desk, clips = a_desk(exams, training("fixmatch", pseudo=PseudoSettings(frames=3)))
    network, _ = fixed_network(desk)
    classifier = network.classifier
    torch.nn.init.normal_(classifier.head.weight)
    found = clip_targets(desk, classifier, clips, np.array([4, 0]))
    classifier.eval()
    for row, clip in zip(found, (4, 0), strict=True):
        frames = clips.read(clips.first[clip] + np.arange(3))[:, None]
        with torch.no_grad():
            _, logits = classifier(plain(torch.from_numpy(frames), desk.settings.input_size))
        expected = logits.log_softmax(dim=1).mean(dim=0).softmax(dim=0)
        assert row.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert not found.requires_grad


@pytest.mark.parametrize("confidence", [0.0, 0.5])
def test_fixmatch_learns_from_sure_targets_alone(exams, training, monkeypatch, confidence):
    settings = training("fixmatch", pseudo=PseudoSettings(confidence=confidence, align="none", weight=0.7))
    desk, clips = a_desk(exams, settings, labelled=3)
    network, seen = fixed_network(desk)
    given = torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(desk.views, 0.3), 12)).float()
    monkeypatch.setattr(pseudo, "clip_targets", lambda *_: given)
    loss = fixmatch(desk, network.classifier, clips)(network, 1)
    logits, label = seen[0]
    known = F.cross_entropy(imbalance.adjusted(logits[:12], desk.prior, 1.0), label)
    sure = given.max(dim=1).values >= confidence
    assert 0 < sure.sum() <= 12
    assert (sure.sum() < 12) == (confidence > 0)
    each = [float(F.cross_entropy(logits[12 + i], given[i].argmax())) for i in np.flatnonzero(sure)]
    assert float(loss) == pytest.approx(float(known) + 0.7 * sum(each) / 12, rel=1e-5)


def test_mixmatch_mixes_crops_and_targets_alike(exams, training, monkeypatch):
    """With crops replaced by numbers, the mix of each crop and the loss's target must be of the same pair."""
    desk, clips = a_desk(exams, training("mixmatch", pseudo=PseudoSettings(align="none")), labelled=3)
    network, _ = fixed_network(desk)
    given = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(desk.views), 12)).float()
    monkeypatch.setattr(pseudo, "clip_targets", lambda *_: given)
    asked = []
    monkeypatch.setattr(
        pseudo, "soft_cross_entropy", lambda logits, target: asked.append(target) or logits.sum() * 0
    )
    monkeypatch.setattr(
        pseudo, "_crops", lambda *_: torch.arange(24.0)[:, None, None, None].expand(24, 1, 4, 4)
    )
    labels = []
    known = desk.label
    object.__setattr__(desk, "label", lambda chosen: labels.append(known(chosen)) or labels[-1])
    mixmatch(desk, network.classifier, clips)(network, 1)
    sharp = given**2 / (given**2).sum(dim=1, keepdim=True)
    before = torch.cat([F.one_hot(labels[0], desk.views).float(), sharp])
    target, crops = torch.cat(asked), network.crops[0][:, 0, 0, 0]
    assert target.sum(dim=1).tolist() == pytest.approx([1.0] * 24, abs=1e-5)
    for i in range(24):
        matches = []
        for j in range(24):
            share = 1.0 if i == j else float((crops[i] - j) / (i - j))
            mixed = share * before[i] + (1 - share) * before[j]
            matches.append(0.5 <= share <= 1 and torch.allclose(mixed, target[i], atol=1e-4))
        assert any(matches)


def test_clips_are_drawn_of_each_likeliest_view_as_many_and_learn_their_targets(exams, training, monkeypatch):
    """Labelled clips too, which are few: they count as any other."""
    desk, clips = a_desk(exams, training("self-training", batch_frames=400), labelled=3)
    likeliest = np.where(np.arange(len(clips)) < 3, 4, 1)
    target = torch.full((len(clips), desk.views), 0.02)
    target[np.arange(len(clips)), likeliest] = 1 - 0.02 * (desk.views - 1)
    target[:, 0] += torch.arange(len(clips)) * 1e-6  # so that each clip is known by its target
    network, _ = fixed_network(desk)
    read, asked = [], []
    rows = desk.rows
    object.__setattr__(desk, "rows", lambda clips, chosen: read.append(chosen) or rows(clips, chosen))
    monkeypatch.setattr(
        pseudo, "soft_cross_entropy", lambda logits, wanted: asked.append(wanted) or logits.sum() * 0
    )
    on_targets(desk, clips, target)(network, 1)
    assert torch.equal(asked[0], target[torch.from_numpy(read[0])])
    drawn = asked[0].argmax(dim=1)
    assert len(drawn) == 400
    assert set(drawn.tolist()) == {1, 4}
    assert 150 < int((drawn == 4).sum()) < 250
