"""Open a still picture: PNG or JPEG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.damage import decoding
from apical.ingest.facts import Facts, check_size
from apical.ingest.places import opened
from apical.ingest.pseudonyms import clip_id_of_bytes

LARGEST_STILL = 256 << 20  # bytes


class StillClip:
    """A PNG or JPEG picture as a clip of one frame; the interface of `DicomClip`."""

    def __init__(self, place: str, kind: str) -> None:
        """Read the file; raises `ClipProblem` as `DicomClip` does."""
        with opened(place) as file:
            content = file.read(LARGEST_STILL)
        with decoding("damaged picture"):
            if kind == "png":
                columns, rows = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
            else:
                rows, columns = simplejpeg.decode_jpeg_header(content)[:2]
        check_size(1, rows, columns)
        self.facts = Facts(clip_id_of_bytes(content), 1, rows, columns, syntax=kind.upper())
        self._content = np.frombuffer(content, np.uint8)

    def decode(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Grey frames, (len(numbers), rows, columns) uint8; raises `ClipProblem`."""
        return self._read(cv2.IMREAD_GRAYSCALE, len(numbers))

    def frames(self, numbers: Sequence[int], *, half: bool = False) -> Iterator[NDArray[np.uint8]]:
        """The frames of `decode` one after another, (rows, columns) uint8 each."""
        yield from self.decode(numbers)

    def decode_colour(self, numbers: Sequence[int], *, exact: bool = True) -> NDArray[np.uint8]:
        """RGB frames, (len(numbers), rows, columns, 3) uint8; raises `ClipProblem`."""
        return np.ascontiguousarray(self._read(cv2.IMREAD_COLOR, len(numbers))[..., ::-1])

    def _read(self, how: int, count: int) -> NDArray[np.uint8]:
        with decoding("damaged picture"):
            picture = cv2.imdecode(self._content, how | cv2.IMREAD_IGNORE_ORIENTATION)
        if picture is None or picture.shape[:2] != (self.facts.rows, self.facts.columns):
            raise ClipProblem("damaged picture")
        return np.stack([np.asarray(picture, np.uint8)] * count)
