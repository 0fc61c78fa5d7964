"""Open one DICOM file, read its facts, decode chosen frames.

pydicom is the reference for every transfer syntax. JPEG frames of 8 bits go straight to libjpeg-turbo
(simplejpeg), which gives the same pixels an order of magnitude faster. Only the chosen frames are decoded.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import simplejpeg
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from apical.errors import ClipProblem
from apical.ingest.damage import Unreadable, decoding
from apical.ingest.deidentify import clip_id_of_file, clip_id_of_uid, tidy
from apical.ingest.facts import Facts, Region, check_size

ULTRASOUND_CLASSES = frozenset(
    "1.2.840.10008.5.1.4.1.1." + end
    for end in ("3", "3.1", "6", "6.1")  # multi-frame and single, and retired
)
_JPEG = frozenset("1.2.840.10008.1.2.4." + end for end in ("50", "51", "57", "70"))
_LUMA_FIRST = frozenset({"YBR_FULL", "YBR_FULL_422"})
_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_GREY_TRANSFORMS = ("RescaleSlope", "ModalityLUTSequence", "WindowWidth", "VOILUTSequence")
_KNOWN = _LUMA_FIRST | _MONOCHROME | {"RGB", "PALETTE COLOR", "YBR_ICT", "YBR_RCT"}


class DicomClip:
    """One opened DICOM file.

    Attributes:
        facts: what the header says.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ClipProblem: not DICOM, not ultrasound, no pixels, or sizes that cannot be.
        """
        with _quiet(), decoding("damaged DICOM header"):
            self._dataset = _read(path)
            self.facts = _facts(self._dataset, path)
            self._photometric = str(self._dataset.get("PhotometricInterpretation"))
            allocated = self._dataset.get("BitsAllocated")
            self._bits = int(self._dataset.get("BitsStored") or allocated or 0)
        if self._photometric not in _KNOWN or allocated not in (8, 16) or not 1 <= self._bits <= allocated:
            raise ClipProblem("colour model or number of bits is not supported")

    def decode(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames to grey: the luma where it is stored, else ITU-R BT.601 luma of the colours.

        Args:
            numbers: frame numbers from 0.

        Returns:
            (len(numbers), rows, columns) uint8.

        Raises:
            ClipProblem: a frame cannot be decoded.
        """
        return self._stack(numbers, grey=True)

    def decode_colour(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames to RGB, (len(numbers), rows, columns, 3) uint8; else as `decode`."""
        return self._stack(numbers, grey=False)

    def _stack(self, numbers: Sequence[int], *, grey: bool) -> NDArray[np.uint8]:
        shape = (self.facts.rows, self.facts.columns) if grey else (self.facts.rows, self.facts.columns, 3)
        with _quiet(), decoding("pixel data cannot be decoded"):
            frames = list(self._frames(list(numbers), grey))
        if len(frames) != len(numbers) or any(frame.shape != shape for frame in frames):
            raise ClipProblem("pixel data does not have the size that the header says")
        return np.stack(frames)

    def _frames(self, numbers: list[int], grey: bool) -> Iterator[NDArray[np.uint8]]:
        dataset = self._dataset
        direct = dataset.file_meta.TransferSyntaxUID in _JPEG and dataset.BitsAllocated == 8
        luma = grey and self._photometric in _LUMA_FIRST
        for number in numbers:  # pydicom's iter_pixels fails on the second frame of raw YBR_FULL_422
            pixels = self._plain_jpeg(number, grey) if direct else None
            if pixels is None:
                pixels = pixel_array(dataset, index=number, raw=luma)
                pixels = pixels[..., 0] if luma else pixels
            yield self._to_8_bits(pixels, grey)

    def _plain_jpeg(self, number: int, grey: bool) -> NDArray[np.uint8] | None:
        """One frame by libjpeg alone; None where that may not be what was stored.

        The JPEG's own size and colours must be those of the header. Where libjpeg only warns,
        simplejpeg raises, and pydicom decides whether the frame is damaged.
        """
        data = get_frame(self._dataset.PixelData, number, number_of_frames=self.facts.frames)
        expected = "YCbCr" if self._photometric in _LUMA_FIRST else "Gray"
        if self._photometric == "RGB":  # stored without the YBR step; grey is made of the colours
            expected = "RGB"
        one = expected == "Gray" or (grey and expected == "YCbCr")
        try:
            rows, columns, colours, _ = simplejpeg.decode_jpeg_header(data)
            if (rows, columns, colours) != (self.facts.rows, self.facts.columns, expected):
                return None
            pixels = simplejpeg.decode_jpeg(data, colorspace="GRAY" if one else "RGB")
        except ValueError:
            return None
        return np.asarray(pixels[..., 0] if one else pixels, np.uint8)

    def _to_8_bits(self, pixels: NDArray[Any], grey: bool) -> NDArray[np.uint8]:
        """One decoded frame, grey or colour as stored, to uint8 grey (rows, columns) or RGB."""
        if self._photometric == "PALETTE COLOR":
            pixels = self._palette[pixels]
        elif self._photometric in _MONOCHROME:
            pixels = self._window(pixels)
        elif self._bits > 8:
            pixels = pixels >> (self._bits - 8)
        picture = np.ascontiguousarray(pixels, dtype=np.uint8)
        if grey and picture.ndim == 3:
            return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        if not grey and picture.ndim == 2:
            return np.repeat(picture[..., None], 3, axis=2)
        return picture

    @cached_property
    def _palette(self) -> NDArray[np.uint8]:
        """(2 ** BitsAllocated, 3) uint8: the colour of every stored value.

        Entries of 16 bits lose their lower byte, unless all upper bytes are empty: some files say 16
        bits and hold 8.
        """
        values = np.arange(
            1 << int(self._dataset.BitsAllocated), dtype=f"u{self._dataset.BitsAllocated // 8}"
        )
        colours = apply_color_lut(values, self._dataset)[..., :3]
        return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)

    def _window(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Monochrome values through modality and VOI transformations to 0-255, black at 0.

        The scale comes from the stored range, not from the picture, so all frames share it.
        """
        dataset = self._dataset
        signed = int(dataset.get("PixelRepresentation") or 0) == 1
        ends = np.array([0, (1 << self._bits) - 1]) - (1 << self._bits - 1 if signed else 0)
        if any(name in dataset for name in _GREY_TRANSFORMS):
            ends = apply_modality_lut(ends.astype(pixels.dtype), dataset)
            pixels = apply_voi_lut(apply_modality_lut(pixels, dataset), dataset)
            if "VOILUTSequence" in dataset:
                ends = np.array([0, (1 << int(dataset.VOILUTSequence[0].LUTDescriptor[2])) - 1])
        low, high = float(ends.min()), float(ends.max())
        if pixels.dtype != np.uint8 or (low, high) != (0, 255):
            pixels = np.clip(np.rint((pixels - low) * (255 / max(high - low, 1e-9))), 0, 255)
        grey = pixels.astype(np.uint8)
        return 255 - grey if self._photometric == "MONOCHROME1" else grey


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence pydicom's warnings and log: they quote values of the file, which may be identifiers."""
    logger = logging.getLogger("pydicom")  # its children hand their records up to it
    was = logger.propagate
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = was


def _read(path: Path) -> Dataset:
    """Parse the file; one without the DICM mark must prove itself by its elements."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
        dataset = pydicom.dcmread(path, force=True) if head else Dataset()
    except OSError as error:
        if error.errno is not None:  # of the system; pydicom's own have no number
            raise Unreadable from None
        raise
    if not head:
        raise ClipProblem("empty file")
    if head[128:] != b"DICM" and "Rows" not in dataset:
        raise ClipProblem("not a DICOM file")
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        if name in dataset and not dataset[name].value:
            del dataset[name]  # says nothing, but pydicom would look into it
    return dataset


def _facts(dataset: Dataset, path: Path) -> Facts:
    if not any(name in dataset for name in ("Modality", "SOPClassUID", "Rows")):
        raise ClipProblem("incomplete DICOM file")
    if str(dataset.get("Modality", "")) != "US" and dataset.get("SOPClassUID") not in ULTRASOUND_CLASSES:
        raise ClipProblem("not an ultrasound image")
    if "PixelData" not in dataset or "Rows" not in dataset or "Columns" not in dataset:
        raise ClipProblem("no pixel data")
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _guess_syntax(dataset)
    frames, rows, columns = int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns)
    check_size(frames, rows, columns)
    uid = str(dataset.get("SOPInstanceUID") or "")
    patient = _text(dataset, "PatientID")
    study = _text(dataset, "StudyInstanceUID")
    regions = _regions(dataset)
    return Facts(
        clip=clip_id_of_uid(uid) if uid else clip_id_of_file(path),
        frames=frames,
        rows=rows,
        columns=columns,
        frame_time_ms=_frame_time(dataset),
        mode=_declared_mode(dataset, regions),
        contrast_agent=True if _text(dataset, "ContrastBolusAgent") else None,
        manufacturer=_text(dataset, "Manufacturer"),
        model=_text(dataset, "ManufacturerModelName"),
        regions=regions,
        patient_key=patient or study,
        study_key=study,
    )


def _guess_syntax(dataset: Dataset) -> UID:
    """The transfer syntax of a file without file meta: how it was parsed, which holds if uncompressed."""
    if dataset.PixelData[:4] == b"\xfe\xff\x00\xe0":
        raise ClipProblem("compressed pixel data without a transfer syntax")
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _text(dataset: Dataset, name: str) -> str | None:
    return tidy(str(dataset.get(name) or "")) or None


def _number(dataset: Dataset, name: str) -> float | None:
    try:
        return float(dataset.get(name))
    except (TypeError, ValueError):
        return None


def _frame_time(dataset: Dataset) -> float | None:
    """Milliseconds between frames from (0018,1063), (0018,1065), (0018,0040) or (0008,2144)."""
    time = _number(dataset, "FrameTime")
    vector = dataset.get("FrameTimeVector")  # a lone value is no list, and no time either
    if not time and isinstance(vector, MultiValue) and len(vector) > 1:
        time = float(np.mean([float(step) for step in vector[1:]]))
    if not time:
        rate = _number(dataset, "CineRate") or _number(dataset, "RecommendedDisplayFrameRate")
        time = 1000 / rate if rate else None
    return time if time and 0.1 <= time <= 10_000 else None


def _regions(dataset: Dataset) -> tuple[Region, ...]:
    corners = (f"RegionLocation{corner}" for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1"))
    names = ("RegionSpatialFormat", "RegionDataType", *corners)
    items = dataset.get("SequenceOfUltrasoundRegions") or ()
    return tuple(
        Region(*(int(item[name].value) for name in names))
        for item in items
        if all(name in item and item[name].value is not None for name in names)
    )


def _declared_mode(dataset: Dataset, regions: tuple[Region, ...]) -> str | None:
    """The mode from the region tags and, without any, from ImageType value 4 (PS3.3 C.8.5.6.1.1)."""
    formats, types = {r.spatial_format for r in regions}, {r.data_type for r in regions}
    image_type = dataset.get("ImageType") or ()
    values = [image_type] if isinstance(image_type, str) else list(image_type)
    code = str(values[3]) if len(values) > 3 else ""
    bits = int(code, 16) if len(code) == 4 and all(c in "0123456789abcdefABCDEF" for c in code) else 0
    if 3 in formats or types & {3, 4} or bits & 0x000C:
        return "spectral"
    if 2 in formats or bits & 0x0022:
        return "m-mode"
    if 2 in types or bits & 0x0110:
        return "colour"
    colour_present = dataset.get("UltrasoundColorDataPresent")
    if colour_present == 0 and str(dataset.get("PhotometricInterpretation")) in _MONOCHROME:
        return "2d"
    return None
