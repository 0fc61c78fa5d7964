"""Synthetic clips: a moving fan on a screen with burnt-in text, ticks, a grey bar and an ECG trace."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared" / "data"
REAL_DICOM = SHARED / "dicom-dev"
CAMUS = SHARED / "camus-dev"

# Planted in every header and burnt into every synthetic picture; none may leave ingest.
NAME, PATIENT_ID, SECRETS = "DOE^JOHANNA", "MRN-47110815-88", ("DOE", "JOHANNA", "47110815")


def fan_mask(rows: int, columns: int) -> NDArray[np.bool_]:
    """(rows, columns) bool: apex near the top, 80 degrees wide."""
    y, x = np.mgrid[:rows, :columns].astype(float)
    y, x = y - 0.1 * rows, x - 0.5 * columns
    return (np.hypot(x, y) < 0.72 * rows) & (np.abs(np.arctan2(x, y)) < np.radians(40)) & (y > 4)


def shape_mask(shape: str, rows: int, columns: int) -> NDArray[np.bool_]:
    """(rows, columns) bool: the image of a kind of probe, or of a way to show it."""
    y, x = (line / rows for line in np.mgrid[:rows, :columns].astype(float))
    x -= columns / rows / 2

    def ring(apex: float, left: float, right: float, near: float, far: float, aside: float = 0.0) -> Any:
        radius, angle = np.hypot(x - aside, y - apex), np.degrees(np.arctan2(x - aside, y - apex))
        return (radius > near) & (radius < far) & (angle > left) & (angle < right)

    if shape == "fan":
        return fan_mask(rows, columns)
    if shape == "curved array":
        return np.asarray(ring(-0.25, -32, 32, 0.36, 1.1))
    if shape == "linear array":
        return np.asarray((abs(x) < 0.4) & (y > 0.08) & (y < 0.8))
    if shape == "trapezoid":
        return np.asarray(ring(-0.3, -24, 24, 0, 9) & (y > 0.1) & (y < 0.82))
    if shape == "trapezoid with an arc":
        return np.asarray(ring(-0.3, -24, 24, 0, 1.1) & (y > 0.1))
    if shape == "cut at both sides":
        return np.asarray(ring(0.08, -50, 50, 0.01, 0.82) & (abs(x) < 0.37))
    if shape == "zoomed":
        return np.asarray(ring(-0.5, -24, 24, 0, 9) & (y > 0.1) & (y < 0.85) & (abs(x) < 0.33))
    if shape == "apex down":
        return fan_mask(rows, columns)[::-1]
    if shape == "tilted":
        return np.asarray(ring(0.08, -15, 50, 0.01, 0.75, aside=-0.13))
    if shape == "to the edge of the picture":
        return np.asarray(ring(0.02, -45, 45, 0.01, 0.93))
    raise ValueError(shape)


SHAPES = (
    "fan", "curved array", "linear array", "trapezoid", "trapezoid with an arc", "cut at both sides",
    "zoomed", "apex down", "tilted", "to the edge of the picture",
)  # fmt: skip


def screen(
    count: int = 10,
    rows: int = 240,
    columns: int = 320,
    *,
    seed: int = 0,
    text: bool = True,
    shape: str = "fan",
) -> NDArray[np.uint8]:
    """(count, rows, columns) uint8: speckle in a shape with a beating cavity, and a screen around it."""
    generator = np.random.default_rng(seed)
    fan = shape_mask(shape, rows, columns)
    y, x = np.mgrid[:rows, :columns].astype(float)
    frames = np.zeros((count, rows, columns), np.uint8)
    speckle = cv2.GaussianBlur(generator.rayleigh(60, (rows, columns + 8 * count)), (3, 3), 0)
    for number in range(count):
        tissue = speckle[:, 4 * (number % 4) : 4 * (number % 4) + columns]
        radius = 0.12 * rows * (1 + 0.3 * np.sin(2 * np.pi * number / max(count, 2)))
        cavity = np.hypot(x - 0.5 * columns, y - 0.45 * rows) < radius
        picture = np.where(cavity, 0.25, 1.0) * tissue
        frames[number] = np.where(fan, np.clip(picture, 15, 255), 0).astype(np.uint8)
        if text:
            around = np.zeros_like(frames[number])
            dress(around, number)
            frames[number] = np.where(fan, frames[number], around)
    return frames


def dress(frame: NDArray[np.uint8], number: int) -> None:
    """Text in the corners, ticks, a grey bar, and an ECG trace that moves."""
    rows, columns = frame.shape
    size = rows / 600
    for row, words in enumerate((NAME, PATIENT_ID, "06/03/2022")):
        cv2.putText(frame, words, (3, round(rows * (0.06 + 0.06 * row))), 0, size, 255, 1, cv2.LINE_AA)
    cv2.putText(frame, f"HR {60 + number}", (round(0.82 * columns), round(0.95 * rows)), 0, size, 255, 1)
    frame[round(0.2 * rows) : round(0.5 * rows), columns - 8 : columns - 3] = np.linspace(
        255, 0, round(0.5 * rows) - round(0.2 * rows)
    )[:, None]
    x = np.arange(columns)
    trace = 0.93 * rows - 0.05 * rows * (np.abs((x + 9 * number) % 70 - 35) < 3)
    frame[trace.astype(int), x] = 200


def write_dicom(
    path: Path,
    pixels: NDArray[Any],
    *,
    photometric: str = "MONOCHROME2",
    jpeg: bool = False,
    compress: str | None = None,
    regions: tuple[tuple[int, ...], ...] = (),
    **elements: Any,
) -> Path:
    """Write an ultrasound file with planted identifiers.

    Args:
        pixels: (F, H, W) or (F, H, W, 3), in the colour model that `photometric` says; RGB for `jpeg`.
        jpeg: JPEG baseline through simplejpeg, which makes YBR of RGB.
        compress: transfer syntax UID for pydicom to compress to.
        regions: (spatial format, data type, x0, y0, x1, y1) each.
        elements: further elements by keyword, over the defaults; None leaves one out.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    defaults = {
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3.47110815",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "US",
        "PatientName": NAME,
        "PatientID": PATIENT_ID,
        "FrameTime": "33.3",
        "Manufacturer": "Phantom Works",
        "ManufacturerModelName": "Sonora 300",
        "SamplesPerPixel": 3 if pixels.ndim == 4 else 1,
        "PhotometricInterpretation": photometric,
        "NumberOfFrames": len(pixels),
        "Rows": pixels.shape[1],
        "Columns": pixels.shape[2],
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": 8 * pixels.dtype.itemsize,
        "HighBit": 8 * pixels.dtype.itemsize - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    if pixels.ndim == 4:
        defaults["PlanarConfiguration"] = 0
    for keyword, value in (defaults | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if regions:
        dataset.SequenceOfUltrasoundRegions = Sequence([_region(*region) for region in regions])
    if jpeg:
        sampling = "422" if pixels.ndim == 4 else "Gray"
        space = "RGB" if pixels.ndim == 4 else "GRAY"
        whole = np.ascontiguousarray(pixels if pixels.ndim == 4 else pixels[..., None])
        coded = [simplejpeg.encode_jpeg(frame, 90, space, sampling) for frame in whole]
        dataset.PixelData = encapsulate(coded)
        dataset["PixelData"].VR = "OB"
    else:
        dataset.PixelData = pixels.tobytes()
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    if compress:
        dataset.compress(compress, generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _region(spatial_format: int, data_type: int, x0: int, y0: int, x1: int, y1: int) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = spatial_format, data_type, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    return item


def write_zip(path: Path, files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write an archive of members by their names, as they stand there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
