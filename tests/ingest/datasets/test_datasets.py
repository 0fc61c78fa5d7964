"""What holds for every adapter: nested, partial and spoilt copies, and no patient in two splits."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
from dataset_trees import TREES, clips, read, write

from apical.errors import CannotDo, WrongCall
from apical.ingest.datasets import DATASETS, Counts, Entry, read_dataset
from apical.ingest.datasets.tree import Tree
from apical.views import standard_vocabulary

INDEX = {".csv", ".txt", ".json"}
every_tree = pytest.mark.parametrize("tree", TREES)


def splits_of_patients(entries: dict[str, Entry]) -> dict[str, set[str | None]]:
    splits: dict[str, set[str | None]] = {}
    for entry in entries.values():
        if entry.patient is not None:
            splits.setdefault(entry.patient, set()).add(entry.split)
    return splits


def check(entries: dict[str, Entry], root: Path) -> None:
    """The promises of `read_dataset`."""
    assert list(entries) == sorted(entries)
    for entry in entries.values():
        assert (root / entry.file).is_file()
        assert entry.split in (None, "train", "validation", "test")
        assert entry.split is None or entry.patient is not None
        assert entry.label != ""
        assert entry.skip != ""
    assert all(len(splits) == 1 for splits in splits_of_patients(entries).values())


@pytest.mark.parametrize("name", DATASETS)
def test_about(name: str) -> None:
    about, _ = DATASETS[name]
    assert about.name == name
    for field in fields(about):
        if field.name != "views":  # some publish none
            assert getattr(about, field.name), field.name
    assert all(about.pitfalls)
    known = standard_vocabulary().names
    assert {view for view in about.views.values() if view is not None} <= set(known)


def test_every_data_set_has_a_tree() -> None:
    assert {name for name, _ in TREES.values()} == set(DATASETS)


@every_tree
def test_as_published(tmp_path: Path, tree: str) -> None:
    name, build = TREES[tree]
    build(tmp_path)
    entries, _ = read(name, tmp_path)
    check(entries, tmp_path)
    assert clips(entries)
    images = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert set(entries) == {
        file for file in images if Path(file).suffix not in {*INDEX, ".cfg", ".md", ".tar"}
    }


@every_tree
@pytest.mark.parametrize("folder", ["EchoNet-Dynamic", "x/EchoNet-Dynamic"])
def test_in_a_folder_further_down(tmp_path: Path, tree: str, folder: str) -> None:
    """Unpacked into a folder of the same name, all is the same but for the paths."""
    name, build = TREES[tree]
    build(tmp_path / "flat")
    build(tmp_path / "nested" / folder)
    write(tmp_path / "nested", ["readme.html", "__MACOSX/._FileList.csv", ".hidden/FileList.csv"])
    flat, nested = read(name, tmp_path / "flat"), read(name, tmp_path / "nested")
    assert [file.removeprefix(f"{folder}/") for file in nested[0]] == list(flat[0])
    assert nested[1] == flat[1]
    for file, entry in flat[0].items():
        other = nested[0][f"{folder}/{file}"]
        assert all(
            getattr(entry, field.name) == getattr(other, field.name)
            for field in fields(entry)
            if field.name != "file"
        )


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("kind", ["empty", "absent", "other images"])
def test_a_wrong_folder(tmp_path: Path, name: str, kind: str) -> None:
    root = tmp_path / "DOE_JOHANNA"
    if kind != "absent":
        root.mkdir()
    if kind == "other images":
        write(root, ["A4C/DOE_1.dcm", "A4C/2.png", "3.avi"], notes_csv="name,born\nDOE,1931\n")
    with pytest.raises(CannotDo, match=r"no .* was found") as caught:
        read_dataset(name, root)
    assert "DOE" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "'" in str(caught.value) or "A4C, PL" in str(caught.value)  # what was looked for


@every_tree
@pytest.mark.parametrize("name", DATASETS)
def test_the_folder_of_another_data_set(tmp_path: Path, tree: str, name: str) -> None:
    """No data set is taken for another."""
    if TREES[tree][0] != name:
        TREES[tree][1](tmp_path)
        with pytest.raises(CannotDo):
            read_dataset(name, tmp_path)


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(WrongCall, match=r"camus, ev9v, .*mimic-iv-echo"):
        read_dataset("imagenet", tmp_path)


@every_tree
def test_partial_downloads(tmp_path: Path, tree: str) -> None:
    """Files that are not here have no entry, what is said of the others stays, and nothing is raised."""
    name, build = TREES[tree]
    draw = random.Random(0)
    for number in range(15):
        root = tmp_path / str(number)
        build(root)
        whole, before = read(name, root)
        images = [path for path in root.rglob("*") if path.is_file() and path.suffix not in INDEX]
        for path in draw.sample(images, k=draw.randrange(len(images))):
            path.unlink()
        try:
            entries, counts = read(name, root)
        except CannotDo:
            if name in ("cactus", "camus", "unity"):  # there the images are the index
                continue
            raise
        check(entries, root)
        assert set(entries) == {file for file in whole if (root / file).exists()}
        assert counts.missing >= before.missing
        for file, entry in entries.items():
            assert entry.patient == whole[file].patient
            if entry.skip == whole[file].skip:
                assert entry.label == whole[file].label


@every_tree
def test_splits_that_part_a_patient(tmp_path: Path, tree: str) -> None:
    """However the index draws its splits, no patient is in two, and what was moved is counted."""
    name, build = TREES[tree]
    words = r"\b(train|val|validation|test|TRAIN|VAL|TEST)\b|(?<=,)[0-9](?=\n)"
    draw = random.Random(1)
    moved = 0
    for number in range(20):
        root = tmp_path / str(number)
        build(root)
        for path in root.rglob("*.csv"):
            choices = list("0123456789") if name == "echonet-pediatric" else ["train", "val", "TEST"]
            path.write_text(re.sub(words, lambda _: draw.choice(choices), path.read_text()))  # noqa: B023
        entries, counts = read(name, root)
        check(entries, root)
        moved += counts.moved
    assert moved or name not in ("echonet-pediatric", "tmed2")


@every_tree
def test_odd_rows(tmp_path: Path, tree: str) -> None:
    """Rubbish between the rows changes nothing of what the others say."""
    name, build = TREES[tree]
    build(tmp_path / "clean")
    build(tmp_path / "odd")
    rubbish = [
        '"',
        ",,,,,,,,,,,,,,,,,,",
        "a",
        'x,"y',
        "../../x," * 5,
        "\0,\0",
        "é,ü,ß",
        "x" * 200_000,
        "/etc/a,b",
    ]
    for path in (tmp_path / "odd").rglob("*"):
        if path.suffix in (".csv", ".txt"):
            first, *rows = path.read_text().splitlines()
            path.write_text("\ufeff" + "\r\n".join([first, *rubbish, "", *rows, *rubbish, "\x1a"]))
    clean, before = read(name, tmp_path / "clean")
    odd, after = read(name, tmp_path / "odd")
    assert odd == clean
    assert after.missing + after.odd >= before.missing + before.odd
    assert (after.moved, after.conflicts) == (before.moved, before.conflicts)


@every_tree
def test_indices_in_another_hand(tmp_path: Path, tree: str) -> None:
    """Semicolons, other letters in the columns and their order reversed say the same."""
    name, build = TREES[tree]
    build(tmp_path / "clean")
    build(tmp_path / "other")
    for path in (tmp_path / "other").rglob("*.csv"):
        lines = path.read_text().replace('"fine, sharp"', "fine").splitlines()
        rows = [line.split(",")[::-1] for line in lines]
        rows[0] = [f" {cell.upper()} " for cell in rows[0]]
        path.write_text("\n".join(";".join(row) for row in rows))
    assert read(name, tmp_path / "other") == read(name, tmp_path / "clean")


@pytest.mark.parametrize(
    ("name", "tree", "index"),
    [
        ("echonet-dynamic", "echonet-dynamic", "FileList.csv"),
        ("echonet-lvh", "echonet-lvh", "MeasurementsList.csv"),
        ("echonet-pediatric", "echonet-pediatric", "A4C/FileList.csv"),
        ("mimic-iv-echo", "mimic-iv-echo", "echo-record-list.csv"),
        ("tmed2", "tmed2", "DEV479/TMED2_fold0_labeledpart.csv"),
        ("ev9v", "ev9v, of the code", "labels.csv"),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, name: str, tree: str, index: str) -> None:
    """The line names the index and the column, and no text of the file."""
    for text in ("", "\n\n", "DOE,JOHANNA\n1,2\n"):
        TREES[tree][1](tmp_path)
        (tmp_path / index).write_text(text)
        with pytest.raises(CannotDo, match=f"'{Path(index).name}' has no column '") as caught:
            read_dataset(name, tmp_path)
        assert "DOE" not in str(caught.value)


def test_an_index_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["echonet-lvh"][1](tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "no", str(tmp_path))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(CannotDo, match=r"'MeasurementsList\.csv' cannot be read \(Perm") as caught:
        read_dataset("echonet-lvh", tmp_path)
    assert str(tmp_path) not in str(caught.value)


def test_two_copies_side_by_side(tmp_path: Path) -> None:
    for folder in ("1.0", "0.1"):
        TREES["mimic-iv-echo"][1](tmp_path / folder)
    with pytest.raises(CannotDo, match=r"'echo-record-list.csv' several times"):
        read_dataset("mimic-iv-echo", tmp_path)
    assert read("mimic-iv-echo", tmp_path / "1.0")[0]


def test_the_nearest_copy_counts(tmp_path: Path) -> None:
    TREES["echonet-dynamic"][1](tmp_path)
    TREES["echonet-dynamic"][1](tmp_path / "backup")
    assert read("echonet-dynamic", tmp_path)[0]["Videos/0X10A.avi"].split == "validation"


def test_one_view_of_the_children_is_not_echonet_dynamic(tmp_path: Path) -> None:
    """Both name their list FileList.csv."""
    TREES["echonet-pediatric"][1](tmp_path)
    (tmp_path / "PSAX/FileList.csv").unlink()
    with pytest.raises(CannotDo, match=r"'FileList\.csv' has no column 'FPS'"):
        read_dataset("echonet-dynamic", tmp_path)


def test_names_that_are_nearly_the_same(tmp_path: Path) -> None:
    write(tmp_path, ["Videos/0X1.avi"], OldFileList_csv="FileName,FPS\n0X1,50\n")
    with pytest.raises(CannotDo, match=r"no 'FileList\.csv' was found"):
        read_dataset("echonet-dynamic", tmp_path)


def test_paths_as_people_write_them(tmp_path: Path) -> None:
    """Hidden files are none; a leading dot, a backslash and letters that are no UTF-8 do no harm."""
    write(tmp_path, ["a/1.png", "a/._1.png", "a/2.png", "b/3.png"])
    rows = "./a/1.png,p,A2C\na\\2.png,p,A4C\nB/3.PNG,\xfc,A4C\n"
    (tmp_path / "labels.csv").write_bytes(f"file,patient,view\n{rows}".encode("latin-1"))
    entries, counts = read("camus", tmp_path)
    assert [entry.label for entry in entries.values()] == ["A2C", "A4C", "A4C"]
    assert counts.missing == 0
    assert Tree(tmp_path).files == ["a/1.png", "a/2.png", "b/3.png", "labels.csv"]


def test_what_is_counted_is_said() -> None:
    assert Counts().lines() == []
    assert Counts(missing=3, odd=1, conflicts=2, moved=4).lines() == [
        "files that the index names, but are not here: 3",
        "rows or tables of the index that could not be used: 1",
        "files with two views in the index, which got none: 2",
        "clips in the split of their patient's first clip, not in their official one: 4",
    ]


def test_links_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path / "data", ["a/1.png"])
    (tmp_path / "data" / "a" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "data")
    assert Tree(tmp_path / "root").files == ["link/a/1.png"]


def test_copies_read_alike_wherever_they_are(tmp_path: Path) -> None:
    TREES["echonet-dynamic"][1](tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert read("echonet-dynamic", tmp_path / "a") == read("echonet-dynamic", tmp_path / "b")
