"""Crops that differ as two looks at one view differ: what a probe, a machine and a sonographer change.

What is random is drawn (`draw`) and rendered where the network is: by OpenCV on a CPU, by torch on a GPU.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from apical.config import AugmentSettings
from apical.learn import render_opencv, render_torch
from apical.learn.beams import sectors
from apical.learn.draw import Draws, draw, working_side
from apical.learn.placing import Placed, placed

MEAN, DEVIATION = 0.15, 0.2  # of a masked echo frame in [0, 1]: close enough to centre the input


def plain(frames: Tensor, size: int) -> Tensor:
    """Whole frames as network input, without augmentation.

    Args:
        frames: (n, T, s, s) uint8.
        size: side of the result.

    Returns:
        (n, T, size, size) float32, standardised.
    """
    x = frames.float() / 255
    if size != frames.shape[-1]:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return (x - MEAN) / DEVIATION


def augment(
    frames: NDArray[np.uint8] | Tensor,
    size: int,
    settings: AugmentSettings,
    generator: np.random.Generator,
    device: torch.device,
) -> Tensor:
    """One random crop of each clip: its frames are changed alike.

    Args:
        frames: (n, T, s, s) uint8, array or tensor; what lies outside the sector is 0 and stays black.
        size: side of a crop in pixels.
        settings: strengths.
        generator: all randomness, so that it is the same for every device.
        device: where the crops are wanted.

    Returns:
        (n, T, size, size) float32, standardised, on `device`.
    """
    draws = draw(len(frames), frames.shape[-1], size, settings, generator)
    return render(frames, draws, size, device)


def laid(frames: NDArray[np.uint8] | Tensor, draws: Draws, size: int) -> Placed:
    """How crops of a size, as they were drawn, lie on frames (n, T, s, s), which are looked at by the CPU."""
    first = frames[:, 0]
    found = sectors(first.cpu().numpy() if isinstance(first, Tensor) else first)
    return placed(draws, found, working_side(frames.shape[-1], size), size)


def render(
    frames: NDArray[np.uint8] | Tensor,
    draws: Draws,
    size: int,
    device: torch.device,
    lie: Placed | None = None,
) -> Tensor:
    """Crops as they were drawn, standardised; on every device the same but for roundings.

    Args:
        frames: (n, T, s, s) uint8, array or tensor; one on a GPU is waited for, unless `lie` is given.
        draws: for n crops of this size from frames of this side.
        size: side of a crop in pixels.
        device: where the crops are wanted.
        lie: how they lie on these frames, where that is known.

    Returns:
        (n, T, size, size) float32, standardised, on `device`.
    """
    lie = lie or laid(frames, draws, size)
    if device.type == "cpu":
        host = frames.cpu().numpy() if isinstance(frames, Tensor) else frames
        crops = render_opencv.render(render_opencv.halved(host, size), draws, lie, size)
        crops -= MEAN  # by NumPy: torch would start threads, and a batch may be made by one of several
        crops /= DEVIATION
        return torch.from_numpy(crops)
    there = (
        frames.to(device, non_blocking=True)
        if isinstance(frames, Tensor)
        else render_torch.sent(frames, device)
    )
    on_device = render_torch.render(render_torch.halved(there, size), draws, lie, size)
    return on_device.sub_(MEAN).div_(DEVIATION)
