"""Which tissue lies at each sample of each beam.

Signed distances (mm, negative inside) are joined by minimum and cut by maximum. All tensors are float32
[frames, beams, samples] unless said otherwise.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apical.phantom.anatomy import Floats
from apical.phantom.axes import body
from apical.phantom.device import floats
from apical.phantom.heart import Heart, Tissue, Tube
from apical.phantom.planes import Plane
from apical.phantom.shapes import (
    EVERYWHERE,
    Capsules,
    Points,
    PolarGrid,
    ellipsoid,
    join,
    rounded_cut,
    sector_points,
    ventricle,
    wave_at,
)
from apical.phantom.valves import cusps, leaflets

RV_WALL_MM = 3.2
ATRIAL_WALL_MM = 1.3
ATRIAL_SEPTUM_MM = 2.2
PERICARDIUM_MM = 1.3
LIVER_CAPSULE_MM = 1.5
EPICARDIAL_FAT_MM = 8.0
CUSPS_THINNER_MM = 0.4  # half-thickness, than the leaflets of the other valves
APICAL_THINNING = 0.4  # share of the ventricular wall's thickness that is lost towards the apex
TRABECULAE_MM = (0.7, 1.6)  # of the left and right ventricle's inner surface, at the apex
TRABECULA_WAVE = (0.75, 0.66, 0.52)  # rad/mm: 7 to 12 mm from one to the next
JUST_INSIDE_MM = -1e-30  # where a distance counts as inside
FLUID_IN_FRONT = 0.3  # thickness of an effusion before the heart, of that behind it: it sinks


@dataclass(frozen=True)
class TissueMap:
    """What the beams pass through."""

    labels: Tensor  # uint8, values of Tissue
    place: tuple[Tensor, Tensor, Tensor]  # where that tissue lies at end-diastole, heart coordinates, mm
    ripple: Tensor  # slow waves between -1 and 1 that make tissues patchy
    outside: Tensor  # distance from the heart, mm, 0 within
    facing: Tensor  # |cosine| between beam and the normal of the left ventricular wall

    @cached_property
    def index(self) -> Tensor:
        """The labels as a list of indices, int64 [frames * beams * samples]."""
        return self.labels.flatten().long()


@dataclass(frozen=True, slots=True)
class _Chambers:
    lv: Tensor
    lv_outer: Tensor
    rv: Tensor
    la: Tensor
    ra: Tensor
    facing: Tensor  # see TissueMap


@dataclass(frozen=True, slots=True)
class _Tubes:
    blood: Tensor
    vessel_wall: Tensor  # outer surface
    firm_wall: Tensor  # outer surface of the vessels that the atria give way to
    outflow_wall: Tensor  # outer surface of the right ventricular outflow tract
    muscle: Tensor
    chordae: Tensor


def classify(heart: Heart, plane: Plane, grid: PolarGrid, ribs: tuple[Tube, ...] = ()) -> TissueMap:
    """Label what each beam meets in `plane` (of all frames).

    `ribs` lie in space and do not move with the heart.
    """
    points = sector_points(heart.motion, heart.patient.warp, plane, grid)
    ranges = floats(grid.ranges)
    thin = 0.6 * grid.beam_radians * ranges  # what is thinner would fall between two beams
    chord = 0.6 * thin  # by so much chordae are thickened
    chambers, tubes = _chambers(heart, points), _tubes(heart, points, float(chord[-1]))
    orifices, valves = _valves(heart, points)
    beside_firm = -tubes.firm_wall
    atria = torch.maximum(torch.minimum(chambers.la, chambers.ra), beside_firm)
    ventricles = torch.minimum(chambers.lv, chambers.rv)
    orifices = torch.maximum(orifices, beside_firm)
    blood = torch.minimum(torch.minimum(ventricles, atria), torch.minimum(orifices, tubes.blood))
    rv_outer = torch.minimum(chambers.rv - RV_WALL_MM, tubes.outflow_wall)
    atrial_outer = atria - ATRIAL_WALL_MM
    surface = torch.minimum(torch.minimum(chambers.lv_outer, rv_outer), atrial_outer)

    layers = _surroundings(heart, points, surface)
    layers.cover(tubes.vessel_wall, Tissue.VESSEL_WALL)
    layers.cover(atrial_outer, Tissue.ATRIAL_WALL)
    layers.cover(rv_outer, Tissue.RV_WALL)
    layers.cover(chambers.lv_outer, Tissue.MYOCARDIUM)
    layers.cover(blood, Tissue.BLOOD)
    layers.cover(torch.maximum(tubes.muscle, ventricles - 1), Tissue.PAPILLARY)
    leaflet = valves - thin.clamp(min=heart.patient.leaflet_half_thickness)
    leaflet = torch.minimum(leaflet, tubes.chordae - chord)
    layers.cover(torch.maximum(leaflet, blood), Tissue.LEAFLET)
    chest_wall = (points.waves[1] * (-0.08 * heart.patient.chest_wall)).add_(
        ranges - heart.patient.chest_wall
    )
    layers.cover(chest_wall, Tissue.CHEST_WALL)
    bones = Capsules.of(ribs, 1)
    for number in range(len(ribs)):
        layers.cover(bones.distance(number, *points.space), Tissue.RIB)
    place = (points.x, points.y, points.z)
    return TissueMap(
        labels=layers.labels(),
        place=place,
        ripple=wave_at(heart.patient.warp[2], place),
        outside=surface.clamp(min=0),
        facing=chambers.facing,
    )


def _chambers(heart: Heart, points: Points) -> _Chambers:
    patient, z = heart.patient, points.z
    round_lv, facing = ventricle(heart.lv, points)
    along = z / patient.lv_length  # 0 at the base, 1 at the apex
    septal = torch.atan2(points.y, points.x) - float(np.radians(patient.rv_azimuth))
    wall = torch.cos(septal).clamp_(min=0).mul_(patient.lv_wall * patient.septal_bulge).add_(patient.lv_wall)
    wall *= 1 - (along - (1 - APICAL_THINNING)).clamp_(0, APICAL_THINNING)
    ridges = _trabeculae(points) * along.clamp(0, 1)
    lv_outer = rounded_cut(round_lv, -z, 12) - wall
    la = torch.maximum(ellipsoid(heart.la, points), z + 2)
    ra = torch.maximum(ellipsoid(heart.ra, points), z)
    rv = torch.maximum(rounded_cut(ellipsoid(heart.rv, points), 2 - z, 16), -lv_outer)
    return _Chambers(
        lv=torch.maximum(round_lv + TRABECULAE_MM[0] * ridges, -z),
        lv_outer=lv_outer,
        rv=rv + TRABECULAE_MM[1] * ridges,
        la=la,
        ra=torch.maximum(ra, ATRIAL_SEPTUM_MM - la),
        facing=facing,
    )


def _trabeculae(points: Points) -> Tensor:
    """Ridges of the inner surface, from 0 to 1, that run along the ventricle."""
    a, b, c = TRABECULA_WAVE
    ridges = (points.x * a).add_(points.z, alpha=0.12).sin_()
    ridges = ridges.mul_((points.y * b).sub_(points.z, alpha=0.1).sin_())
    aslant = (points.x + points.y).add_(points.z, alpha=0.6).mul_(c).sin_()
    return ridges.add_(aslant, alpha=0.5).clamp_(0, 1)


def _tubes(heart: Heart, points: Points, thickened_mm: float) -> _Tubes:
    """The tubes of the heart, which may be made `thickened_mm` thicker before they are painted."""
    tubes = _Tubes(*(points.empty() for _ in range(6)))
    capsules = Capsules.of(heart.tubes, len(points.x))
    starts, ends, radii = capsules.bounds()
    windows = points.coarse.windows(starts, ends, radii + thickened_mm)
    for number, (tube, window) in enumerate(zip(heart.tubes, windows, strict=True)):
        if tube.lining is Tissue.RV_WALL:  # how far it is matters where it is not, too: fluid, fat, fading
            window = EVERYWHERE
        if window is None:  # the tube does not touch the sector
            continue
        distance = capsules.distance(number, *points.cut(window))
        if tube.lining is Tissue.PAPILLARY or tube.lining is Tissue.LEAFLET:
            join(tubes.muscle if tube.lining is Tissue.PAPILLARY else tubes.chordae, window, distance)
            continue
        join(tubes.blood, window, distance)
        if tube.lining is Tissue.VESSEL_WALL:
            join(tubes.vessel_wall, window, distance - tube.wall)
        if tube.lining is Tissue.RV_WALL:
            join(tubes.outflow_wall, window, distance - tube.wall)
        if tube.firm:
            join(tubes.firm_wall, window, distance - tube.wall)
    return tubes


def _valves(heart: Heart, points: Points) -> tuple[Tensor, Tensor]:
    """Distances to the orifices between atria and ventricles, and to the middle of all leaflets."""
    orifices, middles = points.empty(), points.empty()
    rings, roots = (heart.mitral, heart.tricuspid), (heart.aortic, heart.pulmonary)
    centres = np.stack([ring.centre for ring in rings] + [root.centre + root.direction * 7 for root in roots])
    radii = np.array([ring.radius * 2 for ring in rings] + [root.radius * 1.5 for root in roots])
    windows = points.coarse.windows(centres, centres, radii)
    for ring, window in zip(rings, windows[:2], strict=True):
        if window is not None:
            orifice, leaflet = leaflets(ring, *points.cut(window))
            join(orifices, window, orifice)
            join(middles, window, leaflet)
    for root, window in zip(roots, windows[2:], strict=True):
        if window is not None:
            join(middles, window, cusps(root, *points.cut(window)) + CUSPS_THINNER_MM)
    return orifices, middles


def _surroundings(heart: Heart, points: Points, surface: Tensor) -> "_Layers":
    """Everything outside the heart: pericardium, effusion, fat, lung, liver."""
    patient, wave = heart.patient, points.waves[0]
    mid_ventricle = np.array([0.0, 0.0, 35.0 * patient.size])

    def coordinate(direction: Floats) -> Tensor:
        x, y, z = (float(value) for value in direction)
        along = (points.x * x).add_(points.y, alpha=y).add_(points.z, alpha=z)
        return along.sub_(float(direction @ mid_ventricle))

    left, posterior, superior = (coordinate(body(*axis)) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    bowl = (left + 60).square_().addcmul_(posterior, posterior)
    above_diaphragm = (superior - 4 * wave).add_(bowl, alpha=0.0022).add_(patient.diaphragm_below)
    ragged = (8 * wave).add_(points.waves[2], alpha=6).add_(48)
    mediastinum = torch.maximum((left + 18).abs_().sub_(ragged), -40 - superior)
    behind = posterior.div_(80).add_(0.5).clamp_(0, 1)
    fluid = behind.mul_(patient.effusion * (1 - FLUID_IN_FRONT)).add_(patient.effusion * FLUID_IN_FRONT)
    beyond_fluid = surface - fluid

    layers = _Layers(surface, Tissue.LUNG)
    fat = (beyond_fluid - EPICARDIAL_FAT_MM).sub_(wave, alpha=4)
    layers.cover(torch.minimum(mediastinum, fat), Tissue.FAT)
    layers.cover(above_diaphragm, Tissue.PERICARDIUM)
    layers.cover(above_diaphragm.add_(LIVER_CAPSULE_MM), Tissue.LIVER)
    layers.cover(beyond_fluid - PERICARDIUM_MM, Tissue.PERICARDIUM)
    if patient.effusion > 0:
        layers.cover(beyond_fluid, Tissue.EFFUSION)
    return layers


class _Layers:
    """Tissues over one another, from the outside inwards: a later one covers those before."""

    def __init__(self, like: Tensor, ground: Tissue) -> None:
        self.tissues = [ground]
        self.top = torch.zeros_like(like)  # minus the number of the topmost layer

    def cover(self, shape: Tensor, tissue: Tissue) -> None:
        """Lay a tissue over all that lies inside a shape."""
        number = -float(len(self.tissues))  # where it is inside; a mask would take several times as long
        inside = functional.threshold(shape, JUST_INSIDE_MM, number)
        torch.minimum(self.top, inside, out=self.top)
        self.tissues.append(tissue)

    def labels(self) -> Tensor:
        """The tissue on top, uint8."""
        tissues = torch.tensor(self.tissues, dtype=torch.uint8)
        return tissues.index_select(0, (-self.top).flatten().int()).view(self.top.shape)
