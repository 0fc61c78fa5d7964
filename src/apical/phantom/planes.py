"""The views as probe placements on a chest, how a sonographer misses them, and how the probe moves."""

import math
from dataclasses import dataclass

import numpy as np

from apical.phantom.anatomy import TYPICAL_DIFFICULTY, Floats
from apical.phantom.axes import AXIS, azimuth, body, unit
from apical.phantom.heart import Heart

VIEWS = (
    "PLAX",
    "RV-inflow",
    "PSAX-AV",
    "PSAX-MV",
    "PSAX-PM",
    "PSAX-apex",
    "A4C",
    "A2C",
    "A3C",
    "A5C",
    "subcostal-4C",
    "IVC",
    "suprasternal",
)
# Views that are not of the standard vocabulary: other planes, and parts of a standard one, enlarged.
EXTRA_VIEWS = ("A4C-RV", "PLAX-RVOT", "subcostal-SAX", "A4C-LV", "PLAX-AV", "PLAX-MV")

# Imaging depth of an average adult, mm.
TYPICAL_DEPTH = {
    "PLAX": 150,
    "RV-inflow": 145,
    "PSAX-AV": 140,
    "PSAX-MV": 140,
    "PSAX-PM": 140,
    "PSAX-apex": 140,
    "A4C": 150,
    "A2C": 150,
    "A3C": 150,
    "A5C": 150,
    "subcostal-4C": 185,
    "IVC": 165,
    "suprasternal": 125,
    "A4C-RV": 145,
    "PLAX-RVOT": 140,
    "subcostal-SAX": 170,
    "A4C-LV": 105,
}
# Radius around the target that an enlarged part shows, mm.
ENLARGED_MM = {"PLAX-AV": 32.0, "PLAX-MV": 36.0}

APICAL = ("A4C", "A2C", "A3C", "A5C", "A4C-RV", "A4C-LV")
WITHOUT_RIBS = ("subcostal-4C", "IVC", "suprasternal", "subcostal-SAX")

# Fraction of the way from base to apex of the short-axis cuts below the aortic valve.
SHORT_AXIS_LEVELS = {"PSAX-MV": 0.16, "PSAX-PM": 0.50, "PSAX-apex": 0.84}

# Standard deviations of probe misplacement at TYPICAL_DIFFICULTY through an average acoustic window.
TILT_DEGREES = 1.3  # out of the imaging plane
ROTATION_DEGREES = 2.6  # around the beam
FAN_DEGREES = 9.5
SLIDE_MM = (6.5, 1.2)  # along and across the imaging plane
FORESHORTENED_MM = 2.2  # across the plane, beside the apex, in apical views
ONE_RIB_UP = (0.12, 9.0)  # how often an apical probe is an interspace too high, and by how much, mm
AIMED = 0.7  # how much of a slide the sonographer makes good by turning the beam back to the target
TREMOR_DEGREES = 0.5  # of the hand that holds the probe


@dataclass(frozen=True, slots=True)
class Plane:
    """An imaging plane, or one a frame: the probe face (mm), the central beam and the right of the image.

    Each is float64 [3] or [frames, 3].
    """

    probe: Floats
    beam: Floats
    lateral: Floats

    @property
    def normal(self) -> Floats:
        """Unit vector across the imaging plane, float64 like the others."""
        return np.cross(self.beam, self.lateral)

    def repeated(self, frames: int) -> "Plane":
        """One plane as that of each of some frames."""
        still = np.ones((frames, 1))
        return Plane(still * self.probe, still * self.beam, still * self.lateral)

    def frame(self, number: int) -> "Plane":
        """The plane of one frame."""
        return Plane(self.probe[number], self.beam[number], self.lateral[number])

    def during(self, frames: slice) -> "Plane":
        """The planes of some of the frames."""
        return Plane(self.probe[frames], self.beam[frames], self.lateral[frames])


@dataclass(frozen=True, slots=True)
class PlaneError:
    """How far planes are from an ideal one; each float64 [frames].

    `degrees` and `mm` tell how far the cut is another one: the angle between the planes, and the distance
    of the ideal plane's target from the plane. `turned` and `moved` tell how far the probe is elsewhere,
    though the cut may be the same: its total rotation (degrees) and displacement (mm).
    """

    degrees: Floats
    mm: Floats
    turned: Floats
    moved: Floats


def ideal_plane(heart: Heart, view: str) -> tuple[Plane, Floats]:
    """Place the probe for `view` as the textbook says; also gives the point it is aimed at (float64 [3]).

    Raises KeyError if `view` is not one of VIEWS or EXTRA_VIEWS.
    """
    patient = heart.patient
    size, apex = patient.size, patient.lv_length
    mitral, tricuspid, right_atrium = heart.mitral.centre, heart.tricuspid.centre, heart.ra.centre
    root, aorta = heart.aortic.centre, heart.aortic.direction
    sinus = root + aorta * 10
    heart_surface = patient.lv_radius + patient.lv_wall
    parasternal_reach = heart_surface + 27 * size + patient.chest_wall - 3
    apical_probe = AXIS * (apex + patient.lv_wall * 0.55 + patient.chest_wall - 2)
    toward_sternum = unit(unit(sinus * (1, 1, 0)) + 0.15 * azimuth(150))
    left_parasternal = azimuth(138)
    across = azimuth(138 - 90)
    below = azimuth(patient.rv_azimuth + 22)
    subcostal = below * (heart_surface + 27 * size + 48) + AXIS * 34

    if view in ("PLAX", "PLAX-AV", "PLAX-MV"):
        probe = toward_sternum * parasternal_reach + AXIS * 17
        whole, right = AXIS * 13 + toward_sternum * 5, -AXIS
        target = {"PLAX": whole, "PLAX-AV": root + aorta * 5, "PLAX-MV": mitral + AXIS * 8}[view]
        across_plane = unit(np.cross(unit(whole - probe), right))
        target = target - ((target - probe) @ across_plane) * across_plane
    elif view == "RV-inflow":
        probe = toward_sternum * parasternal_reach + AXIS * 14
        target, right = tricuspid, -AXIS
    elif view == "PLAX-RVOT":
        valve = heart.pulmonary
        probe = toward_sternum * parasternal_reach + AXIS * 12
        target = valve.centre + valve.direction * 4
        right = valve.direction
    elif view == "PSAX-AV":
        target = root + aorta * 4
        in_valve_plane = unit(left_parasternal - (left_parasternal @ aorta) * aorta)
        probe, right = target + in_valve_plane * (parasternal_reach - 16 * size), across
    elif view in SHORT_AXIS_LEVELS:
        reach = parasternal_reach - (12 if view == "PSAX-apex" else 0)
        height = SHORT_AXIS_LEVELS[view] * apex
        probe = left_parasternal * reach + AXIS * (12 + 0.75 * (height - 12))
        target, right = AXIS * height, across
    elif view in ("A4C", "A4C-LV"):
        probe, target, right = apical_probe, 0.62 * mitral + 0.38 * tricuspid, mitral - tricuspid
    elif view == "A4C-RV":
        probe = apical_probe + unit(mitral - tricuspid) * 14 - AXIS * 4
        target, right = 0.2 * mitral + 0.8 * tricuspid + AXIS * 10, mitral - tricuspid
    elif view == "A2C":
        probe, target, right = apical_probe, mitral, azimuth(92)
    elif view == "A3C":
        probe, target, right = apical_probe, 0.5 * (mitral + root), root - mitral
    elif view == "A5C":
        probe, target, right = apical_probe, root + aorta * 13, mitral - tricuspid
    elif view == "subcostal-4C":
        probe, target, right = subcostal, AXIS * 16, AXIS
    elif view == "subcostal-SAX":
        probe, target = subcostal, AXIS * 38
        right = np.cross(AXIS, target - probe)
    elif view == "IVC":
        probe = right_atrium + body(4, -72, -78)
        target, right = right_atrium + body(-3, 14, -42), body(0, 0, 1)
    elif view == "suprasternal":
        probe = root + body(-2, -2, 124) * size
        target, right = root + body(7, 28, 60) * size, body(28, 62, 0)
    else:
        raise KeyError(view)
    beam = unit(target - probe)
    return Plane(probe, beam, unit(right - (right @ beam) * beam)), target


def misplace(
    ideal: Plane, target: Floats, view: str, rng: np.random.Generator, difficulty: float, window: float
) -> Plane:
    """Move the probe away from `ideal` at random: more with `difficulty` and in a poor acoustic `window`.

    A probe that slid is turned back to the `target` in part, as a sonographer would: beside the apex this
    cuts the ventricle short (foreshortening).
    """
    scale = difficulty / TYPICAL_DIFFICULTY * math.sqrt(window)
    tilt, rotation, fan, along, across, beside = rng.normal(size=6) * scale
    across *= SLIDE_MM[1]
    if view in APICAL:
        rarely, far = ONE_RIB_UP
        higher = scale * far if rng.random() < rarely else 0.0
        across += beside * FORESHORTENED_MM + math.copysign(higher, beside)
    probe = ideal.probe + ideal.lateral * along * SLIDE_MM[0] + ideal.normal * across
    aim = unit(unit(target - probe) * AIMED + ideal.beam * (1 - AIMED))
    lateral = unit(ideal.lateral - (ideal.lateral @ aim) * aim)
    lateral = _turn(lateral, aim, rotation * ROTATION_DEGREES)
    beam = _turn(aim, lateral, tilt * TILT_DEGREES)
    normal = np.cross(beam, lateral)
    beam, lateral = (_turn(vector, normal, fan * FAN_DEGREES) for vector in (beam, lateral))
    return Plane(probe, beam, lateral)


def held(way: Plane, drift: Floats, rng: np.random.Generator) -> Plane:
    """The planes of a probe that goes `way` (of all frames), in a hand, on a heart that breathing moves.

    `drift` (float64 [frames, 3], mm) is along, across and into the image.
    """
    tilt, fan = np.radians(TREMOR_DEGREES) * _wander(len(drift), rng)  # small: their sines
    beams = unit(way.beam - tilt * way.normal + fan * way.lateral)
    laterals = way.lateral - np.sum(way.lateral * beams, axis=1, keepdims=True) * beams
    shift = drift[:, :1] * way.lateral + drift[:, 1:2] * way.normal + drift[:, 2:] * way.beam
    return Plane(way.probe + shift, beams, unit(laterals))


def sweep(start: Plane, end: Plane, frames: int) -> Plane:
    """The planes of a probe that is moved from `start` to `end` in `frames` frames, slowly at both ends.

    It turns around one axis, which planes half a turn apart do not have: no two views are.
    """
    share = np.linspace(0, 1, frames)
    share = share * share * (3 - 2 * share)
    turned = _axes(end).T @ _axes(start)  # what turns start's axes into end's
    angle = math.acos(min(1.0, max(-1.0, (float(np.trace(turned)) - 1) / 2)))
    skew = np.array([turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]])
    axis = unit(skew) if np.linalg.norm(skew) > 1e-9 else start.normal
    turns = [math.degrees(angle) * float(part) for part in share]
    return Plane(
        start.probe + share[:, None] * (end.probe - start.probe),
        np.stack([_turn(start.beam, axis, turn) for turn in turns]),
        np.stack([_turn(start.lateral, axis, turn) for turn in turns]),
    )


def plane_error(plane: Plane, ideal: Plane, target: Floats) -> PlaneError:
    """Measure what separates planes from one ideal plane that is aimed at `target` (float64 [3])."""
    probe, beam, lateral, normal = (
        np.atleast_2d(part) for part in (plane.probe, plane.beam, plane.lateral, plane.normal)
    )
    tilted = normal @ ideal.normal
    trace = beam @ ideal.beam + lateral @ ideal.lateral + tilted
    return PlaneError(
        degrees=np.degrees(np.arccos(np.clip(tilted, -1, 1))),
        mm=np.abs(np.sum((target - probe) * normal, axis=-1)),
        turned=np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))),
        moved=np.linalg.norm(probe - ideal.probe, axis=-1),
    )


def foreshortening_mm(plane: Plane, heart: Heart) -> float:
    """By how much one plane cuts the left ventricle short of its apex at end-diastole."""
    centre, half = heart.lv.centre, heart.lv.half_axes
    height = heart.patient.lv_length * np.linspace(0.5, 1, 101)
    radius = half[0] * np.sqrt(np.clip(1 - ((height - centre[2]) / half[2]) ** 2, 0, 1))
    middle = height * plane.normal[2] - plane.probe @ plane.normal  # of each level, beyond the plane
    reach = radius * math.hypot(*plane.normal[:2])
    cut = np.abs(middle) <= reach
    return float(heart.patient.lv_length - height[cut].max(initial=height[0]))


def _axes(plane: Plane) -> Floats:
    return np.stack([plane.beam, plane.lateral, plane.normal])


def _wander(frames: int, rng: np.random.Generator) -> Floats:
    """Two slow random paths of about unit size, float64 [2, frames, 1]."""
    at, knots = np.linspace(0, 1, frames), np.linspace(0, 1, 5)
    return np.stack([np.interp(at, knots, rng.normal(size=5))[:, None] for _ in range(2)])


def _turn(vector: Floats, axis: Floats, degrees: float) -> Floats:
    """Rotate `vector` around the unit `axis` (Rodrigues)."""
    angle = math.radians(degrees)
    along = axis * float(axis @ vector) * (1 - math.cos(angle))
    return vector * math.cos(angle) + np.cross(axis, vector) * math.sin(angle) + along
