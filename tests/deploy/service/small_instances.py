"""Small DICOM instances, written in a blink: ultrasound in several encodings, and what is no ultrasound."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

from apical.phantom.encoding import CODINGS, add_pixels

NAME, PATIENT_ID = "DOE^JOHANNA", "MRN-47110815-88"  # planted; neither may be in a log
ENCODINGS = tuple(CODINGS)


def write_instance(path: Path, *, encoding="gray", sop_class=UltrasoundMultiFrameImageStorage, modality="US",
                   study=None, date="20260102", side=40, uid=None) -> str:  # fmt: skip
    """Write an instance of two frames of noise; returns its SOPInstanceUID."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid or generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study or generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.Modality = NAME, PATIENT_ID, modality
    dataset.PatientBirthDate = dataset.PatientSex = dataset.AccessionNumber = (
        dataset.ReferringPhysicianName
    ) = ""
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = date, "101010", "1"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.FrameTime = 1, 1, 40
    frames = np.random.default_rng(0).integers(0, 255, (2, side, side, 1), np.uint8).repeat(3, axis=3)
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    add_pixels(dataset, frames, encoding)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return str(dataset.SOPInstanceUID)


def write_ct(path: Path, **others) -> str:
    """An instance that nobody should ask us about."""
    return write_instance(path, sop_class=CTImageStorage, modality="CT", **others)
