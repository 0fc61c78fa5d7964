"""Sprites on the disk: whole or none, within their bytes, and those written first go first."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.label.kept import KeptSprites
from apical.label.sprite import Sprite


def a_sprite(size):
    return Sprite(b"x" * size + b"\xff\xd9", 1, 1, 8, 40.0, "file")


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"\xff\xd9", b'{"frames": 1}\n\xff\xd9', b"[]\nx\xff\xd9"])
def test_a_damaged_kept_picture_is_none_and_half_a_file_is_removed(tmp_path, damage):
    kept = KeptSprites(tmp_path, 10_000)
    kept.keep("one", a_sprite(100))
    assert kept.get("one") == a_sprite(100)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    (tmp_path / ".half.partial").write_bytes(b"half")
    again = KeptSprites(tmp_path, 10_000)
    assert list(tmp_path.iterdir()) == [file]
    assert again.get("one") is None
    again.keep("one", a_sprite(200))
    assert again.get("one") == a_sprite(200)


def test_a_full_disk_is_no_error(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    kept = KeptSprites(tmp_path, 10_000)
    monkeypatch.setattr("apical.files.tempfile.mkstemp", full)
    kept.keep("one", a_sprite(100))
    assert kept.get("one") is None
    assert not list(tmp_path.iterdir())


@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=20), again=st.booleans())
@settings(max_examples=25)
def test_the_oldest_make_room_and_the_newest_stay(tmp_path_factory, sizes, again):
    folder, most = tmp_path_factory.mktemp("kept"), 8000
    kept = KeptSprites(folder, most)
    for number, size in enumerate(sizes):
        kept.keep(f"{number:02}", a_sprite(size))
        os.utime(folder / f"{number:02}.sprite", ns=(number, number))
        assert sum(file.stat().st_size for file in folder.iterdir()) <= most
        assert kept.get(f"{number:02}") == a_sprite(size)
    if again:
        kept = KeptSprites(folder, most)
    there = [kept.get(f"{number:02}") is not None for number in range(len(sizes))]
    assert there == sorted(there)  # none that is older than one that is gone
    assert sum(sizes) > 0.6 * most or all(there)
    fewer = KeptSprites(folder, 1000)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1000
    assert all(fewer.get(f"{number:02}") is None for number in range(len(sizes) - 1) if sizes[-1] > 900)
