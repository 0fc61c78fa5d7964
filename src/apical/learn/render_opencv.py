"""Crops on a CPU: one after another, small enough to stay in its cache, by OpenCV and NumPy."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.learn import texture
from apical.learn.beams import angle_map
from apical.learn.draw import Draws
from apical.learn.placing import Placed
from apical.learn.texture import SPREAD, STRONGEST

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
SEEN_THROUGH = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP  # what a matrix takes a pixel of the result to
NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP  # half the time; beams are finer than the crop's pixels


def halved(frames: Bytes, size: int) -> Bytes:
    """Frames (n, T, s, s), halved by means of four pixels until their side is below twice `size`."""
    while frames.shape[-1] >= 2 * size:
        if frames.shape[-1] % 2:
            frames = np.pad(frames, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge")
        side = frames.shape[-1]
        tall = frames.reshape(-1, side)  # all in one picture: as sides are even, no mean is of two frames
        halves = cv2.resize(tall, (side // 2, len(tall) // 2), interpolation=cv2.INTER_AREA)
        frames = np.asarray(halves, np.uint8).reshape(*frames.shape[:2], side // 2, side // 2)
    return frames


def render(frames: Bytes, draws: Draws, placed: Placed, size: int) -> Floats:
    """Render crops as they were drawn.

    Args:
        frames: (n, T, s, s) uint8; the T frames of a crop share all that was drawn.
        draws: for n crops.
        placed: the draws, laid on these frames.
        size: side of a crop in pixels.

    Returns:
        (n, T, size, size) float32, from 0 to 1.
    """
    crops = np.zeros((*frames.shape[:2], size, size), np.float32)
    fine = texture.fine_texture(size) if draws.redraw.any() else None
    speckle = texture.factors(size, draws.speckle) if draws.speckle else None
    insides = _insides(frames, draws, placed, size)
    blur, redraw, inverted = draws.blur.tolist(), draws.redraw.tolist(), draws.inverted.tolist()
    shape = (size, size)
    grey, (x, other) = np.empty(shape, np.uint8), np.empty((2, *shape), np.float32)
    for number, (row, column) in enumerate(draws.place.tolist()):
        piece = slice(row, row + size), slice(column, column + size)
        times, plus, shade = _fields(placed, number, size)
        inside = insides.get(number)
        for frame, crop in zip(frames[number], crops[number], strict=True):
            cv2.warpAffine(frame, placed.content[number], shape, grey, SEEN_THROUGH)
            cv2.LUT(grey, draws.tone[number], x)
            if fine is not None:
                _redraw(x, redraw[number], fine[piece])
            if blur[number]:
                cv2.GaussianBlur(x, (3, 3), 0, other, borderType=cv2.BORDER_REPLICATE)
                x, other = other, x
            if times is not None:
                x *= times
            if plus is not None:
                x += plus
            if speckle is not None:
                cv2.multiply(x, speckle[piece], x)
            if shade is not None:
                x *= shade
            x.clip(0, 1, out=x)
            seen = grey
            if inside is not None:
                seen = inside if inverted[number] else grey * inside
            cv2.copyTo(x, seen, crop)
    return crops


def _fields(placed: Placed, number: int, size: int) -> tuple[Floats | None, Floats | None, Floats | None]:
    """What is multiplied, added, and multiplied again: (size, size) each, or None if it changes nothing."""

    def stretched(nodes: Floats) -> Floats:
        return np.asarray(cv2.resize(nodes, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)

    times = stretched(placed.times[number]) if placed.faded[number] else None
    plus = stretched(placed.plus[number]) if placed.lifted[number] else None
    if not placed.shaded[number]:
        return times, plus, None
    beam = cv2.warpAffine(angle_map(), placed.beams[number], (size, size), flags=NEAREST)
    return times, plus, np.asarray(cv2.LUT(beam, placed.profile[number]), np.float32)


def _redraw(x: Floats, share: float, fine: Floats) -> None:
    """Draw a share of the fine texture's power anew, as strong as it is thereabouts, but not as edges are.

    Log-compression gives speckle a spread that does not depend on its level.
    """
    smooth = cv2.GaussianBlur(x, (5, 5), 0, borderType=cv2.BORDER_REPLICATE)
    old = np.subtract(x, smooth, out=x)
    strength: Any = cv2.GaussianBlur(np.abs(old), (5, 5), 0, borderType=cv2.BORDER_REPLICATE)
    np.minimum(strength, STRONGEST / SPREAD, out=strength)
    strength *= fine
    strength *= SPREAD * math.sqrt(share)
    old *= math.sqrt(1 - share)
    x += strength
    x += smooth


def _insides(frames: Bytes, draws: Draws, placed: Placed, size: int) -> dict[int, Bytes]:
    """What of a crop is inside the sector: 1, else 0; for crops where that isn't just where echoes are.

    An inverted crop is bright where there were no echoes, up to the outline of the frame. A zoom moves that
    outline with the echoes, and the outline that stands still cuts off what it takes too far.
    """

    def seen(outline: Bytes, matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.equal(cv2.warpAffine(outline, matrix, (size, size), flags=SEEN_THROUGH), 255)

    insides = {}
    for number in np.flatnonzero(draws.inverted | placed.zoomed).tolist():
        outline, inside = _outline(frames[number]), np.ones((size, size), np.bool_)
        if draws.inverted[number]:
            core: Any = cv2.erode(outline, np.ones((3, 3), np.uint8))  # the edge is faint, and would shine
            inside &= seen(core, placed.content[number])
        if placed.zoomed[number]:
            inside &= seen(outline, placed.outline[number])
        insides[number] = inside.view(np.uint8)
    return insides


def _outline(clip: Bytes) -> Bytes:
    """The sector of a clip (T, s, s) without its holes: (s, s), in each row 255 from the first pixel that is
    lit in any frame to the last one, else 0.
    """
    lit = clip.max(axis=0) if len(clip) > 1 else clip[0]
    lit = lit > 0
    first, last = lit.argmax(axis=1), lit.shape[1] - 1 - lit[:, ::-1].argmax(axis=1)
    first[~lit[np.arange(len(lit)), first]] = len(lit)
    place = np.arange(len(lit), dtype=np.int16)
    inside = (place >= first.astype(np.int16)[:, None]) & (place <= last.astype(np.int16)[:, None])
    return np.asarray(np.negative(inside.view(np.uint8)))
