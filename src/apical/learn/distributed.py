"""Several processes on one batch, each with its own clips."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor


def world() -> tuple[int, int]:
    """The rank of this process, and how many there are."""
    if not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def shares(count: int, processes: int) -> list[NDArray[np.int64]]:
    """Which of `count` clips each process takes: runs whose lengths differ by one at most."""
    return np.array_split(np.arange(count), processes)


def gather(own: Tensor, lengths: list[int]) -> Tensor:
    """The rows of all processes after one another; no gradient flows.

    Args:
        own: (c, lengths[rank], …), the same c and tail in every process.
        lengths: rows of every process.

    Returns:
        (c, sum of lengths, …), on every process the same.
    """
    if len(lengths) == 1:
        return own
    padded = own.new_zeros((own.shape[0], max(lengths), *own.shape[2:]))
    padded[:, : own.shape[1]] = own.detach()
    parts = [torch.empty_like(padded) for _ in lengths]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[:, :length] for part, length in zip(parts, lengths, strict=True)], dim=1)


def agree(value: float, device: torch.device) -> float:
    """The largest of all processes' values, so that they decide alike."""
    if world()[1] == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
    return float(shared)
