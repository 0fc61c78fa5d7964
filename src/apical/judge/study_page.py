"""The tables of a study as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from apical.judge.cells import FULL, budget_words
from apical.judge.intervals import Interval
from apical.judge.study_figures import MEANS, TESTED, Difference, Row, means_told
from apical.judge.wording import p_value, percent, points

if TYPE_CHECKING:
    from apical.judge.study_report import Study

FEW_PATIENTS = 5  # judged patients of a view below which its interval is not to be relied on


def study_page(study: Study) -> str:
    """The whole of ``study.md``."""
    settings = study.settings
    sure = f"{100 * settings.judge.confidence:g} %"
    done = sum(cell["done"] for cell in study.cells)
    numbers = len({row.pretrainings for row in study.rows} - {()}) and len(settings.pretrainings)
    few = [view for view, (_, patients) in study.support.items() if 0 < patients < FEW_PATIENTS]
    named = means_told(study.rows)
    absent = [view for view, (clips, _) in study.support.items() if not clips]
    facts = [
        f"{done} of {len(study.cells)} cells are done: {_count(len(settings.methods), 'method')}, "
        f"{_count(len(settings.budgets), 'budget')}, {_count(settings.draws, 'draw')} of the labels"
        + (f", {_count(numbers, 'pre-training')}." if numbers else "."),
        f"Rare views: {', '.join(settings.rare)}. "
        + (
            f"A common view has labels of {'all' if settings.common == 'all' else settings.common} patients."
            if "common-view F1" in named
            else "No other view is judged."
        ),
        f"Judged on {study.clips} labelled clips of {study.patients} {settings.split} patients. F1 × 100, "
        f"averaged over cells. {sure} intervals from {settings.judge.resamples} draws, with replacement, of "
        "patients, label draws and pre-trainings at once; differences are in pairs, on the same draws.",
        *([f"No judged clip shows {', '.join(absent)}: left out of all means."] if absent else []),
        *(
            [f"Fewer than {FEW_PATIENTS} judged patients show {', '.join(few)}: do not rely on these."]
            if few
            else []
        ),
        *study.notes,
    ]
    parts = ["# Study of label budgets", *facts]
    if study.problems:
        parts += ["## Problems", "\n".join(f"- {problem}" for problem in study.problems)]
    parts += [
        "## What was found",
        "\n".join(f"- {sentence}" for sentence in study.verdict) or "Nothing to compare.",
    ]
    parts += ["![Label-efficiency curves](curves.png)"]
    parts += [part for name in named for part in (f"## {name[0].upper()}{name[1:]}", _by_budget(study, name))]
    parts += _differences(study.differences)
    parts += _views(study)
    if study.distances:
        parts += [
            f"## Distance to {study.distances[0].other}, which has all labels",
            _distances(study.distances),
        ]
    return "\n\n".join([*parts, "## What it took", _costs(study)]) + "\n"


def _by_budget(study: Study, name: str) -> str:
    """Methods × budgets."""
    budgets = [*study.settings.budgets, FULL]
    budgets = [budget for budget in budgets if any(row.budget == budget for row in study.rows)]
    lines = list(dict.fromkeys((row.method, row.whole_exam) for row in study.rows))
    found = {(row.method, row.whole_exam, row.budget): row for row in study.rows}
    return _table(
        ["method", *map(budget_words, budgets)],
        [
            [
                method + ", whole exam" * whole,
                *(_percent_of(found.get((method, whole, budget)), name) for budget in budgets),
            ]
            for method, whole in lines
        ],
    )


def _percent_of(row: Row | None, name: str) -> str:
    return "" if row is None else percent(row.means[name])


def _differences(differences: Sequence[Difference]) -> list[str]:
    if not differences:
        return []
    tests = sum(not math.isnan(p) for one in differences for p in one.p.values())
    about = (
        f"Two-sided bootstrap p-values of {tests} comparisons; beside each what Holm's correction for all of "
        "them makes of it."
    )
    header = ["comparison", "budget", "draws"]
    for name in TESTED:
        header += [name.removesuffix(" F1"), "p", "Holm"]
    rows = [
        [f"{one.method} − {one.other}", str(one.budget), str(len(one.draws))]
        + [
            text
            for name in TESTED
            for text in (points(one.means[name]), p_value(one.p.get(name)), p_value(one.adjusted.get(name)))
        ]
        for one in differences
    ]
    return ["## Differences", about, _table(header, rows)]


def _views(study: Study) -> list[str]:
    """The paper's table at each budget: F1 of each view without and with pre-training, and the gain."""
    settings = study.settings
    parts = []
    for one in study.differences:
        if (one.method, one.other) != (study.headline, settings.baseline):
            continue
        found = {row.method: row for row in study.rows if row.budget == one.budget and not row.whole_exam}
        mine, base = found[one.method], found[one.other]
        shown = [view for view, (clips, _) in study.support.items() if clips]
        shown.sort(key=lambda view: view not in settings.rare)
        lines = [
            _gain(f"{view} (rare)" if view in settings.rare else view, base.view_f1[view], mine.view_f1[view],
                  one.view_f1[view], one.relative[view])
            for view in shown
        ]  # fmt: skip
        lines += [
            _gain(f"**{name}**", base.means[name], mine.means[name], one.means[name], one.relative[name])
            for name in means_told(study.rows)
        ]
        header = ["view", one.other, one.method, "gain in points", "relative gain"]
        parts += [f"## View by view, {budget_words(one.budget)}", _table(header, lines)]
    return parts


def _gain(name: str, base: Interval, mine: Interval, gain: Interval, relative: float) -> list[str]:
    share = "–" if math.isnan(relative) else f"{100 * relative:+.0f} %".replace("-", "−")
    return [name, percent(base), percent(mine), points(gain), share]


def _distances(distances: Sequence[Difference]) -> str:
    rows = [[one.method, str(one.budget), *(points(one.means[name]) for name in MEANS)] for one in distances]
    return _table(["method", "budget", *MEANS], rows)


def _costs(study: Study) -> str:
    rows = [
        [
            name,
            str(cost.cells),
            f"{cost.seconds:.1f}",
            f"{cost.cpu_seconds:.1f}",
            f"{cost.peak_memory_mb:.0f}",
            "" if cost.pretraining_seconds is None else f"{cost.pretraining_seconds:.1f}",
        ]
        for name, cost in study.costs.items()
    ]
    header = ["method", "trainings", "seconds each", "CPU seconds each", "peak memory, MB"]
    return _table([*header, "seconds of a pre-training, which serves all of them"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
