"""Find the ultrasound image on a screen: its outline, what stands written on it, and how sure that is.

Region tags are believed where they are sane, as the box to look in. The outline is fitted to what moves, or
in a still to what is lit (`fan`); what fits no probe gets its convex hull, if that is clear enough. Where
neither is, the answer is a `ClipProblem`, never the unmasked picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.evidence import (
    Evidence,
    collect,
    extremes,
    hull,
    hull_corners,
    letter_height,
    reduced,
    reduction,
)
from apical.ingest.facts import Region
from apical.ingest.fan import Points, clip_to_window, fit_fan
from apical.ingest.writing import Mask, Picture, find_writing

Box = tuple[int, int, int, int]
Candidate = tuple[str, Points, float]  # kind, outline, confidence

SMALLEST_SIDE = 32  # pixels
SMALLEST_SHARE = 0.08  # of the picture, or of the tagged region
LARGEST_SHARE = 0.985  # of a picture without tags: a fan leaves black corners, a photograph does not
LONGEST_ASPECT = 3.0  # width : height or height : width; header bars and strips are longer
LEAST_LIT = 0.3  # share of the outline's inside that is image
MOST_OUTSIDE = 0.4  # share of the screen around it that looks like image too; all of it in a photograph
BRIGHT_SCREEN = 80  # grey level; on a lighter screen only the shape of a fan tells an image from a photograph
LEAST_KEPT = 0.75  # share of the outline's inside that is not written on; a page of text has less
FEW_FRAMES = 3  # in so few, speckle may last like writing: what is written is then also told as in a still
LEAST_CONTRAST = 6.0  # standard deviation of the grey levels; filled bars are flatter
LEAST_CONFIDENCE = 0.35
SURE = 0.8  # confidence of an outline, below which the pieces are looked at apart from what is near them
SURER = 0.15  # confidence by which the outline of a part is surer than that of the whole
LEAST_CONFIDENCE_OF_HULL = 0.5  # where no tag says that there is an image

_TWO_D, _TISSUE, _COLOUR_FLOW = 1, 1, 2
_NOT_IMAGE = frozenset(range(3, 0x13)) - {0xF}  # traces, ECG, pulse, bars; not integrated backscatter
_NOT_FOUND = "no ultrasound sector found"


@dataclass(frozen=True)
class Sector:
    """The image of a clip on its screen. Pixels, x right, y down, to a tenth.

    Attributes:
        kind: ``fan``, ``trapezoid``, ``linear``, or ``outline`` where no probe's shape fits.
        outline: (N, 2) float64, corners.
        holes: (M, 2) float64 each: what stands written on the image, or tags place over it.
        size: rows and columns of the picture.
        confidence: 0 to 1, the share of the outline with image inside and none outside, less the share
            with image on both sides. What is in shadow counts for neither.
    """

    kind: str
    outline: Points
    holes: tuple[Points, ...]
    size: tuple[int, int]
    confidence: float

    @cached_property
    def mask(self) -> Mask:
        """(H, W) bool, True on the image."""
        mask = self._filled.copy()
        for corners in self.holes:
            _paint(mask, corners, 0)
        return mask.view(bool)

    @cached_property
    def box(self) -> Box:
        """x0, y0, x1, y1 that hold the outline within the picture, x1 and y1 exclusive."""
        x, y, width, height = cv2.boundingRect(self._filled)
        return x, y, x + width, y + height

    @cached_property
    def _filled(self) -> NDArray[np.uint8]:
        return _fill(self.outline, self.size).view(np.uint8)

    @property
    def kept(self) -> float:
        """The share of the outline's inside that holes have left."""
        return int(np.count_nonzero(self.mask)) / max(1, int(np.count_nonzero(self._filled)))

    def without(self, written: Mask) -> Sector:
        """With further holes, where `written`, of the shape of `box`, is True."""
        x0, y0, x1, y1 = self.box
        there = (written & self.mask[y0:y1, x0:x1]).astype(np.uint8)
        contours, _ = cv2.findContours(there, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        corners = [cv2.approxPolyDP(contour, 1.0, True).reshape(-1, 2) for contour in contours]
        added = (np.asarray(points + np.array([x0, y0]), np.float64) for points in corners)
        return replace(self, holes=(*self.holes, *added))

    @cached_property
    def halved(self) -> Sector:
        """The same on a picture of half the size, rounded up."""
        size = ((self.size[0] + 1) // 2, (self.size[1] + 1) // 2)
        outline, *holes = ((corners - 0.5) / 2 for corners in (self.outline, *self.holes))
        return replace(self, outline=outline, holes=tuple(holes), size=size)

    def to_json(self) -> str:
        """As a line of text that `from_json` reads back."""
        record = {
            "kind": self.kind,
            "size": self.size,
            "confidence": round(self.confidence, 3),
            "outline": np.round(self.outline, 1).tolist(),
            "holes": [np.round(corners, 1).tolist() for corners in self.holes],
        }
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Sector:
        """Read what `to_json` wrote.

        Raises:
            ClipProblem: it is not that.
        """
        try:
            record: dict[str, Any] = json.loads(text)
            rows, columns = (int(side) for side in record["size"])
            outline, *holes = (
                np.array(corners, np.float64).reshape(-1, 2)
                for corners in (record["outline"], *record["holes"])
            )
            if len(outline) < 3 or not all(np.isfinite(corners).all() for corners in (outline, *holes)):
                raise ValueError
            return cls(
                str(record["kind"]), outline, tuple(holes), (rows, columns), float(record["confidence"])
            )
        except (ValueError, KeyError, TypeError):
            raise ClipProblem("the catalogue's sector cannot be read; scan again") from None


def find_sector(frames: NDArray[np.uint8], regions: tuple[Region, ...] = ()) -> Sector:
    """Find the image from region tags where they are sane, and from the pixels.

    Args:
        frames: (F, H, W) uint8 grey frames spread over the clip; one is enough, several show motion.
        regions: the file's ultrasound regions, unchecked.

    Raises:
        ClipProblem: no sector can be told from the rest of the screen.
    """
    return find_sector_between(*extremes(frames), len(frames), regions)


def find_sector_between(peak: Picture, low: Picture, frames: int, regions: tuple[Region, ...] = ()) -> Sector:
    """`find_sector` from the `extremes` of so many frames, (H, W) uint8 each."""
    height, width = peak.shape
    tagged, blank = read_regions(regions, height, width)
    box = tagged or (0, 0, width, height)
    allowed, known = np.zeros((height, width), np.uint8), np.ones((height, width), np.uint8)
    allowed[box[1] : box[3], box[0] : box[2]] = 1
    for x0, y0, x1, y1 in blank:
        known[y0:y1, x0:x1] = 0

    factor = reduction((height, width))
    small = [reduced(picture, factor) for picture in (peak, low, allowed, known)]
    evidence = collect(small[0], small[1], small[2] > 0, small[3] > 0)
    window = tuple((edge - (factor - 1) / 2) / factor for edge in (box[0], box[1], box[2] - 1, box[3] - 1))
    area = (box[2] - box[0]) * (box[3] - box[1]) / factor**2
    most = np.inf if tagged else LARGEST_SHARE * area
    for kind, outline, confidence in _candidates(evidence, window):
        bright_screen = evidence.background > BRIGHT_SCREEN and not evidence.cine and not tagged
        if len(outline) < 3 or (bright_screen and kind in ("linear", "outline")):
            continue
        mask = _fill(outline, evidence.image.shape)
        share = np.count_nonzero(mask & evidence.known)
        least = LEAST_CONFIDENCE_OF_HULL if kind == "outline" and not tagged else LEAST_CONFIDENCE
        if confidence >= least and SMALLEST_SHARE * area <= share <= most and _plausible(mask, evidence):
            corners = np.round(outline * factor + (factor - 1) / 2, 1)  # as it is written, see `to_json`
            found = Sector(kind, corners, tuple(map(_corners, blank)), (height, width), confidence)
            x0, y0, x1, y1 = found.box
            letter = letter_height(found.size)
            few = evidence.cine and frames <= FEW_FRAMES
            for cine in (True, False) if few else (evidence.cine,):
                written = find_writing(peak[y0:y1, x0:x1], low[y0:y1, x0:x1], letter, cine=cine)
                masked = found.without(written)
                if masked.kept >= LEAST_KEPT:
                    return masked
    raise ClipProblem(_NOT_FOUND)


def _candidates(evidence: Evidence, window: tuple[float, ...]) -> Iterator[Candidate]:
    """Outlines to try, the likeliest first: fits, then convex hulls.

    A fit to all pieces comes before one to each, unless that is clearly the surer: the others are words
    near the image then.
    """
    pieces = list(evidence.pieces)
    if evidence.cine and len(pieces) > 1:  # parts of one moving image
        pieces.insert(0, np.any(pieces, axis=0))
    fits = _fits(pieces, evidence, window, alone=not evidence.cine)
    if all(confidence < SURE for *_, confidence in fits):
        fits += _fits(evidence.cores, evidence, window, alone=True)
    order = sorted(range(len(fits)), key=lambda number: (SURER if number else 0) - fits[number][2])
    yield from (fits[number] for number in order)
    for piece in pieces:
        outline = clip_to_window(hull_corners(piece & evidence.image), window)
        yield "outline", outline, _confidence(outline, evidence)


def _fits(
    pieces: list[Mask], evidence: Evidence, window: tuple[float, ...], *, alone: bool
) -> list[Candidate]:
    """The fan of each piece, where there is one; of it `alone`, or with the evidence beyond it."""
    found = []
    for piece in pieces:
        around = hull(piece)
        down = _narrows(around)
        shown = evidence.upside_down() if down else evidence
        around = around[::-1] if down else around
        image = shown.image & around if alone else shown.image
        fan = fit_fan(image, around, shown.known, shown.step)
        if fan is not None:
            outline = fan.polygon()
            if down:
                outline = outline * (1, -1) + (0, len(around) - 1)
            outline = clip_to_window(outline, window)
            found.append((fan.kind, outline, _confidence(outline, evidence)))
    return found


def _narrows(mask: Mask) -> bool:
    """Whether a shape is clearly wider in its upper half than in its lower: an image shown apex down."""
    rows = np.flatnonzero(mask.any(axis=1))
    widths = mask[rows[0] : rows[-1] + 1].sum(axis=1)
    half = len(widths) // 2
    return bool(widths[:half].mean() > 1.3 * widths[half:].mean()) if half else False


def _confidence(outline: Points, evidence: Evidence) -> float:
    """See `Sector.confidence`; looked at 4 pixels inside and, for what compression leaks, 8 outside."""
    density: NDArray[Any] = cv2.blur(evidence.image.astype(np.float32), (5, 5))
    steps = np.roll(outline, -1, axis=0) - outline
    lengths = np.hypot(*steps.T)
    if lengths.sum() < 2 * SMALLEST_SIDE:
        return 0.0
    ends = np.cumsum(lengths)
    along = np.arange(0.5, ends[-1], 1.0)
    side = np.searchsorted(ends, along).clip(0, len(outline) - 1)
    towards = steps[side] / np.maximum(lengths[side], 1e-9)[:, None]
    points = np.roll(outline, -1, axis=0)[side] - (ends[side] - along)[:, None] * towards
    (x, y), (next_x, next_y) = outline.T, np.roll(outline, -1, axis=0).T
    clockwise = np.sign(np.sum(x * next_y - next_x * y))
    outwards = clockwise * np.stack([towards[:, 1], -towards[:, 0]], axis=1)
    within, beyond = (_look(density, points + offset * outwards) for offset in (-4, 8))
    seen, crossed = (within > 0.15) & (beyond < 0.1), (within > 0.15) & (beyond > 0.3)
    return float(np.clip(seen.mean() - crossed.mean(), 0, 1))


def _look(density: NDArray[Any], points: Points) -> NDArray[Any]:
    """Values at the nearest pixels; 0 beyond the picture."""
    x, y = np.round(points).astype(int).T
    rows, columns = density.shape
    inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    return np.where(inside, density[y.clip(0, rows - 1), x.clip(0, columns - 1)], 0)


def _plausible(mask: Mask, evidence: Evidence) -> bool:
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if ys.size < SMALLEST_SIDE or xs.size < SMALLEST_SIDE:
        return False
    aspect = xs.size / ys.size
    return bool(
        1 / LONGEST_ASPECT <= aspect <= LONGEST_ASPECT
        and np.count_nonzero(evidence.image & mask) / np.count_nonzero(mask) >= LEAST_LIT
        and np.count_nonzero(evidence.image & ~mask) <= MOST_OUTSIDE * np.count_nonzero(~mask)
        and evidence.peak[mask].std() >= LEAST_CONTRAST
    )


def read_regions(regions: tuple[Region, ...], height: int, width: int) -> tuple[Box | None, list[Box]]:
    """The 2-D region to search in (None without a sane one), and the boxes of traces and bars.

    Pixels are sometimes cropped or rescaled after the tags were written. Then a region leaves the
    picture, and none of the file's regions can be believed. A far corner one pixel too far is a common
    slip, and is clamped.
    """
    images: list[Box] = []
    blank: list[Box] = []
    for region in regions:
        across, down = (region.x0, region.x1), (region.y0, region.y1)
        if min(across + down) < 0 or max(across) > width or max(down) > height:
            return None, []
        box = (region.x0, region.y0, min(region.x1 + 1, width), min(region.y1 + 1, height))
        if region.data_type in _NOT_IMAGE:
            blank += [box] if _area(box) else []
        elif region.spatial_format == _TWO_D and region.data_type in (_TISSUE, _COLOUR_FLOW):
            images.append(box)
    largest = max(images, key=_area, default=None)
    if largest is None or min(largest[2] - largest[0], largest[3] - largest[1]) < SMALLEST_SIDE:
        return None, blank
    return largest, blank


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _fill(corners: Points, shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, np.uint8)
    _paint(mask, corners, 1)
    return mask.view(bool)


def _paint(mask: NDArray[np.uint8], corners: Points, value: int) -> None:
    cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], (value,), shift=4)


def _corners(box: Box) -> Points:
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1 - 1, y0], [x1 - 1, y1 - 1], [x0, y1 - 1]], np.float64)
