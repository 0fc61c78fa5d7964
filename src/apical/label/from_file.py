"""The sprite of a clip's file, masked; or none. It runs in a process of its own, see `apical.label.worker`.

It is closed to all that cannot be masked: a file that is not the catalogue's clip, that is of another size
than its sector, that shows something else than a 2-D image, or in which no sector is found, gives nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from apical.errors import CannotDo, ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.prepare import cut_frames, find_sector_of
from apical.ingest.sampling import spread
from apical.ingest.sector import Sector
from apical.label.sprite import Sprite, make_sprite, milliseconds

QUALITY = 85


@dataclass(frozen=True)
class Wanted:
    """A picture to make.

    Attributes:
        clip: its id in the catalogue.
        place: of its file, from the catalogue.
        sector: as the catalogue writes it; None: it is looked for.
        side: most pixels of a frame's side.
        most_frames: of the clip, evenly over it.
    """

    clip: str
    place: str
    sector: str | None
    side: int
    most_frames: int


def sprite_of_file(wanted: Wanted) -> Sprite | None:
    """Decode, mask, crop and scale the frames of a clip; None where that cannot be done safely.

    Frames are never larger than the sector is in the file.
    """
    try:
        clip = open_clip(wanted.place)
        if clip.facts.clip != wanted.clip:
            return None
        sector = find_sector_of(clip, Sector.from_json(wanted.sector) if wanted.sector else None)
        x0, y0, x1, y1 = sector.box
        side = min(wanted.side, round(max(x1 - x0, (y1 - y0) * clip.facts.pixel_aspect)))
        numbers = spread(clip.facts.frames, wanted.most_frames)
        _, frames = cut_frames(clip, numbers, sector, side)
    except (ClipProblem, CannotDo):  # the latter: its store needs a library that is not there
        return None
    return make_sprite(frames, milliseconds(numbers, clip.facts.frame_time_ms), "file", QUALITY)
