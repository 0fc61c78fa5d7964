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
from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.ingest.pseudonyms import Pseudonyms, clip_id_of_uid
from apical.ingest.scan import scan
from apical.ingest.walk import Found, walk

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
    key = Pseudonyms.load_or_create(tmp_path / "salt.key")
    assert table["patient"][0] == key.patient(f"{PATIENT_ID}-0")
    assert table["study"].n_unique() == 2
    row = table.row(0, named=True)
    assert (row["frames"], row["rows"], row["columns"], row["frame_time_ms"]) == (4, 240, 320, 33.3)
    assert (row["mode"], row["problem"], row["manufacturer"]) == ("2d", None, key.machine("Phantom Works"))
    assert 0 <= row["region"][0] < row["region"][2] <= 320
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert read_catalogue(tmp_path / "c.parquet").equals(table)


def messy_tree(folder: Path, frames: NDArray[np.uint8]) -> None:
    """Good, broken, double, hidden and foreign files, in folders that link to each other."""
    good = write_dicom(folder / "a" / "DOE.dcm", frames[:2], SOPInstanceUID="1.2.3")
    shutil.copy(good, folder / "a" / "copy.dcm")
    (folder / "a" / "cut.dcm").write_bytes(good.read_bytes()[:700])
    (folder / "a" / "text.dcm").write_text("DOE^JOHANNA MRN-47110815 " * 20)
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
        "/DICOMDIR": "damaged list of files (DICOMDIR)",
        "/a/DOE.dcm": None,
        "/a/copy.dcm": "a copy of another file",
        "/a/cut.dcm": "pixel data is cut off: 0 of 2 frames are there",
        "/a/empty too.dcm": "empty file",
        "/a/empty.dcm": "empty file",
        "/a/no suffix": "a copy of another file",
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
    assert "6 files are no images" in caplog.text  # and a hidden one


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
        **{name: pl.lit("n") for name in ("scanned", "inside", "said")},
    )
    write_catalogue(said, out)
    write_dicom(folder / "z.dcm", screen(2), SOPInstanceUID="1.2.3.99")
    again, _ = scan(folder, out, ONE)
    assert again["view"].to_list() == ["A4C"] * 3 + [None]
    assert again["split"].to_list() == ["train"] * 3 + [None]
    for name in ("note", "scanned", "inside", "said"):
        assert again[name].to_list() == ["n"] * 3 + [None]
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
    found = list(walk(str(folder)))
    assert found == [
        Found(str(folder / "DOE_00.dcm")),
        Found(str(folder / "locked"), "the file cannot be read"),
    ]


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
    assert table["problem"].to_list() == ["pixel data is cut off: 1 of 2 frames are there", None]
    assert table["clip"][0] == table["clip"][1] + "-2"


def described(table: pl.DataFrame, root: Path) -> dict[str, dict[str, object]]:
    """Rows by their path under `root`."""
    return {Path(row["path"]).relative_to(root).as_posix(): row for row in table.iter_rows(named=True)}


def test_a_new_clip_gets_the_split_of_its_patient(tmp_path: Path, study: Study) -> None:
    """By its Patient ID, also if that patient was corrected; by its study; by its folder."""
    folder, out = study(4), tmp_path / "c.parquet"
    cv2.imwrite(str(folder / "still.png"), screen(1, seed=3)[0])
    table, _ = scan(folder, out, ONE)
    patients = table["patient"].to_list()
    assert len(set(patients)) == 3
    corrected = pl.Series(["corrected", patients[1], "corrected", patients[3], "photographed"])
    splits = pl.Series(["test", "train", "test", "train", "validation"])
    write_catalogue(table.with_columns(patient=corrected, split=splits, view=pl.lit("A4C")), out)
    new = screen(2)
    write_dicom(folder / "n0.dcm", new, PatientID=f"{PATIENT_ID}-0", StudyInstanceUID="9")
    write_dicom(folder / "n1.dcm", new, PatientID="", StudyInstanceUID="1.2.3.47110815.1")
    cv2.imwrite(str(folder / "other.png"), screen(1, seed=4)[0])
    again, _ = scan(folder, out, ONE)
    rows = described(again, folder.resolve())
    told = {name: (rows[name]["patient"], rows[name]["split"]) for name in ("n0.dcm", "n1.dcm", "other.png")}
    assert told == {
        "n0.dcm": ("corrected", "test"),
        "n1.dcm": (patients[1], "train"),
        "other.png": ("photographed", "validation"),
    }
    assert rows["n0.dcm"]["view"] is None
    assert again["split"].null_count() == 0


def test_what_is_not_found_now_keeps_its_labels(tmp_path: Path, study: Study) -> None:
    """Another folder, scanned to the same catalogue; then a file goes and comes back."""
    folder, out = study(3), tmp_path / "c.parquet"
    (folder / "broken.dcm").touch()
    table, _ = scan(folder, out, ONE)
    write_catalogue(table.with_columns(view=pl.lit("A4C"), split=pl.lit("test")), out)
    labelled = read_catalogue(out)
    write_dicom(tmp_path / "more" / "a.dcm", screen(2), PatientID="else", StudyInstanceUID="9")
    both, _ = scan(tmp_path / "more", out, ONE)
    assert both.tail(4).equals(labelled)
    assert both["split"].to_list() == [None] + ["test"] * 4

    away = (folder / "DOE_01.dcm").rename(tmp_path / "away.dcm")
    without, _ = scan(folder, out, ONE)
    row = described(without.filter(pl.col("path").str.contains("study")), folder.resolve())["DOE_01.dcm"]
    assert (row["view"], row["split"], row["problem"]) == ("A4C", "test", "the file is gone")
    assert without.height == 5
    away.rename(folder / "DOE_01.dcm")
    back, _ = scan(folder, out, ONE)
    assert back.sort("path").equals(both.sort("path"))


def test_a_broken_file_that_is_mended_leaves_no_row_behind(tmp_path: Path, study: Study) -> None:
    folder, out = study(1), tmp_path / "c.parquet"
    whole = (folder / "DOE_00.dcm").read_bytes()
    (folder / "DOE_00.dcm").write_bytes(b"")
    assert scan(folder, out, ONE)[0]["problem"].to_list() == ["empty file"]
    (folder / "DOE_00.dcm").write_bytes(whole)
    assert scan(folder, out, ONE)[0]["problem"].to_list() == [None]


@pytest.mark.parametrize("same_folder", [True, False])
def test_another_key_is_refused(tmp_path: Path, study: Study, same_folder: bool) -> None:
    """Also if no clip is scanned twice: then a file of the catalogue is opened to test the key."""
    folder, out = study(2), tmp_path / "c.parquet"
    scan(folder, out, ONE)
    before = out.read_bytes()
    Pseudonyms.load_or_create(tmp_path / "other.key")
    if not same_folder:
        folder = write_dicom(tmp_path / "more" / "a.dcm", screen(2), StudyInstanceUID="9").parent
    with pytest.raises(CannotDo, match=r"'c.parquet' was made with another key"):
        scan(folder, out, ONE, salt=tmp_path / "other.key")
    assert out.read_bytes() == before
    scan(folder, out, ONE)


def test_one_person_is_one_patient(tmp_path: Path) -> None:
    """Files of a study with another ID, none, or an issuer; whatever their order."""
    pixels = screen(2)
    headers = [
        {"PatientID": "B", "StudyInstanceUID": "1"},
        {"PatientID": "", "StudyInstanceUID": "1"},
        {"PatientID": "B", "IssuerOfPatientID": "HOSPITAL", "StudyInstanceUID": "2"},
        {"PatientID": "A", "StudyInstanceUID": "2"},
        {"PatientID": "", "StudyInstanceUID": "3"},
        {"PatientID": "C", "StudyInstanceUID": "4"},
    ]
    found = []
    for turn, names in enumerate(("012345", "543210")):
        for name, header in zip(names, headers, strict=True):
            write_dicom(tmp_path / str(turn) / f"{name}.dcm", pixels, SOPInstanceUID=f"7.{name}", **header)
        table, _ = scan(tmp_path / str(turn), tmp_path / f"{turn}.parquet", ONE, salt=tmp_path / "salt.key")
        found.append(table["patient"].to_list())
    assert found[1] == found[0][::-1]
    key = Pseudonyms.load_or_create(tmp_path / "salt.key")
    person = min(key.patient("A"), key.patient("B"))
    assert found[0] == [person] * 4 + [key.patient("3"), key.patient("C")]


def test_files_that_show_two_splits_to_be_one_patient_are_refused(tmp_path: Path, study: Study) -> None:
    folder, out = study(2), tmp_path / "c.parquet"
    table, _ = scan(folder, out, ONE)
    write_catalogue(table.with_columns(split=pl.Series(["train", "test"])), out)
    write_dicom(folder / "z.dcm", screen(2), PatientID=f"{PATIENT_ID}-0", StudyInstanceUID="1.2.3.47110815.1")
    with pytest.raises(PatientOverlap):
        scan(folder, out, ONE)
    assert read_catalogue(out)["split"].to_list() == ["train", "test"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_name_that_is_not_utf_8_is_a_row(tmp_path: Path, study: Study, workers: int) -> None:
    folder = study(2)
    odd = os.fsencode(folder) + b"/M\xfcller.dcm"
    try:
        os.rename(folder / "DOE_01.dcm", odd)
        os.mkdir(os.fsencode(folder) + b"/M\xfc")
        shutil.copy(folder / "DOE_00.dcm", os.fsdecode(os.fsencode(folder) + b"/M\xfc/a.dcm"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    table, _ = scan(folder, tmp_path / "c.parquet", ScanSettings(workers=workers))
    assert table["problem"].to_list() == [None, *["its path is not UTF-8; rename it"] * 2]
    assert table["path"].to_list()[1].endswith("M\ufffdller.dcm")


def test_labels_that_fit_nothing_do_not_lose_the_scan(tmp_path: Path, study: Study) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,view\nelsewhere/DOE.dcm,A4C\n")
    with pytest.raises(CannotDo, match="start from the folder of the table"):
        scan(study(2), tmp_path / "c.parquet", ONE, labels=labels)
    assert read_catalogue(tmp_path / "c.parquet").height == 2


def test_one_person_stays_one_patient_over_several_scans(tmp_path: Path) -> None:
    """A file that links two pseudonyms comes later, from another folder, when the first is not there."""
    pixels, out = screen(2), tmp_path / "c.parquet"
    write_dicom(tmp_path / "1" / "a.dcm", pixels, PatientID="B", StudyInstanceUID="1")
    write_dicom(tmp_path / "1" / "b.dcm", pixels, PatientID="", StudyInstanceUID="1")
    write_dicom(tmp_path / "1" / "c.dcm", pixels, PatientID="", StudyInstanceUID="2")
    table, _ = scan(tmp_path / "1", out, ONE)
    assert table["patient"].n_unique() == 2
    write_dicom(tmp_path / "2" / "a.dcm", pixels, PatientID="A", StudyInstanceUID="1")
    write_dicom(tmp_path / "2" / "b.dcm", pixels, PatientID="B", StudyInstanceUID="3")
    write_dicom(tmp_path / "2" / "c.dcm", pixels, PatientID="A", StudyInstanceUID="3")
    write_dicom(tmp_path / "2" / "d.dcm", pixels, PatientID="C", StudyInstanceUID="2")
    write_dicom(tmp_path / "2" / "e.dcm", pixels, PatientID="C", StudyInstanceUID="4")
    patients = dict(scan(tmp_path / "2", out, ONE)[0].select("path", "patient").iter_rows())
    found = {"/".join(Path(path).parts[-2:]): patient for path, patient in patients.items()}
    assert {found[name] for name in ("1/a.dcm", "1/b.dcm", "2/a.dcm", "2/b.dcm", "2/c.dcm")} == {
        found["1/a.dcm"]
    }
    assert {found[name] for name in ("1/c.dcm", "2/d.dcm", "2/e.dcm")} == {found["1/c.dcm"]}
    assert found["1/a.dcm"] != found["1/c.dcm"]
