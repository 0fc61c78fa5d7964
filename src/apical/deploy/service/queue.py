"""The durable queue: what was accepted is answered exactly once, whatever dies in between.

One SQLite file (`database`). Every change is one transaction, so after ``kill -9`` an item is queued, running
(and queued again by `Queue.restart`) or done with its answer. The answer and the DICOM SR that is to be sent
for it are kept by the same transaction; the outbox is emptied at least once, not exactly once: who receives
must know a document again by its UID. Nothing here holds a name that a client gave.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from apical.deploy.answers import Answer, records
from apical.deploy.service.database import Database
from apical.deploy.service.items import (
    Item,
    ItemState,
    JobState,
    Outgoing,
    Refused,
    Source,
    State,
    TooBusy,
)

__all__ = ["Item", "ItemState", "JobState", "Outgoing", "Queue", "Refused", "Source", "State", "TooBusy"]
VERSION = 1  # of the tables
MOST_ATTEMPTS = 3
MOST_STARTS = 10  # of an item that was running whenever the server died, which may not be the item's fault
MOST_KEPT = 100_000  # items
CRASHED = "the decoder crashed"
NEVER = math.inf  # when a document that was refused is due
_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (job TEXT PRIMARY KEY, source TEXT, created REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, job TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (place INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT UNIQUE, job TEXT,
    number INTEGER, file TEXT, source TEXT, state TEXT, attempts INTEGER, answer TEXT, evidence TEXT,
    done REAL);
CREATE INDEX IF NOT EXISTS items_of_job ON items (job, number);
CREATE INDEX IF NOT EXISTS items_by_state ON items (state, place);
CREATE INDEX IF NOT EXISTS queued_by_number ON items (number, place) WHERE state = 'queued';
CREATE TABLE IF NOT EXISTS outbox (item TEXT PRIMARY KEY, document BLOB, attempts INTEGER, due REAL,
    problem TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (due);
"""
_ITEM = "item, job, number, file, source, attempts"


class Queue(Database):
    """An opened queue, for one process and any number of its threads.

    Args:
        path: the SQLite file; made if it is not there, readable by its owner alone.
        most_waiting: items that may wait or run at a time.
        remove: removes a file that was sent again; give `Spool.remove`, which counts bytes.
        most_kept: items that may be done and not forgotten; the oldest jobs make room for new ones.

    Raises:
        CannotDo: the file cannot be read or written. So does every method.
    """

    def __init__(
        self,
        path: Path,
        most_waiting: int,
        remove: Callable[[Path], object] = Path.unlink,
        most_kept: int = MOST_KEPT,
    ) -> None:
        super().__init__(path, VERSION, _TABLES)
        self._most_waiting, self._most_kept, self._remove = most_waiting, most_kept, remove
        self._oldest_first = False

    def accept(self, source: Source, files: Sequence[Path | Refused], *, key: str | None = None) -> str:
        """Take over files, durably, and return the id of their job.

        Args:
            source: how they came.
            files: one or more, whole and on the disk (`Spool` sees to that); the queue's from now on.
            key: a hash that tells what was sent. If it was accepted before, that job is returned, nothing is
                queued, and the files are removed; the job itself may be forgotten by now.

        Raises:
            TooBusy: more items would wait or be kept than may be; the files are still the caller's.
        """
        job = secrets.token_hex(16)
        with self._transaction() as db:
            known = key and db.execute("SELECT job FROM keys WHERE key = ?", [key]).fetchone()
            if not known:
                self._add(db, job, source, files)
                if key:
                    db.execute("INSERT INTO keys VALUES (?, ?)", [key, job])
        if not known:
            return job
        for file in files:
            if isinstance(file, Path):
                self._remove(file)
        return str(known[0])

    def _add(self, db: sqlite3.Connection, job: str, source: Source, files: Sequence[Path | Refused]) -> None:
        waiting = db.execute("SELECT count(*) FROM items WHERE state IN ('queued', 'running')").fetchone()[0]
        new = sum(isinstance(file, Path) for file in files)
        if new and waiting + new > self._most_waiting:
            raise TooBusy("too many files wait already", "try again in a while")
        self._make_room(db, len(files) - new)
        db.execute("INSERT INTO jobs VALUES (?, ?, ?)", [job, source, time.time()])
        for number, file in enumerate(files, start=1):
            item = secrets.token_hex(16)
            where = self._relative(file) if isinstance(file, Path) else None
            db.execute(
                "INSERT INTO items VALUES (NULL, ?, ?, ?, ?, ?, 'queued', 0, NULL, NULL, NULL)",
                [item, job, number, where, source],
            )
            if isinstance(file, Refused):
                _done(db, item, _problem(number, file.problem))

    def _make_room(self, db: sqlite3.Connection, new: int) -> None:
        """Forget the oldest jobs of those that are done, for so many more done items than are kept by now."""
        excess = db.execute("SELECT count(*) FROM items WHERE state = 'done'").fetchone()[0]
        excess += new - self._most_kept
        while excess > 0:
            job = db.execute(
                "SELECT job FROM items AS one WHERE NOT EXISTS"
                " (SELECT 1 FROM items WHERE job = one.job AND state != 'done') ORDER BY place LIMIT 1"
            ).fetchone()
            if job is None:
                raise TooBusy("too many answers are kept already", "try again in a while")
            excess -= db.execute("DELETE FROM items WHERE job = ?", job).rowcount
            db.execute("DELETE FROM jobs WHERE job = ?", job)

    @property
    def is_full(self) -> bool:
        """Whether no more items are accepted."""
        waiting = self._all("SELECT count(*) FROM items WHERE state IN ('queued', 'running')")
        return int(waiting[0][0]) >= self._most_waiting

    def knows(self, key: str) -> bool:
        """Whether what this key tells was accepted before."""
        return bool(self._all("SELECT 1 FROM keys WHERE key = ?", [key]))

    def claim(self) -> Item | None:
        """An item that was queued, now running; None where there is none.

        By turns it is the oldest, so that none waits for ever, and the oldest of those that come first in
        their jobs, so that a small job need not wait for all of a large one.
        """
        with self._transaction() as db:
            self._oldest_first = not self._oldest_first
            order = "place" if self._oldest_first else "number, place"
            row = db.execute(
                "UPDATE items SET state = 'running', attempts = attempts + 1 WHERE place ="
                f" (SELECT place FROM items WHERE state = 'queued' ORDER BY {order} LIMIT 1)"
                f" RETURNING {_ITEM}"
            ).fetchone()
        return self._item(row) if row else None

    def finish(
        self,
        item: Item,
        answer: dict[str, Any],
        *,
        evidence: dict[str, Any] | None = None,
        document: bytes | None = None,
    ) -> bool:
        """Keep the answer, what it rests on, and the document to be sent, all or none.

        Returns:
            False if the item is done already, and stays as it is, or was forgotten.
        """
        with self._transaction() as db:
            taken = _done(db, item.item, answer, evidence)
            if taken and document is not None:
                row = [item.item, document, 0, time.time(), None]
                db.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", row)
        return taken

    def failed(self, item: Item, problem: str, *, most: int = MOST_ATTEMPTS) -> bool:
        """Queue an item again that could not be answered; after `most` attempts, `problem` is its answer.

        Returns:
            True if that was the last attempt.
        """
        if item.attempts >= most:
            return self.finish(item, _problem(item.number, problem))
        with self._transaction() as db:
            db.execute("UPDATE items SET state = 'queued' WHERE item = ? AND state = 'running'", [item.item])
        return False

    def give_back(self, item: Item) -> None:
        """Queue an item again that was not tried; the attempt does not count."""
        with self._transaction() as db:
            db.execute(
                "UPDATE items SET state = 'queued', attempts = attempts - 1"
                " WHERE item = ? AND state = 'running'",
                [item.item],
            )

    def restart(self) -> None:
        """Queue again what a dead server was at; what was then begun `MOST_STARTS` times is a problem.

        The server may have died for reasons of its own, so this is more than the attempts of an item that
        kills only the process that answers. Both are counted as one, so that a crash may then be the last.
        """
        with self._lock:
            running = self._all(f"SELECT {_ITEM} FROM items WHERE state = 'running'")
            for row in running:
                self.failed(self._item(row), CRASHED, most=MOST_STARTS)

    def job(self, job: str) -> JobState | None:
        """How far a job is; None where there is none of that id."""
        rows = self._all(
            "SELECT job, count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running'),"
            " count(*) FILTER (WHERE state = 'done'), jobs.source, created"
            " FROM jobs JOIN items USING (job) WHERE job = ? GROUP BY job",
            [job],
        )
        return JobState(*rows[0]) if rows else None

    def items(self, job: str) -> list[ItemState]:
        """The items of a job, in order; none where there is no such job."""
        return self._states("job = ? ORDER BY number", job)

    def item(self, item: str) -> ItemState | None:
        """What is known of an item; None where there is none of that id."""
        return next(iter(self._states("item = ?", item)), None)

    def answers(self, job: str) -> list[dict[str, Any]]:
        """The answers of a job so far, in order, each with its ``item``."""
        return [{"item": one.item, **one.answer} for one in self.items(job) if one.answer is not None]

    def answer(self, item: str) -> dict[str, Any] | None:
        """The answer of an item; None where there is none, or no such item."""
        state = self.item(item)
        return state.answer if state else None

    def forget(self, job: str) -> tuple[list[str], list[Path]]:
        """Forget a job, answered or not, and what is to be sent for it; its key stays known.

        Returns:
            the ids of its items, which may have previews, and the files that nobody will ask for now. None of
            either where there is no such job.
        """
        with self._transaction() as db:
            rows = db.execute("DELETE FROM items WHERE job = ? RETURNING item, state, file", [job]).fetchall()
            db.executemany("DELETE FROM outbox WHERE item = ?", [row[:1] for row in rows])
            db.execute("DELETE FROM jobs WHERE job = ?", [job])
        self.shorten_log()
        queued = [self._absolute(file) for _, state, file in rows if state == "queued"]
        return [row[0] for row in rows], queued

    def expire(self, before: float) -> list[str]:
        """Forget the jobs whose last item was done before that time; what is to be sent stays.

        A document that was refused goes with its answer.

        Returns:
            ids of their items.
        """
        old = "SELECT job FROM items GROUP BY job HAVING count(*) = count(done) AND max(done) < ?"
        items: list[str] = []
        with self._transaction() as db:
            for job in db.execute(old, [before]).fetchall():
                gone = db.execute("DELETE FROM items WHERE job = ? RETURNING item", job).fetchall()
                items += [row[0] for row in gone]
                db.execute("DELETE FROM jobs WHERE job = ?", job)
            forgotten = "item NOT IN (SELECT item FROM items)"
            db.execute(f"DELETE FROM outbox WHERE due = ? AND {forgotten}", [NEVER])
        return items

    def files(self) -> set[Path]:
        """The files that are still wanted: those of items that are not done."""
        rows = self._all("SELECT file FROM items WHERE state IN ('queued', 'running')")
        return {self._absolute(row[0]) for row in rows}

    def counts(self) -> dict[str, int]:
        """Items that are ``queued``, ``running`` or ``done``; documents in the ``outbox`` or ``refused``."""
        found = dict(self._all("SELECT state, count(*) FROM items GROUP BY state"))
        found |= dict(
            self._all("SELECT iif(due = ?, 'refused', 'outbox'), count(*) FROM outbox GROUP BY 1", [NEVER])
        )
        names = ("queued", "running", "done", "outbox", "refused")
        return {name: found.get(name, 0) for name in names}

    def due(self, now: float) -> Outgoing | None:
        """The document that should have been sent first by now; None where none is due."""
        rows = self._all(
            "SELECT item, document, attempts FROM outbox WHERE due <= ? ORDER BY due, item LIMIT 1", [now]
        )
        return Outgoing(*rows[0]) if rows else None

    def sent(self, outgoing: Outgoing) -> None:
        """Take a document out of the outbox: it has arrived, or never will be wanted."""
        with self._transaction() as db:
            db.execute("DELETE FROM outbox WHERE item = ?", [outgoing.item])

    def put_off(self, outgoing: Outgoing, problem: str, until: float) -> None:
        """Send a document later, `until` in seconds since 1970; `problem` says why it could not be sent.

        Until `NEVER`: it was refused, and waits for `send_again`, or until its answer expires.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox SET attempts = attempts + 1, problem = ?, due = ? WHERE item = ?",
                [problem, until, outgoing.item],
            )

    def send_again(self) -> None:
        """Let the documents that were refused be due now."""
        with self._transaction() as db:
            db.execute("UPDATE outbox SET due = ? WHERE due = ?", [time.time(), NEVER])

    def _states(self, which: str, value: str) -> list[ItemState]:
        rows = self._all(f"SELECT item, number, state, answer, evidence FROM items WHERE {which}", [value])
        return [ItemState(*row[:3], *(text and json.loads(text) for text in row[3:])) for row in rows]

    def _item(self, row: Sequence[Any]) -> Item:
        item, job, number, file, source, attempts = row
        return Item(item, job, number, self._absolute(file), source, attempts)

    def _relative(self, file: Path) -> str:
        """A file as it is kept: seen from the queue, so that the whole folder may be moved."""
        return os.path.relpath(file, self._path.parent)

    def _absolute(self, file: str) -> Path:
        return Path(os.path.normpath(self._path.parent / file))


def _done(
    db: sqlite3.Connection, item: str, answer: dict[str, Any], evidence: dict[str, Any] | None = None
) -> bool:
    """Make an item done, if it is there and is not; whether it was."""
    said = [json.dumps(answer), None if evidence is None else json.dumps(evidence)]
    cursor = db.execute(
        "UPDATE items SET state = 'done', answer = ?, evidence = ?, done = ?"
        " WHERE item = ? AND state != 'done'",
        [*said, time.time(), item],
    )
    return cursor.rowcount == 1


def _problem(number: int, problem: str) -> dict[str, Any]:
    """The answer for a file that cannot be used."""
    return records([Answer(number, "", problem=problem)])[0]
