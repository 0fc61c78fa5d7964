"""Every method under one call: the right loss, from the right pairs, with a gradient."""

import pytest
import torch

from apical.config import ObjectiveSettings
from apical.learn.losses import contrastive
from apical.learn.momentum import byol
from apical.learn.objective import WITH_TARGET, Objective
from apical.learn.redundancy import barlow_twins, vicreg
from apical.learn.relations import POSITIVES, Members

METHODS = ("contrastive", "moco", "byol", "barlow-twins", "vicreg")
CROPS, CLIPS, WIDTH = 2, 6, 4


def batch(seed=0):
    """Embeddings and targets (2, 6, 4) and what they are: clips 0 to 5 of patients 0, 0, 1, 1, 2, 2."""
    generator = torch.Generator().manual_seed(seed)
    embeddings, targets = torch.randn(2, CROPS, CLIPS, WIDTH, generator=generator, dtype=torch.float64)
    clip = torch.arange(CLIPS).repeat(CROPS)
    nobody = torch.full_like(clip, -1)
    return embeddings, targets, Members(torch.arange(CROPS * CLIPS), clip, clip, nobody, clip // 2, nobody)


def test_each_method_is_its_loss_on_the_batch():
    embeddings, targets, who = batch()
    settings = {name: ObjectiveSettings(method=name) for name in METHODS}
    rows, keys = embeddings.flatten(0, 1), targets.flatten(0, 1)
    positive = POSITIVES["same-clip"](who, who)
    expected = {
        "contrastive": contrastive(rows, who, settings["contrastive"]),
        "moco": contrastive(rows, who, settings["moco"], candidates=keys, candidate_members=who),
        "byol": byol(rows, keys, positive),
        "barlow-twins": barlow_twins(*embeddings, redundancy=5e-3),
        "vicreg": vicreg(*embeddings, invariance=25, variance=25, covariance=1),
    }
    for name in METHODS:
        found = Objective(settings[name], WIDTH)(embeddings, who, targets)
        assert float(found) == pytest.approx(float(expected[name]), rel=1e-12), name


@pytest.mark.parametrize("method", METHODS)
def test_gradient_equals_finite_differences(method):
    embeddings, targets, who = batch()
    objective = Objective(ObjectiveSettings(method=method), WIDTH).double()
    objective.remember(targets.flip(1) * 1.1, who)
    assert torch.autograd.gradcheck(lambda z: objective(z, who, targets), embeddings.requires_grad_())


@pytest.mark.parametrize("method", METHODS)
def test_crops_that_agree_more_cost_less(method):
    embeddings, _, who = batch()
    objective = Objective(ObjectiveSettings(method=method), WIDTH)
    mean = embeddings.mean(0, keepdim=True)
    apart, near = embeddings, mean + 0.1 * (embeddings - mean)
    assert float(objective(near, who, near)) < float(objective(apart, who, apart))


def test_only_some_methods_need_targets():
    embeddings, _, who = batch()
    for method in METHODS:
        objective = Objective(ObjectiveSettings(method=method), WIDTH)
        if method in WITH_TARGET:
            with pytest.raises(ValueError, match="needs targets"):
                objective(embeddings, who)
        else:
            objective(embeddings, who)


def test_only_moco_remembers():
    embeddings, targets, who = batch()
    for method in METHODS:
        objective = Objective(ObjectiveSettings(method=method), WIDTH)
        objective.remember(targets, who)
        assert len(objective.state_dict()) == (3 if method == "moco" else 0)
    moco = Objective(ObjectiveSettings(method="moco"), WIDTH)
    before = float(moco(embeddings, who, targets))
    moco.remember(targets + 1, Members(*(column + 100 for column in vars(who).values())))
    assert float(moco(embeddings, who, targets)) > before  # more negatives, larger loss
