"""A small batch and network to test gradients on; run by torchrun: what several processes make of it."""

from __future__ import annotations

import sys
from itertools import product

import torch
import torch.distributed
from lightning_fabric import Fabric

from apical.config import ObjectiveSettings, PretrainSettings, ResNetSettings
from apical.learn.backbones import build_encoder
from apical.learn.branch import branch_of
from apical.learn.distributed import agree, gather, shares, world
from apical.learn.gradients import backward, embed
from apical.learn.objective import WITH_TARGET, Objective
from apical.learn.relations import Members

METHODS = ("contrastive", "moco", "byol", "barlow-twins", "vicreg")
CLIPS, CROPS, SIDE = 7, 2, 16
HARD = {"hardness": 0.5, "positive_prior": 0.05, "ignore_nearest": 1}


def settings_of(method, norm="group", **objective):
    return PretrainSettings(
        encoder=ResNetSettings(width=4, stem_stride=2, norm=norm),
        objective=ObjectiveSettings(method=method, **objective),
        projection_width=6,
    )


def batch():
    """Crops (2, 7, 1, 16, 16) of clips of three patients, and what they are."""
    generator = torch.Generator().manual_seed(0)
    crops = torch.randn(CROPS, CLIPS, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    clip = torch.arange(CLIPS).repeat(CROPS)
    nobody = torch.full_like(clip, -1)
    return crops, Members(torch.arange(len(clip)), clip, clip, nobody, clip // 3, nobody)


def branch(settings):
    """With the same weights in every process, none of them zero."""
    torch.manual_seed(0)
    network = branch_of(build_encoder(settings.encoder), settings).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, dtype=torch.float64)
    return network


def gradients(fabric, settings, chunk_crops=None):
    """Of the loss of the batch by all parameters of the branch, as one vector; and the loss."""
    crops, members = batch()
    network = branch(settings)
    average = network.averaged()
    wrapped, _ = fabric.setup(network, torch.optim.SGD(network.parameters(), lr=0.1))
    lengths = [len(part) for part in shares(CLIPS, world()[1])]
    own = crops[:, shares(CLIPS, world()[1])[world()[0]]]
    objective = Objective(settings.objective, settings.projection_width).double()
    targets = None
    if settings.objective.method in WITH_TARGET:
        targets = gather(embed(average, own, chunk_crops, 0), lengths)
        earlier = Members(*(column + 100 for column in vars(members).values()))
        objective.remember(targets + 0.3, earlier)
    loss, _ = backward(
        fabric,
        wrapped,
        own,
        lambda everything: objective(everything, members, targets),
        lengths,
        chunk_crops=chunk_crops,
    )
    return torch.cat([p.grad.flatten() for p in network.parameters()]), loss


def cases():
    """Name, settings and chunk of all that is compared."""
    for method, chunk in product(METHODS, (None, 3)):
        yield f"{method} {chunk}", settings_of(method), chunk
    yield "hard None", settings_of("contrastive", **HARD), None


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    several = Fabric(accelerator="cpu", devices=2, strategy="ddp", precision="64-true")
    several.launch()
    found = {name: gradients(several, settings, chunk) for name, settings, chunk in cases()}
    ranks = torch.tensor([[world()[0]]] * (world()[0] + 1)).T  # (1, 1) and (1, 2)
    found["gathered"] = gather(ranks, [1, 2])
    found["agreed"] = agree(float(world()[0]) * 1.5, torch.device("cpu"))
    if world()[0] == 0:
        torch.save(found, sys.argv[1])
    torch.distributed.destroy_process_group()
