"""Pictures of trust and of robustness: reliability, risk against coverage, corruptions, slices, planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apical.judge.plane import EDGES, PlaneFigures
from apical.judge.probabilities import ProbabilityFigures
from apical.judge.reliability import Diagram
from apical.judge.report.plots import MARKERS, Picture, Theme, new_figure, themed_picture
from apical.judge.robustness import Robustness
from apical.judge.slices import Slice


def plot_reliability(before: Diagram, after: Diagram, method: str) -> Picture:
    """How often the named view was right, by how sure the method was, before and after calibration.

    A mark's size tells how many clips it stands for.
    """

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = new_figure(theme, 4.6, 4.4)
        axes.plot([0, 100], [0, 100], color=theme.faint, linewidth=1)
        for diagram, name, colour, marker in (
            (before, "as the classifier says", theme.colours[1], "D"),
            (after, "calibrated", theme.colours[0], "o"),
        ):
            _bins(axes, diagram, name, colour, marker)
        _square(axes, theme, "how sure, %", "how often right, %")
        axes.legend(loc="upper left", frameon=False, labelcolor=theme.ink)
        return figure

    return themed_picture(draw, f"Reliability diagram of {method}: share right by confidence, in percent")


def plot_view_reliability(diagrams: Mapping[str, Diagram], method: str) -> Picture:
    """The same for the calibrated probability of each view against the rest, one small panel a view."""
    columns = 4
    rows = -(-len(diagrams) // columns)

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(7.6, 1.95 * rows), layout="constrained")
        for number, (view, diagram) in enumerate(diagrams.items()):
            axes = figure.add_subplot(rows, columns, number + 1)
            axes.set_facecolor("none")
            axes.plot([0, 100], [0, 100], color=theme.faint, linewidth=1)
            _bins(axes, diagram, None, theme.colours[0], "o")
            _square(axes, theme, "", "")
            axes.set_title(view, fontsize=9, color=theme.ink)
        return figure

    return themed_picture(draw, f"Reliability of each view's calibrated probability of {method}")


def plot_risk_coverage(trust: Mapping[str, ProbabilityFigures], risk: float) -> Picture:
    """Share wrong of the answered clips over the share answered, and the operating point of each method."""

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = new_figure(theme, 5.6, 3.6)
        for i, (method, point) in enumerate(trust.items()):
            colour = theme.colours[i % 7]
            axes.plot(
                100 * point.curve.coverage, 100 * point.curve.risk, color=colour, label=method,
                linestyle=["-", "--", "-.", ":"][i % 4],
            )  # fmt: skip
            if point.wrong is not None:
                axes.plot(
                    100 * point.answered.value, 100 * point.wrong.value, MARKERS[i % 7], color=colour,
                    markersize=8, markeredgecolor=theme.page,
                )  # fmt: skip
        axes.axhline(100 * risk, color=theme.ink, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.set_xlim(0, 101)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("answered, % of the clips")
        axes.set_ylabel("wrong, % of those answered")
        axes.legend(frameon=False, labelcolor=theme.ink, fontsize=8)
        return figure

    return themed_picture(draw, "Share wrong of the answered clips over the share of clips answered")


def plot_robustness(rows: Sequence[Robustness]) -> Picture:
    """Macro F1 over the severity of each corruption, one small panel each, with its interval as a band."""
    names = list(dict.fromkeys(row.corruption for row in rows if row.severity))
    clean = next(row for row in rows if not row.severity)
    columns = 4
    lines = -(-len(names) // columns)

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(7.6, 1.9 * lines), layout="constrained")
        for number, name in enumerate(names):
            axes = figure.add_subplot(lines, columns, number + 1)
            points = [clean, *(row for row in rows if row.corruption == name)]
            x = [row.severity for row in points]
            f1 = np.array([[row.macro_f1.value, row.macro_f1.low, row.macro_f1.high] for row in points]) * 100
            axes.set_facecolor("none")
            axes.fill_between(x, f1[:, 1], f1[:, 2], color=theme.colours[0], alpha=0.2, linewidth=0)
            axes.plot(
                x, f1[:, 0], "o-", color=theme.colours[0], markersize=3.5, linewidth=1.3, label="macro F1"
            )
            sure = [100 * row.confidence.value for row in points]
            axes.plot(x, sure, "s:", color=theme.colours[1], markersize=3, linewidth=1.1, label="confidence")
            axes.set_ylim(0, 100)
            axes.set_xticks(x)
            axes.set_title(name, fontsize=9, color=theme.ink)
            _ink(axes, theme)
            if number == 0:
                axes.legend(frameon=False, labelcolor=theme.ink, fontsize=7, loc="lower left")
        return figure

    return themed_picture(draw, "Macro F1 and confidence over the severity of each corruption, × 100")


def plot_slices(slices: Sequence[Slice]) -> Picture | None:
    """Differences of recall at equal views between each slice and the rest; None if none was compared."""
    compared = [each for each in slices if each.difference is not None]
    if not compared:
        return None

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = new_figure(theme, 6.4, 0.7 + 0.24 * len(compared))
        for y, each in enumerate(compared):
            gap = each.difference
            assert gap is not None
            colour = theme.colours[1] if each.worst else theme.colours[0]
            axes.hlines(y, 100 * gap.low, 100 * gap.high, colour, linewidth=2)
            axes.plot(100 * gap.value, y, "D" if each.worst else "o", color=colour, markersize=5.5)
        axes.axvline(0, color=theme.ink, linewidth=0.8)
        axes.set_yticks(range(len(compared)), [f"{each.name}: {each.value}" for each in compared])
        axes.set_ylim(len(compared) - 0.5, -0.5)
        axes.set_xlabel("recall at equal views minus that of the rest, × 100")
        return figure

    return themed_picture(draw, "Difference of each slice from the rest, as in the table of slices")


def plot_planes(plane: PlaneFigures) -> Picture:
    """Share right and mean confidence by how far the probe was turned from the view."""
    names = [f"{low:g}–{high:g}°" for low, high in pairwise([0.0, *EDGES])] + [f"> {EDGES[-1]:g}°"]
    there = np.flatnonzero(plane.clips)

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = new_figure(theme, 5.2, 3.2)
        for offset, figures, name, marker, colour in (
            (-0.06, plane.right, "named rightly", "o", theme.colours[0]),
            (0.06, plane.confidence, "mean confidence", "s", theme.colours[1]),
        ):
            shown = [figures[i] for i in there]
            value = 100 * np.array([[each.value, each.low, each.high] for each in shown])
            x = np.arange(len(there)) + offset
            axes.vlines(x, value[:, 1], value[:, 2], colour, linewidth=2)
            axes.plot(x, value[:, 0], marker, color=colour, label=name, markersize=5.5)
        axes.set_xticks(range(len(there)), [f"{names[i]}\n{plane.clips[i]} clips" for i in there])
        axes.set_xlabel("angle between the clip's plane and the textbook's")
        axes.set_ylabel("% of the clips")
        axes.set_ylim(0, 102)
        axes.legend(frameon=False, labelcolor=theme.ink, fontsize=8, loc="lower left")
        return figure

    return themed_picture(draw, "Share named rightly and confidence by the error of the plane")


def _bins(axes: Axes, diagram: Diagram, name: str | None, colour: str, marker: str) -> None:
    clips = np.array(diagram.clips)
    there = clips > 0
    if not there.any():
        return
    confidence, right = (100 * np.array(each)[there] for each in (diagram.confidence, diagram.right))
    axes.plot(confidence, right, color=colour, linewidth=1, alpha=0.6)
    size = 8 + 90 * clips[there] / clips.max()
    axes.scatter(confidence, right, s=size, color=colour, marker=marker, label=name, linewidths=0)


def _square(axes: Axes, theme: Theme, x: str, y: str) -> None:
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    axes.set_aspect("equal")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _ink(axes, theme)


def _ink(axes: Axes, theme: Theme) -> None:
    axes.tick_params(colors=theme.ink, length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)
