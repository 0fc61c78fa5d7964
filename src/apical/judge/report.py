"""One HTML file that holds the whole evaluation and needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jinja2

from apical.config import JudgeSettings
from apical.files import write_atomically
from apical.judge import plots
from apical.judge.embedding import embed, map_rows
from apical.judge.figures import Evaluation, MethodFigures
from apical.judge.pictures import Shown, Thumbnails, surest_right, surest_wrong
from apical.judge.probabilities import ERROR_RATE
from apical.judge.runs import Run, without_paths
from apical.judge.wording import percent, points, shown
from apical.learn.predictions import Predictions

FEW_PATIENTS = 5
"""Views with fewer judged patients than this are marked: their intervals are not to be relied on."""


@dataclass(frozen=True)
class Sheet:
    """Example clips of one run."""

    method: str
    seed: int
    wrong_clips: int
    wrong: list[Shown]
    right: list[Shown]


def write_report(
    evaluation: Evaluation,
    runs: Sequence[Run],
    judged: Sequence[Predictions],
    settings: JudgeSettings,
    *,
    title: str,
    thumbnails: Thumbnails | None,
) -> None:
    """Write `evaluation.report_file`.

    Args:
        evaluation: the figures.
        runs: the runs as read, for curves, settings and environment.
        judged: the judged clips of each run, in the order of `runs`.
        settings: how it was judged.
        title: the headline.
        thumbnails: from a clip id to a picture; None shows no pictures of clips.

    Raises:
        CannotDo: the file cannot be written.
    """
    methods = evaluation.methods
    views = sorted(evaluation.views, key=lambda view: view not in evaluation.rare)
    present = [view for view in views if view not in evaluation.absent]
    best = _best(evaluation)
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=title,
            evaluation=evaluation,
            settings=settings,
            views=views,
            few=[view for view, (_, patients) in evaluation.support.items() if 0 < patients < FEW_PATIENTS],
            error_rate=ERROR_RATE,
            few_patients=FEW_PATIENTS,
            leakage_checked=all("train" in run.predictions.split for run in runs),
            view_f1=plots.plot_view_f1(methods, present, evaluation.rare),
            confusions=[(method, plots.plot_confusion(method, evaluation.views)) for method in methods],
            curves=plots.plot_curves(runs, [method.method for method in methods]),
            maps=_maps(methods, judged),
            sheet=_sheet(best, judged, thumbnails) if thumbnails else None,
            runs=[
                (
                    run.predictions.method,
                    run.predictions.seed,
                    _table(run.settings, leave_out=("views",)),
                    _table(run.environment),
                )
                for run in runs
            ],
            version=_version(),
        )
    )
    write_atomically(evaluation.report_file, html.encode())


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("apical.judge", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "shown": shown}
    return environment


def _best(evaluation: Evaluation) -> MethodFigures:
    """The method other than the baseline with the highest F1 on rare views, or else on all."""
    name = "rare-view F1" if evaluation.rare else "macro F1"
    others = [method for method in evaluation.methods if method.method != evaluation.baseline]
    return max(others or evaluation.methods, key=lambda method: method.means[name].value)


def _first_seed(method: MethodFigures, judged: Sequence[Predictions]) -> Predictions:
    return min((p for p in judged if p.method == method.method), key=lambda p: p.seed)


def _maps(
    methods: Sequence[MethodFigures], judged: Sequence[Predictions]
) -> list[tuple[str, int, plots.Picture]]:
    """(method, seed, picture) of each method whose first seed has features that differ."""
    maps = []
    for method in methods:
        run = _first_seed(method, judged)
        run = run.select(map_rows(len(run)))
        position = embed(run.features)
        if position is not None:
            picture = plots.plot_map(position, run.label, run.views, run.method)
            maps.append((run.method, run.seed, picture))
    return maps


def _sheet(method: MethodFigures, judged: Sequence[Predictions], thumbnails: Thumbnails) -> Sheet:
    run = _first_seed(method, judged)
    return Sheet(
        run.method,
        run.seed,
        int((run.predicted != run.label).sum()),
        surest_wrong(run, thumbnails),
        surest_right(run, thumbnails),
    )


def _table(record: dict[str, Any], prefix: str = "", leave_out: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Nested settings as lines of (dotted name, value), without paths."""
    lines: list[tuple[str, str]] = []
    for key, value in without_paths(record).items():
        if key in leave_out:
            continue
        name = f"{prefix}{key}"
        lines += _table(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return lines


def _version() -> str:
    try:
        return version("apical")
    except PackageNotFoundError:
        return "unknown"
