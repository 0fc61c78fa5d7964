"""Clips as ordinary DICOM files, byte for byte the same for the same content."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from apical.files import write_atomically
from apical.phantom.machine import Machine
from apical.phantom.screen import Pixels, Screen

# pydicom's own root: these files are synthetic, and never leave a test bench under another's root.
UID_ROOT = "1.2.826.0.1.3680043.8.498."
JPEG_QUALITY = 88

_CENTIMETRES = 3  # unit code of Physical Units X/Y Direction, PS3.3 C.8.5.5.1.15
_TISSUE = 1  # Region Data Type
_TWO_DIMENSIONAL = 1  # Region Spatial Format


@dataclass(frozen=True, slots=True)
class Header:
    """What identifies one file: everything but its pixels."""

    patient_id: str
    patient_name: str
    study_key: str  # entropy of the study's UIDs
    study_date: str  # YYYYMMDD
    acquisition_time: str  # HHMMSS
    instance_number: int
    heart_rate: float  # beats per minute
    frame_time_ms: float


def write_dicom(path: Path, frames: Pixels, header: Header, machine: Machine, screen: Screen) -> None:
    """Write RGB `frames` (uint8 [frames, rows, columns, 3]) as one ultrasound instance, atomically."""
    dataset = _dataset(frames, header, machine, screen)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_atomically(path, buffer.getvalue())


def _dataset(frames: Pixels, header: Header, machine: Machine, screen: Screen) -> FileDataset:
    still = len(frames) == 1
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundImageStorage if still else UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(header.study_key, "instance", str(header.instance_number))
    meta.TransferSyntaxUID = JPEGBaseline8Bit if machine.encoding == "jpeg" else ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("apical phantom")
    meta.ImplementationVersionName = "APICAL PHANTOM"

    dataset = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = header.study_date
    dataset.StudyTime = dataset.SeriesTime = "080000"
    dataset.ContentTime = header.acquisition_time
    dataset.AccessionNumber = ""
    dataset.Modality = "US"
    dataset.Manufacturer = machine.manufacturer
    dataset.ManufacturerModelName = machine.model
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Synthetic echocardiogram"
    dataset.PatientName = header.patient_name
    dataset.PatientID = header.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.HeartRate = round(header.heart_rate)
    if not still:
        dataset.FrameTime = f"{header.frame_time_ms:.3f}"
        dataset.FrameIncrementPointer = 0x00181063  # Frame Time
        dataset.CineRate = round(1000 / header.frame_time_ms)
    regions = _regions(machine, screen)
    if regions:
        dataset.SequenceOfUltrasoundRegions = Sequence(regions)
    dataset.StudyInstanceUID = _uid(header.study_key, "study")
    dataset.SeriesInstanceUID = _uid(header.study_key, "series")
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = header.instance_number
    dataset.PatientOrientation = ""
    _add_pixels(dataset, frames, machine)
    return dataset


def _add_pixels(dataset: Dataset, frames: Pixels, machine: Machine) -> None:
    count, rows, columns, _ = frames.shape
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    if count > 1:
        dataset.NumberOfFrames = count
    if machine.encoding == "gray":
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        luma = np.array([0.299, 0.587, 0.114], np.float32)
        dataset.PixelData = _even((frames @ luma).round().astype(np.uint8).tobytes())
        return
    dataset.SamplesPerPixel = 3
    dataset.PlanarConfiguration = 0
    if machine.encoding == "rgb":
        dataset.PhotometricInterpretation = "RGB"
        dataset.PixelData = _even(frames.tobytes())
        return
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    encoded = [
        simplejpeg.encode_jpeg(frame, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="422")
        for frame in frames
    ]
    dataset.LossyImageCompressionRatio = f"{frames.nbytes / sum(map(len, encoded)):.2f}"
    dataset.PixelData = encapsulate(encoded, has_bot=True)


def _regions(machine: Machine, screen: Screen) -> list[Dataset]:
    x0, y0, x1, y1 = screen.region()
    if machine.region_tags == "absent":
        return []
    if machine.region_tags == "too-wide":  # the last column is given as the number of columns
        return [_region(0, y0, screen.columns, y1, screen)]
    sector = _region(x0, y0, x1, y1, screen)
    if machine.region_tags == "full-screen-first":
        return [_region(0, 0, screen.columns - 1, screen.rows - 1, screen), sector]
    return [sector]


def _region(x0: int, y0: int, x1: int, y1: int, screen: Screen) -> Dataset:
    region = Dataset()
    region.RegionSpatialFormat = _TWO_DIMENSIONAL
    region.RegionDataType = _TISSUE
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = x0, y0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = x1, y1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = _CENTIMETRES
    region.PhysicalDeltaX = region.PhysicalDeltaY = screen.mm_per_pixel / 10
    return region


def _uid(*entropy: str) -> UID:
    return generate_uid(prefix=UID_ROOT, entropy_srcs=list(entropy))


def _even(data: bytes) -> bytes:
    """Pad pixel data to the even length DICOM asks for."""
    return data + b"\0" * (len(data) % 2)
