"""The outline of an ultrasound image: two straight edges, a near and a far end, and a window.

One shape covers the probes: the edges of a phased or curved array meet in an apex and its ends are arcs about
it, those of a linear array are parallel and its ends flat, and a trapezoid has a flat near end. An end is
where the evidence between the edges stops for good; in the dark far field that is a little noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.ingest.edges import Edges, Floats, Steps, fit_edges
from apical.ingest.writing import Mask

Points = NDArray[np.float64]

TAIL = 0.01  # share of the evidence that may lie beyond an end: traces that leak
TAIL_COSTS = 20  # loss of contrast by any more of it
GAP = 3  # pixels of empty screen between the image and what is written beside it
EMPTY, EMPTY_LEVEL = 0.005, 3.0  # evidence in a gap, as a share of its pixels, and their mean grey level
WRITTEN = 0.1  # share of the evidence that writing may be
BAND = 8  # pixels at both sides of an end that are compared
ALIKE = 0.7  # evidence beside the edges, of that between them, on rows that tell nothing of the image
MARGIN = 12  # pixels beside the edges that belong to neither side
ROUND = 1.5  # times that a flat far end must be sharper than an arc, where both are possible
ROUND_NEAR = 1.15  # the same of a near end, where the field is not dark
LEAST_KNOWN = 0.25  # share of the pixels beyond an end where image can be told
SHORT_END = 0.15  # width of a near end, of the whole, below which the image begins in a point


@dataclass(frozen=True)
class End:
    """A near or far end: its radius about the apex, or its row where it is flat."""

    at: float
    flat: bool


@dataclass(frozen=True)
class Fan:
    """An outline, upright: its apex, if it has one, is above it. Pixels, y down."""

    edges: Edges
    near: End
    far: End

    @property
    def kind(self) -> str:
        """``linear``, ``trapezoid`` (with a flat near end) or ``fan``."""
        if self.edges.parallel:
            return "linear"
        wide = np.ptp(self._points(self.near)[:, 0]) > SHORT_END * np.ptp(self.polygon()[:, 0])
        return "trapezoid" if self.near.flat and wide else "fan"

    def polygon(self) -> Points:
        """Corners of the outline, (N, 2) float64 x, y."""
        corners = np.concatenate([self._points(self.near), self._points(self.far)[::-1]])
        x0, x1 = self.edges.window
        return clip_to_window(corners, (x0, -np.inf, x1, np.inf))

    def _points(self, end: End) -> Points:
        """An end from left to right."""
        if end.flat or self.edges.apex is None:
            left, right = self.edges.at(np.array([end.at]))
            return np.array([[left[0], end.at], [right[0], end.at]])
        (_, s), (_, t) = self.edges.left, self.edges.right
        angles = np.linspace(-np.arctan(s), np.arctan(t), 33)
        return np.array(self.edges.apex) + end.at * np.stack([np.sin(angles), np.cos(angles)], axis=1)


def fit_fan(image: Mask, piece: Mask, known: Mask, step: Steps) -> Fan | None:
    """Fit an upright outline.

    Args:
        image: (H, W) bool, single pixels that are image.
        piece: (H, W) bool, the solid part, whose rows show the edges.
        known: (H, W) bool, where image can be told.
        step: (H, W) float32, by how much a pixel differs from the empty screen.

    Returns:
        the outline, or None where the edges are not to be seen.
    """
    edges = fit_edges(image, piece, step)
    return _fit_ends(edges, image, known, step) if edges is not None else None


def _fit_ends(edges: Edges, image: Mask, known: Mask, step: Steps) -> Fan | None:
    """Both ends, each as an arc about the apex or flat, whichever is the sharper."""
    image, known, step = image[:, ::2], known[:, ::2], step[:, ::2]  # every other pixel of a row is enough
    y: NDArray[Any] = np.arange(image.shape[0], dtype=np.float32)[:, None]
    x: NDArray[Any] = np.arange(0, 2 * image.shape[1], 2, dtype=np.float32)
    left, right = edges.at(y)
    left, right = np.maximum(left, edges.window[0]), np.minimum(right, edges.window[1])
    inside = (x > left + 2) & (x < right - 2)
    if edges.apex is not None:
        inside &= y > edges.apex[1]
    if np.count_nonzero(inside) < 100:
        return None
    beside = (x < left - MARGIN) | (x > right + MARGIN)
    known = known & ~_unclear_rows(image, inside, beside)[:, None]
    x, y = (np.broadcast_to(values, inside.shape)[inside] for values in (x, y))
    distances = [(True, y)]
    if edges.apex is not None:
        distances.append((False, np.hypot(x - edges.apex[0], y - edges.apex[1])))
    kinds = (known.view(np.uint8) + (image & known))[inside]  # 0: not known, 1: known, 2: and image
    brightness = (step * known)[inside].astype(float)
    near, far = [], []
    for flat, distance in distances:
        bins = distance.astype(int)
        counts = np.bincount(3 * bins + kinds, minlength=3 * (bins.max() + 1)).reshape(-1, 3).astype(float)
        pixels, clear, lit = counts.sum(axis=1), counts[:, 1] + counts[:, 2], counts[:, 2]
        profile = _Profile(pixels, clear, lit, np.bincount(bins, weights=brightness).astype(float))
        at, sharp = profile.without_writing().end()
        far.append((sharp if flat else ROUND * sharp, End(at, flat)))
        at, sharp = profile.reversed().without_writing().end()
        near.append((sharp if flat else ROUND_NEAR * sharp, End(len(profile.pixels) - at, flat)))
    return Fan(edges, *(max(ends, key=lambda end: end[0])[1] for ends in (near, far)))


def _unclear_rows(image: Mask, inside: Mask, beside: Mask) -> Mask:
    """Rows with as much evidence beside the edges as between them: a trace or text crosses them."""
    between = _by_row(image & inside) / np.maximum(_by_row(inside), 1)
    outside = _by_row(image & beside) / np.maximum(_by_row(beside), 1)
    return np.asarray((outside > ALIKE * between) & (outside > 0), bool)


def _by_row(mask: Mask) -> NDArray[Any]:
    """How many pixels of each row are in a mask."""
    return np.asarray(mask.sum(axis=1, dtype=np.int16))


@dataclass(frozen=True)
class _Profile:
    """Pixels, those where image can be told, those that are image, and summed brightness, by distance."""

    pixels: Floats
    known: Floats
    image: Floats
    brightness: Floats

    def reversed(self) -> _Profile:
        return _Profile(self.pixels[::-1], self.known[::-1], self.image[::-1], self.brightness[::-1])

    def without_writing(self) -> _Profile:
        """Without the evidence behind a gap, if it is little: lines of writing, not image."""
        filled = (self.image > EMPTY * self.pixels) | (self.brightness > EMPTY_LEVEL * self.pixels)
        gap = np.convolve(filled, np.ones(GAP))[: len(filled)] == 0  # here and in the bins just before
        gap[:GAP] = False
        behind = np.cumsum(self.image[::-1])[::-1]
        ends = np.flatnonzero(gap & (behind <= WRITTEN * self.image.sum()))
        if not ends.size:
            return self
        return replace(self, image=np.where(np.arange(len(gap)) < ends[0], self.image, 0.0))

    def end(self) -> tuple[float, float]:
        """Where image stops for good, going up the bins of a pixel each, and how sharply, 0 to 1."""
        pixels, known, image = (
            np.concatenate([[0.0], np.cumsum(values)]) for values in (self.pixels, self.known, self.image)
        )
        at = np.arange(len(image))
        before, after = np.maximum(at - BAND, 0), np.minimum(at + BAND, len(at) - 1)
        share_in = (image - image[before]) / np.maximum(known - known[before], 1)
        share_out = (image[after] - image) / np.maximum(known[after] - known, 1)
        fall = share_in - share_out
        contrast = fall + fall / (share_in + share_out + 0.02)  # absolute, and of a noise that just ends
        contrast -= TAIL_COSTS * np.maximum((image[-1] - image) / max(image[-1], 1) - TAIL, 0)
        contrast[known[after] - known < LEAST_KNOWN * (pixels[after] - pixels)] = -np.inf
        best = int(contrast.argmax())
        near = np.abs(at - best) <= BAND  # the leak of compression may end a little later, and more cleanly
        best = min(int(np.where(near, fall, -1).argmax()), int(np.searchsorted(image, image[-1])))
        return best + self._step(best), float(fall[best])

    def _step(self, at: int) -> float:
        """How far from `at` the brightness passes half its fall: compression lets image leak.

        Not further than the first dark bin: letters may follow.
        """
        part = slice(at - MARGIN, at + MARGIN)
        if at < MARGIN or at + MARGIN > len(self.known):
            return 0.0
        values = self.brightness[part] / np.maximum(self.known[part], 1)
        inside, outside = values[:6].mean(), values[MARGIN:].min()
        bright = values > (inside + outside) / 2
        bright[MARGIN:] &= np.logical_and.accumulate(bright[MARGIN:])
        return float(np.flatnonzero(bright)[-1] + 1 - MARGIN) if inside > outside + 4 else 0.0


def clip_to_window(polygon: Points, window: tuple[float, ...]) -> Points:
    """The part of a polygon within x0, y0, x1, y1 (Sutherland and Hodgman 1974)."""
    for axis, limit, sign in ((0, window[0], 1), (1, window[1], 1), (0, window[2], -1), (1, window[3], -1)):
        if not np.isfinite(limit) or not len(polygon):
            continue
        inside = sign * polygon[:, axis] >= sign * limit
        if inside.all():
            continue
        before, was_inside = np.roll(polygon, 1, axis=0), np.roll(inside, 1)
        rise = np.where(inside != was_inside, polygon[:, axis] - before[:, axis], 1.0)
        crossing = before + (polygon - before) * ((limit - before[:, axis]) / rise)[:, None]
        both = np.stack([crossing, polygon], axis=1).reshape(-1, 2)
        polygon = both[np.stack([inside != was_inside, inside], axis=1).ravel()]
    return polygon
