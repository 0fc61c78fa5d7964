"""List the files of a tree, an archive or a store that may be clips."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, cast

import pydicom
from pydicom.dataelem import RawDataElement

from apical.errors import ClipProblem
from apical.ingest.damage import Rationed, Unreadable, decoding
from apical.ingest.dicom import quiet_pydicom
from apical.ingest.formats import HEAD, IMAGE_SUFFIXES, NOT_OPENED, NOT_READ, kind_of
from apical.ingest.places import (
    INSIDE,
    archive_of,
    head,
    is_remote,
    member_of,
    members,
    opened,
    remote_files,
)

log = logging.getLogger("apical.ingest")

DIRECTORY = "DICOMDIR"
DOCUMENTS = frozenset(  # zip archives too, but of texts and programs
    {".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm", ".odt", ".ods", ".odp", ".epub", ".jar", ".apk"}
)
NESTED = "an archive inside an archive is not opened"
PACKED = "an archive of a kind that is not opened; unpack it"
FOREIGN = "a video or picture of a kind that is not read; convert it to MP4 or PNG"


@dataclass(frozen=True)
class Found:
    """One file that may be a clip.

    Attributes:
        place: where it is, see `apical.ingest.places`.
        problem: why it cannot be one, if that is clear without opening it.
    """

    place: str
    problem: str | None = None


def walk(root: str) -> Iterator[Found]:
    """The files that may be clips, by suffix or else by their first bytes, each folder in order of names.

    Hidden files, and files of other kinds, are passed over. Links are followed, each folder once. Zip
    archives are entered, archives inside them not. A folder or archive that cannot be read stands for
    its files, and so does a file that a DICOMDIR lists and that is not there.

    Args:
        root: the place of a folder, an archive, a DICOMDIR or a single file.
    """
    if archive_of(root):
        yield from _file(root, asked_for=True)
    elif is_remote(root):
        for place in remote_files(root):
            yield from _file(place, asked_for=place == root)
    elif os.path.isdir(root):
        yield from _folder(root)
    elif _name(root).upper() == DIRECTORY:
        yield from _listed(root)
    else:
        yield from _file(root, asked_for=True)


def _folder(root: str) -> Iterator[Found]:
    seen: set[tuple[int, int]] = set()
    unreadable: list[str] = []
    passed_over = 0
    for place, folders, names in os.walk(
        root, onerror=lambda error: unreadable.append(error.filename), followlinks=True
    ):
        try:
            status = os.stat(place)
        except OSError:  # gone since it was listed
            unreadable.append(place)
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(place, name)
            if name.upper() == DIRECTORY:
                yield from (found for found in _listed(path) if found.problem is not None)
            else:
                before = passed_over
                passed_over += 1
                for found in _file(path) if not name.startswith(".") else ():
                    passed_over = before
                    yield found
    log.info("%d files are no images and were passed over", passed_over)
    yield from (Found(place, str(Unreadable())) for place in sorted(unreadable))


def _file(place: str, *, asked_for: bool = False) -> Iterator[Found]:
    """A file, if it may be a clip; the members of an archive. One that was `asked_for` may always be."""
    suffix = _suffix(place)
    if suffix in NOT_OPENED | NOT_READ:
        yield Found(place, PACKED if suffix in NOT_OPENED else FOREIGN)
        return
    try:
        kind = suffix if suffix in (".zip", *IMAGE_SUFFIXES) else _kind(place)
    except ClipProblem as problem:
        yield Found(place, str(problem))
        return
    if kind in (".zip", "zip"):
        if suffix not in DOCUMENTS:
            yield from [Found(place, NESTED)] if archive_of(place) else _archive(place)
    elif asked_for or kind is not None:
        yield Found(place)


def _archive(place: str) -> Iterator[Found]:
    try:
        if INSIDE in place:
            raise ClipProblem("an archive whose path holds '::' cannot be read; rename it")
        names = members(place)
    except ClipProblem as problem:
        yield Found(place, str(problem))
        return
    for name in sorted(names):
        parts = PurePosixPath(name).parts
        if not any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts):
            yield from _file(member_of(place, name))


def _name(place: str) -> str:
    return PurePosixPath(place.partition(INSIDE)[0]).name


def _suffix(place: str) -> str:
    name = _name(place).lower()
    return ".nii" if name.endswith(".nii.gz") else PurePosixPath(name).suffix


def _kind(place: str) -> str | None:
    """The kind of a file whose name does not tell; None for no image. Raises `ClipProblem` if unreadable."""
    if _name(place).upper() == DIRECTORY or not (is_remote(place) or os.path.isfile(place)):
        return None
    kind = kind_of(head(place, HEAD))
    return None if kind == "gzip" else kind


def _listed(directory: str) -> Iterator[Found]:
    """The files that a DICOMDIR lists (PS3.3 F.3), with a problem if they are not there."""
    try:
        with opened(directory) as file, quiet_pydicom(), decoding("damaged list of files (DICOMDIR)"):
            dataset = pydicom.dcmread(cast(BinaryIO, Rationed(file)))
            raw: object = dataset.get_item("DirectoryRecordSequence")
            if isinstance(raw, RawDataElement) and len(raw.value or b"") < raw.length:
                raise ValueError  # cut off, which pydicom reads as a shorter list
            ids = [record.get("ReferencedFileID") for record in dataset.DirectoryRecordSequence]
            several = [[one] if isinstance(one, str) else list(one) for one in ids if one]
            listed = [[str(part).strip() for part in parts] for parts in several]
    except ClipProblem as problem:
        yield Found(directory, str(problem))
        return
    folders: dict[str, dict[str, str]] = {}
    for parts in listed:
        place = os.path.dirname(directory)
        for part in parts:
            if place not in folders:
                folders[place] = {name.upper(): name for name in _names(place)}
            place = f"{place}/{folders[place].get(part.upper(), part)}"
        if os.path.isfile(place) and ".." not in place.split("/"):
            yield Found(place)
        else:
            yield Found(place, "listed in the DICOMDIR, but not there")


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError):  # a name with a zero byte
        return []
