"""Answers: one record a clip, as a table for people and as JSON, CSV or Parquet for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from textwrap import indent
from typing import IO, Any

import polars as pl

from apical.errors import WrongCall
from apical.files import replacing, write_table

AT_A_TIME = 1000  # answers


@dataclass(frozen=True)
class Answer:
    """What is said of one file.

    Attributes:
        number: its place among the inputs, from 1.
        file: its path as given; may hold identifiers, so it is written only when asked for.
        clip: the clip's id, or None if the file could not be opened.
        study: tells the clips of one exam from those of others; the catalogue's pseudonym, or a number; None
            where the file does not tell.
        view: the most probable view; None where there is a problem, no 2-D image, or the clip is unknown.
        probability: its calibrated probability.
        likeliest: the most probable view even if the clip is unknown.
        views: the conformal set, most probable first.
        unknown: True if the clip looks like none of the views that were taught.
        doubtful: True if the view is less probable than it must be for few to be wrong: below the bundle's
            operating point.
        unknown_score: squared Mahalanobis distance; above the bundle's threshold means unknown.
        contrast_agent: what the file's tags say; None where they do not.
        contrast_agent_probability: what the pixels say; None where the bundle was not taught it.
        mode: ``2d``, ``colour`` …
        frames_used: numbers of the frames that were looked at.
        model: version of the bundle.
        problem: why there is no answer, or None.
    """

    number: int
    file: str
    clip: str | None = None
    study: str | None = None
    view: str | None = None
    probability: float | None = None
    likeliest: str | None = None
    views: tuple[str, ...] = ()
    unknown: bool | None = None
    doubtful: bool | None = None
    unknown_score: float | None = None
    contrast_agent: bool | None = None
    contrast_agent_probability: float | None = None
    mode: str | None = None
    frames_used: tuple[int, ...] = ()
    model: str = ""
    problem: str | None = None


def records(answers: list[Answer], *, show_paths: bool = False) -> list[dict[str, Any]]:
    """Plain records; without `show_paths` the files are told apart by number and clip id only."""
    found = [asdict(one) for one in answers]
    for row in found:
        file = row.pop("file")
        if show_paths:
            row["file"] = printable(file)
    return found


def printable(path: str) -> str:
    """A path whose bytes are no text, with those spelt out."""
    return path.encode("utf-8", "backslashreplace").decode()


def write_answers(answers: Iterable[Answer], path: Path, *, show_paths: bool = False) -> None:
    """Write a .json, .jsonl, .csv or .parquet file, atomically, a thousand answers at a time.

    Parquet is gathered in memory first, as columns.

    Raises:
        WrongCall: another ending.
        CannotDo: the file cannot be written.
    """
    check_ending(path)
    kind = path.suffix.lower()
    parts = (records(some, show_paths=show_paths) for some in batched(answers, AT_A_TIME))
    if kind == ".parquet":
        tables = [_table(rows) for rows in parts]
        write_table(path, pl.concat(tables) if tables else _table([]))
        return
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        write = {".json": _write_json, ".jsonl": _write_lines, ".csv": _write_csv}[kind]
        write(file, parts)


def batched(answers: Iterable[Answer], count: int) -> Iterator[list[Answer]]:
    """Lists of so many, the last one of fewer."""
    waiting = iter(answers)
    while some := list(islice(waiting, count)):
        yield some


Parts = Iterable[list[dict[str, Any]]]


def _write_json(file: IO[str], parts: Parts) -> None:
    between = "[\n"
    for row in chain.from_iterable(parts):
        file.write(between + indent(json.dumps(row, indent=2), "  "))
        between = ",\n"
    file.write("[]\n" if between == "[\n" else "\n]\n")


def _write_lines(file: IO[str], parts: Parts) -> None:
    file.writelines(json.dumps(row) + "\n" for row in chain.from_iterable(parts))


def _write_csv(file: IO[str], parts: Parts) -> None:
    header = True
    for rows in parts:
        flat = _table(rows).with_columns(
            pl.col("views").list.join(" "),
            pl.col("frames_used").cast(pl.List(pl.String)).list.join(" "),
        )
        file.write(flat.write_csv(include_header=header))
        header = False


def check_ending(path: Path) -> None:
    """Refuse a file that `write_answers` could not write, before the work is done.

    Raises:
        WrongCall: the name ends in something else than .json, .jsonl, .csv or .parquet.
    """
    if path.suffix.lower() not in (".json", ".jsonl", ".csv", ".parquet"):
        raise WrongCall(
            f"answers cannot be written as '{path.suffix}'",
            "let --out end in .json, .jsonl, .csv or .parquet",
        )
    if path.is_dir():
        raise WrongCall(f"'{path.name}' is a folder", "give --out the name of a file")


def _table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    types: dict[str, Any] = {
        "number": pl.Int32,
        "file": pl.String,
        "clip": pl.String,
        "study": pl.String,
        "view": pl.String,
        "probability": pl.Float64,
        "likeliest": pl.String,
        "views": pl.List(pl.String),
        "unknown": pl.Boolean,
        "doubtful": pl.Boolean,
        "unknown_score": pl.Float64,
        "contrast_agent": pl.Boolean,
        "contrast_agent_probability": pl.Float64,
        "mode": pl.String,
        "frames_used": pl.List(pl.Int32),
        "model": pl.String,
        "problem": pl.String,
    }
    names = rows[0].keys() if rows else types.keys()
    return pl.DataFrame(rows, schema={name: types[name] for name in names})


HEADING = f"{'#':>4}  {'clip':16}  {'view':14}  {'prob.':>5}  one of (90 %)"


def answer_lines(answers: Iterable[Answer], *, show_paths: bool = False) -> list[str]:
    """A table to read, a line a file."""
    return [HEADING, *(answer_line(one, show_paths=show_paths) for one in answers)]


def answer_line(one: Answer, *, show_paths: bool = False) -> str:
    """A line of the table."""
    name = f"   {printable(one.file)}" if show_paths else ""
    if one.likeliest is None:
        why = one.problem or f"shows no 2-D image but {one.mode}"
        return f"{one.number:4}  {one.clip or '-':16}  {'-':14}  {'-':>5}  {why}{name}"
    hint = " ".join(one.views)
    if one.doubtful:
        hint = f"doubtful: {hint}"
    if one.unknown:
        hint = f"looks like none of the views taught (nearest: {one.likeliest})"
    return f"{one.number:4}  {one.clip:16}  {one.view or 'unknown':14}  {one.probability:5.2f}  {hint}{name}"
