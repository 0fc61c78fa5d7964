"""What the methods with a slow second network need: its average, MoCo's queue, BYOL's loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apical.learn.relations import Members


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move each parameter of `average` by 1 − decay towards the network's of the same name.

    The network may have more parameters than its average, such as a prediction head. Buffers (statistics of
    batch norms) of `average` are its own.
    """
    fast = dict(network.named_parameters())
    slow = dict(average.named_parameters())
    torch._foreach_lerp_(list(slow.values()), [fast[name] for name in slow], 1 - decay)


def byol(predictions: Tensor, targets: Tensor, positive: Tensor) -> Tensor:
    """Mean of 2 − 2 cos(q_i, k_j) over the positive pairs (Grill et al. 2020, arXiv 2006.07733, eq. 2).

    The mean over both directions of a pair, where the paper adds the two.

    Args:
        predictions: (n, d) of the online network.
        targets: (n, d) of its average; no gradient goes there.
        positive: (n, n) bool.
    """
    with torch.autocast(predictions.device.type, enabled=False):
        double = predictions.dtype == torch.float64
        q = F.normalize(predictions if double else predictions.float(), dim=1)
        k = F.normalize(targets.detach().to(q.dtype), dim=1)
        if not positive.any():
            return predictions.sum() * 0
        return (2 - 2 * (q @ k.T))[positive].mean()


class KeyQueue(nn.Module):
    """MoCo's memory of the last keys and of what they are of (He et al. 2020, arXiv 1911.05722).

    All of it is in buffers, so a checkpoint holds it. It begins empty, not with random keys.

    Args:
        size: keys kept.
        width: d.
    """

    keys: Tensor
    table: Tensor
    pushed: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, width))
        self.register_buffer("table", torch.full((size, 6), -1))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def content(self) -> tuple[Tensor, Members]:
        """The keys kept, (m, d), and what they are of."""
        filled = min(int(self.pushed), len(self.keys))
        return self.keys[:filled], Members.from_table(self.table[:filled])

    @torch.no_grad()
    def push(self, keys: Tensor, members: Members) -> None:
        """Put in the keys (n, d) of a batch, over the oldest."""
        size = len(self.keys)
        table = members.table()
        table[:, 0] = -1  # a crop's number means nothing in later batches
        keys, table = keys[-size:], table[-size:]
        place = (int(self.pushed) + torch.arange(len(keys), device=keys.device)) % size
        self.keys[place] = keys.to(self.keys.dtype)
        self.table[place] = table
        self.pushed += len(keys)
