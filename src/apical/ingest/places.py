"""Where a file lives: on disk, behind a URL that fsspec opens, or in a zip archive of either.

A place is a text: an absolute path, a URL such as ``s3://bucket/exam/IM1``, or ``zip://MEMBER::ARCHIVE`` with
the place of the archive behind it, which is how fsspec chains them. Archives are read with limits, for what
a few kilobytes unpack to may fill the memory or never end.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
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
    """The places of all files below a URL, each folder in order of names; hidden ones are left out.

    Raises:
        CannotDo: the library that the URL needs is not installed.
        Unreadable: a folder cannot be listed.
    """
    files, top = _file_system(root)
    files.invalidate_cache()  # else a second listing in a process is the first one again
    try:
        if files.isfile(top):
            yield root
            return
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            entries = files.ls(folder, detail=True)
            found = sorted((entry["name"].rstrip("/"), entry["type"]) for entry in entries)
            shown = [(path, kind) for path, kind in found if not path.rpartition("/")[2].startswith(".")]
            for path, kind in shown:
                if kind != "directory" and path != folder.rstrip("/"):  # stores hold folders as empty files
                    yield f"{root.rstrip('/')}/{path.removeprefix(top).lstrip('/')}"
            waiting += [path for path, kind in reversed(shown) if kind == "directory"]
    except Exception:  # stores raise what their libraries raise
        raise Unreadable from None


def stamp(place: str) -> str:
    """A text that changes when the file does: size and time, or what the store says of its version.

    Raises:
        Unreadable: it is not there, cannot be reached, or is no file (a pipe would be waited for).
    """
    inside = archive_of(place)
    if inside is not None:
        return stamp(inside[0])
    try:
        if not is_remote(place):
            status = os.stat(place)
            if not S_ISREG(status.st_mode):
                raise Unreadable
            said = f"{status.st_size} {status.st_mtime_ns}"
            pixels = [f"{place[:-4]}{end}" for end in (".raw", ".zraw")] if place.endswith(".mhd") else []
            return " ".join([said, *(stamp(path) for path in pixels if os.path.isfile(path))])
    except OSError:
        raise Unreadable from None
    files, path = _file_system(place)
    try:
        info = files.info(path)
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


def head(place: str, size: int) -> bytes:
    """The first bytes of a place; of a member of an archive, no more than these are unpacked.

    Raises:
        Unreadable: it cannot be opened or read.
        ClipProblem: as `opened`.
    """
    inside = archive_of(place)
    if inside is not None:
        with decoding("damaged archive"), _archive(inside[0]).open(_member(*inside)) as source:
            return source.read(size)
    try:
        with _open(place) as file:
            return file.read(size)
    except OSError:
        raise Unreadable from None


def _open(place: str) -> BinaryIO:
    """Open a path or URL."""
    try:
        if not is_remote(place):
            if os.path.exists(place) and not os.path.isfile(place):
                raise Unreadable  # a pipe would be waited for
            return open(place, "rb")
        files, path = _file_system(place)
        return cast(BinaryIO, _FromStore(files.open(path, "rb")))
    except CannotDo:
        raise
    except Exception:  # stores raise what their libraries raise
        raise Unreadable from None


class _FromStore(io.RawIOBase):
    """A file in a store; failing to read it is `Unreadable`, for that may pass, and no damage."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._try(self._file.read, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return cast(bytes, self._try(self._file.read))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._try(self._file.seek, offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()

    @staticmethod
    def _try(function: Any, *values: Any) -> Any:
        try:
            return function(*values)
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
        try:
            with decoding("damaged archive"):
                archive = zipfile.ZipFile(file)
                _refuse_bomb(archive, file)
        except ClipProblem:
            file.close()
            raise
        _archives[key] = archive
        while len(_archives) > OPEN_ARCHIVES:
            _close(_archives.popitem(last=False)[1])
    _archives.move_to_end(key)
    return _archives[key]


def _close(archive: zipfile.ZipFile) -> None:
    """Close an archive and, which it leaves to us, its file."""
    file = archive.fp
    archive.close()
    if file is not None:
        file.close()


def _refuse_bomb(archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Refuse too many members, members that share their bytes, and what unpacks beyond reason."""
    infos = archive.infolist()
    size = file.seek(0, io.SEEK_END)
    packed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    too_dense = unpacked > SUSPICIOUS and unpacked > HIGHEST_RATIO * max(size, 1)
    if len(infos) > MOST_MEMBERS or packed > size or too_dense:
        raise ClipProblem("the archive unpacks to far more than it holds: a decompression bomb")


def _member(archive: str, name: str) -> zipfile.ZipInfo:
    """A member of an archive, if it can be unpacked without harm."""
    info = _archive(archive).getinfo(name)
    if info.flag_bits & 1:
        raise ClipProblem("encrypted in its archive")
    if info.compress_type not in _METHODS:
        raise ClipProblem("compressed in its archive by a method that is not supported")
    dense = info.file_size > SUSPICIOUS and info.file_size > HIGHEST_RATIO * max(info.compress_size, 1)
    if info.file_size > LARGEST_MEMBER or dense:
        raise ClipProblem("unpacks to far more than its archive holds: a decompression bomb")
    return info


def _unpacked(archive: str, name: str) -> BinaryIO:
    """A member's bytes, in memory or, if they are many, in a temporary file that nobody else can open."""
    with decoding("damaged archive"):
        info = _member(archive, name)
        target = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        try:
            with _archive(archive).open(info) as source:
                shutil.copyfileobj(source, target, 1 << 20)
            target.seek(0)
        except OSError as error:
            if error.errno is not None:  # of the system, such as a full disk; a decoder's has no number
                raise Unreadable from None
            raise
    return cast(BinaryIO, target)


def _file_system(place: str) -> tuple[Any, str]:
    """What reads a URL, and the path in it."""
    protocol = place.partition("://")[0]
    try:
        files, path = fsspec.core.url_to_fs(place)
        return files, path
    except ImportError:
        raise CannotDo(
            f"'{protocol}://' needs a library that is not installed",
            "install what fsspec needs for it; for S3: pip install 'apical[s3]'",
        ) from None
    except OSError:  # of a host that the URL names
        raise Unreadable from None
    except Exception:  # what fsspec's classes raise for want of arguments is their own affair
        raise CannotDo(
            f"'{protocol}://' is no kind of source that is known", "see the list of fsspec"
        ) from None
