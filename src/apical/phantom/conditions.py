"""What differs from probe to probe and from clip to clip: frequency, beam, shadows, gain, clutter, noise."""

import math
from dataclasses import dataclass

import numpy as np

from apical.phantom.anatomy import Floats
from apical.phantom.contrast import CLUTTER_LEFT, Agent
from apical.phantom.shapes import PolarGrid

WORSE_WINDOW = 0.45  # power of the window by which the beam widens
HARMONIC_SHARE = 0.75  # of the clips


@dataclass(frozen=True, slots=True)
class Probe:
    """The transducer and its point spread (standard deviations of a Gaussian)."""

    frequency_mhz: float
    axial_mm: float
    lateral_degrees: float  # at the focus, straight ahead
    focus_mm: float
    specular: float  # 1 = average strength of boundary echoes
    side_lobes_degrees: float = 7.0  # deviation of their Gaussian


@dataclass(frozen=True, slots=True)
class Conditions:
    """What differs from clip to clip on the same machine and patient."""

    beam_loss_db: Floats  # float64 [beams]: lung, poor contact
    tgc_db: Floats  # float64 [samples]: how far the gain sliders are off
    haze: float  # clutter of the near field, amplitude
    clutter: float  # and of the whole depth
    noise: float  # electronic, amplitude at the probe
    gain_db: float
    widening: float  # of the beam by what it passes through, 1 = none
    side_lobes: float  # amplitude beside the main lobe's
    multiples: float  # amplitude of the chest wall's repeated echoes
    harmonic: bool  # imaged at twice the transmitted frequency
    agent: Agent | None = None


def sample_conditions(
    rng: np.random.Generator, grid: PolarGrid, window: float, difficulty: float, agent: Agent | None = None
) -> Conditions:
    """Draw a clip's shadows, gain errors, clutter and noise; `window` above 1 is a poor acoustic window."""
    beams, samples = len(grid.angles), len(grid.ranges)
    position = np.linspace(0, 1, beams)
    smooth = np.interp(position, np.linspace(0, 1, 8), rng.normal(0, 1.9 * window, 8))
    loss = np.abs(smooth)
    badness = window * (0.4 + difficulty)
    for edge in (position, 1 - position):
        if rng.random() < 0.32 * min(1.6, badness):
            width = rng.uniform(0.05, 0.28)
            loss += rng.uniform(6, 24) / (1 + np.exp(np.clip((edge - width) / 0.025, -40, 40)))
    if rng.random() < 0.12 * badness:  # a calcified spot, or lung
        centre, width = rng.uniform(0.1, 0.9), rng.uniform(0.03, 0.08)
        loss += rng.uniform(5, 16) * np.exp(-(((position - centre) / width) ** 2))
    depth = np.linspace(0, 1, samples)
    sliders = np.interp(depth, np.linspace(0, 1, 8), rng.normal(0, 1.8, 8))
    harmonic = bool(rng.random() < HARMONIC_SHARE)
    dirt = window * (0.6 if harmonic else 1.4) * (CLUTTER_LEFT if agent else 1.0)
    return Conditions(
        beam_loss_db=loss,
        tgc_db=sliders + rng.normal(0, 2.0) * (2 * depth - 1),
        haze=0.12 * float(rng.gamma(1.5, 0.6)) * dirt,
        clutter=0.025 * float(rng.gamma(1.5, 0.7)) * dirt,
        noise=0.006 * float(np.exp(rng.normal(0, 0.7))) * math.sqrt(window),
        gain_db=float(rng.normal(0, 3.0)),
        widening=float(window**WORSE_WINDOW * np.exp(rng.normal(0.12, 0.15))),
        side_lobes=0.035 * float(rng.gamma(2, 0.5)) * (0.5 if harmonic else 1.3),
        multiples=0.08 * float(rng.gamma(1.5, 0.6)) * dirt,
        harmonic=harmonic,
        agent=agent,
    )
