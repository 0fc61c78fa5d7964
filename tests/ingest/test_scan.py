"""A tree becomes one row a file, the same for any number of processes, without an identifier."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from clip_files import PATIENT_ID, SECRETS, screen, write_dicom
from numpy.typing import NDArray

from apical.catalogue import SCHEMA, read_catalogue, write_catalogue
from apical.config import ScanSettings
from apical.errors import CannotDo, WrongCall
from apical.ingest.deidentify import Pseudonyms, clip_id_of_uid
from apical.ingest.scan import candidate_files, scan

ONE = ScanSettings(workers=1)
Study = Callable[[int], Path]


def test_rows_of_dicom_files(tmp_path: Path, study: Study) -> None:
    """The facts, the patients and the order of the paths; read back from the disk it is the same."""
    seen: list[tuple[int, int]] = []
    table, report = scan(study(4), tmp_path / "c.parquet", ONE, progress=lambda *n: seen.append(n))
    assert report is None
    assert list(table.columns) == list(SCHEMA)
    assert table["clip"].to_list() == [clip_id_of_uid(f"1.2.3.{number}") for number in range(4)]
    assert table["path"].is_sorted()
    assert table["patient"].n_unique() == 2
    assert table["patient"][0] == Pseudonyms.load_or_create(tmp_path / "salt.key").patient(f"{PATIENT_ID}-0")
    assert table["study"].n_unique() == 1
    row = table.row(0, named=True)
    assert (row["frames"], row["rows"], row["columns"], row["frame_time_ms"]) == (4, 240, 320, 33.3)
    assert (row["mode"], row["problem"], row["manufacturer"]) == ("2d", None, "Phantom Works")
    assert 0 <= row["region"][0] < row["region"][2] <= 320
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert read_catalogue(tmp_path / "c.parquet").equals(table)


def messy_tree(folder: Path, frames: NDArray[np.uint8]) -> None:
    """Good, broken, double, hidden and foreign files, in folders that link to each other."""
    good = write_dicom(folder / "a" / "DOE.dcm", frames[:2], SOPInstanceUID="1.2.3")
    shutil.copy(good, folder / "a" / "copy.dcm")
    (folder / "a" / "cut.dcm").write_bytes(good.read_bytes()[:700])
    (folder / "a" / "text.dcm").write_text("DOE^JOHANNA MRN-4711 " * 20)
    (folder / "a" / "empty.dcm").touch()
    (folder / "a" / "empty too.dcm").touch()
    shutil.copy(good, folder / "a" / "no suffix")
    shutil.copy(good, folder / "a" / ".hidden.dcm")
    (folder / "b" / "deep").mkdir(parents=True)
    cv2.imwrite(str(folder / "b" / "deep" / "still.png"), frames[0])
    cv2.imwrite(str(folder / "b" / "other.png"), frames[1])
    for name in ("labels.csv", "notes.txt", "DICOMDIR", "x.json", "sheet.xlsx", "README"):
        (folder / name).write_text("DOE^JOHANNA")
    (folder / "b" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "b" / "dangling.png").symlink_to(folder / "nowhere")


def test_messy_tree(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Every candidate is a row; nothing else is; nothing raises; ids are unique."""
    messy_tree(tmp_path / "tree", frames)
    table, _ = scan(tmp_path / "tree", tmp_path / "c.parquet", ONE)
    root = str((tmp_path / "tree").resolve())
    problems = {path.removeprefix(root): text for path, text in table.select("path", "problem").iter_rows()}
    assert problems == {
        "/a/DOE.dcm": None,
        "/a/copy.dcm": "same clip as another file",
        "/a/cut.dcm": "pixel data cannot be decoded",
        "/a/empty too.dcm": "empty file",
        "/a/empty.dcm": "empty file",
        "/a/no suffix": "same clip as another file",
        "/a/text.dcm": "not a DICOM file",
        "/b/dangling.png": "the file cannot be read",
        "/b/deep/still.png": None,
        "/b/other.png": None,
    }
    assert table["clip"].n_unique() == table.height
    stills = table.filter(pl.col("path").str.ends_with(".png") & pl.col("problem").is_null())
    assert stills["patient"].n_unique() == 2  # a folder is a patient


def test_any_number_of_processes_gives_the_same(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    messy_tree(tmp_path / "tree", frames)
    salt = tmp_path / "salt.key"
    one, _ = scan(tmp_path / "tree", tmp_path / "1.parquet", ONE, salt=salt)
    two, _ = scan(tmp_path / "tree", tmp_path / "2.parquet", ScanSettings(workers=2), salt=salt)
    assert one.equals(two)


def test_no_identifier_leaves(
    tmp_path: Path,
    frames: NDArray[np.uint8],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Planted names and numbers stand in no column but the path, nor in the log or on the terminal."""
    caplog.set_level(0)
    messy_tree(tmp_path / "tree", frames)
    table, _ = scan(tmp_path / "tree", tmp_path / "c.parquet", ONE)
    out, err = capfd.readouterr()
    text = io.StringIO()
    pl.Config.set_fmt_str_lengths(10_000)
    rest = table.drop("path").with_columns(pl.col("region").cast(pl.List(pl.String)).list.join(","))
    rest.write_csv(text)
    for secret in SECRETS:
        assert secret not in text.getvalue()
        assert secret not in caplog.text
        assert secret not in out + err
    assert "7 files are no images" in caplog.text  # and a hidden one


def test_user_files_are_left_alone(tmp_path: Path, study: Study) -> None:
    folder = study(2)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    scan(folder, tmp_path / "c.parquet", ONE)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_scanning_again_keeps_what_people_said(tmp_path: Path, study: Study) -> None:
    """Labels, splits, a corrected patient and a column of the user's stay; new clips join."""
    folder, out = study(3), tmp_path / "c.parquet"
    table, _ = scan(folder, out, ONE)
    said = table.with_columns(
        view=pl.lit("A4C"),
        split=pl.lit("train"),
        labelled_by=pl.lit("me"),
        patient=pl.lit("p"),
        note=pl.lit("n"),
    )
    write_catalogue(said, out)
    write_dicom(folder / "z.dcm", screen(2), SOPInstanceUID="1.2.3.99")
    again, _ = scan(folder, out, ONE)
    assert again["view"].to_list() == ["A4C"] * 3 + [None]
    assert again["split"].to_list() == ["train"] * 3 + [None]
    assert again["note"].to_list() == ["n"] * 3 + [None]
    assert again["patient"].to_list()[:3] == ["p"] * 3
    (tmp_path / "salt.key").unlink()
    with pytest.raises(CannotDo, match=r"key of its pseudonyms, 'salt.key', does not"):
        scan(folder, out, ONE)


def test_labels_come_in_with_the_scan(tmp_path: Path, study: Study) -> None:
    folder = study(2)
    (folder / "labels.csv").write_text(
        "file,view,patient\nDOE_00.dcm,apical 4 chamber,one\nDOE_01.dcm,PLAX,two\n"
    )
    table, report = scan(folder, tmp_path / "c.parquet", ONE, labels=folder / "labels.csv")
    assert table["view"].to_list() == ["A4C", "PLAX"]
    assert report is not None
    assert report.matched == 2
    assert read_catalogue(tmp_path / "c.parquet").equals(table)


def test_nothing_to_scan(tmp_path: Path) -> None:
    with pytest.raises(WrongCall):
        scan(tmp_path / "missing", tmp_path / "c.parquet")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(CannotDo, match="no DICOM files"):
        scan(tmp_path / "empty", tmp_path / "c.parquet")
    assert not (tmp_path / "c.parquet").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_a_row(tmp_path: Path, study: Study) -> None:
    folder = study(1)
    (folder / "locked").mkdir(mode=0)
    table, _ = scan(folder, tmp_path / "c.parquet", ONE)
    assert table["problem"].to_list() == [None, "the file cannot be read"]


def test_an_unreadable_folder_is_listed(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without needing a user who is not root."""
    folder = study(1)
    (folder / "locked").mkdir()
    real = os.scandir

    def scandir(place: str) -> object:
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    assert candidate_files(folder) == [folder / "DOE_00.dcm", folder / "locked"]


def test_a_damaged_copy_does_not_take_the_place_of_the_whole_one(
    tmp_path: Path, frames: NDArray[np.uint8]
) -> None:
    """Both have the same SOPInstanceUID, and the damaged one comes first."""
    messy_tree(tmp_path / "tree", frames)
    whole = tmp_path / "tree" / "a" / "DOE.dcm"
    first = tmp_path / "pair" / "a.dcm"
    first.parent.mkdir()
    first.write_bytes(whole.read_bytes()[:-2000])
    shutil.copy(whole, first.with_name("b.dcm"))
    table, _ = scan(first.parent, tmp_path / "c.parquet", ONE)
    assert table["problem"].to_list() == ["pixel data cannot be decoded", None]
    assert table["clip"][0] == table["clip"][1] + "-2"
