"""Runs give the same copies under one key and go on where they were killed; originals stay as they are."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pydicom
import pytest
from cleaning import ONE, cleaner, contents_of, one_copy, problems
from clip_files import NAME, PATIENT_ID, SECRETS, screen, write_dicom
from pydicom.pixels import pixel_array

from apical.config import DeidentifySettings
from apical.errors import CannotDo
from apical.ingest.deidentify import STATE, deidentify


@pytest.fixture
def two_patients(tmp_path: Path) -> Path:
    """Two patients with two studies each of two clips, and a broken file."""
    for number in range(8):
        write_dicom(
            tmp_path / "in" / f"{number % 3}" / f"DOE_{number}.dcm",
            screen(2, 120, 160, seed=number),
            PatientID=f"{PATIENT_ID}-{number // 4}",
            StudyInstanceUID=f"1.2.3.{number // 2}",
            SeriesInstanceUID=f"1.2.4.{number // 2}",
            SOPInstanceUID=f"1.2.5.{number}",
        )
    (tmp_path / "in" / "broken.dcm").write_text("broken")
    return tmp_path / "in"


def test_originals_are_not_touched(two_patients: Path, tmp_path: Path) -> None:
    """Neither their bytes nor their times, and nothing is written among them."""
    for file in two_patients.rglob("*.dcm"):
        file.chmod(0o400)
    before = contents_of(two_patients)
    times = {file: file.stat().st_mtime_ns for file in two_patients.rglob("*")}
    deidentify(two_patients, tmp_path / "out", ONE, mapping=tmp_path / "m.csv")
    assert contents_of(two_patients) == before
    assert {file: file.stat().st_mtime_ns for file in two_patients.rglob("*")} == times


def test_the_same_copies_every_time(two_patients: Path, tmp_path: Path) -> None:
    """With any number of processes; nothing but copies and the state is there."""
    salt = tmp_path / "salt.key"
    first = deidentify(two_patients, tmp_path / "a", ONE)
    second = deidentify(two_patients, tmp_path / "b", DeidentifySettings(workers=2), salt=salt)
    assert first == second
    assert contents_of(tmp_path / "a") == contents_of(tmp_path / "b")
    written = {copy.file for copy in first if copy.file}
    assert contents_of(tmp_path / "a").keys() == written | {STATE}
    assert len(written) == 8
    assert problems(first).count("not a DICOM file") == 1


def test_copies_that_are_there_are_not_made_again(two_patients: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = deidentify(two_patients, out, ONE)
    gone = next(iter(sorted(out.rglob("*.dcm"))))
    gone.unlink()
    others = {file: file.stat().st_mtime_ns for file in out.rglob("*.dcm")}
    assert deidentify(two_patients, out, ONE) == first
    assert gone.is_file()
    assert {file: file.stat().st_mtime_ns for file in others} == others


@pytest.mark.parametrize(
    "options",
    [{"dates": "keep"}, {"keep_uids": True}, {"keep_patient": True}, {"syntax": "rle"}, {"salt": True},
     {"least_confidence": 0.9}],
)  # fmt: skip
def test_copies_made_otherwise_are_not_mixed(two_patients: Path, tmp_path: Path, options: Any) -> None:
    """Of another key or with other options, or less sure than now asked for; surer ones may be there."""
    salt = tmp_path / "other.key" if options.pop("salt", None) else None
    deidentify(two_patients, tmp_path / "out", ONE)
    before = contents_of(tmp_path / "out")
    with pytest.raises(CannotDo, match="'out' holds something else, or copies made otherwise"):
        deidentify(two_patients, tmp_path / "out", cleaner(**options), salt=salt)
    assert contents_of(tmp_path / "out") == before
    less = cleaner(least_confidence=0.3)
    assert problems(deidentify(two_patients, tmp_path / "out", less)).count(None) == 8
    with pytest.raises(CannotDo, match="copies made otherwise"):
        deidentify(two_patients, tmp_path / "out", ONE)


def test_patients_and_studies_stay_together(two_patients: Path, tmp_path: Path) -> None:
    """Under one key a patient has one pseudonym in every run, under another another; so have UIDs."""
    salt = tmp_path / "salt.key"
    first = deidentify(two_patients, tmp_path / "out", ONE, salt=salt)
    sound = [copy for copy in first if copy.problem is None]
    headers = {copy.original: pydicom.dcmread(tmp_path / "out" / str(copy.file)) for copy in sound}
    assert len({header.PatientID for header in headers.values()}) == 2
    assert len({header.StudyInstanceUID for header in headers.values()}) == 4
    assert len({header.SeriesInstanceUID for header in headers.values()}) == 4
    assert len({header.SOPInstanceUID for header in headers.values()}) == 8
    for copy in sound:
        header = headers[copy.original]
        assert (header.PatientID, header.StudyInstanceUID, header.SOPInstanceUID) == copy.clean
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID
        patient, study, clip = str(copy.file).split("/")
        assert patient == header.PatientID
        assert clip == f"{copy.clip}.dcm"
        assert sum(str(other.file).startswith(f"{patient}/{study}/") for other in sound) == 2
    single = write_dicom(tmp_path / "later" / "a.dcm", screen(1), PatientID=f"{PATIENT_ID}-1")
    again = one_copy(single, tmp_path / "out 2", salt=salt)
    assert again.PatientID == headers[sound[-1].original].PatientID
    other = one_copy(single, tmp_path / "out 3", salt=tmp_path / "other.key")
    assert other.PatientID != again.PatientID
    assert other.SOPInstanceUID != again.SOPInstanceUID


@pytest.mark.parametrize("workers", [1, 2])
def test_two_files_of_one_uid(tmp_path: Path, workers: int) -> None:
    """The first gets the copy, even if another process writes the second later; that one is a problem."""
    for name, count in (("a", 1), ("b", 30)):
        pixels = screen(count, 480, 640, seed=ord(name))
        write_dicom(tmp_path / "in" / f"{name}.dcm", pixels, SOPInstanceUID="1.2.3")
    copies = deidentify(tmp_path / "in", tmp_path / "out", DeidentifySettings(workers=workers))
    assert problems(copies) == [None, "has the SOPInstanceUID of another file"]
    assert copies[1].file is None
    clean = pixel_array(tmp_path / "out" / str(copies[0].file))
    assert ((clean == screen(1, 480, 640, seed=ord("a"))[0]) | (clean == 0)).all()


def test_the_mapping_is_apart_and_only_if_asked_for(two_patients: Path, tmp_path: Path) -> None:
    copies = deidentify(two_patients, tmp_path / "out", ONE)
    assert {file.name for file in tmp_path.iterdir()} == {"in", "out", "salt.key"}
    mapping = tmp_path / "safe" / "mapping.csv"
    deidentify(two_patients, tmp_path / "out", ONE, mapping=mapping)
    assert mapping.stat().st_mode & 0o777 == 0o600
    with mapping.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for row, copy in zip(rows, (copy for copy in copies if copy.file), strict=True):
        original = pydicom.dcmread(row["path"])
        clean = pydicom.dcmread(tmp_path / "out" / row["file"])
        assert (row["path"], row["file"]) == (copy.place, copy.file)
        for name, keyword in (
            ("patient_id", "PatientID"),
            ("study_instance_uid", "StudyInstanceUID"),
            ("sop_instance_uid", "SOPInstanceUID"),
        ):
            assert row[f"original_{name}"] == original[keyword].value
            assert row[name] == clean[keyword].value
    for file in (tmp_path / "out").rglob("*"):
        assert not any(secret in file.name for secret in SECRETS)
        assert file.is_dir() or NAME.encode() not in file.read_bytes()


SCRIPT = """
import sys, time
from pathlib import Path
from apical.config import DeidentifySettings
from apical.ingest import deidentify as module

real, (folder, out, log, stop_at) = module._check, sys.argv[1:]

def check(path, original, sector):
    with open(log, "a") as file:
        file.write(f"{path.name}\\n")
    if len(Path(log).read_text().splitlines()) >= int(stop_at):
        time.sleep(600)
    real(path, original, sector)

module._check = check
if __name__ == "__main__":
    module.deidentify(folder, Path(out), DeidentifySettings(workers=1), salt=Path(out).parent / "salt.key")
"""


def test_killed_and_started_again(two_patients: Path, tmp_path: Path) -> None:
    """kill -9 while a copy is written: no half of one has a name, and the next run makes what is missing."""
    out, log = tmp_path / "killed", tmp_path / "log"
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, str(tmp_path / "script.py"), str(two_patients), str(out), str(log)]
    whole = deidentify(two_patients, tmp_path / "out", ONE)
    for stop_at in (3, 6):
        process = subprocess.Popen([*words, str(stop_at)])
        end = time.monotonic() + 120
        while not log.exists() or len(log.read_text().splitlines()) < stop_at:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        made = list(out.rglob("*.dcm"))
        assert 0 < len(made) < 8
        for file in made:
            assert (
                contents_of(out)[file.relative_to(out).as_posix()] in contents_of(tmp_path / "out").values()
            )
    assert deidentify(two_patients, out, ONE) == whole
    assert contents_of(out) == contents_of(tmp_path / "out")  # nothing half-written either
