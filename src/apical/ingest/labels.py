"""Labels in and out of a catalogue, as CSV. Nothing is guessed: what does not fit is reported."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import polars as pl

from apical.catalogue import SPLITS, conform
from apical.errors import CannotDo, WrongCall
from apical.files import replacing
from apical.ingest.deidentify import Pseudonyms, clip_id_of_uid, tidy
from apical.ingest.rescan import unite
from apical.views import Vocabulary

Row = dict[str, str]
_SAME = {
    "path": "file",
    "filename": "file",
    "file_name": "file",
    "sop_instance_uid": "sopinstanceuid",
    "label": "view",
}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_UPDATED = ("view", "contrast_agent", "labelled_by", "patient", "study", "split")


@dataclass(frozen=True)
class LabelReport:
    """What became of a table of labels.

    Attributes:
        matched: clips of the catalogue that the table names.
        labelled: those of them that now have a view from it.
        unknown_clips: rows that name no clip of the catalogue, or several.
        unknown_labels: label texts that the vocabulary does not know, with their counts. Where a column
            is shifted they may be names: show them only to whoever may see the table.
        conflicts: clips that the table gives two views; they have none now.
        contradictions: column → clips for which the table says two things; they keep what they had.
    """

    matched: int
    labelled: int
    unknown_clips: int = 0
    unknown_labels: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0
    contradictions: dict[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """A line for each kind of thing that could not be used; no text of the table is in it."""
        return self.problem_lines()

    def problem_lines(self, show_text: bool = False) -> list[str]:
        """The problems as lines.

        Args:
            show_text: a line for each unknown label, with its text, instead of one for all.
        """
        lines = []
        if self.unknown_clips:
            lines.append(f"{self.unknown_clips} rows name no clip of the catalogue")
        if show_text:
            lines += [
                f"'{text}' ({_count(count, 'row')}) is no label of the vocabulary"
                for text, count in self.unknown_labels.items()
            ]
        elif self.unknown_labels:
            rows, texts = sum(self.unknown_labels.values()), len(self.unknown_labels)
            lines.append(
                f"{_count(rows, 'row')} with {_count(texts, 'label')} that the vocabulary does not know"
            )
        if self.conflicts:
            lines.append(f"{_count(self.conflicts, 'clip')} with two different labels, which got none")
        for column, count in self.contradictions.items():
            lines.append(f"{_count(count, 'clip')} with two different values of '{column}', left as before")
        return lines

    def lines(self) -> list[str]:
        """What was done, then the problems."""
        return [f"{self.matched} clips matched, {self.labelled} labelled", *self.problems]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def import_labels(
    table: pl.DataFrame,
    labels: Path,
    vocabulary: Vocabulary,
    *,
    root: Path | None = None,
    pseudonyms: Pseudonyms | None = None,
) -> tuple[pl.DataFrame, LabelReport]:
    """Take labels, and what else a table says of clips, into a catalogue.

    Columns, in any case of letters: one or more of ``clip``, ``SOPInstanceUID``, ``file`` (or ``path``,
    ``filename``) to find the clip; ``view`` (or ``label``), ``contrast_agent``, ``labelled_by``,
    ``patient``, ``study``, ``split`` to set. Other columns are passed over, and an empty cell says
    nothing. A file name without a folder finds a clip anywhere, with or without its suffix, if only
    one has that name. ``labelled_by`` counts only in a row with a view that is used. Clips without a
    split get that of their patient.

    Args:
        table: a catalogue.
        labels: CSV with commas, semicolons or tabs.
        vocabulary: what the labels may be; aliases count, and may also tell of contrast agent.
        root: folder that relative files start from; that of `labels` by default.
        pseudonyms: needed if there is a column ``patient`` or ``study``: those are original
            identifiers and enter as pseudonyms.

    Returns:
        the catalogue, and what became of the labels.

    Raises:
        WrongCall: the table has no column to find clips, or names patients without `pseudonyms`.
        CannotDo: it cannot be read, no row finds a clip, or a split is unknown; the texts of the table
            are not quoted.
        PatientOverlap: a patient would stand in two splits.
    """
    rows, columns = _read(labels)
    if not columns & {"clip", "file", "sopinstanceuid"}:
        raise WrongCall("the labels name no clips", "give a column 'file', 'clip' or 'SOPInstanceUID'")
    if {row["split"] for row in rows if "split" in row} - set(SPLITS):
        raise CannotDo(
            "the labels have a split that is none", f"use only {', '.join(SPLITS)}, or leave it empty"
        )
    if columns & {"patient", "study"} and pseudonyms is None:
        raise WrongCall("the labels name patients or studies", "give the key of the pseudonyms with --salt")
    find = _finder(table, (root or labels.parent).resolve())
    said: dict[str, list[Row]] = {}
    unknown_clips = 0
    for row in rows:
        clip = find(row)
        if clip is None:
            unknown_clips += 1
        else:
            said.setdefault(clip, []).append(row)
    if not said:
        raise CannotDo(
            "no row of the labels names a clip of the catalogue",
            "let the column 'file' start from the folder of the table, or use 'apical labels import --root'",
        )

    unknown: Counter[str] = Counter()
    updates = [_update(clip, rows, vocabulary, pseudonyms, unknown) for clip, rows in said.items()]
    conflicts = [update["clip"] for update in updates if update.pop("conflict")]
    contradictions: Counter[str] = Counter()
    for update in updates:
        contradictions.update(update.pop("contradictions"))
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
        unknown_clips=unknown_clips,
        unknown_labels=dict(sorted(unknown.items())),
        conflicts=len(conflicts),
        contradictions=dict(sorted(contradictions.items())),
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
    rows = changed.select("clip", "patient", "study").to_dicts()
    for row in rows:
        row["patient"] = one.get(row["patient"], row["patient"])
    unite(rows, set(joined["patient new"].drop_nulls()))
    return changed.with_columns(patient=pl.Series([row["patient"] for row in rows], dtype=pl.String))


def export_labels(table: pl.DataFrame, out: Path) -> None:
    """Write the labelled clips as a CSV that `import_labels` reads back.

    Raises:
        CannotDo: `out` cannot be written.
    """
    chosen = table.filter(pl.col("view").is_not_null() | pl.col("contrast_agent").is_not_null())
    with replacing(out) as temporary:
        chosen.select("clip", "view", "contrast_agent", "labelled_by").write_csv(temporary)


def _read(labels: Path) -> tuple[list[Row], set[str]]:
    """The rows, with empty cells left out, and the columns under their one name."""
    try:
        with labels.open(encoding="utf-8-sig") as file:
            heading = file.readline()
        separator = max(",;\t", key=heading.count)
        table = pl.read_csv(labels, infer_schema=False, separator=separator)
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise CannotDo(
            f"the labels '{labels.name}' cannot be read ({type(error).__name__})",
            "give a CSV in UTF-8 whose first line names the columns",
        ) from None
    names = [name.strip().lower() for name in table.columns]
    names = [_SAME.get(name, name) for name in names]
    if len(set(names)) < len(names):
        raise CannotDo("the labels have two columns for the same thing", "keep one of them")
    rows = []
    for values in table.iter_rows():
        stripped = ((name, (value or "").strip()) for name, value in zip(names, values, strict=True))
        rows.append({name: value for name, value in stripped if value})
    return rows, set(names)


def _finder(table: pl.DataFrame, root: Path) -> Callable[[Row], str | None]:
    """A function that finds the clip a row names; None where there is none, or more than one."""
    clips = set(table["clip"])
    by_path: dict[str, str] = {}
    by_name: dict[str, str | None] = {}
    for clip, path in table.select("clip", "path").iter_rows():
        by_path[path] = clip
        for name in {Path(path).name, Path(path).stem}:
            by_name[name] = None if name in by_name else clip

    def find(row: Row) -> str | None:
        if row.get("clip") in clips:
            return row["clip"]
        if "sopinstanceuid" in row and (clip := clip_id_of_uid(row["sopinstanceuid"])) in clips:
            return clip
        if "file" not in row:
            return None
        text = row["file"]
        parts = PureWindowsPath(text).as_posix()
        for form in (text, parts):
            for path in _forms(root / form):
                if path in by_path:
                    return by_path[path]
        return by_name.get(text) if "/" not in parts else None

    return find


def _forms(path: Path) -> Iterator[str]:
    """The ways a catalogue may write a path: as it stands, through links, and with its folder's links."""
    yield os.path.normpath(path)
    try:
        yield os.path.realpath(path)
        yield os.path.join(os.path.realpath(path.parent), path.name)
    except (OSError, ValueError):  # what stands in the cell can be no path
        return


def _update(
    clip: str, rows: list[Row], vocabulary: Vocabulary, pseudonyms: Pseudonyms | None, unknown: Counter[str]
) -> dict[str, Any]:
    """What the rows of one clip change; `unknown` counts the texts that say nothing."""
    said: dict[str, set[str | bool]] = {name: set() for name in _UPDATED}
    for row in rows:
        if "view" in row:
            label = vocabulary.find(row["view"])
            if label is None:
                unknown[row["view"]] += 1
            else:
                said["view"].add(label.view)
                if "labelled_by" in row:
                    said["labelled_by"].add(row["labelled_by"])
                if label.contrast_agent is not None:
                    said["contrast_agent"].add(label.contrast_agent)
        if "contrast_agent" in row:
            agent = _TRUTH.get(row["contrast_agent"].lower())
            if agent is None:
                unknown[f"contrast_agent {row['contrast_agent']}"] += 1
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
