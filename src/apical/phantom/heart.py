"""The shape of a heart at given moments of its cycle: ellipsoids, tubes and valve rings.

Heart coordinates, mm: the long axis of the left ventricle is z, from the base (0) to the apex (positive);
azimuths as in `anatomy`. Every shape holds one value a frame, so that a whole clip is classified at once.
"""

import math
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from apical.phantom.anatomy import NORMAL_EJECTION_FRACTION, Floats, Patient, cardiac_cycle


class Tissue(IntEnum):
    """What a point of the body is made of."""

    BLOOD = 0
    MYOCARDIUM = 1
    RV_WALL = 2
    ATRIAL_WALL = 3
    VESSEL_WALL = 4
    LEAFLET = 5
    PAPILLARY = 6
    PERICARDIUM = 7
    EFFUSION = 8
    FAT = 9
    LUNG = 10
    LIVER = 11
    CHEST_WALL = 12


ROOT_FOLLOWS_BASE = 0.6  # share of the descent of the mitral plane that the aortic root follows

AXIS = np.array([0.0, 0.0, 1.0])  # long axis of the left ventricle, base to apex


def unit(vector: Floats) -> Floats:
    """Scale `vector` (float64 [3]) to length one."""
    return vector / float(np.linalg.norm(vector))


def azimuth(degrees: float) -> Floats:
    """Give the unit vector of an azimuth, float64 [3]."""
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0])


# The long axis points to the left, forwards and down in the body (left, posterior, superior).
_AXIS_IN_BODY = unit(np.array([0.62, -0.48, -0.62]))
_ANTERIOR_IN_BODY = np.array([0.06, -0.75, 0.64])
_ANTERIOR_IN_BODY = unit(_ANTERIOR_IN_BODY - (_ANTERIOR_IN_BODY @ _AXIS_IN_BODY) * _AXIS_IN_BODY)
_BODY_TO_HEART = np.stack([np.cross(_ANTERIOR_IN_BODY, _AXIS_IN_BODY), _ANTERIOR_IN_BODY, _AXIS_IN_BODY])


def body(left: float, posterior: float, superior: float) -> Floats:
    """Turn a vector of body directions (mm) into heart coordinates, float64 [3]."""
    return np.asarray(_BODY_TO_HEART @ np.array([left, posterior, superior]), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A chamber: centre and half-axes float64 [frames, 3], turned by `turn` radians around z."""

    centre: Floats
    half_axes: Floats
    turn: float = 0.0


@dataclass(frozen=True, slots=True)
class Tube:
    """A tapered capsule from `start` to `end` (float64 [frames, 3], mm).

    `lining` says what surrounds its blood, `wall` mm thick; BLOOD has no wall, PAPILLARY is solid.
    The atria give way to a `firm` tube. Blood flows from start to end, in a `vein` the other way.
    """

    start: Floats
    end: Floats
    start_radius: float
    end_radius: float
    wall: float
    lining: Tissue
    firm: bool = False
    vein: bool = False


@dataclass(frozen=True, slots=True)
class Ring:
    """The annulus of an atrioventricular valve, in a plane across z."""

    centre: Floats  # float64 [frames, 3]
    radius: float  # mean of the long and the short one
    anterior_azimuth: float  # degrees, where the longer leaflet hangs
    opening: Floats  # float64 [frames], 0 closed to 1 wide open


@dataclass(frozen=True, slots=True)
class AorticValve:
    """The three cusps and the root they sit in."""

    centre: Floats  # float64 [frames, 3]
    direction: Floats  # float64 [3], towards the arch
    radius: float
    cusp_azimuth: float  # degrees
    opening: Floats  # float64 [frames]


@dataclass(frozen=True, slots=True)
class Heart:
    """All shapes of one patient at the frames of one clip."""

    patient: Patient
    base: Floats  # z of the mitral plane, float64 [frames]
    apex: Floats  # z of the endocardial apex, float64 [frames]
    lv_wall: Floats  # float64 [frames]
    lv: Ellipsoid
    rv: Ellipsoid
    la: Ellipsoid
    ra: Ellipsoid
    mitral: Ring
    tricuspid: Ring
    aortic: AorticValve
    tubes: tuple[Tube, ...]


def heart_at(patient: Patient, phases: Floats) -> Heart:
    """Shape the heart of `patient` at `phases` (float64 [frames], 0 = end-diastole)."""
    cycle = cardiac_cycle(phases)
    squeeze = cycle.contraction * patient.ejection_fraction / NORMAL_EJECTION_FRACTION
    size = patient.size
    base = 13 * squeeze * size  # the mitral plane descends 13 mm in a normal adult
    apex = patient.lv_length - 1.5 * cycle.contraction
    radius = patient.lv_radius * (1 - 0.30 * squeeze)
    widest = base + 0.28 * (apex - base)
    rv_radius = patient.rv_radius * (1 - 0.16 * squeeze)
    la_radius = patient.la_radius * (1 + 0.10 * cycle.contraction)
    ra_radius = patient.ra_radius * (1 + 0.08 * cycle.contraction)

    rv_foot = azimuth(patient.rv_azimuth) * (patient.lv_radius + patient.lv_wall)
    la_foot = azimuth(patient.la_azimuth) * 12 * size
    ra_foot = azimuth(patient.rv_azimuth + 18) * (17 * size + patient.ra_radius)
    mitral_foot = azimuth(patient.la_azimuth + 8) * 9 * size
    tricuspid_foot = azimuth(patient.rv_azimuth + 12) * (patient.lv_radius + patient.lv_wall + 13 * size)

    la_centre = _above(la_foot, base - patient.la_radius * 0.86 - 1.5)
    ra_centre = _above(ra_foot, base - patient.ra_radius * 0.86)
    root = _above(azimuth(patient.aorta_azimuth) * 16 * size, ROOT_FOLLOWS_BASE * base - 3)
    aorta_direction = unit(-AXIS + 0.42 * azimuth(patient.aorta_azimuth - 20))
    return Heart(
        patient=patient,
        base=base,
        apex=apex,
        lv_wall=patient.lv_wall * (1 + 0.35 * squeeze),
        lv=Ellipsoid(_above(np.zeros(3), widest), np.stack([radius, radius, apex - widest], axis=-1)),
        rv=Ellipsoid(
            _above(rv_foot, base + 20 * size),
            np.stack(
                [
                    rv_radius,
                    patient.rv_breadth * (1 - 0.08 * cycle.contraction),
                    48 * size * (1 - 0.1 * cycle.contraction),
                ],
                axis=-1,
            ),
            turn=math.radians(patient.rv_azimuth),
        ),
        la=Ellipsoid(la_centre, np.stack([la_radius, la_radius, la_radius * 1.18], axis=-1)),
        ra=Ellipsoid(ra_centre, np.stack([ra_radius, ra_radius, ra_radius * 1.15], axis=-1)),
        mitral=Ring(
            _above(mitral_foot, base), patient.mitral_radius, patient.aorta_azimuth, cycle.mitral_opening
        ),
        tricuspid=Ring(
            _above(tricuspid_foot, base + 3),
            patient.tricuspid_radius,
            patient.rv_azimuth,
            cycle.mitral_opening,
        ),
        aortic=AorticValve(
            root, aorta_direction, patient.aorta_radius, patient.cusp_azimuth, cycle.aortic_opening
        ),
        tubes=(
            *_aorta(patient, root, aorta_direction, base),
            *_right_outflow(patient, root, base),
            *_veins(patient, la_centre, ra_centre),
            *_papillary_muscles(patient, radius, base, apex),
        ),
    )


def _above(foot: Floats, height: Floats) -> Floats:
    """Lift a point of the base plane (float64 [3]) to each `height` (float64 [frames]): [frames, 3]."""
    lifted: Floats = foot + height[:, None] * AXIS
    return lifted


def _chain(
    points: list[Floats],
    radii: list[float],
    wall: float,
    lining: Tissue = Tissue.VESSEL_WALL,
    firm: bool = False,
) -> list[Tube]:
    """Join points (each float64 [frames, 3]) by tubes."""
    return [
        Tube(points[i], points[i + 1], radii[i], radii[i + 1], wall, lining, firm)
        for i in range(len(points) - 1)
    ]


def _smooth(points: list[Floats]) -> list[Floats]:
    """Insert between neighbours the middle of the Catmull-Rom curve through all points."""
    outer = [points[0], *points, points[-1]]
    middles = [
        (9 * (outer[i + 1] + outer[i + 2]) - outer[i] - outer[i + 3]) / 16 for i in range(len(points) - 1)
    ]
    return [point for pair in zip(points, middles, strict=False) for point in pair] + [points[-1]]


def _aorta(patient: Patient, root: Floats, direction: Floats, base: Floats) -> list[Tube]:
    size, radius = patient.size, patient.aorta_radius

    def at(left: float, posterior: float, superior: float) -> Floats:
        return root + body(left, posterior, superior) * size

    inside_lv = _above(azimuth(patient.aorta_azimuth) * 7 * size, base + 16)
    sinus, junction = root + direction * 10, root + direction * 22
    ascending = 0.5 * (root + direction * 46) + 0.5 * at(-12, -4, 44)
    arch = [ascending, at(-6, 4, 68), at(6, 22, 80), at(17, 44, 73), at(22, 58, 53), at(16, 70, 0)]
    calibres = np.interp(np.arange(11), range(0, 11, 2), [1.05, 1.0, 0.92, 0.84, 0.80, 0.78])
    tubes = _chain([inside_lv, root], [radius * 0.85, radius * 0.82], wall=0.0, lining=Tissue.BLOOD)
    tubes += _chain(
        [root, sinus, junction, ascending],
        [radius * 0.85, radius * 1.12, radius * 0.92, radius * 1.05],
        wall=1.6,
        firm=True,
    )
    tubes += _chain(_smooth(arch), [radius * float(calibre) for calibre in calibres], wall=1.6)
    tubes += _chain([at(16, 70, 0), at(10, 66, -95)], [radius * 0.78, radius * 0.72], wall=1.6)
    tubes += _chain([at(-5, 6, 72), at(-16, -4, 110)], [5.5, 5.0], wall=1.2)  # brachiocephalic
    tubes += _chain([at(6, 20, 82), at(6, 12, 118)], [3.6, 3.2], wall=1.2)  # left carotid
    tubes += _chain([at(17, 40, 78), at(24, 32, 118)], [4.2, 3.6], wall=1.2)  # left subclavian
    return tubes


def _right_outflow(patient: Patient, root: Floats, base: Floats) -> list[Tube]:
    """The outflow tract of the right ventricle, which wraps the front of the aortic root, and its artery."""
    size, radius = patient.size, 11 * patient.size

    def around(degrees: float, distance: float, height: float) -> Floats:
        turned = patient.aorta_azimuth + degrees
        return _above(azimuth(turned) * distance * size, ROOT_FOLLOWS_BASE * base + height * size)

    def at(left: float, posterior: float, superior: float) -> Floats:
        return root + body(left, posterior, superior) * size

    outflow = [around(20, 44, 26), around(0, 44, 2), around(-43, 41, -2)]
    trunk = [outflow[-1], around(-79, 41, -9), at(14, 22, 47)]
    return [
        *_chain(outflow, [radius * 1.35, radius * 1.15, radius * 1.05], wall=2.2, lining=Tissue.RV_WALL),
        *_chain(trunk, [radius * 1.05, radius, radius * 0.95], wall=1.4),
        *_chain([trunk[-1], at(-32, 24, 45)], [radius * 0.8, radius * 0.7], wall=1.2),
        *_chain([trunk[-1], at(32, 50, 48)], [radius * 0.8, radius * 0.7], wall=1.2),
    ]


def _veins(patient: Patient, la_centre: Floats, ra_centre: Floats) -> list[Tube]:
    ivc = patient.ivc_radius
    cavo_atrial = ra_centre + body(0, 6, -16)
    hepatic_confluence = ra_centre + body(-4, 17, -48)
    ivc_below = ra_centre + body(-6, 20, -150)
    veins = [
        *_chain([la_centre, la_centre + body(38, 22, 10)], [5.5, 5.0], wall=1.3),
        *_chain([la_centre, la_centre + body(-35, 22, 12)], [5.0, 5.0], wall=1.3),
        *_chain([cavo_atrial, hepatic_confluence, ivc_below], [ivc, ivc, ivc * 0.95], wall=1.4),
        *_chain([hepatic_confluence, hepatic_confluence + body(-22, -47, -26)], [4.2, 2.0], wall=0.7),
        *_chain([hepatic_confluence, hepatic_confluence + body(28, -30, -18)], [3.8, 2.0], wall=0.7),
        *_chain(
            [hepatic_confluence + body(0, -30, -40), hepatic_confluence + body(20, -34, -46)],
            [4.5, 4.0],
            wall=1.8,
        ),  # portal vein
        *_chain([ra_centre + body(0, 4, 14), ra_centre + body(-3, -2, 85)], [8.0, 7.0], wall=1.2),  # SVC
    ]
    return [replace(tube, vein=True) for tube in veins]


def _papillary_muscles(patient: Patient, lv_radius: Floats, base: Floats, apex: Floats) -> list[Tube]:
    """Two papillary muscles of the left ventricle and the moderator band of the right."""
    muscles = []
    for degrees in patient.papillary_azimuths:
        foot = azimuth(degrees) * 0.70 * lv_radius[:, None]
        tip = foot + (base + 0.36 * (apex - base))[:, None] * AXIS
        root = foot * 1.22 + (base + 0.72 * (apex - base))[:, None] * AXIS
        muscles.append(
            Tube(tip, root, patient.papillary_radius * 0.8, patient.papillary_radius, 0.0, Tissue.PAPILLARY)
        )
    septum = azimuth(patient.rv_azimuth) * (patient.lv_radius + patient.lv_wall + 2)
    free_wall = azimuth(patient.rv_azimuth + 12) * (patient.lv_radius + patient.lv_wall + 22)
    height = np.ones_like(base) * patient.size
    band = Tube(_above(septum, 48 * height), _above(free_wall, 58 * height), 2.2, 2.0, 0.0, Tissue.PAPILLARY)
    return [*muscles, band]
