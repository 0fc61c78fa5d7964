"""Set everything but the ultrasound image to black, in every frame, and compress without loss."""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.encoders.base import get_encoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from apical.errors import ClipProblem
from apical.ingest.clip import colours
from apical.ingest.dicom import DicomClip
from apical.ingest.header import SECONDARY_CAPTURE
from apical.ingest.writing import Mask

Syntax = Literal["jpeg-ls", "rle", "uncompressed"]
SYNTAXES: dict[str, UID] = {
    "jpeg-ls": JPEGLSLossless,
    "rle": RLELossless,
    "uncompressed": ExplicitVRLittleEndian,
}


_OF_SEVERAL = SECONDARY_CAPTURE - {SecondaryCaptureImageStorage} | {UltrasoundMultiFrameImageStorage}
_OF_STORED_VALUES = ("WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept")
_LOSSY = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(50|51|81|91|203|1\d\d)(\.1)?")


class _Coloured(Exception):
    """A frame has colours within the mask."""


def black_out(clip: DicomClip, mask: Mask, header: Dataset, syntax: Syntax) -> BinaryIO:
    """Write the pixels of a clean copy, and say in its header how they are written.

    Within the mask the colours are exactly those that pydicom makes of the original. Pictures of three
    samples that are all grey there are written with one, as many cines are grey and only their screens
    coloured.

    Args:
        clip: the clip.
        mask: (rows, columns) bool, True where pixels stay.
        header: gets the elements of the Image Pixel module.
        syntax: how the frames are written.

    Returns:
        an opened temporary file with the value of Pixel Data at its start; if compressed its items, without
        the delimiter behind them.

    Raises:
        ClipProblem: a frame cannot be decoded or written.
    """
    if _LOSSY.fullmatch(str(clip.dataset.file_meta.TransferSyntaxUID)):
        header.LossyImageCompression = "01"
    if not clip.is_video and clip.pixels.form.samples == 1:
        black = _as_stored(clip, header)
        if clip.pixels.form.photometric != "PALETTE COLOR":
            return _written(clip.samples(), mask, black, header, syntax)
        used = np.arange(1 << clip.pixels.form.stored) == black
        out = _written(_noting(clip.samples(), mask, used), mask, black, header, syntax)
        _describe_palette(clip, used, header)
        return out
    try:
        return _written(_grey(clip, mask), mask, _of_8_bits("MONOCHROME2", header), header, syntax)
    except _Coloured:
        return _written(colours(clip), mask, _of_8_bits("RGB", header), header, syntax)
    finally:
        _describe_frames(clip, header)


def _written(
    frames: Iterator[NDArray[Any]], mask: Mask, black: int, header: Dataset, syntax: Syntax
) -> BinaryIO:
    out = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
    uid = SYNTAXES[syntax]
    if uid.is_encapsulated:
        out.write(struct.pack("<HHI", 0xFFFE, 0xE000, 0))  # an empty Basic Offset Table
    for frame in frames:
        if frame.shape[:2] != mask.shape:
            raise ClipProblem("pixel data does not have the size that the header says")
        header.Rows, header.Columns = mask.shape
        unused = header.BitsAllocated - header.BitsStored
        kept = (frame << unused) >> unused  # a copy; nothing hides in bits that are not used
        kept[~mask] = black
        _write(out, kept, header, uid)
    if not uid.is_encapsulated and out.tell() % 2:
        out.write(b"\0")
    out.seek(0)  # the delimiter behind the last fragment is pydicom's to write
    return out


def _grey(clip: DicomClip, mask: Mask) -> Iterator[NDArray[Any]]:
    """Frames of three samples as one; raises `_Coloured` at the first that is not grey within the mask."""
    for frame in colours(clip):
        inside = frame[mask]
        if (inside != inside[:, :1]).any():
            raise _Coloured
        yield frame[..., 0]


def _as_stored(clip: DicomClip, header: Dataset) -> int:
    """Describe pixels of one sample as they are stored; returns the sample of black."""
    form = clip.pixels.form
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, form.photometric
    header.BitsAllocated, header.BitsStored, header.HighBit = form.allocated, form.stored, form.stored - 1
    header.PixelRepresentation = int(form.signed)
    _describe_frames(clip, header)
    if form.photometric == "PALETTE COLOR":
        return clip.pixels.darkest
    low, high = 0, (1 << form.stored) - 1
    if form.signed:
        low, high = -(1 << form.stored - 1), (1 << form.stored - 1) - 1
    return high if form.photometric == "MONOCHROME1" else low


def _noting(frames: Iterator[NDArray[Any]], mask: Mask, used: NDArray[np.bool_]) -> Iterator[NDArray[Any]]:
    """The frames as they are; tells which values occur within the mask."""
    for frame in frames:
        if frame.shape[:2] == mask.shape:
            used[frame[mask] & (len(used) - 1)] = True
        yield frame


def _describe_palette(clip: DicomClip, used: NDArray[np.bool_], header: Dataset) -> None:
    """The palette made anew, a colour for each value that is used: what else stands in the old one goes."""
    form = clip.pixels.form
    colours = apply_color_lut(np.arange(1 << form.stored, dtype=f"u{form.allocated // 8}"), clip.dataset)
    colours[~used] = 0
    for name, column in zip(("Red", "Green", "Blue"), colours.T, strict=False):  # there may be an alpha
        table = [len(column) % (1 << 16), 0, 8 * column.itemsize]
        setattr(header, f"{name}PaletteColorLookupTableDescriptor", table)
        data = column.astype(column.dtype.newbyteorder("<")).tobytes()
        setattr(header, f"{name}PaletteColorLookupTableData", data + b"\0" * (len(data) % 2))


def _of_8_bits(photometric: str, header: Dataset) -> int:
    """Describe pixels of one or three samples of 8 bits; returns the sample of black."""
    header.PhotometricInterpretation = photometric
    header.SamplesPerPixel = 3 if photometric == "RGB" else 1
    if photometric == "RGB":
        header.PlanarConfiguration = 0
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    for name in _OF_STORED_VALUES:
        header.pop(name, None)
    return 0


def _describe_frames(clip: DicomClip, header: Dataset) -> None:
    """The Multi-frame module, and the storage class that goes with it."""
    if clip.facts.frames == 1 and header.SOPClassUID not in _OF_SEVERAL:
        return
    if header.SOPClassUID == UltrasoundImageStorage:
        header.SOPClassUID = UltrasoundMultiFrameImageStorage
    elif header.SOPClassUID in SECONDARY_CAPTURE:
        _describe_capture(header)
    header.NumberOfFrames = clip.facts.frames
    if clip.facts.frames == 1 and header.SOPClassUID in SECONDARY_CAPTURE:
        for name in ("FrameTime", "FrameTimeVector"):  # nothing may point at them
            header.pop(name, None)
        return
    by_vector = "FrameTimeVector" in header and "FrameTime" not in header
    if not by_vector and "FrameTime" not in header:
        header.FrameTime = round(clip.facts.frame_time_ms or 40.0, 3)
    header.FrameIncrementPointer = 0x00181065 if by_vector else 0x00181063


def _describe_capture(header: Dataset) -> None:
    """Of several captured frames the storage class says how they are stored (PS3.3 A.8.3 to A.8.5)."""
    if header.SamplesPerPixel == 3:
        header.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    elif header.BitsAllocated == 8:
        header.SOPClassUID = MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    else:
        header.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    if header.PhotometricInterpretation == "MONOCHROME2":
        header.PresentationLUTShape = "IDENTITY"
        for name, value in (("RescaleIntercept", 0), ("RescaleSlope", 1), ("RescaleType", "US")):
            if name not in header:
                setattr(header, name, value)


def _write(out: BinaryIO, frame: NDArray[Any], header: Dataset, uid: UID) -> None:
    if not uid.is_encapsulated:
        out.write(np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).tobytes())
        return
    options = {
        "rows": header.Rows,
        "columns": header.Columns,
        "samples_per_pixel": header.SamplesPerPixel,
        "photometric_interpretation": header.PhotometricInterpretation,
        "bits_allocated": header.BitsAllocated,
        "bits_stored": header.BitsStored,
        "pixel_representation": header.PixelRepresentation,
        "number_of_frames": 1,
    }
    if header.SamplesPerPixel > 1:
        options["planar_configuration"] = 0
    plugin = "pyjpegls" if uid == JPEGLSLossless else "pylibjpeg"
    coded = get_encoder(uid).encode(np.ascontiguousarray(frame), encoding_plugin=plugin, **options)
    out.write(struct.pack("<HHI", 0xFFFE, 0xE000, len(coded) + len(coded) % 2))
    out.write(coded + b"\0" * (len(coded) % 2))
