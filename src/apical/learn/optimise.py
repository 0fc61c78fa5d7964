"""What pre-training and classifier training share: the schedule and the weight decay."""

from __future__ import annotations

import math
from typing import Any

from torch import nn


def warmup_cosine(share: float, warmup: float) -> float:
    """Factor on the learning rate when `share` of the run is done.

    Linear over the first `warmup`, then half a cosine down to 0
    (Loshchilov & Hutter 2017, arXiv 1608.03983).
    """
    if share < warmup:
        return (share + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup))))


def parameter_groups(network: nn.Module, weight_decay: float, rate: float = 1.0) -> list[dict[str, Any]]:
    """Groups for an optimiser: weight decay for matrices and kernels only, not for norms and biases.

    Each group carries its `rate`, the factor on the learning rate, for `set_rate`.
    """
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay, "rate": rate},
        {"params": vectors, "weight_decay": 0.0, "rate": rate},
    ]


def set_rate(groups: list[dict[str, Any]], learning_rate: float) -> None:
    """Set the learning rate of every group, times the group's own factor."""
    for group in groups:
        group["lr"] = learning_rate * group["rate"]
