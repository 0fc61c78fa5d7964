"""From runs to figures, a verdict and a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from apical.config import JudgeSettings
from apical.files import write_atomically
from apical.judge.figures import Evaluation, JudgedRun, judge_methods, rare_views
from apical.judge.pictures import store_thumbnails
from apical.judge.probabilities import ProbabilityFigures, judge_probabilities
from apical.judge.report import write_report
from apical.judge.runs import Run, judged_runs, read_run, split_sizes, with_common_seeds
from apical.judge.verdict import verdict
from apical.learn.predictions import Predictions


def evaluate(
    runs: Sequence[Path],
    out: Path,
    settings: JudgeSettings = JudgeSettings(),
    *,
    baseline: str | None = "naive",
    split: Literal["validation", "test"] = "test",
    title: str = "Naming echocardiographic views from few labels",
    store: Path | None = None,
) -> Evaluation:
    """Judge runs on the same labelled clips; write ``metrics.json`` and ``report.html`` into `out`.

    Runs of one method with different seeds are judged together; of several methods, only the runs with
    seeds that all of them have are judged, and the verdict says so. Every interval comes from drawing
    patients; see `apical.judge.intervals` for what it covers.

    Args:
        runs: run folders; see `apical.judge.runs.Run` for what is read.
        out: a folder, made if needed; files in it of the same names are replaced.
        settings: how to judge.
        baseline: the method to compare others with; nothing is compared if no run has this name.
        split: whose labelled clips to judge on.
        title: the headline of the report.
        store: a frame store that holds the clips, for pictures in the report.

    Raises:
        WrongCall: no runs, or two of the same method and seed.
        PatientOverlap: a patient stands in more than one split.
        CannotDo: a run or the store cannot be read, no labelled clip in the split, or runs that cannot
            be compared (no training seed in common, other clips or views).
    """
    thumbnails = store_thumbnails(store) if store else None
    loaded, left_out = with_common_seeds([read_run(Path(folder)) for folder in runs])
    judged = judged_runs(loaded, split)
    first = judged[0]
    budget = next((run.budget for run in loaded if run.budget is not None), None)
    rare = rare_views(budget, first.views)
    present = baseline if any(predictions.method == baseline for predictions in judged) else None
    methods = judge_methods(judged, settings, baseline=present, rare=rare)
    sentences = verdict(methods, baseline=present, rare=rare, confidence=settings.confidence)
    support = _support(first)
    evaluation = Evaluation(
        split=split,
        runs=tuple(
            JudgedRun(run.predictions.method, run.predictions.seed, run.predictions_sha256) for run in loaded
        ),
        views=first.views,
        support=support,
        absent=tuple(view for view, (clips, _) in support.items() if not clips),
        patients=len(np.unique(first.patient)),
        clips=len(first),
        splits=split_sizes(loaded[0].predictions),
        budget=budget,
        rare=rare,
        baseline=present,
        methods=methods,
        probabilities={} if split == "validation" else _probabilities(loaded, split),
        verdict=sentences + ((left_out,) if left_out else ()),
        metrics_file=Path(out) / "metrics.json",
        report_file=Path(out) / "report.html",
    )
    figures = evaluation.facts() | {"settings": settings.model_dump(mode="json")}
    write_atomically(evaluation.metrics_file, json.dumps(figures, indent=1, ensure_ascii=False).encode())
    write_report(evaluation, loaded, judged, settings, title=title, thumbnails=thumbnails)
    return evaluation


def _probabilities(runs: Sequence[Run], split: str) -> dict[str, ProbabilityFigures]:
    """Of each method, but for those without clips to calibrate on."""
    answers = [run.predictions for run in runs]
    methods = dict.fromkeys(run.method for run in answers)
    figures = {
        method: judge_probabilities([run for run in answers if run.method == method], split)
        for method in methods
    }
    return {method: figure for method, figure in figures.items() if figure is not None}


def _support(judged: Predictions) -> dict[str, tuple[int, int]]:
    return {
        view: (int((judged.label == i).sum()), len(np.unique(judged.patient[judged.label == i])))
        for i, view in enumerate(judged.views)
    }
