"""Who the synthetic patients are, and how their hearts beat.

Lengths are millimetres, angles degrees. Azimuths are measured around the long axis of the left ventricle
(0 = lateral wall, 90 = anterior, 180 = towards the right ventricle, 270 = inferior).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL_EJECTION_FRACTION = 0.60
TYPICAL_DIFFICULTY = 0.55  # the difficulty at which anatomy varies as much as in an adult population

# Prevalence in the simulated laboratory.
DISEASES = {
    "none": 0.50,
    "dilated cardiomyopathy": 0.12,
    "left ventricular hypertrophy": 0.12,
    "right ventricular dilatation": 0.10,
    "left atrial enlargement": 0.10,
    "small heart": 0.06,
}
EFFUSION_PREVALENCE = 0.06

# One cardiac cycle, from end-diastole (0) to the next (1).
_CONTRACTION = (
    (0.00, 0.00), (0.05, 0.10), (0.12, 0.38), (0.20, 0.72), (0.28, 0.94), (0.35, 1.00), (0.42, 0.86),
    (0.48, 0.55), (0.55, 0.22), (0.62, 0.08), (0.80, 0.05), (0.88, 0.02), (1.00, 0.00),
)  # fmt: skip
_MITRAL_OPENING = (
    (0.00, 0.0), (0.40, 0.0), (0.45, 1.0), (0.50, 1.0), (0.58, 0.45), (0.80, 0.45), (0.865, 0.85),
    (0.93, 0.45), (0.99, 0.0), (1.00, 0.0),
)  # fmt: skip
_AORTIC_OPENING = ((0.00, 0.0), (0.04, 0.0), (0.08, 1.0), (0.29, 1.0), (0.33, 0.0), (1.00, 0.0))

END_SYSTOLE = 0.35


@dataclass(frozen=True, slots=True)
class Patient:
    """The body under the probe: sizes at end-diastole, and how echogenic it is."""

    disease: str
    heart_rate: float  # beats per minute
    size: float  # 1 = average adult
    ejection_fraction: float
    lv_length: float
    lv_radius: float
    lv_wall: float
    rv_radius: float  # away from the septum
    rv_breadth: float  # along the septum
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
    diaphragm_below: float  # from mid-ventricle to the dome of the liver
    effusion: float  # thickness of pericardial fluid, 0 for none
    warp: tuple[tuple[float, ...], ...]  # three waves (amplitude and direction) that bend the anatomy
    tissue_db: tuple[float, ...]  # individual echogenicity of each tissue, dB
    window: float  # quality of the acoustic window: 1 = average, above = worse


@dataclass(frozen=True, slots=True)
class CardiacCycle:
    """State of the pump at each frame; every array is float64 [frames] between 0 and 1."""

    contraction: Floats
    mitral_opening: Floats
    aortic_opening: Floats


def cardiac_cycle(phases: Floats) -> CardiacCycle:
    """Give the state of the pump at `phases` (float64 [frames], fraction of a cycle, 0 = end-diastole)."""
    wrapped = np.mod(phases, 1.0)

    def follow(curve: tuple[tuple[float, float], ...]) -> Floats:
        return np.interp(wrapped, [knot[0] for knot in curve], [knot[1] for knot in curve])

    return CardiacCycle(follow(_CONTRACTION), follow(_MITRAL_OPENING), follow(_AORTIC_OPENING))


def sample_patient(rng: np.random.Generator, difficulty: float, tissues: int) -> Patient:
    """Draw a patient; anatomical spread grows with `difficulty` (0 = everybody is average).

    `tissues` is how many tissues need an individual echogenicity.
    """
    spread = difficulty / TYPICAL_DIFFICULTY

    def vary(mean: float, relative_deviation: float) -> float:
        return mean * float(np.clip(1 + rng.normal() * relative_deviation * spread, 0.6, 1.5))

    disease = str(rng.choice(list(DISEASES), p=list(DISEASES.values())))
    size = vary(1.0, 0.09)
    lv_radius = vary(22.5, 0.08) * size
    lv_wall = vary(9.2, 0.13) * size
    rv_radius = vary(27.0, 0.09) * size
    la_radius = vary(22.0, 0.10) * size
    ra_radius = vary(22.0, 0.10) * size
    ejection_fraction = float(np.clip(rng.normal(NORMAL_EJECTION_FRACTION, 0.06 * spread), 0.45, 0.72))
    severity = float(rng.uniform())
    if disease == "dilated cardiomyopathy":
        lv_radius *= 1.15 + 0.25 * severity
        la_radius *= 1.12
        ejection_fraction = 0.38 - 0.23 * severity
    elif disease == "left ventricular hypertrophy":
        lv_wall *= 1.3 + 0.4 * severity
        lv_radius *= 0.92
    elif disease == "right ventricular dilatation":
        rv_radius *= 1.1 + 0.2 * severity
        ra_radius *= 1.1 + 0.2 * severity
    elif disease == "left atrial enlargement":
        la_radius *= 1.2 + 0.25 * severity
    elif disease == "small heart":
        lv_radius *= 0.85
    effusion = float(rng.uniform(4, 14)) if rng.random() < EFFUSION_PREVALENCE else 0.0
    return Patient(
        disease=disease,
        heart_rate=float(np.clip(rng.normal(72, 13), 45, 120)),
        size=size,
        ejection_fraction=ejection_fraction,
        lv_length=vary(80.0, 0.07) * size,
        lv_radius=lv_radius,
        lv_wall=lv_wall,
        rv_radius=rv_radius,
        rv_breadth=vary(40.0, 0.08) * size,
        la_radius=la_radius,
        ra_radius=ra_radius,
        aorta_radius=vary(13.5, 0.08) * size,
        mitral_radius=vary(15.5, 0.07) * size,
        tricuspid_radius=vary(16.5, 0.07) * size,
        ivc_radius=vary(8.5, 0.2),
        aorta_azimuth=rng.normal(135, 8 * spread),
        rv_azimuth=rng.normal(178, 6 * spread),
        la_azimuth=rng.normal(320, 10 * spread),
        papillary_azimuths=(rng.normal(20, 8 * spread), rng.normal(254, 8 * spread)),
        papillary_radius=vary(5.2, 0.12) * size,
        cusp_azimuth=rng.uniform(0, 120),
        leaflet_half_thickness=float(np.clip(rng.normal(1.0, 0.2 * spread), 0.7, 1.8)),
        chest_wall=float(np.clip(rng.normal(15, 3.5 * spread), 9, 26)),
        diaphragm_below=vary(29.0, 0.15),
        effusion=effusion,
        warp=_sample_warp(rng, spread),
        tissue_db=tuple(float(db) for db in rng.normal(0, 1.6, tissues)),
        window=float(np.clip(rng.gamma(4, 0.25), 0.3, 2.2)),
    )


def _sample_warp(rng: np.random.Generator, spread: float) -> tuple[tuple[float, ...], ...]:
    """Each wave: displacement (3, mm), wave vector (3, rad/mm) and phase (rad)."""
    bend = (0.045, 1.6 * spread)  # wave number (rad/mm) and amplitude (mm): about 140 mm long
    trabeculae = (0.28, 0.5)  # about 22 mm long
    waves = []
    for wave_number, amplitude in (bend, bend, trabeculae):
        displacement = rng.normal(0, amplitude, 3)
        waves.append((*displacement, *rng.normal(0, wave_number, 3), rng.uniform(0, 2 * np.pi)))
    return tuple(tuple(float(value) for value in wave) for wave in waves)
