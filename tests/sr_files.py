"""Headers of images to report on, and validators of structured reports."""

import io
import shutil
import subprocess
from datetime import UTC, datetime

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage

from apical.deploy.structured_report import OWN

WHEN = datetime(2026, 3, 1, 23, 30, 15, tzinfo=UTC)


def source(**changes):
    """The header of a cine of five frames; None takes an element away."""
    header = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": UltrasoundMultiFrameImageStorage,
        "SOPInstanceUID": "1.2.840.99.1",
        "SeriesInstanceUID": "1.2.840.99.2",
        "StudyInstanceUID": "1.2.840.99.3",
        "PatientName": "Doe^Jane",
        "PatientID": "4711",
        "PatientBirthDate": "19500102",
        "PatientSex": "F",
        "StudyDate": "20260301",
        "StudyTime": "101112.5",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "Who^Doctor",
        "StudyID": "7",
        "InstanceNumber": 12,
        "NumberOfFrames": 5,
    }
    dataset = Dataset()
    for name, value in (header | changes).items():
        if value is not None:
            setattr(dataset, name, value)
    return dataset


def as_read(dataset):
    """A header as it comes from a file: nothing is decoded yet."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return pydicom.dcmread(io.BytesIO(file_of(dataset)))


def file_of(dataset):
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()


def said_by(program, *words):
    """What a validator says, a line a message; it must end well."""
    if shutil.which(program) is None:
        package = {"dciodvfy": "dicom3tools"}.get(program, "dcmtk")
        pytest.skip(f"{program} is not installed (Debian package {package})")
    done = subprocess.run([program, *map(str, words)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode().splitlines()


def assert_valid(path):
    """By dcmtk's reader of reports and by David Clunie's validator."""
    lines = said_by("dsrdump", path)
    assert lines[0] == "Comprehensive SR Document"
    complaints = [line for line in lines if line.startswith(("W:", "E:", "F:"))]
    # of dcmtk itself, which does not check the lengths of UTF-8 texts
    assert complaints in ([], ["W: The VR checker does not support this Specific Character Set: ISO_IR 192"])
    lines = said_by("dciodvfy", path)
    assert "ComprehensiveSR" in lines  # it knows the kind
    assert [line for line in lines if line.startswith("Error")] == []
    expected = (
        f"Warning - Unrecognized defined term <{OWN}> for value 1 of attribute <Coding Scheme Designator>",
        "Warning - Missing attribute or value that would be needed to build DICOMDIR",  # as in the original
    )
    assert [line for line in lines if line.startswith("Warning") and not line.startswith(expected)] == []
