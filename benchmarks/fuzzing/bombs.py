"""Small files that unpack to the largest that ingest allows, or to more."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib

import numpy as np
import pydicom
import simplejpeg
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from fuzzing.corpus import png_chunk

MB = 1 << 20
DEFLATED, RLE, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"

Files = dict[str, bytes]


def bomb(rng: random.Random) -> tuple[str, Files]:
    """What it is, and its only file."""
    make = rng.choice(_BOMBS)
    return f"bomb {make.__name__.strip('_')}", make(rng)


def _png_bomb(rng: random.Random) -> Files:
    side = rng.choice((4096, 8192, 60_000))
    head = struct.pack(">IIBBBBB", side, side, 8, rng.choice((0, 2)), 0, 0, 0)
    packer = zlib.compressobj(9)
    body = b"".join([*(packer.compress(bytes(MB)) for _ in range(rng.choice((16, 48)))), packer.flush()])
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    return {"x.png": b"\x89PNG\r\n\x1a\n" + chunks}


def _nifti_bomb(rng: random.Random) -> Files:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    code, bits = rng.choice(((2, 8), (4, 16), (64, 64), (128, 24)))
    struct.pack_into("<8h", head, 40, 3, 4096, 4096, rng.choice((1, 2, 8, 60)), 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, code, bits)
    struct.pack_into("<f", head, 108, 352.0)
    head[344:348] = b"n+1\0"
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as file:
        file.write(head)
        for _ in range(rng.choice((16, 64, 1100))):
            file.write(bytes(MB))
    return {"x.nii.gz": buffer.getvalue()}


def _zip_bomb(rng: random.Random) -> Files:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.dcm", "w") as member:
        for _ in range(rng.choice((100, 300))):
            member.write(bytes(MB))
    return {"x.zip": buffer.getvalue()}


def _deflated_bomb(rng: random.Random) -> Files:
    frames = rng.choice((2, 20, 70))
    data = _written(_header(frames, 4096, 4096, DEFLATED), b"\0\0")
    (length,) = struct.unpack_from("<I", data, 140)  # of the file meta group
    plain = zlib.decompress(data[144 + length :], -15)
    packer = zlib.compressobj(1, wbits=-15)
    parts = [packer.compress(plain[:-6] + struct.pack("<I", frames << 24))]
    parts += [packer.compress(bytes(1 << 24)) for _ in range(frames)]
    return {"x.dcm": data[: 144 + length] + b"".join([*parts, packer.flush()])}


def _rle_bomb(rng: random.Random) -> Files:
    frames, rows, columns = rng.choice(((2, 4096, 4096), (30, 512, 512)))
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (rows * columns // 128)
    header = _header(frames, rows, columns, RLE)
    return {"x.dcm": _written(header, encapsulate([frame] * frames, has_bot=False))}


def _jpeg_bomb(rng: random.Random) -> Files:
    frames = rng.choice((1, 4))
    frame = simplejpeg.encode_jpeg(np.zeros((4096, 4096, 1), np.uint8), 50, "GRAY")
    header = _header(frames, 4096, 4096, JPEG)
    return {"x.dcm": _written(header, encapsulate([frame] * frames, has_bot=False))}


def _gif_bomb(rng: random.Random) -> Files:
    side, frames = rng.choice(((4096, 3), (2048, 12), (65535, 5)))
    head = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + bytes(3) + b"\xff" * 3
    picture = b"\x21\xf9\x04\0\x04\0\0\0" + b"\x2c\0\0\0\0\1\0\1\0\0\x02\x02\x44\x01\0"
    return {"x.gif": head + picture * frames + b";"}


def _header(frames: int, rows: int, columns: int, syntax: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.3.1", "1.2.47114711"
    dataset.Modality, dataset.PhotometricInterpretation = "US", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames, dataset.SamplesPerPixel = rows, columns, frames, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    return dataset


def _written(dataset: Dataset, pixels: bytes) -> bytes:
    dataset.PixelData = pixels
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


_BOMBS = (_png_bomb, _nifti_bomb, _zip_bomb, _deflated_bomb, _rle_bomb, _jpeg_bomb, _gif_bomb)
