"""Which texts of a catalogue may stand on a page or a card.

A scan writes makers and models from a list or under pseudonyms, and modes and stages from fixed words. But a
catalogue may be made by hand, and a free text there may name a person or a place: only what a scan could have
written is shown.
"""

from __future__ import annotations

import re

from apical.ingest.machines import known_maker, known_model

NOT_SHOWN = "another text (not shown)"

MODES = ("2d", "colour", "tissue-doppler", "spectral", "m-mode", "dual", "3d", "report", "other")


def tellable_maker(text: str) -> str:
    """A manufacturer from the list or a pseudonym, else `NOT_SHOWN`."""
    return text if known_maker(text) == text or _is_pseudonym(text) else NOT_SHOWN


def tellable_model(text: str) -> str:
    """A model from the list or a pseudonym, else `NOT_SHOWN`."""
    return text if known_model(text) == text or _is_pseudonym(text) else NOT_SHOWN


def tellable_mode(text: str) -> str:
    """One of `MODES`, else `NOT_SHOWN`."""
    return text if text in MODES else NOT_SHOWN


def tellable_stage(text: str) -> str:
    """A stage of a stress protocol, else `NOT_SHOWN`."""
    return text if re.fullmatch(r"rest|low|peak|recovery|stage \d{1,2}", text) else NOT_SHOWN


def _is_pseudonym(text: str) -> bool:
    return re.fullmatch(r"unlisted-[0-9a-f]{8}", text) is not None
