"""The masked contrastive loss against naive loops, closed forms, another library and its own gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss, SupConLoss

from apical.config import ObjectiveSettings
from apical.learn.losses import contrastive, masked_contrastive, without_nearest
from apical.learn.relations import (
    POSITIVES,
    Members,
    all_others,
    same_patient_other_clips,
)

FORMS = {
    "plain": {},
    "hard": {"hardness": 0.7},
    "debiased": {"positive_prior": 0.1},
    "both": {"hardness": 0.7, "positive_prior": 0.1},
}


def members(frame, clip=None, patient=None, label=None):
    frame = torch.as_tensor(frame)
    clip, patient = (frame if c is None else torch.as_tensor(c) for c in (clip, patient))
    label = torch.full_like(frame, -1) if label is None else torch.as_tensor(label)
    return Members(torch.arange(len(frame)), frame, clip, torch.full_like(frame, -1), patient, label)


def only(relation, **values):
    return ObjectiveSettings(relation=relation, **({"same_patient_share": 0} | values))


def random_masks(n, seed, m=None):
    generator = torch.Generator().manual_seed(seed)
    positive = torch.rand(n, m or n, generator=generator) < 0.3
    negative = (torch.rand(n, m or n, generator=generator) < 0.5) & ~positive
    return positive, negative


def cosines(one, others, temperature):
    return [float(torch.cosine_similarity(one, other, dim=0)) / temperature for other in others]


def naive_loops(embeddings, positive, negative, temperature, hardness=0.0, positive_prior=0.0):
    """The equations of the docstrings, a term at a time."""
    total, anchors = 0.0, 0
    for i in range(len(embeddings)):
        similarity = cosines(embeddings[i], embeddings, temperature)
        ours = [j for j in range(len(embeddings)) if j != i and positive[i, j]]
        theirs = [j for j in range(len(embeddings)) if j != i and negative[i, j] and j not in ours]
        if not ours or not theirs:
            continue
        anchors += 1
        weights = [math.exp(hardness * similarity[a]) for a in theirs]
        mean = sum(w * math.exp(similarity[a]) for w, a in zip(weights, theirs, strict=True)) / sum(weights)
        of_positives = sum(math.exp(similarity[p]) for p in ours) / len(ours)
        g = mean
        if positive_prior:
            g = max((mean - positive_prior * of_positives) / (1 - positive_prior), math.exp(-1 / temperature))
        below = sum(math.exp(similarity[p]) for p in ours) + len(theirs) * g
        total += -sum(math.log(math.exp(similarity[p]) / below) for p in ours) / len(ours)
    return total / anchors if anchors else 0.0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equals_naive_loops_on_random_masks(seed, temperature, form):
    embeddings = torch.randn(9, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    positive, negative = random_masks(9, seed)
    loss = masked_contrastive(embeddings, positive, negative, temperature=temperature, **FORMS[form])
    expected = naive_loops(embeddings, positive, negative, temperature, **FORMS[form])
    assert float(loss) == pytest.approx(expected, rel=1e-10)


def test_debiased_reaches_its_floor_as_the_loops_do():
    """With a large share of false negatives the estimate turns negative and exp(-1/τ) takes its place."""
    embeddings = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    embeddings[:5] = embeddings[0] + 0.05 * embeddings[:5]
    positive, negative = torch.zeros(2, 9, 9, dtype=torch.bool)
    positive[:5, :5] = negative[:5, 5:] = True
    found = masked_contrastive(embeddings, positive, negative, temperature=0.3, positive_prior=0.5)
    floor = math.exp(-1 / 0.3)
    expected = naive_loops(embeddings, positive, negative, 0.3, positive_prior=0.5)
    assert float(found) == pytest.approx(expected, rel=1e-10)
    by_hand = []
    for i in range(5):
        similarity = cosines(embeddings[i], embeddings, 0.3)
        ours = [similarity[j] for j in range(5) if j != i]
        below = sum(map(math.exp, ours)) + 4 * floor
        by_hand.append(-sum(s - math.log(below) for s in ours) / 4)
    assert float(found) == pytest.approx(sum(by_hand) / 5, rel=1e-10)


def test_hard_negatives_equal_the_papers_algorithm():
    """Robinson et al. 2021, algorithm 1, in its own words: one positive, N reweighted negatives."""
    generator = torch.Generator().manual_seed(3)
    pairs, temperature, beta, prior = 6, 0.5, 1.3, 0.05
    z = torch.nn.functional.normalize(
        torch.randn(2 * pairs, 4, generator=generator, dtype=torch.float64), dim=1
    )
    similarity = (z @ z.T / temperature).exp()
    apart = ~(torch.eye(pairs, dtype=torch.bool).repeat(2, 2))
    neg = similarity[apart].view(2 * pairs, -1)
    pos = similarity.diagonal(pairs).repeat(2)
    count = neg.shape[1]
    weight = (beta * neg.log()).exp()
    reweighted = (weight * neg).sum(1) / weight.mean(1)
    ng = ((-prior * count * pos + reweighted) / (1 - prior)).clamp(min=count * math.exp(-1 / temperature))
    expected = (-(pos / (pos + ng)).log()).mean()
    found = contrastive(
        z,
        members(torch.arange(pairs).repeat(2)),
        only("same-frame", temperature=temperature, hardness=beta, positive_prior=prior),
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("pairs", [2, 7])
def test_nt_xent_equals_pytorch_metric_learning(pairs):
    embeddings = torch.randn(2 * pairs, 8, generator=torch.Generator().manual_seed(0))
    ours = contrastive(
        embeddings, members(torch.arange(pairs).repeat(2)), only("same-frame", temperature=0.2)
    )
    theirs = SelfSupervisedLoss(NTXentLoss(temperature=0.2), symmetric=True)(
        embeddings[:pairs], embeddings[pairs:]
    )
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_supcon_equals_pytorch_metric_learning():
    label = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0])
    embeddings = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    ours = contrastive(embeddings, members(range(8), label=label), only("same-view", temperature=0.1))
    theirs = SupConLoss(temperature=0.1)(embeddings, label)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_identical_embeddings_give_the_log_of_the_number_of_others(form):
    """All negatives are alike, so neither weights nor the correction for false ones change the mean."""
    who = members(torch.arange(6).repeat(2))
    loss = contrastive(torch.ones(12, 4), who, only("same-frame", temperature=0.07, **FORMS[form]))
    assert float(loss) == pytest.approx(math.log(11), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_equals_finite_differences(form):
    positive, negative = random_masks(6, 1)
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(6, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    others = torch.randn(6, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    for candidates in (None, others):
        assert torch.autograd.gradcheck(
            lambda z, k: masked_contrastive(
                z, positive, negative, temperature=0.3, candidates=k, **FORMS[form]
            ),
            (embeddings, candidates),
        )


def test_candidates_of_their_own_equal_one_batch_seen_from_some_of_its_rows():
    """Rows 0 to 2 as anchors, all rows as candidates, against the loops over those anchors alone."""
    embeddings = torch.randn(7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    positive, negative = random_masks(7, 2)
    own = torch.eye(7, dtype=torch.bool)
    positive, negative = positive & ~own, negative & ~own
    positive[3:] = negative[3:] = False
    expected = naive_loops(embeddings, positive, negative, 0.2)
    found = masked_contrastive(
        embeddings[:3], positive[:3], negative[:3], temperature=0.2, candidates=embeddings
    )
    assert float(found) == pytest.approx(expected, rel=1e-10)


def test_an_ignored_pair_has_no_part_in_the_gradient():
    """Embedding 3 stands in neither mask of anchor 0, so moving it changes nothing for anchor 0."""
    positive = torch.zeros(4, 4, dtype=torch.bool)
    negative = torch.zeros(4, 4, dtype=torch.bool)
    positive[0, 1] = negative[0, 2] = True
    embeddings = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    masked_contrastive(embeddings, positive, negative, temperature=0.5).backward()
    assert embeddings.grad[3].abs().max() == 0
    assert embeddings.grad[2].abs().max() > 0


def test_the_nearest_negatives_are_ignored_and_no_others():
    """Against masks from a sort of each row."""
    embeddings = torch.randn(8, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    positive, negative = random_masks(8, 4)
    own = torch.eye(8, dtype=torch.bool)
    kept = negative & ~own
    for i in range(8):
        alike = cosines(embeddings[i], embeddings, 1)
        for j in sorted((j for j in range(8) if kept[i, j]), key=lambda j: -alike[j])[:2]:
            kept[i, j] = False
    found = masked_contrastive(embeddings, positive, negative, temperature=0.2, ignore_nearest=2)
    assert float(found) == pytest.approx(naive_loops(embeddings, positive, kept, 0.2), rel=1e-10)
    similarity = torch.nn.functional.cosine_similarity(embeddings[:, None], embeddings[None], dim=2)
    assert torch.equal(without_nearest(similarity, negative & ~own, 2), kept)
    assert not without_nearest(similarity, negative, 99).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 8), st.integers(0, 1000), st.floats(0.1, 100), st.sampled_from(sorted(FORMS)))
def test_order_and_scale_do_not_matter(n, seed, scale, form):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    positive, negative = random_masks(n, seed)
    loss = masked_contrastive(embeddings, positive, negative, temperature=0.2, **FORMS[form])
    turn = torch.randperm(n, generator=generator)
    turned = masked_contrastive(
        embeddings[turn] * scale,
        positive[turn][:, turn],
        negative[turn][:, turn],
        temperature=0.2,
        **FORMS[form],
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


@pytest.mark.parametrize("form", FORMS)
def test_half_precision_does_not_overflow_at_a_low_temperature(form):
    who = members(torch.arange(4).repeat(2))
    embeddings = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    arguments = only("same-frame", temperature=0.01, **FORMS[form])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = contrastive(embeddings.bfloat16(), who, arguments)
    full = contrastive(embeddings.bfloat16().float(), who, arguments)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=1e-6)
    full.backward()
    assert torch.isfinite(embeddings.grad).all()


def test_the_share_mixes_all_negatives_with_the_same_patients():
    who = members([0, 1, 2, 3] * 2, clip=[0, 1, 2, 3] * 2, patient=[0, 0, 1, 1] * 2)
    embeddings = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    positive = POSITIVES["same-clip"](who, who)
    parts = [
        masked_contrastive(embeddings, positive, negatives(who, who) & ~positive, temperature=0.2)
        for negatives in (all_others, same_patient_other_clips)
    ]
    mixed = contrastive(embeddings, who, only("same-clip", same_patient_share=0.25))
    assert float(mixed) == pytest.approx(0.75 * float(parts[0]) + 0.25 * float(parts[1]), rel=1e-6)


def test_where_each_patient_has_one_clip_all_negatives_have_the_whole_loss():
    who = members([0, 1, 2] * 2)
    embeddings = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    mixed = contrastive(embeddings, who, only("same-clip", same_patient_share=0.5))
    assert float(mixed) == pytest.approx(float(contrastive(embeddings, who, only("same-clip"))), rel=1e-6)


def test_duplicate_patients_do_not_become_negatives_of_other_patients():
    """With negatives of other patients only, and one patient in the batch, there is nothing to learn."""
    who = members([0, 1] * 2, patient=[5, 5] * 2)
    loss = contrastive(torch.randn(4, 3), who, only("same-clip", negatives="other-patients"))
    assert float(loss) == 0
