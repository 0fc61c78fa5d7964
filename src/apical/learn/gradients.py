"""The gradient of a loss of *all* embeddings of a batch, whatever part of it fits into memory or a process.

A contrastive loss couples all crops of a batch, so it is not a sum over parts of it. But its gradient goes
through the embeddings, (c·n, d), which are small: the loss and its gradient by them are computed for the
whole batch at once, by every process alike, and each crop's own part is then sent back through the network.
Where the crops do not go through it at once, they go twice: first for the embeddings, then, chunk by chunk,
for the gradient (GradCache, Gao et al. 2021, arXiv 2101.06983). Batch norms see a chunk at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from apical.learn.distributed import gather, world

Loss = Callable[[Tensor], Tensor]


def backward(
    fabric: Fabric,
    network: _FabricModule,
    crops: Tensor,
    loss_of: Loss,
    lengths: list[int],
    *,
    chunk_crops: int | None = None,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Add the gradient of the loss of the whole batch to the network's parameters.

    After averaging over processes, as distributed data parallel does, the parameters' gradient is that of
    one process with the whole batch.

    Args:
        fabric: of which `network` is set up.
        network: crops (m, t, s, s) → embeddings (m, d).
        crops: (c, own clips, t, s, s), this process's part of the batch.
        loss_of: from the embeddings of the whole batch, (c, n, d), to the loss, a scalar.
        lengths: clips of every process, in the order of ranks; n is their sum.
        chunk_crops: crops that go through the network at once; all if None.
        seed: for randomness inside the network, so that it is the same both times.

    Returns:
        the loss, detached, and the embeddings of the whole batch, (c, n, d), detached.
    """
    rank, processes = world()
    chunks = chunked(crops, chunk_crops)
    graphs: list[Tensor] = []
    if len(chunks) == 1:
        graphs = [_seeded(network, chunks[0], seed, 0)]
        own = graphs[0].detach().view(*crops.shape[:2], -1)
    else:
        with torch.no_grad(), unmoved_statistics(network):
            own = embed(network, crops, chunk_crops, seed)
    everything = gather(own, lengths).clone().requires_grad_()
    loss = loss_of(everything)
    loss.backward()
    if everything.grad is None:
        raise AssertionError("the loss does not depend on the embeddings")
    start = sum(lengths[:rank])
    gradient = everything.grad[:, start : start + lengths[rank]].flatten(0, 1) * processes
    parts = gradient.split([len(chunk) for chunk in chunks])
    for i, (chunk, part) in enumerate(zip(chunks, parts, strict=True)):
        unfinished = i < len(chunks) - 1
        with fabric.no_backward_sync(network, enabled=unfinished and processes > 1):
            embeddings = graphs[0] if graphs else _seeded(network, chunk, seed, i)
            fabric.backward((embeddings * part).sum())
    return loss.detach(), everything.detach()


def embed(network: nn.Module, crops: Tensor, chunk_crops: int | None, seed: int) -> Tensor:
    """Embeddings (c, n, d) of crops (c, n, t, s, s), chunk by chunk; see `backward`."""
    chunks = chunked(crops, chunk_crops)
    rows = torch.cat([_seeded(network, chunk, seed, i) for i, chunk in enumerate(chunks)])
    return rows.view(*crops.shape[:2], -1)


def chunked(crops: Tensor, chunk_crops: int | None) -> tuple[Tensor, ...]:
    """Crops (c, n, …) as runs of rows (m, …) of about one length, so that none is of a single crop."""
    rows = crops.flatten(0, 1)
    return rows.tensor_split(-(-len(rows) // chunk_crops) if chunk_crops else 1)


def _seeded(network: nn.Module, chunk: Tensor, seed: int, number: int) -> Tensor:
    torch.manual_seed(seed + 7919 * number + 104_729 * world()[0])
    embeddings: Tensor = network(chunk)
    return embeddings


@contextmanager
def unmoved_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms use the batch's statistics inside, but do not add them to their running ones."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, copy.deepcopy(norm.num_batches_tracked)) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)
