"""What may be a clip is found, once and in order, in folders, archives and stores."""

from __future__ import annotations

import gzip
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from clip_files import write_dicom, write_zip
from numpy.typing import NDArray

from apical.ingest.formats import HEAD, IMAGE_SUFFIXES
from apical.ingest.walk import DOCUMENTS, FOREIGN, NESTED, PACKED, Found, walk

UNREADABLE = "the file cannot be read"
PNG = bytes(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1])


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def found(root: Path | str, below: Path | str | None = None) -> list[str]:
    """The places that were found, without the folder above them, and their problems behind a colon."""
    return [
        one.place.replace(f"{below or root}/", "") + (f": {one.problem}" if one.problem else "")
        for one in walk(str(root))
    ]


def test_by_suffix_or_else_by_content(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """An image suffix is enough, for a damaged clip shall be a row; other names need the bytes of one."""
    write_dicom(tmp_path / "IM1", frames[:1])
    write_dicom(tmp_path / "IM1.2022", frames[:1])
    write(tmp_path, dict.fromkeys(("a.DCM", "b.nii.gz", "c.Jpeg", "d.mhd"), b""))
    write(tmp_path, {"picture": PNG, "README": b"DICM", "x.csv": b"a,b", "y.raw": b"", "z": b"\0" * 500})
    write(tmp_path, {"packed": gzip.compress(b"x")})
    assert found(tmp_path) == ["IM1", "IM1.2022", "a.DCM", "b.nii.gz", "c.Jpeg", "d.mhd", "picture"]


def test_against_a_naive_walk(tmp_path: Path) -> None:
    """Random trees: every file with an image suffix, none twice, a folder's files before its folders."""
    draw = random.Random(0)
    suffixes = [*sorted(IMAGE_SUFFIXES), ".txt", ""]
    for _ in range(150):
        parts = [draw.choice(["a", "b", "B", ".h", "é", "b.png"]) for _ in range(draw.randrange(4))]
        name = draw.choice(["x", "y", ".x", "Z"]) + draw.choice(suffixes)
        write(tmp_path, {"/".join(["top", *parts, name]): b""})

    def naive(folder: Path) -> list[str]:
        inside = sorted(
            (path for path in folder.iterdir() if path.name[0] != "."), key=lambda path: path.name
        )
        files = [str(path) for path in inside if path.is_file() and path.suffix in IMAGE_SUFFIXES]
        return files + [file for path in inside if path.is_dir() for file in naive(path)]

    assert [one.place for one in walk(str(tmp_path))] == naive(tmp_path)
    assert len(naive(tmp_path)) > 30


def test_links_are_followed_and_end(tmp_path: Path) -> None:
    """Out of the tree and in circles; a folder with two names is taken under the first."""
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    write(outside, {"deep/1.png": PNG})
    write(tree, {"a/2.png": PNG, "b/3.png": PNG})
    (tree / "out").symlink_to(outside)
    (outside / "deep" / "back").symlink_to(tree)
    (tree / "a" / "beside").symlink_to(tree / "b")
    (tree / "b" / "beside").symlink_to(tree / "a")
    (tree / "b" / "itself").symlink_to(tree / "b")
    (tree / "link.png").symlink_to(outside / "deep" / "1.png")
    (tree / "knot.png").symlink_to(tree / "knot.png")
    (tree / "knot").symlink_to(tree / "knot")
    assert found(tree) == ["knot.png", "link.png", "a/2.png", "a/beside/3.png", "out/deep/1.png"]


def test_what_is_hidden_stays_so(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(("a.png", ".b.png", ".git/c.png", "d/.e/f.png"), PNG))
    assert found(tmp_path) == ["a.png"]


def test_archives_are_entered(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Their members come by name, whatever their order; hidden ones and those of macOS do not."""
    inner = write_zip(tmp_path / "outside" / "inner.zip", {"a.png": PNG}).read_bytes()
    clip = write_dicom(tmp_path / "outside" / "IM", frames[:1]).read_bytes()
    members = {
        "z/IM": clip, "a.png": b"", "notes.txt": b"x", "DICOMDIR": b"x", "in.zip": inner, "in": inner,
        "z/.hidden/c.png": PNG, ".d.png": PNG, "__MACOSX/._a.png": PNG, "../up.png": PNG, "/root.png": PNG,
    }  # fmt: skip
    tree = tmp_path / "tree"
    write_zip(tree / "study.zip", members)
    write_zip(tree / "no suffix", {"b.png": PNG})
    write(tree, {"z.png": PNG, "a.zip": b"no archive", "empty.zip": b""})
    assert found(tree) == [
        "a.zip: damaged archive",
        "empty.zip: damaged archive",
        "zip://b.png::no suffix",
        "zip://../up.png::study.zip",
        "zip:///root.png::study.zip",
        "zip://a.png::study.zip",
        f"zip://in::study.zip: {NESTED}",
        f"zip://in.zip::study.zip: {NESTED}",
        "zip://z/IM::study.zip",
        "z.png",
    ]


@pytest.mark.parametrize("suffix", sorted(DOCUMENTS))
def test_pictures_in_office_documents_are_no_clips(tmp_path: Path, suffix: str) -> None:
    """They are zip archives by their content; a table of labels may well lie in the folder."""
    document = write_zip(tmp_path / f"labels{suffix}", {"media/image1.png": PNG})
    write_zip(tmp_path / "study.zip", {f"report{suffix}": document.read_bytes(), "a.png": PNG})
    assert found(tmp_path) == ["zip://a.png::study.zip"]


def test_an_archive_whose_path_reads_as_two(tmp_path: Path) -> None:
    write_zip(tmp_path / "odd::name" / "study.zip", {"a.png": PNG})
    write(tmp_path, {"odd::name/b.png": PNG})
    assert found(tmp_path) == [
        "odd::name/b.png",
        "odd::name/study.zip: an archive whose path holds '::' cannot be read; rename it",
    ]


def test_encrypted_members_are_found(tmp_path: Path) -> None:
    """By their suffix, as what they hold cannot be seen; those of other names have a problem."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.dcm", "IM1"):
            archive.writestr(name, PNG)
            archive.infolist()[-1].flag_bits |= 1
    assert found(tmp_path) == ["zip://IM1::a.zip: encrypted in its archive", "zip://a.dcm::a.zip"]


def test_only_the_first_bytes_of_members_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each scan would unpack whole archives of files without a suffix."""
    write_zip(tmp_path / "a.zip", {"IM1": PNG, "program": bytes(5_000_000)})
    asked: list[int] = []
    real = zipfile.ZipExtFile.read

    def read(self: zipfile.ZipExtFile, size: int = -1) -> bytes:
        asked.append(size)
        return real(self, size)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    assert found(tmp_path) == ["zip://IM1::a.zip"]
    assert asked == [HEAD, HEAD]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.png", PNG, ["a.png"]),
        ("IM1", b"no image", ["IM1"]),  # what was asked for is answered
        ("notes.txt", b"", ["notes.txt"]),
        (".hidden", PNG, [".hidden"]),
        ("b.zip", b"no archive", ["b.zip: damaged archive"]),
        ("DICOMDIR", b"no list", ["DICOMDIR: damaged list of files (DICOMDIR)"]),
    ],
)
def test_a_single_file(tmp_path: Path, name: str, content: bytes, expected: list[str]) -> None:
    write(tmp_path, {name: content, "other.png": PNG})
    assert found(tmp_path / name, tmp_path) == expected


def test_an_archive_or_a_member_of_it_as_the_source(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"b/2": b"text", "b/1.png": PNG})
    assert found(archive, tmp_path) == ["zip://b/1.png::a.zip"]
    for name in ("b/1.png", "b/2"):
        assert found(f"zip://{name}::{archive}", tmp_path) == [f"zip://{name}::a.zip"]
    assert found(f"zip://none::{archive}", tmp_path) == ["zip://none::a.zip: damaged archive"]
    assert found(f"zip://none::{tmp_path}/none.zip", tmp_path) == [f"zip://none::none.zip: {UNREADABLE}"]


def test_a_store_is_walked_as_a_folder_is(tmp_path: Path, memory: Any, frames: NDArray[np.uint8]) -> None:
    """The same files in the same order, archives entered, hidden ones left out."""
    tree = tmp_path / "tree"
    write_dicom(tree / "b" / "IM1", frames[:1])
    write_zip(tree / "b" / "study.zip", {"z.png": PNG, "a": PNG, "notes": b""})
    write(tree, dict.fromkeys(("c.png", ".hidden.png", ".git/a.png", "a/z/1.png", "a/2.jpg"), PNG))
    write(tree, {"notes.txt": b"x", "a.zip": b"no archive"})
    for path in tree.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/bucket/tree/{path.relative_to(tree)}", path.read_bytes())
    assert found("memory://bucket/tree") == found(tree)
    assert len(found(tree)) == 7
    assert found("memory://bucket/tree/c.png", "memory://bucket/tree") == ["c.png"]
    assert found("memory://bucket/tree/notes.txt", "memory://bucket/tree") == ["notes.txt"]
    assert found("memory://bucket/tree/b/study.zip", "memory://bucket/tree/b") == [
        "zip://a::study.zip",
        "zip://z.png::study.zip",
    ]


def test_what_cannot_be_read_stands_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is gone or fails once it was listed, and a folder."""
    write(tmp_path, {"IM1": PNG, "a/b.png": PNG, "c/d.png": PNG})
    real_stat = os.stat

    def stat(path: Any, **more: Any) -> os.stat_result:
        if str(path).endswith("/a"):
            raise FileNotFoundError(2, "gone", str(path))
        return real_stat(path, **more)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error", "DOE")

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr("apical.ingest.places._open", broken)
    folder = str(tmp_path)
    assert list(walk(folder)) == [
        Found(f"{folder}/IM1", UNREADABLE),
        Found(f"{folder}/c/d.png"),
        Found(f"{folder}/a", UNREADABLE),
    ]


def test_kinds_that_are_not_read_are_told(tmp_path: Path) -> None:
    """A user would miss their clips; a table packed with gzip is told too, for it might be one."""
    names = ("a.dcm.gz", "b.tar", "c.wmv", "d.BMP", "e.txt")
    write(tmp_path, dict.fromkeys(names, b"\x1f\x8b"))
    assert found(tmp_path) == [
        f"a.dcm.gz: {PACKED}",
        f"b.tar: {PACKED}",
        f"c.wmv: {FOREIGN}",
        f"d.BMP: {FOREIGN}",
    ]
