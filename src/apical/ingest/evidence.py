"""Which pixels of a screen are image: lit or moving, in solid pieces, and no letters, traces or bars.

Everything here works on two pictures of a clip: the brightest and the darkest that each pixel becomes. In a
cine the image is what moves (speckle does, letters do not); in a still it is what stands out from the screen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.ingest.writing import Mask, Picture, find_writing

WORKING_ROWS = 300  # screens are looked at in about this size
BRIGHTEST = 48  # grey levels from the empty screen; what is brighter counts no more
LIT = 7  # grey levels above the screen's own, from which a pixel is lit
DARKER = 4  # grey levels below the screen's own, where only the image is
MOVED = 5  # grey levels of change over the clip, above which a pixel moves
NOISE = 2  # times the change of an empty screen, above which it does where the screen is noisy
LEAST_MOTION = 0.01  # share of the screen that moves in a cine
STROKE = 50  # grey levels by which a stroke of a letter or trace stands out
FLAT = 2  # grey levels within which an area is of one level
FLAT_STILL = 3  # the same of a still, whose noise is not evened out by taking the brightest of many
BESIDE = 0.8  # share within the hull of the rest, below which a flat area is no part of the image
ALONE = 0.5  # share of empty screen around a dark stroke, for it to be a letter beside the image
SOLID = 0.25  # share of the pixels of a cell that are image in a solid piece
DENSE = 0.5  # the same where pieces are told apart
LEAST_PIECE = 0.03  # size of a piece, of the largest, that may belong to the same image
COMMON = 0.05  # share of the screen that has its commonest level, for it to be a background


@dataclass(frozen=True)
class Evidence:
    """What the pixels of a clip tell about where its image is.

    Attributes:
        peak, low: (H, W) uint8, the brightest and the darkest of each pixel over the frames.
        background: grey level of the empty screen.
        image: (H, W) bool, single pixels that are image.
        known: (H, W) bool, where it can be told; not where tags place a trace or bar over the image.
        pieces: (H, W) bool each, the solid pieces of the image, grown by about a letter, the largest
            first. Several may be parts of one image that shadows cut.
        cine: whether `image` rests on motion.
    """

    peak: Picture
    low: Picture
    background: int
    image: Mask
    known: Mask
    pieces: list[Mask]
    cine: bool

    def upside_down(self) -> Evidence:
        """The same, mirrored top to bottom."""
        pieces = [piece[::-1] for piece in self.pieces]
        return Evidence(
            peak=self.peak[::-1],
            low=self.low[::-1],
            background=self.background,
            image=self.image[::-1],
            known=self.known[::-1],
            pieces=pieces,
            cine=self.cine,
        )

    @cached_property
    def step(self) -> NDArray[np.float32]:
        """(H, W): by how much a pixel differs from the empty screen, in grey levels up to `BRIGHTEST`."""
        difference = np.abs(self.peak.astype(np.int16) - self.background)
        return np.minimum(difference, BRIGHTEST).astype(np.float32)

    @cached_property
    def cores(self) -> list[Mask]:
        """The pieces as `pieces`, but grown by less: words near the image are none of it here."""
        return solid_pieces(self.image, apart=True)


def reduction(shape: tuple[int, ...]) -> int:
    """By what whole factor a screen of this (H, W) is made smaller to be looked at."""
    return max(1, min(shape) // WORKING_ROWS)


def reduced(picture: Picture, factor: int) -> Picture:
    """The means of squares of `factor` pixels: (H, W) or (H, W, 3) uint8."""
    if factor == 1:
        return picture
    size = (picture.shape[1] // factor, picture.shape[0] // factor)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def letter_height(shape: tuple[int, ...]) -> int:
    """A bit more than the height of a line of text on a screen of this (H, W), in pixels."""
    return max(7, round(min(shape) / 28))


def extremes(frames: Iterable[Picture]) -> tuple[Picture, Picture]:
    """The brightest and the darkest that each pixel becomes: (H, W) uint8 each to two of them."""
    following = iter(frames)
    peak = next(following).copy()
    low = peak.copy()
    for frame in following:
        cv2.max(peak, frame, dst=peak)
        cv2.min(low, frame, dst=low)
    return peak, low


def collect(peak: Picture, low: Picture, allowed: Mask, known: Mask) -> Evidence:
    """Look where the image is.

    Args:
        peak, low: (H, W) uint8, of `extremes`.
        allowed: (H, W) bool, where it can be at all.
        known: (H, W) bool, where it can be told.
    """
    level = background(peak)
    furniture = _strokes_on_dark(peak, level)
    for picture in (peak, low):  # a clock's light digits stand out in the one, its dark ones in the other
        furniture |= find_writing(picture, picture, letter_height(peak.shape), cine=False)
    usable = allowed & known & ~furniture
    darker = (peak < level - DARKER) & allowed & known
    if darker.any():  # never on a black screen
        darker &= ~_strokes_on_light(peak, level)
    lit = (peak > level + LIT) & usable
    change = np.asarray(cv2.subtract(peak, low), np.uint8)
    moved = (change > max(MOVED, NOISE * _commonest(change))) & usable
    cine = bool(np.count_nonzero(moved) / moved.size > LEAST_MOTION)
    seen = moved if cine else lit
    flat = _flat(peak, level, FLAT if cine else FLAT_STILL) & (lit | moved)
    beside = _mostly_outside(flat, _around(solid_pieces((seen & ~flat) | darker), peak.shape))
    image = (seen & ~beside) | darker
    pieces = solid_pieces(image)
    if cine:  # what is lit and does not move, away from what moves, is of the screen
        image |= lit & ~beside & _around(pieces, peak.shape)
    return Evidence(peak, low, level, image, known, pieces, cine)


def find_lit(picture: Picture) -> Mask:
    """What stands out from the empty screen and is no letter or trace beside the image, (H, W) bool."""
    level = background(picture)
    light = (picture > level + LIT) & ~_strokes_on_dark(picture, level)
    return np.asarray(light | (picture < level - DARKER), bool)


def hull(mask: Mask) -> Mask:
    """The convex hull of a mask, (H, W) bool."""
    filled = np.zeros(mask.shape, np.uint8)
    corners = hull_corners(mask)
    if len(corners):
        cv2.fillConvexPoly(filled, corners.astype(np.int32), 1)
    return filled.astype(bool)


def hull_corners(mask: Mask) -> NDArray[np.float64]:
    """The corners of the convex hull of a mask, (N, 2) x, y."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return np.zeros((0, 2))
    return cv2.convexHull(np.concatenate(outlines)).reshape(-1, 2).astype(np.float64)


def background(picture: Picture) -> int:
    """The grey level of the empty screen: the commonest level, if it is common at all; else black."""
    return _commonest(picture)


def _commonest(picture: Picture) -> int:
    counts = cv2.calcHist([picture], [0], None, [256], [0, 256]).ravel()
    level = int(counts.argmax())
    return level if counts[level] > COMMON * picture.size else 0


def _strokes_on_dark(peak: Picture, level: int) -> Mask:
    """Bright strokes with little around them: letters, ticks and traces beside the image."""
    width = _stroke_width(peak.shape)
    strokes = cv2.morphologyEx(peak, cv2.MORPH_TOPHAT, np.ones((width, width), np.uint8)) > STROKE
    strokes &= cv2.blur(peak, (3 * width, 3 * width)) < level + STROKE
    return cv2.dilate(strokes.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)


def _strokes_on_light(peak: Picture, level: int) -> Mask:
    """Strokes darker than the screen with mostly empty screen around them: black letters on grey."""
    width = _stroke_width(peak.shape)
    darker = (peak < level - DARKER).astype(np.uint8)
    strokes = cv2.morphologyEx(darker, cv2.MORPH_TOPHAT, np.ones((width, width), np.uint8)) > 0
    empty = (np.abs(peak.astype(np.int16) - level) <= DARKER).astype(np.float32)
    return np.asarray(strokes & (cv2.blur(empty, (3 * width, 3 * width)) > ALONE), bool)


def _flat(peak: Picture, level: int, most: int) -> Mask:
    """Areas of one level, as tissue has none so large: bars, boxes and panels, with the letters on them."""
    width = _stroke_width(peak.shape)
    stroke, window = np.ones((width, width), np.uint8), np.ones((2 * width - 1, 2 * width - 1), np.uint8)
    without_light = cv2.morphologyEx(peak, cv2.MORPH_OPEN, stroke)
    without_dark = cv2.morphologyEx(peak, cv2.MORPH_CLOSE, stroke)
    flat = np.zeros(peak.shape, np.uint8)
    for shown, least in ((peak, 0), (without_light, level + LIT), (without_dark, level + STROKE)):
        lowest = cv2.erode(shown, window)
        flat |= (cv2.subtract(cv2.dilate(shown, window), lowest) <= most) & (lowest >= least)
    whole = np.zeros_like(flat)  # at the border a part of the window is seen only
    inner = slice(width - 1, 1 - width)
    whole[inner, inner] = flat[inner, inner]
    return cv2.dilate(whole, window).astype(bool)


def _around(pieces: list[Mask], shape: tuple[int, ...]) -> Mask:
    """The convex hull of all pieces."""
    return hull(np.any(pieces, axis=0)) if pieces else np.zeros(shape, bool)


def _mostly_outside(mask: Mask, around: Mask) -> Mask:
    """The pieces of a mask that lie outside another for the most part."""
    found = np.zeros(mask.shape, bool)
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width:
        box = slice(y, y + height), slice(x, x + width)
        labels = cv2.connectedComponents(mask[box].view(np.uint8))[1]
        sizes = np.maximum(np.bincount(labels.ravel()), 1)
        inside = np.bincount(labels[around[box]], minlength=sizes.size) / sizes
        found[box] = mask[box] & (inside < BESIDE)[labels]
    return found


def _stroke_width(shape: tuple[int, ...]) -> int:
    """More than the width of a stroke of a letter, in pixels; odd."""
    return max(7, round(min(shape) / 70) | 1)


def solid_pieces(image: Mask, *, apart: bool = False) -> list[Mask]:
    """The pieces that are filled over more than the height of a letter, the largest first.

    Found on a coarse grid. Pieces nearer to each other than a letter are one, but not if `apart`: then they
    are denser, and grown by less.
    """
    rows, columns = image.shape
    cell = max(2, round(min(image.shape) / 150))
    size = (max(1, columns // cell), max(1, rows // cell))
    share = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    letter = max(3, round(letter_height(image.shape) / cell))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (letter, letter))
    filled = np.pad((share > (DENSE if apart else SOLID)).astype(np.uint8), letter)
    if apart:
        found = cv2.morphologyEx(filled, cv2.MORPH_OPEN, disc)
    else:
        closed = cv2.morphologyEx(filled, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        solid = cv2.morphologyEx(closed, cv2.MORPH_OPEN, disc)
        found = cv2.dilate(solid, np.ones((letter, letter), np.uint8))
    labels = cv2.connectedComponents(found)[1]
    areas = np.bincount(labels.ravel())
    areas[0] = 0  # what is no piece
    if apart:
        labels = cv2.dilate(labels.astype(np.float32), np.ones((5, 5))).astype(np.int32)
    inner = labels[letter:-letter, letter:-letter]
    return [
        cv2.resize(
            (inner == index).astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST
        ).astype(bool)
        for index in np.argsort(-areas, kind="stable")[:6]
        if areas[index] > LEAST_PIECE * areas.max()
    ]
