"""What stands after all events so far, in memory: made from the audit trail alone, event by event.

An annotator's actions are taken back in the order opposite to that in which they were done, so what an
annotator says of a clip is a stack: a say puts on top, an undo takes off, a redo puts on again.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from apical.label.opinions import Event, Said


@dataclass(frozen=True)
class Repeat:
    """A blind second look of an annotator at a clip.

    Attributes:
        annotator: who.
        clip: its id.
        first: the annotator's opinion at that time.
        second: what was said without seeing it.
        at: when, see `Event.at`.
    """

    annotator: str
    clip: str
    first: Said
    second: Said
    at: str


_Stack = list[tuple[int, Said]]  # numbers of the events that said it, and what; the last is what stands
_Stacks = dict[str, dict[str, _Stack]]  # of clips, of annotators


class Standing:
    """What stands after the events that were taken in; `records.Records` sees to threads.

    Attributes:
        opinions: current opinions by clip and annotator; those that say nothing are not in it. What it holds
            for a clip is never changed, only replaced.
        adjudications: by clip, the latest that stands.
        last: number of the latest event by clip and annotator.
        undone: actions that can be redone by annotator, the next one last.
        done: the same of those that can be undone.
        own: how many opinions each annotator has.
        reviews: by clip, how many reviews stand.
        version: number of the latest event.
    """

    def __init__(self) -> None:
        self.opinions: dict[str, Mapping[str, Said]] = {}
        self.adjudications: dict[str, tuple[str, Said]] = {}
        self.last: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.done: defaultdict[str, list[str]] = defaultdict(list)
        self.undone: defaultdict[str, list[str]] = defaultdict(list)
        self.own: Counter[str] = Counter()
        self.reviews: Counter[str] = Counter()
        self.version = 0
        self._action = ""
        self._said: _Stacks = {}
        self._adjudged: _Stacks = {}
        self._repeats: dict[int, Repeat] = {}
        self._first_adjudication: dict[str, int] = {}

    def take(self, event: Event, kind: str) -> None:
        """Take in the next event.

        Args:
            event: its number is the next one.
            kind: of the event that is undone or redone; else that of the event itself.
        """
        self.version = event.number
        self.last[event.clip][event.annotator] = event.number
        self._move_action(event)
        if kind == "repeat":
            self._take_repeat(event)
        elif kind == "adjudication":
            self._first_adjudication.setdefault(event.clip, event.number)
            _put(self._adjudged, event)
            self._adjudicate(event.clip)
        else:
            if kind == "review":
                self.reviews[event.clip] += -1 if event.kind == "undo" else 1
            _put(self._said, event)
            self._opine(event.clip, event.annotator)

    def said(self, annotator: str, clip: str, kind: str) -> Said | None:
        """What an event of this kind would find said before it; None for nothing."""
        stacks = self._adjudged if kind == "adjudication" else self._said
        stack = stacks.get(clip, {}).get(annotator)
        return stack[-1][1] if stack else None

    def repeats(self) -> list[Repeat]:
        """The second looks that stand, oldest first; those that said nothing are not in it."""
        return [one for _, one in sorted(self._repeats.items()) if one.second.view is not None]

    def blind(self) -> dict[str, dict[str, Said]]:
        """The opinions as they were before the clip was first adjudicated by anybody."""
        found: dict[str, dict[str, Said]] = {}
        for clip, stacks in self._said.items():
            end = self._first_adjudication.get(clip, math.inf)
            for annotator, stack in stacks.items():
                said = next((said for number, said in reversed(stack) if number < end), None)
                if said is not None and said.view is not None:
                    found.setdefault(clip, {})[annotator] = said
        return found

    def _take_repeat(self, event: Event) -> None:
        if event.kind == "undo":
            del self._repeats[_said_by(event)]
        elif event.before is not None:
            self._repeats[_said_by(event)] = Repeat(
                event.annotator, event.clip, event.before, event.after, event.at
            )

    def _opine(self, clip: str, annotator: str) -> None:
        """See what the annotator's opinion of the clip is now."""
        others = {name: said for name, said in self.opinions.get(clip, {}).items() if name != annotator}
        stack = self._said[clip][annotator]
        opinions = others | ({annotator: stack[-1][1]} if _says_something(stack) else {})
        self.own[annotator] += len(opinions) - len(self.opinions.get(clip, {}))
        if opinions:
            self.opinions[clip] = opinions
        else:
            self.opinions.pop(clip, None)

    def _adjudicate(self, clip: str) -> None:
        """See whose adjudication of the clip is the latest now."""
        standing = [
            (*stack[-1], annotator)
            for annotator, stack in self._adjudged[clip].items()
            if _says_something(stack)
        ]
        if standing:
            _, said, annotator = max(standing, key=lambda one: one[0])
            self.adjudications[clip] = (annotator, said)
        else:
            self.adjudications.pop(clip, None)

    def _move_action(self, event: Event) -> None:
        """See what can be undone and redone now; the events of an action follow each other."""
        if event.action == self._action:
            return
        self._action = event.action
        done, undone = self.done[event.annotator], self.undone[event.annotator]
        if event.kind == "undo":
            undone.append(done.pop())
        elif event.kind == "redo":
            done.append(undone.pop())
        elif event.kind != "import":  # who imported it may be somebody else
            done.append(event.action)
            undone.clear()


def _put(stacks: _Stacks, event: Event) -> None:
    stack = stacks.setdefault(event.clip, {}).setdefault(event.annotator, [])
    if event.kind == "undo":
        stack.pop()
    else:
        stack.append((_said_by(event), event.after))


def _said_by(event: Event) -> int:
    """Number of the event that said it first."""
    return event.number if event.of is None else event.of


def _says_something(stack: _Stack) -> bool:
    return bool(stack) and stack[-1][1].view is not None
