"""The studies that are to be looked at in the PACS: a durable list, so that no notice is lost by a crash.

A SQLite file in the private folder; it holds UIDs. A row is taken off when its study was looked at with
success and nobody has asked for it again in the meantime.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apical.errors import CannotDo


@dataclass(frozen=True)
class Wanted:
    """What is to be looked at.

    Attributes:
        study, series, instance: UIDs; an empty one means all of them.
        asked: how often it was asked for.
        failures: how often looking failed since.
    """

    study: str
    series: str
    instance: str
    asked: int
    failures: int


class WantedList:
    """An opened list, for one process and any number of its threads.

    Raises:
        CannotDo: the file cannot be read or written. So does every method.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS wanted (study TEXT, series TEXT, instance TEXT, asked INTEGER,"
                " failures INTEGER, due REAL, PRIMARY KEY (study, series, instance)) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the file; no method may be called any more."""
        with self._lock, suppress(sqlite3.Error):
            self._db.close()

    def add(self, study: str, series: str = "", instance: str = "") -> None:
        """Want something looked at, at once and durably; to ask again also means: now, and as if anew."""
        self._run(
            "INSERT INTO wanted VALUES (?, ?, ?, 1, 0, 0) ON CONFLICT DO UPDATE"
            " SET asked = asked + 1, failures = 0, due = 0",
            [study, series, instance],
        )

    def due(self, now: float) -> Wanted | None:
        """What should have been looked at first by now (seconds since 1970); None where nothing is due."""
        rows = self._run(
            "SELECT study, series, instance, asked, failures FROM wanted WHERE due <= ? ORDER BY due LIMIT 1",
            [now],
        )
        return Wanted(*rows[0]) if rows else None

    def done(self, one: Wanted) -> None:
        """Take off what was looked at, unless it was asked for again since."""
        self._run(
            "DELETE FROM wanted WHERE study = ? AND series = ? AND instance = ? AND asked = ?", _row(one)
        )

    def put_off(self, one: Wanted, until: float) -> None:
        """Look later, after a failure, unless it was asked for again since."""
        self._run(
            "UPDATE wanted SET failures = failures + 1, due = ?"
            " WHERE study = ? AND series = ? AND instance = ? AND asked = ?",
            [until, *_row(one)],
        )

    def next_due(self) -> float | None:
        """When something is due next, in seconds since 1970; None where nothing waits."""
        found: float | None = self._run("SELECT min(due) FROM wanted")[0][0]
        return found

    @property
    def failing(self) -> int:
        """How many could not be looked at whole when it was tried last."""
        return int(self._run("SELECT count(*) FROM wanted WHERE failures > 0")[0][0])

    def __len__(self) -> int:
        return int(self._run("SELECT count(*) FROM wanted")[0][0])

    def _run(self, query: str, values: list[Any] | None = None) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(query, values or []).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from None

    def _failed(self, error: Exception) -> CannotDo:
        return CannotDo(
            f"'{self._path.name}' cannot be read or written ({type(error).__name__})",
            "free some space and see that its folder can be written",
        )


def _row(one: Wanted) -> list[Any]:
    return [one.study, one.series, one.instance, one.asked]
