"""Labels in and out of a catalogue. Nothing is guessed: what does not fit is reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import polars as pl

from apical.catalogue import SPLITS, conform
from apical.errors import CannotDo, WrongCall
from apical.ingest.label_report import LabelReport
from apical.ingest.places import archive_of, as_place, is_remote, member_of
from apical.ingest.pseudonyms import Pseudonyms, clip_id_of_uid, tidy
from apical.ingest.rescan import unite
from apical.ingest.tables import Row, read_table, write_table_for_people
from apical.views import Vocabulary

NO_VIEWS = "no column is known to tell views; --column view=NAME says which one does"
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
"""What a cell can say of a fact that holds or does not."""
_UPDATED = ("view", "contrast_agent", "labelled_by", "patient", "study", "split")


def import_labels(
    table: pl.DataFrame,
    labels: Path,
    vocabulary: Vocabulary,
    *,
    root: Path | str | None = None,
    pseudonyms: Pseudonyms | None = None,
    columns: Mapping[str, str] | None = None,
) -> tuple[pl.DataFrame, LabelReport]:
    """Take labels, and what else a table says of clips, into a catalogue.

    A row is of a clip or a file. Columns: one or more of ``clip``, ``SOPInstanceUID``, ``file`` to find the
    clip; ``view``, ``contrast_agent``, ``labelled_by``, ``patient``, ``study``, ``split`` to set. Usual
    other names are understood, and `columns` tells the rest. Other columns are passed over, and an empty
    cell says nothing. A file name without a folder finds a clip anywhere, with or without its suffix, if only
    one has that name. ``labelled_by`` counts only in a row with a view that is used. Clips without a
    split get that of their patient.

    Args:
        table: a catalogue.
        labels: CSV, Excel or JSON, see `apical.ingest.tables`.
        vocabulary: what the labels may be; aliases count, and may also tell of contrast agent.
        root: folder that relative files start from; that of `labels` by default.
        pseudonyms: needed if there is a column ``patient`` or ``study``: those are original
            identifiers and enter as pseudonyms.
        columns: our names of columns → the table's.

    Returns:
        the catalogue, and what became of the labels.

    Raises:
        UnknownColumns: no column is known to find clips.
        WrongCall: the table names patients without `pseudonyms`, or has no such column as `columns` says.
        CannotDo: it cannot be read, no row finds a clip, or a split is unknown; the texts of the table
            are not quoted.
        PatientOverlap: a patient would stand in two splits.
    """
    content = read_table(labels, columns)
    root = root or labels.parent
    table, report = apply_rows(table, content.rows, content.columns, vocabulary, root, pseudonyms)
    if "view" not in content.columns and len(content.header) > len(content.columns):
        report = replace(report, notes=(*report.notes, NO_VIEWS))
    return table, report


def apply_rows(
    table: pl.DataFrame,
    rows: list[Row],
    columns: set[str],
    vocabulary: Vocabulary,
    root: Path | str,
    pseudonyms: Pseudonyms | None,
) -> tuple[pl.DataFrame, LabelReport]:
    """`import_labels` with the rows of a table, under our names of its columns."""
    if {row["split"] for row in rows if "split" in row} - set(SPLITS):
        raise CannotDo(
            "the labels have a split that is none", f"use only {', '.join(SPLITS)}, or leave it empty"
        )
    if columns & {"patient", "study"} and pseudonyms is None:
        raise WrongCall("the labels name patients or studies", "give the key of the pseudonyms with --salt")
    find = _finder(table, as_place(root))
    said: dict[str, list[tuple[int, Row]]] = {}
    unknown_clips = []
    for number, row in enumerate(rows, start=1):
        clip = find(row)
        if clip is None:
            unknown_clips.append(number)
        else:
            said.setdefault(clip, []).append((number, row))
    if not said:
        raise CannotDo(
            "no row of the labels names a clip of the catalogue",
            "let the column 'file' start from the folder of the table, or use 'apical labels import --root'",
        )

    unknown: dict[str, list[int]] = {}
    updates = [_update(clip, rows, vocabulary, pseudonyms, unknown) for clip, rows in said.items()]
    conflicts = [update["clip"] for update in updates if update.pop("conflict")]
    contradictions: dict[str, list[str]] = {}
    for update in updates:
        for column in update.pop("contradictions"):
            contradictions.setdefault(column, []).append(update["clip"])
    schema = {"clip": pl.String} | {f"{name} new": table.schema[name] for name in _UPDATED}
    new = pl.DataFrame(updates, schema=schema)
    joined = table.join(new, on="clip", how="left", maintain_order="left")
    changed = joined.with_columns(pl.coalesce(f"{name} new", name).alias(name) for name in _UPDATED)
    if "patient" in columns:
        changed = _spread_patients(joined, changed)
    cleared = pl.col("clip").is_in(conflicts)
    changed = changed.with_columns(
        pl.when(cleared).then(None).otherwise(pl.col(name)).alias(name) for name in ("view", "labelled_by")
    )
    report = LabelReport(
        matched=len(said),
        labelled=new["view new"].count(),
        unknown_clips=tuple(unknown_clips),
        unknown_labels={text: tuple(numbers) for text, numbers in sorted(unknown.items())},
        conflicts=tuple(conflicts),
        contradictions={column: tuple(clips) for column, clips in sorted(contradictions.items())},
    )
    return conform(changed.select(table.columns)), report


def _spread_patients(joined: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """Let the table's patient hold for all clips of the person, not only for those that it names.

    Clips that had the same patient follow, if the table gives that patient one name only (a folder of
    videos may hold several people), and so do clips of the same study.
    """
    named = pl.col("patient new")
    renamed = (
        joined.drop_nulls("patient new").group_by("patient").agg(named.n_unique().alias("n"), named.first())
    )
    one = dict(renamed.filter(pl.col("n") == 1).select("patient", "patient new").iter_rows())
    patients = [one.get(patient, patient) for patient in changed["patient"]]
    united = unite(patients, changed["study"].to_list(), set(joined["patient new"].drop_nulls()))
    return changed.with_columns(patient=pl.Series(united, dtype=pl.String))


def export_labels(table: pl.DataFrame, out: Path) -> None:
    """Write the labelled clips as a table that `import_labels` reads back: CSV, Excel or JSON.

    Raises:
        WrongCall: `out` ends in something else.
        CannotDo: it cannot be written.
    """
    chosen = table.filter(pl.col("view").is_not_null() | pl.col("contrast_agent").is_not_null())
    write_table_for_people(chosen.select("clip", "view", "contrast_agent", "labelled_by"), out)


def _finder(table: pl.DataFrame, root: str) -> Callable[[Row], str | None]:
    """A function that finds the clip a row names, in each way it does; None if there is none or several."""
    clips = set(table["clip"])
    by_path: dict[str, str] = {}
    by_name: dict[str, str | None] = {}
    for clip, path in table.select("clip", "path").iter_rows():
        by_path[path] = clip
        inside = archive_of(path)
        if inside is not None:
            by_path["/".join(inside)] = clip
        last = PurePosixPath(path if inside is None else inside[1])
        for name in {last.name, last.stem}:
            by_name[name] = None if name in by_name else clip

    def find(row: Row) -> str | None:
        named = {row["clip"]} if row.get("clip") in clips else set()
        if "sopinstanceuid" in row and (clip := clip_id_of_uid(row["sopinstanceuid"])) in clips:
            named.add(clip)
        if "file" in row and (of_file := by_file(row["file"])) is not None:
            named.add(of_file)
        return named.pop() if len(named) == 1 else None

    def by_file(text: str) -> str | None:
        parts = PureWindowsPath(text).as_posix()
        for form in (text, parts):
            for path in _forms(root, form):
                if path in by_path:
                    return by_path[path]
        return by_name.get(text) if "/" not in parts else None

    return find


def _forms(root: str, file: str) -> Iterator[str]:
    """The ways a catalogue may write a place: as it stands, through links, and with its folder's links."""
    if is_remote(file):
        yield file
    elif is_remote(root) or os.path.isfile(root):
        yield member_of(root, file) if os.path.isfile(root) else f"{root.rstrip('/')}/{file}"
    else:
        path = Path(root, file)
        yield os.path.normpath(path)
        try:
            yield os.path.realpath(path)
            yield os.path.join(os.path.realpath(path.parent), path.name)
        except (OSError, ValueError):  # what stands in the cell can be no path
            return


def _update(
    clip: str,
    rows: list[tuple[int, Row]],
    vocabulary: Vocabulary,
    pseudonyms: Pseudonyms | None,
    unknown: dict[str, list[int]],
) -> dict[str, Any]:
    """What the rows of one clip change; `unknown` takes the texts that say nothing, with their rows."""
    said: dict[str, set[str | bool]] = {name: set() for name in _UPDATED}
    for number, row in rows:
        if "view" in row:
            label = vocabulary.find(row["view"])
            if label is None:
                unknown.setdefault(row["view"], []).append(number)
            else:
                said["view"].add(label.view)
                if "labelled_by" in row:
                    said["labelled_by"].add(row["labelled_by"])
                if label.contrast_agent is not None:
                    said["contrast_agent"].add(label.contrast_agent)
        if "contrast_agent" in row:
            agent = TRUTH.get(row["contrast_agent"].lower())
            if agent is None:
                unknown.setdefault(f"contrast_agent {row['contrast_agent']}", []).append(number)
            else:
                said["contrast_agent"].add(agent)
        if "split" in row:
            said["split"].add(row["split"])
        if pseudonyms is not None:
            if "patient" in row:
                said["patient"].add(pseudonyms.patient(tidy(row["patient"])))
            if "study" in row:
                said["study"].add(pseudonyms.study(tidy(row["study"])))
    conflict = len(said["view"]) > 1
    if conflict:
        said["labelled_by"].clear()
    elif said["view"]:  # several people may agree
        said["labelled_by"] = {", ".join(sorted(str(name) for name in said["labelled_by"])) or "table"}
    update: dict[str, Any] = {
        f"{name} new": values.pop() for name, values in said.items() if len(values) == 1
    }
    contradictions = [name for name, values in said.items() if len(values) > 1 and name != "view"]
    return update | {"clip": clip, "conflict": conflict, "contradictions": contradictions}
