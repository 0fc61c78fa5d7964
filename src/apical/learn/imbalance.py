"""Fairness to rare views."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def adjusted(logits: Tensor, log_prior: Tensor, strength: float) -> Tensor:
    """Logits as the loss must see them for the classifier to be fair to rare views.

    Logit adjustment (Menon et al. 2021, arXiv 2007.07314, eq. 10), which for strength 1 is balanced
    softmax (Ren et al. 2020). Only in training: answers use the plain logits.
    """
    return logits + strength * log_prior


def log_prior(label: NDArray[np.int64], views: int) -> Tensor:
    """Log share of each view among the labels, (views,) float32; 0 for views without labels."""
    count = torch.from_numpy(np.bincount(label, minlength=views)).float()
    return torch.where(count > 0, (count / count.sum()).log(), 0.0)
