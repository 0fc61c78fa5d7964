"""A sprite: the frames of a clip side by side in one grey JPEG, which a page plays as a cine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray

UNKNOWN_MS = 50.0  # between two frames as filmed, where the file does not tell


@dataclass(frozen=True)
class Sprite:
    """Frames in a grid, row by row from the upper left; places behind the last one are black.

    Attributes:
        jpeg: the grid, a grey JPEG without metadata.
        frames: how many.
        columns: of the grid.
        side: of a frame in pixels.
        ms: from one frame to the next, so that the clip plays as fast as it was filmed.
        source: ``store``: few frames, from the frame store; ``file``: decoded from the clip's file.
    """

    jpeg: bytes
    frames: int
    columns: int
    side: int
    ms: float
    source: Literal["store", "file"]


def make_sprite(
    frames: NDArray[np.uint8], ms: float, source: Literal["store", "file"], quality: int
) -> Sprite:
    """Lay out frames, (F, S, S) uint8, in a grid about as wide as high, and pack it at a JPEG quality."""
    count, side = len(frames), frames.shape[1]
    columns = math.ceil(math.sqrt(count))
    grid = np.zeros((math.ceil(count / columns) * side, columns * side), np.uint8)
    for number, frame in enumerate(frames):
        top, left = number // columns * side, number % columns * side
        grid[top : top + side, left : left + side] = frame
    return Sprite(grey_jpeg(grid, quality), count, columns, side, ms, source)


def grey_jpeg(picture: NDArray[np.uint8], quality: int) -> bytes:
    """A picture, (rows, columns) uint8, as a grey JPEG."""
    whole = np.ascontiguousarray(picture)[..., None]
    return bytes(simplejpeg.encode_jpeg(whole, quality, colorspace="GRAY", colorsubsampling="Gray"))


def milliseconds(numbers: list[int], frame_time_ms: float | None) -> float:
    """From one frame to the next, on average, of frames with these numbers in the clip, rising.

    A single frame is as long as it was filmed.
    """
    step = (numbers[-1] - numbers[0]) / (len(numbers) - 1) if len(numbers) > 1 else 1.0
    return step * (frame_time_ms or UNKNOWN_MS)
