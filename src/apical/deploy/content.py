"""The files of a bundle, from a folder or from a zip of it: a few names, each of a bounded size."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from apical.errors import CannotDo
from apical.files import replacing

MOST_BYTES = 4 << 30  # of a file in a bundle; the largest networks in use have a quarter of that
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of all files in a zip, so that equal bundles are equal zips


class Content:
    """The files of a bundle that is not opened yet; each is read when it is asked for.

    Args:
        path: the folder, or the zip.

    Raises:
        CannotDo: neither a folder nor a zip archive.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        if not path.is_dir() and not zipfile.is_zipfile(path):
            raise CannotDo(
                f"'{path.name}' is neither a folder nor a zip archive" if path.exists()
                else f"there is no bundle '{path.name}'",
                "give a folder or zip that 'apical bundle' made",
            )  # fmt: skip

    def names(self) -> set[str]:
        """The names of its files; hidden ones and folders of a zip are not counted."""
        if self._path.is_dir():
            return {file.name for file in self._path.iterdir()}
        with zipfile.ZipFile(self._path) as archive:
            return set(_members(archive))

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            OSError, KeyError, ValueError, zipfile.BadZipFile: it is not there, damaged or absurdly large.
        """
        if self._path.is_dir():
            if (self._path / name).stat().st_size > MOST_BYTES:
                raise ValueError(name)
            return (self._path / name).read_bytes()
        with zipfile.ZipFile(self._path) as archive:
            info = _members(archive)[name]
            if info.file_size > MOST_BYTES or info.flag_bits & 1:
                raise ValueError(name)
            with archive.open(info) as file:  # may hold more than its header says
                data = file.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise ValueError(name)
        return data


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members by their names alone: zips made by hand hold the folder, too, and whatever a desktop leaves.

    Raises:
        ValueError: two have the same name.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        parts = info.filename.replace("\\", "/").split("/")
        if not parts[-1] or any(part.startswith((".", "__MACOSX")) for part in parts):
            continue
        if parts[-1] in found:
            raise ValueError(parts[-1])
        found[parts[-1]] = info
    return found


def sha256(data: bytes) -> str:
    """Of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def zip_folder(folder: Path, out: Path) -> None:
    """Write the files of a folder as a zip, in one step and always the same; see `replacing` for errors."""
    with replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(file.name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, file.read_bytes())
