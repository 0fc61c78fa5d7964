"""Crops on the device of their frames, all of a batch at once; on a CPU it is what the other is held to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from apical.learn import texture
from apical.learn.beams import angle_map
from apical.learn.draw import Draws
from apical.learn.placing import Placed
from apical.learn.texture import SPREAD, STRONGEST

BINOMIAL = {3: (0.25, 0.5, 0.25), 5: (0.0625, 0.25, 0.375, 0.25, 0.0625)}


def sent(values: NDArray[Any], device: torch.device) -> Tensor:
    """A copy on the device. A GPU takes it when it comes to it: nobody waits for what it does before."""
    here = torch.from_numpy(values)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here.to(device)


def halved(frames: Tensor, size: int) -> Tensor:
    """Frames (n, T, s, s) uint8, halved by means of four pixels until their side is below twice `size`."""
    while frames.shape[-1] >= 2 * size:
        odd = frames.shape[-1] % 2
        whole = F.pad(frames.float(), (0, odd, 0, odd), mode="replicate")
        frames = (F.avg_pool2d(whole, 2) + 0.5).to(torch.uint8)
    return frames


def render(frames: Tensor, draws: Draws, placed: Placed, size: int) -> Tensor:
    """Render crops as they were drawn; only the draws are copied to the device of the frames.

    Args:
        frames: (n, T, s, s) uint8; the T frames of a crop share all that was drawn.
        draws: for n crops.
        placed: the draws, laid on these frames.
        size: side of a crop in pixels.

    Returns:
        (n, T, size, size) float32, from 0 to 1.
    """
    device = frames.device
    grey = _seen_through(frames, placed.content, size).round()
    x = _looked_up(grey, draws.tone)
    if draws.redraw.any():
        fine = _pieces(_kept(texture.fine_texture, (size,), device), draws.place, size)
        x = _redraw(x, _one_a_crop(draws.redraw, device), fine)
    if draws.blur.any():
        x = torch.where(_one_a_crop(draws.blur, device), _binomial(x, 3), x)
    if placed.faded.any():
        x = x * _stretched(placed.times, size, device)
    if placed.lifted.any():
        x = x + _stretched(placed.plus, size, device)
    if draws.speckle:
        x = x * _pieces(_kept(texture.factors, (size, draws.speckle), device), draws.place, size)
    if placed.shaded.any():
        angles = _kept(angle_map, (), device).float().expand(len(draws), 1, -1, -1)  # no copy a crop
        x = x * _looked_up(_seen_through(angles, placed.beams, size, mode="nearest"), placed.profile)
    return x.clamp(0, 1) * _inside(frames, grey, draws, placed, size)


@functools.lru_cache(maxsize=8)
def _kept(make: Callable[..., NDArray[Any]], arguments: tuple[float, ...], device: torch.device) -> Tensor:
    """What is the same for all batches, copied to the device once."""
    return torch.from_numpy(make(*arguments)).to(device)


def _one_a_crop(values: NDArray[Any], device: torch.device) -> Tensor:
    return sent(values, device).view(-1, 1, 1, 1)


def _seen_through(frames: Tensor, matrix: NDArray[np.float64], size: int, mode: str = "bilinear") -> Tensor:
    """Frames (n, T, s, s) by matrices (n, 2, 3) that take pixels of a crop to theirs; 0 beyond."""
    scaled = matrix * 2 / frames.shape[-1]
    scaled[:, :, 2] += 1 / frames.shape[-1] - 1  # grid_sample counts from -1 to 1, edge to edge
    x, y, one = sent(scaled.astype(np.float32), frames.device)[:, None, None].unbind(-1)
    place = torch.arange(size, device=frames.device, dtype=torch.float32)
    grid = x * place[:, None] + y * place[:, None, None] + one
    return F.grid_sample(frames.float(), grid, mode=mode, padding_mode="zeros", align_corners=False)


def _looked_up(level: Tensor, table: NDArray[np.float32]) -> Tensor:
    """Values of tables (n, 256) at levels (n, T, h, w) from 0 to 255."""
    on_device = sent(table, level.device)
    return on_device.gather(1, level.long().flatten(1)).view(level.shape)


def _pieces(noise: Tensor, place: NDArray[np.int64], size: int) -> Tensor:
    """Pieces of noise that begin at these rows and columns (n, 2): (n, 1, size, size)."""
    begin = sent(place, noise.device)
    span = begin[:, :, None] + torch.arange(size, device=noise.device)
    return noise[span[:, 0, :, None], span[:, 1, None, :]].unsqueeze(1)


def _binomial(x: Tensor, width: Literal[3, 5]) -> Tensor:
    """A binomial low-pass, as shifted sums: a convolution of one channel is ten times slower on a CPU."""
    for axis in (2, 3):
        edges = [width // 2 if axis == side else 0 for side in (3, 3, 2, 2)]
        around = F.pad(x, edges, mode="replicate")
        smooth = torch.zeros_like(x)
        for shift, weight in enumerate(BINOMIAL[width]):
            smooth.add_(around.narrow(axis, shift, x.shape[axis]), alpha=weight)
        x = smooth
    return x


def _redraw(x: Tensor, share: Tensor, fine: Tensor) -> Tensor:
    """As the other renderer's."""
    smooth = _binomial(x, 5)
    old = x - smooth
    strength = (SPREAD * _binomial(old.abs(), 5)).clamp(max=STRONGEST)
    return smooth + (1 - share).sqrt() * old + share.sqrt() * strength * fine


def _stretched(nodes: NDArray[np.float32], size: int, device: torch.device) -> Tensor:
    on_device = sent(nodes, device).unsqueeze(1)
    return F.interpolate(on_device, (size, size), mode="bilinear", align_corners=False)


def _inside(frames: Tensor, grey: Tensor, draws: Draws, placed: Placed, size: int) -> Tensor:
    """Which pixels of crops are inside the sector: (n, T or 1, size, size) bool.

    Those where echoes are; of inverted crops, all up to the frame's outline, which a zoom moves with the
    echoes. The outline that stands still cuts off what a zoom takes beyond it.
    """
    inside = grey > 0
    if draws.inverted.any() or placed.zoomed.any():
        outline = 255.0 * _outlines((frames > 0).any(dim=1)).unsqueeze(1)
        # Without the edge of an inverted sector: it is faint, and would shine.
        core = 255 - F.max_pool2d(255 - outline, 3, stride=1, padding=1)
        moved = _seen_through(core, placed.content, size).round() == 255
        still = _seen_through(outline, placed.outline, size).round() == 255
        inside = torch.where(_one_a_crop(draws.inverted, frames.device), moved, inside)
        inside = inside & (still | ~_one_a_crop(placed.zoomed, frames.device))
    return inside


def _outlines(lit: Tensor) -> Tensor:
    """Sectors (n, s, s) bool without their holes: in each row from the first lit pixel to the last one."""
    place = torch.arange(lit.shape[-1], dtype=torch.int16, device=lit.device)
    first = torch.where(lit, place, len(place)).amin(-1, keepdim=True)
    last = torch.where(lit, place, -1).amax(-1, keepdim=True)
    return (first <= place) & (place <= last)
