"""Open any file as a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.damage import Unreadable, decoding
from apical.ingest.dicom import DicomClip
from apical.ingest.facts import Facts
from apical.ingest.formats import HEAD, kind_of
from apical.ingest.places import as_place, is_remote, opened
from apical.ingest.still import StillClip
from apical.ingest.video import VideoClip
from apical.ingest.volume import VolumeClip, is_packed_nifti

MOST_AT_A_TIME, BYTES_AT_A_TIME = 32, 64 << 20  # of frames; a video begins anew at a key frame each time


class Clip(Protocol):
    """What every kind of file offers.

    Attributes:
        facts: what the file says of its clip.
    """

    facts: Facts

    def decode(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Grey frames, (len(numbers), rows, columns) uint8; raises `ClipProblem`."""

    def frames(self, numbers: Sequence[int], *, half: bool = False) -> Iterator[NDArray[np.uint8]]:
        """The frames of `decode` one after another, (rows, columns) uint8 each.

        With `half` they may come at half the size, rounded up, where that takes less time.
        """

    def decode_colour(self, numbers: Sequence[int], *, exact: bool = True) -> NDArray[np.uint8]:
        """RGB frames, (len(numbers), rows, columns, 3) uint8; raises `ClipProblem`."""


def colours(clip: Clip, *, exact: bool = True) -> Iterator[NDArray[np.uint8]]:
    """Every frame in RGB, (rows, columns, 3) uint8, a few decoded at a time; raises as `decode_colour`."""
    few = max(1, min(MOST_AT_A_TIME, BYTES_AT_A_TIME // (3 * clip.facts.rows * clip.facts.columns)))
    for first in range(0, clip.facts.frames, few):
        numbers = range(first, min(first + few, clip.facts.frames))
        yield from clip.decode_colour(numbers, exact=exact)


def open_clip(place: Path | str) -> Clip:
    """Open a file by its content, whatever its name.

    Args:
        place: a path, a URL, or a member of an archive, see `apical.ingest.places`.

    Raises:
        Unreadable: the file cannot be opened or read.
        ClipProblem: not an image this program can read, damaged, or of impossible size.
    """
    place = as_place(place)
    try:
        with opened(place) as file:
            kind = kind_of(file.read(HEAD))
            if kind == "gzip":
                with decoding("damaged archive"):
                    kind = "nifti" if is_packed_nifti(file) else kind
        if kind in ("png", "jpeg"):
            return StillClip(place, kind)
        if kind in ("avi", "mov", "gif"):
            return VideoClip(place, kind)
        if kind in ("nifti", "mhd"):
            return VolumeClip(place, kind)
        if kind in ("zip", "gzip"):
            raise ClipProblem("an archive inside an archive is not opened")
        return DicomClip(place)
    except OSError:
        raise Unreadable from None


def seeks_freely(clip: Clip, place: str) -> bool:
    """Whether frames cost no more one by one than together: not so in videos, archives and remote stores."""
    return isinstance(clip, DicomClip) and not clip.is_video and not is_remote(place)
