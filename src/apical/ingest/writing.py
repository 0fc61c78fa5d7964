"""Letters and numbers that stand on the image itself.

A line of writing goes from dark to light and back many times within the width of two letters; tissue does
so seldom, and a membrane once. In a cine, writing also stays as it is while the tissue under it moves, so it
is looked for in the darkest that each pixel becomes. In a still, letters that are hardly brighter than the
tissue cannot be told from it and may stay.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]

# Grey levels by which a stroke stands out, and by which it may change in a cine; strokes crossed by a row of
# two letters. Chosen on other phantoms than those that docs/benchmarks.md reports.
BOLD_CONTRAST, BOLD_CHANGE = 40, 12
THIN_CONTRAST, THIN_CHANGE = 70, 30
STROKES = 1.5
STILL_CONTRAST, STILL_STROKES = 80, 2.0
QUIET = 0.9  # share of a box that does not change, for dark letters on a light ground


def find_writing(
    peak: Picture, low: Picture, letter: int, *, cine: bool, contrast: int = STILL_CONTRAST
) -> Mask:
    """Where lines of writing stand, with a margin of half a letter.

    Args:
        peak, low: (H, W) uint8, the brightest and the darkest of each pixel over the frames.
        letter: `letter_height` of the screen, of which these pictures may be a part.
        cine: whether the frames differ; if not, `peak` alone is looked at.
        contrast: grey levels by which a stroke stands out in it.

    Returns:
        (H, W) bool.
    """
    bold = max(7, round(0.7 * letter) | 1)
    if cine:
        strokes, least = _lasting_strokes(peak, low, letter, bold), STROKES
    else:
        hows = (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)
        strokes, least = [_stands_out(peak, bold, how) > contrast for how in hows], STILL_STROKES
    rows = max(3, letter // 2)
    written = np.zeros(peak.shape, bool)
    for light_or_dark in strokes:
        begins = light_or_dark.copy()
        begins[:, 1:] &= ~light_or_dark[:, :-1]
        crossed = cv2.boxFilter(begins.view(np.uint8), cv2.CV_16U, (2 * letter, rows), normalize=False)
        written |= crossed >= ceil(least * rows)
    grown: Any = cv2.dilate(written.view(np.uint8), np.ones((letter | 1, letter | 1), np.uint8))
    _remove_small(grown, 2 * letter**2)
    return np.asarray(grown.view(bool))


def _remove_small(mask: Picture, least: int) -> None:
    """Set the pieces of a mask of 0 and 1 to 0 that have fewer pixels than `least`."""
    outlines, links = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for outline, link in zip(outlines, links[0] if outlines else (), strict=True):
        if link[3] < 0:  # not that of a hole
            x, y, width, height = cv2.boundingRect(outline)
            part = mask[y : y + height, x : x + width]
            labels = cv2.connectedComponents(part)[1]  # of others too, of which a part may be in the box
            piece = labels == labels[outline[0, 0, 1] - y, outline[0, 0, 0] - x]
            if np.count_nonzero(piece) < least:
                part[piece] = 0


def _lasting_strokes(peak: Picture, low: Picture, letter: int, bold: int) -> list[Mask]:
    """Strokes that are there in every frame: light, and dark on a ground that does not change either."""
    thin = max(5, round(0.28 * letter) | 1)
    change = cv2.subtract(peak, low)
    still = change <= BOLD_CHANGE
    light = (_stands_out(low, bold) > BOLD_CONTRAST) & still
    light |= (_stands_out(low, thin) > THIN_CONTRAST) & (change <= THIN_CHANGE)
    quiet = cv2.blur(255 * still.view(np.uint8), (letter, letter)) > int(255 * QUIET)
    if not quiet.any():
        return [light]
    return [light, (_stands_out(peak, bold, cv2.MORPH_BLACKHAT) > BOLD_CONTRAST) & quiet]


def _stands_out(picture: Picture, width: int, how: int = cv2.MORPH_TOPHAT) -> Picture:
    """By how much something stands out that is narrower than `width` along its row."""
    return np.asarray(cv2.morphologyEx(picture, how, np.ones((1, width), np.uint8)), np.uint8)
