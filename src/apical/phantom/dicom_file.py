"""Clips as ordinary DICOM files, byte for byte the same for the same content."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from apical.files import write_atomically
from apical.phantom.encoding import add_pixels, in_colour
from apical.phantom.machine import Machine
from apical.phantom.screen import Pixels, Region, Screen, sector_region
from apical.phantom.shot import IN_COLOUR, TWO_D, VOLUME, ModeClip, OtherProbe

# pydicom's own root: these files are synthetic, and never leave a test bench under another's root.
UID_ROOT = "1.2.826.0.1.3680043.8.498."

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
    """Write RGB `frames` (uint8 [frames, rows, columns, 3]) as one ultrasound instance, atomically.

    A still is a US Image, a cine a US Multi-frame Image (PS3.3 A.6 and A.7).
    """
    _write(path, _ultrasound(frames, header, machine, (sector_region(screen),), TWO_D))


def write_mode(path: Path, clip: ModeClip, header: Header, machine: Machine) -> None:
    """Write a clip of another mode as one ultrasound instance, atomically.

    Only machines that write correct regions tell the mode. Machines whose files are gray write RGB where
    colours tell something. Machines that write no regions save their report pages as Secondary Capture
    (PS3.3 A.8.1).
    """
    bits = clip.image_type_bits
    if bits & (IN_COLOUR | VOLUME):
        machine = replace(machine, encoding=in_colour(machine.encoding))
    if not bits and len(clip.frames) == 1 and machine.region_tags == "absent":
        _write(path, _capture(clip.frames, header, machine))
    else:
        dataset = _ultrasound(clip.frames, header, machine, clip.regions, bits)
        if clip.probe:
            _tell_other_probe(dataset, clip.probe)
        _write(path, dataset)


def _tell_other_probe(dataset: Dataset, probe: OtherProbe) -> None:
    dataset.TransducerType, dataset.BodyPartExamined = probe.transducer_type, probe.body_part
    dataset.TransducerData = _transducer(probe.frequency_mhz)
    if len(dataset.ImageType) > 2:
        dataset.ImageType = [*dataset.ImageType[:2], probe.subject, *dataset.ImageType[3:]]
    for region in dataset.get("SequenceOfUltrasoundRegions", []):
        if "TransducerFrequency" in region:
            region.TransducerFrequency = round(1000 * probe.frequency_mhz)


def _write(path: Path, dataset: FileDataset) -> None:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_atomically(path, buffer.getvalue())


def _capture(frames: Pixels, header: Header, machine: Machine) -> FileDataset:
    dataset = _dataset(header, machine, SecondaryCaptureImageStorage)
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "WSD"  # by a workstation
    add_pixels(dataset, frames, machine.encoding)
    return dataset


def _ultrasound(
    frames: Pixels, header: Header, machine: Machine, regions: tuple[Region, ...], bits: int
) -> FileDataset:
    """US Region Calibration, US Image and Cine modules; `bits` are those of Image Type value 4."""
    still = len(frames) == 1
    dataset = _dataset(header, machine, UltrasoundImageStorage if still else UltrasoundMultiFrameImageStorage)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    if machine.region_tags == "right":
        if bits:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "TTE", f"{bits:04X}"]
        dataset.UltrasoundColorDataPresent = int(bool(bits & IN_COLOUR))
    dataset.HeartRate = round(header.heart_rate)
    dataset.TransducerType = "SECTOR_PHASED"
    dataset.TransducerData = _transducer(machine.probe.frequency_mhz)
    if not still:
        _add_cine(dataset, len(frames), header.frame_time_ms, machine)
    written = _as_written(machine, regions, *frames.shape[1:3])
    if written:
        kilohertz = round(1000 * machine.probe.frequency_mhz)
        dataset.SequenceOfUltrasoundRegions = Sequence([_region(region, kilohertz) for region in written])
    add_pixels(dataset, frames, machine.encoding)
    return dataset


def _dataset(header: Header, machine: Machine, sop_class: UID) -> FileDataset:
    """The patient, the study, the series, the equipment, and which instance it is."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = _uid(header.study_key, "instance", str(header.instance_number))
    meta.ImplementationClassUID = _uid("apical phantom")
    meta.ImplementationVersionName = "APICAL PHANTOM"

    dataset = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = header.study_date
    dataset.StudyTime = dataset.SeriesTime = "080000"
    dataset.ContentTime = header.acquisition_time
    dataset.AcquisitionDateTime = header.study_date + header.acquisition_time
    dataset.AccessionNumber = ""
    dataset.Modality = "US"
    dataset.Manufacturer = machine.manufacturer
    dataset.ManufacturerModelName = machine.model
    dataset.StationName = f"ECHO{machine.number + 1:02d}"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = _serial_and_version(machine)
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Synthetic echocardiogram"
    dataset.ProtocolName = ""
    dataset.BodyPartExamined = "HEART"  # not paired, so no laterality
    dataset.BurnedInAnnotation = "YES"
    dataset.PatientName = header.patient_name
    dataset.PatientID = header.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.StudyInstanceUID = _uid(header.study_key, "study")
    dataset.SeriesInstanceUID = _uid(header.study_key, "series")
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = header.instance_number
    dataset.PatientOrientation = ""
    return dataset


def _serial_and_version(machine: Machine) -> tuple[str, str]:
    rng = np.random.default_rng([0x5E71A1, machine.number])
    first, second, third = rng.integers((1, 0, 0), (6, 10, 10))
    return f"PH{rng.integers(100_000, 1_000_000)}", f"{first}.{second}.{third}"


def _transducer(frequency: float) -> str:
    """An invented name, of the lowest and the highest frequency (MHz) as usual."""
    return f"PH{round(1.7 * frequency)}-{round(0.6 * frequency)}"


def _add_cine(dataset: Dataset, count: int, frame_time_ms: float, machine: Machine) -> None:
    """The Cine module (PS3.3 C.7.6.5); every fifth machine gives the time of each frame."""
    time = f"{frame_time_ms:.3f}"
    if machine.number % 5 == 4:
        dataset.FrameTimeVector = ["0", *[time] * (count - 1)]
        dataset.FrameIncrementPointer = 0x00181065
    else:
        dataset.FrameTime = time
        dataset.FrameIncrementPointer = 0x00181063
    dataset.CineRate = dataset.RecommendedDisplayFrameRate = round(1000 / frame_time_ms)
    dataset.EffectiveDuration = f"{count * frame_time_ms / 1000:.3f}"
    dataset.StartTrim, dataset.StopTrim = 1, count
    dataset.PreferredPlaybackSequencing = 0  # over and over


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


def _region(region: Region, kilohertz: int) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat = region.spatial_format
    item.RegionDataType = region.data_type
    item.RegionFlags = 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = region.x0, region.y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = region.x1, region.y1
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = region.units
    item.PhysicalDeltaX, item.PhysicalDeltaY = region.deltas
    if region.zero_row is not None:
        item.ReferencePixelY0, item.ReferencePixelPhysicalValueY = region.zero_row, 0.0
    if region.spatial_format in _OF_AN_IMAGE:
        item.TransducerFrequency = kilohertz
    return item


def _uid(*entropy: str) -> UID:
    return generate_uid(prefix=UID_ROOT, entropy_srcs=list(entropy))
