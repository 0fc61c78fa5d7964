"""Sentences that follow from intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from apical.judge.figures import MethodFigures
from apical.judge.intervals import Interval
from apical.judge.wording import percent, shown, signed


def verdict(
    methods: Sequence[MethodFigures], *, baseline: str | None, rare: Sequence[str], confidence: float
) -> tuple[str, ...]:
    """Sentences on each method: its gain over the baseline, or its macro F1 where there is none.

    A method is called better or worse only where the interval of the paired difference leaves out zero and
    the p-value, corrected for all methods, is as small as the confidence asks.
    Gains are in points (hundredths) of F1.
    """
    if baseline is None or len(methods) == 1:
        return tuple(
            f"{method.method} names views with a macro F1 of {percent(method.means['macro F1'])}."
            for method in methods
        )
    sentences = []
    for method in methods:
        gains = method.means_gain or {}
        kinds = [("rare-view F1", _count(rare)), ("common-view F1", "the common views")]
        for name, views in kinds if rare else [("macro F1", "all views")]:
            if name in gains and not math.isnan(gains[name].value):
                p = method.adjusted.get(name, 0.0)
                said = _compare(method.method, baseline, gains[name], confidence, p)
                sentences.append(f"On {views}, {said}.")
    return tuple(sentences)


def _compare(method: str, baseline: str, gain: Interval, confidence: float, p: float) -> str:
    size = f"{100 * abs(gain.value):.1f} points of F1"
    sure = f"{100 * confidence:g} % interval"
    if math.isnan(gain.low):
        return (
            f"{method} differs from {baseline} by {signed(gain.value)} points of F1, "
            "but one patient is too few for an interval"
        )
    direction = shown(gain)
    many = "; not after Holm's correction" if direction and p >= 1 - confidence else ""
    if not direction or many:
        return (
            f"no difference between {method} and {baseline} could be shown "
            f"({signed(gain.value)} points of F1, {sure} {signed(gain.low)} to {signed(gain.high)}{many})"
        )
    limits = sorted((100 * abs(gain.low), 100 * abs(gain.high)))
    return f"{method} is {direction} than {baseline} by {size} ({sure} {limits[0]:.1f} to {limits[1]:.1f})"


def _count(rare: Sequence[str]) -> str:
    return "the 1 rare view" if len(rare) == 1 else f"the {len(rare)} rare views"
