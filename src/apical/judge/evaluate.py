"""From runs to figures, a verdict and a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from apical.config import JudgeSettings
from apical.files import write_atomically
from apical.judge.figures import Evaluation, judge_methods, rare_views
from apical.judge.pictures import store_thumbnails
from apical.judge.probabilities import ProbabilityFigures, judge_probabilities
from apical.judge.report import write_report
from apical.judge.runs import Run, judged_runs, labelled, read_run, split_sizes
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

    Runs of one method with different seeds are judged together. Every interval comes from drawing patients;
    see `apical.judge.intervals` for what it covers.

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
            be compared.
    """
    thumbnails = store_thumbnails(store) if store else None
    loaded = [read_run(Path(folder)) for folder in runs]
    judged = judged_runs(loaded, split)
    first = judged[0]
    budget = next((run.budget for run in loaded if run.budget is not None), None)
    rare = rare_views(budget, first.views)
    present = baseline if any(predictions.method == baseline for predictions in judged) else None
    methods = judge_methods(judged, settings, baseline=present, rare=rare)
    support = _support(first)
    evaluation = Evaluation(
        split=split,
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
        probabilities={} if split == "validation" else _probabilities(loaded, judged, settings.seed),
        verdict=verdict(methods, baseline=present, rare=rare, confidence=settings.confidence),
        metrics_file=Path(out) / "metrics.json",
        report_file=Path(out) / "report.html",
    )
    figures = evaluation.facts() | {"settings": settings.model_dump(mode="json")}
    write_atomically(evaluation.metrics_file, json.dumps(figures, indent=1, ensure_ascii=False).encode())
    write_report(evaluation, loaded, judged, settings, title=title, thumbnails=thumbnails)
    return evaluation


def _probabilities(
    runs: Sequence[Run], judged: Sequence[Predictions], seed: int
) -> dict[str, ProbabilityFigures]:
    """Of each method; {} where a run has no labelled validation clip."""
    validation = [labelled(run.predictions, "validation") for run in runs]
    if not all(len(clips) for clips in validation):
        return {}
    figures = {}
    for method in dict.fromkeys(clips.method for clips in judged):
        rows = [i for i, clips in enumerate(judged) if clips.method == method]
        figures[method] = judge_probabilities([judged[i] for i in rows], [validation[i] for i in rows], seed)
    return figures


def _support(judged: Predictions) -> dict[str, tuple[int, int]]:
    return {
        view: (int((judged.label == i).sum()), len(np.unique(judged.patient[judged.label == i])))
        for i, view in enumerate(judged.views)
    }
