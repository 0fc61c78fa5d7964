"""What kind of screen the pixels show, where tags do not tell.

Layouts are told by what is lit: a page by its writing, a comparison by two images with a gap that closes
downwards, a strip by being wide, and M-mode from Doppler by the direction of its streaks. Colours are told
by how much of the image has them, and how strongly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.ingest.evidence import (
    DARKER,
    LEAST_MOTION,
    LIT,
    background,
    extremes,
    find_lit,
    hull,
    letter_height,
    solid_pieces,
)
from apical.ingest.facts import Mode
from apical.ingest.writing import Mask, Picture, find_writing

# Chosen on other phantoms than those that docs/benchmarks.md reports.
PAGE, PAGE_WITH_PICTURE = 0.28, 0.2  # share of what is lit that is written
PAGE_ROWS = 0.65  # share of the rows of a page that have writing
STRIP_WIDTH, STRIP_HEIGHT = 0.6, 0.2  # of the screen's; a title bar is lower
WHOLE_WIDTH, WHOLE_ASPECT = 0.85, 1.6  # one that takes the whole width of the screen may be higher
BEAT = 0.2  # of the screen's width, over which waves of a strip belong together
STRIP_ASPECT, STRIP_FILLED = 1.85, 0.8  # width by height; share of its box that a filled one fills
STREAKED = 0.6  # change along the rows by that along the columns, below which a strip is M-mode
UPRIGHT = 0.9  # the same, above which a ragged strip is Doppler
GAP = 0.04  # of the screen's width, between two images
TWO_ROWS, TWO_AREAS, SAME_PLACE, OPEN = 0.5, 0.5, 0.04, 0.1  # see `_two_images`
PART = 0.4  # size of a piece, of the largest, that is an image of its own
DARK = 30  # grey level below which a colour is not looked at
TINTED, STRONG = 0.15, 0.7  # saturation from which a pixel is tinted, and strongly
ALL_TINTED = 0.85  # share of the image that is tinted by a map of one hue, or a rendering
RED, BLUE, LEAST_VELOCITY = (5, 170), (100, 135), 0.1  # hues of 180; share of the image in them, of Doppler
LEAST_RENDERED = 0.08  # share of the screen that a rendering takes up
COLOURED, SATURATED = 32, 0.5  # difference of red, green and blue, and saturation, of a colour of Doppler
LESS_SATURATED = 0.6  # saturation of a machine's tint, of that of the colours of Doppler
LEAST_COLOUR = 0.004  # share of the image that is coloured in Doppler
TISSUE_SPAN = 0.48  # share of the image that the hull of its colours covers when they are of tissue
ROUGH = 0.028  # mean deviation from the surroundings, of the mean, below which there is no speckle


def layout(frames: Iterable[Picture]) -> Mode | None:
    """Whether a screen shows something else than one image.

    Args:
        frames: (H, W) uint8 grey each, of about 300 rows.

    Returns:
        ``spectral``, ``m-mode``, ``dual``, ``report``, or None.
    """
    peak, low = extremes(frames)
    written = _written(peak, low)
    if written > PAGE:
        return "report"
    pieces = solid_pieces(find_lit(peak))
    if pieces and _two_images(np.any(_alike(pieces), axis=0)):
        return "dual"
    strip = _strip(peak, np.any(pieces, axis=0)) if pieces else None
    return strip or ("report" if written > PAGE_WITH_PICTURE else None)


def _written(peak: Picture, low: Picture) -> float:
    """Share of what differs from the screen that is written; 0 if that is not all over it, or in a cine."""
    if (cv2.subtract(peak, low) > LIT).mean() > LEAST_MOTION:
        return 0.0
    written = find_writing(peak, low, letter_height(peak.shape), cine=False)
    if written.any(axis=1).mean() < PAGE_ROWS:
        return 0.0
    level = background(peak)
    lit = (peak > level + LIT) | (peak < level - DARKER)
    return float((written & lit).sum() / max(lit.sum(), 1))


def _strip(peak: Picture, image: Mask) -> Mode | None:
    """The kind of the first shape that is wide enough to be a strip of time."""
    outlines = cv2.findContours(image.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    if len(outlines) == 1 and not _is_wide(cv2.boundingRect(outlines[0])[2:], image.shape):
        return None  # there is nothing to join
    reach = round(BEAT * image.shape[1])
    beside = cv2.copyMakeBorder(image.view(np.uint8), 0, 0, reach, reach, cv2.BORDER_CONSTANT)
    joined = cv2.morphologyEx(beside, cv2.MORPH_CLOSE, np.ones((1, reach), np.uint8))[:, reach:-reach]
    stats = cv2.connectedComponentsWithStats(joined)[2]
    for x, y, width, height, _ in stats[1:]:
        if _is_wide((width, height), image.shape):
            box = slice(y, y + height), slice(x, x + width)
            smooth = cv2.GaussianBlur(peak[box], (0, 0), 2).astype(np.float32)
            across, down = (np.abs(cv2.Sobel(smooth, cv2.CV_32F, *way)).sum() for way in ((1, 0), (0, 1)))
            if across < STREAKED * down and image[box].mean() > STRIP_FILLED:
                return "m-mode"
            if across > UPRIGHT * down or image[box].mean() > STRIP_FILLED:
                return "spectral"
    return None


def _is_wide(size: Sequence[int], screen: tuple[int, ...]) -> bool:
    """Whether a shape of this (width, height) may be a strip on a screen of this (H, W)."""
    (width, height), (rows, columns) = size, screen
    aspect = STRIP_ASPECT if width < WHOLE_WIDTH * columns else WHOLE_ASPECT
    return width > STRIP_WIDTH * columns and height > STRIP_HEIGHT * rows and width > aspect * height


def _alike(pieces: list[Mask]) -> list[Mask]:
    """The largest piece, and those that are about as large."""
    return [piece for piece in pieces if piece.sum() > PART * pieces[0].sum()]


def _two_images(mask: Mask) -> bool:
    """Whether two shapes of about one size stand side by side.

    Most of the rows then have a gap in the same place, which is widest above: two images begin in a point,
    while a shadow, which cuts one image in two, widens downwards.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    lines = mask[rows]
    number, change = np.nonzero(lines[:, 1:] != lines[:, :-1])
    gaps = (number[1:] == number[:-1]) & lines[number, change][:-1]  # between an end and a begin
    widths, centres = np.zeros(len(rows)), np.zeros(len(rows))
    for row, end, begin in zip(number[:-1][gaps], change[:-1][gaps], change[1:][gaps], strict=True):
        if begin - end > widths[row]:
            widths[row], centres[row] = begin - end, end + (begin - end) / 2
    columns = mask.shape[1]
    two = widths > GAP * columns
    if two.mean() < TWO_ROWS:
        return False
    middle = round(float(np.median(centres[two])))
    sizes = sorted((mask[:, :middle].sum(), mask[:, middle:].sum()))
    third = max(1, len(rows) // 3)
    above, below = widths[:third].mean(), widths[-third:].mean()
    steady = bool(np.abs(centres[two] - middle).mean() < SAME_PLACE * columns)
    return steady and bool(sizes[0] > TWO_AREAS * sizes[1] and above > OPEN * columns and above > below)


def is_rendering(frame: NDArray[np.uint8], mask: Mask, *, shaped: bool) -> bool:
    """Whether an image is a rendered volume: all tinted, without speckle or without the shape of a probe.

    Args:
        frame: (H, W, 3) uint8 RGB, of about 300 rows.
        mask: (H, W) bool, where the image is.
        shaped: whether that is the shape of a probe.
    """
    return _has_one_tint(frame, mask) and (not shaped or _is_smooth(frame, mask))


def largest_piece(frame: NDArray[np.uint8]) -> Mask:
    """The largest solid piece of a screen, (H, W, 3) uint8 RGB to (H, W) bool; empty if it is small."""
    pieces = solid_pieces(find_lit(_grey(frame)))
    large = pieces and pieces[0].mean() > LEAST_RENDERED
    return pieces[0] if large else np.zeros(frame.shape[:2], bool)


def _has_one_tint(frame: NDArray[np.uint8], mask: Mask) -> bool:
    """Whether all of an image is tinted, as by a map or a rendering, and not red and blue as in Doppler."""
    chroma, most = (values[mask].astype(np.float32) for values in _chroma(frame))
    lit = most > DARK
    tinted = lit & (chroma > TINTED * most)
    count = np.count_nonzero(lit)
    if not np.count_nonzero(tinted) > ALL_TINTED * count > 0:
        return False
    hue = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2HSV), np.uint8)[..., 0][mask]
    velocity = (hue < RED[0]) | (hue > RED[1]) | ((hue > BLUE[0]) & (hue < BLUE[1]))
    strong = lit & velocity & (chroma > STRONG * most)
    return bool(np.count_nonzero(strong) < LEAST_VELOCITY * count)


def _is_smooth(frame: NDArray[np.uint8], mask: Mask) -> bool:
    grey = _grey(frame)
    inner = cv2.erode((grey > DARK).astype(np.uint8) & mask, np.ones((5, 5), np.uint8)) > 0
    if not inner.any():
        return False
    values = grey.astype(np.float32)
    deviation = np.abs(values - cv2.GaussianBlur(values, (0, 0), 1.0))
    return bool(deviation[inner].mean() < ROUGH * values[inner].mean())


def _grey(frame: NDArray[np.uint8]) -> Picture:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def doppler(frames: Sequence[NDArray[np.uint8]], mask: Mask) -> Mode:
    """``colour``, ``tissue-doppler``, or ``2d`` where hardly anything is coloured or all is in one tint.

    Colour Doppler has its box on a part of the image. That of tissue spans most of it.

    Args:
        frames: (H, W, 3) uint8 RGB each, of about 300 rows.
        mask: (H, W) bool, where the image is.
    """
    coloured = np.any([_coloured(frame, mask) for frame in frames], axis=0)
    area = max(int(mask.sum()), 1)
    if coloured.sum() < LEAST_COLOUR * area:
        return "2d"
    if _has_one_tint(frames[len(frames) // 2], mask) and not any(
        _more_saturated(frame, mask, _coloured(frame, mask)) for frame in frames
    ):
        return "2d"
    return "tissue-doppler" if (hull(coloured) & mask).sum() > TISSUE_SPAN * area else "colour"


def _more_saturated(frame: NDArray[np.uint8], mask: Mask, coloured: Mask) -> bool:
    """Whether the colours differ from a tint that the rest of the image has too."""
    chroma, most = (values.astype(np.float32) for values in _chroma(frame))
    saturation, lit = chroma / np.maximum(most, 1), mask & (most > DARK)
    inside, outside = saturation[lit & coloured], saturation[lit & ~coloured]
    if not inside.size or not outside.size:
        return False
    return bool(np.median(outside) < LESS_SATURATED * np.median(inside))


def _coloured(frame: NDArray[np.uint8], mask: Mask) -> Mask:
    """Which pixels of a mask have a strong colour, as their neighbours do."""
    chroma, most = _chroma(frame)
    coloured = chroma > COLOURED
    if not (coloured & mask).any():
        return np.zeros(mask.shape, bool)
    coloured &= chroma > SATURATED * most
    opened = cv2.morphologyEx(coloured.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray((opened > 0) & mask, bool)


def _chroma(frame: NDArray[np.uint8]) -> tuple[Picture, Picture]:
    """The largest of red, green and blue less the smallest, and the largest; (H, W) uint8 each."""
    red, green, blue = cv2.split(frame)
    most = cv2.max(cv2.max(red, green), blue)
    least = cv2.min(cv2.min(red, green), blue)
    return np.asarray(cv2.subtract(most, least), np.uint8), np.asarray(most, np.uint8)
