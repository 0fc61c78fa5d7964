"""The thirteen standard views as probe placements, and how a sonographer misses them."""

import math
from dataclasses import dataclass

import numpy as np

from apical.phantom.anatomy import TYPICAL_DIFFICULTY, Floats
from apical.phantom.heart import AXIS, Heart, azimuth, body, unit

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

# Imaging depth of an average adult, mm.
TYPICAL_DEPTH = {
    "PLAX": 150,
    "RV-inflow": 145,
    "PSAX-AV": 140,
    "PSAX-MV": 140,
    "PSAX-PM": 140,
    "PSAX-apex": 140,
    "A4C": 165,
    "A2C": 165,
    "A3C": 165,
    "A5C": 165,
    "subcostal-4C": 185,
    "IVC": 165,
    "suprasternal": 125,
}

# Fraction of the way from base to apex of the short-axis cuts below the aortic valve.
SHORT_AXIS_LEVELS = {"PSAX-MV": 0.18, "PSAX-PM": 0.50, "PSAX-apex": 0.80}

# Standard deviations of probe misplacement at TYPICAL_DIFFICULTY through an average acoustic window.
TILT_DEGREES = 2.7  # out of the imaging plane
ROTATION_DEGREES = 4.5  # around the beam
FAN_DEGREES = 8.0  # within the imaging plane
SLIDE_MM = (6.0, 2.3)  # along and across the imaging plane


@dataclass(frozen=True, slots=True)
class Plane:
    """An imaging plane: the probe face (float64 [3], mm), the central beam and the right of the image."""

    probe: Floats
    beam: Floats
    lateral: Floats

    @property
    def normal(self) -> Floats:
        """Unit vector across the imaging plane, float64 [3]."""
        return np.cross(self.beam, self.lateral)


@dataclass(frozen=True, slots=True)
class PlaneError:
    """How far a plane is from the ideal one: total rotation and displacement of the probe."""

    degrees: float
    mm: float


def ideal_plane(heart: Heart, view: str) -> Plane:
    """Place the probe for `view` as the textbook says, on a heart whose first frame is end-diastole.

    Raises KeyError if `view` is not one of VIEWS.
    """
    patient = heart.patient
    size, base, apex = patient.size, float(heart.base[0]), float(heart.apex[0])
    mitral, tricuspid = heart.mitral.centre[0], heart.tricuspid.centre[0]
    root, aorta = heart.aortic.centre[0], heart.aortic.direction
    right_atrium = heart.ra.centre[0]
    sinus = root + aorta * 10
    heart_surface = patient.lv_radius + patient.lv_wall
    parasternal_reach = heart_surface + patient.rv_radius + patient.chest_wall - 3
    apical_probe = AXIS * (apex + patient.lv_wall * 0.55 + patient.chest_wall - 2)
    toward_sternum = unit(unit(sinus * (1, 1, 0)) + 0.15 * azimuth(150))
    left_parasternal = azimuth(138)
    across = azimuth(138 - 90)

    if view == "PLAX":
        probe = toward_sternum * parasternal_reach + AXIS * (base + 17)
        target, right = AXIS * (base + 13) + toward_sternum * 5, -AXIS
    elif view == "RV-inflow":
        probe = toward_sternum * parasternal_reach + AXIS * (base + 14)
        target, right = tricuspid, -AXIS
    elif view == "PSAX-AV":
        target = root + aorta * 4
        in_valve_plane = unit(left_parasternal - (left_parasternal @ aorta) * aorta)
        probe, right = target + in_valve_plane * (parasternal_reach - 16 * size), across
    elif view in SHORT_AXIS_LEVELS:
        level = SHORT_AXIS_LEVELS[view]
        reach = parasternal_reach - (12 if view == "PSAX-apex" else 0)
        height = base + level * (apex - base)
        probe = left_parasternal * reach + AXIS * (base + 12 + 0.75 * (height - base - 12))
        target, right = AXIS * height, across
    elif view == "A4C":
        probe, target, right = apical_probe, 0.62 * mitral + 0.38 * tricuspid, mitral - tricuspid
    elif view == "A2C":
        probe, target, right = apical_probe, mitral, azimuth(92)
    elif view == "A3C":
        probe, target, right = apical_probe, 0.5 * (mitral + root), root - mitral
    elif view == "A5C":
        probe, target, right = apical_probe, sinus, mitral - tricuspid
    elif view == "subcostal-4C":
        below = azimuth(patient.rv_azimuth + 22)
        probe = below * (heart_surface + patient.rv_radius + 48) + AXIS * (base + 34)
        target, right = AXIS * (base + 16), AXIS
    elif view == "IVC":
        probe = right_atrium + body(4, -72, -78)
        target, right = right_atrium + body(-3, 14, -42), body(0, 0, 1)
    elif view == "suprasternal":
        probe = root + body(-2, -2, 124) * size
        target, right = root + body(7, 28, 60) * size, body(28, 62, 0)
    else:
        raise KeyError(view)
    beam = unit(target - probe)
    return Plane(probe, beam, unit(right - (right @ beam) * beam))


def misplace(
    ideal: Plane, rng: np.random.Generator, difficulty: float, window: float
) -> tuple[Plane, PlaneError]:
    """Move the probe away from `ideal` at random: more with `difficulty` and in a poor acoustic `window`."""
    scale = difficulty / TYPICAL_DIFFICULTY * math.sqrt(window)
    tilt, rotation, fan, along, across = rng.normal(size=5) * scale
    beam, lateral = ideal.beam, _turn(ideal.lateral, ideal.beam, rotation * ROTATION_DEGREES)
    beam = _turn(beam, lateral, tilt * TILT_DEGREES)
    normal = np.cross(beam, lateral)
    beam, lateral = (_turn(vector, normal, fan * FAN_DEGREES) for vector in (beam, lateral))
    probe = ideal.probe + ideal.lateral * along * SLIDE_MM[0] + ideal.normal * across * SLIDE_MM[1]
    plane = Plane(probe, beam, lateral)
    return plane, plane_error(plane, ideal)


def plane_error(plane: Plane, ideal: Plane) -> PlaneError:
    """Measure the rotation and the displacement that separate `plane` from `ideal`."""
    axes = np.stack([plane.beam, plane.lateral, plane.normal])
    ideal_axes = np.stack([ideal.beam, ideal.lateral, ideal.normal])
    cosine = (float(np.sum(axes * ideal_axes)) - 1) / 2  # trace of the relative rotation matrix
    degrees = math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
    return PlaneError(degrees, float(np.linalg.norm(plane.probe - ideal.probe)))


def _turn(vector: Floats, axis: Floats, degrees: float) -> Floats:
    """Rotate `vector` around the unit `axis` (Rodrigues)."""
    angle = math.radians(degrees)
    along = axis * float(axis @ vector) * (1 - math.cos(angle))
    return vector * math.cos(angle) + np.cross(axis, vector) * math.sin(angle) + along
