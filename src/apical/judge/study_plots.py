"""Label-efficiency curves: F1 over the number of labelled patients."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib

from apical.judge.cells import FULL
from apical.judge.report.plots import LIGHT, MARKERS, new_figure
from apical.judge.study_figures import TESTED, Row, means_told

_SPREAD = 1.02  # methods stand beside each other by this factor, so that their intervals can be seen
_WIDEST = 1.3  # but all together no wider than this
_FEW, _SEVERAL = 4, 7  # methods up to which whole exams and bands are drawn
_TITLES = {"rare-view F1": "rare views", "common-view F1": "common views"}


def plot_label_curves(rows: Sequence[Row], budgets: Sequence[int | str], confidence: float) -> bytes:
    """A PNG: F1 of rare and of common views over the budget, a line a method with its interval as a band.

    Without common views there is one panel. The budget is on a logarithmic axis; ``all`` stands at its right
    end, wherever that truly lies. Methods with all labels are dashed, level lines. Answers with the whole
    exam are dotted, and left out where there are many methods; their intervals are then upright lines alone,
    and from the eighth on their marks hollow.

    Args:
        rows: every method at every budget that was judged.
        budgets: those of the study.
        confidence: of the intervals.
    """
    numbers = sorted(budget for budget in budgets if isinstance(budget, int))
    place: dict[int | str, float] = {number: float(number) for number in numbers}
    if "all" in budgets:
        place["all"] = 2.0 * numbers[-1] if numbers else 1.0
    methods = list(dict.fromkeys(row.method for row in rows))
    drawn = [row for row in rows if not row.whole_exam or len(methods) <= _FEW]
    lines = list(dict.fromkeys((row.method, row.whole_exam) for row in drawn))
    spread = min(_SPREAD, _WIDEST ** (1 / len(lines))) if lines else 1.0
    with matplotlib.rc_context({"font.size": 9, "text.parse_math": False}):
        names = [name for name in TESTED if name in means_told(rows)]
        figure, panels = new_figure(LIGHT, 4.8 * len(names), 4.2, panels=len(names))
        for axes, name in zip(panels, names, strict=True):
            for number, (method, whole) in enumerate(lines):
                of_line = [row for row in drawn if (row.method, row.whole_exam) == (method, whole)]
                i = methods.index(method)
                colour, style = LIGHT.colours[i % 7], ":" if whole else "-"
                label = f"{method}, whole exam" if whole else method
                full = [row.means[name] for row in of_line if row.budget == FULL]
                for level in full:
                    axes.axhline(100 * level.value, color=colour, linestyle="--", linewidth=1.2, label=label)
                    axes.axhspan(100 * level.low, 100 * level.high, color=colour, alpha=0.08, linewidth=0)
                at = [(place[row.budget], row.means[name]) for row in of_line if row.budget != FULL]
                at.sort(key=lambda one: one[0])
                if at:
                    shift = spread ** (number - (len(lines) - 1) / 2)
                    x = [shift * where for where, _ in at]
                    low, high = ([100 * getattr(one, end) for _, one in at] for end in ("low", "high"))
                    if len(methods) <= _SEVERAL:
                        axes.fill_between(x, low, high, color=colour, alpha=0.09, linewidth=0)
                    axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.6)
                    axes.plot(
                        x, [100 * one.value for _, one in at], linestyle=style, marker=MARKERS[i % 7],
                        color=colour, markersize=5, linewidth=1.5, label=label,
                        markerfacecolor=colour if i < 7 else LIGHT.page,
                    )  # fmt: skip
            axes.set_xscale("log")
            axes.set_xticks([*place.values()], [str(budget) for budget in place])
            axes.set_xticks([], minor=True)
            axes.set_xlim(min(place.values()) / 1.25, max(place.values()) * 1.25)
            axes.grid(axis="y", color=LIGHT.faint, linewidth=0.6)
            axes.set_title(_TITLES[name], fontsize=10, color=LIGHT.ink)
            axes.set_xlabel("labelled patients a rare view")
        panels[0].set_ylabel(f"F1 × 100 with {100 * confidence:g} % interval")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2 * len(names), frameon=False)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=160, metadata={"Software": None})
    return file.getvalue()
