"""The figures of each method on the judged clips, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.config import JudgeSettings
from apical.judge import metrics
from apical.judge.intervals import (
    Interval,
    Statistic,
    bootstrap,
    difference,
    patient_confusions,
    percentile_intervals,
)
from apical.judge.probabilities import ProbabilityFigures
from apical.judge.wording import percent
from apical.learn.predictions import Predictions


@dataclass(frozen=True)
class MethodFigures:
    """What is known of one method, averaged over its training seeds. All shares are 0 … 1.

    Attributes:
        method: its name.
        seeds: the training seeds it was judged on.
        means: "macro F1", "balanced accuracy", "accuracy" and, with rare views, "rare-view F1" and
            "common-view F1" (means over the views of that kind).
        view_f1: F1 of each view; NaN for a view that no judged clip shows.
        view_precision: precision of each view; NaN for a view never named.
        view_recall: recall of each view; NaN for a view that no judged clip shows.
        means_gain: `means` minus the baseline's on the same draws of patients; None for the baseline.
        view_f1_gain: `view_f1` minus the baseline's on the same draws of patients; None for the baseline.
        macro_f1_by_seed: one value a training seed, in the order of `seeds`.
        confusion: (k, k) int64, added up over seeds; rows are true views.
    """

    method: str
    seeds: tuple[int, ...]
    means: dict[str, Interval]
    view_f1: dict[str, Interval]
    view_precision: dict[str, float]
    view_recall: dict[str, float]
    means_gain: dict[str, Interval] | None
    view_f1_gain: dict[str, Interval] | None
    macro_f1_by_seed: tuple[float, ...]
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class JudgedRun:
    """A run that was judged, and the hash of its predictions by which it is known again."""

    method: str
    seed: int
    predictions_sha256: str


@dataclass(frozen=True)
class Evaluation:
    """The figures of one comparison, and where they were written.

    Attributes:
        split: the judged split.
        runs: the runs that were judged.
        views: the k views, in the order of every confusion matrix.
        support: labelled clips and their patients of each view, as {view: (clips, patients)}.
        absent: views that no judged clip shows; left out of every mean.
        patients: patients with a labelled clip in the judged split.
        clips: labelled clips in the judged split.
        splits: patients, clips and labelled clips of each split.
        budget: labelled training patients a view, or None.
        rare: see `rare_views`.
        baseline: the method that others are compared with, or None.
        methods: the baseline first.
        probabilities: of each method that has labelled validation clips to calibrate on.
        verdict: one sentence a comparison, following from the intervals, and one on runs left out, if any.
        metrics_file: all of this as JSON.
        report_file: all of this as one HTML page.
    """

    split: str
    runs: tuple[JudgedRun, ...]
    views: tuple[str, ...]
    support: dict[str, tuple[int, int]]
    absent: tuple[str, ...]
    patients: int
    clips: int
    splits: dict[str, dict[str, int]]
    budget: dict[str, int] | None
    rare: tuple[str, ...]
    baseline: str | None
    methods: tuple[MethodFigures, ...]
    probabilities: dict[str, ProbabilityFigures]
    verdict: tuple[str, ...]
    metrics_file: Path
    report_file: Path

    def facts(self) -> dict[str, Any]:
        """All but the files as JSON has it; NaN is None."""
        facts: dict[str, Any] = plain(self)
        return facts

    def lines(self) -> list[str]:
        """A table of the methods' F1 (× 100), the verdict and where the report is, for people."""
        about = f"{self.clips} clips of {self.patients} {self.split} patients, intervals over patients"
        return [about, *_table(self.methods), "", *self.verdict, f"report → {self.report_file}"]


def rare_views(budget: dict[str, int] | None, views: Sequence[str]) -> tuple[str, ...]:
    """The views with at most half the largest label budget; () where there is no budget.

    Half, because in real collections no two views are labelled for exactly the same number of patients.
    """
    if not budget:
        return ()
    return tuple(view for view in views if 2 * budget.get(view, 0) <= max(budget.values()))


def judge_methods(
    judged: Sequence[Predictions], settings: JudgeSettings, *, baseline: str | None, rare: Sequence[str]
) -> tuple[MethodFigures, ...]:
    """Figures of each method, the baseline first; every method is judged on the same draws of patients.

    Args:
        judged: one a method and seed, every method with the same seeds, all with the same clips in the
            same order, all labelled.
        settings: resamples, confidence and seed.
        baseline: a method of `judged`, or None.
        rare: views whose mean F1 is given separately.
    """
    views = judged[0].views
    names, statistic = _all_figures(views, rare)
    methods = sorted(dict.fromkeys(p.method for p in judged), key=lambda method: method != baseline)
    figures = []
    reference = None
    for method in methods:
        runs = [p for p in judged if p.method == method]
        counts = np.stack([patient_confusions(p.label, p.predicted, p.patient, len(views)) for p in runs])
        drawn = bootstrap(counts, statistic, resamples=settings.resamples, seed=settings.seed)
        intervals = percentile_intervals(drawn, settings.confidence)
        gain = None
        if method == baseline:
            reference = drawn
        elif reference is not None:
            gain = percentile_intervals(difference(drawn, reference), settings.confidence)
        by_seed = counts.sum(axis=1)
        figures.append(
            MethodFigures(
                method=method,
                seeds=tuple(p.seed for p in runs),
                means=dict(zip(names, intervals, strict=False)),
                view_f1=dict(zip(views, intervals[len(names) :], strict=True)),
                view_precision=_by_view(views, metrics.precision(by_seed)),
                view_recall=_by_view(views, metrics.recall(by_seed)),
                means_gain=None if gain is None else dict(zip(names, gain, strict=False)),
                view_f1_gain=None if gain is None else dict(zip(views, gain[len(names) :], strict=True)),
                macro_f1_by_seed=tuple(metrics.macro_f1(by_seed).tolist()),
                confusion=by_seed.sum(axis=0),
            )
        )
    return tuple(figures)


def _table(methods: Sequence[MethodFigures]) -> list[str]:
    """A header and a line a method: name, then macro, rare-view and common-view F1, right-aligned."""
    columns = {"macro F1": "macro F1", "rare-view F1": "rare", "common-view F1": "common"}
    columns = {name: short for name, short in columns.items() if name in methods[0].means}
    rows = [["F1 × 100", *columns.values()]]
    rows += [[method.method, *(percent(method.means[name]) for name in columns)] for method in methods]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([f"{row[0]:{first}}", *(f"{cell:>{w}}" for cell, w in zip(row[1:], others, strict=True))])
        for row in rows
    ]


def _all_figures(views: Sequence[str], rare: Sequence[str]) -> tuple[list[str], Statistic]:
    """The names of the means, and a function giving (…, means + k): the means, then F1 of each view."""
    is_rare = np.isin(views, rare)
    means = {
        "macro F1": metrics.macro_f1,
        "balanced accuracy": metrics.balanced_accuracy,
        "accuracy": metrics.accuracy,
    }
    if is_rare.any():
        means = {
            "rare-view F1": lambda confusion: metrics.mean_f1(confusion, is_rare),
            "common-view F1": lambda confusion: metrics.mean_f1(confusion, ~is_rare),
            **means,
        }

    def statistic(confusion: metrics.Counts) -> metrics.Figures:
        columns = [mean(confusion)[..., None] for mean in means.values()]
        return np.concatenate([*columns, metrics.f1(confusion)], axis=-1)

    return list(means), statistic


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses are objects without their paths, arrays lists, NaN null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain({name: each for name, each in vars(value).items() if not isinstance(each, Path)})
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if isinstance(value, float) and math.isnan(value) else value


def _by_view(views: Sequence[str], figures: metrics.Figures) -> dict[str, float]:
    """Mean over seeds (s, k) → {view: value}; NaN where a seed has none."""
    return dict(zip(views, figures.mean(axis=0).tolist(), strict=True))
