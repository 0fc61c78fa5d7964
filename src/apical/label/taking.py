"""Tables of labels into the records: each line counts as said by whoever it names."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from apical.errors import WrongCall
from apical.ingest.label_report import count, some
from apical.ingest.labels import TRUTH
from apical.ingest.pseudonyms import clip_id_of_uid
from apical.ingest.tables import Row, UnknownColumns, read_table
from apical.label.opinions import CANNOT_TELL, Said, check_annotator, check_said
from apical.label.records import Original, Records
from apical.label.reports import split_names
from apical.views import Vocabulary

_ALSO = ("quality", "note")  # columns beside those of every table of labels
NO_CLIP = "of no clip of the catalogue"
NO_VIEW_TOLD = "without a view"
NOT_UNDERSTOOD = "with a view, contrast agent, quality or note that is not understood"
NO_NAME = "with a name that no annotator can have"
CONTRADICTED = "that contradict another one of the same person, not taken"


def take_table(
    records: Records,
    annotator: str,
    content: bytes,
    form: Literal["csv", "json"],
    vocabulary: Vocabulary,
    clips: Container[str],
    *,
    originals: Callable[[Iterable[str]], Mapping[str, Original]] | None = None,
) -> tuple[int, list[str]]:
    """Take a table of labels into the records, one action for each person named in it.

    Columns: ``clip`` or ``SOPInstanceUID``, ``view`` (aliases count, and `CANNOT_TELL`), ``contrast_agent``,
    ``quality``, ``note``, ``labelled_by`` (several names joined by ``", "`` say the same); usual other names
    are understood. What stands already, here or in the catalogue, is not said again.

    Args:
        records: takes what is said.
        annotator: who says what names nobody.
        content: the file.
        form: CSV, or JSON of a list of records.
        vocabulary: the views.
        clips: ids of the catalogue.
        originals: clips → what the catalogue itself says of them, to be remembered.

    Returns:
        how many clips were labelled, or labelled otherwise, and a line for each kind of rows that were not
        used; no text of the table is in it.

    Raises:
        WrongCall: the table does not tell clips and views.
        CannotDo: it cannot be read, or the records cannot be written.
    """
    said: dict[str, dict[str, tuple[int, Said]]] = {}
    problems: dict[str, list[int]] = {}
    contradicted: set[tuple[str, str]] = set()
    known = records.annotators()
    for number, row in enumerate(_read(content, form), start=1):
        clip = _clip(row, clips)
        try:
            if clip is None:
                raise _Unusable(NO_CLIP)
            label = _said(row, vocabulary)
            names = _names(row, annotator, known)
        except _Unusable as problem:
            problems.setdefault(str(problem), []).append(number)
            continue
        for name in names:
            first, other = said.setdefault(name, {}).setdefault(clip, (number, label))
            if other != label:
                contradicted.add((name, clip))
                problems.setdefault(CONTRADICTED, []).extend({first, number})
    for name, clip in contradicted:
        del said[name][clip]
    labelled = _say(records, said, originals)
    lines = []
    for kind, rows in problems.items():
        numbers = sorted(set(rows))
        lines.append(f"{count(len(numbers), 'row')} {kind} ({some(numbers)})")
    return labelled, lines


class _Unusable(Exception):
    """A row that is not used, and why."""


def _read(content: bytes, form: str) -> list[Row]:
    """The rows of a table."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"labels.{form}"
        path.write_bytes(content)
        try:
            return read_table(path, also=_ALSO).rows
        except UnknownColumns:
            raise WrongCall(
                "the table does not tell clips and views", "name its columns clip, view, labelled_by"
            ) from None


def _clip(row: Row, clips: Container[str]) -> str | None:
    """The one clip that a row names."""
    named = {row[name] for name in ("clip",) if name in row}
    if "sopinstanceuid" in row:
        with suppress(UnicodeError):  # half of a surrogate pair, which JSON can hold
            named.add(clip_id_of_uid(row["sopinstanceuid"]))
    clip = named.pop() if len(named) == 1 else None
    return clip if clip is not None and clip in clips else None


def _said(row: Row, vocabulary: Vocabulary) -> Said:
    """What a row says; raises `_Unusable`."""
    if "view" not in row:
        raise _Unusable(NO_VIEW_TOLD)
    agent = None
    if row["view"] == CANNOT_TELL:
        view = CANNOT_TELL
    else:
        label = vocabulary.find(row["view"])
        if label is None:
            raise _Unusable(NOT_UNDERSTOOD)
        view, agent = label.view, label.contrast_agent
    if "contrast_agent" in row:
        told = TRUTH.get(row["contrast_agent"].lower())
        if told is None or agent not in (None, told):
            raise _Unusable(NOT_UNDERSTOOD)
        agent = told
    quality = row["quality"].lower() if "quality" in row else None
    said = Said(view, agent, quality, row.get("note", ""))
    try:
        check_said(said, vocabulary)
    except WrongCall:
        raise _Unusable(NOT_UNDERSTOOD) from None
    return said


def _names(row: Row, annotator: str, known: Container[str]) -> list[str]:
    """Who says what a row says; a name of the `known` ones may hold a comma. Raises `_Unusable`."""
    by = row.get("labelled_by", "")
    try:
        return [by] if by in known else [check_annotator(name) for name in split_names(by) or (annotator,)]
    except WrongCall:
        raise _Unusable(NO_NAME) from None


def _say(
    records: Records,
    said: Mapping[str, Mapping[str, tuple[int, Said]]],
    originals: Callable[[Iterable[str]], Mapping[str, Original]] | None,
) -> int:
    """Say what is new; gives the number of clips of which something new is said."""
    about = {clip for of_name in said.values() for clip in of_name}
    own = dict(originals(sorted(about))) if originals else {}
    untouched = about - records.touched()
    new: set[str] = set()
    for name, of_name in sorted(said.items()):
        news = {}
        for clip, (_, label) in of_name.items():
            if clip in untouched and clip in own and _is_own(label, name, own[clip]):
                continue
            if records.opinions_of(clip).get(name) != label:
                news[clip] = label
        if news:
            records.remember({clip: own[clip] for clip in news if clip in own})
            records.say_all(
                name,
                [(clip, None) for clip in news],
                list(news.values()),
                kind="import",
                key=secrets.token_hex(16),
            )
            new |= set(news)
    return len(new)


def _is_own(label: Said, name: str, original: Original) -> bool:
    """Whether it is what the catalogue says itself."""
    view, agent, by = original
    names = split_names(by)
    return label == Said(view, agent) and (name in names or not names)
