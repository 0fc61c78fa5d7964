"""Files are replaced whole or not at all."""

import os
import stat

import pytest

from apical.errors import CannotDo
from apical.files import replacing, write_atomically


def test_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "deep" / "a"
    write_atomically(path, b"1")
    write_atomically(path, b"2")
    assert path.read_bytes() == b"2"
    assert os.listdir(path.parent) == ["a"]


def test_an_error_inside_the_block_keeps_the_old_file(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def fail_half_way():
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotDo, match=r"'a' cannot be written .*--out\."):
        write_atomically(tmp_path / "file" / "a", b"")
