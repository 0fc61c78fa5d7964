"""A folder takes another's place whole or not at all."""

import errno
from pathlib import Path

import pytest

from apical.deploy.swap import replacing_folder
from apical.errors import CannotDo


def fill(out, text="new"):
    with replacing_folder(out) as folder:
        assert list(folder.iterdir()) == []
        (folder / "a").write_text(text)


@pytest.fixture
def old(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").write_text("old")
    return tmp_path / "out"


def names(folder):
    return sorted(file.name for file in folder.rglob("*"))


def test_makes_the_folder_and_its_parents(tmp_path):
    fill(tmp_path / "x" / "out")
    assert names(tmp_path) == ["a", "out", "x"]
    plain = tmp_path / "plain"
    plain.mkdir()
    assert (tmp_path / "x" / "out").stat().st_mode == plain.stat().st_mode


def test_nothing_of_the_old_folder_is_left(old, tmp_path):
    fill(old)
    assert names(tmp_path) == ["a", "out"]


def test_a_link_still_points_to_the_same_place(old, tmp_path):
    (tmp_path / "link").symlink_to(old)
    fill(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert names(old) == ["a"]


def fail(folder):
    (folder / "a").touch()
    raise KeyboardInterrupt


def test_an_interrupted_block_changes_nothing(old, tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing_folder(old) as folder:
        fail(folder)
    assert names(tmp_path) == ["b", "out"]


def test_the_old_folder_comes_back_if_the_new_one_cannot_be_moved(old, tmp_path, monkeypatch):
    rename = Path.rename

    def refuse_new(self, target):
        if self.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(CannotDo, match=r"'out' cannot be written \(Input/output error\)"):
        fill(old)
    assert names(tmp_path) == ["b", "out"]
