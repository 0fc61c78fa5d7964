"""The four valves: leaflets between atria and ventricles, cusps of the great arteries, and chordae.

Lengths are mm; distances are float32 tensors, negative inside.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from apical.phantom.anatomy import Floats
from apical.phantom.axes import AXIS, azimuth
from apical.phantom.device import floats

COAPTATION = 0.4  # half-length of the seam of an atrioventricular valve, of its radius
CLOSED_SLOPE = 0.45  # radians between a closed leaflet and the plane of its ring
CUSPS_OPEN_TO = 0.82  # of the radius of their root

_Numbers = TypeVar("_Numbers", Tensor, Floats)


@dataclass(frozen=True, slots=True)
class Ring:
    """The annulus of an atrioventricular valve, in a plane across z."""

    centre: Floats  # float64 [3]
    radius: float  # about the mean of the long and the short one
    anterior_azimuth: float  # degrees, where the longer leaflet hangs
    opening: Floats  # float64 [frames], 0 closed to 1 wide open


@dataclass(frozen=True, slots=True)
class SemilunarValve:
    """Three cusps and the root they sit in."""

    centre: Floats  # float64 [3]
    direction: Floats  # float64 [3], where the blood goes
    radius: float
    cusp_azimuth: float  # degrees
    opening: Floats  # float64 [frames]


def column(values: Floats | float) -> Tensor:
    """One value for all frames, or one a frame, ready to broadcast: float32 [1 or frames, 1, 1]."""
    return floats(values).reshape(-1, 1, 1)


def leaflets(ring: Ring, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Distances to the orifice of a ring and to the middle of its leaflets.

    The ring is a stadium around the seam in which the leaflets meet. In each half-plane across the seam a
    leaflet is a segment that hangs from the ring, with a length and an angle that change along it.
    """
    x, y, z = (value - float(ring.centre[i]) for i, value in enumerate((x, y, z)))
    angle = math.radians(ring.anterior_azimuth)
    cosine, sine = math.cos(angle), math.sin(angle)
    forward, sideways = (x * cosine).add_(y, alpha=sine), (y * cosine).sub_(x, alpha=sine)
    seam = COAPTATION * ring.radius
    sideways -= sideways.clamp(-seam, seam)
    from_seam = (forward * forward).addcmul_(sideways, sideways).sqrt_()
    anterior = forward.div_(from_seam + 1e-3)  # 1 anterior, -1 posterior
    radius = _hinge(ring)
    length, slope = _length_and_slope(ring, column(ring.opening), anterior)
    inward, inwards, upwards = radius - from_seam, torch.cos(slope), torch.sin(slope)
    reached = (inward * inwards).addcmul_(z, upwards)
    along = torch.minimum(reached.clamp(min=0), length)
    beyond = reached.sub_(along)
    billow = along.div_(length).mul_(math.pi).sin_().mul_(-1.2)  # towards the atrium
    aside = (z * inwards).addcmul_(inward, upwards, value=-1).sub_(billow)
    leaflet = beyond.square_().addcmul_(aside, aside).sqrt_()
    orifice = torch.maximum(from_seam.sub_(radius), z.add_(1).abs_().sub_(6))
    return orifice, leaflet


def chordae_ends(ring: Ring, muscle: Floats) -> list[Floats]:
    """Where chordae from the tip of a papillary `muscle` (float64 [3]) hold the two leaflets.

    Each float64 [frames, 3], at the free edge, on the muscle's side.
    """
    forward, sideways = azimuth(ring.anterior_azimuth), azimuth(ring.anterior_azimuth + 90)
    side = float(np.sign((muscle - ring.centre) @ sideways)) * 0.8 * COAPTATION * ring.radius
    ends = []
    for anterior in (1.0, -1.0):
        length, slope = _length_and_slope(ring, ring.opening, np.array(anterior))
        out = _hinge(ring) - length * np.cos(slope)
        deep = length * np.sin(slope)
        ends.append(
            ring.centre + (anterior * out)[:, None] * forward + side * sideways + deep[:, None] * AXIS
        )
    return ends


def cusps(valve: SemilunarValve, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Distance to the middle of three cusps, closed (a three-pointed star) or open (nearly a tube).

    Between two commissures the free edge runs straight to a point that moves from the middle of the vessel
    out to its wall.
    """
    x, y, z = (value - float(valve.centre[i]) for i, value in enumerate((x, y, z)))
    first = np.cross(valve.direction, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first)
    second = np.cross(valve.direction, first)
    along, across, over = (
        (x * float(vector[0])).add_(y, alpha=float(vector[1])).add_(z, alpha=float(vector[2]))
        for vector in (valve.direction, first, second)
    )
    radius = valve.radius
    from_axis = (across * across).addcmul_(over, over).sqrt_()
    third = 2 * math.pi / 3
    turn = torch.atan2(over, across).add_(math.radians(valve.cusp_azimuth)).div_(third)
    from_middle = turn.sub_(torch.round(turn)).abs_().mul_(third)  # of a cusp; a commissure is pi / 3 away
    out, aside = torch.cos(from_middle).mul_(from_axis), from_middle.sin_().mul_(from_axis)
    tip = CUSPS_OPEN_TO * radius * column(valve.opening)
    edge_out, edge_aside = 0.5 * radius - tip, math.sqrt(0.75) * radius  # from the tip to the commissure
    out -= tip
    share = (out * edge_out).add_(aside, alpha=edge_aside)
    share.div_(edge_out * edge_out + edge_aside * edge_aside).clamp_(0, 1)
    out.addcmul_(share, edge_out, value=-1)
    aside.sub_(share, alpha=edge_aside)
    edge = out.square_().addcmul_(aside, aside).sqrt_()
    edge = torch.maximum(edge, (along - 7.5).abs_().sub_(4.5))
    belly = along.sub_(10).addcmul_(from_axis, from_axis, value=9 / radius**2).abs_()
    shut = column(valve.opening) < 0.4
    cusps = torch.where(shut, torch.minimum(edge, belly), edge)
    return cusps.masked_fill_(from_axis > 1.15 * radius, math.inf)


def _hinge(ring: Ring) -> float:
    """Distance from the seam to where the leaflets hang."""
    return ring.radius * (1.15 - COAPTATION)


def _length_and_slope(ring: Ring, opening: _Numbers, anterior: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Length of the leaflet and its angle from the plane of the ring, by opening and place."""
    radius = _hinge(ring)
    slope = CLOSED_SLOPE + opening * (0.9 - 0.35 * abs(anterior))
    closed_length = radius * 1.02 / math.cos(CLOSED_SLOPE)
    length = closed_length + opening * (radius * (1.15 + 0.35 * anterior) - closed_length)
    return length, slope
