"""The masked contrastive loss against naive loops, closed forms, another library and its own gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss, SupConLoss

from apical.learn.losses import contrastive_objective, masked_contrastive
from apical.learn.relations import POSITIVES, Members, all_others, same_patient_other_clips


def members(frame, clip=None, patient=None, label=None):
    frame = torch.as_tensor(frame)
    columns = [frame if c is None else torch.as_tensor(c) for c in (clip, patient)]
    label = torch.full_like(frame, -1) if label is None else torch.as_tensor(label)
    return Members(frame, *columns, label)


def random_masks(n, seed):
    generator = torch.Generator().manual_seed(seed)
    positive = torch.rand(n, n, generator=generator) < 0.3
    negative = (torch.rand(n, n, generator=generator) < 0.5) & ~positive
    return positive, negative


def naive_loops(embeddings, positive, negative, temperature):
    """The equation of the docstring, a term at a time."""
    total, anchors = 0.0, 0
    for i in range(len(embeddings)):
        similarity = [
            float(torch.cosine_similarity(embeddings[i], embeddings[j], dim=0)) / temperature
            for j in range(len(embeddings))
        ]
        ours = [j for j in range(len(embeddings)) if j != i and positive[i, j]]
        theirs = [j for j in range(len(embeddings)) if j != i and negative[i, j]]
        if not ours or not {*theirs} - {*ours}:
            continue
        anchors += 1
        below = sum(math.exp(similarity[a]) for a in {*ours, *theirs})
        total += -sum(math.log(math.exp(similarity[p]) / below) for p in ours) / len(ours)
    return total / anchors if anchors else 0.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equals_naive_loops_on_random_masks(seed, temperature):
    embeddings = torch.randn(9, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    positive, negative = random_masks(9, seed)
    loss = masked_contrastive(embeddings, positive, negative, temperature=temperature)
    assert float(loss) == pytest.approx(naive_loops(embeddings, positive, negative, temperature), rel=1e-10)


@pytest.mark.parametrize("pairs", [2, 7])
def test_nt_xent_equals_pytorch_metric_learning(pairs):
    embeddings = torch.randn(2 * pairs, 8)
    who = members(torch.arange(pairs).repeat(2))
    ours = contrastive_objective(
        embeddings, who, relation="same-frame", same_patient_share=0, temperature=0.2
    )
    theirs = SelfSupervisedLoss(NTXentLoss(temperature=0.2), symmetric=True)(
        embeddings[:pairs], embeddings[pairs:]
    )
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_supcon_equals_pytorch_metric_learning():
    label = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0])
    embeddings = torch.randn(8, 6)
    ours = contrastive_objective(
        embeddings,
        members(torch.arange(8), label=label),
        relation="same-view",
        same_patient_share=0,
        temperature=0.1,
    )
    theirs = SupConLoss(temperature=0.1)(embeddings, label)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_identical_embeddings_give_the_log_of_the_number_of_others():
    who = members(torch.arange(6).repeat(2))
    loss = contrastive_objective(
        torch.ones(12, 4), who, relation="same-frame", same_patient_share=0, temperature=0.07
    )
    assert float(loss) == pytest.approx(math.log(11), rel=1e-6)


def test_gradient_equals_finite_differences():
    positive, negative = random_masks(6, 1)
    embeddings = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: masked_contrastive(z, positive, negative, temperature=0.3), embeddings
    )


def test_an_ignored_pair_has_no_part_in_the_gradient():
    """Embedding 3 stands in neither mask of anchor 0, so moving it changes nothing for anchor 0."""
    positive = torch.zeros(4, 4, dtype=torch.bool)
    negative = torch.zeros(4, 4, dtype=torch.bool)
    positive[0, 1] = negative[0, 2] = True
    embeddings = torch.randn(4, 3, requires_grad=True)
    masked_contrastive(embeddings, positive, negative, temperature=0.5).backward()
    assert embeddings.grad[3].abs().max() == 0
    assert embeddings.grad[2].abs().max() > 0


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 8), st.integers(0, 1000), st.floats(0.1, 100))
def test_order_and_scale_do_not_matter(n, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    positive, negative = random_masks(n, seed)
    loss = masked_contrastive(embeddings, positive, negative, temperature=0.2)
    turn = torch.randperm(n, generator=generator)
    turned = masked_contrastive(
        embeddings[turn] * scale,
        positive[turn][:, turn],
        negative[turn][:, turn],
        temperature=0.2,
    )
    assert float(turned) == pytest.approx(float(loss), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [1, 4])
def test_without_any_positive_the_loss_is_zero_and_differentiable(n):
    embeddings = torch.randn(n, 3, requires_grad=True)
    nothing = torch.zeros(n, n, dtype=torch.bool)
    loss = masked_contrastive(embeddings, nothing, ~nothing, temperature=0.1)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros(n, 3))


def test_half_precision_does_not_overflow_at_a_low_temperature():
    who = members(torch.arange(4).repeat(2))
    embeddings = torch.randn(8, 4)
    arguments = {"relation": "same-frame", "same_patient_share": 0, "temperature": 0.01}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = contrastive_objective(embeddings.bfloat16(), who, **arguments)
    full = contrastive_objective(embeddings.bfloat16().float(), who, **arguments)
    assert half.dtype == torch.float32
    assert float(half) == pytest.approx(float(full), rel=1e-6)


def test_the_share_mixes_all_negatives_with_the_same_patients():
    who = members([0, 1, 2, 3] * 2, clip=[0, 1, 2, 3] * 2, patient=[0, 0, 1, 1] * 2)
    embeddings = torch.randn(8, 5)
    positive = POSITIVES["same-clip"](who)
    parts = [
        masked_contrastive(embeddings, positive, negatives(who, positive), temperature=0.2)
        for negatives in (all_others, same_patient_other_clips)
    ]
    mixed = contrastive_objective(
        embeddings, who, relation="same-clip", same_patient_share=0.25, temperature=0.2
    )
    assert float(mixed) == pytest.approx(0.75 * float(parts[0]) + 0.25 * float(parts[1]), rel=1e-6)
