"""Files come in whole, private and counted, and under no name but ours."""

import os
import stat
from pathlib import Path

import pytest

from apical.deploy.service.queue import TooBusy
from apical.deploy.service.spool import Spool, TooLarge
from apical.errors import CannotDo


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "state", most_bytes=100)


def test_a_file_is_written_as_it_came(spool):
    path = spool.receive([b"ab", b"", b"cd"], 10)
    assert path.read_bytes() == b"abcd"
    assert path.parent == spool.incoming
    assert spool.bytes_waiting == 4


def test_only_the_owner_can_read_anything(spool):
    path = spool.receive([b"ab"], 10)
    spool.keep_preview("a" * 32, b"picture")
    everything = [*spool.incoming.parent.rglob("*"), spool.incoming.parent]
    assert path in everything
    assert {stat.S_IMODE(one.stat().st_mode) & 0o077 for one in everything} == {0}


def test_names_are_not_repeated(spool):
    assert len({spool.receive([], 1).name for _ in range(50)}) == 50


def test_nothing_is_left_of_a_file_that_is_too_large(spool):
    with pytest.raises(TooLarge, match="more than 3 bytes"):
        spool.receive([b"ab", b"cd"], 3)
    assert list(spool.incoming.iterdir()) == []
    assert spool.bytes_waiting == 0


def test_nothing_is_left_of_a_file_whose_sender_fails(spool):
    def broken():
        yield b"ab"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        spool.receive(broken(), 10)
    assert list(spool.incoming.iterdir()) == []
    assert spool.bytes_waiting == 0


def test_what_is_being_written_counts_as_waiting(spool):
    with spool.write(90) as first:
        first.write(b"x" * 60)
        with spool.write(90) as second, pytest.raises(TooBusy):
            second.write(b"x" * 60)
        assert spool.bytes_waiting == 60
        kept = first.keep()
    spool.remove(kept)
    spool.remove(kept)
    assert spool.bytes_waiting == 0
    assert not spool.is_full


def test_a_full_spool_takes_nothing(spool):
    spool.receive([b"x" * 100], 100)
    assert spool.is_full
    with pytest.raises(TooBusy):
        spool.write(1)


def test_a_new_server_counts_what_lies_there_and_sweeps_what_nobody_wants(spool):
    wanted, _ = spool.receive([b"abc"], 10), spool.receive([b"defgh"], 10)
    again = Spool(spool.incoming.parent)
    assert again.bytes_waiting == 8
    assert again.sweep({wanted}) == 1
    assert list(again.incoming.iterdir()) == [wanted]
    assert again.bytes_waiting == 3


def test_previews_are_kept_and_removed(spool):
    spool.keep_preview("one", b"1")
    spool.keep_preview("two", b"2")
    assert spool.preview("one").read_bytes() == b"1"
    spool.remove_previews(["one", "none"])
    assert spool.preview("one") is None
    spool.sweep_previews(lambda item: item != "two")
    assert spool.preview("two") is None


def test_previews_are_bounded_and_the_oldest_go_first(tmp_path):
    spool = Spool(tmp_path / "state", most_previews=100)
    for number in range(12):
        spool.keep_preview(str(number), b"x" * 10)
        os.utime(spool.preview(str(number)), (number, number))
    left = {number for number in range(12) if spool.preview(str(number))}
    assert left == set(range(2, 12))
    again = Spool(tmp_path / "state", most_previews=100)
    for number in range(12, 14):
        again.keep_preview(str(number), b"x" * 10)
        os.utime(again.preview(str(number)), (number, number))
    assert sum(file.stat().st_size for file in (tmp_path / "state" / "previews").iterdir()) <= 100
    assert again.preview("13")


def test_what_is_new_is_not_swept_while_files_come(spool):
    old, new = spool.receive([b"old"], 10), spool.receive([b"new"], 10)
    os.utime(old, (1, 1))
    assert spool.sweep(set(), older_than=3600) == 1
    assert list(spool.incoming.iterdir()) == [new]


def test_half_a_preview_is_swept_once_nobody_can_be_writing_it(spool):
    previews = spool.incoming.parent / "previews"
    for name in (".old", ".new"):
        (previews / name).touch()
    os.utime(previews / ".old", (1, 1))
    spool.sweep_previews(lambda item: True)
    assert [file.name for file in previews.iterdir()] == [".new"]


@pytest.mark.parametrize(
    "use",
    [
        lambda spool: spool.remove_previews(["one"]),
        lambda spool: spool.sweep_previews(lambda item: False),
        lambda spool: spool.keep_preview("one", b"x"),
    ],
)
def test_a_folder_that_is_gone_is_an_error_with_what_to_do(spool, use):
    previews = spool.incoming.parent / "previews"
    previews.rmdir()
    previews.touch()
    with pytest.raises(CannotDo, match="the state folder cannot be read or written"):
        use(spool)


def test_a_disk_that_fails_is_an_error_with_what_to_do(spool, monkeypatch):
    def full(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(CannotDo, match="No space left on device"):
        spool.receive([b"ab"], 10)
    assert list(spool.incoming.iterdir()) == []
    assert spool.bytes_waiting == 0


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotDo, match="state folder"):
        Spool(Path(tmp_path / "file" / "state"))
