"""Networks by their settings: encoders, which stay, and heads, which pre-training throws away."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from apical.config import (
    ClipEncoderSettings,
    EncoderSettings,
    FrameEncoderSettings,
    ResNetSettings,
    ViTSettings,
)
from apical.learn.clip_encoder import ClipEncoder
from apical.learn.encoder import Encoder
from apical.learn.resnet import ResNet
from apical.learn.timm_encoder import timm_encoder
from apical.learn.vit import ViT

__all__ = ["Encoder", "build_encoder", "channels_last", "prediction_head", "projection_head"]

HeadNorm = Literal["batch", "layer"]


def build_encoder(settings: EncoderSettings) -> Encoder:
    """An encoder with random weights, drawn from torch's global generator.

    Raises:
        WrongCall: the heads do not divide the width, or timm has no network of that name.
        CannotDo: timm is wanted and not installed.
    """
    if isinstance(settings, ClipEncoderSettings):
        return ClipEncoder(
            _frame_encoder(settings.of_frame),
            frames=settings.frames,
            layers=settings.layers,
            heads=settings.heads,
        )
    return _frame_encoder(settings)


def _frame_encoder(settings: FrameEncoderSettings) -> Encoder:
    if isinstance(settings, ResNetSettings):
        return ResNet(settings)
    if isinstance(settings, ViTSettings):
        return ViT(settings)
    return timm_encoder(settings)


def channels_last(module: nn.Module) -> nn.Module:
    """Lay out a network's kernels as CPUs and GPUs convolve them fastest; changes the module itself."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def projection_head(features: int, width: int, norm: HeadNorm = "batch") -> nn.Sequential:
    """The two-layer head that pre-training uses and then throws away (Chen et al. 2020, arXiv 2002.05709).

    Args:
        features: of the encoder.
        width: of the embeddings.
        norm: over the batch, or over each crop's own units (layer), so that a crop's embedding depends on no
            other crop.
    """
    return _two_layers(features, features, width, norm)


def prediction_head(width: int, norm: HeadNorm = "batch") -> nn.Sequential:
    """The head that tells a target's embedding from the online one (Grill et al. 2020, arXiv 2006.07733).

    Embeddings (n, width) → (n, width). The hidden layer is four times as wide; theirs is sixteen times, for
    embeddings of 256.
    """
    return _two_layers(width, 4 * width, width, norm)


def _two_layers(width_in: int, hidden: int, width: int, norm: HeadNorm) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width_in, hidden, bias=False),
        nn.BatchNorm1d(hidden) if norm == "batch" else nn.LayerNorm(hidden),
        nn.ReLU(),
        nn.Linear(hidden, width),
    )
