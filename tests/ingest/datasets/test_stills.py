"""Data sets of single images: TMED-2, Unity and CACTUS."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_trees import CINE_A, CINE_B, CINE_C, TMED_COLUMNS, cactus, read, tmed2, unity, unity_file, write

from apical.errors import CannotDo
from apical.ingest.datasets import DATASETS, read_dataset


def test_tmed2(tmp_path: Path) -> None:
    """Names that come twice are told apart by their folders; the other folds are not looked at."""
    tmed2(tmp_path)
    entries, counts = read("tmed2", tmp_path)
    both = "view_and_diagnosis_labeled_set"
    said = {file: (entry.patient, entry.study, entry.label, entry.split) for file, entry in entries.items()}
    assert said == {
        f"{both}/labeled/4860s1_0.png": ("4860", "4860s1", "A4C", "train"),
        f"{both}/labeled/4860s1_1.png": ("4860", "4860s1", "PSAX", "train"),
        f"{both}/labeled/4860s2_0.png": ("4860", "4860s2", "A4CorA2CorOther", "train"),
        f"{both}/unlabeled/4860s1_0.png": ("4860", "4860s1", None, "train"),
        f"{both}/labeled/12s1_0.png": ("12", "12s1", "PLAX", "test"),
        "view_labeled_set/labeled/labeled/77s1_3.png": ("77", "77s1", "A2C", "validation"),
        "unlabeled_set/unlabeled_set/9001s1_0.png": ("9001", "9001s1", None, None),
    }
    assert counts.lines() == []


def test_tmed2_views() -> None:
    views = DATASETS["tmed2"][0].views
    assert {name for name, view in views.items() if view is None} == {"PSAX", "A4CorA2CorOther"}


def test_tmed2_unlabelled_images_of_a_test_patient_are_test(tmp_path: Path) -> None:
    """So they cannot leak into pre-training."""
    tmed2(tmp_path)
    write(tmp_path, ["view_and_diagnosis_labeled_set/unlabeled/12s1_7.png"])
    entries, _ = read("tmed2", tmp_path)
    assert entries["view_and_diagnosis_labeled_set/unlabeled/12s1_7.png"].split == "test"


def test_tmed2_odd_names_have_no_patient_and_no_split(tmp_path: Path) -> None:
    write(
        tmp_path,
        ["set/x.png"],
        DEV479__TMED2_fold0_labeledpart_csv=TMED_COLUMNS + "x.png,set,A4C,no_AS,train,train\n",
    )
    entries, counts = read("tmed2", tmp_path)
    assert [(one.patient, one.label, one.split) for one in entries.values()] == [(None, "A4C", None)]
    assert counts.moved == 0


def test_tmed2_without_the_fold(tmp_path: Path) -> None:
    """Another fold would give other splits, so none is taken in its place."""
    tmed2(tmp_path)
    (tmp_path / "DEV479/TMED2_fold0_labeledpart.csv").unlink()
    with pytest.raises(CannotDo, match=r"no 'DEV479/TMED2_fold0_labeledpart\.csv' was found"):
        read_dataset("tmed2", tmp_path)


def test_unity(tmp_path: Path) -> None:
    """A cine stands for a patient: its frames share a split, also those without key points."""
    unity(tmp_path)
    entries, counts = read("unity", tmp_path)
    assert {file: (entry.patient, entry.label, entry.split) for file, entry in entries.items()} == {
        unity_file(CINE_A, 0): (CINE_A, None, "train"),
        unity_file(CINE_A, 23): (CINE_A, None, "train"),
        unity_file(CINE_B, 5): (CINE_B, None, "validation"),
        unity_file(CINE_C, 1, "02"): (CINE_C, None, None),
    }
    assert counts.missing == 1


def test_unity_names_without_the_class(tmp_path: Path) -> None:
    """The publisher's page leaves out what its code keeps."""
    unity(tmp_path)
    old = tmp_path / unity_file(CINE_A, 0)
    old.rename(old.with_name(old.name.removeprefix("01-")))
    entries, counts = read("unity", tmp_path)
    assert next(entry for file, entry in entries.items() if "/4d4d" in file).split == "train"
    assert counts.missing == 1


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"a', "[" * 100_000, "\xff"])
def test_unity_with_a_broken_list(tmp_path: Path, text: str) -> None:
    unity(tmp_path)
    (tmp_path / "labels/labels-train.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CannotDo, match=r"'labels-train.json' cannot be read \(\w+\)"):
        read_dataset("unity", tmp_path)


def test_unity_odd_keys_are_counted(tmp_path: Path) -> None:
    unity(tmp_path)
    (tmp_path / "labels/labels-ival.json").write_text('{"DOE": {}, "01-abc-0000.png": {}}')
    assert read("unity", tmp_path)[1].odd == 2


def test_cactus(tmp_path: Path) -> None:
    """One phantom is one patient, so no split can part its images."""
    cactus(tmp_path)
    write(tmp_path, ["images dataset/psav/Session/x.PNG", "cover.jpg"])
    entries, counts = read("cactus", tmp_path)
    assert {entry.patient for entry in entries.values()} == {"phantom"}
    assert {entry.split for entry in entries.values()} == {None}
    labels = {file: entry.label for file, entry in entries.items()}
    assert labels["Images Dataset/A4C/scan 1/1.jpg"] == "A4C"
    assert labels["images dataset/psav/Session/x.PNG"] == "PSAV"
    assert labels["Images Dataset/Random/1.jpg"] == "Random"
    assert labels["cover.jpg"] is None
    assert set(labels.values()) == {None, *DATASETS["cactus"][0].views}
    assert counts.lines() == []
