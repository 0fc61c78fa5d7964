"""Frames of a video (AVI, MP4, MOV, GIF, or the stream in a DICOM file), the chosen ones only.

The packets are listed without decoding them. A chosen frame is reached from the key frame before it. Where
packets have no times, or a frame does not come out as its packet promised (containers lie), the video is
decoded from its start and the frames are counted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import av
import numpy as np
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.damage import Unreadable, decoding
from apical.ingest.facts import MOST_FRAMES, MOST_PIXELS, Facts, check_size, possible_frame_time
from apical.ingest.places import opened
from apical.ingest.pseudonyms import clip_id_of_file

# FFmpeg is told the container: left to guess, it follows play lists to other files and hosts.
CONTAINERS = {"avi": "avi", "mov": "mov", "gif": "gif"}
Layout = Literal["gray", "rgb24"]


@dataclass(frozen=True)
class _Packet:
    """Where a frame is shown, and where decoding for it can begin.

    That is the key frame before it, or the one before that for frames that are stored behind a key frame and
    shown ahead of it: they may lean on the group before (an open one).
    """

    time: int
    key: int  # time of that key frame


class VideoStream:
    """The pictures of a video.

    Args:
        source: opens the file at its start.
        container: FFmpeg's name of the format.

    Attributes:
        frames, rows, columns, frame_time_ms: of the video.

    Raises:
        ClipProblem: no picture of it can be decoded, or it is of impossible size.
    """

    def __init__(self, source: Callable[[], AbstractContextManager[BinaryIO]], container: str) -> None:
        self._source, self._container = source, container
        if container == "avi":
            with source() as file:
                _check_titles(file)
        with decoding("damaged video"), self._open() as video:
            stream = _stream(video)
            check_size(1, stream.height, stream.width)
            self.rows, self.columns = int(stream.height), int(stream.width)
            rate = stream.average_rate
            self.frame_time_ms = possible_frame_time(float(1000 / rate) if rate else None)
            self._packets = _packets(video, stream) if container != "gif" else None
        if self._packets is not None and not self._is_true(self._packets):
            self._packets = None
        self.frames = self._count() if self._packets is None else len(self._packets)
        check_size(self.frames, self.rows, self.columns)

    def decode(self, numbers: Sequence[int], layout: Layout) -> NDArray[np.uint8]:
        """Frames as (len(numbers), rows, columns) for ``gray``, or (..., 3) for ``rgb24``; uint8.

        Raises:
            ClipProblem: a frame cannot be decoded.
        """
        wanted = sorted(set(numbers))
        with decoding("damaged video"):
            if self._packets is None:
                found = self._from_start(wanted, layout)
            else:
                found = self._from_keys(self._packets, wanted, layout)
        shape = (self.rows, self.columns)
        if len(found) < len(wanted) or any(frame.shape[:2] != shape for frame in found.values()):
            raise ClipProblem("damaged video")
        return np.stack([found[number] for number in numbers])

    def _open(self) -> _Opened:
        return _Opened(self._source, self._container)

    def _is_true(self, packets: list[_Packet]) -> bool:
        """Whether the first and the last packet give their frames."""
        try:
            with decoding("damaged video"):
                ends = sorted({0, len(packets) - 1})
                return bool(packets) and len(self._from_keys(packets, ends, "gray")) == len(ends)
        except Unreadable:
            raise
        except ClipProblem:
            return False

    def _count(self) -> int:
        """Frames that can be decoded; what comes before the damage counts."""
        frames = 0
        try:
            with decoding("damaged video"), self._open() as video:
                for _ in video.decode(_stream(video)):
                    frames += 1
                    if frames > MOST_FRAMES:
                        break
        except ClipProblem:
            if not frames:
                raise
        return frames

    def _from_start(self, wanted: list[int], layout: Layout) -> dict[int, NDArray[np.uint8]]:
        found: dict[int, NDArray[np.uint8]] = {}
        with self._open() as video:
            for number, frame in enumerate(video.decode(_stream(video))):
                if number in wanted:
                    found[number] = _pixels(frame, layout)
                if len(found) == len(wanted):
                    break
        return found

    def _from_keys(
        self, packets: list[_Packet], wanted: list[int], layout: Layout
    ) -> dict[int, NDArray[np.uint8]]:
        """Decode from the key frame before each run of wanted frames that share it."""
        found: dict[int, NDArray[np.uint8]] = {}
        number_at = {packets[number].time: number for number in wanted}
        with self._open() as video:
            stream = _stream(video)
            for key in sorted({packets[number].key for number in wanted}):
                left = {time for time, number in number_at.items() if packets[number].key == key}
                video.seek(key, stream=stream)
                for frame in video.decode(stream):
                    if frame.pts in left:
                        left.remove(frame.pts)
                        found[number_at[frame.pts]] = _pixels(frame, layout)
                    if not left or (frame.pts or 0) > max(number_at):
                        break
        return found


class _Opened:
    """An opened video: the file and FFmpeg's view of it, both closed at the end."""

    def __init__(self, source: Callable[[], AbstractContextManager[BinaryIO]], container: str) -> None:
        self._file, self._container = source(), container

    def __enter__(self) -> Any:
        file = self._file.__enter__()
        self._video = av.open(file, "r", format=self._container, options={"protocol_whitelist": ""})
        return self._video

    def __exit__(self, *error: Any) -> None:
        try:
            self._video.close()
        finally:
            self._file.__exit__(*error)


def _check_titles(file: BinaryIO) -> None:
    """Refuse an AVI whose list of titles is longer than the file: FFmpeg fills the memory that a title asks.

    Raises:
        ClipProblem
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    for found in re.finditer(rb"LIST(.{4})INFO", file.read(1 << 20), re.DOTALL):
        if found.start() + 8 + int.from_bytes(found[1], "little") > size:
            raise ClipProblem("damaged video")


def _stream(video: Any) -> Any:
    if not video.streams.video or not video.streams.video[0].codec_context:
        raise ClipProblem("a video without pictures that can be decoded")
    stream = video.streams.video[0]
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    stream.codec_context.thread_count = 1
    return stream


def _packets(video: Any, stream: Any) -> list[_Packet] | None:
    """The packets in the order of their frames; None where they have no times."""
    found: list[_Packet] = []
    key: int | None = None
    before, shown = key, 0  # the key frame before that, and when the last one is shown
    for packet in _some(video.demux(stream)):
        time = packet.pts
        if time is None:
            return None
        if packet.is_keyframe:
            before, key, shown = key, packet.dts if packet.dts is not None else time, time
        if key is None:
            return None
        found.append(_Packet(time, key if time >= shown or before is None else before))
    found.sort(key=lambda packet: packet.time)
    distinct = len({packet.time for packet in found}) == len(found)
    return found if found and distinct else None


def _some(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets that hold something, up to the most that a clip may have."""
    for number, packet in enumerate(packet for packet in packets if packet.size):
        if number > MOST_FRAMES:
            raise ClipProblem("impossible number of rows, columns or frames")
        yield packet


def _pixels(frame: Any, layout: Layout) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format=layout), np.uint8)


class VideoClip:
    """A video file as a clip; the interface of `DicomClip`."""

    def __init__(self, place: str, kind: str) -> None:
        """List its frames; raises `ClipProblem` as `DicomClip` does."""
        self._stream = VideoStream(lambda: opened(place), CONTAINERS[kind])
        with opened(place) as file:
            clip = clip_id_of_file(file)
        stream = self._stream
        self.facts = Facts(
            clip,
            stream.frames,
            stream.rows,
            stream.columns,
            syntax=kind.upper().replace("MOV", "MP4/MOV"),
            frame_time_ms=stream.frame_time_ms,
        )

    def decode(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Grey frames, (len(numbers), rows, columns) uint8; raises `ClipProblem`."""
        return self._stream.decode(numbers, "gray")

    def frames(self, numbers: Sequence[int], *, half: bool = False) -> Iterator[NDArray[np.uint8]]:
        """The frames of `decode` one after another, (rows, columns) uint8 each."""
        yield from self.decode(numbers)

    def decode_colour(self, numbers: Sequence[int], *, exact: bool = True) -> NDArray[np.uint8]:
        """RGB frames, (len(numbers), rows, columns, 3) uint8; raises `ClipProblem`."""
        return self._stream.decode(numbers, "rgb24")


def container_of(data: bytes, syntax: str) -> str | None:
    """FFmpeg's name of the container of a DICOM video stream, by its first bytes; None if it is none known.

    Args:
        data: the stream.
        syntax: the transfer syntax, which tells H.264 from HEVC where there is no container.
    """
    if data[4:8] == b"ftyp":
        return "mov"
    if data[:1] == b"\x47" and data[188:189] in (b"\x47", b""):
        return "mpegts"
    if data.startswith(b"\x00\x00\x01\xba"):
        return "mpeg"
    if data.startswith(b"\x00\x00\x01\xb3"):
        return "mpegvideo"
    if data.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01")):
        return "hevc" if syntax.rpartition(".")[2] in ("107", "108") else "h264"
    return None
