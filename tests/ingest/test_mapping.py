"""The way back to the patients is written only where it is asked for, and only its owner can read it."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import polars as pl
import pytest
from clip_files import PATIENT_ID, screen, write_dicom

from apical.catalogue import write_catalogue
from apical.config import ScanSettings
from apical.errors import CannotDo
from apical.ingest.mapping import write_mapping
from apical.ingest.pseudonyms import Pseudonyms
from apical.ingest.scan import scan

ONE = ScanSettings(workers=1)
HEADER = ["original_patient", "patient", "original_study", "study"]
Study = Callable[[int], Path]


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("workers", [1, 2])
def test_originals_beside_their_pseudonyms(tmp_path: Path, study: Study, workers: int) -> None:
    """A row a study, of a patient without a number too; what tells of nobody has none."""
    folder = study(4)
    write_dicom(folder / "x.dcm", screen(2), PatientID=" ", StudyInstanceUID="9.9")
    write_dicom(folder / "y.dcm", screen(2), PatientID="Müller, 1", StudyInstanceUID="9.8")
    cv2.imwrite(str(folder / "still.png"), screen(1)[0])
    (folder / "empty.dcm").touch()
    settings = ScanSettings(workers=workers)
    scan(folder, tmp_path / "c.parquet", settings, mapping=tmp_path / "safe" / "mapping.csv")
    key = Pseudonyms.load_or_create(tmp_path / "salt.key")
    patients = {
        f"{PATIENT_ID}-0": "1.2.3.47110815.0", f"{PATIENT_ID}-1": "1.2.3.47110815.1", "Müller, 1": "9.8",
    }  # fmt: skip
    header, *rows = rows_of(tmp_path / "safe" / "mapping.csv")
    assert header == HEADER
    assert rows == sorted(rows)
    assert {tuple(row) for row in rows} == {
        (patient, key.patient(patient), study, key.study(study)) for patient, study in patients.items()
    } | {("", key.patient("9.9"), "9.9", key.study("9.9"))}
    assert len(rows) == 4


def test_it_is_written_only_when_asked_for(tmp_path: Path, study: Study) -> None:
    folder = study(2)
    scan(folder, tmp_path / "c.parquet", ONE)
    made = {path.name for path in tmp_path.iterdir()} - {"study"}
    assert made == {"c.parquet", "c.parquet.journal", "salt.key"}


def test_originals_stand_nowhere_else(tmp_path: Path, study: Study) -> None:
    """Neither in the catalogue nor in what a scan keeps beside it, also with a mapping beside them."""
    folder = study(2)
    scan(folder, tmp_path / "c.parquet", ONE, mapping=tmp_path / "mapping.csv")
    assert PATIENT_ID in (tmp_path / "mapping.csv").read_text()
    table = pl.read_parquet(tmp_path / "c.parquet").drop("path")
    kept = [table.write_ndjson().encode()]
    kept += [path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path.suffix != ".csv"]
    for secret in (PATIENT_ID.encode(), b"1.2.3.47110815"):
        assert not any(secret in content for content in kept)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_only_its_owner_can_read_it(tmp_path: Path, umask: int) -> None:
    """Whatever the umask, and in place of a file that all could read."""
    path = tmp_path / "mapping.csv"
    path.write_text("old")
    path.chmod(0o666)
    before = os.umask(umask)
    try:
        write_mapping(path, ["a"], [["1"]])
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"a\r\n1\r\n"
    assert [other.name for other in tmp_path.iterdir()] == ["mapping.csv"]


def test_texts_that_are_no_unicode(tmp_path: Path) -> None:
    """A broken header must not cost the file."""
    write_mapping(tmp_path / "m.csv", ["a"], [["M\udcfcller"], ['"quoted", with\nlines']])
    assert rows_of(tmp_path / "m.csv") == [["a"], ["M?ller"], ['"quoted", with\nlines']]


def test_patients_that_were_joined_or_corrected(tmp_path: Path) -> None:
    """Both numbers of one person lead to one pseudonym, as the catalogue has it."""
    folder, out = tmp_path / "in", tmp_path / "c.parquet"
    write_dicom(folder / "a.dcm", screen(2), PatientID="A", StudyInstanceUID="1")
    write_dicom(folder / "b.dcm", screen(2), PatientID="B", StudyInstanceUID="1")
    table, _ = scan(folder, out, ONE, mapping=tmp_path / "m.csv")
    (patient,) = set(table["patient"])
    assert [row[:2] for row in rows_of(tmp_path / "m.csv")[1:]] == [["A", patient], ["B", patient]]
    write_catalogue(table.with_columns(patient=pl.lit("corrected")), out)
    scan(folder, out, ONE, mapping=tmp_path / "m.csv")
    assert [row[1] for row in rows_of(tmp_path / "m.csv")[1:]] == ["corrected"] * 2


def test_clips_that_are_gone_have_no_row(tmp_path: Path, study: Study) -> None:
    """The originals are in their files only."""
    folder = study(2)
    scan(folder, tmp_path / "c.parquet", ONE)
    (folder / "DOE_01.dcm").unlink()
    scan(folder, tmp_path / "c.parquet", ONE, mapping=tmp_path / "m.csv")
    assert [row[0] for row in rows_of(tmp_path / "m.csv")[1:]] == [f"{PATIENT_ID}-0"]


def test_a_place_that_cannot_be_written(tmp_path: Path, study: Study) -> None:
    """One line, after the catalogue is safe."""
    (tmp_path / "file").touch()
    with pytest.raises(CannotDo, match=r"^'m.csv' cannot be written"):
        scan(study(1), tmp_path / "c.parquet", ONE, mapping=tmp_path / "file" / "m.csv")
    assert (tmp_path / "c.parquet").exists()


def test_it_works_without_reading_the_clips_again(tmp_path: Path, study: Study) -> None:
    """Asked for later, when all clips are known: their headers are enough, their frames are not decoded."""
    folder = study(2)
    scan(folder, tmp_path / "c.parquet", ONE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apical.ingest.scan.read_row", lambda *_, **__: pytest.fail("it was read"))
        scan(folder, tmp_path / "c.parquet", ONE, mapping=tmp_path / "m.csv")
    assert len(rows_of(tmp_path / "m.csv")) == 3
