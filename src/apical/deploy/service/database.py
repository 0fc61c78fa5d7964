"""One SQLite file that is whole after whatever dies, and keeps nothing of what was deleted.

WAL and ``synchronous = FULL``: a commit is on the disk (https://sqlite.org/pragma.html). ``secure_delete``
overwrites what is deleted in the file itself; what was written before still lies in the log beside it
(``-wal``) until `Database.shorten_log` has emptied that.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from apical.errors import CannotDo

PATIENCE = 30  # seconds for somebody else who has the file


class Database:
    """An opened file, for one process and any number of its threads.

    Args:
        path: the file; made if it is not there, readable by its owner alone.
        version: of the tables; a file of another is not opened.
        tables: makes them where they are not there.

    Raises:
        CannotDo: the file cannot be read or written. So does every method, if it does not say otherwise.
    """

    def __init__(self, path: Path, version: int, tables: str) -> None:
        self._path, self._lock = path, threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=PATIENCE)
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, version):
                raise CannotDo(
                    f"'{path.name}' was made by another version of apical",
                    "finish with that version what is in it, then give another folder",
                )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.executescript(tables)
            self._db.execute(f"PRAGMA user_version = {version}")
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the file; no method may be called any more."""
        with self._lock:
            self._db.close()

    def shorten_log(self) -> None:
        """Empty the log beside the file; left for the next time where that is not possible just now."""
        with self._lock, suppress(sqlite3.Error):
            self._db.execute("PRAGMA busy_timeout = 0")
            try:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self._db.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of a block's changes are on the disk when it ends; none are if it fails."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except (OSError, sqlite3.Error) as error:
                raise self._failed(error) from None
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from None

    def _failed(self, error: Exception) -> CannotDo:
        return CannotDo(
            f"'{self._path.name}' cannot be read or written ({type(error).__name__})",
            "free some space and see that its folder can be written",
        )
