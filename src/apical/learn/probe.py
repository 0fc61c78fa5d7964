"""The probe: a linear classifier on frozen features, fitted to its optimum."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from apical.config import TrainSettings
from apical.learn.classifier import Classifier, classify_windows
from apical.learn.clips import Clips
from apical.learn.imbalance import log_prior
from apical.learn.windows import windows


def fit_probe(classifier: Classifier, teaching: Clips, settings: TrainSettings, device: torch.device) -> None:
    """Fit the linear layer alone, on features of whole frames, to the optimum of a convex loss.

    Multinomial logistic regression with logit adjustment: mean cross-entropy over the frames plus
    `probe_penalty` times the squared norm of the weights, for features scaled to unit variance.
    """
    clip, rows = windows(teaching.first, teaching.count, classifier.encoder.frames, all_of_clip=True)
    features, _ = classify_windows(classifier, teaching.read(rows), settings.input_size, device)
    label = torch.from_numpy(teaching.label[clip])
    prior = log_prior(label.numpy(), len(classifier.taught)).double()
    mean, deviation = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
    weight, bias = fit_linear(
        ((features - mean) / deviation).double(),
        label,
        settings.adjustment * prior,
        classifier.taught.cpu(),
        settings.probe_penalty,
    )
    with torch.no_grad():
        classifier.head.weight.copy_(weight / deviation)
        classifier.head.bias.copy_(bias - weight @ (mean / deviation).double())


def fit_linear(
    features: Tensor, label: Tensor, offset: Tensor, taught: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy(features @ W.T + b + offset, label) + penalty · |W|², by L-BFGS.

    Args:
        features: (n, d) float64.
        label: (n,) int64 below k.
        offset: (k,) added to the logits in training only.
        taught: (k,) bool; the other views keep zero weights and are left out of the softmax.
        penalty: weight of the squared norm.

    Returns:
        W (k, d) and b (k,), float64.
    """
    weight = torch.zeros(len(taught), features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(taught), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=500, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = (features @ weight.T + bias + offset).masked_fill(~taught, -torch.inf)
        value = F.cross_entropy(logits, label) + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()
