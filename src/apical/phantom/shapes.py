"""Signed distances (mm, negative inside) from the samples of the sector to ellipsoids and tubes.

All tensors are float32 [frames, beams, samples] unless said otherwise, or the part of that in a window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apical.phantom.anatomy import Floats
from apical.phantom.device import array, floats
from apical.phantom.heart import Ellipsoid, Tube
from apical.phantom.motion import Motion
from apical.phantom.planes import Plane
from apical.phantom.valves import column

Window = tuple[slice, slice, slice]  # frames, beams, samples

COARSE = (3, 5)  # beams and samples between the points by which windows are found
BENT = 1.2  # by so much the way from them to the points between may be longer than they are apart
EVERYWHERE: Window = (slice(None), slice(None), slice(None))


@dataclass(frozen=True, slots=True)
class PolarGrid:
    """The samples of the sector: ranges in mm float64 [samples], beam angles in radians float64 [beams].

    Ranges count from where the beams would meet; a curved probe's face is `face_mm` away from there.
    """

    ranges: Floats
    angles: Floats
    face_mm: float = 0.0

    @property
    def depths(self) -> Floats:
        """How deep below the probe's face the samples are, mm, float64 [samples]."""
        return self.ranges - self.face_mm

    @property
    def sample_mm(self) -> float:
        """Distance between samples along a beam."""
        return float(self.ranges[1] - self.ranges[0])

    @property
    def beam_radians(self) -> float:
        """Angle between neighbouring beams."""
        return float(self.angles[1] - self.angles[0])


@dataclass(frozen=True, slots=True)
class Points:
    """The samples of a sector, brought back to end-diastole, in heart coordinates."""

    x: Tensor
    y: Tensor
    z: Tensor
    space: tuple[Tensor, Tensor, Tensor]  # where the samples really are
    waves: tuple[Tensor, ...]  # the sines of the warp, between -1 and 1
    directions: Tensor  # of the beams, float32 [frames, beams, 3]
    coarse: "Coarse"

    def empty(self) -> Tensor:
        """A shape that holds no point."""
        return torch.full_like(self.x, math.inf)

    def cut(self, window: Window) -> tuple[Tensor, Tensor, Tensor]:
        """The coordinates within `window`."""
        return self.x[window], self.y[window], self.z[window]


@dataclass(frozen=True, slots=True)
class Coarse:
    """Some of the points, by which it is found out what lies where."""

    points: Tensor  # float32 [3, frames, beams, samples]
    at_beams: list[int]
    at_samples: list[int]
    slack: Floats  # how far from them the points between them may be, mm, float64 [beams, samples]

    def windows(self, starts: Floats, ends: Floats, radii: Floats) -> list[Window | None]:
        """For each capsule (float64 [capsules, 3] twice, and [capsules]) a box of samples around it.

        None where nothing is: what lies there need not be computed.
        """
        near = floats((radii[:, None, None] + self.slack) ** 2)  # [capsules, beams, samples]

        # The squared distance from the axis, multiplied out: |p - s|2 - |a|2 c (2t - c), with the nearest
        # point of the axis at t, c within the capsule.
        axes = ends - starts
        lengths = np.maximum(np.sum(axes**2, axis=1, keepdims=True), 1e-9)
        shares = axes / lengths
        points = self.points.view(3, -1)
        along = torch.addmm(floats(-np.sum(starts * shares, axis=1, keepdims=True)), floats(shares), points)
        within = along.clamp(0, 1)
        squared = torch.addmm(floats(np.sum(starts**2, axis=1, keepdims=True)), floats(-2 * starts), points)
        squared += points.square().sum(dim=0)
        squared.addcmul_(along.mul_(2).sub_(within), within.mul_(floats(lengths)), value=-1)
        inside = squared.view(-1, *self.points.shape[1:]) < near[:, None]
        hit = array(inside.any(dim=1))  # [capsules, beams, samples]
        touched = hit.max(axis=(1, 2))
        at_all = zip(
            _extents(hit.max(axis=2), self.at_beams),
            _extents(hit.max(axis=1), self.at_samples),
            strict=True,
        )
        return [
            (slice(None), beams_there, samples_there) if touches else None
            for touches, (beams_there, samples_there) in zip(touched.tolist(), at_all, strict=True)
        ]


def coarse_of(x: Tensor, y: Tensor, z: Tensor) -> Coarse:
    """Choose some of all points (brought back to end-diastole), and measure how far apart they are."""
    at_beams, at_samples = _every(x.shape[1], COARSE[0]), _every(x.shape[2], COARSE[1])
    beams, samples = torch.tensor(at_beams), torch.tensor(at_samples)
    points = torch.stack([part.index_select(1, beams).index_select(2, samples) for part in (x, y, z)])
    halves = []
    for axis in (0, 1):  # half the way to the farther neighbour along beams or samples, at most of all frames
        steps = array(points.diff(dim=axis + 2).square_().sum(dim=0).amax(dim=0).sqrt_()) / 2
        edged = np.pad(steps.astype(np.float64), [(1, 1) if side == axis else (0, 0) for side in (0, 1)])
        halves.append(np.maximum(np.delete(edged, 0, axis=axis), np.delete(edged, -1, axis=axis)))
    return Coarse(points, at_beams, at_samples, BENT * np.hypot(*halves))


def _every(count: int, step: int) -> list[int]:
    """Every `step`th index, and the last one."""
    return sorted({*range(0, count, step), count - 1})


def _extents(hits: NDArray[np.bool_], places: list[int]) -> list[slice]:
    """From the first to the last hit of each row (bool [rows, places]), and one place more on both sides."""
    last = len(places) - 1
    firsts = np.maximum(hits.argmax(axis=1) - 1, 0)
    lasts = np.minimum(last - hits[:, ::-1].argmax(axis=1) + 1, last)
    return [slice(places[first], places[end] + 1) for first, end in zip(firsts, lasts, strict=True)]


def beam_directions(plane: Plane, grid: PolarGrid) -> Floats:
    """Unit vectors of the beams, float64 [frames, beams, 3]."""
    cosine, sine = np.cos(grid.angles)[:, None], np.sin(grid.angles)[:, None]
    directions: Floats = cosine * plane.beam[:, None] + sine * plane.lateral[:, None]
    return directions


def sector_space(plane: Plane, grid: PolarGrid, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the samples of `grid` lie in `plane` (of all frames), whose beams have `directions`."""
    ranges = floats(grid.ranges)
    x, y, z = (column(plane.probe[:, axis]) + directions[..., axis, None] * ranges for axis in range(3))
    return x, y, z


def sector_points(
    motion: Motion, warp: tuple[tuple[float, ...], ...], plane: Plane, grid: PolarGrid
) -> Points:
    """Place the samples of `grid` in `plane` (of all frames) and bring them back to end-diastole.

    First the patient's `warp` is taken out, then the beat: so the heart beats as a straight one would.
    """
    directions = floats(beam_directions(plane, grid))
    x, y, z = sector_space(plane, grid, directions)
    waves = tuple(wave_at(wave, (x, y, z)) for wave in warp)
    straight = []
    for axis, position in enumerate((x, y, z)):
        moved = position.clone()
        for wave, sine in zip(warp, waves, strict=True):
            moved.add_(sine, alpha=wave[axis])
        straight.append(moved)
    back = motion.undo(straight[0], straight[1], straight[2])
    return Points(*back, (x, y, z), waves, directions, coarse_of(*back))


def rounded_cut(shape: Tensor, cutter: Tensor, rounding_mm: float) -> Tensor:
    """Intersect two shapes; the edge between them is rounded off."""
    overlap = (shape - cutter).abs_().sub_(rounding_mm).clamp_(max=0)
    return torch.maximum(shape, cutter).addcmul_(overlap, overlap, value=0.25 / rounding_mm)


def join(shape: Tensor, window: Window, other: Tensor) -> None:
    """Unite `shape` in place with another that is known only within `window`."""
    part = shape[window]
    torch.minimum(part, other, out=part)


def wave_at(wave: tuple[float, ...], positions: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The sine of a wave of the warp at some positions."""
    x, y, z = positions
    return (x * wave[3]).add_(y, alpha=wave[4]).add_(z, alpha=wave[5]).add_(wave[6]).sin_()


def ellipsoid(shape: Ellipsoid, points: Points) -> Tensor:
    """Approximate distance to an ellipsoid: exact on the surface, first order beside it."""
    x, y, z = (
        part - float(middle)
        for part, middle in zip((points.x, points.y, points.z), shape.centre, strict=True)
    )
    if shape.turn:
        cosine, sine = math.cos(shape.turn), math.sin(shape.turn)
        x, y = (x * cosine).add_(y, alpha=sine), (y * cosine).sub_(x, alpha=sine)
    inverse = [float(1 / half) for half in shape.half_axes]
    u, v, w = x.mul_(inverse[0]), y.mul_(inverse[1]), z.mul_(inverse[2])
    level = (u * u).addcmul_(v, v).addcmul_(w, w).sqrt_()
    u, v, w = u.mul_(inverse[0]), v.mul_(inverse[1]), w.mul_(inverse[2])
    steepness = u.mul_(u).addcmul_(v, v).addcmul_(w, w).add_(1e-9).sqrt_()
    return (level - 1).mul_(level).div_(steepness)


def ventricle(shape: Ellipsoid, points: Points) -> tuple[Tensor, Tensor]:
    """Distance to an ellipsoid centred on z, and |cosine| between its normal and the beams."""
    directions = points.directions[..., None]
    around, along = float(shape.half_axes[0] ** -2), float(shape.half_axes[2] ** -2)
    height = points.z - float(shape.centre[2])
    normal_x, normal_y, normal_z = points.x * around, points.y * around, height * along
    level = (points.x * normal_x).addcmul_(points.y, normal_y).addcmul_(height, normal_z).sqrt_()
    steepness = (normal_x * normal_x).addcmul_(normal_y, normal_y).addcmul_(normal_z, normal_z)
    steepness = steepness.add_(1e-9).sqrt_()
    along_beam = (
        (normal_x * directions[..., 0, :])
        .addcmul_(normal_y, directions[..., 1, :])
        .addcmul_(normal_z, directions[..., 2, :])
    )
    return (level - 1).mul_(level).div_(steepness), along_beam.abs_().div_(steepness)


@dataclass(frozen=True, slots=True)
class Capsules:
    """Tubes whose radius changes from end to end, as capsules."""

    tubes: Sequence[Tube]
    starts: Floats  # float64 [tubes, frames, 3]
    ends: Floats
    start: Tensor  # the same as float32 [tubes, 3, frames, 1, 1]
    axis: Tensor  # from start to end
    along: Tensor  # the axis over the square of its length

    @staticmethod
    def of(tubes: Sequence[Tube], frames: int) -> "Capsules":
        """Gather `tubes`, in a clip of some frames."""
        starts, ends = np.empty((2, len(tubes), frames, 3))
        for number, tube in enumerate(tubes):
            starts[number], ends[number] = tube.start, tube.end
        axes = ends - starts
        along = axes / np.sum(axes**2, axis=-1, keepdims=True)
        columns = floats(np.stack([starts, axes, along])).movedim(-1, 2)[..., None, None]
        return Capsules(tubes, starts, ends, *columns)

    def bounds(self) -> tuple[Floats, Floats, Floats]:
        """Capsules around them at all frames, walls included: starts, ends (float64 [tubes, 3]) and radii."""
        radii = np.array([max(tube.start_radius, tube.end_radius) + tube.wall for tube in self.tubes])
        middles = [points.mean(axis=1) for points in (self.starts, self.ends)]
        for points, middle in zip((self.starts, self.ends), middles, strict=True):  # as far as they sway
            radii += np.linalg.norm(points - middle[:, None], axis=-1).max(axis=1)
        return *middles, radii

    def distance(self, number: int, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Distance to one of them."""
        tube = self.tubes[number]
        start_x, start_y, start_z = self.start[number]
        axis_x, axis_y, axis_z = self.axis[number]
        along_x, along_y, along_z = self.along[number]
        x, y, z = x - start_x, y - start_y, z - start_z
        along = (x * along_x).addcmul_(y, along_y).addcmul_(z, along_z).clamp_(0, 1)
        x.addcmul_(along, axis_x, value=-1)
        y.addcmul_(along, axis_y, value=-1)
        z.addcmul_(along, axis_z, value=-1)
        distance = x.square_().addcmul_(y, y).addcmul_(z, z).sqrt_()
        return distance.sub_(along, alpha=tube.end_radius - tube.start_radius).sub_(tube.start_radius)
