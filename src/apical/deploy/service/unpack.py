"""Zip archives that are sent: each member that may be a clip becomes a file of its own.

No more is unpacked of a member than it says that it has, and that is piece by piece into the spool; whatever
comes out counts, also of members that are refused in the end, so a decompression bomb ends at the limit, of
bytes or of time. Names of members tell what to pass over, and are never paths. The list of members is bounded
before it is read, for it is read as a whole.
"""

from __future__ import annotations

import struct
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from apical.deploy.service.items import Refused
from apical.deploy.service.spool import Spool, TooLarge
from apical.errors import ClipProblem
from apical.ingest.damage import decoding
from apical.ingest.formats import HEAD, IMAGE_SUFFIXES, NOT_OPENED, NOT_READ, kind_of
from apical.ingest.walk import DIRECTORY, DOCUMENTS, FOREIGN, NESTED, PACKED

PIECE = 1 << 20  # bytes
LARGEST_LIST = 8 << 20  # bytes of the list of members; some 100,000 of them
_END, _LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE = 22, 20, 56  # bytes, APPNOTE 4.3.14 to 4.3.16
TOO_LARGE = "unpacks to more than is accepted: perhaps a decompression bomb"
OTHER_METHOD = "compressed in its archive by a method that is not accepted"


def is_archive(file: Path) -> bool:
    """Whether a file is a zip archive, by its first bytes."""
    with file.open("rb") as opened:
        return kind_of(opened.read(HEAD)) == "zip"


class Ration:
    """What the archives of a request may unpack to in all, and for how long."""

    def __init__(self, size: int, seconds: float) -> None:
        self._left, self._until = size, time.monotonic() + seconds

    def take(self, size: int) -> None:
        """Bytes have come out. Raises TooLarge if they were too many, or the time is up."""
        self._left -= size
        if self._left < 0:
            raise TooLarge("the archives unpack to more than is accepted", "send fewer files at a time")
        if time.monotonic() > self._until:
            raise TooLarge("the archives take too long to unpack", "send fewer files at a time")


def unpack(
    archive: Path, spool: Spool, ration: Ration, *, most_files: int, file_bytes: int
) -> Iterator[Path | Refused]:
    """Yield the files of an archive, each on the disk, in the order in which the archive lists them.

    Hidden files, and those of other kinds, are passed over; what could be a clip but cannot be unpacked is
    `Refused`. An archive that cannot be read, or without any clip, is one `Refused`.

    Args:
        archive: a file.
        spool: where its members go.
        ration: what is left to it and to the archives that are sent with it.
        most_files: that it may hold.
        file_bytes: most bytes of a member; one with more is `Refused`.

    Raises:
        TooLarge: more files, bytes or seconds than are accepted.
        TooBusy: too many bytes wait.
        CannotDo: the disk is full.
    """
    count = 0
    try:
        with archive.open("rb") as file:
            infos = _listed(file)
            with zipfile.ZipFile(file) as opened:
                for info in infos:
                    ration.take(0)  # its head costs time, if no bytes
                    one = _member(opened, info, spool, ration, file_bytes)
                    if one is None:
                        continue
                    count += 1
                    yield one
                    if count > most_files:
                        raise TooLarge(
                            f"an archive holds more than {most_files} files", "send fewer at a time"
                        )
    except ClipProblem as problem:
        yield Refused(str(problem))
        return
    if not count:
        yield Refused("the archive holds no file that may be a clip")


def _listed(file: BinaryIO) -> list[zipfile.ZipInfo]:
    """The members, if their list is short enough to be read; raises `ClipProblem`."""
    with decoding("damaged archive"):
        if _list_size(file) > LARGEST_LIST:
            raise ClipProblem("an archive of too many files")
        file.seek(0)
        with zipfile.ZipFile(file) as opened:
            return [info for info in opened.infolist() if not info.is_dir()]


def _list_size(file: BinaryIO) -> int:
    """Bytes of the list of members, as `zipfile` will read it: from the end record, or else that of ZIP64."""
    size = file.seek(0, 2)
    tail_size = min(size, _END_SIZE + (1 << 16) + _LOCATOR_SIZE + _END64_SIZE)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + _END_SIZE:
        raise ClipProblem("damaged archive")
    sizes = [struct.unpack_from("<L", tail, end + 12)[0]]
    sizes = [] if sizes == [0xFFFFFFFF] else sizes
    if tail[max(0, end - _LOCATOR_SIZE) : end].startswith(_LOCATOR) and end >= _LOCATOR_SIZE + _END64_SIZE:
        sizes.append(struct.unpack_from("<Q", tail, end - _LOCATOR_SIZE - _END64_SIZE + 40)[0])
    return max(sizes, default=LARGEST_LIST + 1)


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, spool: Spool, ration: Ration, most_bytes: int
) -> Path | Refused | None:
    """A member in the spool, why not, or None if it is passed over."""
    path = PurePosixPath(info.filename)
    if any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts):
        return None
    suffix = ".nii" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
    if path.name.upper() == DIRECTORY or suffix in DOCUMENTS:
        return None
    if suffix in NOT_OPENED | NOT_READ:
        return Refused(PACKED if suffix in NOT_OPENED else FOREIGN)
    if info.flag_bits & 1:
        return Refused("encrypted in its archive")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return Refused(OTHER_METHOD)  # zipfile unpacks these without a bound on what comes out at a time
    try:
        with decoding("damaged archive"), archive.open(info) as source:
            head = source.read(HEAD)
        kind = kind_of(head)
        if kind == "zip":
            return Refused(NESTED)
        if suffix not in IMAGE_SUFFIXES and kind in (None, "gzip"):
            return None
        if info.file_size > most_bytes:  # zipfile gives no more than this
            return Refused(TOO_LARGE)
        with decoding("damaged archive"):
            source = archive.open(info)
        with source:
            return spool.receive(_pieces(source, ration), most_bytes)
    except ClipProblem as problem:
        return Refused(str(problem))


def _pieces(source: IO[bytes], ration: Ration) -> Iterator[bytes]:
    while True:
        with decoding("damaged archive"):
            piece = source.read(PIECE)
        if not piece:
            return
        ration.take(len(piece))
        yield piece
