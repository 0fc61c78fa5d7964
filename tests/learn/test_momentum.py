"""The moving average, BYOL's loss and MoCo's queue, against loops and the papers' algorithms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from apical.config import ObjectiveSettings
from apical.learn.momentum import KeyQueue, byol, follow
from apical.learn.objective import Objective
from apical.learn.relations import Members


def members(clips, patients=None):
    clips = torch.as_tensor(clips)
    nobody = torch.full_like(clips, -1)
    patients = clips if patients is None else torch.as_tensor(patients)
    return Members(torch.arange(len(clips)), clips, clips, nobody, patients, nobody)


def test_the_average_moves_by_its_share_and_ignores_what_it_has_not():
    torch.manual_seed(0)
    network = nn.ModuleDict({"a": nn.Linear(3, 2), "head": nn.Linear(2, 2)})
    average = nn.ModuleDict({"a": nn.Linear(3, 2)})
    before = average["a"].weight.clone()
    follow(average, network, 0.9)
    expected = 0.9 * before + 0.1 * network["a"].weight
    assert torch.allclose(average["a"].weight, expected, atol=1e-7)


def test_byol_equals_naive_loops():
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    positive = torch.rand(6, 6, generator=generator) < 0.4
    terms = [
        2 - 2 * float(torch.cosine_similarity(q[i], k[j], dim=0))
        for i in range(6)
        for j in range(6)
        if positive[i, j]
    ]
    assert float(byol(q, k, positive)) == pytest.approx(sum(terms) / len(terms), rel=1e-10)


def test_byol_closed_forms():
    one, all_pairs = torch.ones(3, 2), torch.ones(3, 3, dtype=torch.bool)
    assert float(byol(one, one, all_pairs)) == pytest.approx(0, abs=1e-6)
    assert float(byol(one, -one, all_pairs)) == pytest.approx(4, rel=1e-6)
    across = torch.tensor([[1.0, -1.0]]).repeat(3, 1)
    assert float(byol(one, across, all_pairs)) == pytest.approx(2, rel=1e-6)


def test_byol_gradient_equals_finite_differences_and_none_reaches_the_targets():
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    k = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    positive = ~torch.eye(4, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda z: byol(z, k.detach(), positive), q)
    byol(q, k, positive).backward()
    assert k.grad is None


def test_byol_without_positives_is_zero():
    q = torch.randn(3, 2, requires_grad=True)
    loss = byol(q, q.detach(), torch.zeros(3, 3, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(q.grad, torch.zeros(3, 2))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 12))
def test_the_queue_holds_the_last_keys_with_what_they_are_of(batches, size):
    queue, everything = KeyQueue(size, 2), []
    for count in batches:
        start = len(everything)
        clips = list(range(start, start + count))
        everything += clips
        keys = torch.tensor(clips, dtype=torch.float32)[:, None].repeat(1, 2)
        queue.push(keys, members(clips))
    keys, kept = queue.content()
    assert sorted(keys[:, 0].tolist()) == everything[-size:]
    assert keys[:, 0].tolist() == kept.clip.tolist()
    assert set(kept.crop.tolist()) == {-1}


def test_the_queue_is_in_the_state():
    queue = KeyQueue(5, 2)
    queue.push(torch.ones(3, 2), members([7, 8, 9]))
    again = KeyQueue(5, 2)
    again.load_state_dict(queue.state_dict())
    kept = again.content()[1]
    assert kept.clip.tolist() == [7, 8, 9]
    again.push(torch.zeros(4, 2), members([1, 2, 3, 4]))
    assert sorted(again.content()[1].clip.tolist()) == [1, 2, 3, 4, 9]


def test_moco_equals_the_papers_algorithm():
    """He et al. 2020, algorithm 1, written out: queries against their key and the queue.

    In the batch there is one clip, so that nothing but the queue is negative; the loss is over both crops.
    """
    generator = torch.Generator().manual_seed(0)
    q, k, old = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (2, 2, 5))
    settings = ObjectiveSettings(
        method="moco", relation="same-clip", same_patient_share=0, temperature=0.07, queue=8
    )
    objective = Objective(settings, 4).double()
    objective.queue.push(old, members([10, 11, 12, 13, 14]))
    found = objective(q.view(2, 1, 4), members([1, 1]), k.view(2, 1, 4))
    unit = torch.nn.functional.normalize
    expected = 0.0
    for i in range(2):
        query, key = unit(q[i], dim=0), unit(k[1 - i], dim=0)
        logits = torch.cat([(query * key).sum()[None], unit(old, dim=1) @ query]) / 0.07
        expected += float(nn.functional.cross_entropy(logits[None], torch.tensor([0]))) / 2
    assert float(found) == pytest.approx(expected, rel=1e-10)


def test_keys_of_the_anchors_own_clip_in_the_queue_are_ignored():
    settings = ObjectiveSettings(method="moco", relation="same-clip", same_patient_share=0, queue=8)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2, 1, 4, generator=generator)
    plain, with_own = Objective(settings, 4), Objective(settings, 4)
    for objective in (plain, with_own):
        objective.queue.push(
            torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), members([5, 6, 7])
        )
    with_own.queue.push(100 * torch.ones(1, 4), members([1]))
    who = members([1, 1])
    assert float(plain(q, who, k)) == float(with_own(q, who, k))
