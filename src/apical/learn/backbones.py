"""Encoders: small one-channel residual networks (He et al. 2016, arXiv 1512.03385)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apical.config import EncoderSettings

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm2.weight)  # start as the identity (Goyal et al. 2017)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) → (n, channels, h/stride, w/stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Encoder(nn.Module):
    """Grey crops, (n, 1, h, w) float, → features, (n, features)."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        width = settings.width
        stem: list[nn.Module] = [
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        if settings.stem_stride == 4:
            stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.stem = nn.Sequential(*stem)
        blocks: list[nn.Module] = []
        channels_in = width
        for stage, count in enumerate(BLOCKS[settings.depth]):
            channels = width << stage
            for block in range(count):
                blocks.append(BasicBlock(channels_in, channels, stride=2 if stage and not block else 1))
                channels_in = channels
        self.blocks = nn.Sequential(*blocks)
        self.features = channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Average over the last feature map."""
        y: Tensor = self.blocks(self.stem(x))
        return y.mean(dim=(2, 3))


def channels_last(module: nn.Module) -> nn.Module:
    """Lay out a network's kernels as CPUs and GPUs convolve them fastest; changes the module itself."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def projection_head(features: int, width: int) -> nn.Sequential:
    """The two-layer head that pre-training uses and then throws away (Chen et al. 2020)."""
    return nn.Sequential(
        nn.Linear(features, features, bias=False),
        nn.BatchNorm1d(features),
        nn.ReLU(),
        nn.Linear(features, width),
    )
