"""A disc with a DICOMDIR: the files that it lists, those that are missing, and those it does not name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pydicom
import pytest
from clip_files import screen, write_dicom, write_zip
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence

from apical.catalogue import read_catalogue, write_catalogue
from apical.config import ScanSettings
from apical.ingest.scan import scan
from apical.ingest.walk import Found, walk

MISSING = "listed in the DICOMDIR, but not there"
ONE = ScanSettings(workers=1)
Disc = Callable[..., Path]


@pytest.fixture
def disc(tmp_path: Path) -> Disc:
    """Make a disc as pydicom writes one, of a clip each of `count` patients."""

    def make(count: int = 3) -> Path:
        files = FileSet()
        for number in range(count):
            path = write_dicom(
                tmp_path / "originals" / str(number),
                screen(2, seed=number),
                SOPInstanceUID=f"1.2.3.{number}",
                PatientID=f"MRN-{number}",
                StudyInstanceUID=f"1.2.4.{number}",
                StudyDate="20220306",
                StudyTime="120000",
                StudyID="1",
                AccessionNumber="",
                SeriesNumber=1,
                InstanceNumber=number,
            )
            files.add(pydicom.dcmread(path))
        files.write(tmp_path / "disc")
        return tmp_path / "disc"

    return make


def listing(folder: Path, *ids: object) -> Path:
    """A DICOMDIR that lists these files, and a record of no file."""
    header = Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    records = [Dataset() for _ in range(len(ids) + 1)]
    for record, name in zip(records, ids, strict=False):
        record.ReferencedFileID = name
    header.preamble = bytes(128)
    header.DirectoryRecordSequence = Sequence(records)
    folder.mkdir(parents=True, exist_ok=True)
    header.save_as(folder / "DICOMDIR", enforce_file_format=False)
    return folder / "DICOMDIR"


def test_the_files_that_it_lists(disc: Disc) -> None:
    """In its order; pydicom's own reading is the oracle."""
    folder = disc()
    expected = [Found(str(instance.path)) for instance in FileSet(folder / "DICOMDIR")]
    assert len(expected) == 3
    assert list(walk(str(folder / "DICOMDIR"))) == expected


def test_a_folder_holds_more_than_its_disc_lists(disc: Disc) -> None:
    """The list alone gives what it names; the folder gives all files, each once."""
    folder = disc()
    more = [write_dicom(folder / name, screen(1)) for name in ("PT000000/MORE", "NEW/IM1")]
    listed = [one.place for one in walk(str(folder / "DICOMDIR"))]
    assert not {str(path) for path in more} & set(listed)
    assert sorted(one.place for one in walk(str(folder))) == sorted([*map(str, more), *listed])


def test_the_disc_and_its_folder_give_the_same_catalogue(disc: Disc, tmp_path: Path) -> None:
    folder, salt = disc(), tmp_path / "salt.key"
    of_list, _ = scan(folder / "DICOMDIR", tmp_path / "a.parquet", ONE, salt=salt)
    of_folder, _ = scan(folder, tmp_path / "b.parquet", ONE, salt=salt)
    assert of_list.equals(of_folder)
    assert of_list["problem"].null_count() == 3


def test_a_missing_file_is_a_row(disc: Disc) -> None:
    """From the list and from the folder, each other file as it is."""
    folder = disc()
    places = [one.place for one in walk(str(folder / "DICOMDIR"))]
    os.remove(places[1])
    expected = {(places[0], None), (places[1], MISSING), (places[2], None)}
    for source in (folder / "DICOMDIR", folder):
        assert {(one.place, one.problem) for one in walk(str(source))} == expected


def test_every_list_in_a_tree_counts(disc: Disc, tmp_path: Path) -> None:
    """Several discs copied into one folder; and each is no clip itself."""
    (tmp_path / "tree").mkdir()
    for name in ("1", "2"):
        disc().rename(tmp_path / "tree" / name)
    os.remove(next(walk(str(tmp_path / "tree" / "2" / "DICOMDIR"))).place)
    found = list(walk(str(tmp_path / "tree")))
    assert len(found) == 6
    assert [one.problem for one in found if one.problem] == [MISSING]


def test_letters_of_another_case(disc: Disc, tmp_path: Path) -> None:
    """Discs are often copied to names in small letters; the files are found by them."""
    folder = disc()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.lower()))
    places = [one.place.removeprefix(f"{folder}/") for one in walk(str(folder / "dicomdir"))]
    assert places == [f"pt00000{n}/st000000/se000000/im000000" for n in range(3)]
    assert [one.place.removeprefix(f"{folder}/") for one in walk(str(folder))] == places


@pytest.mark.parametrize(
    "file_id", [["..", "outside"], "../outside", "/outside", ["A", "..", "..", "outside"], "A/../../outside"]
)
def test_no_list_leads_out_of_its_folder(tmp_path: Path, file_id: object) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    directory = listing(tmp_path / "disc", file_id, ["A", "IM1"])
    (tmp_path / "disc" / "A").mkdir()
    (tmp_path / "disc" / "A" / "IM1").write_bytes(b"x")
    found = list(walk(str(directory)))
    assert [one.problem for one in found] == [MISSING, None]
    assert found[1].place == str(tmp_path / "disc" / "A" / "IM1")


def test_a_name_with_a_zero_byte_is_not_there(tmp_path: Path) -> None:
    """In the middle of a path, where the folder is listed, and at its end."""
    found = list(walk(str(listing(tmp_path / "disc", ["A\0B", "IM1"], "IM\0001", ["A", "IM1"]))))
    assert [one.problem for one in found] == [MISSING] * 3


def test_a_list_of_nothing(tmp_path: Path) -> None:
    assert list(walk(str(listing(tmp_path)))) == []


@pytest.mark.parametrize("undefined", [False, True])
def test_a_list_that_is_cut_off(disc: Disc, undefined: bool) -> None:
    """Wherever it ends, it has a problem, and is not taken for a shorter list."""
    directory = disc() / "DICOMDIR"
    header = pydicom.dcmread(directory)
    header["DirectoryRecordSequence"].is_undefined_length = undefined
    for record in header.DirectoryRecordSequence:
        record.is_undefined_length_sequence_item = undefined
    header.save_as(directory)
    whole = directory.read_bytes()
    assert [one.problem for one in walk(str(directory))] == [None] * 3
    for length in range(0, len(whole), 23):
        directory.write_bytes(whole[:length])
        assert [one.place for one in walk(str(directory)) if one.problem] == [str(directory)], length


@pytest.mark.parametrize("content", [b"", b"DOE", bytes(128) + b"DICM" + b"\xff" * 50])
def test_a_damaged_list(tmp_path: Path, content: bytes) -> None:
    """In a folder the files are found without it."""
    (tmp_path / "DICOMDIR").write_bytes(content)
    write_dicom(tmp_path / "IM1", screen(1))
    problem = Found(str(tmp_path / "DICOMDIR"), "damaged list of files (DICOMDIR)")
    assert list(walk(str(tmp_path))) == [problem, Found(str(tmp_path / "IM1"))]
    assert list(walk(str(tmp_path / "DICOMDIR"))) == [problem]


def test_a_folder_that_cannot_be_listed(disc: Disc, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = disc(1)

    def denied(place: str) -> list[str]:
        raise PermissionError(13, "Permission denied", place)

    monkeypatch.setattr(os, "listdir", denied)
    (one,) = walk(str(folder / "DICOMDIR"))
    assert one.problem is None  # the name is as it is listed


def test_a_disc_in_an_archive(disc: Disc, tmp_path: Path) -> None:
    """Its files are found by their content; the list is passed over."""
    folder = disc()
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    archive = write_zip(tmp_path / "disc.zip", files)
    found = [one.place for one in walk(str(archive))]
    assert found == [f"zip://PT00000{n}/ST000000/SE000000/IM000000::{archive}" for n in range(3)]


def test_a_file_that_the_disc_has_lost_is_gone(disc: Disc, tmp_path: Path) -> None:
    """Its clip keeps its label, but is no longer usable; then it comes back."""
    folder, out = disc(), tmp_path / "c.parquet"
    table, _ = scan(folder / "DICOMDIR", out, ONE)
    write_catalogue(table.with_columns(view=pl.lit("A4C"), split=pl.lit("test")), out)
    before = read_catalogue(out)
    lost = Path(table["path"][1])
    lost.rename(tmp_path / "away")
    now, _ = scan(folder / "DICOMDIR", out, ONE)
    of_path = now.filter(pl.col("path") == str(lost)).sort("view", nulls_last=True)
    assert of_path["problem"].to_list() == ["the file is gone", MISSING]
    assert of_path["view"].to_list() == ["A4C", None]
    assert now["problem"].null_count() == 2
    (tmp_path / "away").rename(lost)
    back, _ = scan(folder / "DICOMDIR", out, ONE)
    assert back.sort("path").equals(before.sort("path"))
