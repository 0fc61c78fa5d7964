"""The studies that are to be looked at in the PACS: a durable list, so that no notice is lost by a crash.

A SQLite file in the private folder; it holds UIDs. A row is taken off when its study was looked at with
success and nobody has asked for it again in the meantime.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apical.deploy.service.database import Database

VERSION = 1  # of the table
TABLES = """
CREATE TABLE IF NOT EXISTS wanted (study TEXT, series TEXT, instance TEXT, asked INTEGER, failures INTEGER,
    due REAL, PRIMARY KEY (study, series, instance)) WITHOUT ROWID;
"""


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


class WantedList(Database):
    """An opened list, for one process and any number of its threads.

    Raises:
        CannotDo: the file cannot be read or written. So does every method.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, VERSION, TABLES)

    def add(self, study: str, series: str = "", instance: str = "") -> None:
        """Want something looked at, at once and durably; to ask again also means: now, and as if anew."""
        self._all(
            "INSERT INTO wanted VALUES (?, ?, ?, 1, 0, 0) ON CONFLICT DO UPDATE"
            " SET asked = asked + 1, failures = 0, due = 0",
            [study, series, instance],
        )

    def due(self, now: float) -> Wanted | None:
        """What should have been looked at first by now (seconds since 1970); None where nothing is due."""
        rows = self._all(
            "SELECT study, series, instance, asked, failures FROM wanted WHERE due <= ? ORDER BY due LIMIT 1",
            [now],
        )
        return Wanted(*rows[0]) if rows else None

    def done(self, one: Wanted) -> None:
        """Take off what was looked at, unless it was asked for again since."""
        self._all(
            "DELETE FROM wanted WHERE study = ? AND series = ? AND instance = ? AND asked = ?", _row(one)
        )

    def put_off(self, one: Wanted, until: float) -> None:
        """Look later, after a failure, unless it was asked for again since."""
        self._all(
            "UPDATE wanted SET failures = failures + 1, due = ?"
            " WHERE study = ? AND series = ? AND instance = ? AND asked = ?",
            [until, *_row(one)],
        )

    def next_due(self) -> float | None:
        """When something is due next, in seconds since 1970; None where nothing waits."""
        found: float | None = self._all("SELECT min(due) FROM wanted")[0][0]
        return found

    @property
    def failing(self) -> int:
        """How many could not be looked at whole when it was tried last."""
        return int(self._all("SELECT count(*) FROM wanted WHERE failures > 0")[0][0])

    def __len__(self) -> int:
        return int(self._all("SELECT count(*) FROM wanted")[0][0])


def _row(one: Wanted) -> list[Any]:
    return [one.study, one.series, one.instance, one.asked]
