"""From tissue to echoes: speckle, specular reflection, attenuation, clutter, noise, compression.

Tensors are float32 [frames, beams, samples] unless said otherwise. Amplitudes are relative to the scatter of
normal myocardium.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from apical.phantom.anatomy import Floats, Patient
from apical.phantom.conditions import Conditions, Probe
from apical.phantom.contrast import SPECULAR_LEFT, level_change_db, sample_swirl, swirl_db
from apical.phantom.device import floats
from apical.phantom.heart import Tissue
from apical.phantom.planes import Plane
from apical.phantom.point_spread import axial_spread, lateral_spread, spread
from apical.phantom.shapes import PolarGrid
from apical.phantom.speckle import Lattice, lattice_along, scatterers
from apical.phantom.tissue import TissueMap


@dataclass(frozen=True, slots=True)
class TissueEcho:
    """How one tissue answers ultrasound."""

    scatter_db: float  # diffuse echo, dB relative to myocardium
    impedance: float  # relative; echoes of boundaries follow its jumps
    attenuation: float  # dB/cm/MHz for each cm of depth; tuned by eye, half the physical way there and back
    coherence: float = 0.0  # 0 = fully developed speckle, 1 = smooth as a membrane
    patchiness: float = 0.0  # nepers of slow change of scatter, over centimetres
    fades_over_mm: float = math.inf  # distance from the heart over which the echo falls by 1/e
    anisotropy: float = 0.0  # loss of scatter where the wall runs along the beam


# Ordered as in real images (blood dark, pericardium bright) and tuned by eye beside them: no published table
# fits one machine. Attenuation acts only where it differs from TGC_COMPENSATES.
ECHOES = {
    Tissue.BLOOD: TissueEcho(-28, 0.00, 0.05),
    Tissue.MYOCARDIUM: TissueEcho(0, 0.50, 0.50, patchiness=0.30, anisotropy=0.60),
    Tissue.RV_WALL: TissueEcho(1, 0.50, 0.50, patchiness=0.35),
    Tissue.ATRIAL_WALL: TissueEcho(-3, 0.45, 0.50, coherence=0.1, patchiness=0.6),
    Tissue.VESSEL_WALL: TissueEcho(-1, 0.65, 0.50, coherence=0.1, patchiness=0.5),
    Tissue.LEAFLET: TissueEcho(-5, 0.75, 0.60, coherence=0.7),
    Tissue.PAPILLARY: TissueEcho(0.5, 0.35, 0.50),
    Tissue.PERICARDIUM: TissueEcho(2, 1.25, 0.70, coherence=0.4, patchiness=0.6, fades_over_mm=40),
    Tissue.EFFUSION: TissueEcho(-28, 0.02, 0.05),
    Tissue.FAT: TissueEcho(-2, 0.50, 0.50, patchiness=0.6, fades_over_mm=34),
    Tissue.LUNG: TissueEcho(-4, 0.65, 0.85, patchiness=0.7, fades_over_mm=22),
    Tissue.LIVER: TissueEcho(-4, 0.60, 0.47, patchiness=0.15),
    Tissue.CHEST_WALL: TissueEcho(3, 0.60, 0.55),
    Tissue.RIB: TissueEcho(8, 2.20, 14.0, coherence=0.3),
}

MYOCARDIUM_DB = -23.0  # from white, at neutral gain
TGC_COMPENSATES = 0.42  # dB/cm/MHz for each cm of depth
NEPER_DB = 8.686  # dB of a factor e
# Share of the scatterers' power that is new in every frame. Of tissue it stands for what a model of moving
# scatterers lacks (strain within a resolution cell, aberration that changes, electronics); blood outruns the
# beam between two frames.
FRESH = {Tissue.BLOOD: 1.0, Tissue.EFFUSION: 1.0}
FRESH_IN_TISSUE = 0.15
SPECULAR_GAIN = 1.15  # echo of a unit jump of impedance across the beam
BUILDS_UP_MM = 22.0  # depth over which the second harmonic is generated


@dataclass(frozen=True, slots=True)
class Setup:
    """What stays as it is in all frames of a clip."""

    grid: PolarGrid
    probe: Probe
    conditions: Conditions
    patient: Patient
    depths: Tensor  # float32 [samples], mm
    tgc: Tensor  # gain of each sample, float32 [samples]
    lattice: Lattice  # of the scatterers
    patches: Tensor  # see `_patches`
    muscle_layers: Tensor  # see `_muscle_layers`
    clutter: Tensor  # standard normal, float32 [2, 1, some beams, samples]
    swirl: Tensor  # see `sample_swirl`
    axial: Tensor  # point spread along the beam, see `axial_spread`
    lateral: Tensor  # and across it, see `lateral_spread`


def set_up(
    plane: Plane,
    grid: PolarGrid,
    probe: Probe,
    conditions: Conditions,
    patient: Patient,
    generator: torch.Generator,
) -> Setup:
    """Draw and compute what stays as it is in a clip that begins in `plane`."""
    depths = floats(grid.depths)
    return Setup(
        grid=grid,
        probe=probe,
        conditions=conditions,
        patient=patient,
        depths=depths,
        tgc=torch.exp(floats(conditions.tgc_db) / NEPER_DB),
        lattice=lattice_along(plane, generator),
        patches=_patches(grid, generator),
        muscle_layers=_muscle_layers(depths, generator),
        clutter=_smooth_across(1, grid, generator),
        swirl=sample_swirl(generator),
        axial=axial_spread(grid, probe),
        lateral=lateral_spread(grid, probe, conditions),
    )


def form_image(tissue: TissueMap, setup: Setup, seconds: Floats, generator: torch.Generator) -> Tensor:
    """Give the envelope of the echoes, linear amplitude, of frames at `seconds` (float64 [frames])."""
    grid, probe, conditions, depths = setup.grid, setup.probe, setup.conditions, setup.depths
    received = _transmission(tissue, setup) * setup.tgc
    strength = _scatter(tissue, setup, seconds) * received

    fresh = torch.randn((2, *tissue.labels.shape), generator=generator)
    share = np.array([FRESH.get(kind, FRESH_IN_TISSUE) for kind in Tissue])
    coherence = np.array([ECHOES[kind].coherence for kind in Tissue])
    echoes = scatterers(tissue.place, setup.lattice)
    echoes *= _of_tissue(tissue, np.sqrt((1 - coherence) * (1 - share))) * strength
    echoes.addcmul_(fresh, _of_tissue(tissue, np.sqrt((1 - coherence) * share)) * strength)
    in_phase = _of_tissue(tissue, np.sqrt(2 * coherence))  # as smooth membranes answer
    echoes[0].addcmul_(in_phase, strength)
    specular = probe.specular * SPECULAR_GAIN * (SPECULAR_LEFT if conditions.agent else 1.0)
    echoes[0].addcmul_(_boundary_echo(tissue, grid), received, value=specular)

    field = spread(echoes, setup.axial, setup.lateral)
    later = round(setup.patient.chest_wall / grid.sample_mm)
    if 0 < later < len(depths):
        field[..., later:] += conditions.multiples * field[..., :-later].clone()
    field += _clutter(setup, len(seconds), generator)
    raised = torch.exp(depths * (TGC_COMPENSATES * probe.frequency_mhz / 10 / NEPER_DB))  # as all echoes are
    noise = torch.randn(field.shape, generator=generator)
    field.addcmul_(noise, conditions.noise * raised * setup.tgc)
    real, imaginary = field.unbind()
    return (real * real).addcmul_(imaginary, imaginary).sqrt_()


def compress(envelope: Tensor, gain_db: float, dynamic_range_db: float) -> Tensor:
    """Log-compress an envelope to gray levels, uint8: 255 is white, 0 is `dynamic_range_db` below."""
    decibels = torch.log(envelope + 1e-9) * NEPER_DB + (gain_db + MYOCARDIUM_DB)
    return ((1 + decibels / dynamic_range_db) * 255).clamp(0, 255).to(torch.uint8)


def _of_tissue(tissue: TissueMap, values: Sequence[float] | Floats) -> Tensor:
    """Give each point the value of its tissue; `values` are in the order of Tissue."""
    return floats(values).index_select(0, tissue.index).view(tissue.labels.shape)


def _transmission(tissue: TissueMap, setup: Setup) -> Tensor:
    """How much of the pulse reaches each point and returns, after the gain that average tissue needs."""
    conditions = setup.conditions
    attenuation = {kind: ECHOES[kind].attenuation for kind in Tissue}
    if conditions.agent:
        attenuation[Tissue.BLOOD] = conditions.agent.attenuation
    excess = _of_tissue(tissue, [attenuation[kind] - TGC_COMPENSATES for kind in Tissue])
    loss_db = excess.cumsum_(dim=-1).mul_(setup.probe.frequency_mhz * setup.grid.sample_mm / 10)
    loss_db += floats(conditions.beam_loss_db)[:, None]
    reached = loss_db.div_(-NEPER_DB).exp_()
    if conditions.harmonic:  # too near the probe there is no harmonic yet
        reached *= 1 - 0.8 * torch.exp(-setup.depths / BUILDS_UP_MM)
    return reached


def _scatter(tissue: TissueMap, setup: Setup, seconds: Floats) -> Tensor:
    """Amplitude of the diffuse echo of each point."""
    agent, patient = setup.conditions.agent, setup.patient
    echoes = [ECHOES[kind] for kind in Tissue]
    level_db = [echo.scatter_db + own for echo, own in zip(echoes, patient.tissue_db, strict=True)]
    if agent:
        change = level_change_db(agent, level_db[Tissue.BLOOD])
        level_db = [level + more for level, more in zip(level_db, change, strict=True)]
    nepers = _of_tissue(tissue, [level / NEPER_DB for level in level_db])
    fading = _of_tissue(tissue, [1 / echo.fades_over_mm for echo in echoes])
    nepers.addcmul_(fading, tissue.outside, value=-1)
    patches = setup.patches.add(tissue.ripple, alpha=0.5).clamp_(-2, 2)
    nepers.addcmul_(_of_tissue(tissue, [echo.patchiness for echo in echoes]), patches)
    if agent:
        uneven = swirl_db(agent, setup.swirl, tissue, floats(seconds), patient.lv_length) / NEPER_DB
        nepers += torch.where(tissue.labels == Tissue.BLOOD, uneven, 0.0)
    along_wall = _of_tissue(tissue, [echo.anisotropy for echo in echoes]).mul_(1 - tissue.facing)
    layers = torch.where(tissue.labels == Tissue.CHEST_WALL, setup.muscle_layers, 1.0)
    return nepers.exp_().mul_(1 - along_wall).mul_(layers)


def _patches(grid: PolarGrid, generator: torch.Generator) -> Tensor:
    """Slow variation of tissue around 0, fixed in the image: float32 [beams, samples]."""
    coarse = torch.randn((1, 1, 12, 18), generator=generator)
    size = (len(grid.angles), len(grid.ranges))
    return functional.interpolate(coarse, size, mode="bicubic", align_corners=True)[0, 0]


def _muscle_layers(depths: Tensor, generator: torch.Generator) -> Tensor:
    """Amplitude of the stripes of muscle and fat in the chest wall, float32 [samples]."""
    phase = float(torch.rand(1, generator=generator)) * 2 * math.pi
    return 0.75 + 0.6 * torch.sin(1.1 * depths + phase) * torch.sin(0.43 * depths + 2 * phase)


def _smooth_across(frames: int, grid: PolarGrid, generator: torch.Generator) -> Tensor:
    """Complex noise for every third beam, float32 [2, frames, beams / 3, samples]."""
    return torch.randn((2, frames, len(grid.angles) // 3 + 1, len(grid.ranges)), generator=generator)


def _clutter(setup: Setup, frames: int, generator: torch.Generator) -> Tensor:
    """Echoes that went astray: a haze near the probe and a veil over the whole depth.

    Most of it comes from the chest and stands still while the heart beats; it is smooth across beams.
    """
    moving = _smooth_across(frames, setup.grid, generator)
    reach = setup.conditions.haze * torch.exp(-setup.depths / 35) + setup.conditions.clutter
    clutter = (0.5 + 0.6 * (0.85 * setup.clutter + 0.5 * moving)) * (reach * setup.tgc)
    return clutter.repeat_interleave(3, dim=2)[:, :, : len(setup.grid.angles)]


def _boundary_echo(tissue: TissueMap, grid: PolarGrid) -> Tensor:
    """Specular echo: the jump of impedance along the beam, strongest where the boundary lies across it."""
    impedance = _of_tissue(tissue, [ECHOES[kind].impedance for kind in Tissue])
    padded = functional.pad(impedance[None], (1, 1, 1, 1), mode="replicate")[0]
    smooth = padded[:, :-2].add(padded[:, 1:-1], alpha=2).add_(padded[:, 2:])
    axial = (smooth[..., 2:] - smooth[..., :-2]).div_(4)
    smooth = padded[..., :-2].add(padded[..., 1:-1], alpha=2).add_(padded[..., 2:])
    lateral = (smooth[:, 2:] - smooth[:, :-2]).div_(4)
    beam_mm = floats(grid.ranges) * grid.beam_radians + 0.5
    lateral *= grid.sample_mm / beam_mm  # per sample, as the axial one
    axial_squared = axial * axial
    across = axial_squared / lateral.square_().add_(axial_squared).add_(1e-4)
    return axial.abs_().mul_(across.square_())
