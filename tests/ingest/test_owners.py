"""One person is one patient in clean copies, and a clip is copied once, from the same file each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from cleaning import ONE, cleaner, contents_of, problems
from clip_files import screen, write_dicom

from apical.config import ScanSettings
from apical.ingest.deidentify import deidentify
from apical.ingest.owners import TWICE
from apical.ingest.scan import scan

FRAMES = screen(2, 120, 160)


def write(folder: Path, name: str, uid: str, study: str, patient: str | None, **more: object) -> Path:
    return write_dicom(
        folder / name, FRAMES, SOPInstanceUID=uid, StudyInstanceUID=study, PatientID=patient, **more
    )  # fmt: skip


def test_files_of_one_study_are_of_one_patient(tmp_path: Path) -> None:
    """Some lack the Patient ID: the pseudonym and the shift of dates are the others', and those of a scan."""
    for number, patient in enumerate(("MRN123", "", "MRN123", None)):
        write(tmp_path / "in", f"{number}.dcm", f"1.2.{number}", "1.2.3", patient, StudyDate="20220306")
    copies = deidentify(tmp_path / "in", tmp_path / "out", cleaner(dates="shift"))
    headers = [pydicom.dcmread(tmp_path / "out" / str(copy.file)) for copy in copies]
    table, _ = scan(tmp_path / "in", tmp_path / "c.parquet", ScanSettings(workers=1))
    assert {header.PatientID for header in headers} == set(table["patient"])
    assert len({header.StudyDate for header in headers}) == 1
    assert len({header.StudyInstanceUID for header in headers}) == 1


def test_a_copy_moves_to_the_patient_that_later_files_show(tmp_path: Path) -> None:
    """It does not stay under the old one too."""
    write(tmp_path / "in", "0.dcm", "1.2.0", "1.2.3", "")
    deidentify(tmp_path / "in", tmp_path / "out", ONE)
    write(tmp_path / "in", "1.dcm", "1.2.1", "1.2.3", "MRN123")
    deidentify(tmp_path / "in", tmp_path / "out", ONE)
    deidentify(tmp_path / "in", tmp_path / "other" / "out", ONE, salt=tmp_path / "salt.key")
    assert contents_of(tmp_path / "out") == contents_of(tmp_path / "other" / "out")


def test_the_same_file_is_copied_by_every_run(tmp_path: Path) -> None:
    """Of two with one SOPInstanceUID the first, even if it cannot be copied; not one that is cut off."""
    whole = write(tmp_path / "in", "b.dcm", "1.2.0", "1.2.3", "MRN123").read_bytes()
    dark = tmp_path / "in" / "a.dcm"
    write_dicom(dark, np.zeros_like(FRAMES), SOPInstanceUID="1.2.0", StudyInstanceUID="1.2.3")
    first = deidentify(tmp_path / "in", tmp_path / "out", ONE)
    assert problems(first) == ["no ultrasound sector found", TWICE]
    assert deidentify(tmp_path / "in", tmp_path / "out", ONE) == first
    dark.write_bytes(whole[:-100])
    assert problems(deidentify(tmp_path / "in", tmp_path / "out", ONE))[1] is None
