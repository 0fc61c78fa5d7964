"""Whatever names files: each is found once, in order, and what names none is one clear line."""

import os
import zipfile
from pathlib import Path

import polars as pl
import pytest

from apical.deploy.inputs import all_inputs, refuse_as_output, standard_input
from apical.errors import WrongCall


@pytest.fixture
def tree(way, tmp_path):
    files = sorted((way / "phantom").rglob("*.dcm"))[:3]
    (tmp_path / "sub").mkdir()
    for number, file in enumerate(files):
        os.link(file, tmp_path / "sub" / f"{number}.dcm")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(files[0], "a.dcm")
    return tmp_path


def names(inputs):
    return [Path(one.place).name for one in inputs]


def test_files_folders_patterns_and_archives(tree, monkeypatch):
    assert names(all_inputs([tree / "sub" / "1.dcm"])) == ["1.dcm"]
    assert names(all_inputs([tree / "sub", tree / "sub" / "0.dcm"])) == ["0.dcm", "1.dcm", "2.dcm", "0.dcm"]
    assert names(all_inputs([str(tree / "**" / "[12].dcm")])) == ["1.dcm", "2.dcm"]
    (inside,) = all_inputs([tree / "some.zip"])
    assert inside.place.startswith("zip://a.dcm::")
    monkeypatch.chdir(tree)
    assert all(os.path.isabs(one.place) for one in all_inputs(["sub/*.dcm"]))


def test_a_file_and_its_folder_are_not_both_found_by_a_pattern(tree):
    assert names(all_inputs([str(tree / "**")])) == ["some.zip", "0.dcm", "1.dcm", "2.dcm"]
    assert names(all_inputs([str(tree / "su*")])) == ["0.dcm", "1.dcm", "2.dcm"]


def test_what_scan_would_open_is_opened(tree):
    """An archive without a suffix, a list of files (DICOMDIR), kinds that are not read."""
    (tree / "some.zip").rename(tree / "archive")
    assert all_inputs([tree / "archive"])[0].place.startswith("zip://")
    (tree / "DICOMDIR").write_bytes(b"damaged")
    assert all_inputs([tree / "DICOMDIR"])[0].problem
    (tree / "clip.rar").touch()
    assert "unpack it" in all_inputs([tree / "clip.rar"])[0].problem


def test_a_table_is_never_written_over_what_it_is_of(way, tree):
    catalogue = way / "catalogue.parquet"
    for given, out in (([catalogue], catalogue), ([tree / "sub"], tree / "sub" / "0.dcm")):
        with pytest.raises(WrongCall, match="--out is one of the files"):
            refuse_as_output(out, given, all_inputs(given))
    refuse_as_output(tree / "new.csv", [catalogue], all_inputs([catalogue]))


def test_a_file_whose_name_is_a_pattern_is_that_file(tree):
    (tree / "[12].dcm").touch()
    assert names(all_inputs([tree / "[12].dcm"])) == ["[12].dcm"]


def test_a_catalogue_gives_its_clips_with_sectors_studies_and_problems(way, tmp_path):
    path = way / "catalogue.parquet"
    table = pl.read_parquet(path)
    inputs = all_inputs([path])
    assert [one.place for one in inputs] == table["path"].to_list()
    assert [one.sector for one in inputs] == table["sector"].to_list()
    assert [one.study for one in inputs] == table["study"].to_list()
    table.with_columns(pl.lit("damaged").alias("problem")).write_parquet(tmp_path / "c.parquet")
    assert {one.problem for one in all_inputs([tmp_path / "c.parquet"])} == {"damaged"}


def test_lists_of_files_on_standard_input():
    for data, expected in (
        (b"a b.dcm\n\n c.dcm\n", ["a b.dcm", " c.dcm"]),
        (b"a.dcm\r\nb.dcm", ["a.dcm", "b.dcm"]),
        (b"a\nb.dcm\0c.dcm\0", ["a\nb.dcm", "c.dcm"]),
        (b"\xff.dcm\n", ["\udcff.dcm"]),
    ):
        with standard_input(data) as found:
            assert found == expected
    with pytest.raises(WrongCall, match="standard input is empty"), standard_input(b"\n \n"):
        pass


def test_what_is_gone_from_a_list_is_a_problem_and_ends_nothing(tree):
    one, other = str(tree / "sub" / "0.dcm"), str(tree / "sub" / "1.dcm")
    found = all_inputs(["-", other], [one, str(tree / "gone.dcm")])
    assert [one.problem for one in found] == [None, "there is no such file", None]


def test_a_store_that_cannot_be_read_is_a_problem():
    (one,) = all_inputs(["memory://no-such-folder/x"])
    assert one.problem


def test_a_clip_on_standard_input(a_file, tree):
    for file in (a_file, tree / "some.zip"):
        with standard_input(file.read_bytes()) as (copy,):
            assert Path(copy).read_bytes() == file.read_bytes()
            assert len(all_inputs([copy])) == 1
            assert ("zip://" in all_inputs([copy])[0].place) == (file.suffix == ".zip")
            assert os.stat(Path(copy).parent).st_mode & 0o077 == 0
        assert not os.path.exists(copy)


def test_what_names_no_file(tree):
    with pytest.raises(WrongCall, match="there is no file at argument 2") as error:
        all_inputs([tree / "sub", tree / "Doe.dcm"])
    assert "Doe" not in str(error.value)
    with pytest.raises(WrongCall, match="no file fits the pattern at argument 1"):
        all_inputs([str(tree / "*.avi")])
    (tree / "empty").mkdir()
    with pytest.raises(WrongCall, match="no file to answer"):
        all_inputs([tree / "empty"])
