"""Where a file lives: on disk, behind a URL that fsspec opens, or in a zip archive of either.

A place is a text: an absolute path, a URL such as ``s3://bucket/exam/IM1``, or ``zip://MEMBER::ARCHIVE`` with
the place of the archive behind it, which is how fsspec chains them. Archives are read with limits, for what
a few kilobytes unpack to may fill the memory or never end.
"""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import fsspec

from apical.errors import CannotDo, ClipProblem
from apical.ingest.damage import Unreadable, decoding

ZIP, INSIDE = "zip://", "::"
IN_MEMORY = 64 << 20  # bytes of a member that are kept in memory; more go to a temporary file
LARGEST_MEMBER = 4 << 30  # bytes
MOST_MEMBERS = 1_000_000
HIGHEST_RATIO = 200  # of unpacked to packed size, above `SUSPICIOUS` bytes; black frames reach it, bombs more
SUSPICIOUS = 256 << 20
OPEN_ARCHIVES = 2  # kept open in a process: reading a list of members again for each of them is slow
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})

_archives: OrderedDict[tuple[str, str], zipfile.ZipFile] = OrderedDict()


def is_remote(place: str) -> bool:
    """Whether it is a URL or in an archive, not a path of this machine."""
    return "://" in place


def as_place(path: Path | str) -> str:
    """A place as the catalogue writes it: absolute and without links; ``file://`` URLs become paths."""
    text = str(path)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return text if is_remote(text) else str(Path(text).resolve())


def member_of(archive: str, name: str) -> str:
    """The place of a member of an archive."""
    return f"{ZIP}{name}{INSIDE}{archive}"


def archive_of(place: str) -> tuple[str, str] | None:
    """The archive's place and the member's name, for a member of an archive."""
    if not place.startswith(ZIP):
        return None
    name, _, archive = place.removeprefix(ZIP).rpartition(INSIDE)
    return archive, name


def remote_files(root: str) -> Iterator[str]:
    """The places of all files below a URL, sorted within each folder.

    Raises:
        CannotDo: the library that the URL needs is not installed.
        Unreadable: it cannot be reached.
    """
    files = _file_system(root)
    protocol = root.partition("://")[0]
    try:
        if files.isfile(root):
            yield root
            return
        for folder, folders, names in files.walk(root):
            folders.sort() if isinstance(folders, list) else None
            for name in sorted(names):
                yield f"{protocol}://{folder.strip('/')}/{name}"
    except Exception:  # stores raise what their libraries raise
        raise Unreadable from None


def stamp(place: str) -> str:
    """A text that changes when the file does: size and time, or what the store says of its version.

    Raises:
        Unreadable: it is not there, or cannot be reached.
    """
    inside = archive_of(place)
    if inside is not None:
        return stamp(inside[0])
    try:
        if not is_remote(place):
            status = os.stat(place)
            return f"{status.st_size} {status.st_mtime_ns}"
    except OSError:
        raise Unreadable from None
    files = _file_system(place)
    try:
        info = files.info(place)
    except Exception:  # stores raise what their libraries raise
        raise Unreadable from None
    version = next(
        (info[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(key)), ""
    )
    return f"{info.get('size')} {version}"


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    """Open a place for reading at any position.

    Raises:
        Unreadable: it cannot be opened.
        ClipProblem: a member of an archive that cannot be read, or that unpacks to too much.
    """
    inside = archive_of(place)
    with _unpacked(*inside) if inside is not None else _open(place) as file:
        yield file


def _open(place: str) -> BinaryIO:
    """Open a path or URL."""
    files = _file_system(place) if is_remote(place) else None
    try:
        return cast(BinaryIO, open(place, "rb") if files is None else files.open(place, "rb"))
    except Exception:  # stores raise what their libraries raise
        raise Unreadable from None


def members(archive: str) -> list[str]:
    """The names of an archive's files, in its order.

    Raises:
        Unreadable: it cannot be opened.
        ClipProblem: it is damaged, or a decompression bomb.
    """
    with decoding("damaged archive"):
        infos = [info for info in _archive(archive).infolist() if not info.is_dir()]
    return [info.filename for info in infos]


def _archive(place: str) -> zipfile.ZipFile:
    """An archive, opened or still open from before."""
    key = (place, stamp(place))
    if key not in _archives:
        file = _open(place)
        with decoding("damaged archive"):
            archive = zipfile.ZipFile(file)
            _refuse_bomb(archive, file)
        _archives[key] = archive
        while len(_archives) > OPEN_ARCHIVES:
            _archives.popitem(last=False)[1].close()
    _archives.move_to_end(key)
    return _archives[key]


def _refuse_bomb(archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Refuse too many members, members that share their bytes, and what unpacks beyond reason."""
    infos = archive.infolist()
    size = file.seek(0, io.SEEK_END)
    packed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    too_dense = unpacked > SUSPICIOUS and unpacked > HIGHEST_RATIO * max(size, 1)
    if len(infos) > MOST_MEMBERS or packed > size or too_dense:
        raise ClipProblem("the archive unpacks to far more than it holds: a decompression bomb")


def _unpacked(archive: str, name: str) -> BinaryIO:
    """A member's bytes, in memory or, if they are many, in a temporary file that nobody else can open."""
    with decoding("damaged archive"):
        info = _archive(archive).getinfo(name)
        if info.flag_bits & 1:
            raise ClipProblem("encrypted in its archive")
        if info.compress_type not in _METHODS:
            raise ClipProblem("compressed in its archive by a method that is not supported")
        dense = info.file_size > SUSPICIOUS and info.file_size > HIGHEST_RATIO * max(info.compress_size, 1)
        if info.file_size > LARGEST_MEMBER or dense:
            raise ClipProblem("unpacks to far more than its archive holds: a decompression bomb")
        target = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        with _archive(archive).open(info) as source:
            left = info.file_size
            while block := source.read(1 << 20):
                left -= len(block)
                if left < 0:
                    raise ClipProblem("damaged archive")
                target.write(block)
        target.seek(0)
    return cast(BinaryIO, target)


def _file_system(place: str) -> Any:
    protocol = place.partition("://")[0]
    try:
        return fsspec.filesystem(protocol)
    except ImportError:
        raise CannotDo(
            f"'{protocol}://' needs a library that is not installed",
            "install what fsspec needs for it; for S3: pip install 'apical[s3]'",
        ) from None
    except ValueError:
        raise CannotDo(
            f"'{protocol}://' is no kind of source that is known", "see the list of fsspec"
        ) from None
