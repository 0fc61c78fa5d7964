"""Objectives without negatives that keep the features from being redundant.

Both compare two crops of the same clips, row for row, and look at the features over the batch. They see
pairs of the batch, so the relation only decides which frames the crops are of.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor


def barlow_twins(one: Tensor, other: Tensor, *, redundancy: float) -> Tensor:
    """Cross-correlation of the features near the identity (Zbontar et al. 2021, arXiv 2103.03230, eq. 1)::

        C = Aᵀ B / n        L = Σ_k (1 − C_kk)² + λ Σ_k Σ_{l ≠ k} C_kl²

    with A and B the embeddings, each feature of mean 0 and (biased) variance 1 over the batch.

    Args:
        one, other: (n, d), row i of both are crops of one clip.
        redundancy: λ.
    """
    with torch.autocast(one.device.type, enabled=False):
        a, b = _standardised(_full(one)), _standardised(_full(other))
        c = a.T @ b / len(a)
        on_diagonal = c.diagonal()
        return (1 - on_diagonal).square().sum() + redundancy * (c.square().sum() - on_diagonal.square().sum())


def vicreg(one: Tensor, other: Tensor, *, invariance: float, variance: float, covariance: float) -> Tensor:
    """Invariance, variance and covariance (Bardes et al. 2022, arXiv 2105.04906, eq. 6)::

        λ mean((A − B)²) + μ (v(A) + v(B)) + ν (c(A) + c(B))
        v(Z) = mean_k max(0, 1 − sqrt(Var(z_k) + 1e-4))        c(Z) = Σ_{k ≠ l} Cov(Z)_kl² / d

    The mean in the first term is over rows and features, and v is halved, both as in the authors' code
    (their equations 1 and 5 have neither).

    Args:
        one, other: (n, d), row i of both are crops of one clip.
        invariance, variance, covariance: λ, μ, ν.
    """
    with torch.autocast(one.device.type, enabled=False):
        a, b = _full(one), _full(other)
        apart = F.mse_loss(a, b)
        return (
            invariance * apart
            + variance * (_hinge(a) + _hinge(b)) / 2
            + covariance * (_off_diagonal_covariance(a) + _off_diagonal_covariance(b))
        )


def over_pairs(objective: Callable[[Tensor, Tensor], Tensor], embeddings: Tensor) -> Tensor:
    """Mean of an objective over all pairs of a clip's crops, (crops, clips, d)."""
    terms = [objective(embeddings[i], embeddings[j]) for i, j in combinations(range(len(embeddings)), 2)]
    return torch.stack(terms).mean()


def _full(embeddings: Tensor) -> Tensor:
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


def _standardised(z: Tensor) -> Tensor:
    return (z - z.mean(dim=0)) / (z.var(dim=0, unbiased=False) + 1e-5).sqrt()


def _hinge(z: Tensor) -> Tensor:
    return F.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean()


def _off_diagonal_covariance(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / (len(z) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]
