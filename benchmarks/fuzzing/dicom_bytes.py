"""Damage to the bytes of DICOM files that knows their structure: elements, items, tables and codestreams."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from fuzzing.corpus import Corpus
from fuzzing.dicom_files import NAME

UNDEFINED = 0xFFFFFFFF
LENGTHS = (0, 1, 2, 3, 7, 8, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFE, 0xFFFFFFFE, UNDEFINED)
SIZES = (0, 1, 2, 3, 4, 15, 16, 31, 255, 256, 8192, 32767, 65535)
_STANDARD = (
    "", ".1", ".2", ".1.99", ".1.98", ".5", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81", ".4.90",
    ".4.91", ".4.92", ".4.100", ".4.102", ".4.107", ".4.201", ".4.202", ".4.203", ".7",
)  # fmt: skip
SYNTAXES = (*("1.2.840.10008.1.2" + end for end in _STANDARD), "1.2.3.4.47114711", NAME, "")
LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
ITEM, PIXELS, SYNTAX = 0xFFFEE000, 0x7FE00010, 0x00020010
_JPEG, _J2K = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xf7]\0"), re.compile(rb"\xff\x4f\xff\x51")
END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True)
class Element:
    """Where an element or item is: its tag, the field of its length, and its value."""

    start: int
    tag: int
    vr: bytes
    field: int
    size: int
    length: int
    value: int


def elements(data: bytes, start: int = 0) -> list[Element]:
    """All elements and items from a position on, also nested ones, as far as they can be followed."""
    return list(_elements(data, start))


def _elements(data: bytes, start: int) -> Iterator[Element]:
    at = start or (132 if data[128:132] == b"DICM" else 0)
    while at + 8 <= len(data):
        group, element = struct.unpack_from("<HH", data, at)
        tag, vr = group << 16 | element, data[at + 4 : at + 6]
        if group == 0xFFFE or not (vr.isalpha() and vr.isupper()):
            field, size, vr = at + 4, 4, b""
        elif vr in LONG:
            field, size = at + 8, 4
        else:
            field, size = at + 6, 2
        if field + size > len(data):
            return
        (length,) = struct.unpack_from("<I" if size == 4 else "<H", data, field)
        value = field + size
        yield Element(at, tag, vr, field, size, length, value)
        nested = tag == ITEM and data[value + 4 : value + 6].isupper()
        at = value if vr == b"SQ" or length == UNDEFINED or nested else value + length


def _first(data: bytes, tag: int) -> Element:
    return next(one for one in _elements(data, 0) if one.tag == tag)


def _items(data: bytes) -> list[Element]:
    """The table of offsets and the fragments."""
    start = _first(data, PIXELS).value
    return [one for one in elements(data, start) if one.tag == ITEM]


def length(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """An element or item that lies about its length."""
    one = rng.choice(elements(data))
    near = (one.length + 1, one.length + 2, max(0, one.length - 1), len(data), len(data) - one.value)
    lie = rng.choice((*LENGTHS, *near))
    coded = struct.pack("<I", lie) if one.size == 4 else struct.pack("<H", lie & 0xFFFF)
    return _put(data, one.field, coded)


def boundary(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Cut between two elements, or within the head of one."""
    one = rng.choice(elements(data))
    return data[: rng.choice((one.start, one.field, one.value, one.value + 1))]


def drop(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Without an element."""
    one = rng.choice(elements(data))
    return data[: one.start] + data[one.value + (0 if one.length == UNDEFINED else one.length) :]


def again(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """An element twice, or somewhere else."""
    one, other = rng.choice(elements(data)), rng.choice(elements(data))
    whole = data[one.start : one.value + min(one.length, 4096)]
    return data[: other.start] + whole * rng.choice((1, 1, 500)) + data[other.start :]


def representation(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Another value representation."""
    one = rng.choice([one for one in elements(data) if one.vr])
    vr = rng.choice((b"SQ", b"IS", b"DS", b"UN", b"OB", b"US", b"PN", b"AT", b"FD", b"UI", b"XX", b"\0\0"))
    return _put(data, one.start + 4, vr)


def value(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Other bytes in the value of one element."""
    one = rng.choice([one for one in elements(data) if 0 < one.length < 4096])
    return _put(data, one.value, rng.choice((b"\0", b"\xff", b"9", b"\\", b"-")) * one.length)


def syntax(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Another transfer syntax than that of its pixels."""
    name = rng.choice(SYNTAXES).encode()
    return _replace(data, _first(data, SYNTAX), name + b"\0" * (len(name) % 2))


def swap(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """The pixels of another DICOM file, perhaps of another syntax."""
    other = files[rng.choice([name for name in files if name.endswith(".dcm")])]
    return data[: _first(data, PIXELS).start] + other[_first(other, PIXELS).start :]


def fragments(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Fragments in another order, without delimiter, empty, or in between other things."""
    table, *rest = (data[one.start : one.value + one.length] for one in _items(data))
    how = rng.choice(("shuffled", "empty", "often", "fewer", "ended", "bytes"))
    if how == "shuffled":
        rng.shuffle(rest)
    elif how == "often":
        rest = rest * rng.choice((2, 100))
    elif how == "fewer":
        rest = rest[: rng.randrange(len(rest))]
    elif how == "bytes":
        rest = [struct.pack("<HHIB", 0xFFFE, 0xE000, 1, byte) for byte in b"".join(rest)[:5000]]
    else:
        odd = struct.pack("<HHI", 0xFFFE, 0xE000 if how == "empty" else 0xE0DD, 0)
        rest.insert(rng.randrange(len(rest) + 1), odd)
    end = rng.choice((END, b"", struct.pack("<HHI", 0xFFFE, 0xE0DD, 99)))
    return data[: _first(data, PIXELS).value] + table + b"".join(rest) + end


def offsets(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """A table of offsets that lies."""
    table, *items = _items(data)
    real = [one.start - items[0].start for one in items]
    count = rng.choice((len(real), len(real), len(real), 1, 0, 100_000))
    lies = [rng.choice((*real, 0, 4, 8, real[-1] + 8, 0xFFFFFFF0, UNDEFINED)) for _ in range(count)]
    if rng.random() < 0.5:
        lies = sorted(set(lies))
    if rng.random() < 0.5:
        lies = [0, *lies[1:]]
    return _replace(data, table, b"".join(struct.pack("<I", lie) for lie in lies))


def codestream(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """A codestream that says another size, depth, number of samples, or way of coding."""
    start = _first(data, PIXELS).value
    found = {
        _jpeg_head: [
            one.start() + start for one in re.finditer(rb"\xff[\xc0-\xc3\xc5-\xc7\xf7]\0", data[start:])
        ],
        _j2k_head: [one.start() + start for one in re.finditer(rb"\xff\x4f\xff\x51", data[start:])],
        _rle_head: [one.value for one in _items(data) if one.length >= 64],
    }
    damage, places = next((how, places) for how, places in found.items() if places)
    changed = bytearray(data)
    for at in rng.sample(places, min(len(places), rng.choice((1, 99)))):
        damage(rng, changed, at)
    return bytes(changed)


def _jpeg_head(rng: random.Random, changed: bytearray, at: int) -> None:
    """JPEG or JPEG-LS: length, depth, rows, columns, and the components."""
    struct.pack_into(">H", changed, at + rng.choice((2, 5, 7, 7)), rng.choice(SIZES))
    if rng.random() < 0.5:
        byte = rng.choice((0, 1, 2, 3, 4, 8, 16, 255, 0xC3, 0x44))
        changed[at + rng.choice((1, 4, 9, 10, 11, 12))] = byte


def _j2k_head(rng: random.Random, changed: bytearray, at: int) -> None:
    """JPEG 2000: the sizes of the picture and of its tiles, the components, the levels."""
    fields = [(6, ">H"), *((8 + 4 * number, ">I") for number in range(8)), (40, ">H"), (42, ">B"), (43, ">B")]
    where, form = rng.choice(fields)
    most = {">H": 65535, ">I": UNDEFINED, ">B": 255}[form]
    lie = rng.choice((*SIZES, UNDEFINED, 0x7FFFFFFF, 96, 128))
    struct.pack_into(form, changed, at + where, lie & most)
    levels = changed.find(b"\xff\x52\0", at)
    if levels > 0 and rng.random() < 0.5:
        changed[levels + rng.randrange(4, 16)] = rng.choice((0, 1, 3, 32, 33, 255))


def _rle_head(rng: random.Random, changed: bytearray, at: int) -> None:
    """RLE: the number of segments, and where they begin."""
    struct.pack_into("<I", changed, at + 4 * rng.randrange(5), rng.choice((*SIZES, UNDEFINED)))


def stream(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Bits and bytes within the pixels alone, often near the start of a codestream."""
    changed, start = bytearray(data), _first(data, PIXELS).value
    for _ in range(rng.choice((1, 2, 5, 50))):
        near = min(len(data), start + rng.choice((60, 200, 1000, len(data))))
        at = rng.randrange(start, near)
        changed[at] = rng.choice((changed[at] ^ 1 << rng.randrange(8), 0, 0xFF, rng.randrange(256)))
    return bytes(changed)


def deep(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Sequences within sequences, of undefined length, perhaps never closed."""
    depth = rng.choice((10, 200, 2000, 50_000))
    opened = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * depth
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * rng.choice((depth, 0, depth - 1))
    at = next((one.start for one in elements(data) if one.tag > 0x00081115), len(data))
    return data[:at] + opened + closed + data[at:]


def _replace(data: bytes, one: Element, value: bytes) -> bytes:
    head = data[: one.field] + struct.pack("<I" if one.size == 4 else "<H", len(value))
    return head + value + data[one.value + one.length :]


def _put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


MUTATIONS = (
    length, length, boundary, drop, again, representation, value, syntax, swap, fragments, offsets,
    codestream, codestream, stream, stream, stream, deep,
)  # fmt: skip
