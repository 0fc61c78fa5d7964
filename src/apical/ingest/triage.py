"""Say what a clip shows, from its tags first and its pixels second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apical.errors import ClipProblem
from apical.ingest.appearance import doppler, is_rendering, largest_piece, layout
from apical.ingest.clip import Clip
from apical.ingest.evidence import extremes, reduced, reduction
from apical.ingest.facts import WITH_SECTOR, Mode
from apical.ingest.sampling import spread
from apical.ingest.sector import Sector, find_sector_between
from apical.ingest.writing import Picture

LOOKED_AT = 8  # frames from which the sector is found
LOOKED_AT_IN_COLOUR = 3
SHAPED = 0.65  # confidence from which an outline surely is that of a probe


@dataclass(frozen=True)
class Triage:
    """What a clip shows.

    Attributes:
        mode: see `apical.ingest.facts.Mode`.
        sector: where its image is; None for modes without one.
    """

    mode: Mode
    sector: Sector | None


def triage(clip: Clip) -> Triage:
    """Look at a clip.

    Tags that name a mode without a single image are believed. Those that name one with it are checked:
    many machines tag only one part of a screen, and tissue Doppler as colour.

    Raises:
        ClipProblem: the frames cannot be decoded, or hold no ultrasound sector.
    """
    declared = clip.facts.mode
    if declared is not None and declared not in WITH_SECTOR:
        clip.decode([clip.facts.frames - 1])  # so that a file that is cut off is told in every mode
        return Triage(declared, None)
    facts, numbers = clip.facts, spread(clip.facts.frames, LOOKED_AT)
    factor = reduction((facts.rows, facts.columns))
    grey: list[Picture] = []
    peak, low = extremes(_noting(grey, clip.frames(numbers), factor))
    laid_out = layout(grey)
    if laid_out is not None:
        return Triage(laid_out, None)
    if declared == "2d":
        return Triage(declared, find_sector_between(peak, low, len(numbers), facts.regions))
    colour = clip.decode_colour(spread(facts.frames, LOOKED_AT_IN_COLOUR), exact=False)
    small = [reduced(frame, factor) for frame in colour]
    middle = small[len(small) // 2]
    try:
        sector = find_sector_between(peak, low, len(numbers), facts.regions)
    except ClipProblem:
        if is_rendering(middle, largest_piece(middle), shaped=False):
            return Triage("3d", None)
        raise
    inside = reduced(sector.mask.view(np.uint8) * np.uint8(255), factor) > 127
    shaped = sector.kind != "outline" and sector.confidence >= SHAPED
    if is_rendering(middle, inside, shaped=shaped):
        return Triage("3d", None)
    seen = doppler(small, inside)
    if (declared == "colour" and seen == "2d") or (declared == "tissue-doppler" and seen == "colour"):
        seen = declared
    return Triage(seen, sector)


def _noting(smaller: list[Picture], frames: Iterator[Picture], factor: int) -> Iterator[Picture]:
    """Frames as they come, so that few are in memory at a time; `smaller` gets them `reduced`."""
    for frame in frames:
        smaller.append(reduced(frame, factor))
        yield frame
