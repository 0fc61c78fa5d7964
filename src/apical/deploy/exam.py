"""Whole studies: which standard views an exam shows, which it shows only doubtfully, and which it lacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from apical.deploy.answers import Answer
from apical.files import write_atomically, write_table


@dataclass
class StudySummary:
    """What the clips of one study show.

    Attributes:
        study: as in `Answer`.
        clips: how many files were looked at.
        views: of each view that was named, how many clips are surely of it, and how many doubtfully.
        unknown: clips that look like none of the views.
        other_modes: files that show no 2-D image.
        problems: files without an answer.
    """

    study: str
    clips: int = 0
    views: dict[str, list[int]] = field(default_factory=dict)
    unknown: int = 0
    other_modes: int = 0
    problems: int = 0

    def add(self, answer: Answer) -> None:
        """Count one of its clips."""
        self.clips += 1
        if answer.problem is not None:
            self.problems += 1
        elif answer.likeliest is None:
            self.other_modes += 1
        elif answer.view is None:
            self.unknown += 1
        else:
            self.views.setdefault(answer.view, [0, 0])[bool(answer.doubtful)] += 1

    def present(self, views: Sequence[str]) -> list[str]:
        """Those of these views that a clip surely shows."""
        return [view for view in views if self.views.get(view, [0, 0])[0]]

    def doubtful(self, views: Sequence[str]) -> list[str]:
        """Those that only doubtful clips show."""
        return [view for view in views if view in self.views and not self.views[view][0]]

    def missing(self, views: Sequence[str]) -> list[str]:
        """Those that no clip shows."""
        return [view for view in views if view not in self.views]

    def record(self, views: Sequence[str]) -> dict[str, Any]:
        """For programs."""
        return {
            "study": self.study,
            "clips": self.clips,
            "present": self.present(views),
            "doubtful": self.doubtful(views),
            "missing": self.missing(views),
            "unknown": self.unknown,
            "other_modes": self.other_modes,
            "problems": self.problems,
        }

    def line(self, views: Sequence[str]) -> str:
        """For people."""
        parts = [f"study {self.study}: {self.clips} clips"]
        for name, found in (
            ("present", self.present(views)),
            ("doubtful", self.doubtful(views)),
            ("missing", self.missing(views)),
        ):
            parts.append(f"{name}: {' '.join(found) or 'none'}")
        return "; ".join(parts)


class Studies:
    """Summaries of the studies whose clips come by, in the order of their first clips.

    Clips whose file tells no study are in none.
    """

    def __init__(self) -> None:
        self._found: dict[str, StudySummary] = {}

    def add(self, answer: Answer) -> None:
        """Count a clip."""
        if answer.study is not None:
            self._found.setdefault(answer.study, StudySummary(answer.study)).add(answer)

    def summaries(self) -> list[StudySummary]:
        """One a study."""
        return list(self._found.values())


def studies_file(out: Path) -> Path:
    """Where summaries stand beside a table of answers: ``answers.csv`` → ``answers-studies.csv``."""
    return out.with_name(f"{out.stem}-studies{out.suffix}")


def write_studies(summaries: Sequence[StudySummary], views: Sequence[str], path: Path) -> None:
    """Write a row a study to a .csv, .json, .jsonl or .parquet file, atomically.

    Raises:
        CannotDo: the file cannot be written.
    """
    rows = [one.record(views) for one in summaries]
    lists, counts = ("present", "doubtful", "missing"), ("clips", "unknown", "other_modes", "problems")
    schema = {name: pl.List(pl.String) if name in lists else pl.Int64 if name in counts else pl.String
              for name in StudySummary("").record(())}  # fmt: skip
    table = pl.DataFrame(rows, schema=schema)
    kind = path.suffix.lower()
    if kind == ".parquet":
        write_table(path, table)
    elif kind == ".csv":
        flat = table.with_columns(pl.col(*lists).list.join(" "))
        write_atomically(path, flat.write_csv().encode())
    elif kind == ".jsonl":
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    else:
        write_atomically(path, (json.dumps(rows, indent=2) + "\n").encode())
