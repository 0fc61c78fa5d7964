"""Draws laid on frames: which pixel of a crop is which of its frame, and what lies on which beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apical.learn.beams import MAP_PER_FRAME, MAP_PROBE, Sectors, angles
from apical.learn.draw import GRID, Draws

Floats = NDArray[np.float32]
Matrices = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Placed:
    """How n crops lie on their frames. Matrices are (n, 2, 3) float64 and take (x, y, 1), pixel to pixel.

    Attributes:
        content: pixels of a crop to pixels of its frame, where the echoes come from.
        outline: the same without the zoom about the probe, where the outline and the beams come from.
        beams: pixels of a crop to pixels of `apical.learn.beams.angle_map`.
        zoomed: (n,) bool, whether `content` and `outline` differ.
        times, plus: (n, 16, 16) float32, factor and summand that change slowly over a crop.
        faded, lifted: (n,) bool, whether any of `times` is not 1; whether any of `plus` is not 0.
        profile: (n, 256) float32, factor by angle: shadow, and beams that are cut off.
        shaded: (n,) bool, whether any of `profile` is not 1.
    """

    content: Matrices
    outline: Matrices
    beams: Matrices
    zoomed: Flags
    times: Floats
    plus: Floats
    faded: Flags
    lifted: Flags
    profile: Floats
    shaded: Flags


def placed(draws: Draws, sectors: Sectors, side: int, size: int) -> Placed:
    """Lay draws on frames.

    A crop's place in its frame is that of a random point of the sector, uniform over its area: the smaller a
    crop, the nearer its middle is to that point. So no crop shows mostly what is outside.

    Args:
        draws: for n crops.
        sectors: where the sectors lie in their frames.
        side: of the frames as they are rendered, see `apical.learn.draw.working_side`.
        size: side of a crop in pixels.
    """
    middle, top, reach = (side - 1) / 2, sectors.top * side - 0.5, sectors.reach * side
    radius, angle = reach * draws.point[:, 0], sectors.half_angle * draws.point[:, 1]
    furthest = sectors.half_width * side
    x = np.clip(radius * np.sin(angle), -furthest, furthest)
    y = top + radius * np.cos(angle) - middle
    outline = np.empty((len(draws), 2, 3))
    outline[:, :, :2] = draws.steps
    outline[:, :, 2] = middle + draws.rest[:, None] * np.stack([x, y], axis=1)
    outline[:, :, 2] -= draws.steps.sum(axis=2) * (size - 1) / 2
    probe = np.stack([np.full(len(draws), middle), top], axis=1)
    from_probe = outline.copy()
    from_probe[:, :, 2] -= probe
    content = from_probe / draws.zoom[:, None, None]
    content[:, :, 2] += probe
    beams = from_probe * (MAP_PER_FRAME / side)
    beams[:, :, 2] += MAP_PROBE
    times, plus, faded, lifted = _slow_fields(draws, from_probe / reach[:, None, None], size)
    profile, shaded = _profile(draws, sectors)
    return Placed(content, outline, beams, draws.zoom != 1, times, plus, faded, lifted, profile, shaded)


def _slow_fields(draws: Draws, beams: Matrices, size: int) -> tuple[Floats, Floats, Flags, Flags]:
    """Depth gain, haze and dropout: factor, summand, and where there is either.

    `beams` takes pixels of a crop to places relative to the probe, in reaches of the beams.
    """
    sloped, hazy = draws.slope != 0, draws.haze.any(axis=(1, 2))
    times, plus = draws.kept, np.zeros_like(draws.kept)
    if sloped.any() or hazy.any():
        depth = _depth(beams, size)
        plus = draws.slope[:, None, None] * (2 * depth - 1)
        if hazy.any():  # powers of echoes add up: a veil lifts dark places more than bright ones
            haze = draws.haze * np.exp(-2 * depth)
            times = times * (1 - haze)
            plus += haze
        plus *= draws.kept
    return times, plus, draws.lost | hazy, sloped | hazy


def _depth(beams: Matrices, size: int) -> Floats:
    """Distance of the grid's nodes from the probe, in reaches: (n, 16, 16)."""
    nodes = ((np.arange(GRID) + 0.5) / GRID * size - 0.5).astype(np.float32)
    right, down, one = np.moveaxis(beams.astype(np.float32), 2, 0)[..., None]  # (n, 2, 1) each
    (x, y), (x_down, y_down) = (np.moveaxis(part, 1, 0) for part in (right * nodes + one, down * nodes))
    squared = (x[:, None, :] + x_down[:, :, None]) ** 2 + (y[:, None, :] + y_down[:, :, None]) ** 2
    return np.asarray(np.sqrt(squared), np.float32)


def _profile(draws: Draws, sectors: Sectors) -> tuple[Floats, Flags]:
    """Shadow, and a narrower sector: factor by angle, and where it matters."""
    if not draws.cut.any():
        return draws.shade, draws.shaded
    left, right = ((1 - draws.cut) * sectors.half_angle[:, None]).T
    shown = (angles() >= -left[:, None]) & (angles() <= right[:, None])
    return draws.shade * shown, np.ones_like(draws.shaded)
