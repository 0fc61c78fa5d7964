"""The files of a data set and its tables, found by name."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from apical.errors import CannotDo

VIDEOS = (".avi", ".mp4", ".mov", ".m4v")
STILLS = (".png", ".jpg", ".jpeg")


class Tree:
    """The files below a folder by their paths from there, hidden ones left out.

    Attributes:
        root: the folder.
        files: their paths, forward slashes, in order.
        odd: rows and tables of the index that were passed over.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = sorted(_walk(root))
        self.odd = 0
        self._there = frozenset(self.files)

    def __contains__(self, file: str) -> bool:
        return file in self._there

    def ending(self, *suffixes: str) -> list[str]:
        """The files with one of these suffixes (lower case, with a dot)."""
        return [file for file in self.files if file.lower().endswith(suffixes)]

    def find(self, *paths: str) -> str:
        """The first of `paths` that is there, in any case of letters; if none is, the first as given."""
        plain = [path.replace("\\", "/").removeprefix("./") for path in paths]
        for path in plain:
            if path in self._there:
                return path
        for path in plain:
            if path.lower() in self._lower:
                return self._lower[path.lower()]
        return plain[0]

    @cached_property
    def _lower(self) -> dict[str, str]:
        return {file.lower(): file for file in reversed(self.files)}

    def home(self, title: str, *marks: str) -> str:
        """The folder below which one of `marks` lies: "", or with a slash at its end.

        Downloads are often unpacked into a folder of the same name, so the nearest one is taken.

        Raises:
            CannotDo: there is none, or there are several equally near.
        """
        homes = set()
        for file in self.files:
            for mark in marks:
                start = len(file) - len(mark)
                if file[max(start, 0) :].lower() == mark.lower() and (start == 0 or file[start - 1] == "/"):
                    homes.add(file[:start])
        if not homes:
            raise no_such(title, f"'{marks[0]}'")
        nearest = min(home.count("/") for home in homes)
        near = [home for home in homes if home.count("/") == nearest]
        if len(near) > 1:
            raise CannotDo(f"the folder holds '{marks[0]}' several times", "give the folder of one copy")
        return near[0]

    def lines(self, path: str) -> list[str]:
        """The lines of a text file that are not blank.

        Raises:
            CannotDo: it cannot be read.
        """
        try:
            with (self.root / path).open(encoding="utf-8-sig", errors="replace") as file:
                return [line.rstrip("\n") for line in file if line.strip()]
        except OSError as error:
            raise unreadable(path, error) from None

    def table(self, path: str, key: str, *more: str) -> Iterator[dict[str, str]]:
        """The rows of a CSV (commas, semicolons or tabs) by the lower-case names of its columns.

        Each line is read alone, so that a stray quotation mark spoils no other. Short rows have empty
        cells at their end.

        Args:
            path: of the file.
            key: the column that names a file; rows where it is empty are counted in `odd`.
            more: other columns that must be there.

        Raises:
            CannotDo: it cannot be read, or a column is missing.
        """
        lines = self.lines(path)
        separator = max(",;\t", key=lines[0].count) if lines else ","
        names = [name.strip().lower() for name in _cells(lines[0], separator)] if lines else []
        for column in (key, *more):
            if column.lower() not in names:
                raise CannotDo(
                    f"'{_name(path)}' has no column '{column}'", "check that the data set is the one meant"
                )
        for line in lines[1:]:
            cells = [cell.strip() for cell in _cells(line, separator)]
            row = dict(zip(names, cells + [""] * (len(names) - len(cells)), strict=False))
            if row[key.lower()]:
                yield row
            else:
                self.odd += 1


def stem(file: str) -> str:
    """The name of a file without its folder and suffix."""
    return _name(file).rpartition(".")[0] or _name(file)


def no_such(title: str, wanted: str) -> CannotDo:
    """The error for a folder that does not look like the data set; `wanted` is what was looked for."""
    return CannotDo(f"this is no copy of {title}: no {wanted} was found", "give the folder that holds it")


def unreadable(path: str, error: Exception) -> CannotDo:
    """The error for an index that cannot be read."""
    return CannotDo(f"'{_name(path)}' cannot be read ({type(error).__name__})", "get a new copy of it")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # a cell beyond all measure
        return []


def _walk(root: Path) -> Iterator[str]:
    """The paths of all files, links followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        place = Path(folder).relative_to(root).as_posix()
        for name in names:
            if not name.startswith("."):
                yield name if place == "." else f"{place}/{name}"
