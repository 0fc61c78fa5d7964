"""One clip as square grey frames, ready for an encoder: the same for training and for answers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.config import FrameSettings
from apical.errors import ClipProblem, OtherMode
from apical.ingest.clip import Clip
from apical.ingest.sampling import over_one_cycle, phases, spread
from apical.ingest.sector import Sector
from apical.ingest.triage import LOOKED_AT, triage

CHANGED = "the file has changed since it was scanned; scan again"


@dataclass(frozen=True)
class Prepared:
    """The frames of one clip.

    Attributes:
        mode: ``2d``.
        frames: (F, S, S) uint8.
        numbers: (F,) int64, which frames of the clip they are, from 0.
        phases: of the heart cycle, 0 to 1 from R wave to R wave; None where tags do not tell.
        pixel_mm: side of a pixel of `frames` in mm, or None.
    """

    mode: str
    frames: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    phases: list[float | None]
    pixel_mm: float | None


def prepare(clip: Clip, settings: FrameSettings, sector: Sector | None = None) -> Prepared:
    """Choose, decode, mask, crop and scale frames.

    What lies outside the sector is 0, and the sector's box fills the square in its longer side. Proportions
    are those of the body: pixels that are not square are made so.

    Args:
        clip: an opened clip.
        settings: which frames, and how large.
        sector: where the image is, found before; it is looked for if None.

    Raises:
        OtherMode: the clip shows something else than a 2-D image.
        ClipProblem: no sector is found in it, it cannot be decoded, or it is not what `sector` is of.
    """
    facts = clip.facts
    if facts.mode not in (None, "2d"):
        raise OtherMode(facts.mode)
    by_cycle = settings.sampling == "cycle"
    chosen = over_one_cycle(facts, settings.frames_per_clip) if by_cycle else None
    chosen = chosen or spread(facts.frames, settings.frames_per_clip)
    if sector is None:
        sector, frames = _find(clip, chosen)
    elif sector.size != (facts.rows, facts.columns):
        raise ClipProblem(CHANGED)
    else:
        frames = clip.decode(chosen)
    scale, squares = _squares(frames, sector, settings.size, facts.pixel_aspect)
    pixel_mm = facts.pixel_mm[0] / scale if facts.pixel_mm else None
    return Prepared("2d", squares, np.array(chosen, np.int64), phases(facts, chosen), pixel_mm)


def _find(clip: Clip, chosen: list[int]) -> tuple[Sector, NDArray[np.uint8]]:
    """The sector, and the chosen frames; each frame is decoded once."""
    looked_at = spread(clip.facts.frames, LOOKED_AT)
    numbers = sorted({*looked_at, *chosen})
    decoded = dict(zip(numbers, clip.decode(numbers), strict=True))
    seen = triage(clip, np.stack([decoded[number] for number in looked_at]))
    if seen.mode != "2d" or seen.sector is None:
        raise OtherMode(seen.mode)
    return seen.sector, np.stack([decoded[number] for number in chosen])


def _squares(
    frames: NDArray[np.uint8], sector: Sector, size: int, pixel_aspect: float
) -> tuple[float, NDArray[np.uint8]]:
    """Scale across, and (F, size, size) uint8: masked, cropped to the sector's box, centred."""
    x0, y0, x1, y1 = sector.box
    mask = 255 * sector.mask[y0:y1, x0:x1].astype(np.uint8)
    height, width = (y1 - y0) * pixel_aspect, float(x1 - x0)
    scale = size / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    squares = np.zeros((len(frames), size, size), np.uint8)
    top, left = (size - rows) // 2, (size - columns) // 2
    for square, frame in zip(squares, frames, strict=True):
        masked = cv2.bitwise_and(frame[y0:y1, x0:x1], mask)
        square[top : top + rows, left : left + columns] = cv2.resize(
            masked, (columns, rows), interpolation=how
        )
    return scale, squares
