"""From tissue to echoes: speckle, specular reflection, attenuation, point spread, compression.

Tensors are float32 [frames, beams, samples] unless said otherwise. Amplitudes are relative to the scatter of
normal myocardium.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apical.phantom.anatomy import Floats
from apical.phantom.heart import Tissue
from apical.phantom.shapes import PolarGrid
from apical.phantom.tissue import TissueMap


@dataclass(frozen=True, slots=True)
class TissueEcho:
    """How one tissue answers ultrasound."""

    scatter_db: float  # diffuse echo, dB relative to myocardium
    impedance: float  # relative; echoes of boundaries follow its jumps
    attenuation: float  # dB/cm/MHz, there and back
    coherence: float = 0.0  # 0 = fully developed speckle, 1 = smooth as a membrane
    patchiness: float = 0.0  # nepers of slow change of scatter, over centimetres
    fades_over_mm: float = math.inf  # distance from the heart over which the echo falls by 1/e
    anisotropy: float = 0.0  # loss of scatter where the wall runs along the beam


# Ordered as in real images (blood dark, pericardium bright) and tuned by eye beside them: no published table
# fits one machine. Attenuation acts only where it differs from TGC_COMPENSATES.
ECHOES = {
    Tissue.BLOOD: TissueEcho(-28, 0.00, 0.05),
    Tissue.MYOCARDIUM: TissueEcho(0, 0.55, 0.50, patchiness=0.20, anisotropy=0.50),
    Tissue.RV_WALL: TissueEcho(1, 0.55, 0.50, patchiness=0.25),
    Tissue.ATRIAL_WALL: TissueEcho(-3, 0.50, 0.50, coherence=0.1, patchiness=0.4),
    Tissue.VESSEL_WALL: TissueEcho(-1, 0.70, 0.50, coherence=0.1, patchiness=0.4),
    Tissue.LEAFLET: TissueEcho(-2, 0.75, 0.60, coherence=0.7),
    Tissue.PAPILLARY: TissueEcho(0.5, 0.35, 0.50),
    Tissue.PERICARDIUM: TissueEcho(4, 1.25, 0.70, coherence=0.4, patchiness=0.5, fades_over_mm=40),
    Tissue.EFFUSION: TissueEcho(-28, 0.02, 0.05),
    Tissue.FAT: TissueEcho(-3, 0.50, 0.50, patchiness=0.5, fades_over_mm=35),
    Tissue.LUNG: TissueEcho(-5, 0.65, 0.90, patchiness=0.6, fades_over_mm=22),
    Tissue.LIVER: TissueEcho(-4, 0.60, 0.47, patchiness=0.15),
    Tissue.CHEST_WALL: TissueEcho(4, 0.60, 0.60),
}

MYOCARDIUM_DB_BELOW_WHITE = -23.0  # at neutral gain
TGC_COMPENSATES = 0.42  # dB/cm/MHz, there and back
NEPER_DB = 8.686  # dB of a factor e
STATIC_SPECKLE = 0.4  # share of the scatterers' power that stays in place from frame to frame
SPECULAR_GAIN = 1.15  # echo of a unit jump of impedance across the beam


@dataclass(frozen=True, slots=True)
class Probe:
    """The transducer and its point spread (standard deviations of a Gaussian)."""

    frequency_mhz: float
    axial_mm: float
    lateral_degrees: float  # at the focus
    focus_mm: float
    specular: float  # 1 = average strength of boundary echoes


@dataclass(frozen=True, slots=True)
class Conditions:
    """What differs from clip to clip on the same machine and patient."""

    beam_loss_db: Floats  # float64 [beams]: ribs, lung, poor contact
    tgc_db: Floats  # float64 [samples]: how far the gain sliders are off
    haze: float  # near-field reverberation, amplitude
    noise: float  # electronic, amplitude at the probe
    gain_db: float


def sample_conditions(
    rng: np.random.Generator, grid: PolarGrid, window: float, difficulty: float
) -> Conditions:
    """Draw the shadows, gain errors, haze and noise of a clip; `window` above 1 is a poor acoustic window."""
    beams, samples = len(grid.angles), len(grid.ranges)
    position = np.linspace(0, 1, beams)
    smooth = np.interp(position, np.linspace(0, 1, 8), rng.normal(0, 2.0 * window, 8))
    loss = np.abs(smooth)
    badness = window * (0.4 + difficulty)
    for edge in (position, 1 - position):
        if rng.random() < 0.4 * min(1.6, badness):
            width = rng.uniform(0.05, 0.28)
            loss += rng.uniform(8, 28) / (1 + np.exp(np.clip((edge - width) / 0.025, -40, 40)))
    if rng.random() < 0.12 * badness:  # a rib or a calcified spot
        centre, width = rng.uniform(0.1, 0.9), rng.uniform(0.03, 0.08)
        loss += rng.uniform(5, 16) * np.exp(-(((position - centre) / width) ** 2))
    depth = np.linspace(0, 1, samples)
    sliders = np.interp(depth, np.linspace(0, 1, 8), rng.normal(0, 1.8, 8))
    return Conditions(
        beam_loss_db=loss,
        tgc_db=sliders + rng.normal(0, 2.0) * (2 * depth - 1),
        haze=0.10 * float(rng.gamma(1.5, 0.6)) * window,
        noise=0.015 * float(np.exp(rng.normal(0, 0.6))) * math.sqrt(window),
        gain_db=float(rng.normal(0, 2.6)),
    )


def form_image(
    tissue: TissueMap,
    grid: PolarGrid,
    probe: Probe,
    conditions: Conditions,
    tissue_db: tuple[float, ...],
    generator: torch.Generator,
) -> Tensor:
    """Give the envelope of the echoes, linear amplitude.

    `tissue_db` is the patient's own echogenicity of each tissue, dB.
    """
    ranges = torch.from_numpy(grid.ranges.astype(np.float32))
    tgc = torch.from_numpy(conditions.tgc_db.astype(np.float32))
    transmission = _transmission(tissue, grid, probe, conditions) * torch.exp(tgc / NEPER_DB)
    strength = _scatter(tissue, ranges, tissue_db, generator) * transmission

    frames, beams, samples = tissue.labels.shape
    fixed = torch.randn((2, 1, beams, samples), generator=generator)
    renewed = torch.randn((2, frames, beams, samples), generator=generator)
    scatterers = math.sqrt(STATIC_SPECKLE) * fixed + math.sqrt(1 - STATIC_SPECKLE) * renewed
    coherence = _of_tissue(tissue, [ECHOES[kind].coherence for kind in Tissue])
    scatterers *= strength * torch.sqrt(1 - coherence)
    scatterers[0] += strength * coherence  # smooth membranes answer in phase
    scatterers[0] += probe.specular * SPECULAR_GAIN * _boundary_echo(tissue, grid) * transmission

    field = _spread(scatterers, grid, probe)
    reverberation = torch.randn((2, frames, beams // 3 + 1, samples), generator=generator)
    reverberation = reverberation.repeat_interleave(3, dim=2)[:, :, :beams]
    field += conditions.haze * torch.exp(-ranges / 35) * (0.6 + 0.5 * reverberation)
    field += conditions.noise * torch.exp(tgc / NEPER_DB) * torch.randn(field.shape, generator=generator)
    return torch.sqrt(field[0] ** 2 + field[1] ** 2)


def compress(envelope: Tensor, gain_db: float, dynamic_range_db: float) -> Tensor:
    """Log-compress an envelope to gray levels, uint8: 255 is white, 0 is `dynamic_range_db` below."""
    decibels = torch.log(envelope + 1e-9) * NEPER_DB + (gain_db + MYOCARDIUM_DB_BELOW_WHITE)
    return ((1 + decibels / dynamic_range_db) * 255).clamp(0, 255).to(torch.uint8)


def _of_tissue(tissue: TissueMap, values: list[float]) -> Tensor:
    """Give each point the value of its tissue; `values` are in the order of Tissue."""
    return torch.tensor(values, dtype=torch.float32)[tissue.labels.int()]


def _transmission(tissue: TissueMap, grid: PolarGrid, probe: Probe, conditions: Conditions) -> Tensor:
    """How much of the pulse reaches each point and returns, after the gain that average tissue needs."""
    excess = _of_tissue(tissue, [ECHOES[kind].attenuation - TGC_COMPENSATES for kind in Tissue])
    loss_db = torch.cumsum(excess, dim=-1) * (probe.frequency_mhz * grid.sample_mm / 10)
    loss_db += torch.from_numpy(conditions.beam_loss_db.astype(np.float32))[:, None]
    return torch.exp(-loss_db / NEPER_DB)


def _scatter(
    tissue: TissueMap, ranges: Tensor, tissue_db: tuple[float, ...], generator: torch.Generator
) -> Tensor:
    """Amplitude of the diffuse echo of each point."""
    echoes = [ECHOES[kind] for kind in Tissue]
    level_db = [echo.scatter_db + own for echo, own in zip(echoes, tissue_db, strict=True)]
    nepers = _of_tissue(tissue, level_db) / NEPER_DB
    nepers -= _of_tissue(tissue, [1 / echo.fades_over_mm for echo in echoes]) * tissue.outside
    nepers += _of_tissue(tissue, [echo.patchiness for echo in echoes]) * _patches(tissue, generator)
    along_wall = _of_tissue(tissue, [echo.anisotropy for echo in echoes]) * (1 - tissue.facing)
    return torch.exp(nepers) * (1 - along_wall) * _muscle_layers(ranges, tissue, generator)


def _patches(tissue: TissueMap, generator: torch.Generator) -> Tensor:
    """Slow variation of tissue around 0, mostly fixed in the image: float32 [frames, beams, samples]."""
    beams, samples = tissue.labels.shape[1:]
    coarse = torch.randn((1, 1, 12, 18), generator=generator)
    patches = functional.interpolate(coarse, (beams, samples), mode="bicubic", align_corners=True)[0, 0]
    return (patches + 0.5 * tissue.ripple).clamp(-2, 2)


def _muscle_layers(ranges: Tensor, tissue: TissueMap, generator: torch.Generator) -> Tensor:
    """Stripes of muscle and fat in the chest wall, 1 elsewhere."""
    phase = float(torch.rand(1, generator=generator)) * 2 * math.pi
    stripes = 0.75 + 0.6 * torch.sin(1.1 * ranges + phase) * torch.sin(0.43 * ranges + 2 * phase)
    return torch.where(tissue.labels == Tissue.CHEST_WALL, stripes, 1.0)


def _boundary_echo(tissue: TissueMap, grid: PolarGrid) -> Tensor:
    """Specular echo: the jump of impedance along the beam, strongest where the boundary lies across it."""
    impedance = _of_tissue(tissue, [ECHOES[kind].impedance for kind in Tissue])
    padded = functional.pad(impedance[None], (1, 1, 1, 1), mode="replicate")[0]
    smooth = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    axial = (smooth[..., 2:] - smooth[..., :-2]) / 4
    smooth = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    lateral = (smooth[:, 2:] - smooth[:, :-2]) / 4
    ranges = torch.from_numpy(grid.ranges.astype(np.float32))
    lateral = lateral * (grid.sample_mm / (ranges * grid.beam_radians + 0.5))  # per sample, as the axial one
    axial_squared = axial * axial
    across = axial_squared / (axial_squared + lateral * lateral + 1e-4)
    return axial.abs() * across * across


def _spread(field: Tensor, grid: PolarGrid, probe: Probe) -> Tensor:
    """Blur a complex field ([2, frames, beams, samples]) by the point spread, keeping speckle power."""
    ranges = torch.from_numpy(grid.ranges.astype(np.float32))
    samples, beams = len(grid.ranges), len(grid.angles)
    field = field @ _gaussian_rows(samples, torch.tensor([probe.axial_mm / grid.sample_mm])).T
    width = math.radians(probe.lateral_degrees) / grid.beam_radians
    defocus = 1 + 0.55 * (ranges - probe.focus_mm).abs() / probe.focus_mm
    aperture = 1.5 / (ranges * grid.beam_radians + 3.0)
    lateral = _gaussian_rows(beams, (width * defocus + aperture)[:, None])
    by_depth = field.permute(3, 2, 0, 1).reshape(samples, beams, -1)
    spread = torch.bmm(lateral, by_depth).reshape(samples, beams, *field.shape[:2])
    return spread.permute(2, 3, 1, 0)


def _gaussian_rows(size: int, sigma: Tensor) -> Tensor:
    """Matrices [..., size, size] whose row i blurs around i by `sigma` ([..., 1]) and keeps noise power."""
    distance = torch.arange(1 - size, size, dtype=torch.float32) / sigma
    bell = torch.exp(-0.5 * (distance * distance).clamp(max=50))  # denormal numbers would be slow
    rows = bell.unfold(-1, size, 1).flip(-2)
    return rows / rows.square().sum(dim=-1, keepdim=True).sqrt()
