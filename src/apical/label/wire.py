"""Tasks, opinions and events as the page gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from apical.label.board import Label
from apical.label.opinions import Event, Said
from apical.label.parts import Parts
from apical.label.tasks import Offered


def item_json(parts: Parts, annotator: str, offer: Offered) -> dict[str, Any]:
    """A clip to look at. That somebody has seen it before does not show, unless it is to be decided."""
    clip, kind, guess = offer.wanted.clip, offer.wanted.kind, offer.guess
    opinions = parts.records.opinions_of(clip)
    own = None if kind == "repeat" else opinions.get(annotator)
    whose = None if kind == "adjudication" else annotator
    return {
        "task": offer.task,
        "clip": clip,
        "guess": guess and guess.view,
        "probability": guess and guess.probability,
        "why": offer.wanted.why,
        "said": own and asdict(own),
        "seen": 0 if kind == "repeat" else parts.records.last_event(whose, clip),
        "opinions": opinions_json(opinions) if kind == "adjudication" else [],
        "likelier": offer.wanted.likelier,
        "label": parts.board.label(clip).view if kind == "review" else None,
        "agent": parts.board.agent(clip),
        "facts": parts.board.facts(clip, identifiers=parts.settings.show_identifiers),
    }


def opinions_json(opinions: Mapping[str, Said]) -> list[dict[str, Any]]:
    """What people say of a clip, by name."""
    return [{"annotator": name, "said": asdict(said)} for name, said in sorted(opinions.items())]


def settled_json(label: Label) -> dict[str, Any] | None:
    """What a clip counts as; None while nobody knows."""
    if label.view is None:
        return None
    return asdict(Said(label.view, label.contrast_agent))


def event_json(event: Event) -> dict[str, Any]:
    """A line of the audit trail."""
    told = asdict(event)
    del told["action"]
    return told


def tile_json(parts: Parts, annotator: str, row: int, likeness: float | None = None) -> dict[str, Any]:
    """A clip on a wall."""
    clip = str(parts.board.clips.clip[row])
    guess = parts.tasks.guess(clip, parts.coach.advice)
    own = parts.records.opinions_of(clip).get(annotator)
    return {
        "clip": clip,
        "guess": guess and guess.view,
        "probability": guess and guess.probability,
        "label": parts.board.label(clip).view,
        "own": own and own.view,
        "likeness": likeness,
    }
