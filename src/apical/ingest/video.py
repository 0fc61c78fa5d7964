"""Open a video (AVI, MP4, MOV, GIF) or a still picture (PNG, JPEG); the interface of `DicomClip`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.damage import Unreadable, decoding
from apical.ingest.deidentify import clip_id_of_bytes, clip_id_of_file
from apical.ingest.facts import MOST_FRAMES, Facts, check_size

# FFmpeg is told the container: left to guess, it follows play lists to other files and hosts.
_CONTAINERS = {"avi": "avi", "mov": "mov", "gif": "gif"}


def kind_of(head: bytes) -> str | None:
    """Tell a file by its first 16 bytes: png, jpeg, gif, avi, mov (with MP4), or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[4:8] in (b"ftyp", b"moov", b"wide"):
        return "mov"
    return None


class StillClip:
    """A PNG or JPEG picture as a clip of one frame; `facts` as in `DicomClip`."""

    def __init__(self, path: Path, kind: str) -> None:
        """Read the file; raises `ClipProblem` as `DicomClip` does."""
        content = path.read_bytes()
        with decoding("damaged picture"):
            if kind == "png":
                columns, rows = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
            else:
                rows, columns = simplejpeg.decode_jpeg_header(content)[:2]
        check_size(1, rows, columns)
        self.facts = Facts(clip_id_of_bytes(content), frames=1, rows=rows, columns=columns)
        self._content = np.frombuffer(content, np.uint8)

    def decode(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Grey frames, (len(numbers), rows, columns) uint8; raises `ClipProblem`."""
        return self._read(cv2.IMREAD_GRAYSCALE, len(numbers))

    def decode_colour(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """RGB frames, (len(numbers), rows, columns, 3) uint8; raises `ClipProblem`."""
        return np.ascontiguousarray(self._read(cv2.IMREAD_COLOR, len(numbers))[..., ::-1])

    def _read(self, how: int, count: int) -> NDArray[np.uint8]:
        with decoding("damaged picture"):
            picture = cv2.imdecode(self._content, how | cv2.IMREAD_IGNORE_ORIENTATION)
        if picture is None or picture.shape[:2] != (self.facts.rows, self.facts.columns):
            raise ClipProblem("damaged picture")
        return np.stack([np.asarray(picture, np.uint8)] * count)


class VideoClip:
    """A video as a clip; `facts` as in `DicomClip`. Frames are counted by decoding: containers lie."""

    def __init__(self, path: Path, kind: str) -> None:
        """Read the file; raises `ClipProblem` as `DicomClip` does."""
        self._path, self._container = path, _CONTAINERS[kind]
        frames = 0
        try:
            with decoding("damaged video"), self._open() as video:
                if not video.streams.video or not video.streams.video[0].codec_context:
                    raise ClipProblem("a video without pictures that can be decoded")
                stream = video.streams.video[0]
                check_size(1, stream.height, stream.width)
                rows, columns, rate = stream.height, stream.width, stream.average_rate
                for _ in video.decode(stream):
                    frames += 1
                    if frames > MOST_FRAMES:
                        break
        except ClipProblem:
            if not frames:  # else what could be decoded is the clip
                raise
        check_size(frames, rows, columns)
        self.facts = Facts(
            clip=clip_id_of_file(path),
            frames=frames,
            rows=rows,
            columns=columns,
            frame_time_ms=float(1000 / rate) if rate else None,
        )

    def _open(self) -> av.container.InputContainer:
        try:
            return av.open(str(self._path), format=self._container, options={"protocol_whitelist": "file"})
        except (FileNotFoundError, PermissionError):  # since it was first opened; damage raises neither
            raise Unreadable from None

    def decode(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Grey frames, (len(numbers), rows, columns) uint8; raises `ClipProblem`."""
        return self._read(numbers, "gray")

    def decode_colour(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """RGB frames, (len(numbers), rows, columns, 3) uint8; raises `ClipProblem`."""
        return self._read(numbers, "rgb24")

    def _read(self, numbers: Sequence[int], layout: str) -> NDArray[np.uint8]:
        wanted = set(numbers)
        found: dict[int, NDArray[np.uint8]] = {}
        with decoding("damaged video"), self._open() as video:
            for number, frame in enumerate(video.decode(video=0)):
                if number in wanted:
                    found[number] = frame.to_ndarray(format=layout).astype(np.uint8, copy=False)
                if len(found) == len(wanted):
                    break
        shape = (self.facts.rows, self.facts.columns)
        if len(found) < len(wanted) or any(frame.shape[:2] != shape for frame in found.values()):
            raise ClipProblem("damaged video")
        return np.stack([found[number] for number in numbers])
