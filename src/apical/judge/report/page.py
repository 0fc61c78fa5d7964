"""One HTML file that holds the whole evaluation and needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from apical.config import JudgeSettings
from apical.errors import CannotDo
from apical.files import write_atomically
from apical.judge import wording
from apical.judge.clinical_cost import NEIGHBOUR, SAME_WINDOW
from apical.judge.evaluation import Comparison, Evaluation
from apical.judge.figures import MethodFigures
from apical.judge.probabilities import ERROR_RATE
from apical.judge.report import curves, plots
from apical.judge.report.checklists import fill
from apical.judge.report.embedding import clip_map, sign_of
from apical.judge.report.explained import Explained
from apical.judge.report.facts import data_facts, known_items, model_facts, start_of
from apical.judge.report.pictures import (
    Pair,
    Shown,
    Thumbnails,
    most_confused,
    surest_right,
    surest_wrong,
)
from apical.judge.runs import Run, read_json, without_paths
from apical.learn.predictions import Predictions

FEW_PATIENTS = 5
"""Views with fewer judged patients than this are marked: their intervals are not to be relied on."""

SECTIONS = {
    "methods": "Methods",
    "views": "Views",
    "label_curve": "Labels needed",
    "confusion": "Confusion",
    "trust": "Calibration and sets",
    "selective": "Answering when sure",
    "unknown": "Unknown",
    "levels": "Frames, clips, studies",
    "slices": "Slices",
    "robustness": "Worse pictures",
    "gallery": "Clips",
    "explained": "Decisions explained",
    "plane": "Plane error",
    "map": "Map",
    "training": "Training",
    "data": "Patients and clips",
    "cards": "Model and data",
    "limits": "Intended use, limits",
    "missing": "What is not told",
    "checklists": "Checklists",
    "made": "How it was made",
}


@dataclass(frozen=True)
class Extras:
    """What the page shows beside the figures.

    Attributes:
        thumbnails: from a clip id to a picture; None shows no pictures of clips.
        explained: some decisions, or None.
        study: folder of a study whose curve is shown, or None.
        data_card: whether a card of the data lies beside the page.
        catalogue_facts: what the catalogue tells of the data, as (name, value).
    """

    thumbnails: Thumbnails | None = None
    explained: Explained | None = None
    study: Path | None = None
    data_card: bool = False
    catalogue_facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Sheet:
    """Example clips of one run."""

    method: str
    seed: int
    wrong_clips: int
    wrong: list[Shown]
    pairs: list[Pair]
    right: list[Shown]


def write_report(
    evaluation: Evaluation,
    runs: Sequence[Run],
    judged: Sequence[Predictions],
    settings: JudgeSettings,
    *,
    title: str,
    extras: Extras,
) -> None:
    """Write `evaluation.report_file`.

    Args:
        evaluation: the figures.
        runs: the runs as read, for curves, settings and environment.
        judged: the judged clips of each run, in the order of `runs`.
        settings: how it was judged.
        title: the headline.
        extras: what is shown beside.

    Raises:
        CannotDo: the file cannot be written, or the study cannot be read.
    """
    methods, deep = evaluation.methods, evaluation.deep
    views = sorted(evaluation.views, key=lambda view: view not in evaluation.rare)
    present = [view for view in views if view not in evaluation.absent]
    subject = next(method for method in methods if method.method == deep.method)
    trust = evaluation.probabilities.get(deep.method)
    of_subject = next(run for run in runs if run.predictions.method == deep.method)
    content: dict[str, Any] = {
        "view_f1": plots.plot_view_f1(methods, present, evaluation.rare),
        "confusions": [(method, plots.plot_confusion(method, evaluation.views)) for method in methods],
        "curves": plots.plot_curves(runs, [method.method for method in methods]),
        "maps": [
            found
            for method in methods
            if method.method in (evaluation.baseline, deep.method)
            and (found := clip_map(_first_seed(method, judged), extras.thumbnails)) is not None
        ],
        "sheet": _sheet(subject, judged, extras.thumbnails) if extras.thumbnails else None,
        "explained": extras.explained,
        "study": _study(extras.study) if extras.study else None,
        "slices": curves.plot_slices(deep.slices),
        "robustness": curves.plot_robustness(deep.robustness) if deep.robustness else None,
        "planes": curves.plot_planes(deep.plane) if deep.plane else None,
    }
    if trust:
        of_views = dict(zip(evaluation.views, trust.after.view_diagrams, strict=True))
        content |= {
            "reliability": curves.plot_reliability(trust.before.diagram, trust.after.diagram, deep.method),
            "view_reliability": curves.plot_view_reliability(
                {view: of_views[view] for view in present}, deep.method
            ),
        }
    if evaluation.probabilities:
        content["risk_coverage"] = curves.plot_risk_coverage(evaluation.probabilities, settings.risk)
    shown = _shown(evaluation, content)
    html = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            evaluation=evaluation,
            settings=settings,
            views=views,
            few=[view for view, (_, patients) in evaluation.support.items() if 0 < patients < FEW_PATIENTS],
            error_rate=ERROR_RATE,
            few_patients=FEW_PATIENTS,
            costs={"neighbour": NEIGHBOUR, "same_window": SAME_WINDOW},
            leakage_checked=all("train" in run.predictions.split for run in runs),
            starts={run.predictions.method: start_of(run) for run in runs},
            spread=max(np.ptp(method.macro_f1_by_seed) for method in methods),
            signs=[sign_of(view) for view in range(len(evaluation.views))],
            sections=["head", *shown],
            contents=[(name.replace("_", "-"), SECTIONS[name]) for name in shown],
            model_facts=model_facts(of_subject, evaluation),
            data_facts=[*data_facts(evaluation), *extras.catalogue_facts],
            data_card=extras.data_card,
            checklists=fill(known_items(evaluation, of_subject, settings, set(shown))),
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
            **content,
        )
    )
    write_atomically(evaluation.report_file, html.encode())


def write_comparison(comparison: Comparison, settings: JudgeSettings, *, title: str) -> None:
    """Write the page of `apical.judge.compare.compare`.

    Raises:
        CannotDo: the file cannot be written.
    """
    views = sorted(comparison.views, key=lambda view: view not in comparison.rare)
    methods = comparison.methods
    present = [view for view in views if not np.isnan(methods[0].view_f1[view].value)]
    html = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            comparison=comparison,
            settings=settings,
            sections=["compare"],
            curve=plots.plot_label_curve(comparison.curve) if comparison.curve else None,
            view_f1=plots.plot_view_f1(methods, present, comparison.rare),
            confusions=[(method, plots.plot_confusion(method, comparison.views)) for method in methods],
        )
    )
    write_atomically(comparison.report_file, html.encode())


def _shown(evaluation: Evaluation, content: dict[str, Any]) -> list[str]:
    """The sections that there is something to show in."""
    deep = evaluation.deep
    empty = {
        "label_curve": not content["study"],
        "trust": deep.method not in evaluation.probabilities,
        "selective": not evaluation.probabilities,
        "unknown": deep.unknown is None,
        "slices": not deep.slices,
        "robustness": not deep.robustness,
        "gallery": not content["sheet"],
        "explained": not content["explained"],
        "plane": deep.plane is None,
        "map": not content["maps"],
        "training": not content["curves"],
        "missing": not deep.missing,
    }
    return [name for name in SECTIONS if not empty.get(name)]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("apical.judge.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("percent", "points", "shown", "value", "limits", "p_value")
    environment.filters |= {name: getattr(wording, name) for name in names} | {"figure": wording.number}
    return environment


def _first_seed(method: MethodFigures, judged: Sequence[Predictions]) -> Predictions:
    return min((p for p in judged if p.method == method.method), key=lambda p: p.seed)


def _sheet(method: MethodFigures, judged: Sequence[Predictions], thumbnails: Thumbnails) -> Sheet:
    run = _first_seed(method, judged)
    return Sheet(
        run.method,
        run.seed,
        int((run.predicted != run.label).sum()),
        surest_wrong(run, thumbnails),
        most_confused(run, thumbnails),
        surest_right(run, thumbnails),
    )


def _study(folder: Path) -> dict[str, Any]:
    """The curve of a finished study as a data URI, and its sentences."""
    facts = read_json(folder / "study.json")
    try:
        picture = (folder / "curves.png").read_bytes()
        verdict = [str(sentence) for sentence in facts["verdict"]]
    except (OSError, TypeError, KeyError):
        raise CannotDo(
            f"'{folder.name}' holds no finished study", "give a folder that 'apical study' made"
        ) from None
    return {"curves": "data:image/png;base64," + base64.b64encode(picture).decode(), "verdict": verdict}


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
