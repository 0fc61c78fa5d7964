"""CAMUS in its three forms; the part for development is read as it lies there."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from clip_files import CAMUS
from dataset_trees import camus, camus_original, clips, read, write

from apical.errors import CannotDo
from apical.ingest.datasets import read_dataset

needs_camus = pytest.mark.skipif(not CAMUS.is_dir(), reason="no ../shared/data/camus-dev here")


def test_nifti_release(tmp_path: Path) -> None:
    camus(tmp_path)
    entries, counts = read("camus", tmp_path)
    found = clips(entries)
    assert {file.rpartition("_half")[0].rpartition("/")[2] for file in found} == {
        f"patient{number}_{view}" for number in ("0001", "0033", "0068", "0450") for view in ("2CH", "4CH")
    }
    assert all(file.endswith("_half_sequence.nii.gz") for file in found)
    assert all(f"_{entry.label}_" in file for file, entry in found.items())
    assert {entry.skip for file, entry in entries.items() if "_gt" in file} == {"a mask"}
    stills = {entry.skip for file, entry in entries.items() if file.endswith(("ED.nii.gz", "ES.nii.gz"))}
    assert stills == {"a frame of the sequence beside it"}
    assert counts.moved == 2  # both clips of patient 68


def test_one_person_under_two_numbers(tmp_path: Path) -> None:
    """33 and 68 are one patient of two studies, in the split of 33."""
    camus(tmp_path)
    of = {entry.study: (entry.patient, entry.split) for entry in read("camus", tmp_path)[0].values()}
    assert of == {
        "patient0001": ("patient0001", "train"),
        "patient0033": ("patient0033", "train"),
        "patient0068": ("patient0033", "train"),
        "patient0450": ("patient0450", "test"),
    }


def test_stills_are_kept_where_the_sequence_is_not(tmp_path: Path) -> None:
    camus(tmp_path, ["0001"])
    folder = tmp_path / "database_nifti" / "patient0001"
    (folder / "patient0001_2CH_half_sequence.nii.gz").unlink()  # its mask is still there
    assert {Path(file).name for file in clips(read("camus", tmp_path)[0])} == {
        "patient0001_2CH_ED.nii.gz",
        "patient0001_2CH_ES.nii.gz",
        "patient0001_4CH_half_sequence.nii.gz",
    }


def test_unpacked_beside_the_packed(tmp_path: Path) -> None:
    camus(tmp_path, ["0001"])
    folder = "database_nifti/patient0001"
    write(tmp_path, [f"{folder}/patient0001_4CH_half_sequence.nii"])
    entries, _ = read("camus", tmp_path)
    packed = entries[f"{folder}/patient0001_4CH_half_sequence.nii.gz"]
    assert packed.skip == "the same image in another form"
    assert entries[f"{folder}/patient0001_4CH_half_sequence.nii"].skip is None


@pytest.mark.parametrize("below", ["", "training"])
def test_original_release(tmp_path: Path, below: str) -> None:
    """Numbers start again in testing, so the folder is part of the key, also where it is the root."""
    camus_original(tmp_path)
    entries, _ = read("camus", tmp_path / below)
    found = clips(entries)
    assert all(file.endswith("_sequence.mhd") for file in found)
    of = {entry.study: (entry.patient, entry.split) for entry in found.values()}
    expected = {
        "training/patient0001": ("training/patient0001", "train"),
        "training/patient0033": ("training/patient0033", "train"),
        "training/patient0068": ("training/patient0033", "train"),
        "testing/patient0001": ("testing/patient0001", "test"),
    }
    assert of == {study: value for study, value in expected.items() if study.startswith(below)}
    raw = {entry.skip for file, entry in entries.items() if file.endswith(".raw") and "_gt" not in file}
    assert raw == {"the pixels of a MetaImage file"}


def test_patient_68_of_testing_is_somebody_else(tmp_path: Path) -> None:
    write(tmp_path, [f"testing/patient00{n}/patient00{n}_2CH_sequence.mhd" for n in (33, 68)])
    assert len({entry.patient for entry in read("camus", tmp_path)[0].values()}) == 2


def test_both_releases_at_once(tmp_path: Path) -> None:
    camus(tmp_path)
    camus_original(tmp_path)
    with pytest.raises(CannotDo, match="both releases"):
        read_dataset("camus", tmp_path)


def test_stills_with_a_table(tmp_path: Path) -> None:
    """The table counts, not the names."""
    write(
        tmp_path,
        ["images/1.png", "images/patient0068_4CH_ES.png", "images/3.png"],
        labels_csv="file,patient,view,phase\nimages/1.png,patient0033,A2C,ED\n"
        "images/patient0068_4CH_ES.png,patient0068,A4C,ES\nimages/gone.png,patient0001,A4C,ED\n",
    )
    entries, counts = read("camus", tmp_path)
    assert {(entry.file, entry.patient, entry.study, entry.label) for entry in entries.values()} == {
        ("images/1.png", "patient0033", "patient0033", "A2C"),
        ("images/patient0068_4CH_ES.png", "patient0033", "patient0068", "A4C"),
    }
    assert counts.missing == 1


def test_a_still_with_two_views(tmp_path: Path) -> None:
    rows = "1.png,p,A2C\n1.png,p,A4C\n1.png,p,A2C\n2.png,p,A4C\n2.png,p,A4C\n"
    write(tmp_path, ["1.png", "2.png"], labels_csv="file,patient,view\n" + rows)
    entries, counts = read("camus", tmp_path)
    assert [entry.label for entry in entries.values()] == [None, "A4C"]
    assert counts.conflicts == 1


def test_stills_without_a_table(tmp_path: Path) -> None:
    write(tmp_path, ["patient0007_2CH_ED.png", "patient0007_2CH_ED_gt.png", "other.png"])
    entries, _ = read("camus", tmp_path)
    assert {file: (entry.patient, entry.label) for file, entry in clips(entries).items()} == {
        "patient0007_2CH_ED.png": ("patient0007", "2CH")
    }


@needs_camus
def test_the_part_for_development() -> None:
    """800 stills of 200 patients, against the table read by hand."""
    about, entries, counts = read_dataset("camus", CAMUS)
    with (CAMUS / "labels.csv").open() as file:
        truth = {row["file"]: (row["patient"], row["view"]) for row in csv.DictReader(file)}
    assert {entry.file: (entry.study, entry.label) for entry in entries} == truth
    assert (len(entries), len({entry.patient for entry in entries})) == (800, 200)
    assert {about.views[entry.label or ""] for entry in entries} == {"A2C", "A4C"}
    assert counts.lines() == []
