"""Who the synthetic patients are: the sizes of their hearts at end-diastole, and how well they pump.

Lengths are millimetres, angles degrees. Azimuths are measured around the long axis of the left ventricle
(0 = lateral wall, 90 = anterior, 180 = towards the right ventricle, 270 = inferior).

Sources of the adult ranges, mean and standard deviation of men and women:
[L] Lang et al. 2015, J Am Soc Echocardiogr 28:1-39 (chamber quantification, ASE and EACVI);
[N] Nemes et al. 2020, Physiol Int 107:145-154 (rotation of apex and base).
What no source gives (places of papillary muscles, bends of the whole heart) is chosen by eye.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TYPICAL_DIFFICULTY = 0.55  # the difficulty at which anatomy varies as much as in an adult population

# Mean and standard deviation in men and in women.
_BODY_SURFACE = ((1.95, 0.17), (1.72, 0.16))  # m2
_LV_DIAMETER = ((50.2, 4.1), (45.0, 3.6))  # [L] table 2
# With the diameter, about 127 and 94 ml: between 2-D echo (106 and 76, [L] table 2) and magnetic resonance.
_LV_LENGTH = ((86.0, 6.0), (78.0, 5.5))
_EJECTION_PERCENT = ((62.0, 5.0), (64.0, 5.0))  # [L] table 2
_LV_WALL = ((8.6, 1.0), (7.9, 0.9))  # [L] table 6
_RV_DEPTH = ((29.0, 3.6), (26.5, 3.3))  # from the septum to the free wall; [L] table 8
_RV_LENGTH = ((71.0, 6.0), (66.0, 6.0))  # [L] table 8
_LA_VOLUME = ((50.0, 13.0), (43.0, 11.0))  # ml; [L]: 16 to 34 ml/m2
_RA_VOLUME = ((48.0, 13.0), (36.0, 10.0))  # ml; [L]: 25 +- 7 and 21 +- 6 ml/m2
_AORTIC_SINUS = ((34.0, 3.0), (30.0, 3.0))  # [L] table 14
_TAPSE = ((24.0, 3.5), (24.0, 3.5))  # [L] table 10
_MAPSE = ((14.0, 2.0), (13.5, 2.0))  # of the mitral ring, as the ejection fraction goes with it
_RV_SHRINKS = ((0.30, 0.06), (0.30, 0.06))  # of its depth; with TAPSE, the 49 +- 7 % area of [L] table 10
_APEX_TURNS = ((9.6, 3.3), (9.6, 3.3))  # degrees; [N]
_BASE_TURNS = ((-3.8, 2.0), (-3.8, 2.0))  # degrees; [N]
_IVC_DIAMETER = ((17.0, 3.0), (16.0, 3.0))  # [L]: up to 21

# How much of a quantity's variation between patients of one sex is the size of the body.
_SHARED_WITH_BODY = 0.6

# Prevalence in the simulated laboratory.
DISEASES = {
    "none": 0.46,
    "dilated cardiomyopathy": 0.10,
    "left ventricular hypertrophy": 0.10,
    "septal hypertrophy": 0.05,
    "poor ejection": 0.07,
    "right ventricular dilatation": 0.08,
    "left atrial enlargement": 0.08,
    "small heart": 0.06,
}
EFFUSION_PREVALENCE = 0.06
FIBRILLATION_PREVALENCE = 0.06
FIBRILLATION_WITH_LARGE_ATRIUM = 0.35


@dataclass(frozen=True, slots=True)
class Patient:
    """The body under the probe: sizes at end-diastole, and how echogenic it is."""

    disease: str
    atrial_fibrillation: bool
    heart_rate: float  # beats per minute
    size: float  # 1 = average adult
    ejection_fraction: float
    mitral_descent: float  # of the mitral ring at end-systole
    tricuspid_descent: float
    rv_shrinks: float  # share of the depth of the right ventricle lost at end-systole
    apex_turns: float  # degrees, counter-clockwise as seen from the apex, at end-systole
    base_turns: float
    lv_length: float
    lv_radius: float
    lv_wall: float
    septal_bulge: float  # how much thicker the septum is than the lateral wall, of the wall
    rv_radius: float  # away from the septum
    rv_breadth: float  # along the septum
    rv_length: float
    la_radius: float
    ra_radius: float
    aorta_radius: float
    mitral_radius: float
    tricuspid_radius: float
    ivc_radius: float
    aorta_azimuth: float
    rv_azimuth: float
    la_azimuth: float
    papillary_azimuths: tuple[float, float]
    papillary_radius: float
    cusp_azimuth: float
    leaflet_half_thickness: float
    chest_wall: float
    rib_gap: float  # between neighbouring ribs
    diaphragm_below: float  # from mid-ventricle to the dome of the liver
    effusion: float  # greatest thickness of pericardial fluid, 0 for none
    warp: tuple[tuple[float, ...], ...]  # three waves (amplitude and direction) that bend the anatomy
    tissue_db: tuple[float, ...]  # individual echogenicity of each tissue, dB
    window: float  # quality of the acoustic window: below 0.9 better than the average, above worse


def sample_patient(rng: np.random.Generator, difficulty: float, tissues: int) -> Patient:
    """Draw a patient; anatomical spread grows with `difficulty`.

    At 0 all healthy hearts are of the average size; diseases, rhythms and windows differ all the same.

    `tissues` is how many tissues need an individual echogenicity.
    """
    spread = difficulty / TYPICAL_DIFFICULTY
    sex = int(rng.integers(2)) if spread else 0
    body = float(rng.normal())  # how large for the sex, in standard deviations

    def draw(ranges: tuple[tuple[float, float], ...], follows: float) -> float:
        """A value of a range that correlates by 0.6 ** 0.5 with `follows`, itself standard normal."""
        mean, deviation = ranges[sex]
        z = _SHARED_WITH_BODY**0.5 * follows + (1 - _SHARED_WITH_BODY) ** 0.5 * float(rng.normal())
        return mean + deviation * spread * float(np.clip(z, -3, 3))

    def vary(mean: float, relative_deviation: float) -> float:
        return mean * float(np.clip(1 + rng.normal() * relative_deviation * spread, 0.6, 1.5))

    size = (draw(_BODY_SURFACE, body) / 1.85) ** 0.5  # lengths go with the root of the body surface
    pump = float(rng.normal())  # a strong heart ejects, descends and twists more
    lv_radius, lv_length = draw(_LV_DIAMETER, body) / 2, draw(_LV_LENGTH, body)
    lv_wall, septal_bulge = draw(_LV_WALL, body), max(0.0, 0.10 + 0.08 * spread * float(rng.normal()))
    rv_radius, rv_length = draw(_RV_DEPTH, body), draw(_RV_LENGTH, body)
    la_radius = _radius_of_atrium(draw(_LA_VOLUME, body), 1.18)
    ra_radius = _radius_of_atrium(draw(_RA_VOLUME, body), 1.15)
    ejection_fraction = draw(_EJECTION_PERCENT, pump) / 100
    mitral_descent, tricuspid_descent = draw(_MAPSE, pump), draw(_TAPSE, pump)
    apex_turns, base_turns = draw(_APEX_TURNS, pump), draw(_BASE_TURNS, -pump)
    rv_shrinks = draw(_RV_SHRINKS, pump)
    heart_rate = float(np.clip(rng.normal(70, 12), 45, 120))

    disease = str(rng.choice(list(DISEASES), p=list(DISEASES.values())))
    severity = float(rng.uniform())
    weakness = 1.0
    if disease == "dilated cardiomyopathy":
        lv_radius *= 1.2 + 0.25 * severity
        lv_length *= 1.05 + 0.1 * severity
        la_radius *= 1.12
        weakness = 0.62 - 0.35 * severity
    elif disease == "left ventricular hypertrophy":
        lv_wall *= 1.35 + 0.5 * severity
        lv_radius *= 0.92
        la_radius *= 1.08
    elif disease == "septal hypertrophy":
        septal_bulge += 0.7 + 0.7 * severity
        lv_radius *= 0.93
    elif disease == "poor ejection":
        lv_radius *= 1.06
        weakness = 0.72 - 0.25 * severity
    elif disease == "right ventricular dilatation":
        rv_radius *= 1.15 + 0.25 * severity
        ra_radius *= 1.15 + 0.2 * severity
        tricuspid_descent *= 0.75
        rv_shrinks *= 0.7
    elif disease == "left atrial enlargement":
        la_radius *= 1.2 + 0.25 * severity
    elif disease == "small heart":
        lv_radius *= 0.85
        lv_length *= 0.93
    risk = FIBRILLATION_WITH_LARGE_ATRIUM if disease == "left atrial enlargement" else FIBRILLATION_PREVALENCE
    fibrillates = bool(rng.random() < risk)
    if fibrillates:
        la_radius *= 1.12
        ra_radius *= 1.08
        heart_rate = float(np.clip(heart_rate + 18, 55, 140))
    effusion = float(rng.uniform(6, 22)) if rng.random() < EFFUSION_PREVALENCE else 0.0
    return Patient(
        disease=disease,
        atrial_fibrillation=fibrillates,
        heart_rate=heart_rate,
        size=size,
        ejection_fraction=ejection_fraction * weakness,
        mitral_descent=mitral_descent * weakness,
        tricuspid_descent=tricuspid_descent * (0.5 + 0.5 * weakness),
        rv_shrinks=rv_shrinks,
        apex_turns=apex_turns * weakness,
        base_turns=base_turns * weakness,
        lv_length=lv_length,
        lv_radius=lv_radius,
        lv_wall=lv_wall,
        septal_bulge=septal_bulge,
        rv_radius=rv_radius,
        rv_breadth=vary(40.0, 0.08) * size,
        rv_length=rv_length,
        la_radius=la_radius,
        ra_radius=ra_radius,
        aorta_radius=draw(_AORTIC_SINUS, body) / 2 / 1.12,
        mitral_radius=vary(15.5, 0.07) * size,
        tricuspid_radius=vary(16.5, 0.07) * size,
        ivc_radius=draw(_IVC_DIAMETER, float(rng.normal())) / 2,
        aorta_azimuth=rng.normal(135, 8 * spread),
        rv_azimuth=rng.normal(178, 6 * spread),
        la_azimuth=rng.normal(320, 10 * spread),
        papillary_azimuths=(rng.normal(20, 8 * spread), rng.normal(254, 8 * spread)),
        papillary_radius=vary(5.8, 0.12) * size,
        cusp_azimuth=rng.uniform(0, 120),
        leaflet_half_thickness=float(np.clip(rng.normal(1.0, 0.2 * spread), 0.7, 1.8)),
        chest_wall=float(np.clip(rng.normal(15, 3.5 * spread), 9, 26)),
        rib_gap=vary(24.0, 0.12),
        diaphragm_below=vary(29.0, 0.15),
        effusion=effusion,
        warp=_sample_warp(rng, spread),
        tissue_db=tuple(float(db) for db in rng.normal(0, 1.6, tissues)),
        window=float(np.clip(rng.gamma(7, 1 / 8), 0.3, 1.8)),
    )


def _radius_of_atrium(volume_ml: float, elongation: float) -> float:
    """Radius (mm) of an ellipsoid of revolution that is `elongation` times as long as wide."""
    return float((max(15.0, volume_ml) * 1000 / (4 / 3 * np.pi * elongation)) ** (1 / 3))


def _sample_warp(rng: np.random.Generator, spread: float) -> tuple[tuple[float, ...], ...]:
    """Each wave: displacement (3, mm), wave vector (3, rad/mm) and phase (rad)."""
    bend = (0.045, 1.6 * spread)  # wave number (rad/mm an axis) and amplitude (mm): about 90 mm long
    ripple = (0.28, 0.5)  # about 15 mm long
    waves = []
    for wave_number, amplitude in (bend, bend, ripple):
        displacement = rng.normal(0, amplitude, 3)
        waves.append((*displacement, *rng.normal(0, wave_number, 3), rng.uniform(0, 2 * np.pi)))
    return tuple(tuple(float(value) for value in wave) for wave in waves)
