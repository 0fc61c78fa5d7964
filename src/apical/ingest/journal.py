"""What scans have found so far, on disk: so that a scan can be stopped, and reads only what has changed.

A SQLite file beside the catalogue. Each file has a row with its stamp (size and time of change) and, once it
was read, what was found. It holds no more than the catalogue does: pseudonyms, and paths.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apical.errors import CannotDo

VERSION = 1  # of what a scan finds; another one makes every file be read again


@dataclass(frozen=True)
class Listed:
    """A file that a walk came upon.

    Attributes:
        place: where it is.
        stamp: size and time of change; an empty one is never as it was.
        row: what is known of it without opening it, or None.
    """

    place: str
    stamp: str
    row: dict[str, Any] | None = None


class Journal:
    """An opened journal; use it in a ``with`` statement.

    Args:
        path: the file; made if it is not there, and made anew if it belongs to another key of the
            pseudonyms or another version of the program.
        key: a text that tells the key of the pseudonyms without giving it away.

    Raises:
        CannotDo: the file cannot be read or written.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        mark = json.dumps([VERSION, key])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and _mark(path) != mark:
                _delete(path)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(
                "CREATE TABLE IF NOT EXISTS mark (text TEXT);"
                "CREATE TABLE IF NOT EXISTS files"
                " (place TEXT PRIMARY KEY, root TEXT, position INTEGER, stamp TEXT, row TEXT) WITHOUT ROWID;"
            )
            if _mark(path) is None:
                self._db.execute("INSERT INTO mark VALUES (?)", [mark])
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._db.close()
        except sqlite3.Error as failure:
            raise self._failed(failure) from None

    def list_files(self, root: str, found: Iterable[Listed]) -> tuple[int, int]:
        """Take the files of a tree, in order; forget those that are there no longer.

        Args:
            root: the place of the tree.
            found: each file; what was found in it before is kept if its stamp is as it was.

        Returns:
            how many are to be read, and how many there are.
        """
        add = (
            "INSERT INTO files VALUES (?, ?, ?, ?, ?) ON CONFLICT (place) DO UPDATE SET root = excluded.root,"
            " position = excluded.position, stamp = excluded.stamp,"
            " row = coalesce(excluded.row, CASE WHEN stamp = excluded.stamp AND stamp != '' THEN row END)"
        )
        try:
            self._db.execute("BEGIN")
            self._db.execute("UPDATE files SET position = NULL WHERE root = ?", [root])
            rows = (
                (one.place, root, number, one.stamp, None if one.row is None else json.dumps(one.row))
                for number, one in enumerate(found)
            )
            self._db.executemany(add, rows)
            self._db.execute("DELETE FROM files WHERE root = ? AND position IS NULL", [root])
            self._db.execute("COMMIT")
            counts = "SELECT count(*) FILTER (WHERE row IS NULL), count(*) FROM files WHERE root = ?"
            to_read, all_files = self._db.execute(counts, [root]).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        return int(to_read), int(all_files)

    def unread(self, root: str) -> Iterator[str]:
        """The places that are to be read, in order."""
        last = -1
        page = (
            "SELECT place, position FROM files WHERE root = ? AND row IS NULL AND position > ?"
            " ORDER BY position LIMIT 1000"
        )
        while rows := self._all(page, [root, last]):
            for place, position in rows:
                last = position
                yield place

    def write(self, place: str, row: dict[str, Any], *, passing: bool = False) -> None:
        """Keep what was found in a file, at once; if it may pass, the next scan reads the file again."""
        mark = ", stamp = ''" if passing else ""
        try:
            self._db.execute(f"UPDATE files SET row = ?{mark} WHERE place = ?", [json.dumps(row), place])
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def rows(self, root: str) -> Iterator[dict[str, Any]]:
        """What was found in each file of a tree, in order."""
        last = -1
        page = "SELECT position, row FROM files WHERE root = ? AND position > ? ORDER BY position LIMIT 1000"
        while rows := self._all(page, [root, last]):
            last = rows[-1][0]
            yield from (json.loads(text) for _, text in rows if text is not None)

    def _all(self, query: str, values: list[Any]) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> CannotDo:
        return CannotDo(
            f"'{self._path.name}' cannot be read or written ({type(error).__name__})",
            "free some space, or delete that file: it only saves reading again",
        )


def _mark(path: Path) -> str | None:
    """What a journal belongs to; None where it does not tell."""
    database = sqlite3.connect(path)
    try:
        row = database.execute("SELECT text FROM mark").fetchone()
    except sqlite3.Error:
        return None
    finally:
        database.close()
    return row[0] if row else None


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
