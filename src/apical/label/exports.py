"""Labels and the audit trail out of the records, as tables, JSON and DICOM SR; and tables of labels in.

A row of a table is what one person says of one clip. A clip that was adjudicated has one row only, and a
clip of which nobody said anything here has that of the catalogue. So `apical.ingest.labels`, which takes
several rows of a clip for one label if they agree and for none if they differ, reads what is settled.
"""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import polars as pl

from apical.errors import CannotDo
from apical.ingest.tables import csv_for_people
from apical.label.opinions import CANNOT_TELL, Event, Said
from apical.label.records import FILE, Records
from apical.label.reports import Labelled, reports_of, split_names
from apical.label.settle import merge, settle
from apical.label.taking import take_table
from apical.views import Vocabulary

__all__ = [
    "catalogue_labels", "history_csv", "history_json", "labels_csv", "labels_json", "read_state",
    "reports_zip", "settled_labels", "take_table",
]  # fmt: skip
_ROW = {
    "clip": pl.String,
    "view": pl.String,
    "contrast_agent": pl.Boolean,
    "quality": pl.String,
    "note": pl.String,
    "labelled_by": pl.String,
    "adjudicated": pl.Boolean,
}


@contextmanager
def read_state(state: Path) -> Iterator[Records]:
    """The records of a labelling page as they are now, from a copy: they themselves are not changed.

    The page may run meanwhile. Where it was killed, SQLite puts in order what it left, as the page would.

    Args:
        state: its folder.

    Raises:
        CannotDo: there are no such records, or they cannot be read.
    """
    path = state / FILE
    if not path.is_file():
        raise CannotDo(
            f"'{state.name}' holds no records of labels", "give the state folder of 'apical label'"
        )
    with TemporaryDirectory() as folder:
        copy = Path(folder) / FILE
        try:
            with (
                closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
        except sqlite3.Error as error:
            raise CannotDo(
                f"'{FILE}' cannot be read ({type(error).__name__})",
                "give the state folder of 'apical label', and see that it can be read",
            ) from None
        with closing(Records(copy)) as records:
            yield records


def labels_csv(records: Records, table: pl.DataFrame, vocabulary: Vocabulary) -> bytes:
    """All labels as CSV in UTF-8, see the module; safe to open in a spreadsheet.

    Args:
        records: what was said.
        table: the catalogue.
        vocabulary: the views.
    """
    return csv_for_people(pl.DataFrame(_rows(records, table, vocabulary), schema=_ROW))


def labels_json(records: Records, table: pl.DataFrame, vocabulary: Vocabulary) -> bytes:
    """The rows of `labels_csv` as a JSON list."""
    return _json(_rows(records, table, vocabulary))


def history_json(records: Records) -> bytes:
    """The audit trail as a JSON list of events, oldest first."""
    return _json([asdict(event) for event in records.events_after(0)])


def history_csv(records: Records) -> bytes:
    """The audit trail as CSV in UTF-8, a row an event, oldest first."""
    rows = [_flat(event) for event in records.events_after(0)]
    return csv_for_people(pl.DataFrame(rows, schema=_EVENT))


def reports_zip(
    file: IO[bytes],
    records: Records,
    table: pl.DataFrame,
    vocabulary: Vocabulary,
    when: datetime | None = None,
) -> list[str]:
    """Write a zip of the reports of all settled labels, each named by its clip; see `apical.label.reports`.

    Args:
        file: to write to.
        records: what was said.
        table: the catalogue.
        vocabulary: the views.
        when: the time of the reports, with its time zone; now by default.

    Returns:
        a line for each clip that could not be reported on; they also lie in the zip, as ``problems.txt``.

    Raises:
        CannotDo: highdicom is not installed, or the records cannot be read.
    """
    labels = settled_labels(records, table, vocabulary)
    places = dict(table.select("clip", "path").iter_rows())
    problems = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for made in reports_of(labels, places, vocabulary, when or datetime.now().astimezone()):
            if made.content is not None:
                archive.writestr(made.file, made.content)
            else:
                problems.append(f"clip {made.clip}: {made.problem or 'no DICOM file'}")
        if problems:
            archive.writestr("problems.txt", "\n".join(problems) + "\n")
    return problems


def catalogue_labels(table: pl.DataFrame) -> dict[str, Labelled]:
    """The labels of a catalogue, by clip; clips without a view are not in it."""
    labelled = table.filter(pl.col("view").is_not_null())
    return {
        clip: Labelled(Said(view, agent), split_names(by))
        for clip, view, agent, by in labelled.select(
            "clip", "view", "contrast_agent", "labelled_by"
        ).iter_rows()
    }


def settled_labels(records: Records, table: pl.DataFrame, vocabulary: Vocabulary) -> dict[str, Labelled]:
    """The label of each clip of a catalogue that has one, or of which nobody can tell; disputed ones are not.

    Of a clip with opinions it says what people said of contrast agent and quality, and nothing of its file's.
    """
    opinions, adjudications = records.opinions(), records.adjudications()
    merged, _ = merge(table, records, vocabulary)
    own = catalogue_labels(merged)
    labels = {}
    for clip in merged["clip"]:
        said, decided = opinions.get(clip, {}), adjudications.get(clip)
        if not said and not decided:
            if clip in own:
                labels[clip] = own[clip]
            continue
        settled = settle(said, decided)
        if settled.disputed:
            continue
        note = decided[1].note if decided else _notes({name: one.note for name, one in said.items()})
        label = Said(settled.view or CANNOT_TELL, settled.contrast_agent, settled.quality, note)
        if decided:
            labels[clip] = Labelled(label, (decided[0],), True, tuple(sorted(said)))
        else:
            labels[clip] = Labelled(label, tuple(sorted(said)))
    return labels


def _notes(notes: dict[str, str]) -> str:
    """The notes of people that agree on a clip; whose they are, where there are several people."""
    if len(notes) == 1:
        return next(iter(notes.values()))
    return "; ".join(f"{name}: {note}" for name, note in sorted(notes.items()) if note)


def _rows(records: Records, table: pl.DataFrame, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The rows of a table of labels, in the order of the catalogue."""
    opinions, adjudications = records.opinions(), records.adjudications()
    merged, _ = merge(table, records, vocabulary)
    rows = []
    for clip, view, agent, by in merged.select("clip", "view", "contrast_agent", "labelled_by").iter_rows():
        said = dict(opinions.get(clip, {}))
        if clip in adjudications:
            name, decided = adjudications[clip]
            settled = settle(said, (name, decided))
            rows.append(
                _row(
                    clip,
                    Said(decided.view, settled.contrast_agent, settled.quality, decided.note),
                    name,
                    adjudicated=True,
                )
            )
        elif said:
            rows += [_row(clip, one, name) for name, one in sorted(said.items())]
        elif view is not None:
            rows.append(_row(clip, Said(view, agent), by))
    return rows


def _row(clip: str, said: Said, by: str | None, *, adjudicated: bool = False) -> dict[str, Any]:
    return {"clip": clip} | asdict(said) | {"labelled_by": by, "adjudicated": adjudicated}


_SAID = {name: _ROW[name] for name in ("view", "contrast_agent", "quality", "note")}
_EVENT = (
    {"number": pl.Int64, "at": pl.String, "annotator": pl.String, "clip": pl.String, "kind": pl.String}
    | {f"before_{name}": kind for name, kind in _SAID.items()}
    | {f"after_{name}": kind for name, kind in _SAID.items()}
    | {"guess_view": pl.String, "guess_probability": pl.Float64, "guess_model": pl.String}
    | {"shown": pl.Boolean, "seconds": pl.Float64, "action": pl.String, "of": pl.Int64}
)


def _flat(event: Event) -> dict[str, Any]:
    """An event without parts: ``before_view``, ``guess_model`` …"""
    row = asdict(event)
    for part in ("before", "after", "guess"):
        row |= {f"{part}_{name}": value for name, value in (row.pop(part) or {}).items()}
    return row


def _json(rows: list[dict[str, Any]]) -> bytes:
    return (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode()
