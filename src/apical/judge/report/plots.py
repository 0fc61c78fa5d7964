"""Pictures of the report, drawn once for light and once for dark pages.

Colours are Okabe & Ito's, which the colour-blind can tell apart; what a colour says, a marker's shape says
too.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from apical.judge.evaluation import Point
from apical.judge.figures import MethodFigures
from apical.judge.runs import Run


@dataclass(frozen=True)
class Picture:
    """One picture as two data URIs.

    Attributes:
        light: for light pages and print.
        dark: for dark pages.
        alt: what it shows, in words.
    """

    light: str
    dark: str
    alt: str


@dataclass(frozen=True)
class Theme:
    """Colours of light or of dark pages."""

    ink: str
    faint: str
    page: str
    strong: str  # the far end of the scale of confusion matrices
    colours: tuple[str, ...]


LIGHT = Theme(
    ink="#1b1f24", faint="#c9d0d8", page="#ffffff", strong="#084b8a",
    colours=("#0072b2", "#d55e00", "#009e73", "#aa3f87", "#b07a00", "#2f9bdb", "#55606c"),
)  # fmt: skip
DARK = Theme(
    ink="#e7ebf0", faint="#48515c", page="#14181d", strong="#8cc8ff",
    colours=("#56b4e9", "#ff9a4d", "#3fd0a4", "#e796c8", "#f0d04a", "#9fb4ff", "#b6c0cb"),
)  # fmt: skip
MARKERS = "osD^vPX"


def plot_view_f1(methods: Sequence[MethodFigures], views: Sequence[str], rare: Sequence[str]) -> Picture:
    """F1 of each view and method with its interval, from top to bottom in the order of `views`."""
    longest = max(len(method.method) for method in methods)

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = new_figure(theme, 5.0, 0.8 + len(views) * (0.14 + 0.11 * len(methods)))
        for i, method in enumerate(methods):
            offset = (i - (len(methods) - 1) / 2) * 0.7 / max(len(methods), 1)
            f1 = [method.view_f1[view] for view in views]
            y = np.arange(len(views)) + offset
            colour = theme.colours[i % 7]
            axes.hlines(y, [100 * f.low for f in f1], [100 * f.high for f in f1], colour, linewidth=2)
            axes.plot(
                [100 * f.value for f in f1], y, MARKERS[i % 7], color=colour, markersize=5.5,
                label=method.method,
            )  # fmt: skip
        for line in np.arange(1, len(views)) - 0.5:
            edge = (views[int(line)] in rare) != (views[int(line) + 1] in rare)
            axes.axhline(line, color=theme.ink if edge else theme.faint, linewidth=1 if edge else 0.5)
        axes.set_yticks(range(len(views)), [f"{view} (rare)" if view in rare else view for view in views])
        axes.set_ylim(len(views) - 0.5, -0.5)
        axes.set_xlim(-1, 101)
        axes.set_xlabel("F1 × 100 with interval over patients")
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=max(1, min(3, 44 // longest)),
            frameon=False, labelcolor=theme.ink, borderaxespad=0.2, columnspacing=1.2, handletextpad=0.2,
        )  # fmt: skip
        return figure

    return themed_picture(draw, "F1 of each view and method with its interval, as in the table of views")


def plot_label_curve(points: Sequence[Point]) -> Picture:
    """F1 of rare and of common views over labelled patients a rare view, a line a method."""
    methods = list(dict.fromkeys(point.method for point in points))
    names = [name for name in ("rare-view F1", "common-view F1") if name in points[0].means]

    def draw(theme: Theme) -> Figure:
        figure, panels = new_figure(theme, 3.6 * len(names), 3.2, panels=len(names))
        for axes, name in zip(panels, names, strict=True):
            for i, method in enumerate(methods):
                mine = sorted((p for p in points if p.method == method), key=lambda p: p.patients)
                x = [p.patients for p in mine]
                f1 = 100 * np.array(
                    [[getattr(p.means[name], k) for k in ("value", "low", "high")] for p in mine]
                )
                colour = theme.colours[i % 7]
                axes.vlines(x, f1[:, 1], f1[:, 2], colour, linewidth=2)
                axes.plot(x, f1[:, 0], f"{MARKERS[i % 7]}-", color=colour, markersize=5.5, label=method)
            axes.set_xscale("log")
            ticks = sorted({p.patients for p in points})
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            axes.set_xlabel("labelled patients a rare view")
            axes.set_title(f"{name} × 100", fontsize=10, color=theme.ink)
        panels[0].legend(frameon=False, labelcolor=theme.ink, fontsize=8)
        return figure

    return themed_picture(draw, "F1 of rare and of common views over the number of labelled patients")


def plot_confusion(method: MethodFigures, views: Sequence[str]) -> Picture:
    """Shares of each true view (rows) that were named as each view (columns), in percent."""
    counts = method.confusion.astype(float)
    shown = counts.sum(1, keepdims=True)
    shares = np.divide(100 * counts, shown, out=np.full_like(counts, np.nan), where=shown > 0)
    k = len(views)

    def draw(theme: Theme) -> Figure:
        size = 1.4 + 0.36 * k
        figure, (axes,) = new_figure(theme, size, size)
        scale = LinearSegmentedColormap.from_list("shares", [theme.page, theme.strong])
        axes.pcolormesh(np.nan_to_num(shares), cmap=scale, vmin=0, vmax=100, edgecolors=theme.faint, lw=0.4)
        for i, j in np.ndindex(k, k):
            if shares[i, j] >= 0.5:
                axes.text(
                    j + 0.5, i + 0.5, f"{shares[i, j]:.0f}", ha="center", va="center", fontsize=8.5,
                    color=theme.page if shares[i, j] > 55 else theme.ink,
                    fontweight="bold" if i == j else "normal",
                )  # fmt: skip
            elif i == j:
                axes.text(j + 0.5, i + 0.5, "0" if shown[i, 0] else "–", ha="center", va="center",
                          fontsize=8.5, color=theme.ink)  # fmt: skip
        axes.set_xticks(np.arange(k) + 0.5, list(views), rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(np.arange(k) + 0.5, list(views))
        axes.set_ylim(k, 0)
        axes.set_aspect("equal")
        axes.set_xlabel("view named")
        axes.set_ylabel("true view")
        axes.grid(False)
        return figure

    return themed_picture(
        draw, f"Confusion matrix of {method.method}: share of each true view named as each view"
    )


def plot_curves(runs: Sequence[Run], methods: Sequence[str]) -> Picture | None:
    """Training loss and, where it was logged, validation macro F1 over steps; None without any curve."""
    panels = [
        (key, text)
        for key, text in (("loss", "training loss"), ("validation_macro_f1", "validation macro F1 × 100"))
        if any(len(_curve(run, key)[0]) for run in runs)
    ]
    if not panels:
        return None

    def draw(theme: Theme) -> Figure:
        figure, all_axes = new_figure(theme, 7.2, 2.9, panels=len(panels))
        for axes, (key, text) in zip(all_axes, panels, strict=True):
            named = set()
            for run in runs:
                method = run.predictions.method
                i = methods.index(method) % 7
                step, value = _curve(run, key)
                if key == "validation_macro_f1":
                    value = 100 * value
                axes.plot(
                    step, value, color=theme.colours[i], linewidth=1.3,
                    linestyle=["-", "--", "-.", ":"][i % 4],
                    label=method if method not in named and len(step) else None,
                )  # fmt: skip
                named.add(method)
            axes.set_xlabel("step")
            axes.set_title(text, fontsize=10, color=theme.ink)
            axes.legend(frameon=False, labelcolor=theme.ink, fontsize=8)
        return figure

    return themed_picture(
        draw, "Training curves: " + " and ".join(text for _, text in panels) + " over steps"
    )


def new_figure(theme: Theme, width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels side by side, in inches, and its axes, in the colours of a theme."""
    figure = Figure(figsize=(width, height), layout="constrained")
    all_axes = [figure.add_subplot(1, panels, i + 1) for i in range(panels)]
    for axes in all_axes:
        axes.set_facecolor("none")
        axes.tick_params(colors=theme.ink, length=0)
        axes.grid(axis="x", color=theme.faint, linewidth=0.6)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_color(theme.faint)
        axes.xaxis.label.set_color(theme.ink)
        axes.yaxis.label.set_color(theme.ink)
    return figure, all_axes


def _curve(run: Run, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps and values of the records that hold a finite `key`."""
    rows = [
        (float(record["step"]), float(record[key]))
        for record in run.curve
        if isinstance(record.get(key), int | float) and math.isfinite(record[key]) and "step" in record
    ]
    table = np.array(rows).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def themed_picture(draw: Callable[[Theme], Figure], alt: str) -> Picture:
    """What `draw` makes of each theme, with a description in words."""

    def uri(theme: Theme) -> str:
        file = io.BytesIO()
        with matplotlib.rc_context(
            {"svg.fonttype": "none", "svg.hashsalt": "apical", "font.size": 9, "text.parse_math": False}
        ):
            draw(theme).savefig(file, format="svg", transparent=True, metadata={"Date": None})
        return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()

    return Picture(uri(LIGHT), uri(DARK), alt)
