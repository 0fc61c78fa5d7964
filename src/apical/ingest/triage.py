"""Say what a clip shows, from its tags first and its pixels second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apical.ingest.clip import Clip
from apical.ingest.facts import WITH_SECTOR, Mode
from apical.ingest.sampling import spread
from apical.ingest.sector import Sector, find_sector

LOOKED_AT = 8  # frames from which the sector is found
LOOKED_AT_IN_COLOUR = 3
COLOURED = 48  # difference of red, green and blue above which a pixel is coloured
LEAST_COLOUR = 0.004  # share of the sector that is coloured in colour Doppler
ALL_ONE_TINT = 0.85  # share of the lit pixels with some colour, above which the picture is merely tinted


@dataclass(frozen=True)
class Triage:
    """What a clip shows.

    Attributes:
        mode: see `apical.ingest.facts.Mode`.
        sector: where its image is; None for modes without one.
    """

    mode: Mode
    sector: Sector | None


def triage(clip: Clip, frames: NDArray[np.uint8] | None = None) -> Triage:
    """Look at a clip.

    Args:
        clip: an opened clip.
        frames: (F, H, W) uint8, its frames `spread(clip.facts.frames, LOOKED_AT)`, if decoded already.

    Raises:
        ClipProblem: the frames cannot be decoded, or hold no ultrasound sector.
    """
    mode = clip.facts.mode
    if mode is not None and mode not in WITH_SECTOR:
        return Triage(mode, None)
    if frames is None:
        frames = clip.decode(spread(clip.facts.frames, LOOKED_AT))
    sector = find_sector(frames, clip.facts.regions)
    if mode is None:
        colour = clip.decode_colour(spread(clip.facts.frames, LOOKED_AT_IN_COLOUR), exact=False)
        mode = "colour" if _has_colour_doppler(colour, sector) else "2d"
    return Triage(mode, sector)


def _has_colour_doppler(frames: NDArray[np.uint8], sector: Sector) -> bool:
    """Whether coloured pixels stand among grey ones in the sector. (F, H, W, 3) uint8.

    A grey scale shown in sepia or blue tints nearly every pixel and is no Doppler.
    """
    inside = frames[:, sector.mask].astype(np.int16)  # (F, pixels, 3)
    most = inside.max(axis=-1)
    chroma = most - inside.min(axis=-1)
    lit = most > 40
    tinted = (chroma[lit] > 0.15 * most[lit]).mean() > ALL_ONE_TINT if lit.any() else False
    return bool((chroma > COLOURED).mean() > LEAST_COLOUR and not tinted)
