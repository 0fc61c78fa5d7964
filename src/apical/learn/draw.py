"""What is random about crops, drawn for a whole batch at once and apart from frames and from rendering.

Two renderers take the same draws (`render_opencv` on a CPU, `render_torch` on a GPU), so crops have one
distribution wherever they are made. Each crop uses up the same random numbers whatever the settings are, so
two settings with one seed differ in what was set and in nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from apical.config import AugmentSettings
from apical.learn.beams import angles
from apical.learn.texture import PERIOD

GRID = 16  # nodes a side of what changes slowly over a crop: the middles of 16 x 16 equal parts
CLUMPS = 4  # of haze, a side of a crop
CONTRAST_BLOOD, CONTRAST_RANGE = 0.75, 0.65  # with contrast agent 0 becomes the one, and 1 less by the other
LEVELS = np.linspace(0, 1, 256, dtype=np.float32)
with np.errstate(divide="ignore"):
    LOG_LEVELS = np.log(LEVELS)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Draws:
    """What was drawn for n crops, in the order in which it is rendered.

    Attributes:
        steps: (n, 2, 2) float64, pixels of the frame that a pixel to the right and one down in the crop are:
            columns of a matrix.
        rest: (n,) float64, share of a frame's side that the crop leaves out.
        point: (n, 2) float64, of the sector, that the crop is moved towards: share of the reach, and of the
            half-angle from -1 to 1.
        zoom: (n,) float64, of the echoes, about the probe.
        inverted: (n,) bool, whether bright and dark change places.
        tone: (n, 256) float32, brightness of each grey level: polarity, gamma, dynamic range and gain.
        redraw: (n,) float32, share of the fine texture's power that is drawn anew.
        blur: (n,) bool.
        slope: (n,) float32, brightness that is taken at the probe and given where beams end.
        haze: (n, 16, 16) float32, of the veil, before it fades with depth.
        kept: (n, 16, 16) float32, share that dropout leaves.
        lost: (n,) bool, whether any of `kept` is not 1.
        speckle: standard deviation of the factor.
        place: (n, 2) int64, row and column of the noise at which a crop's piece begins.
        shade: (n, 256) float32, factor by angle: shadow.
        shaded: (n,) bool, whether any of `shade` is not 1.
        cut: (n, 2) float64, share of the half-angle that is cut off on the left and on the right.
    """

    steps: Doubles
    rest: Doubles
    point: Doubles
    zoom: Doubles
    inverted: Flags
    tone: Floats
    redraw: Floats
    blur: Flags
    slope: Floats
    haze: Floats
    kept: Floats
    lost: Flags
    speckle: float
    place: NDArray[np.int64]
    shade: Floats
    shaded: Flags
    cut: Doubles

    def __len__(self) -> int:
        return len(self.tone)

    def select(self, rows: NDArray[np.int64]) -> Draws:
        """Those of some crops."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Draws(**{name: part if name == "speckle" else part[rows] for name, part in parts.items()})


def working_side(side: int, size: int) -> int:
    """Side of frames that are halved, for crops not to alias, until it is below twice the crops' `size`."""
    while side >= 2 * size:
        side = (side + 1) // 2
    return side


def draw(
    count: int, side: int, size: int, settings: AugmentSettings, generator: np.random.Generator
) -> Draws:
    """Draw crops.

    Args:
        count: of crops.
        side: of stored frames in pixels.
        size: side of a crop in pixels.
        settings: strengths.
        generator: all randomness.
    """
    unit = _Uniform(count, generator)
    steps, rest = _steps(working_side(side, size) / size, settings, unit)
    point = np.stack(
        [np.sqrt(unit.between(0, 1)), unit.around_zero(1)], axis=1
    )  # uniform over a sector's area
    zoom = np.exp(unit.around_zero(settings.depth))
    inverted, tone = _tone(settings, unit)
    shade, shaded = _shadow(settings, unit)
    kept, lost = _dropout(settings, unit)
    return Draws(
        steps=steps,
        rest=rest,
        point=point,
        zoom=zoom,
        inverted=inverted,
        tone=tone,
        redraw=unit.between(0, settings.redraw).astype(np.float32),
        blur=unit.happens(settings.blur),
        slope=unit.around_zero(settings.depth_gain).astype(np.float32),
        haze=_haze(settings, unit),
        kept=kept,
        lost=lost,
        speckle=settings.speckle,
        place=np.stack([unit.between(0, PERIOD), unit.between(0, PERIOD)], axis=1).astype(np.int64),
        shade=shade,
        shaded=shaded,
        cut=np.stack([unit.between(0, settings.narrow) for _ in range(2)], axis=1),
    )


class _Uniform:
    """Independent uniform numbers, one a crop at a time."""

    def __init__(self, count: int, generator: np.random.Generator) -> None:
        self.count, self.generator = count, generator

    def between(self, low: float, high: float) -> Doubles:
        return low + (high - low) * self.generator.random(self.count)

    def around_zero(self, half_range: float) -> Doubles:
        return self.between(-half_range, half_range)

    def happens(self, probability: float) -> Flags:
        return self.generator.random(self.count) < probability


def _steps(ratio: float, settings: AugmentSettings, unit: _Uniform) -> tuple[Doubles, Doubles]:
    """A crop that is enlarged, turned, sheared and mirrored; `ratio` is frame by crop, in pixels a side."""
    scale = unit.between(settings.smallest_crop, 1)
    turn = unit.around_zero(math.radians(settings.rotation_degrees))
    shear = unit.around_zero(settings.shear)
    mirror = np.where(unit.happens(settings.flip), -1.0, 1.0)
    cos, sin = scale * ratio * np.cos(turn), scale * ratio * np.sin(turn)
    steps = np.stack([mirror * cos, shear * cos - sin, mirror * sin, shear * sin + cos], axis=1)
    return steps.reshape(-1, 2, 2), 1 - scale


def _tone(settings: AugmentSettings, unit: _Uniform) -> tuple[Flags, Floats]:
    """Contrast agent, then the sonographer's knobs: gamma, dynamic range and gain, in one table a crop."""
    inverted = unit.happens(settings.polarity)
    gamma = np.exp(unit.around_zero(settings.gamma)).astype(np.float32)
    factor = 1 + unit.around_zero(settings.dynamic_range).astype(np.float32)
    gain = unit.around_zero(settings.gain).astype(np.float32)
    logs = np.broadcast_to(LOG_LEVELS, (unit.count, 256))
    if inverted.any():
        logs = np.where(inverted[:, None], np.log(CONTRAST_BLOOD - CONTRAST_RANGE * LEVELS), logs)
    return inverted, np.exp(gamma[:, None] * logs) * factor[:, None] + gain[:, None]


def _shadow(settings: AugmentSettings, unit: _Uniform) -> tuple[Floats, Flags]:
    """A dark wedge from the probe, as a rib throws: factor by angle, and where there is one."""
    centre, width, strength = unit.around_zero(0.7), unit.between(0.05, 0.2), unit.between(0.3, 0.9)
    shaded = unit.happens(settings.shadow)
    shade = np.ones((unit.count, 256), np.float32)
    if shaded.any():
        c, w, much = (part[shaded, None].astype(np.float32) for part in (centre, width, strength))
        shade[shaded] -= much * np.exp(-(((angles() - c) / w) ** 2))
    return shade, shaded


def _dropout(settings: AugmentSettings, unit: _Uniform) -> tuple[Floats, Flags]:
    """A soft spot where echoes are lost: the share that is left, and where there is one."""
    lost = unit.happens(settings.dropout)
    x, y = unit.between(0.15, 0.85), unit.between(0.15, 0.85)
    radius, strength = unit.between(0.1, 0.25), unit.between(0.5, 1)
    kept = np.ones((unit.count, GRID, GRID), np.float32)
    if lost.any():
        nodes = (np.arange(GRID) + 0.5) / GRID
        across, down = (np.exp(-(((nodes - c[lost, None]) / radius[lost, None]) ** 2)) for c in (x, y))
        kept[lost] -= strength[lost, None, None] * down[:, :, None] * across[:, None, :]
    return kept, lost


def _haze(settings: AugmentSettings, unit: _Uniform) -> Floats:
    """A veil of brightness between 0 and the largest one, uneven: linear between 4 x 4 random nodes."""
    veil = unit.between(0, settings.haze)
    clumps = np.stack([unit.between(0.4, 1) for _ in range(CLUMPS**2)], axis=1)
    if settings.haze == 0:
        return np.zeros((unit.count, GRID, GRID), np.float32)
    places = np.linspace(0, CLUMPS - 1, GRID)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(CLUMPS))).astype(np.float32)
    nodes = (veil[:, None] * clumps).astype(np.float32).reshape(-1, CLUMPS, CLUMPS)
    return np.asarray(weights @ nodes @ weights.T, np.float32)
