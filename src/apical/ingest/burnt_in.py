"""Writing on the image that a scan passes over: in a part of the clip only, or in a colour as dark as tissue.

A scan looks at few frames and at their luma, which is enough to learn from. What is given away is looked at
in every frame, by its brightest channel, and a grey clip by its colours too: those are of the screen.
Letters in white are found in any frame; greyer ones may stay if they are shown for less than `BLOCK` frames,
and those that are not upright in any case.
"""

from __future__ import annotations

from itertools import islice, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.clip import Clip, colours
from apical.ingest.evidence import extremes, letter_height
from apical.ingest.facts import Mode
from apical.ingest.sector import LEAST_KEPT, Sector
from apical.ingest.writing import Picture, find_writing

BLOCK = 12  # frames; within fewer, tissue does not move enough to be told from writing
HARD_CONTRAST = 140  # grey levels; tissue does not stand out so much in lines as fine as letters


def without_burnt_in(clip: Clip, sector: Sector, mode: Mode) -> Sector:
    """The sector with holes where writing stands in any part of the clip.

    Raises:
        ClipProblem: a frame cannot be decoded, or so much is written that the image is none.
    """
    x0, y0, x1, y1 = sector.box
    letter = letter_height(sector.size)
    written = np.zeros((y1 - y0, x1 - x0), bool)
    halves: list[tuple[Picture, Picture]] = []
    every = (frame[y0:y1, x0:x1] for frame in colours(clip, exact=False))
    for first, end in _half_blocks(clip.facts.frames):
        frames = np.stack(list(islice(every, end - first)))
        if mode == "2d":
            tints = np.max([_range_of_channels(frame) for frame in frames], axis=0)
            written |= find_writing(tints, tints, letter, cine=False)
        for white in frames.min(axis=3):
            written |= find_writing(white, white, letter, cine=False, contrast=HARD_CONTRAST)
        halves.append(extremes(frames.max(axis=3)))
    for (peak, low), (next_peak, next_low) in pairwise(halves):
        peak, low = np.maximum(peak, next_peak), np.minimum(low, next_low)
        written |= find_writing(peak, low, letter, cine=True)
    if clip.facts.frames == 1:
        written |= find_writing(*halves[0], letter, cine=False)
    found = sector.without(written)
    if found.kept < LEAST_KEPT:
        raise ClipProblem("too much is written on the image")
    return found


def _half_blocks(frames: int) -> list[tuple[int, int]]:
    """First frames and ends of runs of half a block; the last may be longer."""
    half = BLOCK // 2
    firsts = list(range(0, max(1, frames - half + 1), half))
    return list(pairwise([*firsts, frames]))


def _range_of_channels(frame: NDArray[np.uint8]) -> Picture:
    """(H, W, 3) to (H, W): how much colour there is."""
    red, green, blue = cv2.split(frame)
    most, least = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    return np.asarray(cv2.subtract(most, least), np.uint8)
