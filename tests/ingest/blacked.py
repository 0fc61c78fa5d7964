"""Pixels to black out, and the clean copies of them as pydicom reads them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from apical.ingest.blackout import SYNTAXES, Syntax, black_out
from apical.ingest.dicom import DicomClip

Pixels = NDArray[Any]
ROWS, COLUMNS = 33, 36  # an odd row, for the padding; an even column, for colours of half the width
RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def noise(kind: str, *shape: int, bits: int = 0, seed: int = 0) -> Pixels:
    """Every value of a type, or of so many of its bits, somewhere in three frames."""
    ends = np.iinfo(kind)
    low, high = (ends.min, ends.max) if not bits else (0, (1 << bits) - 1)
    if bits and ends.min:
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    made = np.random.default_rng(seed).integers(
        low, high, (3, ROWS, COLUMNS, *shape), dtype=kind, endpoint=True
    )
    made.flat[0], made.flat[1] = low, high
    return made


def mask_of(rows: int, columns: int, seed: int = 1) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((rows, columns)) < 0.5


def empty_header() -> Dataset:
    header = Dataset()
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    return header


def cleaned(path: Path, mask: NDArray[np.bool_], syntax: Syntax) -> Dataset:
    """The pixels of a clean copy, written to a file and read again by pydicom."""
    clip = DicomClip(path)
    header = empty_header()
    with black_out(clip, mask, header, syntax) as pixels:
        header.PixelData = pixels.read()
    compressed = SYNTAXES[syntax].is_encapsulated
    header["PixelData"].VR = "OB" if compressed or header.BitsAllocated == 8 else "OW"
    header["PixelData"].is_undefined_length = compressed
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    content = io.BytesIO()
    header.save_as(content, enforce_file_format=True)
    content.seek(0)
    return pydicom.dcmread(content)


def frames_of(dataset: Dataset) -> Pixels:
    """(F, H, W[, 3]) as stored."""
    read = pixel_array(dataset, raw=True)
    return read if dataset.get("NumberOfFrames", 1) > 1 else read[None]
