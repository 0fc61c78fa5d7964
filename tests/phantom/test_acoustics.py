"""Image formation: the statistics, the shadows and the movement of ultrasound."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_tissue import average_patient
from torch import Tensor

from apical.phantom.acoustics import compress, form_image, set_up
from apical.phantom.conditions import Conditions, Probe, sample_conditions
from apical.phantom.contrast import Agent
from apical.phantom.device import floats
from apical.phantom.heart import Tissue
from apical.phantom.planes import Plane
from apical.phantom.shapes import PolarGrid, beam_directions, sector_space
from apical.phantom.tissue import TissueMap

BEAMS, SAMPLES = 112, 200
GRID = PolarGrid(np.linspace(3, 150, SAMPLES), np.linspace(-0.7, 0.7, BEAMS))
PROBE = Probe(frequency_mhz=2.5, axial_mm=0.6, lateral_degrees=0.5, focus_mm=75, specular=1.0)
CLEAN = Conditions(
    beam_loss_db=np.zeros(BEAMS),
    tgc_db=np.zeros(SAMPLES),
    haze=0.0,
    clutter=0.0,
    noise=0.0,
    gain_db=0.0,
    widening=1.0,
    side_lobes=0.0,
    multiples=0.0,
    harmonic=False,
)
FRAMES = 4
PATIENT = replace(average_patient(), tissue_db=(0.0,) * len(Tissue))


def planes(frames: int = FRAMES) -> Plane:
    ones = np.ones((frames, 1))
    return Plane(ones * [-40.0, 30.0, 20.0], ones * [0.6, -0.64, 0.48], ones * [0.8, 0.48, -0.36])


def space(frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the samples are."""
    return sector_space(planes(frames), GRID, floats(beam_directions(planes(frames), GRID)))


def tissue_of(labels: Tensor, place: tuple[Tensor, Tensor, Tensor] | None = None) -> TissueMap:
    flat = torch.zeros(labels.shape)
    place = place or space(len(labels))
    return TissueMap(labels, place, ripple=flat, outside=flat, facing=torch.ones(labels.shape))


def filled(kind: Tissue, frames: int = FRAMES) -> Tensor:
    return torch.full((frames, BEAMS, SAMPLES), int(kind), dtype=torch.uint8)


def image(tissue: TissueMap, conditions: Conditions = CLEAN, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    setup = set_up(planes(1).frame(0), GRID, PROBE, conditions, PATIENT, generator)
    return form_image(tissue, setup, np.arange(len(tissue.labels)) / 30, generator)


@pytest.mark.parametrize("kind", [Tissue.BLOOD, Tissue.RV_WALL, Tissue.LIVER])
@pytest.mark.parametrize("conditions", [CLEAN, replace(CLEAN, side_lobes=0.04, widening=1.4, harmonic=True)])
def test_speckle_of_uniform_tissue_is_rayleigh(kind: Tissue, conditions: Conditions) -> None:
    """Fully developed speckle has a ratio of mean to deviation of 1.913, and Rayleigh's quantiles.

    Tissue is patchy over centimetres: what is slow is divided out first. Correlated samples leave a few
    thousand independent ones, so the ratio is known to about two per cent.
    """
    envelopes = torch.cat([image(tissue_of(filled(kind)), conditions, seed) for seed in range(4)])
    envelope = envelopes[:, 20:-20, 40:-40]
    level = torch.nn.functional.avg_pool2d(envelope[:, None], (15, 25), 1, (7, 12), count_include_pad=False)
    relative = (envelope / level[:, 0])[:, 8:-8, 13:-13].flatten()
    assert (relative.mean() / relative.std()).item() == pytest.approx(1.913, rel=0.05)
    scale = relative.square().mean().sqrt() / np.sqrt(2)
    for share in (0.1, 0.5, 0.9):
        expected = float(scale * np.sqrt(-2 * np.log(1 - share)))
        assert torch.quantile(relative[:500_000], share).item() == pytest.approx(expected, rel=0.06)


def correlation(first: Tensor, second: Tensor) -> float:
    """Of two speckle patterns, away from the edges of the image; attenuation over depth is divided out."""
    level = (first + second).mean(dim=0)
    pair = torch.stack([(part / level)[20:-20, 40:-40].flatten() for part in (first, second)])
    return float(torch.corrcoef(pair)[0, 1])


def test_speckle_stays_with_resting_tissue_but_not_with_blood() -> None:
    """Muscle at rest keeps its pattern but for what is new in every frame; blood has another one at once."""
    muscle, blood = image(tissue_of(filled(Tissue.MYOCARDIUM))), image(tissue_of(filled(Tissue.BLOOD)))
    assert correlation(muscle[0], muscle[1]) > 0.7
    assert abs(correlation(blood[0], blood[1])) < 0.1


def moved(shift: np.ndarray) -> TissueMap:
    """Liver that has moved by `shift` (mm) in the second of two frames."""
    x, y, z = space(2)
    by = torch.tensor([[0.0, 0, 0], shift.tolist()])[:, :, None, None]
    return tissue_of(filled(Tissue.LIVER, 2), (x - by[:, 0], y - by[:, 1], z - by[:, 2]))


def test_speckle_moves_with_the_tissue_along_the_beam() -> None:
    """Tissue that came four samples nearer shows its pattern there, in the middle of the image."""
    plane = planes(1)
    middle = slice(BEAMS // 2 - 8, BEAMS // 2 + 8)
    frames = image(moved(-4 * GRID.sample_mm * plane.beam[0]))[:, middle, 30:-30]
    followed = torch.corrcoef(torch.stack([frames[0, :, 4:].flatten(), frames[1, :, :-4].flatten()]))[0, 1]
    stayed = torch.corrcoef(torch.stack([frames[0].flatten(), frames[1].flatten()]))[0, 1]
    assert followed > 0.6
    assert stayed < 0.3


def test_speckle_decorrelates_as_tissue_leaves_the_plane() -> None:
    """The further out of the plane it moves, the less is left; after the beam's thickness, nothing."""
    normal = planes(1).normal[0]
    left = []
    for distance in (0.0, 0.6, 1.2, 1.8, 4.0):
        frames = image(moved(distance * normal))
        left.append(correlation(frames[0], frames[1]))
    assert np.all(np.diff(left) < -0.05)
    assert left[-1] < 0.1


def test_beam_is_wider_in_depth_and_aside() -> None:
    """The lateral size of speckle, in millimetres, grows with depth, and with the beam's angle."""
    frames = torch.cat([image(tissue_of(filled(Tissue.BLOOD)), seed=seed) for seed in range(6)])

    def neighbours(part: Tensor) -> float:
        first, second = part[:, :-1].flatten(), part[:, 1:].flatten()
        return float(torch.corrcoef(torch.stack([first, second]))[0, 1])

    # Between neighbouring beams; the same angle is more millimetres in depth.
    assert neighbours(frames[:, 30:-30, 170:190]) > neighbours(frames[:, 30:-30, 90:110]) + 0.05
    aside = torch.cat([frames[:, 4:16], frames[:, -16:-4].flip(1)])
    assert neighbours(aside[..., 60:150]) > neighbours(frames[:, 50:62, 60:150]) + 0.02


def test_shadow_darkens_only_its_beams() -> None:
    loss = np.zeros(BEAMS)
    loss[:30] = 20
    clear, shadowed = (
        image(tissue_of(filled(Tissue.BLOOD)), conditions)
        for conditions in (CLEAN, replace(CLEAN, beam_loss_db=loss))
    )
    ratio_db = 20 * torch.log10(shadowed.mean(dim=(0, 2)) / clear.mean(dim=(0, 2)))
    assert ratio_db[:20].mean().item() == pytest.approx(-20, abs=1)
    assert ratio_db[45:].mean().item() == pytest.approx(0, abs=0.1)


def test_rib_throws_a_shadow() -> None:
    labels = filled(Tissue.MYOCARDIUM)
    behind_rib = labels.clone()
    behind_rib[:, 40:60, 8:20] = Tissue.RIB
    clear, shadowed = image(tissue_of(labels)), image(tissue_of(behind_rib))
    ratio_db = 20 * torch.log10(shadowed[:, 46:54, 60:].mean() / clear[:, 46:54, 60:].mean())
    assert ratio_db < -20
    assert shadowed[:, 46:54, 7:9].max() > clear[:, 46:54, 7:9].max()


def test_boundary_across_the_beam_echoes_more_than_one_along_it() -> None:
    across, along = filled(Tissue.BLOOD), filled(Tissue.BLOOD)
    across[:, :, 100:102] = Tissue.LEAFLET
    along[:, 55:57, :] = Tissue.LEAFLET
    assert image(tissue_of(across))[:, 56, 99:103].max() > 1.5 * image(tissue_of(along))[:, 56, 99:103].mean()


def test_attenuating_tissue_dims_what_lies_behind() -> None:
    behind_muscle = filled(Tissue.BLOOD)
    behind_muscle[:, :, 50:120] = Tissue.PERICARDIUM
    clear = image(tissue_of(filled(Tissue.BLOOD)))
    assert image(tissue_of(behind_muscle))[..., 140:].mean() < clear[..., 140:].mean()


def test_side_lobes_smear_a_bright_reflector_aside() -> None:
    labels = filled(Tissue.BLOOD)
    labels[:, 54:58, 100:103] = Tissue.RIB
    without, with_lobes = (
        image(tissue_of(labels), replace(CLEAN, side_lobes=lobes))[:, 44:48, 100:103].mean()
        for lobes in (0.0, 0.05)
    )
    assert with_lobes > 1.5 * without


def test_chest_wall_is_seen_again_deeper() -> None:
    later = round(PATIENT.chest_wall / GRID.sample_mm)
    labels = filled(Tissue.BLOOD)
    labels[:, :, 40:42] = Tissue.PERICARDIUM
    once, again = (image(tissue_of(labels), replace(CLEAN, multiples=multiples)) for multiples in (0.0, 0.3))
    ghost = slice(40 + later, 42 + later)
    assert again[..., ghost].mean() > 1.5 * once[..., ghost].mean()


def test_second_harmonic_is_weak_near_the_probe_and_clean() -> None:
    tissue = tissue_of(filled(Tissue.LIVER))
    ratio = (image(tissue, replace(CLEAN, harmonic=True)) / image(tissue)).mean(dim=(0, 1))
    assert ratio[4] < 0.4
    assert ratio[150] > 0.95
    drawn = [sample_conditions(np.random.default_rng(i), GRID, 1.0, 0.55) for i in range(400)]

    def mean(name: str, harmonic: bool) -> float:
        return float(np.mean([getattr(one, name) for one in drawn if one.harmonic is harmonic]))

    for dirt in ("haze", "clutter", "side_lobes", "multiples"):
        assert mean(dirt, True) < 0.6 * mean(dirt, False)


def test_poor_window_is_worse_in_every_way() -> None:
    good, poor = (
        [sample_conditions(np.random.default_rng(i), GRID, window, 0.55) for i in range(200)]
        for window in (0.5, 2.0)
    )
    for name in ("haze", "clutter", "noise", "widening", "multiples"):
        assert np.mean([getattr(one, name) for one in poor]) > 1.3 * np.mean(
            [getattr(one, name) for one in good]
        )
    assert np.mean([one.beam_loss_db for one in poor]) > 2 * np.mean([one.beam_loss_db for one in good])


def test_contrast_agent_turns_blood_bright_and_muscle_dark_and_shades_the_depth() -> None:
    labels = filled(Tissue.MYOCARDIUM)
    labels[:, :, 60:120] = Tissue.BLOOD
    thin = Agent(blood_db=4.0, attenuation=0.3, swirl_db=1.0)
    plain, opacified, dense = (
        image(tissue_of(labels), replace(CLEAN, agent=agent))
        for agent in (None, thin, replace(thin, attenuation=1.5))
    )
    assert plain[..., 65:115].mean() < 0.2 * plain[..., 20:50].mean()
    assert opacified[..., 65:80].mean() > 3 * opacified[..., 20:50].mean()
    assert dense[..., 130:].mean() < 0.5 * opacified[..., 130:].mean()


def test_agent_swirls_most_at_the_apex() -> None:
    """How much the brightness of opacified blood changes over centimetres and between frames."""
    x, y, z = space(40)
    uneven = replace(CLEAN, agent=Agent(blood_db=4.0, attenuation=0.4, swirl_db=6.0))

    def restless(height: float) -> float:
        tissue = tissue_of(filled(Tissue.BLOOD, 40), (x, y, torch.full_like(z, height)))
        level = torch.nn.functional.avg_pool2d(image(tissue, uneven).log()[:, None], (16, 25))
        return float(level.std(dim=0).mean())

    assert restless(PATIENT.lv_length) > 1.5 * restless(0.0)


def test_compression_spans_the_dynamic_range() -> None:
    """60 dB below white is black on a machine of 60 dB, and half of it is mid-gray."""
    white = 10 ** (23 / 20)
    levels = compress(torch.tensor([2 * white, white, white / 10**1.5, white / 1e4]), 0.0, 60.0)
    assert levels.tolist() == [255, 255, pytest.approx(127, abs=1), 0]


def test_noise_rises_with_depth_as_the_gain_does() -> None:
    """Of the echoes that depth attenuates only the gain's share is made good, and noise is raised by it."""
    nothing = tissue_of(filled(Tissue.BLOOD))
    weak = replace(CLEAN, beam_loss_db=np.full(BEAMS, 200.0), noise=0.01)
    envelope = image(nothing, weak)
    rise_db = 20 * torch.log10(envelope[..., 180:].mean() / envelope[..., :20].mean())
    millimetres = GRID.depths[180:].mean() - GRID.depths[:20].mean()
    assert rise_db.item() == pytest.approx(0.42 * 2.5 * millimetres / 10, abs=0.5)
