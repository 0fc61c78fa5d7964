"""One label a clip from what several annotators said of it, and those labels in a catalogue."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from apical.catalogue import SCHEMA, conform
from apical.errors import CannotDo
from apical.label.opinions import CANNOT_TELL, Said
from apical.label.records import Original, Records
from apical.views import NO_VIEW, Vocabulary

_Label = Original
_LABEL = ("view", "contrast_agent", "labelled_by")
_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True)
class Settled:
    """A clip's one label.

    Attributes:
        view: a view or `NO_VIEW`; None where there is no opinion, nobody can tell, or people differ.
        contrast_agent: whether it was used; None where nobody says, or people differ.
        quality: the same.
        by: who said so, names in order joined by ``", "``; who decided, if somebody did.
        disputed: people differ on the view, and nobody has decided.
    """

    view: str | None
    contrast_agent: bool | None
    quality: str | None
    by: str
    disputed: bool


@dataclass(frozen=True)
class MergeReport:
    """What became of the labels of a catalogue.

    Attributes:
        labelled: clips that have a view now and had none.
        changed: clips with a view whose view or contrast agent is another now.
        cleared: clips that had a view and have none now.
        disputed: clips whose opinions differ; they have no view.
        cannot_tell: clips of which all who said something, or who decided, cannot tell the view.
    """

    labelled: int
    changed: int
    cleared: int
    disputed: int
    cannot_tell: int


def settle(opinions: Mapping[str, Said], adjudication: tuple[str, Said] | None) -> Settled:
    """Settle what several annotators say of one clip, by name; an adjudication decides.

    Who cannot tell differs from who names a view. Who says nothing of contrast agent or quality does not
    differ from who does; where the adjudicator says nothing of them, the opinions count.
    """
    agent = _one(said.contrast_agent for said in opinions.values())
    quality = _one(said.quality for said in opinions.values())
    by = ", ".join(sorted(opinions))
    views = {said.view for said in opinions.values()}
    if adjudication is not None:
        by, said = adjudication
        views = {said.view}
        agent = agent if said.contrast_agent is None else said.contrast_agent
        quality = said.quality or quality
    view = _one(views)
    return Settled(None if view == CANNOT_TELL else view, agent, quality, by, disputed=len(views) > 1)


def merge(table: pl.DataFrame, records: Records, vocabulary: Vocabulary) -> tuple[pl.DataFrame, MergeReport]:
    """Take what is settled into a catalogue; to do so again changes nothing more.

    A clip with opinions gets exactly the view that is settled, none where people differ or cannot tell, and
    ``labelled_by`` where it has one. Contrast agent is the catalogue's own where nobody says anything of it.
    A clip whose opinions were all taken back gets its own label back, if what stands there came from here.
    Other clips stay as they are.

    Args:
        table: a catalogue.
        records: what was said.
        vocabulary: the views.

    Returns:
        the catalogue, and what became of the labels.

    Raises:
        CannotDo: a settled view is none of the vocabulary's, or the records cannot be read.
    """
    touched = records.touched()  # first: what is said from now on is for the next time
    opinions, adjudications = records.opinions(), records.adjudications()
    originals = records.originals(list(touched))
    merged: list[tuple[str, _Label, _Label]] = []  # clips, what stood there, what stands there now
    disputed = cannot_tell = 0
    for clip, *columns in table.select("clip", *_LABEL).iter_rows():
        if clip not in touched:
            continue
        label: _Label = (columns[0], columns[1], columns[2])
        original = originals.get(clip, label)
        said, decided = opinions.get(clip, {}), adjudications.get(clip)
        if said or decided:
            settled = settle(said, decided)
            disputed += settled.disputed
            cannot_tell += settled.view is None and not settled.disputed
            merged.append((clip, label, _settled_label(settled, said, original[1])))
        elif _is_from_here(label, records.annotators_of(clip)):
            merged.append((clip, label, original))
    if not {new[0] for _, _, new in merged} <= {None, NO_VIEW, *vocabulary.names}:
        raise CannotDo(
            "some clips were labelled with views that the vocabulary does not have",
            "start with the vocabulary with which they were labelled",
        )
    report = MergeReport(
        labelled=sum(old[0] is None and new[0] is not None for _, old, new in merged),
        changed=sum(None not in (old[0], new[0]) and old[:2] != new[:2] for _, old, new in merged),
        cleared=sum(old[0] is not None and new[0] is None for _, old, new in merged),
        disputed=disputed,
        cannot_tell=cannot_tell,
    )
    return conform(_with_labels(table, {clip: new for clip, _, new in merged})), report


def _settled_label(settled: Settled, opinions: Mapping[str, Said], own_agent: bool | None) -> _Label:
    """What a catalogue is to say of a clip, where it said `own_agent` of contrast agent itself."""
    silent = settled.contrast_agent is None and all(said.contrast_agent is None for said in opinions.values())
    agent = own_agent if silent else settled.contrast_agent
    return settled.view, agent, None if settled.view is None else settled.by


def _is_from_here(label: _Label, annotators: set[str]) -> bool:
    """Whether an earlier merge could have left this label: by these annotators, or none at all."""
    view, _, by = label
    names = {part for name in annotators for part in name.split(", ")}
    return view is None if by is None else set(by.split(", ")) <= names


def _with_labels(table: pl.DataFrame, labels: Mapping[str, _Label]) -> pl.DataFrame:
    """A catalogue in which some clips have other labels."""
    new = pl.DataFrame(
        [(clip, *label) for clip, label in labels.items()],
        schema={"clip": pl.String} | {f"{name} new": SCHEMA[name] for name in _LABEL},
        orient="row",
    )
    joined = table.join(new.with_columns(here=True), on="clip", how="left", maintain_order="left")
    return joined.with_columns(
        pl.when("here").then(f"{name} new").otherwise(name).alias(name) for name in _LABEL
    ).select(table.columns)


def _one(values: Iterable[_T | None]) -> _T | None:
    """The value that all share which are not None; None where there are several, or none."""
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None
