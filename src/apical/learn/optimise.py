"""What pre-training and classifier training share: optimisers, the schedule and the weight decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn


def warmup_cosine(share: float, warmup: float) -> float:
    """Factor on the learning rate when `share` of the run is done.

    Linear over the first `warmup`, then half a cosine down to 0
    (Loshchilov & Hutter 2017, arXiv 1608.03983).
    """
    if share < warmup:
        return (share + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup))))


def parameter_groups(network: nn.Module, weight_decay: float, rate: float = 1.0) -> list[dict[str, Any]]:
    """Groups for an optimiser: weight decay for matrices and kernels only.

    Biases, norms (vectors and numbers), and what is added to tokens (its first sides are 1) have none. Each
    group carries its `rate`, the factor on the learning rate, for `set_rate`, and `adapted`, whether `LARS`
    scales its rate by the norm of a weight.
    """
    decayed = [p for p in network.parameters() if _is_matrix(p)]
    others = [p for p in network.parameters() if not _is_matrix(p)]
    return [
        {"params": decayed, "weight_decay": weight_decay, "rate": rate, "adapted": True},
        {"params": others, "weight_decay": 0.0, "rate": rate, "adapted": False},
    ]


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim > 1 and parameter.shape[0] > 1


def set_rate(groups: list[dict[str, Any]], learning_rate: float) -> None:
    """Set the learning rate of every group, times the group's own factor."""
    for group in groups:
        group["lr"] = learning_rate * group["rate"]


def optimizer_of(
    groups: list[dict[str, Any]], name: Literal["adamw", "lars"], learning_rate: float
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), or LARS for large batches."""
    if name == "lars":
        return LARS(groups, lr=learning_rate)
    return torch.optim.AdamW(groups, lr=learning_rate)


class LARS(torch.optim.Optimizer):
    """Gradient descent with momentum whose rate is scaled, weight by weight, to the weight's norm.

    You et al. 2017 (arXiv 1708.03888), in the form that SimCLR and Barlow Twins use::

        g ← g + λ w        q = η |w| / |g| (1 if either norm is 0)        v ← m v + q g        w ← w − γ v

    Groups that are not `adapted` (biases, norms) have q = 1.

    Args:
        params: parameters or groups of them, with `weight_decay` (λ) and `adapted`.
        lr: γ.
        momentum: m.
        trust: η.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | list[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        trust: float = 1e-3,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": 0.0, "adapted": True}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; `closure`, if given, computes loss and gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad + group["weight_decay"] * w
                if group["adapted"]:
                    of_weight, of_gradient = w.norm(), g.norm()
                    defined = (of_weight > 0) & (of_gradient > 0)
                    g = g * torch.where(defined, group["trust"] * of_weight / of_gradient, 1.0)
                state = self.state[w]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(w)
                state["momentum"].mul_(group["momentum"]).add_(g)
                w.sub_(group["lr"] * state["momentum"])
        return loss
