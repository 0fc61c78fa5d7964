"""The methods of pre-training under one call: the loss of a batch from all its embeddings."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from apical.config import ObjectiveSettings
from apical.learn.losses import contrastive
from apical.learn.momentum import KeyQueue, byol
from apical.learn.redundancy import barlow_twins, over_pairs, vicreg
from apical.learn.relations import POSITIVES, Members

WITH_TARGET = ("moco", "byol")  # methods that compare with what a moving average of the network says


class Objective(nn.Module):
    """What pre-training minimises.

    Args:
        settings: the method and what belongs to it.
        width: d of the embeddings.
    """

    def __init__(self, settings: ObjectiveSettings, width: int) -> None:
        super().__init__()
        self.settings = settings
        self.queue = KeyQueue(settings.queue, width) if settings.method == "moco" else None

    def forward(self, embeddings: Tensor, members: Members, targets: Tensor | None = None) -> Tensor:
        """The loss, a scalar.

        Args:
            embeddings: (c, n, d), c crops of each of n clips.
            members: of the c·n rows, crop after crop: row i of crop 1 stands at n + i.
            targets: of the same shape, by the moving average, for the methods in `WITH_TARGET`.
        """
        settings, rows = self.settings, embeddings.flatten(0, 1)
        if settings.method == "contrastive":
            return contrastive(rows, members, settings)
        if settings.method == "barlow-twins":
            return over_pairs(partial(barlow_twins, redundancy=settings.redundancy), embeddings)
        if settings.method == "vicreg":
            weighted = partial(
                vicreg,
                invariance=settings.invariance_weight,
                variance=settings.variance_weight,
                covariance=settings.covariance_weight,
            )
            return over_pairs(weighted, embeddings)
        if targets is None:
            raise ValueError(f"'{settings.method}' needs targets")
        keys = targets.flatten(0, 1).detach()
        if self.queue is None:
            return byol(rows, keys, POSITIVES[settings.relation](members, members))
        old, old_members = self.queue.content()
        table = torch.cat([members.table(), old_members.table()])
        candidates = torch.cat([keys, old.to(keys.dtype)])
        return contrastive(
            rows, members, settings, candidates=candidates, candidate_members=Members.from_table(table)
        )

    def remember(self, targets: Tensor | None, members: Members) -> None:
        """After a step: the queue takes in the batch's targets, (c, n, d)."""
        if self.queue is not None and targets is not None:
            self.queue.push(targets.flatten(0, 1), members)
