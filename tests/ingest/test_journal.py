"""What was found is kept: later scans read only what is new, and a killed one goes on where it was."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from clip_files import PATIENT_ID, SECRETS, screen, write_dicom, write_zip

from apical.config import ScanSettings
from apical.errors import CannotDo
from apical.ingest import journal as journal_module
from apical.ingest import scan as scan_module
from apical.ingest.journal import Journal, Listed
from apical.ingest.places import Unreadable
from apical.ingest.scan import scan

ONE = ScanSettings(workers=1)
Study = Callable[[int], Path]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, as it goes."""
    names: list[str] = []
    real = scan_module.read_row

    def counted(place: str, **more: object) -> dict[str, object]:
        names.append(Path(place).name)
        return real(place, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(scan_module, "read_row", counted)
    return names


def touch(path: Path, *, later: int = 1) -> None:
    """Move the time of change of a file."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + later))


def test_only_new_and_changed_files_are_read_again(tmp_path: Path, study: Study, reads: list[str]) -> None:
    """And the table is that of a first scan."""
    folder, out = study(4), tmp_path / "c.parquet"
    first, _ = scan(folder, out, ONE)
    assert reads == [f"DOE_0{number}.dcm" for number in range(4)]
    reads.clear()
    assert scan(folder, out, ONE)[0].equals(first)
    assert reads == []
    write_dicom(folder / "new.dcm", screen(2), SOPInstanceUID="1.2.3.9")
    person = {"PatientID": f"{PATIENT_ID}-1", "StudyInstanceUID": "1.2.3.47110815.1"}
    write_dicom(folder / "DOE_01.dcm", screen(3), SOPInstanceUID="1.2.3.1", **person)
    touch(folder / "DOE_02.dcm")
    (folder / "DOE_03.dcm").unlink()
    seen: list[tuple[int, int]] = []
    again, _ = scan(folder, out, ONE, progress=lambda *n: seen.append(n))
    assert reads == ["DOE_01.dcm", "DOE_02.dcm", "new.dcm"]
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert again["frames"].to_list() == [4, 3, 4, 2, 4]
    assert again["problem"].to_list() == [None] * 4 + ["the file is gone"]
    fresh, _ = scan(folder, tmp_path / "fresh.parquet", ONE, salt=tmp_path / "salt.key")
    assert again.head(4).equals(fresh)


def test_a_changed_file_of_the_same_size_is_read_again(
    tmp_path: Path, study: Study, reads: list[str]
) -> None:
    folder, out = study(1), tmp_path / "c.parquet"
    scan(folder, out, ONE)
    content = (folder / "DOE_00.dcm").read_bytes()
    (folder / "DOE_00.dcm").write_bytes(content.replace(b"33.3", b"44.4"))
    touch(folder / "DOE_00.dcm")
    assert scan(folder, out, ONE)[0]["frame_time_ms"].to_list() == [44.4]


def test_members_are_read_again_if_their_archive_changes(
    tmp_path: Path, study: Study, reads: list[str]
) -> None:
    folder, out = study(2), tmp_path / "c.parquet"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    archive = write_zip(folder / "a.zip", files)
    scan(folder, out, ONE)
    scan(folder, out, ONE)
    assert len(reads) == 2
    touch(archive)
    table, _ = scan(folder, out, ONE)
    assert len(reads) == 4
    assert table["problem"].null_count() == 2


def test_problems_of_the_file_stay_and_those_that_pass_are_tried_again(
    tmp_path: Path, study: Study, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = study(2), tmp_path / "c.parquet"
    (folder / "empty.dcm").touch()
    real = scan_module.open_clip

    def offline(place: str) -> object:
        if place.endswith("DOE_01.dcm"):
            raise Unreadable
        return real(place)

    monkeypatch.setattr(scan_module, "open_clip", offline)
    for _ in range(2):
        reads.clear()
        table, _ = scan(folder, out, ONE)
        assert table["problem"].to_list() == [None, "the file cannot be read", "empty file"]
    assert reads == ["DOE_01.dcm"]
    monkeypatch.setattr(scan_module, "open_clip", real)
    reads.clear()
    assert scan(folder, out, ONE)[0]["problem"].to_list() == [None, None, "empty file"]
    assert reads == ["DOE_01.dcm"]
    assert scan(folder, out, ONE)[0].height == 3
    assert len(reads) == 1


def test_another_key_or_version_reads_all_again(
    tmp_path: Path, study: Study, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept under another key would mix its pseudonyms in."""
    folder, out = study(2), tmp_path / "c.parquet"
    first, _ = scan(folder, out, ONE)
    out.unlink()
    other, _ = scan(folder, out, ONE, salt=tmp_path / "other.key")
    assert len(reads) == 4
    assert not set(first["patient"]) & set(other["patient"])
    monkeypatch.setattr(journal_module, "VERSION", journal_module.VERSION + 1)
    scan(folder, out, ONE, salt=tmp_path / "other.key")
    assert len(reads) == 6


@pytest.mark.parametrize("damage", ["rubbish", "empty", "cut", "another database", "no mark"])
def test_a_journal_that_is_none(tmp_path: Path, study: Study, reads: list[str], damage: str) -> None:
    """It is made anew; nothing of it is needed."""
    folder, out = study(2), tmp_path / "c.parquet"
    first, _ = scan(folder, out, ONE)
    journal = tmp_path / "c.parquet.journal"
    if damage == "rubbish":
        journal.write_bytes(b"DOE^JOHANNA " * 1000)
    elif damage == "empty":
        journal.write_bytes(b"")
    elif damage == "cut":
        journal.write_bytes(journal.read_bytes()[:5000])
    else:
        with sqlite3.connect(journal) as database:
            database.execute("DROP TABLE files" if damage == "another database" else "DELETE FROM mark")
            database.execute("UPDATE mark SET text = 'x'")
    assert scan(folder, out, ONE)[0].equals(first)
    assert len(reads) == 4


def test_a_journal_damaged_further_down_is_one_line(tmp_path: Path, study: Study) -> None:
    folder, out = study(2), tmp_path / "c.parquet"
    scan(folder, out, ONE)
    journal = tmp_path / "c.parquet.journal"
    content = bytearray(journal.read_bytes())
    content[8192:] = random.Random(0).randbytes(len(content) - 8192)
    journal.write_bytes(content)
    with pytest.raises(CannotDo, match=r"'c.parquet.journal' cannot be read .* delete that file"):
        scan(folder, out, ONE)
    journal.unlink()
    scan(folder, out, ONE)


def test_a_journal_that_cannot_be_made(tmp_path: Path, study: Study) -> None:
    (tmp_path / "c.parquet.journal").mkdir()
    with pytest.raises(CannotDo, match=r"'c.parquet.journal' cannot be read or written") as caught:
        scan(study(1), tmp_path / "c.parquet", ONE)
    assert str(tmp_path) not in str(caught.value)


def test_it_holds_no_more_than_the_catalogue(tmp_path: Path) -> None:
    """No name or number of a patient, and not the key."""
    write_dicom(tmp_path / "in" / "a.dcm", screen(2))
    cv2.imwrite(str(tmp_path / "in" / "b.png"), screen(1)[0])
    scan(tmp_path / "in", tmp_path / "c.parquet", ONE)
    content = b"".join(path.read_bytes() for path in tmp_path.glob("c.parquet.journal*"))
    assert b"a.dcm" in content
    key = (tmp_path / "salt.key").read_bytes()
    for secret in (*(text.encode() for text in SECRETS), key, key.hex().encode()):
        assert secret not in content


def test_lists(tmp_path: Path) -> None:
    """Two trees in one journal, one inside the other; what is listed no more is forgotten."""
    with Journal(tmp_path / "j", "key") as journal:
        assert journal.list_files("/a", [Listed("/a/1", "s"), Listed("/a/b/2", "s")]) == (2, 2)
        assert list(journal.unread("/a")) == ["/a/1", "/a/b/2"]
        journal.write("/a/b/2", {"n": 2})
        journal.write("/a/1", {"n": 1})
        assert journal.list_files("/c", [Listed("/c/3", "", {"n": 3})]) == (0, 1)
    with Journal(tmp_path / "j", "key") as journal:
        assert journal.list_files("/a/b", [Listed("/a/b/2", "s")]) == (0, 1)
        assert list(journal.rows("/a/b")) == [{"n": 2}]
        assert journal.list_files("/a", [Listed("/a/b/2", "s"), Listed("/a/1", "s")]) == (0, 2)
        assert list(journal.rows("/a")) == [{"n": 2}, {"n": 1}]  # in the new order
        assert journal.list_files("/a", [Listed("/a/1", "other")]) == (1, 1)
        assert journal.list_files("/a", [Listed("/a/1", "s"), Listed("/a/b/2", "s")]) == (2, 2)
        assert list(journal.rows("/c")) == [{"n": 3}]
    with Journal(tmp_path / "j", "another key") as journal:
        assert list(journal.rows("/c")) == []


def test_an_empty_stamp_is_never_as_it_was(tmp_path: Path) -> None:
    """So a file without one is read each time."""
    with Journal(tmp_path / "j", "key") as journal:
        for _ in range(2):
            assert journal.list_files("/a", [Listed("/a/1", "")]) == (1, 1)
            journal.write("/a/1", {"n": 1})


def test_a_list_that_fails_changes_nothing(tmp_path: Path) -> None:
    """A store that breaks off while it is listed must not make files seem gone."""

    def broken() -> Iterator[Listed]:
        yield Listed("/a/1", "new")
        raise Unreadable

    with Journal(tmp_path / "j", "key") as journal:
        journal.list_files("/a", [Listed("/a/1", "s"), Listed("/a/2", "s")])
        journal.write("/a/1", {"n": 1})
    with pytest.raises(Unreadable), Journal(tmp_path / "j", "key") as journal:
        journal.list_files("/a", broken())
    with Journal(tmp_path / "j", "key") as journal:
        assert list(journal.rows("/a")) == [{"n": 1}]
        assert list(journal.unread("/a")) == ["/a/2"]


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """Listing, reading and giving back four times as many files takes no more at once."""
    row = {"text": "x" * 1000}

    def peak(count: int) -> int:
        tracemalloc.start()
        with Journal(tmp_path / f"{count}", "key") as journal:
            journal.list_files("/a", (Listed(f"/a/{number}", "s") for number in range(count)))
            for place in journal.unread("/a"):
                journal.write(place, row)
            assert sum(1 for _ in journal.rows("/a")) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(8_000) < 1.3 * peak(2_000)
