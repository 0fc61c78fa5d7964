"""Where in a file the bytes of each frame are, so that only the chosen ones are read (PS3.5 8.2 and A.4)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from apical.errors import ClipProblem
from apical.ingest.damage import Rationed

ITEM, DELIMITER = 0xFFFEE000, b"\xfe\xff\xdd\xe0"
MOST_FRAGMENTS = 1_000_000
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # of a JPEG and of a JPEG 2000 codestream

Span = tuple[int, int]  # position in the file and length, bytes


def cut_off(there: int, frames: int) -> ClipProblem:
    """The problem of a file that ends before its pixels do."""
    return ClipProblem(f"pixel data is cut off: {there} of {frames} frames are there")


@dataclass(frozen=True)
class NativeFrames:
    """Frames one behind the other.

    Attributes:
        start: position of the first one in the file.
        frame_bytes: of each.
        frames: how many.
        swapped: whether the bytes of each pair stand the wrong way round.
    """

    start: int
    frame_bytes: int
    frames: int
    swapped: bool = False

    def read(self, file: BinaryIO, number: int) -> bytes:
        """The bytes of a frame; raises `ClipProblem` if the file ends before."""
        begin = number * self.frame_bytes
        skip = begin % 2 if self.swapped else 0  # a frame of odd length begins within a pair
        file.seek(self.start + begin - skip)
        data = file.read(skip + self.frame_bytes + (skip + self.frame_bytes) % 2 * self.swapped)
        if self.swapped:
            pairs = bytearray(len(data) // 2 * 2)
            pairs[0::2], pairs[1::2] = data[1 : len(pairs) : 2], data[0 : len(pairs) : 2]
            data = bytes(pairs)
        data = data[skip : skip + self.frame_bytes]
        if len(data) < self.frame_bytes:
            there = max(0, file.seek(0, io.SEEK_END) - self.start) // self.frame_bytes
            raise cut_off(min(there, self.frames - 1), self.frames)
        return data


class EncapsulatedFrames:
    """Frames in fragments, which are the items behind a Basic Offset Table that may be empty.

    Without a table of offsets, or where it lies, the fragments are counted: as many as frames, or all of
    a single frame, or those from one start of a codestream to the next.

    Args:
        file: the file.
        start: position of the item that holds the Basic Offset Table.
        frames: how many the header says.
        extended: the Extended Offset Table (7FE0,0001), if there is one.
    """

    def __init__(self, file: BinaryIO, start: int, frames: int, extended: bytes | None = None) -> None:
        self._frames = frames
        length = _item(file, start)
        if length is None:
            raise cut_off(0, frames)
        self._first = start + 8 + length
        most = frames + 1  # of a longer table, where the last frame ends
        table = _table(file.read(min(length, 4 * most)), "<I")
        if extended:
            table = _table(extended[: 8 * most], "<Q")
        grows = all(one < other for one, other in pairwise(table))
        self._table = table if len(table) >= frames and table[:1] == [0] and grows else None
        self._groups: list[list[Span]] | None = None

    def read(self, file: BinaryIO, number: int) -> bytes:
        """The bytes of a frame, its fragments joined.

        Raises:
            ClipProblem: the file ends before, or holds other frames than the header says.
        """
        spans = self._by_table(file, number) if self._table and self._groups is None else []
        if not spans:
            spans = self._by_count(file, number)
        return _join(file, spans, self._frames, number)

    def read_all(self, file: BinaryIO, most: int) -> bytes:
        """All fragments joined: the stream of a video. Refuses more than `most` bytes."""
        spans = list(_fragments(file, self._first))
        if sum(length for _, length in spans) > most:
            raise ClipProblem("the video in it is too large")
        return _join(file, spans, self._frames, 0)

    def _by_table(self, file: BinaryIO, number: int) -> list[Span]:
        """The fragments between two offsets; none where the table does not lead to items."""
        assert self._table is not None
        begin = self._first + self._table[number]
        if number + 1 < len(self._table):
            end = self._first + self._table[number + 1]
            spans = list(_fragments(file, begin, end))
            exact = bool(spans) and sum(spans[-1]) == end
            return spans if exact else []
        return list(_fragments(file, begin))

    def _by_count(self, file: BinaryIO, number: int) -> list[Span]:
        if self._groups is None:
            self._groups = _grouped(file, list(_fragments(file, self._first)), self._frames)
        if number >= len(self._groups):
            raise cut_off(len(self._groups), self._frames)
        return self._groups[number]


def _grouped(file: BinaryIO, spans: list[Span], frames: int) -> list[list[Span]]:
    if frames == 1:
        return [spans]
    starts = [_starts(file, position) for position, _ in spans]
    codestreams = bool(starts) and starts[0]
    if len(spans) == frames and (not codestreams or all(starts) or _ends(file, spans[-1])):
        return [[span] for span in spans]
    groups: list[list[Span]] = []
    for span, begins in zip(spans, starts, strict=True):
        if begins or not groups:
            groups.append([])
        groups[-1].append(span)
    if len(groups) == 1 or len(groups) > frames:  # no codestreams, or not those of the header
        raise ClipProblem("pixel data does not hold the number of frames that the header says")
    return groups


def _starts(file: BinaryIO, position: int) -> bool:
    """Whether a codestream begins there."""
    file.seek(position)
    return file.read(4).startswith(_STARTS)


def _ends(file: BinaryIO, last: Span) -> bool:
    """Whether the delimiter stands behind the last fragment, so that none was cut off."""
    file.seek(sum(last))
    return file.read(4) == DELIMITER


def _fragments(file: BinaryIO, begin: int, end: int | None = None) -> Iterator[Span]:
    """The fragments from an item on, up to `end`, the delimiter or the end of the file."""
    position = begin
    for _ in range(MOST_FRAGMENTS):
        if end is not None and position >= end:
            return
        length = _item(file, position)
        if length is None:
            return
        yield position + 8, length
        position += 8 + length
    raise ClipProblem("pixel data is in too many fragments")


def _item(file: BinaryIO, position: int) -> int | None:
    """The length of the item at a position; None if there is none."""
    file.seek(position)
    head = file.read(8)
    if len(head) < 8:
        return None
    group, element, length = struct.unpack("<HHI", head)
    return length if group << 16 | element == ITEM and length != 0xFFFFFFFF else None


def _table(data: bytes, form: str) -> list[int]:
    size = struct.calcsize(form)
    return [value for (value,) in struct.iter_unpack(form, data[: len(data) // size * size])]


def _join(file: BinaryIO, spans: list[Span], frames: int, number: int) -> bytes:
    parts, rationed = [], Rationed(file)
    for position, length in spans:
        rationed.seek(position)
        parts.append(rationed.read(length))
        if len(parts[-1]) < length:
            raise cut_off(number, frames)
    if not any(parts):
        raise cut_off(number, frames)
    return b"".join(parts)
