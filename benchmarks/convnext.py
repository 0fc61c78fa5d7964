"""ConvNeXt-base, the network of a rival: a classifier of a clip's first frame, as EchoPrime has one.

Liu et al., "A ConvNet for the 2020s", CVPR 2022 (arXiv 2201.03545), table 9: blocks 3, 3, 27, 3 of 128 to
1024 channels; 224 × 224 pixels of three channels. Its weights are random: only its time is measured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DEPTHS, WIDTHS = (3, 3, 27, 3), (128, 256, 512, 1024)
SIZE, VIEWS = 224, 11


class Norm(nn.LayerNorm):
    """Over the channels of (n, c, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Depthwise 7 × 7, then four times as wide and back, around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.wide = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.narrow, self.scale = nn.Linear(4 * width, width), nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        y = self.norm(self.mix(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(nn.functional.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext_base() -> nn.Module:
    """The network with random weights, in evaluation mode: (n, 3, 224, 224) → logits (n, 11)."""
    parts: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 4, stride=4), Norm(WIDTHS[0])]
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        if stage:
            parts += [Norm(WIDTHS[stage - 1]), nn.Conv2d(WIDTHS[stage - 1], width, 2, stride=2)]
        parts += [Block(width) for _ in range(depth)]
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(WIDTHS[-1]), nn.Linear(WIDTHS[-1], VIEWS)]
    return nn.Sequential(*parts).eval().to(memory_format=torch.channels_last)
