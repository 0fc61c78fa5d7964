"""Clips as ordinary DICOM files, byte for byte the same for the same content."""

import io
from dataclasses import dataclass, replace
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
from apical.phantom.screen import Pixels, Region, Screen, sector_region
from apical.phantom.shot import IN_COLOUR, VOLUME, ModeClip

# pydicom's own root: these files are synthetic, and never leave a test bench under another's root.
UID_ROOT = "1.2.826.0.1.3680043.8.498."
JPEG_QUALITY = 88

_OF_AN_IMAGE = (1, 2, 3)  # Region Spatial Format of sectors and strips


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
    _write(path, _dataset(frames, header, machine, (sector_region(screen),)))


def write_mode(path: Path, clip: ModeClip, header: Header, machine: Machine) -> None:
    """Write a clip of another mode as one ultrasound instance, atomically.

    Only machines that write correct regions tell the mode. Machines whose files are gray write RGB where
    colours tell something.
    """
    bits = clip.image_type_bits
    if machine.encoding == "gray" and bits & (IN_COLOUR | VOLUME):
        machine = replace(machine, encoding="rgb")
    dataset = _dataset(clip.frames, header, machine, clip.regions)
    if machine.region_tags == "right":
        if bits:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "", f"{bits:04X}"]
        dataset.UltrasoundColorDataPresent = int(bool(bits & IN_COLOUR))
    _write(path, dataset)


def _write(path: Path, dataset: FileDataset) -> None:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_atomically(path, buffer.getvalue())


def _dataset(frames: Pixels, header: Header, machine: Machine, regions: tuple[Region, ...]) -> FileDataset:
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
    written = _as_written(machine, regions, *frames.shape[1:3])
    if written:
        dataset.SequenceOfUltrasoundRegions = Sequence([_region(region) for region in written])
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


def _as_written(machine: Machine, regions: tuple[Region, ...], rows: int, columns: int) -> tuple[Region, ...]:
    """The regions with the errors that `machine` makes in the first one, if that is of an image."""
    if machine.region_tags == "absent":
        return ()
    if not regions or regions[0].spatial_format not in _OF_AN_IMAGE:
        return regions
    if machine.region_tags == "too-wide":  # the last column is given as the number of columns
        return (replace(regions[0], x0=0, x1=columns), *regions[1:])
    if machine.region_tags == "full-screen-first":
        return (replace(regions[0], x0=0, y0=0, x1=columns - 1, y1=rows - 1), *regions)
    return regions


def _region(region: Region) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat = region.spatial_format
    item.RegionDataType = region.data_type
    item.RegionFlags = 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = region.x0, region.y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = region.x1, region.y1
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = region.units
    item.PhysicalDeltaX, item.PhysicalDeltaY = region.deltas
    return item


def _uid(*entropy: str) -> UID:
    return generate_uid(prefix=UID_ROOT, entropy_srcs=list(entropy))


def _even(data: bytes) -> bytes:
    """Pad pixel data to the even length DICOM asks for."""
    return data + b"\0" * (len(data) % 2)
