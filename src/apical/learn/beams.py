"""Where the beams lie in a stored frame: its probe and its angles.

A stored frame is a square with the sector's box in its middle, filling the longer side, and 0 outside the
sector (`apical.ingest.prepare`). The probe is taken to be in the middle of the box's upper side.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WIDEST = 1.2  # radians from straight down; no sector reaches further
MAP_SIDE, MAP_PER_FRAME = 512, 256  # pixels of the map of angles, and pixels of it a side of a frame
MAP_PROBE = (255.5, 127.5)  # where the probe is in the map: x, y


@dataclass(frozen=True)
class Sectors:
    """What n frames show, as shares of a frame's side, from its upper edge and from its middle.

    Attributes:
        top: (n,) float64, from the upper edge down to the probe.
        reach: (n,) float64, of the beam straight down.
        half_width: (n,) float64, of the box.
        half_angle: (n,) float64, radians from straight down to the outermost beam.
    """

    top: NDArray[np.float64]
    reach: NDArray[np.float64]
    half_width: NDArray[np.float64]
    half_angle: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.top)


def sectors(frames: NDArray[np.uint8]) -> Sectors:
    """Where the sectors lie, by which pixels are lit; a black frame counts as wholly lit.

    Boxes are in the middle of their squares, so the wider margin of two is a black-out and not believed.

    Args:
        frames: (n, s, s) uint8.
    """
    side = frames.shape[-1]
    boxes = np.array([cv2.boundingRect(frame) for frame in frames]).reshape(-1, 4)
    left, above, width, height = boxes.T
    margin_x = np.minimum(left, side - left - width)
    margin_y = np.minimum(above, side - above - height)
    number = np.arange(len(frames))
    edges = np.stack([frames[number, :, left], frames[number, :, left + width - 1]])
    corner = (edges > 0).argmax(axis=-1).min(axis=0)  # where the outermost beam meets the side of the box
    half_width = side / 2 - margin_x
    return Sectors(
        top=margin_y / side,
        reach=1 - 2 * margin_y / side,
        half_width=half_width / side,
        half_angle=np.arctan2(half_width, np.maximum(corner - margin_y, 0)),
    )


@functools.cache
def angle_map() -> NDArray[np.uint8]:
    """The beam that a point lies on, by its place relative to the probe: (512, 512) uint8.

    0 to 255 are the angles -`WIDEST` to `WIDEST`, from left to right; the probe is at `MAP_PROBE`.
    """
    y, x = np.mgrid[:MAP_SIDE, :MAP_SIDE].astype(np.float64)
    angle = np.arctan2(x - MAP_PROBE[0], y - MAP_PROBE[1])
    level: Any = np.rint((angle / WIDEST + 1) / 2 * 255).clip(0, 255)
    return np.asarray(level, np.uint8)


@functools.cache
def angles() -> NDArray[np.float32]:
    """The angles, in radians, that the values of `angle_map` stand for: (256,) float32."""
    return np.linspace(-WIDEST, WIDEST, 256, dtype=np.float32)
