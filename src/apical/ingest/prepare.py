"""One clip as square grey frames, ready for an encoder: the same for training and for answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.config import FrameSettings
from apical.errors import ClipProblem, OtherMode
from apical.ingest.clip import Clip
from apical.ingest.sampling import over_one_cycle, phases, spread
from apical.ingest.sector import Sector
from apical.ingest.triage import triage

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
    chosen = chosen_frames(clip, settings)
    found = find_sector_of(clip, sector)
    scale, frames = cut_frames(clip, chosen, found, settings.size)
    pixel_mm = clip.facts.pixel_mm[0] / scale if clip.facts.pixel_mm else None
    return Prepared("2d", frames, np.array(chosen, np.int64), phases(clip.facts, chosen), pixel_mm)


def chosen_frames(clip: Clip, settings: FrameSettings) -> list[int]:
    """The numbers of the frames that are taken of a clip, rising."""
    by_cycle = settings.sampling == "cycle"
    chosen = over_one_cycle(clip.facts, settings.frames_per_clip) if by_cycle else None
    return chosen or spread(clip.facts.frames, settings.frames_per_clip)


def find_sector_of(clip: Clip, sector: Sector | None = None) -> Sector:
    """Where the image is; a sector that was found before is checked for its size only.

    Raises:
        OtherMode, ClipProblem: as `prepare`.
    """
    facts = clip.facts
    if facts.mode not in (None, "2d"):
        raise OtherMode(facts.mode)
    if sector is None:
        seen = triage(clip)
        if seen.mode != "2d" or seen.sector is None:
            raise OtherMode(seen.mode)
        return seen.sector
    if sector.size != (facts.rows, facts.columns):
        raise ClipProblem(CHANGED)
    return sector


def cut_frames(
    clip: Clip, numbers: Sequence[int], sector: Sector, size: int
) -> tuple[float, NDArray[np.uint8]]:
    """Decode frames of a clip and make `squares` of them; raises `ClipProblem`."""
    x0, y0, x1, y1 = sector.box
    frames = clip.frames(numbers, half=min(x1 - x0, y1 - y0) >= 2 * size)
    return squares(frames, sector, size, clip.facts.pixel_aspect)


def squares(
    frames: Iterable[NDArray[np.uint8]], sector: Sector, size: int, pixel_aspect: float
) -> tuple[float, NDArray[np.uint8]]:
    """Mask frames, crop them to the sector's box, and centre them in squares.

    Args:
        frames: (H, W) uint8 each, of the sector's size or half of it.
        sector: what lies outside of it becomes 0.
        size: side of the squares.
        pixel_aspect: height of a pixel by its width.

    Returns:
        the scale across, and (F, size, size) uint8.
    """
    x0, y0, x1, y1 = sector.box
    height, width = (y1 - y0) * pixel_aspect, float(x1 - x0)
    scale = size / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - rows) // 2, (size - columns) // 2
    made = []
    for frame in frames:
        shown = sector if frame.shape == sector.size else sector.halved
        x0, y0, x1, y1 = shown.box
        masked: Any = cv2.copyTo(frame[y0:y1, x0:x1], shown.mask[y0:y1, x0:x1].view(np.uint8))
        square = np.zeros((size, size), np.uint8)
        square[top : top + rows, left : left + columns] = resize(masked, rows, columns)
        made.append(square)
    return scale, np.stack(made)


def resize(picture: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """A grey picture in another size: halved by means of four pixels as often as it goes, then linearly.

    That is as free of aliasing as the mean over the whole area, at a fifth of OpenCV's time for it.
    """
    while picture.shape[0] >= 2 * rows and picture.shape[1] >= 2 * columns:
        height, width = ((side + 1) // 2 for side in picture.shape)
        odd = (0, 2 * height - picture.shape[0], 0, 2 * width - picture.shape[1])
        even: Any = cv2.copyMakeBorder(picture, *odd, cv2.BORDER_REPLICATE) if any(odd) else picture
        picture = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_LINEAR), np.uint8)
