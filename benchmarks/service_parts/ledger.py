"""What clients were promised and what they were told, and whether the two agree: the check of it all."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from service_parts.files import sight

CRASHED = "the decoder crashed"


class Ledger:
    """Jobs that were accepted, and their answers, of any number of threads.

    Args:
        known: the right answers, by piece; of other pieces the first answer counts.

    Attributes:
        wrong: how often what went wrong.
        crashed: items that were given up after three crashes.
    """

    def __init__(self, known: dict[str, dict[str, Any]]) -> None:
        self._known, self._lock = dict(known), threading.Lock()
        self.jobs: dict[str, list[str]] = {}
        self._pieces: dict[str, str] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self.wrong: Counter[str] = Counter()
        self.crashed: set[str] = set()

    @property
    def items(self) -> set[str]:
        """All items that were accepted."""
        return set(self._pieces)

    def accepted(self, job: str, items: list[dict[str, Any]], pieces: list[str]) -> None:
        """A 202 was read."""
        with self._lock:
            ids = [one["item"] for one in items]
            self._note(job in self.jobs, "a job's id given twice")
            self._note([one["number"] for one in items] != list(range(1, len(pieces) + 1)), "wrong numbers")
            self._note(len(set(ids) - set(self._pieces)) != len(ids), "an item's id given twice")
            self.jobs[job] = ids
            self._pieces |= dict(zip(ids, pieces, strict=False))

    def answered(self, job: str, said: dict[str, Any]) -> None:
        """A job is done; may be called again for the same, which must then be as it was."""
        answers = said["answers"]
        with self._lock:
            self._note([one["item"] for one in answers] != self.jobs[job], "lost, doubled or foreign answers")
            self._note(
                [one["number"] for one in answers] != list(range(1, len(answers) + 1)), "wrong numbers"
            )
            for one in answers:
                if one["item"] in self._pieces:
                    self._check(one)

    def _check(self, answer: dict[str, Any]) -> None:
        item = answer["item"]
        self._note(self._told.setdefault(item, answer) != answer, "an answer that changed")
        if answer["problem"] == CRASHED:
            self.crashed.add(item)
            return
        right = self._known.setdefault(self._pieces[item], sight(answer))
        self._note(right != sight(answer), "an answer that differs from the library's for the same file")

    def unanswered(self) -> int:
        """Items that were accepted and of which nothing was told."""
        return len(self._pieces.keys() - self._told.keys())

    def _note(self, is_wrong: bool, what: str) -> None:
        self.wrong[what] += is_wrong

    def faults(self) -> list[str]:
        """All that is wrong, in words; none if all is well."""
        lost = self.unanswered()
        found = [f"{count} × {what}" for what, count in self.wrong.items() if count]
        return found + ([f"{lost} items were never answered"] if lost else [])


class Rows:
    """What a stopped server left in its queue: items with how often each was tried, and what is undone."""

    def __init__(self, state: Path) -> None:
        with sqlite3.connect(f"file:{state / 'queue.sqlite'}?mode=ro", uri=True) as db:
            rows = db.execute("SELECT item, source, state, attempts, answer FROM items").fetchall()
            self.outbox = db.execute("SELECT count(*) FROM outbox").fetchone()[0]
        self.items = {row[0] for row in rows}
        self.undone = sum(row[2] != "done" or row[4] is None for row in rows)
        self.attempts = {row[0]: row[3] for row in rows}
        self.answers = {row[0]: row[4] for row in rows}
