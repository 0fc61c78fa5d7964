"""The heart of a patient at end-diastole: ellipsoids, tubes and valves.

Heart coordinates as in `motion`, which also tells how all of it moves; only the leaflets and their chordae
change here, as the valves open.
"""

import math
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from apical.phantom.anatomy import Floats, Patient
from apical.phantom.axes import AXIS, azimuth, body, unit
from apical.phantom.cycle import CardiacState
from apical.phantom.motion import WIDEST, Motion, motion_of
from apical.phantom.valves import Ring, SemilunarValve, chordae_ends


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
    RIB = 13


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A chamber: centre and half-axes float64 [3], turned by `turn` radians around z."""

    centre: Floats
    half_axes: Floats
    turn: float = 0.0


@dataclass(frozen=True, slots=True)
class Tube:
    """A tapered capsule from `start` to `end` (float64 [3] or, if it moves by itself, [frames, 3]).

    `lining` says what surrounds its blood, `wall` mm thick; BLOOD has no wall, PAPILLARY and LEAFLET are
    solid. The atria give way to a `firm` tube. Blood flows from start to end, in a `vein` the other way.
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
class Heart:
    """All shapes of one patient at end-diastole, and how they have moved at the frames of one clip."""

    patient: Patient
    motion: Motion
    state: CardiacState
    lv: Ellipsoid
    rv: Ellipsoid
    la: Ellipsoid
    ra: Ellipsoid
    mitral: Ring
    tricuspid: Ring
    aortic: SemilunarValve
    pulmonary: SemilunarValve
    vessels: tuple[Tube, ...]
    muscles: tuple[Tube, ...]  # two papillary ones of the left ventricle, and the moderator band
    chordae: tuple[Tube, ...]

    @property
    def tubes(self) -> tuple[Tube, ...]:
        """Everything that is drawn as a tube."""
        return (*self.vessels, *self.muscles, *self.chordae)

    def at(self, state: CardiacState) -> "Heart":
        """The same heart at the moments of `state`."""
        mitral = replace(self.mitral, opening=state.mitral_opening)
        return replace(
            self,
            motion=motion_of(self.patient, state),
            state=state,
            mitral=mitral,
            tricuspid=replace(self.tricuspid, opening=state.mitral_opening),
            aortic=replace(self.aortic, opening=state.aortic_opening),
            pulmonary=replace(self.pulmonary, opening=state.aortic_opening),
            chordae=_chordae(mitral, self.muscles),
        )

    def during(self, frames: slice) -> "Heart":
        """The heart at some of the frames."""
        return self.at(self.state.during(frames))


def heart_at(patient: Patient, state: CardiacState) -> Heart:
    """Shape the heart of `patient` at the moments of `state`."""
    size, length = patient.size, patient.lv_length
    epicardium = patient.lv_radius + patient.lv_wall
    rv_foot = azimuth(patient.rv_azimuth) * epicardium
    la_foot = azimuth(patient.la_azimuth) * 12 * size
    ra_foot = azimuth(patient.rv_azimuth + 18) * (17 * size + patient.ra_radius)
    mitral_foot = azimuth(patient.la_azimuth + 8) * 9 * size
    tricuspid_foot = azimuth(patient.rv_azimuth + 12) * (epicardium + 13 * size)
    la_centre = la_foot - AXIS * (patient.la_radius * 0.86 + 1.5)
    ra_centre = ra_foot - AXIS * patient.ra_radius * 0.86
    root = azimuth(patient.aorta_azimuth) * 16 * size - AXIS * 3
    aorta_direction = unit(-AXIS + 0.42 * azimuth(patient.aorta_azimuth - 20))
    outflow, trunk = _right_outflow(patient, root)
    mitral = Ring(mitral_foot, patient.mitral_radius, patient.aorta_azimuth, state.mitral_opening)
    muscles = _papillary_muscles(patient)
    half_length = length * (1 - WIDEST)
    return Heart(
        patient=patient,
        motion=motion_of(patient, state),
        state=state,
        lv=Ellipsoid(AXIS * WIDEST * length, np.array([patient.lv_radius, patient.lv_radius, half_length])),
        rv=Ellipsoid(
            rv_foot + AXIS * 0.28 * patient.rv_length,
            np.array([patient.rv_radius, patient.rv_breadth, 0.68 * patient.rv_length]),
            turn=math.radians(patient.rv_azimuth),
        ),
        la=Ellipsoid(la_centre, patient.la_radius * np.array([1, 1, 1.18])),
        ra=Ellipsoid(ra_centre, patient.ra_radius * np.array([1, 1, 1.15])),
        mitral=mitral,
        tricuspid=Ring(
            tricuspid_foot + AXIS * 3, patient.tricuspid_radius, patient.rv_azimuth, state.mitral_opening
        ),
        aortic=SemilunarValve(
            root, aorta_direction, patient.aorta_radius, patient.cusp_azimuth, state.aortic_opening
        ),
        pulmonary=SemilunarValve(
            trunk[0].start,
            unit(trunk[0].end - trunk[0].start),
            trunk[0].start_radius,
            patient.cusp_azimuth + 60,
            state.aortic_opening,
        ),
        vessels=(
            *_aorta(patient, root, aorta_direction),
            *outflow,
            *trunk,
            *_veins(patient, la_centre, ra_centre),
        ),
        muscles=muscles,
        chordae=_chordae(mitral, muscles),
    )


def _chain(
    points: list[Floats],
    radii: list[float],
    wall: float,
    lining: Tissue = Tissue.VESSEL_WALL,
    firm: bool = False,
) -> list[Tube]:
    """Join points (each float64 [3]) by tubes."""
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


def _aorta(patient: Patient, root: Floats, direction: Floats) -> list[Tube]:
    size, radius = patient.size, patient.aorta_radius

    def at(left: float, posterior: float, superior: float) -> Floats:
        return root + body(left, posterior, superior) * size

    inside_lv = azimuth(patient.aorta_azimuth) * 7 * size + AXIS * 16
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


def _right_outflow(patient: Patient, root: Floats) -> tuple[list[Tube], list[Tube]]:
    """The outflow tract of the right ventricle, which wraps the front of the aortic root, and its artery."""
    size, radius = patient.size, 11 * patient.size

    def around(degrees: float, distance: float, height: float) -> Floats:
        turned = patient.aorta_azimuth + degrees
        return azimuth(turned) * distance * size + AXIS * height * size

    def at(left: float, posterior: float, superior: float) -> Floats:
        return root + body(left, posterior, superior) * size

    outflow = [around(20, 44, 26), around(0, 44, 2), around(-43, 41, -2)]
    trunk = [outflow[-1], around(-79, 41, -9), at(14, 22, 47)]
    return (
        _chain(outflow, [radius * 1.35, radius * 1.15, radius * 1.05], wall=2.2, lining=Tissue.RV_WALL),
        [
            *_chain(trunk, [radius * 1.05, radius, radius * 0.95], wall=1.4),
            *_chain([trunk[-1], at(-32, 24, 45)], [radius * 0.8, radius * 0.7], wall=1.2),
            *_chain([trunk[-1], at(32, 50, 48)], [radius * 0.8, radius * 0.7], wall=1.2),
        ],
    )


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


def _papillary_muscles(patient: Patient) -> tuple[Tube, ...]:
    """Two papillary muscles of the left ventricle and the moderator band of the right."""
    muscles = []
    for degrees in patient.papillary_azimuths:
        foot = azimuth(degrees) * 0.70 * patient.lv_radius
        tip, root = foot + AXIS * 0.36 * patient.lv_length, foot * 1.22 + AXIS * 0.72 * patient.lv_length
        radius = patient.papillary_radius
        muscles.append(Tube(tip, root, radius * 0.8, radius, 0.0, Tissue.PAPILLARY))
    epicardium, size = patient.lv_radius + patient.lv_wall, patient.size
    septum = azimuth(patient.rv_azimuth) * (epicardium + 2) + AXIS * 0.68 * patient.rv_length
    free_wall = azimuth(patient.rv_azimuth + 12) * (epicardium + 0.8 * patient.rv_radius)
    band = Tube(septum, free_wall + AXIS * 58 * size, 2.2, 2.0, 0.0, Tissue.PAPILLARY)
    return (*muscles, band)


def _chordae(mitral: Ring, muscles: tuple[Tube, ...]) -> tuple[Tube, ...]:
    """Threads from each papillary muscle to both leaflets."""
    return tuple(
        Tube(muscle.start, end, 0.5, 0.4, 0.0, Tissue.LEAFLET)
        for muscle in muscles[:2]
        for end in chordae_ends(mitral, muscle.start)
    )
