"""How far labels are believed, given what else is said of their clips.

The noise model of Natarajan et al. 2013 (*Learning with noisy labels*), for views: a label is wrong with
probability ε, and then any other view's with equal probability. ε is learned from the labels themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

WRONG, RIGHT = 1.0, 19.0  # labels that ε is learned from besides, so that a few do not settle it
ROUNDS, ENOUGH = 100, 1e-6  # of expectation maximisation, and the change of ε at which it ends


def believed_labels(said: Values, label: NDArray[np.int64]) -> tuple[Values, float]:
    """The views of labelled clips by label and by what is said of them.

    Expectation maximisation: p(view) ∝ said(view) · P(label | view); ε = the mean of 1 - p(label).

    Args:
        said: (n, k) probabilities, rows adding up to 1; views with 0 for all clips are not asked about.
        label: (n,) below k.

    Returns:
        (n, k) probabilities, rows adding up to 1, and ε.
    """
    rows = np.arange(len(label))
    others = max(int(said.any(axis=0).sum()) - 1, 1)
    share = WRONG / (WRONG + RIGHT)
    for _ in range(ROUNDS):
        chance = np.full(said.shape, share / others)
        chance[rows, label] = 1 - share
        belief = said * chance
        belief /= belief.sum(axis=1, keepdims=True)
        before, share = share, float(WRONG + (1 - belief[rows, label]).sum()) / (WRONG + RIGHT + len(label))
        if abs(share - before) < ENOUGH:
            break
    return belief, share
