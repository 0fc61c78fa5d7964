"""How the records lie in SQLite: the tables, and events as their rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from apical.label.opinions import Event, Guess, Said

VERSION = 1  # of the tables
TABLES = """
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, action TEXT NOT NULL, annotator TEXT NOT NULL,
    clip TEXT NOT NULL, kind TEXT NOT NULL, before TEXT, after TEXT NOT NULL, guess TEXT, probability REAL,
    model TEXT, shown INTEGER NOT NULL, at TEXT NOT NULL, seconds REAL, of INTEGER);
CREATE INDEX IF NOT EXISTS events_of_clip ON events (clip);
CREATE INDEX IF NOT EXISTS events_of_annotator ON events (annotator);
CREATE INDEX IF NOT EXISTS events_of_action ON events (action);
CREATE TRIGGER IF NOT EXISTS events_stay BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER IF NOT EXISTS events_stay_as_they_are BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, annotator TEXT NOT NULL, action TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks (task TEXT PRIMARY KEY, annotator TEXT NOT NULL, clip TEXT NOT NULL,
    kind TEXT NOT NULL, guess TEXT, probability REAL, model TEXT, offered REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_by_age ON tasks (offered);
CREATE TABLE IF NOT EXISTS originals (clip TEXT PRIMARY KEY, view TEXT, contrast_agent INTEGER,
    labelled_by TEXT) WITHOUT ROWID;
"""
EVENT = (
    "number, action, annotator, clip, kind, before, after, guess, probability, model, shown, at, seconds, of"
)
ADD_EVENT = f"INSERT INTO events ({EVENT}) VALUES ({', '.join('?' * len(EVENT.split(',')))})"


def event_row(event: Event) -> list[Any]:
    """The values of `EVENT`'s columns."""
    said = [None if one is None else _text(one) for one in (event.before, event.after)]
    start = [event.number, event.action, event.annotator, event.clip, event.kind]
    return [*start, *said, *guess_row(event.guess), event.shown, event.at, event.seconds, event.of]


def event_of(row: Sequence[Any]) -> Event:
    """The inverse of `event_row`."""
    number, action, annotator, clip, kind, before, after, *guess, shown, at, seconds, of = row
    was = None if before is None else _said(before)
    return Event(
        number,
        action,
        annotator,
        clip,
        kind,
        was,
        _said(after),
        guess_of(*guess),
        bool(shown),
        at,
        seconds,
        of,
    )


def guess_row(guess: Guess | None) -> tuple[str | None, float | None, str | None]:
    """The values of the columns guess, probability and model."""
    return (None, None, None) if guess is None else (guess.view, guess.probability, guess.model)


def guess_of(view: str | None, probability: float | None, model: str | None) -> Guess | None:
    """The inverse of `guess_row`."""
    return None if model is None else Guess(view, probability, model)


@lru_cache(maxsize=4096)  # most say nothing but a view
def _text(said: Said) -> str:
    return json.dumps(asdict(said), ensure_ascii=False)


@lru_cache(maxsize=4096)
def _said(text: str) -> Said:
    return Said(**json.loads(text))
