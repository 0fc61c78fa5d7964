"""From the finished cells of a study to its figures, and to the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apical.config import StudySettings
from apical.errors import CannotDo
from apical.files import write_atomically
from apical.judge.cells import FULL, Cell, budget_words
from apical.judge.figures import plain
from apical.judge.intervals import patient_confusions
from apical.judge.metrics import Counts
from apical.judge.runs import labelled, read_curve, read_json
from apical.judge.study_figures import (
    Difference,
    Key,
    Row,
    Sampled,
    adjust,
    judge_difference,
    judge_row,
    sample_cells,
)
from apical.judge.study_page import study_page
from apical.judge.study_plots import plot_label_curves
from apical.judge.study_verdict import study_verdict
from apical.judge.wording import percent
from apical.learn.predictions import Predictions

WHOLE_EXAM = "exam-predictions.parquet"  # answers for clips that had all clips of the exam to go by
Place = tuple[str, int | str, bool]  # method, budget, whether with the whole exam


@dataclass(frozen=True)
class Cost:
    """What a method takes.

    Attributes:
        cells: how many trainings the other figures are means of.
        seconds: of one training, by the clock, with its answers for all clips.
        cpu_seconds: of one training, of all its threads.
        peak_memory_mb: of the process, the most of all trainings.
        pretraining_seconds: of one pre-training, by the clock, which serves all its cells; None where the
            method starts from none, or the encoder did not come with its curve.
    """

    cells: int
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    pretraining_seconds: float | None


@dataclass(frozen=True)
class Study:
    """What a study found.

    Attributes:
        settings: what was compared.
        cells: of each planned cell, what it is, whether it is done, and what it took.
        problems: what went wrong in this call, a line each.
        notes: what a reader of the figures must know.
        clips: labelled clips they are of.
        patients: of these clips.
        support: judged clips and their patients of each view, as {view: (clips, patients)}.
        rows: each method at each budget, then with all labels, then with the whole exam.
        differences: of `StudySettings.pairs`, budget by budget, with p-values.
        distances: of each method at each budget from the first one that has all labels.
        costs: of each method.
        headline: the method that is shown view by view against the baseline, or None.
        verdict: sentences that follow from the intervals.
        folder: where ``study.json``, ``study.md`` and ``curves.png`` were written.
    """

    settings: StudySettings
    cells: tuple[dict[str, Any], ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    clips: int
    patients: int
    support: dict[str, tuple[int, int]]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    distances: tuple[Difference, ...]
    costs: dict[str, Cost]
    headline: str | None
    verdict: tuple[str, ...]
    folder: Path

    def facts(self) -> dict[str, Any]:
        """All as JSON has it, without paths; NaN is None."""
        settings = self.settings.model_dump(mode="json", exclude={"encoders"})
        parts = {name: value for name, value in vars(self).items() if name not in ("settings", "folder")}
        return {"settings": settings, **plain(parts)}

    def lines(self) -> list[str]:
        """The rare-view F1 of each method and budget (× 100), and the verdict, for people."""
        shown = [f"{_row_words(row)}: {percent(row.means['rare-view F1'])}" for row in self.rows]
        done = sum(cell["done"] for cell in self.cells)
        return [
            f"{done} of {len(self.cells)} cells; F1 × 100 of rare views, {self.patients} patients",
            *(f"  {line}" for line in shown),
            "",
            *self.verdict,
            *self.notes,
            f"report → {self.folder / 'study.md'}",
        ]


def judge_study(
    settings: StudySettings,
    cells: Sequence[Cell],
    done: Mapping[Cell, dict[str, Any]],
    out: Path,
    problems: Sequence[str] = (),
) -> Study:
    """Judge the cells that are done; write ``study.json``, ``study.md`` and ``curves.png`` into `out`.

    Args:
        settings: of the study.
        cells: all that it plans.
        done: what ``cell.json`` tells of each finished one.
        out: the folder of the study.
        problems: what went wrong.

    Raises:
        CannotDo: no cell is done, no clip to be judged is labelled, or answers cannot be read or are not of
            the same clips.
    """
    if not done:
        first = f" ({problems[0].rstrip('.')})" if problems else ""
        raise CannotDo(f"no cell of the study is done{first}", "run the study without --report-only")
    clips = _JudgedClips(settings.split)
    sampled = _sample_all(settings, cells, done, out, clips)
    judged, judge = clips.known(), settings.judge
    views = judged.views
    rows = tuple(
        judge_row(method, budget, one, views, judge, whole_exam=whole)
        for (method, budget, whole), one in sampled.items()
    )
    compared = [
        judge_difference((one, budget), (other, budget), mine, others, views, judge)
        for one, other in settings.pairs()
        for budget in settings.budgets
        if (mine := sampled.get((one, budget, False))) and (others := sampled.get((other, budget, False)))
    ]
    full = next((place for place in sampled if place[1] == FULL and not place[2]), None)
    distances = [
        judge_difference(place[:2], full[:2], one, sampled[full], views, judge, tested=False)
        for place, one in sampled.items()
        if full is not None and place[1] != FULL and not place[2]
    ]
    differences = adjust([difference for difference in compared if difference is not None])
    far = tuple(difference for difference in distances if difference is not None)
    study = Study(
        settings=settings,
        cells=tuple(_cell_facts(cell, done.get(cell)) for cell in cells),
        problems=tuple(problems),
        notes=tuple(_notes(settings, cells, done, out)),
        clips=len(judged),
        patients=len(np.unique(judged.patient)),
        support={
            view: (int((judged.label == i).sum()), len(np.unique(judged.patient[judged.label == i])))
            for i, view in enumerate(views)
        },
        rows=rows,
        differences=differences,
        distances=far,
        costs=_costs(settings, done, out),
        headline=_headline(settings, [row.method for row in rows]),
        verdict=study_verdict(differences, far, settings.rare, judge),
        folder=out,
    )
    facts = json.dumps(study.facts(), indent=1, ensure_ascii=False)
    write_atomically(out / "study.json", facts.encode())
    write_atomically(out / "curves.png", plot_label_curves(rows, settings.budgets, settings.judge.confidence))
    write_atomically(out / "study.md", study_page(study).encode())
    return study


class _JudgedClips:
    """The labelled clips of a split, which must be the same in all answers."""

    def __init__(self, split: str) -> None:
        self._split = split
        self._first: Predictions | None = None

    def counts(self, answers: Predictions) -> Counts:
        """(P, k, k): a confusion matrix a patient."""
        judged = labelled(answers, self._split)
        first = self._first = self._first or judged
        if not len(judged):
            raise CannotDo(
                f"no labelled clip in the {self._split} split",
                "label clips of its patients, or judge another split",
            )
        same = judged.views == first.views and all(
            np.array_equal(getattr(judged, name), getattr(first, name))
            for name in ("clip", "label", "patient")
        )
        if not same:
            raise CannotDo(
                "cells of the study answered for other clips", "delete them, and run the study again"
            )
        return patient_confusions(judged.label, judged.predicted, judged.patient, len(judged.views))

    def known(self) -> Predictions:
        """The clips, after `counts` was asked for."""
        assert self._first is not None
        return self._first


def _sample_all(
    settings: StudySettings,
    cells: Sequence[Cell],
    done: Mapping[Cell, dict[str, Any]],
    out: Path,
    clips: _JudgedClips,
) -> dict[Place, Sampled]:
    """The figures of each cell, by method and budget: as the methods and budgets stand in the settings."""
    sampled: dict[Place, Sampled] = {}
    for whole, file in ((False, "predictions.parquet"), (True, WHOLE_EXAM)):
        for method in settings.methods:
            for budget in (*settings.budgets, FULL):
                counts: dict[Key, Counts] = {}
                for cell in cells:
                    path = out / cell.folder / file
                    if cell in done and (cell.method, cell.budget) == (method, budget) and path.exists():
                        counts[cell.draw, cell.pretraining] = clips.counts(Predictions.load(path))
                if counts:
                    rare = np.isin(clips.known().views, settings.rare)
                    sampled[method, budget, whole] = sample_cells(counts, rare, settings.judge)
    return sampled


def _cell_facts(cell: Cell, known: dict[str, Any] | None) -> dict[str, Any]:
    start = None if known is None else known["made"]["start"]
    return {**vars(cell), "done": known is not None, "start": start, "cost": known["cost"] if known else None}


def _costs(settings: StudySettings, done: Mapping[Cell, dict[str, Any]], out: Path) -> dict[str, Cost]:
    """Of each method with a finished cell."""
    places = settings.encoders or [out / f"pretrain-{seed}" for seed in settings.pretrainings]
    curves = [read_curve(place / "metrics.jsonl") for place in places]
    pretraining = [curve[-1]["seconds"] for curve in curves if curve and "seconds" in curve[-1]]
    costs = {}
    for name, method in settings.methods.items():
        taken = [facts["cost"] for cell, facts in done.items() if cell.method == name]
        if taken:
            starts = method.start == "pretrained" and pretraining
            costs[name] = Cost(
                cells=len(taken),
                seconds=float(np.mean([cost["seconds"] for cost in taken])),
                cpu_seconds=float(np.mean([cost["cpu_seconds"] for cost in taken])),
                peak_memory_mb=max(cost["peak_memory_mb"] for cost in taken),
                pretraining_seconds=float(np.mean(pretraining)) if starts else None,
            )
    return costs


def _headline(settings: StudySettings, judged: Sequence[str]) -> str | None:
    """The first pre-trained method that is compared with the baseline, or else the first method that is."""
    others = [one for one, other in settings.pairs() if other == settings.baseline and one in judged]
    pretrained = [name for name in others if settings.methods[name].start == "pretrained"]
    return next(iter([*pretrained, *others]), None)


def _notes(
    settings: StudySettings, cells: Sequence[Cell], done: Mapping[Cell, dict[str, Any]], out: Path
) -> list[str]:
    notes = []
    if len(done) < len(cells):
        notes.append(
            f"{len(done)} of {len(cells)} cells are done: methods are compared on the draws that both have."
        )
    if len({cell.draw for cell in done}) < 2:
        notes.append("There is one draw of the labels: intervals do not tell how figures vary with it.")
    pretrained = {cell.pretraining for cell in done} - {None}
    if len(pretrained) == 1:
        notes.append("There is one pre-training: intervals do not tell how figures vary with it.")
    largest = max((budget for budget in settings.budgets if isinstance(budget, int)), default=0)
    cell = next((cell for cell in done if cell.budget == largest), None)
    labels = (read_json(out / cell.folder / "budget.json") or {}) if cell else {}
    short = [view for view in settings.rare if labels.get(view, largest) < largest]
    notes += [
        f"{view} has {labels[view]} labelled training patients: larger budgets are all of them."
        for view in short
    ]
    return notes


def _row_words(row: Row) -> str:
    return f"{row.method}{', whole exam' * row.whole_exam}, {budget_words(row.budget)}"
