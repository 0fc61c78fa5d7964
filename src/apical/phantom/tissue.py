"""Which tissue lies at each sample of each beam.

Signed distances (mm, negative inside) are joined by minimum and cut by maximum. All tensors are float32
[frames, beams, samples] unless said otherwise.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from apical.phantom.anatomy import Floats
from apical.phantom.heart import Heart, Tissue, body
from apical.phantom.planes import Plane
from apical.phantom.shapes import (
    Points,
    PolarGrid,
    capsule,
    column,
    cusps,
    ellipsoid,
    join,
    rounded_cut,
    sector_points,
    valve,
    ventricle,
)

RV_WALL_MM = 3.2
ATRIAL_WALL_MM = 1.3
ATRIAL_SEPTUM_MM = 2.2
PERICARDIUM_MM = 1.3
LIVER_CAPSULE_MM = 1.5
EPICARDIAL_FAT_MM = 8.0
CUSPS_THINNER_MM = 0.4  # half-thickness, than the leaflets of the other valves
APICAL_THINNING = 0.4  # share of the ventricular wall's thickness that is lost towards the apex


@dataclass(frozen=True, slots=True)
class TissueMap:
    """What the beams pass through."""

    labels: Tensor  # uint8, values of Tissue
    ripple: Tensor  # slow waves between -1 and 1 that make tissues patchy
    outside: Tensor  # distance from the heart, mm, 0 within
    facing: Tensor  # |cosine| between beam and the normal of the left ventricular wall


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


def classify(heart: Heart, plane: Plane, origins: Floats, grid: PolarGrid) -> TissueMap:
    """Label what each beam meets, with the probe face at `origins` (float64 [frames, 3]) of `plane`."""
    points = sector_points(heart.patient.warp, plane, origins, grid)
    chambers, tubes = _chambers(heart, points), _tubes(heart, points)
    orifices, leaflets = _valves(heart, points)
    atria = torch.maximum(torch.minimum(chambers.la, chambers.ra), -tubes.firm_wall)
    ventricles = torch.minimum(chambers.lv, chambers.rv)
    orifices = torch.maximum(orifices, -tubes.firm_wall)
    blood = torch.minimum(torch.minimum(ventricles, atria), torch.minimum(orifices, tubes.blood))
    rv_outer = torch.minimum(chambers.rv - RV_WALL_MM, tubes.outflow_wall)
    surface = torch.minimum(torch.minimum(chambers.lv_outer, rv_outer), atria - ATRIAL_WALL_MM)
    ranges = torch.from_numpy(grid.ranges.astype(np.float32))
    leaflet_reach = (0.6 * grid.beam_radians * ranges).clamp(min=heart.patient.leaflet_half_thickness)
    in_blood = blood < 0

    # From the outside inwards: what is painted later covers what was painted before.
    labels = _surroundings(heart, points, surface)
    labels.masked_fill_(tubes.vessel_wall < 0, Tissue.VESSEL_WALL)
    labels.masked_fill_(atria < ATRIAL_WALL_MM, Tissue.ATRIAL_WALL)
    labels.masked_fill_(rv_outer < 0, Tissue.RV_WALL)
    labels.masked_fill_(chambers.lv_outer < 0, Tissue.MYOCARDIUM)
    labels.masked_fill_(in_blood, Tissue.BLOOD)
    labels.masked_fill_((tubes.muscle < 0) & (ventricles < 1), Tissue.PAPILLARY)
    labels.masked_fill_((leaflets < leaflet_reach) & in_blood, Tissue.LEAFLET)
    labels.masked_fill_(ranges < heart.patient.chest_wall * (1 + 0.08 * points.waves[1]), Tissue.CHEST_WALL)
    return TissueMap(labels, ripple=points.waves[2], outside=surface.clamp(min=0), facing=chambers.facing)


def _chambers(heart: Heart, points: Points) -> _Chambers:
    base, z = column(heart.base), points.z
    round_lv, facing = ventricle(heart.lv, points)
    along = (z - base) / column(heart.apex - heart.base)  # 0 at the base, 1 at the apex
    wall = column(heart.lv_wall) * (1 - (along - 1 + APICAL_THINNING).clamp(0, APICAL_THINNING))
    lv_outer = rounded_cut(round_lv, base - z, 12) - wall
    la = torch.maximum(ellipsoid(heart.la, points), z - base + 2)
    ra = torch.maximum(ellipsoid(heart.ra, points), z - base)
    return _Chambers(
        lv=torch.maximum(round_lv, base - z),
        lv_outer=lv_outer,
        rv=torch.maximum(rounded_cut(ellipsoid(heart.rv, points), base + 2 - z, 16), -lv_outer),
        la=la,
        ra=torch.maximum(ra, ATRIAL_SEPTUM_MM - la),
        facing=facing,
    )


def _tubes(heart: Heart, points: Points) -> _Tubes:
    tubes = _Tubes(*(points.empty() for _ in range(5)))
    for tube in heart.tubes:
        length = float(np.linalg.norm(tube.end - tube.start, axis=-1).max())
        reach = length / 2 + max(tube.start_radius, tube.end_radius) + tube.wall
        window = points.window((tube.start + tube.end) / 2, reach)
        if window is None:  # the tube does not touch the sector
            continue
        distance = capsule(tube, *points.cut(window))
        if tube.lining is Tissue.PAPILLARY:
            join(tubes.muscle, window, distance)
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
    orifices, leaflets = points.empty(), points.empty()
    for ring in (heart.mitral, heart.tricuspid):
        window = points.window(ring.centre, ring.radius * 2)
        if window is not None:
            orifice, leaflet = valve(ring, *points.cut(window))
            join(orifices, window, orifice)
            join(leaflets, window, leaflet)
    root = heart.aortic
    window = points.window(root.centre + root.direction * 7, root.radius * 1.5)
    if window is not None:
        join(leaflets, window, cusps(root, *points.cut(window)) + CUSPS_THINNER_MM)
    return orifices, leaflets


def _surroundings(heart: Heart, points: Points, surface: Tensor) -> Tensor:
    """Label everything outside the heart: pericardium, effusion, fat, lung, liver (uint8)."""
    patient, wave = heart.patient, points.waves[0]
    mid_ventricle = np.array([0.0, 0.0, 35.0 * patient.size])

    def coordinate(direction: Floats) -> Tensor:
        x, y, z = (float(value) for value in direction)
        return x * points.x + y * points.y + z * points.z - float(direction @ mid_ventricle)

    left, posterior, superior = (coordinate(body(*axis)) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    dome = -patient.diaphragm_below - 0.0022 * ((left + 60) ** 2 + posterior**2) + 4 * wave
    above_diaphragm = superior - dome
    ragged = 48 + 8 * wave + 6 * points.waves[2]
    mediastinum = ((left + 18).abs() < ragged) & (superior > -40)

    labels = torch.full_like(surface, Tissue.LUNG, dtype=torch.uint8)
    labels.masked_fill_(mediastinum | (surface < patient.effusion + EPICARDIAL_FAT_MM + 4 * wave), Tissue.FAT)
    labels.masked_fill_(above_diaphragm < 0, Tissue.PERICARDIUM)
    labels.masked_fill_(above_diaphragm < -LIVER_CAPSULE_MM, Tissue.LIVER)
    labels.masked_fill_(surface < patient.effusion + PERICARDIUM_MM, Tissue.PERICARDIUM)
    if patient.effusion > 0:
        labels.masked_fill_(surface < patient.effusion, Tissue.EFFUSION)
    return labels
