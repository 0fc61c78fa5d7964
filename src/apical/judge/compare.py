"""Several kinds of runs side by side, each against each, also with different label budgets.

`apical.judge.evaluate` asks how much better than a baseline a method is, under one budget. Here nothing is
the baseline, and the same method under two budgets is two kinds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from apical.config import JudgeSettings
from apical.errors import WrongCall
from apical.files import write_atomically
from apical.judge.evaluation import Comparison, Pair, Point
from apical.judge.figures import MethodFigures, Sampling, gain_over, judge_methods, rare_among, sample_methods
from apical.judge.holm import holm_together
from apical.judge.report.page import write_comparison
from apical.judge.runs import Run, judged_runs, read_run, with_common_seeds
from apical.judge.wording import p_value, shown, signed


def compare(
    runs: Sequence[Path],
    out: Path,
    settings: JudgeSettings = JudgeSettings(),
    *,
    split: Literal["validation", "test"] = "test",
    title: str = "Runs side by side",
) -> Comparison:
    """Judge runs on the same clips, each kind against each; write ``compare.json`` and ``compare.html``.

    Runs of one method and one label budget are one kind, and its training seeds are judged together.

    Args:
        runs: run folders, of at least two kinds.
        out: a folder, made if needed.
        settings: how to judge.
        split: whose labelled clips to judge on.
        title: the headline of the page.

    Raises:
        WrongCall: fewer than two kinds, or one given twice.
        PatientOverlap: a patient stands in more than one split.
        CannotDo: a run cannot be read, or the runs cannot be compared.
    """
    read = [read_run(Path(folder)) for folder in runs]
    named = _kinds(read)
    method_of = {
        kind.predictions.method: run.predictions.method for kind, run in zip(named, read, strict=True)
    }
    loaded, left_out = with_common_seeds(named)
    judged = judged_runs(loaded, split, any_budget=True)
    names = list(dict.fromkeys(run.method for run in judged))
    if len(names) < 2:
        raise WrongCall("there is nothing to compare", "give runs of two methods or label budgets at least")
    budgets = {run.predictions.method: run.budget for run in loaded}
    fewest = min((budget for budget in budgets.values() if budget), key=_labels, default=None)
    rare = rare_among(judged[0], fewest)
    sampling = sample_methods(judged, settings, rare=rare)
    methods = judge_methods(sampling, baseline=None)
    pairs = _pairs(sampling)
    comparison = Comparison(
        split=split,
        views=judged[0].views,
        rare=rare,
        clips=len(judged[0]),
        patients=len(np.unique(judged[0].patient)),
        methods=methods,
        pairs=pairs,
        curve=_curve(methods, method_of, budgets, rare),
        verdict=tuple(_sentence(pair, settings.confidence) for pair in pairs)
        + ((left_out,) if left_out else ()),
        metrics_file=Path(out) / "compare.json",
        report_file=Path(out) / "compare.html",
    )
    facts = comparison.facts() | {"settings": settings.model_dump(mode="json")}
    write_atomically(comparison.metrics_file, json.dumps(facts, indent=1, ensure_ascii=False).encode())
    write_comparison(comparison, settings, title=title)
    return comparison


def _kinds(runs: Sequence[Run]) -> list[Run]:
    """The runs, those of one method under several budgets named by their budget too."""
    budgets: dict[str, list[dict[str, int] | None]] = {}
    for run in runs:
        of_method = budgets.setdefault(run.predictions.method, [])
        if run.budget not in of_method:
            of_method.append(run.budget)
    return [
        replace(run, predictions=replace(run.predictions, method=_name(run, budgets[run.predictions.method])))
        for run in runs
    ]


def _name(run: Run, budgets: Sequence[dict[str, int] | None]) -> str:
    """The method, and if it has several budgets how many patients a view, which must tell them apart."""
    words = [_budget_words(budget) for budget in budgets]
    mine = budgets.index(run.budget)
    if len(budgets) == 1:
        return run.predictions.method
    same = [i for i, each in enumerate(words) if each == words[mine]]
    which = f", budget {same.index(mine) + 1} of {len(same)} such" if len(same) > 1 else ""
    return f"{run.predictions.method}, {words[mine]}{which}"


def _budget_words(budget: dict[str, int] | None) -> str:
    if budget is None:
        return "budget not known"
    few, many = min(budget.values()), max(budget.values())
    return f"{few if few == many else f'{few} to {many}'} patients a view"


def _labels(budget: Mapping[str, int]) -> int:
    return sum(budget.values())


def _pairs(sampling: Sampling) -> tuple[Pair, ...]:
    """Later kinds minus earlier ones, with p-values corrected over all of them."""
    found = []
    for other, one in combinations(sampling.methods, 2):
        gains, p = gain_over(sampling, one, other)
        found.append(Pair(one.method, other.method, {name: gains[name] for name in p}, p))
    adjusted = holm_together([pair.adjusted for pair in found])
    return tuple(replace(pair, adjusted=p) for pair, p in zip(found, adjusted, strict=True))


def _curve(
    methods: Sequence[MethodFigures],
    method_of: Mapping[str, str],
    budgets: Mapping[str, dict[str, int] | None],
    rare: Sequence[str],
) -> tuple[Point, ...]:
    """Figures of kinds over labelled patients, if there are several numbers of these."""
    points_of = [
        Point(
            method_of[one.method],
            float(np.mean([budget.get(view, 0) for view in rare])),
            {name: one.means[name] for name in ("rare-view F1", "common-view F1") if name in one.means},
        )
        for one in methods
        if rare and (budget := budgets[one.method]) is not None
    ]
    return tuple(points_of) if len({point.patients for point in points_of}) > 1 else ()


def _sentence(pair: Pair, confidence: float) -> str:
    """Better or worse only where the interval leaves out zero and the corrected p is small."""
    parts = []
    for name, gain in pair.gains.items():
        direction = shown(gain)
        if pair.adjusted[name] >= 1 - confidence:
            direction = ""
        p = p_value(pair.adjusted[name])
        size = f"{signed(gain.value)}, {signed(gain.low)} to {signed(gain.high)}, p {p}"
        parts.append(f"{direction or 'not shown to differ'} in {name} ({size})")
    return f"{pair.one} against {pair.other}: {'; '.join(parts)}."
