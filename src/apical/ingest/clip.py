"""Open any file as a clip, and say what it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apical.ingest.damage import Unreadable
from apical.ingest.dicom import DicomClip
from apical.ingest.sector import Sector, find_sector
from apical.ingest.video import StillClip, VideoClip, kind_of

Clip = DicomClip | StillClip | VideoClip

LOOKED_AT = 8  # frames from which the sector is found
LOOKED_AT_IN_COLOUR = 3
COLOURED = 48  # difference of red, green and blue above which a pixel is coloured
LEAST_COLOUR = 0.004  # share of the sector that is coloured in colour Doppler
ALL_ONE_TINT = 0.85  # share of the lit pixels with some colour, above which the picture is merely tinted


def open_clip(path: Path) -> Clip:
    """Open a file by its content, whatever its name.

    Raises:
        Unreadable: the file cannot be opened or read.
        ClipProblem: not an image this program can read, damaged, or of impossible size.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
        kind = kind_of(head)
        if kind is None:
            return DicomClip(path)
        return StillClip(path, kind) if kind in ("png", "jpeg") else VideoClip(path, kind)
    except OSError:
        raise Unreadable from None


def spread(frames: int, count: int) -> list[int]:
    """At most `count` distinct frame numbers, evenly over `frames`, each in the middle of its part."""
    if frames <= count:
        return list(range(frames))
    return [(2 * part + 1) * frames // (2 * count) for part in range(count)]


def triage(clip: Clip, frames: NDArray[np.uint8] | None = None) -> tuple[str, Sector | None]:
    """Say what a clip shows, and where.

    Args:
        clip: an opened clip.
        frames: (F, H, W) uint8, its frames `spread(clip.facts.frames, LOOKED_AT)`, if decoded already.

    Returns:
        The mode (see `Facts.mode`), and the sector; None for modes without one.

    Raises:
        ClipProblem: the frames cannot be decoded, or hold no ultrasound sector.
    """
    mode = clip.facts.mode
    if mode in ("spectral", "m-mode", "other"):
        return mode, None
    if frames is None:
        frames = clip.decode(spread(clip.facts.frames, LOOKED_AT))
    sector = find_sector(frames, clip.facts.regions)
    if mode is None:
        colour = clip.decode_colour(spread(clip.facts.frames, LOOKED_AT_IN_COLOUR))
        mode = "colour" if _has_colour_doppler(colour, sector) else "2d"
    return mode, sector


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
