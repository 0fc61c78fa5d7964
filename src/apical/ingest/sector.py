"""Find the ultrasound sector in a screen: where the image is, and where text, ECG and bars are.

The sector is the large, filled, textured thing on the screen; in a cine it is also what moves. Letters,
traces and scales are thin: a morphological opening removes them. The outline is the convex hull of what
is left, which is right for the fan of a phased array. Where nothing plausible is left, the answer is a
`ClipProblem`, never the unmasked picture.

What is promised of text: beside the fan it is outside the mask. On the fan, thin bright strokes (or dark ones
on light) are blanked too, but letters of 3 pixels a stroke or more at 480 rows, and grey ones on a still,
look like tissue and may stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.facts import Region

Box = tuple[int, int, int, int]

LIT = 10  # grey levels above the background that count as image
MOVED = 12  # grey levels of change over the cine that count as motion
LEAST_MOTION = 0.01  # share of the screen that moves in a cine
STROKE_CONTRAST = 80  # grey levels by which strokes of letters stand out
STROKE_DENSITY = 0.25  # share of strokes among the pixels of writing
SMALLEST_SIDE = 32  # pixels
SMALLEST_SHARE = 0.08  # of the picture, or of the tagged region
LONGEST_ASPECT = 2.6  # width : height or height : width; header bars and strips are longer
LEAST_LIT = 0.3  # share of the hull that is lit; pages of text are sparser
LEAST_CONTRAST = 6.0  # standard deviation of the grey levels; filled bars are flatter
MOST_UNTAGGED = 0.985  # a fan leaves black corners; a photograph does not

_TWO_D, _TISSUE, _COLOUR_FLOW = 1, 1, 2
_NOT_IMAGE = frozenset(range(3, 0x13)) - {0xF}  # traces, ECG, pulse, bars; not integrated backscatter


@dataclass(frozen=True)
class Sector:
    """The sector of a clip.

    Attributes:
        box: x0, y0, x1, y1 in pixels, x1 and y1 exclusive; it holds the whole mask, and its middle is
            below the apex.
        mask: (H, W) bool, True inside the sector.
    """

    box: Box
    mask: NDArray[np.bool_]


def find_sector(frames: NDArray[np.uint8], regions: tuple[Region, ...] = ()) -> Sector:
    """Find the sector from region tags where they are sane, and from the pixels.

    Args:
        frames: (F, H, W) uint8 grey frames spread over the clip; one is enough, several show motion.
        regions: the file's ultrasound regions, unchecked.

    Raises:
        ClipProblem: no sector can be told from the rest of the screen.
    """
    height, width = frames.shape[1:]
    tagged, blank = _read_regions(regions, height, width)
    allowed = np.zeros((height, width), bool)
    x0, y0, x1, y1 = tagged or (0, 0, width, height)
    allowed[y0:y1, x0:x1] = True
    for bx0, by0, bx1, by1 in blank:
        allowed[by0:by1, bx0:bx1] = False

    allowed &= ~_writing(frames)

    brightest = frames.max(axis=0)
    lit = (np.abs(brightest.astype(np.int16) - _background(brightest)) > LIT) & allowed
    moved = (brightest - frames.min(axis=0) > MOVED) & allowed
    cine = moved.sum() > LEAST_MOTION * moved.size
    if cine:
        lit &= _reach(moved)
    area = (x1 - x0) * (y1 - y0)
    most = 1.0 if tagged else MOST_UNTAGGED
    blobs = _blobs(_thick(lit))
    if cine and len(blobs) > 1:  # what is left are parts of one moving image
        blobs.insert(0, np.any([blob for blob in blobs if blob.sum() > 0.02 * blobs[0].sum()], axis=0))
    for blob in blobs:
        mask = _hull(blob) & allowed
        if SMALLEST_SHARE * area <= mask.sum() <= most * area and _plausible(mask, lit, brightest):
            return Sector(_box(mask), mask)
    raise ClipProblem("no ultrasound sector found")


def _read_regions(regions: tuple[Region, ...], height: int, width: int) -> tuple[Box | None, list[Box]]:
    """The 2-D region to search in (None without a sane one), and the boxes of traces and bars.

    Pixels are sometimes cropped or rescaled after the tags were written. Then a region leaves the
    picture, and none of the file's regions can be believed. A far corner one pixel too far is a common
    slip, and is clamped.
    """
    images: list[Box] = []
    blank: list[Box] = []
    for region in regions:
        if not (region.x0 >= 0 and region.y0 >= 0 and region.x1 <= width and region.y1 <= height):
            return None, []
        box = (region.x0, region.y0, min(region.x1 + 1, width), min(region.y1 + 1, height))
        if region.data_type in _NOT_IMAGE:
            blank.append(box)
        elif region.spatial_format == _TWO_D and region.data_type in (_TISSUE, _COLOUR_FLOW):
            images.append(box)
    largest = max(images, key=_area, default=None)
    if largest is None or min(largest[2] - largest[0], largest[3] - largest[1]) < SMALLEST_SIDE:
        return None, blank
    return largest, blank


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _background(picture: NDArray[np.uint8]) -> int:
    """The grey level of the empty screen: the commonest level, if it is common at all; else black."""
    counts = np.bincount(picture.ravel(), minlength=256)
    level = int(counts.argmax())
    return level if counts[level] > 0.05 * picture.size else 0


def _letter(picture: NDArray[Any]) -> int:
    """A bit more than the height of a line of text on such a screen, in pixels."""
    shorter: int = min(picture.shape[-2:])
    return max(7, round(shorter / 28))


def _writing(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where letters and numbers stand, light on dark or dark on light, with a margin. (H, W) bool.

    Writing is many steep strokes, thinner than tissue, close together and in most of the frames. A
    lone stroke may be a valve leaflet and stays. Bolder or greyer strokes stay on the fan, since looking
    for them would take bright tissue along.
    """
    letter = _letter(frames)
    stroke = max(5, round(min(frames.shape[1:]) / 100) | 1)
    square = np.ones((stroke, stroke), np.uint8)
    often = np.zeros(frames.shape[1:], np.uint16)
    for frame in frames:
        light = cv2.morphologyEx(frame, cv2.MORPH_TOPHAT, square)
        dark = cv2.morphologyEx(frame, cv2.MORPH_BLACKHAT, square)
        often += np.maximum(light, dark) > STROKE_CONTRAST
    strokes = (2 * often >= len(frames)).astype(np.float32)
    dense = (cv2.blur(strokes, (letter, letter)) > STROKE_DENSITY).astype(np.uint8)
    grown = cv2.dilate(dense, np.ones((letter, letter), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(grown)
    large = stats[:, cv2.CC_STAT_AREA] >= 4 * letter**2
    large[0] = False
    return np.asarray(large[labels], dtype=bool)


def _reach(moved: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The surroundings of what moves: the hull of its larger blobs, and a margin."""
    letter = _letter(moved)
    thick = _thick(moved)
    blobs = _blobs(thick)
    if not blobs:
        return np.ones_like(moved)
    union = np.any([blob for blob in blobs if blob.sum() > 0.1 * blobs[0].sum()], axis=0)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * letter + 1, 2 * letter + 1))
    return cv2.dilate(_hull(union).astype(np.uint8), disc).astype(bool)


def _thick(lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close the gaps between speckles, then drop what is thinner than a line of text."""
    close, letter = max(3, round(min(lit.shape) / 100)), _letter(lit)
    padded = np.pad(lit.astype(np.uint8), letter)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((close, close), np.uint8))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (letter, letter))
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, disc)
    return opened[letter:-letter, letter:-letter].astype(bool)


def _blobs(thick: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The largest blobs first; pieces nearer to each other than a line of text are one blob."""
    letter = _letter(thick)
    near = cv2.dilate(thick.astype(np.uint8), np.ones((letter, letter), np.uint8))
    count, labels = cv2.connectedComponents(near)
    areas = np.bincount(labels[thick], minlength=count)
    order = [index for index in np.argsort(-areas, kind="stable") if index > 0 and areas[index]]
    return [(labels == index) & thick for index in order[:4]]


def _hull(blob: NDArray[np.bool_]) -> NDArray[np.bool_]:
    outlines, _ = cv2.findContours(blob.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(outlines))
    return cv2.fillConvexPoly(np.zeros(blob.shape, np.uint8), hull, 1).astype(bool)


def _box(mask: NDArray[np.bool_]) -> Box:
    """The mask's bounding box, made symmetric about its top: a shadow at one side must not move it."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, y0, x1, y1 = int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
    top = np.flatnonzero(mask[y0 : y0 + max(1, round(0.03 * (y1 - y0)))].any(axis=0))
    apex = (int(top[0]) + int(top[-1]) + 1) / 2
    half = max(apex - x0, x1 - apex)
    return max(0, round(apex - half)), y0, min(mask.shape[1], round(apex + half)), y1


def _plausible(mask: NDArray[np.bool_], lit: NDArray[np.bool_], picture: NDArray[np.uint8]) -> bool:
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if ys.size < SMALLEST_SIDE or xs.size < SMALLEST_SIDE:
        return False
    aspect = xs.size / ys.size
    return bool(
        1 / LONGEST_ASPECT <= aspect <= LONGEST_ASPECT
        and lit[mask].mean() >= LEAST_LIT
        and picture[mask].std() >= LEAST_CONTRAST
    )
