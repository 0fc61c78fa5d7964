"""What it costs a reader that a clip of one view is named as another.

Nobody has published such costs; these are three steps that a reader can check, and settings may change each:

- `NEIGHBOUR`: the next cut from the same place of the probe, which shows most of the same anatomy: one
  level of the short axis for the next, four-chamber for five-chamber.
- `SAME_WINDOW`: another cut from the same place of the probe.
- `ELSEWHERE` = 1: another place of the probe, or a view that stands in no window here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from apical.errors import WrongCall

NEIGHBOUR, SAME_WINDOW, ELSEWHERE = 0.25, 0.5, 1.0
SHORT_AXIS = ("PSAX-AV", "PSAX-MV", "PSAX-PM", "PSAX-apex")
"""Levels of the short axis, from base to apex."""

WINDOWS = (
    ("PLAX", "RV-inflow", *SHORT_AXIS),
    ("A4C", "A2C", "A3C", "A5C"),
    ("subcostal-4C", "IVC"),
    ("suprasternal",),
)
NEIGHBOURS = (*pairwise(SHORT_AXIS), ("A4C", "A5C"))


def clinical_cost(
    views: Sequence[str], changed: Mapping[str, Mapping[str, float]] | None = None
) -> NDArray[np.float64]:
    """(k, k) float64 in 0 … 1, symmetric, 0 for the right view.

    Args:
        views: k names, of the standard vocabulary or others.
        changed: own costs, as {view: {other view: cost}}; each holds both ways.

    Raises:
        WrongCall: an own cost is of a view that is not among `views`, or of a view with itself.
    """
    position = {view: number for number, view in enumerate(views)}
    cost = np.full((len(views), len(views)), ELSEWHERE)
    pairs = [(one, other, SAME_WINDOW) for window in WINDOWS for one in window for other in window]
    pairs += [(one, other, NEIGHBOUR) for one, other in NEIGHBOURS]
    for one, other, value in pairs:
        if one in position and other in position:
            _set(cost, position[one], position[other], value)
    for one, others in (changed or {}).items():
        for other, value in others.items():
            if one not in position or other not in position or one == other:
                raise WrongCall(
                    f"there is no cost of taking '{one}' for '{other}'", f"name two of {', '.join(views)}"
                )
            _set(cost, position[one], position[other], value)
    np.fill_diagonal(cost, 0)
    return cost


def _set(cost: NDArray[np.float64], i: int, j: int, value: float) -> None:
    cost[i, j] = cost[j, i] = value
