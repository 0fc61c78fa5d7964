"""The events of one action: of saying something, of taking it back, of bringing it back."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from apical.label.opinions import NOTHING, Event, Guess, Said
from apical.label.standing import Standing

Changes = list[tuple[Event, str]]
"""Events, each with the kind that `Standing.take` wants."""


def saying(
    standing: Standing,
    annotator: str,
    kind: str,
    about: Sequence[tuple[str, Said, Guess | None]],
    *,
    shown: bool,
    seconds: float | None = None,
) -> Changes:
    """Say something of clips; see `Event` for the arguments."""
    action, at = secrets.token_hex(16), _now()
    earlier: dict[str, Said] = {}
    changes: Changes = []
    for number, (clip, said, guess) in enumerate(about, start=standing.version + 1):
        before = earlier.get(clip) or standing.said(annotator, clip, kind)
        earlier[clip] = said
        event = Event(number, action, annotator, clip, kind, before, said, guess, shown, at, seconds)
        changes.append((event, kind))
    return changes


def undoing(standing: Standing, events: Sequence[Event]) -> Changes:
    """Take back the events of an action."""
    return _turn(standing, "undo", [(one, one.after, one.before or NOTHING) for one in reversed(events)])


def redoing(standing: Standing, events: Sequence[Event]) -> Changes:
    """Bring back the events of an action."""
    return _turn(standing, "redo", [(one, one.before, one.after) for one in events])


def _turn(standing: Standing, kind: str, turns: Sequence[tuple[Event, Said | None, Said]]) -> Changes:
    """Events of others, with what is said before and after them."""
    action, at = secrets.token_hex(16), _now()
    changes: Changes = []
    for number, (one, before, after) in enumerate(turns, start=standing.version + 1):
        event = Event(
            number, action, one.annotator, one.clip, kind, before, after, None, False, at, None, one.number
        )
        changes.append((event, one.kind))
    return changes


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
