"""What one annotator says of one clip, and the line that the audit trail keeps of it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from apical.errors import WrongCall
from apical.views import NO_VIEW, Vocabulary

CANNOT_TELL = "cannot-tell"
"""The answer of who sees the clip and cannot say which view it shows; it teaches nothing."""
QUALITIES = ("good", "fair", "poor")
KINDS = ("single", "repeat", "review", "wall", "map", "alike", "adjudication", "import", "undo", "redo")
"""How an event came about: see `Event.kind`."""

LONGEST_NAME = 40
LONGEST_NOTE = 500
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogate pairs, other line ends
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # make a text look like another


@dataclass(frozen=True)
class Said:
    """What is said of a clip.

    Attributes:
        view: a view of the vocabulary, `NO_VIEW` or `CANNOT_TELL`; None says nothing: an opinion taken back.
        contrast_agent: whether it was used, or None where nothing is said of it.
        quality: one of `QUALITIES`, or None.
        note: free text, one line.
    """

    view: str | None
    contrast_agent: bool | None = None
    quality: str | None = None
    note: str = ""


NOTHING = Said(None)


@dataclass(frozen=True)
class Guess:
    """What the model said of a clip when it was offered.

    Attributes:
        view: the likeliest view, or None where the model had none.
        probability: of that view, 0 to 1.
        model: which model, such as ``probe 12``.
    """

    view: str | None
    probability: float | None
    model: str


@dataclass(frozen=True)
class Event:
    """One line of the audit trail; it is never changed and never deleted.

    Attributes:
        number: from 1, in the order in which they were written.
        action: what one undo takes back has one; the events of a wall share theirs.
        annotator: who.
        clip: its id.
        kind: one of `KINDS`. A ``repeat`` and an ``adjudication`` leave the annotator's opinion as it is;
            a ``review`` is an opinion of a clip whose label was doubted.
        before: what the annotator had said of the clip until then (an ``adjudication``: as an adjudicator),
            or None where that was nothing.
        after: what is said now.
        guess: what the model said.
        shown: the guess was seen before the answer.
        at: when, ISO 8601 in UTC with milliseconds.
        seconds: how long the answer took, or None.
        of: number of the event that an ``undo`` takes back or a ``redo`` brings back; else None.
    """

    number: int
    action: str
    annotator: str
    clip: str
    kind: str
    before: Said | None
    after: Said
    guess: Guess | None
    shown: bool
    at: str
    seconds: float | None
    of: int | None = None


def check_said(said: Said, vocabulary: Vocabulary) -> None:
    """Check that something can be said.

    Raises:
        WrongCall: the view or the quality is unknown, or the note is too long or holds control characters.
    """
    if said.view not in (None, NO_VIEW, CANNOT_TELL, *vocabulary.names):
        raise WrongCall(
            "the vocabulary has no such view",
            f"name one of {', '.join(vocabulary.names)}, or {NO_VIEW} or {CANNOT_TELL}",
        )
    if said.quality not in (None, *QUALITIES):
        raise WrongCall("there is no such quality", f"give one of {', '.join(QUALITIES)}, or none")
    if len(said.note) > LONGEST_NOTE or not _is_plain(said.note):
        raise WrongCall(
            "the note is too long, or holds control characters or line ends",
            f"write {LONGEST_NOTE} characters at most, on one line",
        )


def check_annotator(text: str) -> str:
    """The name as it is kept: trimmed, single spaces, accents in one spelling (Unicode NFC).

    Raises:
        WrongCall: it is empty, too long, or holds control characters or others that are not seen.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    unseen = any(unicodedata.category(sign) == "Cf" for sign in name)  # two names would look the same
    if not 1 <= len(name) <= LONGEST_NAME or unseen or not _is_plain(name):
        raise WrongCall(
            "the annotator's name is empty or too long, or holds control characters",
            f"give a name of 1 to {LONGEST_NAME} characters",
        )
    return name


def _is_plain(text: str) -> bool:
    return not any(
        unicodedata.category(sign) in _UNSEEN or unicodedata.bidirectional(sign) in _TURNING for sign in text
    )
