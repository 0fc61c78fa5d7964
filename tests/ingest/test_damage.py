"""Whatever a decoder raises is a problem, and no parser asks for more than a file holds."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from clip_files import write_dicom
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage, RLELossless

from apical.errors import ClipProblem
from apical.ingest import damage
from apical.ingest.damage import Rationed, decoding
from apical.ingest.dicom import DicomClip
from apical.ingest.walk import walk

MARK = bytes(128) + b"DICM" + b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"  # explicit, little endian
OPEN_SEQUENCE = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"


class Panic(BaseException):
    """As codecs in Rust raise it."""


def test_a_panic_is_a_problem() -> None:
    with pytest.raises(ClipProblem, match=r"^damaged$"), decoding("damaged"):
        raise Panic("DOE^JOHANNA")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_program_passes(error: type[BaseException]) -> None:
    with pytest.raises(error), decoding("damaged"):
        raise error


def test_an_rle_segment_that_holds_too_much_is_a_problem(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """The decoder panics where the second segment begins in the middle of the first."""
    path = write_dicom(tmp_path / "a.dcm", frames[:1].astype(np.uint16) << 4, compress=RLELossless)
    dataset = dcmread(path)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[:8] + struct.pack("<I", 255) + frame[12:]])
    dataset.save_as(path)
    with pytest.raises(ClipProblem):
        DicomClip(path).decode([0])


@pytest.mark.parametrize("inside", [b"", OPEN_SEQUENCE])
def test_a_length_that_lies_sets_no_memory_aside(tmp_path: Path, inside: bytes) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(MARK + inside + b"\x08\0\x81\x11UN\0\0" + struct.pack("<I", 0x7FFFFFF0) + bytes(99))
    tracemalloc.start()
    with pytest.raises(ClipProblem):
        DicomClip(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_header_of_too_many_elements_is_left(
    tmp_path: Path, frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_dicom(tmp_path / "a.dcm", frames[:1])
    dataset = dcmread(path)
    for number in range(1000):
        dataset.add_new((0x0011, 0x1000 + number), "UN", b"")
    dataset.save_as(path)
    DicomClip(path)
    monkeypatch.setattr(damage, "MOST_READS", 2000)
    with pytest.raises(ClipProblem, match=r"^damaged DICOM header$"):
        DicomClip(path)


def test_a_list_of_too_many_files_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [Dataset() for _ in range(500)]
    for number, record in enumerate(records):
        record.ReferencedFileID = f"IM{number}"
    listing = Dataset()
    listing.file_meta = FileMetaDataset()
    listing.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    listing.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    listing.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    listing.DirectoryRecordSequence = Sequence(records)
    listing["DirectoryRecordSequence"].is_undefined_length = True  # else it is read at once
    listing.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert len(list(walk(str(tmp_path / "DICOMDIR")))) == 500
    monkeypatch.setattr(damage, "MOST_READS", 1000)
    found = list(walk(str(tmp_path / "DICOMDIR")))
    assert [one.problem for one in found] == ["damaged list of files (DICOMDIR)"]


def test_a_rationed_file_reads_as_the_file() -> None:
    content = bytes(range(256)) * 1000
    plain, rationed = io.BytesIO(content), Rationed(io.BytesIO(content))
    for at, size in (
        (0, 10),
        (5, 0),
        (255_990, 100),
        (7, -1),
        (0, 1 << 40),
        (300_000, 1 << 40),
        (300_000, 4),
    ):
        assert rationed.seek(at) == plain.seek(at)
        assert rationed.read(size) == plain.read(size)
        assert rationed.tell() == plain.tell()
