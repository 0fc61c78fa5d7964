"""The records of the labelling page: tasks, the audit trail, and what catalogues said before.

One SQLite file (`apical.deploy.service.database`). Events are only ever added, and triggers hold the file
itself to that; undo and redo are events too. What stands is worked out from them (`standing`) at opening and
kept in memory for reading; it follows the disk, so nothing is read that a crash could take back.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apical.deploy.service.database import Database
from apical.errors import CannotDo, WrongCall
from apical.label.changes import Changes, redoing, saying, undoing
from apical.label.opinions import Event, Guess, Said
from apical.label.rows import ADD_EVENT, EVENT, TABLES, VERSION, event_of, event_row, guess_of, guess_row
from apical.label.standing import Repeat, Standing

__all__ = ["Conflict", "Original", "Records", "Repeat", "Task"]
FILE = "labels.sqlite"  # in the state folder of the labelling page
OFFERED = ("single", "repeat", "review", "adjudication")  # kinds of a task
TOGETHER = ("wall", "map", "alike", "import")  # kinds of what is said of many clips at once
TASK_DAYS = 7  # so long an offer can be answered at least
_PAGE = 1000  # events read at a time
Original = tuple[str | None, bool | None, str | None]
"""What a catalogue said of a clip itself: view, contrast agent, who labelled it."""


@dataclass(frozen=True)
class Task:
    """A clip offered to an annotator.

    Attributes:
        id: 32 hexadecimal digits.
        annotator: to whom.
        clip: its id.
        kind: one of `OFFERED`.
        guess: what the model said when it was offered.
    """

    id: str
    annotator: str
    clip: str
    kind: str
    guess: Guess | None


class Conflict(CannotDo):
    """Something else was said of the clip meanwhile; nothing was written.

    Attributes:
        event: the latest of that clip, of the annotator or, for an adjudication, of anybody.
    """

    def __init__(self, event: Event) -> None:
        super().__init__(
            "something else was said of this clip meanwhile, in another window",
            "look at what stands there now, and answer again if it is wrong",
        )
        self.event = event


class Records(Database):
    """Opened records, for one process and any number of its threads.

    When a method returns, what it wrote is on the disk, all of it or, after an error, none. A `key` is made
    by the caller for one thing to write and is the same when it tries again; one that is known writes
    nothing and gives the events that were written.

    Args:
        path: the SQLite file; made if it is not there, readable by its owner alone.

    Raises:
        CannotDo: the file cannot be read or written. So does every method.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, VERSION, TABLES)
        with self._transaction() as db:
            db.execute("DELETE FROM tasks WHERE offered < ?", [time.time() - TASK_DAYS * 86400])
        self._standing = Standing()
        kinds = "coalesce((SELECT kind FROM events WHERE number = one.of), kind)"
        for *row, kind in self._all(f"SELECT {EVENT}, {kinds} FROM events AS one ORDER BY number"):
            self._standing.take(event_of(row), kind)

    def offer(self, annotator: str, clips: Sequence[tuple[str, str, Guess | None]]) -> list[str]:
        """Make tasks of clips, with a kind (`OFFERED`) and what the model says of each; gives their ids.

        They can be answered, also more than once, for `TASK_DAYS` and then until the records are next opened.
        """
        now = time.time()
        rows = [
            [secrets.token_hex(16), annotator, clip, _of_kind(kind, OFFERED), *guess_row(guess), now]
            for clip, kind, guess in clips
        ]
        with self._transaction() as db:
            db.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return [str(row[0]) for row in rows]

    def task(self, task: str) -> Task | None:
        """The task of that id; None where there is none, or none any more."""
        rows = self._all(
            "SELECT task, annotator, clip, kind, guess, probability, model FROM tasks WHERE task = ?", [task]
        )
        if not rows:
            return None
        found, annotator, clip, kind, *guess = rows[0]
        return Task(found, annotator, clip, kind, guess_of(*guess))

    def say(
        self,
        task_id: str,
        said: Said,
        *,
        key: str,
        shown: bool,
        seconds: float | None,
        seen: int | None = None,
    ) -> list[Event]:
        """Answer a task.

        A ``repeat`` is kept beside the annotator's opinion, which stays (without an opinion that stands, it
        is a first look: ``single``). An ``adjudication`` decides the clip whatever the opinions are.

        Args:
            task_id: from `offer`.
            said: is not checked, see `opinions.check_said`.
            key: see `Records`.
            shown: what the model says was seen before the answer.
            seconds: how long it took.
            seen: number of the annotator's latest event of that clip that the caller knew, 0 for none; of
                anybody's, for an adjudication; None if it is not to be checked.

        Raises:
            Conflict: there is a later one.
            WrongCall: there is no such task (any more), another annotator used that key, or the seconds are
                negative or no number.
        """
        if seconds is not None and not 0 <= seconds < math.inf:
            raise WrongCall("the seconds of an answer are negative or no number", "give seconds, or none")
        with self._lock:
            task = self.task(task_id)

            def events() -> Changes:
                if task is None:
                    raise WrongCall(
                        "this clip was offered too long ago, or never", "ask for the next clips again"
                    )
                whose = None if task.kind == "adjudication" else task.annotator
                if seen is not None and self.last_event(whose, task.clip) > seen:
                    raise Conflict(self.history(clip=task.clip, annotator=whose, limit=1)[0])
                current = self._standing.opinions.get(task.clip, {})
                kind = "single" if task.kind == "repeat" and task.annotator not in current else task.kind
                about = [(task.clip, said, task.guess)]
                return saying(self._standing, task.annotator, kind, about, shown=shown, seconds=seconds)

            return self._once(key, task.annotator if task else None, events)

    def say_all(
        self,
        annotator: str,
        clips: Sequence[tuple[str, Guess | None]],
        said: Said | Sequence[Said],
        *,
        kind: str,
        key: str,
    ) -> list[Event]:
        """Say something of many clips, as one action.

        Args:
            annotator: who.
            clips: ids, with what the model says of each.
            said: the same of all, or one of each; not checked, see `opinions.check_said`.
            kind: one of `TOGETHER`; of all but an import, the guesses count as seen.
            key: see `Records`.

        Raises:
            WrongCall: there is no such kind, or another annotator used that key.
        """
        _of_kind(kind, TOGETHER)
        each = [said] * len(clips) if isinstance(said, Said) else said
        about = [(clip, one, guess) for (clip, guess), one in zip(clips, each, strict=True)]
        shown = kind != "import"
        return self._once(key, annotator, lambda: saying(self._standing, annotator, kind, about, shown=shown))

    def undo(self, annotator: str, *, key: str) -> list[Event]:
        """Take back the annotator's latest action that is not taken back yet, whichever page it came from.

        Returns:
            the events of taking it back; none if there is nothing to take back.

        Raises:
            WrongCall: another annotator used that key.
        """
        done = self._standing.done
        return self._once(key, annotator, lambda: undoing(self._standing, self._latest(done[annotator])))

    def redo(self, annotator: str, *, key: str) -> list[Event]:
        """Bring back the action that was taken back last; a new action leaves nothing to bring back.

        Returns:
            the events of bringing it back; none if there is nothing to bring back.

        Raises:
            WrongCall: another annotator used that key.
        """
        undone = self._standing.undone
        return self._once(key, annotator, lambda: redoing(self._standing, self._latest(undone[annotator])))

    def remember(self, originals: Mapping[str, Original]) -> None:
        """Keep what the catalogue itself says of clips that get their first event; what is kept stays."""
        rows = [[clip, *original] for clip, original in originals.items()]
        with self._transaction() as db:
            db.executemany("INSERT OR IGNORE INTO originals VALUES (?, ?, ?, ?)", rows)

    def original(self, clip: str) -> Original | None:
        """What the catalogue itself said of a clip; None where that was not remembered."""
        return self.originals([clip]).get(clip)

    def originals(self, clips: Sequence[str]) -> dict[str, Original]:
        """The same of those of many clips that are remembered."""
        rows = self._all(
            "SELECT clip, view, contrast_agent, labelled_by FROM originals"
            " WHERE clip IN (SELECT value FROM json_each(?))",
            [json.dumps(list(clips))],
        )
        return {clip: (view, None if agent is None else bool(agent), by) for clip, view, agent, by in rows}

    def opinions(self) -> Mapping[str, Mapping[str, Said]]:
        """The opinions that stand now, by clip and annotator, as a copy."""
        with self._lock:
            return dict(self._standing.opinions)

    def opinions_of(self, clip: str) -> Mapping[str, Said]:
        """The opinions of one clip that stand now, by annotator."""
        with self._lock:
            return self._standing.opinions.get(clip, {})

    def blind_opinions(self) -> Mapping[str, Mapping[str, Said]]:
        """`opinions` as they were before the clip was first adjudicated by anybody."""
        with self._lock:
            return self._standing.blind()

    def adjudications(self) -> Mapping[str, tuple[str, Said]]:
        """By clip, who decided it last, and how; as a copy."""
        with self._lock:
            return dict(self._standing.adjudications)

    def adjudication_of(self, clip: str) -> tuple[str, Said] | None:
        """Who decided one clip last, and how."""
        with self._lock:
            return self._standing.adjudications.get(clip)

    def repeats(self) -> list[Repeat]:
        """The blind second looks that stand, oldest first."""
        with self._lock:
            return self._standing.repeats()

    def reviewed(self) -> set[str]:
        """The clips whose label was looked at again because it was doubted."""
        with self._lock:
            return set(+self._standing.reviews)

    def took_repeat_back(self, annotator: str, clip: str) -> bool:
        """Whether the latest that the annotator did with the clip was to undo a second look."""
        latest = self.history(clip=clip, annotator=annotator, limit=1)
        undone = latest[0].of if latest and latest[0].kind == "undo" else None
        rows = self._all("SELECT kind FROM events WHERE number = ?", [undone])
        return bool(rows) and rows[0][0] == "repeat"

    def last_event(self, annotator: str | None, clip: str) -> int:
        """Number of the annotator's latest event of that clip, or of anybody's for None; 0 for none."""
        with self._lock:
            last = self._standing.last.get(clip, {})
            return max(last.values(), default=0) if annotator is None else last.get(annotator, 0)

    def counts(self, annotator: str) -> tuple[int, int]:
        """How many clips have an opinion of anybody, and how many one of this annotator."""
        with self._lock:
            return len(self._standing.opinions), self._standing.own[annotator]

    def annotators(self) -> list[str]:
        """Who has ever said something, sorted."""
        with self._lock:
            return sorted({name for of_clip in self._standing.last.values() for name in of_clip})

    def annotators_of(self, clip: str) -> set[str]:
        """Who has ever said something of the clip."""
        with self._lock:
            return set(self._standing.last.get(clip, {}))

    def touched(self) -> set[str]:
        """The clips that ever had an event."""
        with self._lock:
            return set(self._standing.last)

    def version(self) -> int:
        """Number of the latest event; 0 for none."""
        with self._lock:
            return self._standing.version

    def history(
        self,
        *,
        clip: str | None = None,
        annotator: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Events, newest first: those of a clip, of an annotator, with smaller numbers than `before`."""
        wanted = {"clip = ?": clip, "annotator = ?": annotator, "number < ?": before}
        given = {term: value for term, value in wanted.items() if value is not None}
        where = " AND ".join(given) or "true"
        rows = self._all(
            f"SELECT {EVENT} FROM events WHERE {where} ORDER BY number DESC LIMIT ?", [*given.values(), limit]
        )
        return [event_of(row) for row in rows]

    def answered(self, annotator: str, since: str) -> list[str]:
        """When an annotator answered for clips since a time, oldest first; both as `Event.at` has them."""
        rows = self._all(
            "SELECT at FROM events WHERE annotator = ? AND at >= ? AND kind NOT IN ('undo', 'redo', 'import')"
            " ORDER BY number",
            [annotator, since],
        )
        return [str(row[0]) for row in rows]

    def events_after(self, number: int) -> Iterator[Event]:
        """Events with greater numbers, oldest first; also those that are written meanwhile."""
        while rows := self._all(
            f"SELECT {EVENT} FROM events WHERE number > ? ORDER BY number LIMIT ?", [number, _PAGE]
        ):
            yield from map(event_of, rows)
            number = rows[-1][0]

    def _once(self, key: str, annotator: str | None, events: Callable[[], Changes]) -> list[Event]:
        """Write the events that are made, unless the key is known; then those that were written for it."""
        with self._lock:
            with self._transaction() as db:
                row = db.execute("SELECT annotator, action FROM keys WHERE key = ?", [key]).fetchone()
                if row:
                    if annotator not in (None, row[0]):
                        raise WrongCall("another annotator used this key", "make a new key for each answer")
                    return self._of_action(row[1])
                new = events()
                db.executemany(ADD_EVENT, [event_row(event) for event, _ in new])
                action = new[0][0].action if new else None
                db.execute("INSERT INTO keys VALUES (?, ?, ?)", [key, annotator, action])
            for event, kind in new:
                self._standing.take(event, kind)
            return [event for event, _ in new]

    def _latest(self, actions: Sequence[str]) -> list[Event]:
        return self._of_action(actions[-1]) if actions else []

    def _of_action(self, action: str | None) -> list[Event]:
        rows = self._all(f"SELECT {EVENT} FROM events WHERE action = ? ORDER BY number", [action])
        return [event_of(row) for row in rows]


def _of_kind(kind: str, kinds: Sequence[str]) -> str:
    if kind not in kinds:
        raise WrongCall("there is no such kind here", f"give one of {', '.join(kinds)}")
    return kind
