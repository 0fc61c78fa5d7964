"""Contrast agent: microbubbles in the blood, imaged at low power so that they outshine the muscle."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from apical.phantom.heart import Tissue
from apical.phantom.tissue import TissueMap

MUSCLE_SUPPRESSED_DB = 16.0  # contrast imaging cancels what answers linearly
OTHERS_SUPPRESSED_DB = 8.0
SPECULAR_LEFT = 0.35  # of the echoes of boundaries
CLUTTER_LEFT = 0.35  # of what answers linearly, too
SWIRL_WAVES = (0.05, 0.09, 0.13)  # rad/mm


@dataclass(frozen=True, slots=True)
class Agent:
    """How much agent there is in a clip, and what it does."""

    blood_db: float  # scatter of opacified blood, dB relative to normal myocardium
    attenuation: float  # of opacified blood, dB/cm/MHz: a dense bolus throws a shadow
    swirl_db: float  # unevenness, most of all in the apex


def sample_agent(rng: np.random.Generator) -> Agent:
    """Draw the dose and how long ago it was given."""
    dose = float(rng.uniform(0, 1))
    return Agent(
        blood_db=float(-2 + 8 * dose + rng.normal(0, 1.5)),
        attenuation=0.25 + 0.95 * dose**2,
        swirl_db=float(np.clip(7 - 6 * dose + rng.normal(0, 1), 0.5, 9)),
    )


def level_change_db(agent: Agent, blood_db: float) -> list[float]:
    """How the scatter of each tissue changes, dB, in the order of Tissue."""
    change = dict.fromkeys(Tissue, -OTHERS_SUPPRESSED_DB)
    for muscle in (Tissue.MYOCARDIUM, Tissue.RV_WALL, Tissue.PAPILLARY, Tissue.ATRIAL_WALL):
        change[muscle] = -MUSCLE_SUPPRESSED_DB
    change[Tissue.BLOOD] = agent.blood_db - blood_db
    change[Tissue.EFFUSION] = 0.0
    return [change[kind] for kind in Tissue]


def sample_swirl(generator: torch.Generator) -> Tensor:
    """Draw the waves of a clip's uneven agent, float32 [waves, 5]: rad/mm along x, y and z, phase, rad/s."""
    waves = torch.randn((len(SWIRL_WAVES), 3), generator=generator) * torch.tensor(SWIRL_WAVES)[:, None]
    phases, speeds = torch.rand((2, len(SWIRL_WAVES), 1), generator=generator) * 2 * math.pi
    return torch.cat([waves, phases, 2 + speeds], dim=1)


def swirl_db(agent: Agent, swirl: Tensor, tissue: TissueMap, seconds: Tensor, lv_length: float) -> Tensor:
    """Uneven agent, drifting with the blood: dB, [frames, beams, samples], 0 on the average.

    `seconds` is float32 [frames]. It is strongest near the apex, where blood is slow and bubbles are burst.
    """
    x, y, z = tissue.place
    field = torch.zeros_like(x)
    for along_x, along_y, along_z, phase, speed in swirl:
        turning = (phase + speed * seconds)[:, None, None]
        field += torch.sin(along_x * x + along_y * y + along_z * z + turning)
    return agent.swirl_db * field / math.sqrt(1.5) * (0.35 + 0.65 * (z / lv_length).clamp(0, 1))
