"""Crops that differ as two looks at one view differ: batched, and on the device of the frames.

There is no horizontal flip: which side the left ventricle is on is information.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from apical.config import AugmentSettings

MEAN, DEVIATION = 0.15, 0.2  # of a masked echo frame in [0, 1]: close enough to centre the input


def plain(frames: Tensor, size: int) -> Tensor:
    """Whole frames as network input, without augmentation.

    Args:
        frames: (n, s, s) uint8.
        size: side of the result.

    Returns:
        (n, 1, size, size) float32, standardised.
    """
    x = frames.unsqueeze(1).float() / 255
    if size != frames.shape[-1]:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return (x - MEAN) / DEVIATION


def augment(frames: Tensor, size: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """One random crop a frame.

    Args:
        frames: (n, s, s) uint8; what lies outside the sector is 0 and stays black.
        size: side of a crop in pixels.
        settings: strengths.
        generator: randomness, on the device of the frames.

    Returns:
        (n, 1, size, size) float32, standardised.
    """
    draw = _Draw(len(frames), generator)
    x = _crop(frames.unsqueeze(1).float() / 255, size, settings, draw)
    inside = x > 0
    x = _blur(x, settings, draw)
    x = _speckle(x, settings, draw)
    x = _brightness(x, settings, draw)
    x = _shadow(x, settings, draw)
    return (x.clamp(0, 1) * inside - MEAN) / DEVIATION


class _Draw:
    """One random number a frame, shaped (n, 1, 1, 1) to broadcast over a batch of crops."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.shape = (count, 1, 1, 1)
        self.generator = generator

    def between(self, low: float, high: float) -> Tensor:
        unit = torch.rand(self.shape, generator=self.generator, device=self.generator.device)
        return low + (high - low) * unit

    def around_zero(self, half_range: float) -> Tensor:
        return self.between(-half_range, half_range)

    def happens(self, probability: float) -> Tensor:
        return self.between(0, 1) < probability


def _crop(x: Tensor, size: int, settings: AugmentSettings, draw: _Draw) -> Tensor:
    """A square crop, zoomed, shifted within the frame and turned, in one interpolation."""
    scale = draw.between(settings.smallest_crop, 1)
    angle = draw.around_zero(math.radians(settings.rotation_degrees))
    shift_x, shift_y = (draw.around_zero(1) * (1 - scale) for _ in range(2))
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.cat([cos, -sin, shift_x, sin, cos, shift_y], dim=1)
    grid = F.affine_grid(rows.view(-1, 2, 3), [len(x), 1, size, size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _blur(x: Tensor, settings: AugmentSettings, draw: _Draw) -> Tensor:
    """Binomial 3x3, as shifted sums: a convolution of one channel is ten times slower on a CPU."""
    smooth = F.pad(x, (1, 1, 1, 1), mode="replicate")
    smooth = (smooth[:, :, :-2] + smooth[:, :, 2:]) / 4 + smooth[:, :, 1:-1] / 2
    smooth = (smooth[..., :-2] + smooth[..., 2:]) / 4 + smooth[..., 1:-1] / 2
    return torch.where(draw.happens(settings.blur), smooth, x)


def _speckle(x: Tensor, settings: AugmentSettings, draw: _Draw) -> Tensor:
    noise = torch.randn(x.shape, generator=draw.generator, device=x.device)
    return x * (1 + settings.speckle * noise)


def _brightness(x: Tensor, settings: AugmentSettings, draw: _Draw) -> Tensor:
    """Gamma, dynamic range, gain and time-gain compensation, as a sonographer's knobs do."""
    x = x.clamp(min=0) ** draw.around_zero(settings.gamma).exp()
    x = x * (1 + draw.around_zero(settings.dynamic_range)) + draw.around_zero(settings.gain)
    depth = torch.linspace(-1, 1, x.shape[2], device=x.device).view(1, 1, -1, 1)
    return x + depth * draw.around_zero(settings.depth_gain)


def _shadow(x: Tensor, settings: AugmentSettings, draw: _Draw) -> Tensor:
    """A dark wedge from the probe, as a rib throws."""
    side = torch.linspace(-1, 1, x.shape[3], device=x.device)
    angle = torch.atan2(side.view(1, 1, 1, -1), side.view(1, 1, -1, 1) + 1.1)
    centre, width = draw.around_zero(0.7), draw.between(0.05, 0.2)
    strength = draw.between(0.3, 0.9) * draw.happens(settings.shadow)
    return x * (1 - strength * torch.exp(-(((angle - centre) / width) ** 2)))
