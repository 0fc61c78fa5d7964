"""Bytes of frames are those that pydicom finds, by right tables, lying ones and none; only they are read."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames, get_frame

from apical.errors import ClipProblem
from apical.ingest import fragments
from apical.ingest.fragments import EncapsulatedFrames, NativeFrames

Frames = Sequence[Sequence[bytes]]  # of each frame its fragments
BEFORE = b"what stands before " * 3
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def item(data: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data


def offsets_of(frames: Frames) -> list[int]:
    sizes = [sum(8 + len(part) for part in parts) for parts in frames]
    return [0, *accumulate(sizes)][: len(frames)]


def encapsulated(frames: Frames, table: Sequence[int] = (), *, end: bytes = DELIMITER) -> bytes:
    items = b"".join(item(part) for parts in frames for part in parts)
    return item(struct.pack(f"<{len(table)}I", *table)) + items + end


def read_all(data: bytes, frames: int, extended: bytes | None = None) -> list[bytes]:
    """All frames, each before all others, so that none leans on what another one found out."""
    file, found = io.BytesIO(BEFORE + data), []
    for number in range(frames):
        opened = EncapsulatedFrames(file, len(BEFORE), frames, extended)
        found.append(opened.read(file, number))
        assert opened.read(file, 0) == found[0]
    return found


even = st.binary(min_size=1, max_size=20).map(lambda data: data + b"\0" * (len(data) % 2))
any_frames = st.lists(st.lists(even, min_size=1, max_size=4), min_size=1, max_size=8)


def codestream(parts: list[bytes]) -> list[bytes]:
    """Fragments of which the first begins a JPEG and the last ends it."""
    plain = [b"\x01" + part.replace(b"\xff", b"\xfe") for part in parts]
    plain = [part + b"\0" * (len(part) % 2) for part in plain]
    return [b"\xff\xd8\xff\xe0" + plain[0], *plain[1:-1], plain[-1] + b"\xff\xd9"]


jpeg_frames = st.lists(
    st.lists(st.binary(max_size=9), min_size=2, max_size=4).map(codestream), min_size=1, max_size=6
)


@given(frames=any_frames)
def test_basic_offset_table(frames: Frames) -> None:
    """Frames of any number of fragments, in any order; pydicom's generator and its access by number agree."""
    data, count = encapsulated(frames, offsets_of(frames)), len(frames)
    found = read_all(data, count)
    assert found == [b"".join(parts) for parts in frames]
    assert found == list(generate_frames(data, number_of_frames=count))
    assert found[-1] == get_frame(data, count - 1, number_of_frames=count)


@given(frames=st.lists(even.map(lambda part: [part]), min_size=1, max_size=8))
def test_extended_offset_table(frames: Frames) -> None:
    """Offsets of 64 bits, behind an empty basic table; pydicom agrees."""
    offsets = struct.pack(f"<{len(frames)}Q", *offsets_of(frames))
    lengths = struct.pack(f"<{len(frames)}Q", *(len(part) for (part,) in frames))
    data = encapsulated(frames)
    found = read_all(data, len(frames), offsets)
    assert found == [part for (part,) in frames]
    expected = generate_frames(data, number_of_frames=len(frames), extended_offsets=(offsets, lengths))
    assert found == list(expected)


@given(frames=any_frames)
def test_extended_offset_table_of_several_fragments(frames: Frames) -> None:
    """Which the standard forbids and files do: the table tells where each frame begins."""
    offsets = struct.pack(f"<{len(frames)}Q", *offsets_of(frames))
    assert read_all(encapsulated(frames), len(frames), offsets) == [b"".join(parts) for parts in frames]


plain_frames = st.lists(even.map(lambda part: [b"\0\0" + part]), min_size=1, max_size=8)


@given(frames=st.one_of(jpeg_frames, plain_frames))
@pytest.mark.parametrize("end", [DELIMITER, b"", DELIMITER[:5], b"\xfe\xff\x00\xe0"])
def test_no_table(frames: Frames, end: bytes) -> None:
    """As many fragments as frames, or codestreams cut into fragments; the end may be missing or cut."""
    data, count = encapsulated(frames, end=end), len(frames)
    found = read_all(data, count)
    assert found == [b"".join(parts) for parts in frames]
    if end == DELIMITER:
        assert found == list(generate_frames(data, number_of_frames=count))


@given(parts=st.lists(even, min_size=1, max_size=6))
def test_a_single_frame_is_all_fragments(parts: list[bytes]) -> None:
    data = encapsulated([parts])
    assert read_all(data, 1) == [b"".join(parts)] == list(generate_frames(data, number_of_frames=1))


@given(frames=jpeg_frames, data=st.data())
def test_tables_that_lie_are_not_followed(frames: Frames, data: st.DataObject) -> None:
    """Out of range, not rising, too short, not at an item, or not from the start: the frames all the same."""
    offsets, count = offsets_of(frames), len(frames)
    wrong = data.draw(st.integers(0, count - 1))
    kind = data.draw(
        st.sampled_from(["random", "short", "shifted", "reversed", "beyond", "one wrong", "late"])
    )
    lie = {
        "random": data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=count, max_size=count)),
        "short": offsets[:-1],
        "shifted": [offset + data.draw(st.sampled_from([1, 4, 8])) for offset in offsets],
        "reversed": offsets[::-1],
        "beyond": [offset + (10**6 if number else 0) for number, offset in enumerate(offsets)],
        "one wrong": [offset + 2 * (number == wrong > 0) for number, offset in enumerate(offsets)],
        "late": [8 + len(frames[0][0]), *offsets[1:]],
    }[kind]
    expected = [b"".join(parts) for parts in frames]
    assert read_all(encapsulated(frames, lie), count) == expected
    assert read_all(encapsulated(frames), count, struct.pack(f"<{len(lie)}Q", *lie)) == expected


@given(frames=any_frames.filter(lambda frames: len(frames) > 1), extra=st.integers(1, 3))
def test_table_of_more_frames_than_the_header(frames: Frames, extra: int) -> None:
    """The frames that the header counts, as pydicom gives them; the last one ends where the next begins."""
    count = max(1, len(frames) - extra)
    data = encapsulated(frames, offsets_of(frames))
    expected = [get_frame(data, number, number_of_frames=count) for number in range(count)]
    assert read_all(data, count) == expected == [b"".join(parts) for parts in frames[:count]]
    extended = struct.pack(f"<{len(frames)}Q", *offsets_of(frames))
    assert read_all(encapsulated(frames), count, extended) == expected


def test_table_of_a_length_that_is_no_multiple() -> None:
    frames = [[b"\xff\xd8\xffabc"], [b"\xff\xd8\xffdef"]]
    table = struct.pack("<2I", *offsets_of(frames)) + b"\0\0"
    data = item(table) + b"".join(item(part) for (part,) in frames)
    assert read_all(data, 2) == [part for (part,) in frames]


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("table", [(), (0,), (0, 3, 9)])
def test_fragments_that_cannot_be_told_apart(count: int, table: Sequence[int]) -> None:
    """Three fragments that begin no codestream are neither two frames nor five."""
    data = encapsulated([[b"ab"], [b"cd"], [b"ef"]], table)
    with pytest.raises(ClipProblem, match="does not hold the number of frames"):
        read_all(data, count)


def test_fewer_codestreams_than_frames() -> None:
    """Those that are there are given, and of the others it is said how many are there."""
    frames = [[b"\xff\xd8\xffab", b"cd"], [b"\xff\xd8\xffef"]]
    file = io.BytesIO(encapsulated(frames))
    found = EncapsulatedFrames(file, 0, 4)
    assert found.read(file, 1) == frames[1][0]
    with pytest.raises(ClipProblem, match="cut off: 2 of 4 frames are there"):
        found.read(file, 3)


@pytest.mark.parametrize("tabled", [True, False])
def test_cut_anywhere(tabled: bool) -> None:
    """Cut after any byte: frames before the cut are whole, later ones are a problem, never other bytes."""
    frames = [[b"\xff\xd8\xff" + bytes([number]) * (7 + 2 * number), b"more"] for number in range(4)]
    expected = [b"".join(parts) for parts in frames]
    whole = encapsulated(frames, offsets_of(frames) if tabled else ())
    start = len(whole) - len(encapsulated(frames)) + 8
    seen = [start + offset + 12 for offset in [*offsets_of(frames), 10**6]]  # that a codestream begins there
    for length in range(len(whole)):
        file = io.BytesIO(whole[:length])
        try:
            found = EncapsulatedFrames(file, 0, 4)
        except ClipProblem:
            assert length < 8
            continue
        for number, frame in enumerate(expected):
            end = start + sum(len(part) + 8 for parts in frames[: number + 1] for part in parts)
            if length >= (end if tabled else seen[number + 1]):
                assert found.read(file, number) == frame
                continue
            with contextlib.suppress(ClipProblem):
                assert frame.startswith(found.read(file, number))


def test_a_cut_file_of_as_many_fragments_as_frames() -> None:
    """Four frames of two fragments, cut after the fourth: two frames, not four halves."""
    frames = [[b"\xff\xd8\xff" + bytes([number]) * 5, b"more"] for number in range(4)]
    whole = encapsulated(frames)
    file = io.BytesIO(whole[: whole.index(frames[2][0]) - 8])
    found = EncapsulatedFrames(file, 0, 4)
    assert [found.read(file, number) for number in (0, 1)] == [b"".join(parts) for parts in frames[:2]]
    with pytest.raises(ClipProblem, match="cut off: 2 of 4"):
        found.read(file, 2)


def test_a_garbled_start_does_not_move_the_other_frames() -> None:
    """As many fragments as frames up to the delimiter: the count holds, whatever one of them begins with."""
    frames = [[b"\xff\xd8\xff" + bytes([number]) * 5] for number in range(4)]
    frames[1] = [b"\0\0\0\0" + b"1" * 4]
    assert read_all(encapsulated(frames), 4) == [part for (part,) in frames]


@pytest.mark.parametrize("kind", ["basic", "extended", "none", "starts"])
def test_only_the_chosen_frame_is_read(kind: str) -> None:
    """Of 200 frames of 3000 bytes each, one is read, and at most twelve bytes of every other fragment."""
    parts = 2 if kind == "starts" else 1
    frames = [[b"\xff\xd8\xff" + bytes([n]) * 2997, *[b"-" * 3000] * (parts - 1)] for n in range(200)]
    offsets = offsets_of(frames)
    file = Counted(encapsulated(frames, offsets if kind == "basic" else ()))
    extended = struct.pack("<200Q", *offsets) if kind == "extended" else None
    found = EncapsulatedFrames(file, 0, 200, extended)
    assert file.taken <= 8 + 4 * 201
    file.taken = 0
    assert found.read(file, 120) == b"".join(frames[120])
    spare = 2 * 8 if kind in ("basic", "extended") else 12 * (200 * parts + 1)
    assert file.taken <= 3000 * parts + spare


def test_all_fragments_as_a_stream() -> None:
    frames = [[b"ab", b"cd"], [b"ef"]]
    file = io.BytesIO(encapsulated(frames, offsets_of(frames)))
    assert EncapsulatedFrames(file, 0, 1).read_all(file, 6) == b"abcdef"
    with pytest.raises(ClipProblem, match="too large"):
        EncapsulatedFrames(file, 0, 1).read_all(file, 5)


def test_endless_fragments_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of nothing but empty items is given up."""
    monkeypatch.setattr(fragments, "MOST_FRAGMENTS", 1000)
    file = io.BytesIO(item(b"") * 5000)
    with pytest.raises(ClipProblem, match="too many fragments"):
        EncapsulatedFrames(file, 0, 2).read(file, 0)


@given(
    size=st.integers(1, 9),
    frames=st.integers(1, 6),
    swapped=st.booleans(),
    start=st.integers(0, 9),
    data=st.data(),
)
def test_uncompressed_frames(size: int, frames: int, swapped: bool, start: int, data: st.DataObject) -> None:
    """One behind the other, also of odd length in pairs that are turned; nothing else is read."""
    pixels = data.draw(st.binary(min_size=size * frames, max_size=size * frames))
    stored = pixels + b"\0" * (len(pixels) % 2)
    if swapped:
        stored = b"".join(stored[at : at + 2][::-1] for at in range(0, len(stored), 2))
    found = NativeFrames(start, size, frames, swapped)
    for number in reversed(range(frames)):
        file = Counted(b"x" * start + stored)
        assert found.read(file, number) == pixels[size * number : size * (number + 1)]
        assert file.taken <= size + 2
    cut = data.draw(st.integers(0, size * frames - 1))
    file = Counted((b"x" * start + stored)[: start + cut])
    with pytest.raises(
        ClipProblem, match=rf"^pixel data is cut off: \d of {frames} frames are there$"
    ) as caught:
        found.read(file, frames - 1)
    assert int(str(caught.value).split()[5]) == cut // size


@pytest.mark.parametrize("table", [(), (0,)])
def test_a_fragment_longer_than_the_file_sets_no_memory_aside(tmp_path: Path, table: Sequence[int]) -> None:
    """A file on the disk: one in memory gives no more than it has."""
    path = tmp_path / "a"
    lie = b"\xfe\xff\0\xe0" + struct.pack("<I", 0x7FFFFFF0) + bytes(99)
    path.write_bytes(item(struct.pack(f"<{len(table)}I", *table)) + lie)
    with path.open("rb") as file:
        found = EncapsulatedFrames(file, 0, 1)
        tracemalloc.start()
        with pytest.raises(ClipProblem, match=r"^pixel data is cut off: 0 of 1 frames are there$"):
            found.read(file, 0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1 << 20
