"""A catalogue takes what a public data set says of its files: patients, views, splits, what is no clip."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import polars as pl
import pytest
from clip_files import CAMUS, screen
from dataset_trees import append, camus, echonet_pediatric, write

from apical.catalogue import conform, read_catalogue, write_catalogue
from apical.config import ScanSettings
from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.ingest.datasets import DATASETS
from apical.ingest.datasets.apply import NOT_OF_IT, apply_dataset
from apical.ingest.label_report import LabelReport
from apical.ingest.pseudonyms import Pseudonyms
from apical.ingest.scan import scan
from apical.views import standard_vocabulary

ONE = ScanSettings(workers=1)
KEY = Pseudonyms(bytes(32))
needs_camus = pytest.mark.skipif(not CAMUS.is_dir(), reason="no ../shared/data/camus-dev here")


def catalogue(root: Path) -> pl.DataFrame:
    """A catalogue of all files of a tree, as if each were a sound clip of its folder."""
    paths = sorted(str(path) for path in root.rglob("*") if path.is_file())
    return conform(
        pl.DataFrame(
            {
                "clip": [KEY.file(path) for path in paths],
                "path": paths,
                "patient": [KEY.patient(str(Path(path).parent)) for path in paths],
            }
        )
    )


def applied(table: pl.DataFrame, name: str, root: Path) -> tuple[dict[str, dict[str, object]], LabelReport]:
    """The rows by their paths from the root, and the report."""
    changed, report, about = apply_dataset(table, name, str(root), standard_vocabulary(), KEY)
    assert about.name == name
    assert changed["clip"].to_list() == table["clip"].to_list()
    return {row["path"].removeprefix(f"{root}/"): row for row in changed.iter_rows(named=True)}, report


def test_patients_views_and_splits(tmp_path: Path) -> None:
    """CAMUS: one clip a view; 33 and 68 are one person, in the split of 33; the rest has its reason."""
    camus(tmp_path)
    write(tmp_path, ["notes.png"])
    rows, report = applied(catalogue(tmp_path), "camus", tmp_path)
    clips = {
        Path(file).name.removesuffix("_half_sequence.nii.gz"): row
        for file, row in rows.items()
        if row["problem"] is None
    }
    said = {name: (row["patient"], row["view"], row["split"]) for name, row in clips.items()}
    numbers = {"0001": ("0001", "train"), "0033": ("0033", "train"), "0068": ("0033", "train")}
    numbers |= {"0450": ("0450", "test")}
    assert said == {
        f"patient{number}_{word}": (KEY.patient(f"camus patient{of}"), view, split)
        for number, (of, split) in numbers.items()
        for word, view in (("2CH", "A2C"), ("4CH", "A4C"))
    }
    assert {row["study"] for row in clips.values()} == {
        KEY.study(f"camus patient{number}") for number in numbers
    }
    assert {row["labelled_by"] for row in clips.values()} == {"table"}
    assert report.matched == report.labelled == 8
    assert report.notes == ("clips in the split of their patient's first clip, not in their official one: 2",)
    folder = "database_nifti/patient0001/patient0001_2CH"
    assert rows[f"{folder}_ED_gt.nii.gz"]["problem"] == "a mask"
    assert rows[f"{folder}_ES.nii.gz"]["problem"] == "a frame of the sequence beside it"
    assert rows["notes.png"]["problem"] == NOT_OF_IT


def test_views_that_are_no_standard_ones_are_counted(tmp_path: Path) -> None:
    """The children's PSAX may be any level: a patient and a split, no view."""
    echonet_pediatric(tmp_path)
    rows, report = applied(catalogue(tmp_path), "echonet-pediatric", tmp_path)
    assert {(file.partition("/")[0], row["view"]) for file, row in rows.items() if file.endswith(".avi")} == {
        ("A4C", "A4C"),
        ("PSAX", None),
    }
    assert (report.matched, report.labelled) == (6, 3)
    assert "clips of 'PSAX', which is no standard view: 3" in report.notes
    child = KEY.patient("echonet-pediatric CR32a7555")
    assert [row["split"] for row in rows.values() if row["patient"] == child] == ["train"] * 3


def test_problems_that_files_have_stay(tmp_path: Path) -> None:
    """A damaged mask is damaged; and rows outside the folder are not touched."""
    camus(tmp_path / "set", ["0001"])
    write(tmp_path, ["set2/other.png"])
    table = catalogue(tmp_path)
    damaged = pl.col("path").str.ends_with("2CH_ED_gt.nii.gz")
    table = table.with_columns(problem=pl.when(damaged).then(pl.lit("damaged NIfTI file")))
    rows, _ = applied(table, "camus", tmp_path / "set")
    assert rows["database_nifti/patient0001/patient0001_2CH_ED_gt.nii.gz"]["problem"] == "damaged NIfTI file"
    (outside,) = [row for file, row in rows.items() if file.endswith("other.png")]
    assert (outside["problem"], outside["view"]) == (None, None)


def test_files_that_are_not_here_are_said(tmp_path: Path) -> None:
    echonet_pediatric(tmp_path)
    (tmp_path / "A4C/Videos/CR32a95e6-CR3dcad12-000058.avi").unlink()
    append(tmp_path / "PSAX/FileList.csv", "gone.avi,61.35,F,1,11.3,90,1\n")
    _, report = applied(catalogue(tmp_path), "echonet-pediatric", tmp_path)
    assert "files that the index names, but are not here: 2" in report.notes


def test_a_split_that_the_catalogue_has_given_otherwise(tmp_path: Path) -> None:
    """Patients whom somebody has put into train are not moved in silence."""
    camus(tmp_path)
    table, _, _ = apply_dataset(catalogue(tmp_path), "camus", str(tmp_path), standard_vocabulary(), KEY)
    one = pl.col("patient") == KEY.patient("camus patient0450")
    table = table.with_columns(split=pl.when(one).then(pl.lit("train")).otherwise("split"))
    extra = table.filter(one).head(1).with_columns(clip=pl.lit("extra"), path=pl.lit("/else.png"))
    with pytest.raises(PatientOverlap):
        apply_dataset(pl.concat([table, extra]), "camus", str(tmp_path), standard_vocabulary(), KEY)


def stills(root: Path) -> Path:
    """A tiny CAMUS of pictures with a table, as the part for development is laid out."""
    (root / "images").mkdir(parents=True)
    rows = ["file,patient,view,phase,split"]
    for number, split in ((1, "train"), (33, "val"), (68, "test")):
        for view in ("2CH", "4CH"):
            name = f"images/patient{number:04}_{view}_ED.png"
            cv2.imwrite(str(root / name), screen(1, 120, 160, seed=number + len(rows))[0])
            rows.append(f"{name},patient{number:04},A{view},ED,{split}".replace("A2CH", "A2C"))
    (root / "labels.csv").write_text("\n".join(rows).replace("A4CH", "A4C") + "\n")
    return root


def test_scan_of_a_data_set(tmp_path: Path) -> None:
    """From the pictures to a catalogue with views and splits, and the same when it is scanned again."""
    root, out = stills(tmp_path / "set"), tmp_path / "c.parquet"
    cv2.imwrite(str(root / "logo.png"), screen(1, 120, 160)[0])
    table, report = scan(root, out, ONE, dataset="camus")
    assert read_catalogue(out).equals(table)
    assert table["view"].to_list() == [None, "A2C", "A4C", "A2C", "A4C", "A2C", "A4C"]
    assert table["split"].to_list() == [None, "train", "train", *["validation"] * 4]
    assert table["problem"].to_list() == [NOT_OF_IT, *[None] * 6]
    assert table["patient"].n_unique() == 3
    assert report is not None
    assert report.notes == ("clips in the split of their patient's first clip, not in their official one: 2",)
    again, _ = scan(root, out, ONE, dataset="camus")
    assert again.equals(table)
    write_catalogue(table.with_columns(view=pl.lit(None, pl.String)), out)
    assert scan(root, out, ONE, dataset="camus")[0]["view"].equals(table["view"])


@needs_camus
def test_scan_of_real_pictures(tmp_path: Path) -> None:
    """Ten patients of CAMUS by links, against its table read by hand; the official part has no splits."""
    root = tmp_path / "camus"
    (root / "images").mkdir(parents=True)
    with (CAMUS / "labels.csv").open() as file:
        truth = list(csv.DictReader(file))
    first = set(sorted({row["patient"] for row in truth})[:10])
    for row in truth:
        if row["patient"] in first:
            (root / row["file"]).symlink_to(CAMUS / row["file"])
    (root / "labels.csv").symlink_to(CAMUS / "labels.csv")
    table, report = scan(root, tmp_path / "c.parquet", ONE, dataset="camus")
    key = Pseudonyms.load_or_create(tmp_path / "salt.key")
    said = table.select("path", "patient", "view", "split", "problem").rows()
    assert set(said) == {
        (str(root / row["file"]), key.patient(f"camus {row['patient']}"), row["view"], None, None)
        for row in truth
        if row["patient"] in first
    }
    assert report is not None
    assert (report.matched, report.labelled) == (len(said), len(said)) == (40, 40)
    assert report.notes == ("files that the index names, but are not here: 760",)


@needs_camus
def test_the_whole_part_for_development() -> None:
    """800 pictures of 200 people, none in a row that says otherwise; no pixel is read."""
    rows, report = applied(catalogue(CAMUS), "camus", CAMUS)
    clips = [row for row in rows.values() if row["problem"] is None]
    assert (len(clips), len({row["patient"] for row in clips}), report.labelled) == (800, 200, 800)
    assert report.problems == []
    assert {file for file, row in rows.items() if row["problem"]} == {"PROVENANCE.md", "labels.csv"}


def test_labels_and_a_data_set_are_one_too_many(tmp_path: Path) -> None:
    root = stills(tmp_path / "set")
    with pytest.raises(WrongCall, match="brings its own labels"):
        scan(root, tmp_path / "c.parquet", ONE, labels=root / "labels.csv", dataset="camus")
    assert not (tmp_path / "c.parquet").exists()


def test_a_name_that_is_none(tmp_path: Path) -> None:
    """The line names those that are known; it comes before any file is read."""
    with pytest.raises(WrongCall, match="no data set 'camel'") as caught:
        scan(stills(tmp_path / "set"), tmp_path / "c.parquet", ONE, dataset="camel")
    assert all(name in str(caught.value) for name in DATASETS)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c.parquet").exists()


def test_a_data_set_must_be_a_folder(tmp_path: Path) -> None:
    """Its index is read with it; this too comes before any file is read."""
    root = stills(tmp_path / "set")
    for source in ("memory://set", str(root / "images" / "patient0001_2CH_ED.png")):
        with pytest.raises(WrongCall, match="must be unpacked in a folder"):
            apply_dataset(catalogue(root), "camus", source, standard_vocabulary(), KEY)
        with pytest.raises(WrongCall, match="must be unpacked in a folder"):
            scan(source, tmp_path / "c.parquet", ONE, dataset="camus")
    assert not (tmp_path / "c.parquet").exists()


def test_another_folder_keeps_what_was_scanned(tmp_path: Path) -> None:
    """The folder is no copy of the data set: one line, and the catalogue without it."""
    (tmp_path / "set").mkdir()
    cv2.imwrite(str(tmp_path / "set" / "DOE.png"), screen(1)[0])
    with pytest.raises(CannotDo, match="this is no copy of CAMUS") as caught:
        scan(tmp_path / "set", tmp_path / "c.parquet", ONE, dataset="camus")
    assert "DOE" not in str(caught.value)
    assert read_catalogue(tmp_path / "c.parquet").height == 1


def test_no_name_of_the_data_set_stands_in_the_catalogue(tmp_path: Path) -> None:
    """Its patients are pseudonyms too, and those of two data sets are never one."""
    root = stills(tmp_path / "set")
    table, _ = scan(root, tmp_path / "c.parquet", ONE, dataset="camus")
    assert "patient0" not in json.dumps(table.drop("path").to_dicts())
    assert KEY.patient("camus 1") != KEY.patient("tmed2 1")
