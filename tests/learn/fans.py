"""Frames as a frame store holds them: a sector of noise in the middle of a square, 0 around it."""

import numpy as np

from apical.config import AugmentSettings

HALF_ANGLE = 0.7

NOTHING = AugmentSettings(
    smallest_crop=1, rotation_degrees=0, gain=0, dynamic_range=0, gamma=0, depth_gain=0, speckle=0, blur=0,
    shadow=0, depth=0, dropout=0,
)  # fmt: skip
EVERYTHING = AugmentSettings(
    smallest_crop=0.5, rotation_degrees=20, shear=0.2, depth=0.3, narrow=0.3, flip=0.5, polarity=0.3,
    redraw=0.5, haze=0.5, shadow=0.5, dropout=0.5,
)  # fmt: skip


def only(**changes):
    """Settings with nothing on but `changes`."""
    return NOTHING.model_copy(update=changes)


def fan(side=80, seed=0, least=1):
    """(side, side) uint8; noise of at least `least` in a sector, whose box touches both sides."""
    reach = side / 2 / np.sin(HALF_ANGLE)
    y, x = np.mgrid[:side, :side] - np.array([(side - 1 - reach) / 2, (side - 1) / 2])[:, None, None]
    noise = np.random.default_rng(seed).integers(least, 256, (side, side))
    return (noise * ((np.hypot(x, y) <= reach) & (np.abs(np.arctan2(x, y)) <= HALF_ANGLE))).astype(np.uint8)


def fans(count=6, side=80, frames=1, **changes):
    """(count, frames, side, side) uint8, all different."""
    several = [fan(side, seed, **changes) for seed in range(count * frames)]
    return np.stack(several).reshape(count, frames, side, side)
