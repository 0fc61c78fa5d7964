"""Sentences on a study that follow from its intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from apical.config import JudgeSettings
from apical.judge.study_figures import TESTED, Difference
from apical.judge.wording import points, shown

NEAR = 0.03
"""How much less F1 than with all labels is near: the interval of the distance must lie above its negative."""


def study_verdict(
    differences: Sequence[Difference],
    distances: Sequence[Difference],
    rare: Sequence[str],
    settings: JudgeSettings,
) -> tuple[str, ...]:
    """Sentences on each pair of methods and, where one method has all labels, on each method's way to it.

    A method is called better or worse only where the interval of the paired difference leaves out zero; what
    Holm's correction leaves of that is said beside it.

    Args:
        differences: adjusted, see `adjust`.
        distances: from the method with all labels.
        rare: the rare views.
        settings: how it was judged.
    """
    tests = sum(not math.isnan(p) for difference in differences for p in difference.p.values())
    places = {"rare-view F1": f"the {len(rare)} rare view{'s' * (len(rare) > 1)}"}
    places["common-view F1"] = "the common views"
    sentences = []
    for pair in dict.fromkeys((one.method, one.other) for one in differences):
        of_pair = [one for one in differences if (one.method, one.other) == pair]
        for name in TESTED:
            known = [one for one in of_pair if not math.isnan(one.means[name].low)]
            if known:
                said = _compare(known, name, tests, 1 - settings.confidence)
                sentences.append(f"On {places[name]}, {said}.")
    for method in dict.fromkeys(one.method for one in distances):
        known = [
            one for one in distances if one.method == method and not math.isnan(one.means[TESTED[0]].low)
        ]
        if known:
            sentences.append(f"On {places[TESTED[0]]}, {_near(known)}.")
    if differences and all(math.isnan(one.means["macro F1"].low) for one in differences):
        sentences.append("One judged patient is too few for intervals, so nothing is shown.")
    if 2 * tests > (1 - settings.confidence) * (settings.resamples + 1):
        enough = math.ceil(4 * tests / (1 - settings.confidence))
        sentences.append(
            f"{settings.resamples} resamples are too few for Holm's correction to leave any of {tests} "
            f"comparisons: give judge.resamples of {enough} or more."
        )
    return tuple(sentences)


def _compare(differences: Sequence[Difference], name: str, tests: int, level: float) -> str:
    """On one pair of methods, over budgets."""
    method, other = differences[0].method, differences[0].other
    parts = []
    for word in ("better", "worse"):
        group = [one for one in differences if shown(one.means[name]) == word]
        if group:
            sizes = sorted(100 * abs(one.means[name].value) for one in group)
            span = " to ".join(dict.fromkeys((f"{sizes[0]:.1f}", f"{sizes[-1]:.1f}")))
            held = [one for one in group if one.adjusted.get(name, 1) < level]
            among = f"Holm's correction for {tests} comparison{'s' * (tests > 1)}"
            if len(held) == len(group):
                sure = f"also after {among}"
            elif held:
                sure = f"after {among} at {_budgets(held)} only"
            else:
                sure = f"but not after {among}"
            parts.append(
                f"{method} is {word} than {other} at {_budgets(group)} by {span} points of F1 ({sure})"
            )
    rest = [one for one in differences if not shown(one.means[name])]
    if rest:
        each = [f"{points(one.means[name])} at {_budgets([one])}" for one in rest]
        parts.append(
            f"no difference between {method} and {other} could be shown ({', '.join(each)}, in points of F1)"
        )
    return "; ".join(parts)


def _near(distances: Sequence[Difference]) -> str:
    """On one method and the one with all labels, over budgets."""
    method, full = distances[0].method, distances[0].other
    near = [one for one in distances if one.means[TESTED[0]].low > -NEAR]
    within = f"within {100 * NEAR:g} points of F1 of {full}, which has all labels"
    if near:
        return f"{method} comes {within}, at {_budgets(near)}"
    best = max(distances, key=lambda one: one.means[TESTED[0]].value)
    said = f"{points(best.means[TESTED[0]])} points at {_budgets([best])}"
    return f"{method} is not shown to come {within}; the least distance is {said}"


def _budgets(differences: Sequence[Difference]) -> str:
    """``budget 1``, ``budgets 1, 2 and all``."""
    names = [str(one.budget) for one in differences]
    if len(names) == 1:
        return f"budget {names[0]}"
    return f"budgets {', '.join(names[:-1])} and {names[-1]}"
