"""Files on disk, in stores and in archives open alike; stamps tell what has changed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from clip_files import write_zip
from fsspec.registry import known_implementations

from apical.errors import CannotDo
from apical.ingest.damage import Unreadable
from apical.ingest.places import archive_of, as_place, head, member_of, opened, remote_files, stamp

NOISE = random.Random(0).randbytes(20_000)


def content(place: str) -> bytes:
    with opened(place) as file:
        return file.read()


def test_a_place_and_its_parts() -> None:
    assert archive_of("/a/b.dcm") is None
    assert archive_of(member_of("/a.zip", "b/c.dcm")) == ("/a.zip", "b/c.dcm")
    assert archive_of(member_of("s3://x/a.zip", "odd::name.dcm")) == ("s3://x/a.zip", "odd::name.dcm")


def test_paths_become_absolute_and_urls_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    real = tmp_path.resolve()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert as_place("a/../link/b.dcm") == str(real / "a" / "b.dcm")
    assert as_place(f"file://{tmp_path}/a") == str(real / "a")
    for url in ("s3://bucket/exam", "zip://a.dcm::/b.zip"):
        assert as_place(url) == url


def test_every_kind_of_place_gives_the_same_bytes(tmp_path: Path, memory: Any) -> None:
    """In one piece, in pieces, and from any position."""
    (tmp_path / "a.bin").write_bytes(NOISE)
    archive = write_zip(tmp_path / "a.zip", {"deep/a.bin": NOISE})
    memory.pipe_file("/x/a.bin", NOISE)
    memory.pipe_file("/x/a.zip", archive.read_bytes())
    for place in (
        str(tmp_path / "a.bin"),
        "memory://x/a.bin",
        member_of(str(archive), "deep/a.bin"),
        member_of("memory://x/a.zip", "deep/a.bin"),
    ):
        assert content(place) == NOISE, place
        assert head(place, 100) == NOISE[:100], place
        with opened(place) as file:
            assert file.seek(-10, os.SEEK_END) == len(NOISE) - 10
            assert file.read(100) == NOISE[-10:]
            assert file.seek(7) == file.tell() == 7
            assert file.read(5) + file.read(1) == NOISE[7:13]


def test_stamps_change_with_the_content(tmp_path: Path, memory: Any) -> None:
    """And only then; that of a member is its archive's."""
    path = tmp_path / "a.zip"
    write_zip(path, {"a": b"1", "b": b"1"})
    memory.pipe_file("/a.zip", path.read_bytes())
    kinds = (str(path), member_of(str(path), "a"), "memory://a.zip", member_of("memory://a.zip", "b"))
    before = [stamp(place) for place in kinds]
    assert before[0] == before[1]
    assert before[2] == before[3]
    assert [stamp(place) for place in kinds] == before
    status = path.stat()
    write_zip(path, {"a": b"1", "b": b"2"})  # of the same size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    memory.pipe_file("/a.zip", path.read_bytes())
    assert not set(before) & {stamp(place) for place in kinds}


def test_what_is_not_there_has_no_stamp(tmp_path: Path, memory: Any) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")  # opening it would wait for ever
    for place in (
        str(tmp_path / "none"),
        str(tmp_path / "pipe.dcm"),
        str(tmp_path),
        member_of(str(tmp_path / "none.zip"), "a"),
        "memory://none",
    ):
        with pytest.raises(Unreadable):
            stamp(place)


def test_what_cannot_be_opened(tmp_path: Path, memory: Any) -> None:
    """What is no file is not waited for either."""
    os.mkfifo(tmp_path / "pipe")
    for place in (str(tmp_path / "none"), str(tmp_path), str(tmp_path / "pipe"), "memory://none"):
        with pytest.raises(Unreadable):
            content(place)
        with pytest.raises(Unreadable):
            head(place, 10)


def test_the_list_of_a_store(memory: Any) -> None:
    """Files of a folder, then its folders, by name; hidden ones not; the folder's own mark not."""
    for name in ("b/2.dcm", "b/1.dcm", "a.dcm", "b.dcm", ".hidden.dcm", "b/.git/x.dcm", "a/deep/3.dcm"):
        memory.pipe_file(f"/root/{name}", b"")
    memory.pipe_file("/root2/other.dcm", b"")
    names = ["a.dcm", "b.dcm", "a/deep/3.dcm", "b/1.dcm", "b/2.dcm"]
    for root in ("memory://root", "memory://root/", "memory:///root"):
        found = list(remote_files(root))
        assert found == [f"{root.rstrip('/')}/{name}" for name in names]
        assert [content(place) for place in found] == [b""] * 5
    assert list(remote_files("memory://root/b/1.dcm")) == ["memory://root/b/1.dcm"]


def test_a_list_is_not_remembered(memory: Any) -> None:
    """Stores keep lists in memory; a second scan in one process must see what came since."""
    forgotten: list[object] = []
    memory.pipe_file("/root/a.dcm", b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(memory), "invalidate_cache", lambda self, path=None: forgotten.append(path))
        assert list(remote_files("memory://root")) == ["memory://root/a.dcm"]
    assert forgotten == [None]


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("bogus://x", r"'bogus://' is no kind of source that is known"),
        ("github://x", r"'github://' is no kind of source that is known"),
        ("absent://x", r"'absent://' needs a library that is not installed.*apical\[s3\]"),
    ],
)
def test_a_url_that_nothing_reads(url: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, "absent", {"class": "no_such_library.Files", "err": "install"})
    for call in (lambda: list(remote_files(url)), lambda: stamp(url), lambda: content(url)):
        with pytest.raises(CannotDo, match=line) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_store_that_breaks_off(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its library raises while it is read: the file may be read another time."""
    memory.pipe_file("/a.dcm", NOISE)
    memory.pipe_file("/b/c.dcm", NOISE)

    class LibraryError(Exception):
        pass

    def broken(*_: object, **__: object) -> None:
        raise LibraryError("DOE")

    with opened("memory://a.dcm") as file:
        monkeypatch.setattr(file, "_file", type("Broken", (), dict.fromkeys(("read", "seek"), broken))())
        for call in (file.read, lambda: file.read(3), lambda: file.seek(0)):
            with pytest.raises(Unreadable):
                call()
        monkeypatch.undo()
    real = type(memory).ls
    monkeypatch.setattr(
        type(memory), "ls", lambda self, path, **more: broken() if path == "/b" else real(self, path, **more)
    )
    with pytest.raises(Unreadable):  # not a list without that folder, whose files would count as gone
        list(remote_files("memory://"))
