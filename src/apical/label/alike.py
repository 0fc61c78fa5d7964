"""More like this: the clips nearest to one, whatever their patient; in milliseconds, without torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def alike(
    vectors: NDArray[np.float32], row: int, count: int, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """The rows of the clips most like one, nearest first, without itself; fewer if there are no more.

    Args:
        vectors: (n, d) of length 1, less what a patient's clips have in common (`Coach.features`).
        row: of the clip.
        count: wanted.
        allowed: (n,) clips that may be named; all by default.
    """
    others = np.ones(len(vectors), bool) if allowed is None else allowed.copy()
    others[row] = False
    likeness = np.where(others, vectors @ vectors[row], -np.inf)
    count = min(count, int(others.sum()))
    nearest = np.argpartition(-likeness, count)[:count] if count else np.zeros(0, np.int64)
    return np.asarray(nearest[np.argsort(-likeness[nearest], kind="stable")], np.int64)
