"""The two straight edges of an ultrasound image, from where the evidence of each row begins and ends.

Of every row only the outermost evidence is looked at. The edges are the lines near which most of those lie
with few outside, so a shadow, behind which the evidence ends too early, moves nothing; and since probes are
symmetric, an edge in shadow follows from the other one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.ingest.writing import Mask

Floats = NDArray[np.float64]
Steps = NDArray[np.float32]
Line = tuple[float, float]  # intercept and slope; left: x = i - s * y, right: x = i + s * y

SLOPES = np.tan(np.radians(np.arange(0.0, 66.0, 1.0)))  # across by down
ROWS = 160  # on which the edges are looked for
LEAST_ROWS = 16
CLOSE = 1.5  # pixels within which an end lies on an edge
SHORT = 4.0  # pixels by which an end is short of an edge
UPRIGHT = 0.03  # slope below which an edge is upright
PARALLEL = 0.04  # sum of the slopes below which the edges never meet
SLANTED = 0.2  # sum of the slopes of edges that clearly meet
SEEN = 0.35  # share of the rows on an edge, for it to be fitted without the other
TILTED = 0.8  # support of two edges of one slope, of that of two slopes, below which the image is tilted
SEEN_TILTED = 0.28  # share of the rows on each edge of a tilted image
CUT = 0.12  # share of the rows that end on an upright line, for it to be a window's
LEAK = 12  # pixels that compression lets evidence leak out of the image, at most


@dataclass(frozen=True)
class Edges:
    """Edges, upright: further apart below.

    Attributes:
        left, right: lines.
        window: x between which a screen or a zoom cuts the image off; infinite where it does not.
    """

    left: Line
    right: Line
    window: tuple[float, float] = (-np.inf, np.inf)

    @property
    def parallel(self) -> bool:
        """Whether they never meet."""
        return self.left[1] + self.right[1] < PARALLEL

    @property
    def apex(self) -> tuple[float, float] | None:
        """Where they meet, (x, y); None for parallel ones."""
        if self.parallel:
            return None
        (a, s), (b, t) = self.left, self.right
        y = (a - b) / (s + t)
        return a - s * y, y

    def at(self, y: Floats) -> tuple[Floats, Floats]:
        """x of the left and of the right edge on rows `y`."""
        (a, s), (b, t) = self.left, self.right
        return a - s * y, b + t * y


@dataclass(frozen=True)
class _Ends:
    """Where the evidence of each row begins and ends."""

    rows: Floats
    first: Floats
    last: Floats

    def only(self, chosen: Mask) -> _Ends:
        return _Ends(self.rows[chosen], self.first[chosen], self.last[chosen])

    def short_of(self, edges: Edges) -> tuple[Mask, Mask]:
        """Rows that end clearly inside the left and the right edge."""
        left, right = edges.at(self.rows)
        return self.first > left + SHORT, self.last < right - SHORT


def fit_edges(image: Mask, piece: Mask, step: Steps) -> Edges | None:
    """Find both edges.

    Args:
        image: (H, W) bool, single pixels that are image.
        piece: (H, W) bool, the solid part, whose rows are looked at.
        step: (H, W) float32, by how much a pixel differs from the empty screen.

    Returns:
        the edges, or None where there are too few rows.
    """
    ends = _row_ends(image & piece, piece, step)
    if ends.rows.size < LEAST_ROWS:
        return None
    edges = _fit_lines(ends)
    one, other = edges.left[1], edges.right[1]
    if max(one, other) < UPRIGHT:
        return _behind_window(edges, ends)
    if min(one, other) < UPRIGHT and max(one, other) > SLANTED:
        edges = _behind_one_side(edges, ends)
    return _cut_by_window(edges, ends)


def _behind_window(edges: Edges, ends: _Ends) -> Edges:
    """Upright edges, unless they cut off slanted ones, on which the other rows end."""
    short_left, short_right = ends.short_of(edges)
    above = ends.rows < ends.rows[~(short_left & short_right)].min(initial=np.inf)
    others = ends.only(short_left & short_right & above)
    if others.rows.size >= max(LEAST_ROWS, CUT * ends.rows.size):
        slanted = _fit_lines(others)
        met = slanted.left[1] + slanted.right[1] > SLANTED
        if met and np.mean(_on(slanted, others, 2 * CLOSE)) > 0.5:
            x0, x1 = (float(side.mean()) for side in edges.at(ends.rows))
            return Edges(slanted.left, slanted.right, (x0, x1))
    return edges


def _behind_one_side(edges: Edges, ends: _Ends) -> Edges:
    """One upright edge: a shadow or a window, if the rows short of it end as the other edge slants."""
    short_left, short_right = ends.short_of(edges)
    s, t = edges.left[1], edges.right[1]
    if s < t:
        others = ends.only(short_left)
        intercept, score = _outermost(others.first + t * others.rows) if others.rows.size else (0.0, 0.0)
        found = Edges((intercept, t), edges.right)
    else:
        others = ends.only(short_right)
        intercept, score = _outermost(-(others.last - s * others.rows)) if others.rows.size else (0.0, 0.0)
        found = Edges(edges.left, (-intercept, s))
    least = max(LEAST_ROWS / 2, CUT * ends.rows.size / 2)
    return found if score > max(least, SEEN * others.rows.size) else edges


def _cut_by_window(edges: Edges, ends: _Ends) -> Edges:
    """Slanted edges, with the upright lines on which many of the rows end that are short of them."""
    left, right = ends.short_of(edges)
    left &= edges.left[1] > UPRIGHT
    right &= edges.right[1] > UPRIGHT
    x0, score0 = _outermost(ends.first[left]) if left.any() else (0.0, 0.0)
    x1, score1 = _outermost(-ends.last[right]) if right.any() else (0.0, 0.0)
    least = max(LEAST_ROWS / 2, CUT * ends.rows.size)
    window = (x0 if score0 >= least else -np.inf, -x1 if score1 >= least else np.inf)
    return Edges(edges.left, edges.right, window)


def _row_ends(image: Mask, piece: Mask, step: Steps) -> _Ends:
    filled = np.flatnonzero((image & piece).any(axis=1))
    if filled.size < LEAST_ROWS:
        return _Ends(np.zeros(0), np.zeros(0), np.zeros(0))
    rows = np.unique(np.linspace(filled[0], filled[-1], ROWS).astype(int))
    runs = _runs(image, rows)
    some = runs.any(axis=1)
    rows, runs = rows[some], runs[some]
    first = _half_height(step, rows, runs.argmax(axis=1), 1)
    last = _half_height(step, rows, runs.shape[1] - 1 - runs[:, ::-1].argmax(axis=1), -1) + 1
    return _Ends(rows.astype(float), first, last)


def _runs(image: Mask, rows: NDArray[np.intp]) -> Mask:
    """(rows, W): evidence with more of it at one side; a lone pixel is noise."""
    lines = np.zeros((rows.size, image.shape[1] + 8), np.uint8)
    for offset in (-1, 0, 1):
        lines[:, 4:-4] += image[np.clip(rows + offset, 0, image.shape[0] - 1)]
    around = cv2.boxFilter(lines, -1, (5, 1), normalize=False)
    ahead, behind = around[:, 6:-2], around[:, 2:-6]
    return np.asarray((lines[:, 4:-4] > 0) & (np.maximum(ahead, behind) >= 4), bool)


def _half_height(step: Steps, rows: NDArray[np.intp], columns: NDArray[np.intp], inwards: int) -> Floats:
    """Where, from these columns inwards, the brightness first reaches a third of the most that follows.

    Compression lets evidence leak out of the image, faintly, to the end of a block.
    """
    places = (columns[:, None] + inwards * np.arange(LEAK)).clip(0, step.shape[1] - 1)
    values = step[rows[:, None], places]
    reached = values >= values.max(axis=1, keepdims=True) / 3
    return np.asarray(columns + inwards * reached.argmax(axis=1), float)


def _fit_lines(ends: _Ends) -> Edges:
    """The two lines, with one slope unless both are well seen."""
    slanted = SLOPES[:, None] * ends.rows
    lefts, left_scores = _outermost_of_each(ends.first + slanted)
    rights, right_scores = _outermost_of_each(-(ends.last - slanted))
    score = np.stack([left_scores, right_scores], axis=1)
    one = other = int(score.sum(axis=1).argmax())
    best = score.max(axis=0)
    if (best > SEEN_TILTED * ends.rows.size).all() and score[one].sum() < TILTED * best.sum():
        one, other = (int(index) for index in score.argmax(axis=0))
    edges = Edges((float(lefts[one]), float(SLOPES[one])), (-float(rights[other]), float(SLOPES[other])))
    for close in (2.5, CLOSE, CLOSE):
        edges = _least_squares(edges, ends, close)
    return edges


def _outermost(values: Floats) -> tuple[float, float]:
    """The value near which most lie while few lie below it, and their number less those below."""
    (found,), (score,) = _outermost_of_each(values[None])
    return float(found), float(score)


def _outermost_of_each(values: Floats) -> tuple[Floats, Floats]:
    """`_outermost` of every row of (N, V): (N,) each."""
    values = np.sort(values, axis=1)
    not_above = np.array([row.searchsorted(row + 2 * CLOSE, side="right") for row in values])
    score = not_above - 2 * np.arange(values.shape[1])
    best = (np.arange(len(values)), score.argmax(axis=1))
    return values[best] + CLOSE, score[best].astype(float)


def _on(edges: Edges, ends: _Ends, close: float) -> tuple[Mask, Mask]:
    left, right = edges.at(ends.rows)
    return np.abs(ends.first - left) < close, np.abs(ends.last - right) < close


def _least_squares(edges: Edges, ends: _Ends, close: float) -> Edges:
    """Lines through the ends that lie close to them."""
    left, right = _on(edges, ends, close)
    few = min(left.sum(), right.sum())
    if few < 4:
        return edges
    if few > SEEN * ends.rows.size:
        slope, intercept = np.polyfit(ends.rows[left], ends.first[left], 1)
        slope_right, intercept_right = np.polyfit(ends.rows[right], ends.last[right], 1)
        return Edges((float(intercept), float(-slope)), (float(intercept_right), float(slope_right)))
    ones, zeros = np.ones, np.zeros
    n, m = int(left.sum()), int(right.sum())
    design = np.concatenate(
        [
            np.stack([ones(n), zeros(n), -ends.rows[left]], axis=1),
            np.stack([zeros(m), ones(m), ends.rows[right]], axis=1),
        ]
    )
    target = np.concatenate([ends.first[left], ends.last[right]])
    a, b, slope = (float(value) for value in np.linalg.lstsq(design, target, rcond=None)[0])
    return Edges((a, slope), (b, slope))
