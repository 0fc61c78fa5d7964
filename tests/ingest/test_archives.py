"""Members of zip archives open as files do; bombs, damage and encryption are problems of one line."""

from __future__ import annotations

import copy
import errno
import gc
import os
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from clip_files import write_zip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apical.errors import ClipProblem
from apical.ingest import places
from apical.ingest.damage import Unreadable
from apical.ingest.places import head, member_of, members, opened

BOMB = "decompression bomb"
NOISE = random.Random(0).randbytes(20_000)


def content(place: str) -> bytes:
    with opened(place) as file:
        return file.read()


def changed(path: Path, change: Callable[[zipfile.ZipFile], None], size: int = 1000) -> Path:
    """An archive of one member, its list of members changed before it is written."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", NOISE[:size])
        change(archive)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_of_compression(tmp_path: Path, method: int) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a": NOISE}, method=method)
    assert content(member_of(str(archive), "a")) == NOISE


def test_large_members_are_unpacked_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a": NOISE})
    for limit, on_disk in ((len(NOISE) - 1, True), (len(NOISE), False)):
        monkeypatch.setattr(places, "IN_MEMORY", limit)
        with opened(member_of(str(archive), "a")) as file:
            assert file._rolled is on_disk  # type: ignore[attr-defined]
            assert file.read() == NOISE


def test_members_come_in_the_archives_order_without_folders(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"z/": b"", "z/b.dcm": b"1", "a.dcm": b"2"})
    assert members(str(archive)) == ["z/b.dcm", "a.dcm"]


def test_names_that_lead_elsewhere_lead_nowhere(tmp_path: Path) -> None:
    """A member is read from its archive, whatever path its name says; nothing is written."""
    names = ["../../escaped.dcm", "/etc/passwd", "a/../../b.dcm", "C:\\x\\y.dcm", "odd::name.dcm"]
    archive = write_zip(tmp_path / "in" / "a.zip", {name: name.encode() for name in names})
    before = sorted(tmp_path.rglob("*"))
    assert [content(member_of(str(archive), name)) for name in members(str(archive))] == [
        name.encode() for name in names
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_in_an_unknown_alphabet_opens(tmp_path: Path) -> None:
    """Old programs write the bytes of their own code page."""
    archive = write_zip(tmp_path / "a.zip", {"M_ller.dcm": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"M_ller", b"M\xfcller"))
    (name,) = members(str(archive))
    assert name != "M_ller.dcm"
    name.encode("utf-8")  # it can stand in a catalogue
    assert content(member_of(str(archive), name)) == b"x"


def test_a_name_that_lies_about_its_alphabet_is_damage(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"Mü.dcm": b"x"})
    archive.write_bytes(archive.read_bytes().replace("ü".encode(), b"\xff\xfe"))
    with pytest.raises(ClipProblem, match=r"^damaged archive$"):
        members(str(archive))


def test_one_member_that_unpacks_beyond_reason(tmp_path: Path) -> None:
    """A real one: 257 MB of zeros in a megabyte."""
    archive = write_zip(tmp_path / "DOE.zip", {"DOE.dcm": bytes(257 << 20)})
    with pytest.raises(ClipProblem, match=BOMB) as caught:
        members(str(archive))
    assert "DOE" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ClipProblem, match=BOMB):
        content(member_of(str(archive), "DOE.dcm"))


def test_many_members_that_unpack_beyond_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is large, all are; the same archive passes below the size from which ratios count."""
    archive = write_zip(tmp_path / "a.zip", {f"{n}.dcm": bytes(100_000) for n in range(30)})
    assert len(members(str(archive))) == 30
    monkeypatch.setattr(places, "SUSPICIOUS", 2_000_000)
    monkeypatch.setattr(places, "HIGHEST_RATIO", 100)
    places._archives.clear()
    with pytest.raises(ClipProblem, match=BOMB):
        members(str(archive))


def test_a_bomb_hidden_among_much_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive as a whole is not dense, one member is; the others still open."""
    archive = write_zip(tmp_path / "a.zip", {"noise": NOISE, "bomb": bytes(1_000_000)})
    monkeypatch.setattr(places, "SUSPICIOUS", 100_000)
    for read in (content, lambda place: head(place, 10)):
        with pytest.raises(ClipProblem, match=f"its archive holds: a {BOMB}"):
            read(member_of(str(archive), "bomb"))
    assert content(member_of(str(archive), "noise")) == NOISE


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    """The bomb that needs no dense coding: many entries of the list point to one member."""

    def repeat(archive: zipfile.ZipFile) -> None:
        for number in range(20):
            again = copy.copy(archive.infolist()[0])
            again.filename = f"{number}.dcm"
            archive.filelist.append(again)

    with pytest.raises(ClipProblem, match=BOMB):
        members(str(changed(tmp_path / "a.zip", repeat)))


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "a.zip", {str(number): b"x" for number in range(4)})
    for most in (4, 3):
        monkeypatch.setattr(places, "MOST_MEMBERS", most)
        places._archives.clear()
        if most == 4:
            assert len(members(str(archive))) == 4
        else:
            with pytest.raises(ClipProblem, match=BOMB):
                members(str(archive))


def test_a_member_larger_than_any_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a": NOISE})
    monkeypatch.setattr(places, "LARGEST_MEMBER", len(NOISE) - 1)
    with pytest.raises(ClipProblem, match=BOMB):
        content(member_of(str(archive), "a"))


def test_a_member_whose_size_is_a_lie(tmp_path: Path) -> None:
    def lie(archive: zipfile.ZipFile) -> None:
        archive.infolist()[0].file_size = 10  # of 1000

    archive = changed(tmp_path / "a.zip", lie)
    with pytest.raises(ClipProblem, match=r"^damaged archive$"):
        content(member_of(str(archive), "a.dcm"))


def test_an_encrypted_member(tmp_path: Path) -> None:
    def mark(archive: zipfile.ZipFile) -> None:
        archive.infolist()[0].flag_bits |= 1

    archive = changed(tmp_path / "a.zip", mark)
    assert members(str(archive)) == ["a.dcm"]
    for read in (content, lambda place: head(place, 10)):
        with pytest.raises(ClipProblem, match=r"^encrypted in its archive$"):
            read(member_of(str(archive), "a.dcm"))


def test_a_method_that_is_not_known(tmp_path: Path) -> None:
    def mark(archive: zipfile.ZipFile) -> None:
        archive.infolist()[0].compress_type = 93  # Zstandard

    archive = changed(tmp_path / "a.zip", mark)
    with pytest.raises(ClipProblem, match="by a method that is not supported"):
        content(member_of(str(archive), "a.dcm"))


def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a": b"x"})
    with pytest.raises(ClipProblem, match=r"^damaged archive$"):
        content(member_of(str(archive), "DOE.dcm"))
    with pytest.raises(Unreadable):
        content(member_of(str(tmp_path / "none.zip"), "a"))


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """By the checksum, which is read at the end: the first bytes alone do not need the rest."""
    archive = write_zip(tmp_path / "a.zip", {"a": NOISE}, method=zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[len(NOISE) - 5] ^= 1
    archive.write_bytes(data)
    with pytest.raises(ClipProblem, match=r"^damaged archive$"):
        content(member_of(str(archive), "a"))
    assert head(member_of(str(archive), "a"), 352) == NOISE[:352]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_a_problem_of_the_archive(tmp_path: Path, data: st.DataObject) -> None:
    """Cut off or with bytes changed anywhere, it opens whole or is a `ClipProblem`."""
    archive = write_zip(tmp_path / "whole.zip", {"a.dcm": NOISE[:300], "b/c.dcm": bytes(300)})
    changed = bytearray(archive.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    broken = tmp_path / "broken.zip"
    broken.write_bytes(changed[: data.draw(st.integers(0, len(changed)))])
    places._archives.clear()
    with suppress(ClipProblem):
        for name in members(str(broken)):
            assert content(member_of(str(broken), name)) in (NOISE[:300], bytes(300))


def test_a_changed_archive_is_opened_anew(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a": b"old"})
    assert content(member_of(str(archive), "a")) == b"old"
    write_zip(archive, {"a": b"newer", "b": b""})
    assert members(str(archive)) == ["a", "b"]
    assert content(member_of(str(archive), "a")) == b"newer"


def test_few_archives_are_kept_open(tmp_path: Path) -> None:
    for number in range(6):
        assert members(str(write_zip(tmp_path / f"{number}.zip", {"a": b""}))) == ["a"]
    assert len(places._archives) == places.OPEN_ARCHIVES


def open_files(folder: Path) -> list[str]:
    """Those of this process that lie in a folder."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if os.path.realpath(link).startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files on this system")
def test_archives_that_are_damaged_or_no_longer_kept_are_closed(tmp_path: Path) -> None:
    """Not when some collection of garbage closes them: a store of a million archives has no such time."""
    gc.disable()
    try:
        archives = [write_zip(tmp_path / f"{number}.zip", {"a": b"a"}) for number in range(4)]
        for archive in archives:
            assert members(str(archive)) == ["a"]
        kept = [str(archive) for archive in archives[-places.OPEN_ARCHIVES :]]
        assert sorted(open_files(tmp_path)) == kept
        broken = tmp_path / "broken.zip"
        broken.write_bytes(archives[0].read_bytes()[:-9])
        with pytest.raises(ClipProblem) as caught:
            members(str(broken))
        assert sorted(open_files(tmp_path)) == kept, caught
    finally:
        gc.enable()


def test_a_full_disk_is_no_damage_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a": NOISE})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(places.shutil, "copyfileobj", full)
    with pytest.raises(Unreadable):
        content(member_of(str(archive), "a"))


def test_temporary_files_are_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(places, "IN_MEMORY", 100)
    archive = write_zip(tmp_path / "a.zip", {"a": NOISE})
    with opened(member_of(str(archive), "a")) as file:
        shutil.copyfileobj(file, (tmp_path / "copy").open("wb"))
    assert list((tmp_path / "tmp").iterdir()) == []
