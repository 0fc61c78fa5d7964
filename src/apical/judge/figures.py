"""The figures of each method on the judged clips, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.config import JudgeSettings
from apical.judge import metrics
from apical.judge.clinical_cost import SHORT_AXIS, clinical_cost
from apical.judge.holm import holm_together
from apical.judge.intervals import (
    KINDS,
    Bootstrap,
    Interval,
    Statistic,
    bootstrap,
    difference,
    patient_confusions,
)
from apical.judge.permutation import permutation_p
from apical.judge.ranking import rank_figures
from apical.learn.predictions import Predictions

TESTED = ("rare-view F1", "common-view F1")
"""Means that methods are compared by, or macro F1 where no view is rare."""

OF_VIEWS = ("precision", "recall", "AUROC", "average precision")
"""Figures of each view beside its F1."""


@dataclass(frozen=True)
class MethodFigures:
    """What is known of one method, averaged over its training seeds. All but costs are shares, 0 … 1.

    Attributes:
        method: its name.
        seeds: the training seeds it was judged on.
        means: with rare views, "rare-view F1" and "common-view F1" (means over the views of that kind); then
            macro and weighted F1, balanced accuracy, accuracy, top-2 accuracy, Cohen's kappa, kappa and
            mean of clinical cost, quadratic kappa of the short axis's levels, macro AUROC and average
            precision.
        view_f1: F1 of each view; NaN for a view that no judged clip shows.
        by_view: `OF_VIEWS` → view → figure; NaN where not defined, as for a view that no clip shows.
        means_gain: `means` minus the baseline's on the same draws of patients; None for the baseline.
        view_f1_gain: F1 of each view minus the baseline's on the same draws; None for the baseline.
        p: of "no difference from the baseline" in `TESTED`, by permutation of patients; {} for the baseline.
        adjusted: `p` after Holm's correction for all methods and all that is tested.
        macro_f1_by_seed: one value a training seed, in the order of `seeds`.
        confusion: (k, k) int64, added up over seeds; rows are true views.
    """

    method: str
    seeds: tuple[int, ...]
    means: dict[str, Interval]
    view_f1: dict[str, Interval]
    by_view: dict[str, dict[str, Interval]]
    means_gain: dict[str, Interval] | None
    view_f1_gain: dict[str, Interval] | None
    p: dict[str, float]
    adjusted: dict[str, float]
    macro_f1_by_seed: tuple[float, ...]
    confusion: NDArray[np.int64]


def rare_views(budget: dict[str, int] | None, views: Sequence[str]) -> tuple[str, ...]:
    """The views with at most half the largest label budget; () where there is no budget.

    Half, because in real collections no two views are labelled for exactly the same number of patients.
    """
    if not budget:
        return ()
    return tuple(view for view in views if 2 * budget.get(view, 0) <= max(budget.values()))


def rare_among(judged: Predictions, budget: dict[str, int] | None) -> tuple[str, ...]:
    """`rare_views` of those that have labels to learn from, or judged clips."""
    shown = {judged.views[view] for view in np.unique(judged.label[judged.label >= 0])}
    return rare_views(budget, [view for view in judged.views if view in shown or (budget or {}).get(view)])


@dataclass(frozen=True)
class Sampled:
    """One method's runs with their figures over draws of patients; of all methods the same draws."""

    method: str
    runs: tuple[Predictions, ...]
    counts: metrics.Counts
    drawn: Bootstrap


@dataclass(frozen=True)
class Sampling:
    """How figures are had, and what was found for each method, in the order of their first runs."""

    settings: JudgeSettings
    names: tuple[str, ...]
    statistic: Statistic
    methods: tuple[Sampled, ...]


def sample_methods(
    judged: Sequence[Predictions], settings: JudgeSettings, *, rare: Sequence[str]
) -> Sampling:
    """Draw patients, and take the figures of each method.

    Args:
        judged: one a method and seed, every method with the same seeds, all with the same clips in the
            same order, all labelled.
        settings: resamples, kind of interval, confidence, costs and seed.
        rare: views whose mean F1 is given separately.

    Raises:
        WrongCall: a cost is of a view that there is not.
    """
    views = judged[0].views
    names, statistic = _of_confusions(views, rare, settings)
    found = []
    for method in dict.fromkeys(p.method for p in judged):
        runs = tuple(p for p in judged if p.method == method)
        counts = np.stack([patient_confusions(p.label, p.predicted, p.patient, len(views)) for p in runs])
        drawn = bootstrap(counts, statistic, resamples=settings.resamples, seed=settings.seed)
        found.append(Sampled(method, runs, counts, drawn))
    return Sampling(settings, tuple(names), statistic, tuple(found))


def gain_over(
    sampling: Sampling, one: Sampled, other: Sampled
) -> tuple[dict[str, Interval], dict[str, float]]:
    """Figures of one method minus the other's on the same draws, and p-values of what is `TESTED`."""
    settings, names = sampling.settings, sampling.names
    gap = KINDS[settings.interval](difference(one.drawn, other.drawn), settings.confidence)
    values = permutation_p(
        one.counts, other.counts, sampling.statistic, resamples=settings.resamples, seed=settings.seed
    )
    tested = [name for name in TESTED if name in names] or ["macro F1"]
    return dict(zip(names, gap, strict=True)), {name: float(values[names.index(name)]) for name in tested}


def judge_methods(sampling: Sampling, *, baseline: str | None) -> tuple[MethodFigures, ...]:
    """Figures of each method, the baseline first, and their differences from it."""
    ordered = sorted(sampling.methods, key=lambda one: one.method != baseline)
    reference = ordered[0] if ordered[0].method == baseline else None
    figures = []
    for one in ordered:
        gain: dict[str, Interval] | None = None
        p: dict[str, float] = {}
        if reference is not None and one is not reference:
            gain, p = gain_over(sampling, one, reference)
        figures.append(_figures_of(sampling, one, gain, p))
    adjusted = holm_together([one.p for one in figures])
    return tuple(replace(one, adjusted=p) for one, p in zip(figures, adjusted, strict=True))


def _figures_of(
    sampling: Sampling, one: Sampled, gain: dict[str, Interval] | None, p: dict[str, float]
) -> MethodFigures:
    settings, views = sampling.settings, one.runs[0].views
    ranked_names, ranked = rank_figures(one.runs, resamples=settings.resamples, seed=settings.seed)
    of_confusions = KINDS[settings.interval](one.drawn, settings.confidence)
    found = _named([*sampling.names, *ranked_names], of_confusions, ranked, settings)
    by_seed = one.counts.sum(axis=1)
    return MethodFigures(
        method=one.method,
        seeds=tuple(run.seed for run in one.runs),
        means={name: figure for name, figure in found.items() if " of " not in name},
        view_f1={view: found[f"F1 of {view}"] for view in views},
        by_view={what: {view: found[f"{what} of {view}"] for view in views} for what in OF_VIEWS},
        means_gain=gain and {name: figure for name, figure in gain.items() if " of " not in name},
        view_f1_gain=gain and {view: gain[f"F1 of {view}"] for view in views},
        p=p,
        adjusted={},
        macro_f1_by_seed=tuple(metrics.macro_f1(by_seed).tolist()),
        confusion=by_seed.sum(axis=0),
    )


def _named(
    names: Sequence[str], of_confusions: Sequence[Interval], ranked: Bootstrap, settings: JudgeSettings
) -> dict[str, Interval]:
    """All figures by name. Ranking figures have no jackknife, so no BCa: they are expanded instead."""
    kind = "expanded" if settings.interval == "bca" else settings.interval
    of_ranking = KINDS[kind](ranked, settings.confidence)
    return dict(zip(names, [*of_confusions, *of_ranking], strict=True))


def _of_confusions(
    views: Sequence[str], rare: Sequence[str], settings: JudgeSettings
) -> tuple[list[str], Statistic]:
    """Names, and a function giving (…, names): the means, then F1, precision and recall of each view."""
    is_rare = np.isin(views, rare)
    levels = [views.index(view) for view in SHORT_AXIS if view in views]
    cost = clinical_cost(views, settings.costs)
    means: dict[str, Callable[[metrics.Counts], metrics.Figures]] = {
        "macro F1": metrics.macro_f1,
        "weighted F1": metrics.weighted_f1,
        "balanced accuracy": metrics.balanced_accuracy,
        "accuracy": metrics.accuracy,
        "Cohen's kappa": metrics.kappa,
        "kappa by clinical cost": lambda confusion: metrics.kappa(confusion, cost),
        "mean clinical cost": lambda confusion: metrics.mean_cost(confusion, cost),
    }
    if is_rare.any():
        means = {
            "rare-view F1": lambda confusion: metrics.mean_f1(confusion, is_rare),
            "common-view F1": lambda confusion: metrics.mean_f1(confusion, ~is_rare),
            **means,
        }
    if len(levels) > 1:
        means["quadratic kappa, PSAX levels"] = lambda confusion: metrics.kappa(
            confusion[..., levels, :][..., levels], metrics.quadratic(len(levels))
        )
    of_views = {"F1": metrics.f1, "precision": metrics.precision, "recall": metrics.recall}

    def statistic(confusion: metrics.Counts) -> metrics.Figures:
        columns = [mean(confusion)[..., None] for mean in means.values()]
        return np.concatenate([*columns, *(figure(confusion) for figure in of_views.values())], axis=-1)

    return [*means, *(f"{what} of {view}" for what in of_views for view in views)], statistic


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses are objects without their paths, arrays lists, NaN null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain({name: each for name, each in vars(value).items() if not isinstance(each, Path)})
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and math.isnan(value) else value
