"""View vocabularies: names, aliases as sites write them, and DICOM codes.

A *view* is an anatomical standard view. Contrast agent is not a view but its own attribute, so
``A4C with contrast`` reads as the view ``A4C`` and ``contrast_agent=True``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from apical.errors import CannotDo


@dataclass(frozen=True)
class Code:
    """A coded concept, for example ``Code("399214001", "SCT", "Apical four chamber")``."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class View:
    """One standard view.

    Attributes:
        name: the short name used in tables and reports, such as ``A4C``.
        title: the name in words.
        code: its code in DICOM PS3.16 CID 12226, or None where that has no exact concept.
        local_code: Apical's own code (scheme ``99APICAL``), for views without a standard one.
        aliases: other spellings; compared without case, punctuation and spaces.
    """

    name: str
    title: str
    code: Code | None = None
    local_code: str | None = None
    aliases: tuple[str, ...] = ()


NO_VIEW = "none"
"""The label of a clip that shows none of the vocabulary's views: lung, liver, a view nobody teaches.

It teaches nothing, but tells how well such clips are found out. Short for it: `NO_VIEW_WORDS`.
"""
NO_VIEW_WORDS = ("none", "no view", "not a view", "other", "other view")


@dataclass(frozen=True)
class Label:
    """What a site's label text means: a view or `NO_VIEW`, and contrast agent where the text tells."""

    view: str
    contrast_agent: bool | None = None


_CONTRAST = re.compile(
    r"(?<![a-z])(?:(?P<no>without|no|non)[\s_-]*)?(?:(?:with|w/)[\s_-]*)?"
    r"(?:contrast(?:[\s_-]*agent)?|lvo|definity|sonovue|lumason|optison)(?![a-z])",
    re.IGNORECASE,
)


def contrast_agent_in(text: str) -> bool | None:
    """Whether a text says that contrast agent was used, or that it was not; None where it says neither."""
    found = _CONTRAST.search(text)
    return None if found is None else found["no"] is None


def _key(text: str) -> str:
    """What two spellings share: letters, their marks and digits of any script, without case."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in plain if unicodedata.category(sign)[0] in "LMN")


def _text(value: object) -> str:
    return "" if value is None else str(value)


class Vocabulary:
    """The views a classifier can name, in a fixed order.

    Raises:
        CannotDo: two views share a name or an alias, one of these has no letter or digit, or there
            are fewer than two views.
    """

    def __init__(self, views: tuple[View, ...]) -> None:
        self.views = views
        self._by_key: dict[str, View] = {}
        for view in views:
            for text in (view.name, view.title, *view.aliases):
                if not _key(text):
                    raise CannotDo(
                        "the vocabulary has a name, title or alias without letters or digits",
                        "give each view a name, and leave out empty aliases",
                    )
                other = self._by_key.setdefault(_key(text), view)
                if other is not view:
                    raise CannotDo(
                        f"the vocabulary gives '{text}' to both {other.name} and {view.name}",
                        "give each alias to one view only",
                    )
        if len(views) < 2:
            raise CannotDo("the vocabulary has fewer than two views", "list at least two views")

    @property
    def names(self) -> tuple[str, ...]:
        """The short names, in order."""
        return tuple(view.name for view in self.views)

    def __iter__(self) -> Iterator[View]:
        return iter(self.views)

    def __len__(self) -> int:
        return len(self.views)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.views == other.views

    def __hash__(self) -> int:
        return hash(self.views)

    def find(self, text: str) -> Label | None:
        """Read a label as a site writes it; None where it says nothing here.

        ``"apical 4 chamber"`` → A4C; ``"AP4 contrast"`` → A4C with contrast agent; ``"other"`` → `NO_VIEW`,
        if the vocabulary has no such view.
        """
        whole = self._by_key.get(_key(text))
        if whole is not None:
            return Label(whole.name)
        if _key(text) in map(_key, NO_VIEW_WORDS):
            return Label(NO_VIEW)
        found = _CONTRAST.search(text)
        if found is None:
            return None
        rest = text[: found.start()] + " " + text[found.end() :]
        view = self._by_key.get(_key(rest))
        return Label(view.name, contrast_agent=found["no"] is None) if view else None

    @classmethod
    def from_yaml(cls, path: Path) -> Vocabulary:
        """Read a user's own vocabulary.

        The file is a list of views under ``views:``; only ``name`` is required::

            views:
              - name: A4C
                title: apical four-chamber
                code: {value: "399214001", scheme: SCT, meaning: Apical four chamber}
                aliases: [AP4, 4CH]
              - name: my-view

        Raises:
            CannotDo: the file cannot be read as such a list.
        """
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            return cls.from_records(document["views"])
        except (
            OSError,
            ValueError,
            RecursionError,
            yaml.YAMLError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:
            raise CannotDo(
                f"'{path.name}' is no view vocabulary ({type(error).__name__})",
                "write a list under 'views:', each with at least a 'name'",
            ) from None

    @classmethod
    def from_records(cls, records: list[dict[str, Any]]) -> Vocabulary:
        """Build from plain records, as in YAML or a bundle; the inverse of `to_records`."""
        views = []
        for record in records:
            known = {"name", "title", "code", "local_code", "aliases"}
            if set(record) - known:
                raise CannotDo(
                    f"a view of the vocabulary has unknown fields {sorted(set(record) - known)}",
                    f"use only {sorted(known)}",
                )
            code = record.get("code")
            aliases = record.get("aliases")
            if aliases is None or isinstance(aliases, str | int | float):
                aliases = () if aliases is None else (aliases,)
            views.append(
                View(
                    name=_text(record["name"]),
                    title=_text(record.get("title") or record["name"]),
                    code=Code(**{key: str(value) for key, value in code.items()}) if code else None,
                    local_code=record.get("local_code"),
                    aliases=tuple(_text(alias) for alias in aliases),
                )
            )
        return cls(tuple(views))

    def to_records(self) -> list[dict[str, Any]]:
        """Plain records that `from_records` reads back."""
        return [asdict(view) | {"aliases": list(view.aliases)} for view in self.views]


def standard_vocabulary() -> Vocabulary:
    """Apical's 13 standard views, from the YAML file in the package."""
    return Vocabulary.from_yaml(Path(__file__).with_name("standard_views.yaml"))
