"""Signed distances (mm, negative inside) from the samples of the sector to ellipsoids, tubes and valves.

All tensors are float32 [frames, beams, samples] unless said otherwise, or the part of that in a window.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from apical.phantom.anatomy import Floats
from apical.phantom.heart import AorticValve, Ellipsoid, Ring, Tube
from apical.phantom.planes import Plane

COAPTATION = 0.4  # half-length of the seam of an atrioventricular valve, of its radius

Window = tuple[slice, slice, slice]  # frames, beams, samples


@dataclass(frozen=True, slots=True)
class PolarGrid:
    """The samples of the sector: ranges in mm float64 [samples], beam angles in radians float64 [beams]."""

    ranges: Floats
    angles: Floats

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
    """The samples of a sector in heart coordinates, bent by the patient's warp."""

    x: Tensor
    y: Tensor
    z: Tensor
    waves: tuple[Tensor, ...]  # the sines of the warp, between -1 and 1
    largest_shift: float  # of a point by the warp, mm
    directions: Tensor  # of the beams, float32 [beams, 3]
    origins: Floats  # of the beams, float64 [frames, 3]
    plane: Plane
    grid: PolarGrid

    def empty(self) -> Tensor:
        """A shape that holds no point."""
        return torch.full_like(self.x, math.inf)

    def cut(self, window: Window) -> tuple[Tensor, Tensor, Tensor]:
        """The coordinates within `window`."""
        return self.x[window], self.y[window], self.z[window]

    def window(self, centres: Floats, radius: float) -> Window | None:
        """Find a box of samples that holds all within `radius` of `centres` (float64 [frames, 3]).

        None if there are none: what lies there need not be computed.
        """
        offset = centres - self.origins
        reach = radius + self.largest_shift
        squared = reach**2 - (offset @ self.plane.normal) ** 2
        if not (squared > 0).any():
            return None
        reach_in_plane = np.sqrt(squared[squared > 0])
        depth, lateral = (offset @ self.plane.beam)[squared > 0], (offset @ self.plane.lateral)[squared > 0]
        distance = np.hypot(depth, lateral)
        spread = np.where(
            distance > reach_in_plane,
            np.arcsin(np.minimum(1.0, reach_in_plane / np.maximum(distance, 1e-6))),
            math.pi,
        )
        angle = np.arctan2(lateral, depth)
        grid = self.grid
        beams = np.searchsorted(grid.angles, [(angle - spread).min(), (angle + spread).max()])
        samples = np.searchsorted(
            grid.ranges, [(distance - reach_in_plane).min(), (distance + reach_in_plane).max()]
        )
        if beams[0] == beams[1] or samples[0] == samples[1]:
            return None
        return slice(None), slice(int(beams[0]), int(beams[1])), slice(int(samples[0]), int(samples[1]))


def sector_points(
    warp: tuple[tuple[float, ...], ...], plane: Plane, origins: Floats, grid: PolarGrid
) -> Points:
    """Place the samples of `grid` in `plane`, with the probe face at `origins` (float64 [frames, 3])."""
    beams = np.cos(grid.angles)[:, None] * plane.beam + np.sin(grid.angles)[:, None] * plane.lateral
    directions = torch.from_numpy(beams.astype(np.float32))
    ranges = torch.from_numpy(grid.ranges.astype(np.float32))
    straight = [column(origins[:, axis]) + directions[:, axis, None] * ranges for axis in range(3)]
    waves = tuple(_wave(wave, straight) for wave in warp)
    x, y, z = (
        position + sum(wave[axis] * sine for wave, sine in zip(warp, waves, strict=True))
        for axis, position in enumerate(straight)
    )
    largest_shift = sum(float(np.linalg.norm(wave[:3])) for wave in warp)
    return Points(x, y, z, waves, largest_shift, directions, origins, plane, grid)


def column(values: Floats) -> Tensor:
    """One value a frame, ready to broadcast: float32 [frames, 1, 1]."""
    return torch.from_numpy(np.asarray(values, dtype=np.float32))[:, None, None]


def rounded_cut(shape: Tensor, cutter: Tensor, rounding_mm: float) -> Tensor:
    """Intersect two shapes; the edge between them is rounded off."""
    overlap = (rounding_mm - (shape - cutter).abs()).clamp(min=0)
    return torch.maximum(shape, cutter) + overlap * overlap * (0.25 / rounding_mm)


def join(shape: Tensor, window: Window, other: Tensor) -> None:
    """Unite `shape` in place with another that is known only within `window`."""
    shape[window] = torch.minimum(shape[window], other)


def _wave(wave: tuple[float, ...], positions: list[Tensor]) -> Tensor:
    x, y, z = positions
    return torch.sin(wave[3] * x + wave[4] * y + wave[5] * z + wave[6])


def ellipsoid(shape: Ellipsoid, points: Points) -> Tensor:
    """Approximate distance to an ellipsoid: exact on the surface, first order beside it."""
    x, y, z = points.x, points.y, points.z - column(shape.centre[:, 2])
    x, y = x - column(shape.centre[:, 0]), y - column(shape.centre[:, 1])
    if shape.turn:
        cosine, sine = math.cos(shape.turn), math.sin(shape.turn)
        x, y = cosine * x + sine * y, cosine * y - sine * x
    inverse = [column(1 / shape.half_axes[:, axis]) for axis in range(3)]
    u, v, w = x * inverse[0], y * inverse[1], z * inverse[2]
    level = torch.sqrt(u * u + v * v + w * w)
    u, v, w = u * inverse[0], v * inverse[1], w * inverse[2]
    return level * (level - 1) / torch.sqrt(u * u + v * v + w * w + 1e-9)


def ventricle(shape: Ellipsoid, points: Points) -> tuple[Tensor, Tensor]:
    """Distance to an ellipsoid centred on z, and |cosine| between its normal and the beams."""
    directions = points.directions
    around, along = column(shape.half_axes[:, 0] ** -2), column(shape.half_axes[:, 2] ** -2)
    height = points.z - column(shape.centre[:, 2])
    normal_x, normal_y, normal_z = points.x * around, points.y * around, height * along
    level = torch.sqrt(points.x * normal_x + points.y * normal_y + height * normal_z)
    steepness = torch.sqrt(normal_x * normal_x + normal_y * normal_y + normal_z * normal_z + 1e-9)
    along_beam = (
        normal_x * directions[:, 0, None]
        + normal_y * directions[:, 1, None]
        + normal_z * directions[:, 2, None]
    )
    return level * (level - 1) / steepness, along_beam.abs() / steepness


def capsule(tube: Tube, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Distance to a capsule whose radius changes from end to end."""
    axis = tube.end - tube.start
    length_squared = np.sum(axis**2, axis=-1)
    axis_x, axis_y, axis_z = (column(axis[:, i]) for i in range(3))
    x, y, z = (value - column(tube.start[:, i]) for i, value in enumerate((x, y, z)))
    along = ((x * axis_x + y * axis_y + z * axis_z) * column(1 / length_squared)).clamp(0, 1)
    x, y, z = x - along * axis_x, y - along * axis_y, z - along * axis_z
    taper = tube.end_radius - tube.start_radius
    return torch.sqrt(x * x + y * y + z * z) - (along * taper + tube.start_radius)


def valve(ring: Ring, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Distances to the orifice of a ring and to the middle of its leaflets.

    The ring is a stadium around the seam in which the leaflets meet. In each half-plane across the seam a
    leaflet is a segment that hangs from the ring, with a length and an angle that change along it.
    """
    x, y, z = (value - column(ring.centre[:, i]) for i, value in enumerate((x, y, z)))
    angle = math.radians(ring.anterior_azimuth)
    forward, sideways = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    seam = COAPTATION * ring.radius
    sideways = sideways - sideways.clamp(-seam, seam)
    from_seam = torch.sqrt(forward * forward + sideways * sideways)
    anterior = forward / (from_seam + 1e-3)  # 1 anterior, -1 posterior
    radius = ring.radius * (1.15 - COAPTATION)
    opening = column(ring.opening)
    slope = 0.45 + opening * (0.9 - 0.35 * anterior.abs())  # radians from the plane of the ring
    closed_length = radius * 1.02 / math.cos(0.45)
    length = closed_length + opening * (radius * (1.15 + 0.35 * anterior) - closed_length)
    inward, cosine, sine = radius - from_seam, torch.cos(slope), torch.sin(slope)
    reached = inward * cosine + z * sine
    along = torch.minimum(reached.clamp(min=0), length)
    beyond = reached - along
    billow = -1.2 * torch.sin(along / length * math.pi)  # towards the atrium
    leaflet = torch.sqrt(beyond * beyond + (z * cosine - inward * sine - billow) ** 2)
    orifice = torch.maximum(from_seam - radius, (z + 1).abs() - 6)
    return orifice, leaflet


def cusps(valve: AorticValve, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Distance to the middle of the three aortic cusps, closed (a three-pointed star) or open (a tube)."""
    x, y, z = (value - column(valve.centre[:, i]) for i, value in enumerate((x, y, z)))
    first = np.cross(valve.direction, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first)
    second = np.cross(valve.direction, first)
    along, across, over = (
        x * float(vector[0]) + y * float(vector[1]) + z * float(vector[2])
        for vector in (valve.direction, first, second)
    )
    from_axis = torch.sqrt(across * across + over * over)
    third = 2 * math.pi / 3
    turn = (torch.atan2(over, across) + math.radians(valve.cusp_azimuth)) / third
    from_commissure = (turn - torch.round(turn)).abs() * third
    seam = torch.where(from_commissure < math.pi / 2, from_axis * torch.sin(from_commissure), from_axis)
    seam = torch.maximum(seam, (along - 7.5).abs() - 4.5)
    belly = (along - 10 + 9 * (from_axis / valve.radius) ** 2).abs()
    sleeve = torch.maximum((from_axis - 0.80 * valve.radius).abs(), (along - 6).abs() - 6)
    is_open = column(valve.opening) > 0.5
    cusps = torch.where(is_open, sleeve, torch.minimum(seam, belly))
    return cusps.masked_fill_(from_axis > 1.15 * valve.radius, math.inf)
