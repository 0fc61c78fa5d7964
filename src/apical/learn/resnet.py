"""Residual networks for one grey frame (He et al. 2016, arXiv 1512.03385)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from apical.config import ResNetSettings
from apical.learn.encoder import Encoder

Norm = Literal["batch", "group"]

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
EXPANSION = 4  # of a bottleneck: channels out for each channel inside
CHANNELS_A_GROUP = 8
NARROW = 16  # channels below which CPUs need `NarrowPointwise`


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Statistics over the batch, or over groups of at least eight channels of one crop.

    Group norm is that of Wu & He 2018 (arXiv 1803.08494). Fewer than eight channels are one group.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    most = max(1, channels // CHANNELS_A_GROUP)
    groups = next(count for count in range(most, 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)


def _last_norm(norm: Norm, channels: int) -> nn.Module:
    """The norm before the sum; at 0, so that a block starts as the identity (Goyal et al. 2017)."""
    layer = norm_layer(norm, channels)
    nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
    return layer


class NarrowPointwise(nn.Conv2d):
    """A 1x1 convolution with a stride: the pixels are taken out first.

    oneDNN 3.12, which torch uses on CPUs, writes beyond its memory in the gradient of a strided one of fewer
    than 16 channels in channels-last layout (uxlfoundation/oneDNN issue 6035).
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__(channels_in, channels, 1, bias=False)
        self.every = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) → (n, channels, h/stride, w/stride)."""
        return super().forward(x[:, :, :: self.every, :: self.every])


def _shortcut(channels_in: int, channels: int, stride: int, norm: Norm) -> nn.Module:
    """The identity, or a 1x1 convolution where the shape changes."""
    if stride == 1 and channels_in == channels:
        return nn.Identity()
    pointwise = (
        NarrowPointwise(channels_in, channels, stride)
        if channels_in < NARROW
        else nn.Conv2d(channels_in, channels, 1, stride, bias=False)
    )
    return nn.Sequential(pointwise, norm_layer(norm, channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = norm_layer(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = _last_norm(norm, channels)
        self.shortcut = _shortcut(channels_in, channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) → (n, channels, h/stride, w/stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride is in the 3x3, so no pixel is skipped."""

    def __init__(self, channels_in: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        inside = channels // EXPANSION
        self.conv1 = nn.Conv2d(channels_in, inside, 1, bias=False)
        self.norm1 = norm_layer(norm, inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, padding=1, bias=False)
        self.norm2 = norm_layer(norm, inside)
        self.conv3 = nn.Conv2d(inside, channels, 1, bias=False)
        self.norm3 = _last_norm(norm, channels)
        self.shortcut = _shortcut(channels_in, channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) → (n, channels, h/stride, w/stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


class ResNet(Encoder):
    """Grey crops, (n, 1, h, w) float, → features, (n, features); any size."""

    def __init__(self, settings: ResNetSettings) -> None:
        super().__init__()
        width, norm = settings.width, settings.norm
        stem: list[nn.Module] = [
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False),
            norm_layer(norm, width),
            nn.ReLU(),
        ]
        if settings.stem_stride == 4:
            stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.stem = nn.Sequential(*stem)
        make, expansion = (Bottleneck, EXPANSION) if settings.depth == 50 else (BasicBlock, 1)
        blocks: list[nn.Module] = []
        channels_in = width
        for stage, count in enumerate(BLOCKS[settings.depth]):
            channels = expansion * width << stage
            for block in range(count):
                blocks.append(make(channels_in, channels, 2 if stage and not block else 1, norm))
                channels_in = channels
        self.blocks = nn.Sequential(*blocks)
        self.features = channels_in

    def forward(self, x: Tensor) -> Tensor:
        """Average over the last feature map."""
        y: Tensor = self.blocks(self.stem(x))
        return y.mean(dim=(2, 3))
