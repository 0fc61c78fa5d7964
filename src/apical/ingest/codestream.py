"""What a compressed frame says of its own size, read before a decoder asks for the memory."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from apical.errors import ClipProblem

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # SOF0-15, and SOF55 of JPEG-LS
_COSINES = frozenset({0xC0, 0xC1, 0xC2})
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


@dataclass(frozen=True)
class Codestream:
    """Facts of one compressed frame.

    Attributes:
        rows, columns, samples, bits: of the decoded picture.
        colours: ``Gray``, ``YCbCr`` or ``RGB``, as libjpeg takes a JPEG that works by cosines; else None.
    """

    rows: int
    columns: int
    samples: int
    bits: int
    colours: str | None = None


def read_codestream(data: bytes) -> Codestream | None:
    """The facts of a JPEG, JPEG-LS or JPEG 2000 codestream; None for anything else, or if it ends before."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    at = data.find(b"\xff\x4f\xff\x51", 0, 1 << 16)  # a JP2 file has boxes before it
    return _jpeg_2000(data, at + 2) if at >= 0 and _boxes_end(data) else None


def check_codestream(data: bytes, rows: int, columns: int, samples: int) -> Codestream:
    """The facts of a frame that has the size of the header.

    Raises:
        ClipProblem: it has another one, or is no codestream.
    """
    found = read_codestream(data)
    if found is None:
        raise ClipProblem("pixel data cannot be decoded")
    if not 1 <= found.bits <= 16:
        raise ClipProblem("pixel data cannot be decoded")
    if (found.rows, found.columns, found.samples) != (rows, columns, samples):
        raise ClipProblem("pixel data does not have the size that the header says")
    return found


def is_orderly_jpeg(data: bytes) -> bool:
    """Whether libjpeg has nothing to warn of up to the pixels of a JPEG.

    Segments follow one another without other bytes between them, and JFIF and Adobe are of known versions.
    gdcm ends the process where there is something.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a filling byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        strange = marker == 0 or marker in _BARE or len(body) != length - 2
        strange |= marker == 0xE0 and body[:5] == b"JFIF\0" and body[5:6] != b"\1"
        strange |= marker == 0xEE and body[:5] == b"Adobe" and body[11:12] not in (b"\0", b"\1")
        if strange or marker == 0xDA:
            return not strange
        position += 2 + length
    return False


def _jpeg(data: bytes) -> Codestream | None:
    position, jfif, transform = 2, False, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            position += 1
            continue
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _BARE or marker == 0:
            position += 2
        elif marker in _JPEG_FRAMES:
            if position + 10 > len(data):
                return None
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 4)
            if position + 10 + 3 * samples > len(data):
                return None
            ids = data[position + 10 : position + 10 + 3 * samples : 3]
            colours = _colours(ids, jfif, transform) if marker in _COSINES else None
            return Codestream(rows, columns, samples, bits, colours)
        elif marker == 0xDA:  # pixels before any frame header
            return None
        else:
            jfif |= marker == 0xE0 and data[position + 4 : position + 8] == b"JFIF"
            if marker == 0xEE and data[position + 4 : position + 9] == b"Adobe":
                transform = data[position + 15] if position + 15 < len(data) else None
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _colours(ids: bytes, jfif: bool, transform: int | None) -> str | None:
    """The colour model that libjpeg assumes (jdapimin.c, default_decompress_parms)."""
    if len(ids) != 3:
        return "Gray" if len(ids) == 1 else None
    if jfif:
        return "YCbCr"
    if transform is not None:
        return "RGB" if transform == 0 else "YCbCr"
    return "RGB" if ids == b"RGB" else "YCbCr"


def _boxes_end(data: bytes) -> bool:
    """Whether the boxes of a JP2 file lead on to its codestream: pydicom follows one of length 0 for ever."""
    position = 12 if data.startswith(b"\0\0\0\x0cjP  ") else len(data)
    while position < len(data) and data[position + 4 : position + 8] != b"jp2c":
        length = int.from_bytes(data[position : position + 4], "big")
        if length < 8:
            return False
        position += length
    return True


def _jpeg_2000(data: bytes, at: int) -> Codestream | None:
    if at + 41 > len(data):
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, at + 6)
    (samples,) = struct.unpack_from(">H", data, at + 38)
    bits = (data[at + 40] & 0x7F) + 1
    return Codestream(y1 - y0, x1 - x0, samples, bits)
