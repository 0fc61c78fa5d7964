"""Scatterers that belong to the tissue: random numbers looked up where the tissue lies at end-diastole.

As the heart moves, the speckle moves with it; where tissue leaves the imaging plane, other scatterers enter
it, and the speckle changes.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from apical.phantom.planes import Plane

SITES = 64  # of the lattice along an axis; then it repeats
# Between sites along the beam, along the image and across it: as fine as the point spreads of the probes here
# are along the beam, and as thick as a beam is across the image.
SPACING_MM = (0.8, 1.5, 2.4)
TILT = 0.11  # radians of the lattice against the plane, so that no line of sight meets its own repetition


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where the lattice lies in a clip: a point's site along each axis is `axis @ point + shift`."""

    axes: tuple[tuple[float, float, float], ...]  # sites a mm
    shifts: tuple[float, ...]


def lattice_along(plane: Plane, generator: torch.Generator) -> Lattice:
    """Lay the lattice along `plane`, shifted by `generator`: no two clips have the same speckle."""
    shifts = torch.rand(3, generator=generator, device=generator.device) * SITES
    along = (plane.beam, plane.lateral, plane.normal)
    tilted = (along[i] + math.tan(TILT) * along[i - 1] for i in range(3))
    axes = (axis / spacing for axis, spacing in zip(tilted, SPACING_MM, strict=True))
    return Lattice(tuple(tuple(axis.tolist()) for axis in axes), tuple(shifts.tolist()))


def scatterers(place: tuple[Tensor, Tensor, Tensor], lattice: Lattice) -> Tensor:
    """Complex scatter at `place` (mm, each [frames, beams, samples]): [2, *place].

    Real and imaginary part are standard normal at every point (power 2): interpolation is normalised.
    """
    sites = [
        (place[0] * x).add_(place[1], alpha=y).add_(place[2], alpha=z).add_(shift)
        for (x, y, z), shift in zip(lattice.axes, lattice.shifts, strict=True)
    ]
    low = [site.floor() for site in sites[:2]]
    part = [site.sub_(floor) for site, floor in zip(sites[:2], low, strict=True)]
    near, aside = (floor.int().bitwise_and_(SITES - 1) for floor in low)
    far = (near + 1).bitwise_and_(SITES - 1)
    across = (sites[2].round_().int() & (SITES - 1)) * SITES
    numbers = _numbers(place[0].device)
    total = 1 - 2 * part[0] * (1 - part[0])  # sum of the squared weights
    scale = total.mul_(1 - 2 * part[1] * (1 - part[1])).rsqrt_()
    values = torch.zeros((2, *place[0].shape), device=place[0].device)
    weights = scale - scale * part[0], scale * part[0]
    for along, along_weight in zip((near, far), weights, strict=True):
        found = numbers.index_select(0, (across + along).mul_(SITES).add_(aside).flatten())
        pair = found.T.view(2, *values.shape)  # at aside, and one further
        values.addcmul_(pair[0], along_weight * (1 - part[1]))
        values.addcmul_(pair[1], along_weight * part[1])
    return values


@functools.lru_cache(maxsize=4)
def _numbers(device: torch.device) -> Tensor:
    """Two standard normal numbers of each site and those of the one beside it: float32 [SITES ** 3, 4]."""
    generator = torch.Generator("cpu").manual_seed(0xEC40)
    numbers = torch.randn((SITES, SITES, SITES, 2), generator=generator, device="cpu")
    return torch.cat([numbers, numbers.roll(-1, dims=2)], dim=-1).view(-1, 4).to(device)
