"""Damage to pictures, videos, volumes, archives and DICOMDIRs that knows their structure."""

from __future__ import annotations

import gzip
import io
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

from pydicom.dataset import Dataset

from fuzzing.corpus import Corpus, png_chunk
from fuzzing.dicom_headers import rewritten

BIG = (
    0,
    1,
    2,
    3,
    127,
    255,
    4096,
    8192,
    8193,
    32767,
    32768,
    65535,
    1 << 24,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)


def png(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Chunks with other sizes, colours and depths, or in another order; their check sums are right."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    for _ in range(rng.choice((1, 1, 2))):
        kind, body = chunks[number := rng.choice((0, 0, 0, rng.randrange(len(chunks))))]
        if kind == b"IHDR":
            where = rng.choice((0, 4, 8, 9, 10, 11, 12))
            byte = bytes([rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))])
            coded = struct.pack(">I", rng.choice(BIG)) if where < 8 else byte
            chunks[number] = kind, body[:where] + coded + body[where + len(coded) :]
        elif rng.random() < 0.3:
            chunks.insert(rng.randrange(len(chunks)), (kind, body))
        elif rng.random() < 0.3:
            chunks[number] = rng.choice((b"PLTE", b"tRNS", b"iCCP", b"acTL", b"fdAT", b"zTXt", b"eXIf")), body
        else:
            plain = zlib.decompressobj().decompress(body)
            chunks[number] = kind, zlib.compress(plain * rng.choice((0, 1, 3)) + rng.randbytes(9))
    return data[:8] + b"".join(png_chunk(kind, body) for kind, body in chunks)


def jpeg(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Segments with other sizes, numbers and lengths."""
    found = [match.start() for match in re.finditer(rb"\xff[\xc0-\xcf\xda-\xdd\xe0-\xef\xfe]", data)]
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.choice(found) + rng.choice((1, 2, 4, 5, 7, 9, 10, 11, 12))
        struct.pack_into(">H", changed, at, rng.choice(BIG) & 0xFFFF)
    return bytes(changed)


def gif(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Another size of the screen or of a picture, or of its codes."""
    changed = bytearray(data)
    pictures = [match.start() for match in re.finditer(rb"\x2c....[^\0]?[\0-\4]", data, re.DOTALL)]
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.choice((6, 8, *(start + rng.choice((1, 3, 5, 7)) for start in pictures)))
        struct.pack_into("<H", changed, at, rng.choice(BIG) & 0xFFFF)
    if rng.random() < 0.3:
        changed[rng.choice((10, 11, *(start + 10 for start in pictures)))] = rng.randrange(256)
    return bytes(changed)


def boxes(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Boxes of an MP4 or chunks of an AVI with other lengths, names or numbers."""
    little = data[:4] == b"RIFF"
    found = [match.start() for match in re.finditer(rb"[a-z0-9A-Z ]{4}", data[: 1 << 16])]
    known = re.compile(
        rb"avih|strh|strf|idx1|LIST|hdrl|movi|moov|trak|mdhd|mvhd|tkhd|st[a-z]{2}|ctts|avcC|hvcC|elst|hdlr"
    )
    named = [match.start() for match in known.finditer(data)]
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.choice(named or found)
        if rng.random() < 0.2:
            changed[at : at + 4] = rng.choice((b"free", b"moov", b"LIST", b"JUNK", b"stbl", b"mdat", b"RIFF"))
            continue
        where = at + (4 if little else -4) if rng.random() < 0.3 else at + 4 * rng.randrange(1, 16)
        if 0 <= where <= len(data) - 4:
            struct.pack_into("<I" if little else ">I", changed, where, rng.choice((*BIG, 90_000, 1000, 24)))
    return bytes(changed)


def nifti(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Other dimensions, type, offset, scale, units or spacing."""
    changed = bytearray(data)
    axes = range(8)
    first = [
        ("<h", 70),
        ("<h", 72),
        ("<h", 254),
        ("<b", 123),
        ("<i", 0),
        ("<f", 108),
        ("<f", 112),
        ("<f", 116),
    ]
    first += [*(("<h", 40 + 2 * axis) for axis in axes), *(("<f", 76 + 4 * axis) for axis in axes)]
    second = [("<h", 12), ("<q", 168), ("<i", 500), ("<d", 176)]
    second += [*(("<q", 16 + 8 * axis) for axis in axes), *(("<d", 104 + 8 * axis) for axis in axes)]
    types = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 511, 512, 768, 1024, 1536, 1792, 2048, 2304)
    for _ in range(rng.choice((1, 1, 2, 4))):
        form, at = rng.choice(second if data[4:6] in (b"n+", b"ni") else first)
        real = rng.choice((0.0, -1.0, 1e-40, 1e38, float("nan"), float("inf"), 1.0, 352.0, -352.0, 0.3))
        whole = rng.choice((-1, 0, 1, 2, 3, 5, 7, 8, 96, 8192, 32767, *types))
        number = real if form in ("<f", "<d") else min(whole, 127) if form == "<b" else whole
        struct.pack_into(form, changed, at, number)
    return bytes(changed)


def packed(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Damage within a packed NIfTI file, which is then packed again."""
    plain = gzip.decompress(data)
    return gzip.compress(nifti(rng, plain, files)[: rng.choice((len(plain), len(plain), 400, 200))], mtime=0)


def meta(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Other words behind an equals sign of a MetaImage."""
    lines = data.split(b"\n", 11)
    for _ in range(rng.choice((1, 1, 2))):
        number = rng.randrange(len(lines) - 1)
        name = rng.choice((lines[number].split(b"=")[0], *_META_NAMES))
        lines[number] = name + b"= " + rng.choice(_META_WORDS).encode()
    return b"\n".join(lines)


_META_NAMES = (b"HeaderSize ", b"ElementNumberOfChannels ", b"BinaryDataByteOrderMSB ")
_META_WORDS = (
    "", "-1", "0", "1e9", "8192 8192 8192", "128 96", "128 96 3 1", "128 96 3 1 1", "4294967296 1 1",
    "NaN NaN NaN", "3", "1 2", "MET_DOUBLE", "MET_SHORT", "MET_UCHAR_ARRAY", "MET_NOTHING", "True", "LOCAL",
    "LIST", "../../etc/passwd", "/dev/zero", "beside.raw", "beside.mhd", "x" * 9000, "-1 -1 -1", "0.3",
)  # fmt: skip


def archive(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """An archive with members that cannot be: names, copies, or archives inside."""
    buffer = io.BytesIO()
    synthetic = [name for name in files if not name.startswith("real")]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name
        for name in rng.sample(_MEMBERS, rng.choice((1, 3, len(_MEMBERS)))):
            made.writestr(zipfile.ZipInfo(name) if rng.random() < 0.9 else name, files[rng.choice(synthetic)])
    return central(rng, buffer.getvalue(), files) if rng.random() < 0.7 else buffer.getvalue()


_MEMBERS = (
    "../../escape.dcm", "/etc/escape.dcm", "a" * 3000 + ".dcm", "/".join("a" * 400) + "/x.dcm", "a::b.dcm",
    "", ".", "..", "x.dcm", "x.dcm", "C:\\x.dcm", "zip://x.dcm", "x\0y.dcm", "\u202ex.dcm", "ZQXJOHANNA/x",
    "x.zip", "DICOMDIR", "x.dcm/",
)  # fmt: skip


def central(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """An archive whose lists of members lie: of sizes, offsets, methods, flags and names."""
    changed = bytearray(data)
    heads = [match.start() for match in re.finditer(rb"PK\x01\x02", data)]
    local = [match.start() for match in re.finditer(rb"PK\x03\x04", data)]
    fields = (
        (heads, ((8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (28, "<H"), (42, "<I"))),
        (local, ((6, "<H"), (8, "<H"), (18, "<I"), (22, "<I"), (26, "<H"), (28, "<H"))),
        ([data.rfind(b"PK\x05\x06")], ((8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H"))),
    )
    for _ in range(rng.choice((1, 2, 5))):
        places, numbers = rng.choice(fields)
        where, form = rng.choice(numbers)
        lie = rng.choice((*BIG, *local[:2], 12, 14, 93, 98))
        mask = 0xFFFF if form == "<H" else 0xFFFFFFFF
        struct.pack_into(form, changed, rng.choice(places) + where, lie & mask)
    return bytes(changed)


def directory(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """A DICOMDIR whose records lead to itself, out of its folder, or nowhere."""

    def change(dataset: Dataset) -> None:
        records = list(dataset.get("DirectoryRecordSequence") or [])[:50]
        for record in records:
            if rng.random() < 0.6:
                record.ReferencedFileID = rng.choice(_FILE_IDS)
            record.OffsetOfTheNextDirectoryRecord = rng.choice((0, 1, 0xFFFFFFFF, 132, 400))
            if rng.random() < 0.2:
                record.DirectoryRecordSequence = [Dataset()]
        dataset.DirectoryRecordSequence = records * rng.choice((0, 1, 1, 1, 40))

    return rewritten(data, change)


_FILE_IDS = (
    ["DICOMDIR"], ["..", "..", "etc", "passwd"], ["/etc/passwd"], ["EXAM"], [""], ["EXAM", ""], [".."],
    ["\0"], ["EXAM", "..", "DICOMDIR"], ["EXAM"] * 300, ["EXAM", "IM0"], ["exam", "im1 "], ["EXAM/IM0"],
    ["a" * 5000], ["file:///etc/passwd"], ["zip://a::b"], ["ZQXJOHANNA"], ["\x80\xff"], ["EXAM\n", "IM0"],
)  # fmt: skip


MUTATIONS: dict[str, tuple[Callable[[random.Random, bytes, Corpus], bytes], ...]] = {
    "png": (png,), "jpeg": (jpeg,), "gif": (gif,), "avi": (boxes,), "mov": (boxes,), "nifti": (nifti,),
    "gzip": (packed,), "mhd": (meta,), "zip": (archive, central),
}  # fmt: skip
