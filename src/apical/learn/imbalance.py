"""Fairness to rare views: what a loss adds, how clips are drawn, what a clip weighs.

`label` is (n,) int64 of labelled clips, `count` (k,) the labelled clips a view.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

EFFECTIVE = 0.9999  # β of `effective_weights`, as LDAM-DRW has it


def adjusted(logits: Tensor, log_prior: Tensor, strength: float) -> Tensor:
    """Logits as the loss must see them for the classifier to be fair to rare views.

    Logit adjustment (Menon et al. 2021, arXiv 2007.07314, eq. 10), which for strength 1 is balanced
    softmax (Ren et al. 2020). Only in training: answers use the plain logits.
    """
    return logits + strength * log_prior


def log_prior(label: NDArray[np.int64], views: int) -> Tensor:
    """Log share of each view among the labels, (views,) float32; 0 for views without labels."""
    return log_share(np.bincount(label, minlength=views))


def log_share(count: NDArray[np.int64] | NDArray[np.float64]) -> Tensor:
    """Log share of each view, (k,) float32, from how many clips of it there are; 0 for views without any."""
    counts = torch.from_numpy(np.asarray(count, np.float32))
    return torch.where(counts > 0, (counts / counts.sum()).log(), 0.0)


def believed(count: NDArray[np.int64] | NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Log shares of views, (k,), that a classifier believes in after training with such logit adjustment."""
    return np.asarray((1 - strength) * log_share(count).double().numpy())


def draw_evenly(label: NDArray[np.int64], size: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """(size,) positions of clips, each view as likely as any other (class-balanced sampling)."""
    views = np.unique(label)
    chosen = views[generator.integers(len(views), size=size)]
    order = np.argsort(label, kind="stable")
    first = np.searchsorted(label[order], chosen)
    count = np.searchsorted(label[order], chosen, side="right") - first
    return np.asarray(order[first + (generator.random(size) * count).astype(np.int64)])


def focal(logits: Tensor, label: Tensor, focusing: float) -> Tensor:
    """Mean of −(1 − p)^γ log p, p the probability of the true view (Lin et al. 2017, arXiv 1708.02002)."""
    log_p = logits.log_softmax(dim=1).gather(1, label[:, None]).squeeze(1)
    left = -torch.expm1(log_p)
    return -(left.clamp(min=1e-6) ** focusing * log_p).mean()  # at 0 the power has no finite slope


def margins(count: NDArray[np.int64], largest: float) -> Tensor:
    """Margins of views, (k,) float32: as 1/n^¼, the rarest's `largest` (LDAM, Cao et al. 2019,
    arXiv 1906.07413, eq. 13); 0 for views without labels.
    """
    counts = torch.from_numpy(np.asarray(count, np.float32))
    margin = torch.where(counts > 0, counts.clamp(min=1) ** -0.25, 0.0)
    return largest * margin / margin.max()


def with_margin(logits: Tensor, label: Tensor, margin: Tensor, scale: float) -> Tensor:
    """Logits (scale × cosine) from whose true view its margin, times the scale, is taken (LDAM, eq. 12)."""
    return logits - scale * F.one_hot(label, logits.shape[1]).to(logits.dtype) * margin


def effective_weights(count: NDArray[np.int64]) -> Tensor:
    """Weights of views, (k,) float32: (1 − β)/(1 − β^n), mean 1 over views with labels, else 0.

    The effective number of samples (Cui et al. 2019, arXiv 1901.05555, eq. 2).
    """
    counts = torch.from_numpy(np.asarray(count, np.float64))
    weight = torch.where(counts > 0, (1 - EFFECTIVE) / (1 - EFFECTIVE ** counts.clamp(min=1)), 0.0)
    return (weight / weight[counts > 0].mean()).float()
