"""What an evaluation or a comparison found: records that become a table for people, JSON and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apical.judge.deep import Deep
from apical.judge.figures import MethodFigures, plain
from apical.judge.intervals import Interval
from apical.judge.probabilities import ProbabilityFigures
from apical.judge.wording import percent


@dataclass(frozen=True)
class JudgedRun:
    """A run that was judged, and the hash of its predictions by which it is known again."""

    method: str
    seed: int
    predictions_sha256: str


@dataclass(frozen=True)
class Evaluation:
    """The figures of one comparison, and where they were written.

    Attributes:
        split: the judged split.
        runs: the runs that were judged.
        views: the k views, in the order of every confusion matrix.
        support: labelled clips and their patients of each view, as {view: (clips, patients)}.
        absent: views that no judged clip shows; left out of every mean.
        patients: patients with a labelled clip in the judged split.
        clips: labelled clips in the judged split.
        splits: patients, clips and labelled clips of each split.
        budget: labelled training patients a view, or None.
        rare: see `apical.judge.figures.rare_views`.
        baseline: the method that others are compared with, or None.
        methods: the baseline first.
        probabilities: of each method that has labelled validation clips to calibrate on.
        deep: what else is known of one of the methods.
        verdict: one sentence a comparison, following from the intervals, and one on runs left out, if any.
        metrics_file: all of this as JSON.
        report_file: all of this as one HTML page.
    """

    split: str
    runs: tuple[JudgedRun, ...]
    views: tuple[str, ...]
    support: dict[str, tuple[int, int]]
    absent: tuple[str, ...]
    patients: int
    clips: int
    splits: dict[str, dict[str, int]]
    budget: dict[str, int] | None
    rare: tuple[str, ...]
    baseline: str | None
    methods: tuple[MethodFigures, ...]
    probabilities: dict[str, ProbabilityFigures]
    deep: Deep
    verdict: tuple[str, ...]
    metrics_file: Path
    report_file: Path

    def facts(self) -> dict[str, Any]:
        """All but the files as JSON has it; NaN is None."""
        facts: dict[str, Any] = plain(self)
        return facts

    def lines(self) -> list[str]:
        """A table of the methods' F1 (× 100), the verdict and where the report is, for people."""
        return _lines(self)


@dataclass(frozen=True)
class Pair:
    """One kind of runs minus another.

    Attributes:
        one: its name.
        other: the other's.
        gains: differences of the figures that are compared, on the same draws of patients.
        adjusted: p-values of no difference, after Holm's correction for all pairs and figures.
    """

    one: str
    other: str
    gains: dict[str, Interval]
    adjusted: dict[str, float]


@dataclass(frozen=True)
class Point:
    """A kind of runs on the label-efficiency curve: labelled patients a rare view, and the figures there."""

    method: str
    patients: float
    means: dict[str, Interval]


@dataclass(frozen=True)
class Comparison:
    """What was found, and where it was written.

    Attributes:
        split: the judged split.
        views: the k views.
        rare: views with at most half the largest label budget in the run with the fewest labels.
        clips: labelled clips that were judged.
        patients: of so many patients.
        methods: figures of each kind, in the order of the runs.
        pairs: each against each.
        curve: the label-efficiency curve; () where all have one budget, or it is not known.
        verdict: a sentence a pair, and one on runs left out, if any.
        metrics_file: all of this as JSON.
        report_file: all of this as one HTML page.
    """

    split: str
    views: tuple[str, ...]
    rare: tuple[str, ...]
    clips: int
    patients: int
    methods: tuple[MethodFigures, ...]
    pairs: tuple[Pair, ...]
    curve: tuple[Point, ...]
    verdict: tuple[str, ...]
    metrics_file: Path
    report_file: Path

    def facts(self) -> dict[str, Any]:
        """All but the files as JSON has it; NaN is None."""
        facts: dict[str, Any] = plain(self)
        return facts

    def lines(self) -> list[str]:
        """The table of F1 (× 100), the pairs, and where the page is, for people."""
        return _lines(self)


def _lines(found: Evaluation | Comparison) -> list[str]:
    about = f"{found.clips} clips of {found.patients} {found.split} patients, intervals over patients"
    return [about, *_table(found.methods), "", *found.verdict, f"report → {found.report_file}"]


def _table(methods: Sequence[MethodFigures]) -> list[str]:
    """A header and a line a method: name, then macro, rare-view and common-view F1, right-aligned."""
    columns = {"macro F1": "macro F1", "rare-view F1": "rare", "common-view F1": "common"}
    columns = {name: short for name, short in columns.items() if name in methods[0].means}
    rows = [["F1 × 100", *columns.values()]]
    rows += [[method.method, *(percent(method.means[name]) for name in columns)] for method in methods]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([f"{row[0]:{first}}", *(f"{cell:>{w}}" for cell, w in zip(row[1:], others, strict=True))])
        for row in rows
    ]
