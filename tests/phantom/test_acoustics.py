"""Image formation: the statistics and the shadows of ultrasound."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from apical.phantom.acoustics import Conditions, Probe, compress, form_image
from apical.phantom.heart import Tissue
from apical.phantom.shapes import PolarGrid
from apical.phantom.tissue import TissueMap

GRID = PolarGrid(np.linspace(3, 150, 200), np.linspace(-0.7, 0.7, 112))
PROBE = Probe(frequency_mhz=2.5, axial_mm=0.6, lateral_degrees=0.5, focus_mm=75, specular=1.0)
CLEAN = Conditions(beam_loss_db=np.zeros(112), tgc_db=np.zeros(200), haze=0.0, noise=0.0, gain_db=0.0)
FRAMES = 4


def tissue_of(labels: Tensor) -> TissueMap:
    flat = torch.zeros(labels.shape)
    return TissueMap(labels, ripple=flat, outside=flat, facing=torch.ones(labels.shape))


def uniform(kind: Tissue) -> TissueMap:
    return tissue_of(torch.full((FRAMES, 112, 200), int(kind), dtype=torch.uint8))


def image(tissue: TissueMap, conditions: Conditions = CLEAN) -> Tensor:
    return form_image(tissue, GRID, PROBE, conditions, (0.0,) * len(Tissue), torch.Generator().manual_seed(0))


def test_speckle_of_uniform_tissue_is_rayleigh() -> None:
    """Fully developed speckle has a ratio of mean to deviation of 1.91.

    Blood is the one tissue without patches; the middle of the image is free of edge effects. Correlated
    samples leave a few thousand independent ones, so the ratio is known to about two per cent.
    """
    envelope = image(uniform(Tissue.BLOOD))[:, 20:-20, 40:-40]
    level = envelope.mean(dim=(0, 1))  # attenuation and gain change with depth
    relative = envelope / level
    assert (relative.mean() / relative.std()).item() == pytest.approx(1.913, rel=0.05)


def test_shadow_darkens_only_its_beams() -> None:
    loss = np.zeros(112)
    loss[:30] = 20
    clear, shadowed = (
        image(uniform(Tissue.BLOOD), conditions) for conditions in (CLEAN, replace(CLEAN, beam_loss_db=loss))
    )
    ratio_db = 20 * torch.log10(shadowed.mean(dim=(0, 2)) / clear.mean(dim=(0, 2)))
    assert ratio_db[:20].mean().item() == pytest.approx(-20, abs=1)
    assert ratio_db[45:].mean().item() == pytest.approx(0, abs=0.1)


def test_boundary_across_the_beam_echoes_more_than_one_along_it() -> None:
    across = torch.full((FRAMES, 112, 200), int(Tissue.BLOOD), dtype=torch.uint8)
    along = across.clone()
    across[:, :, 100:102] = Tissue.LEAFLET
    along[:, 55:57, :] = Tissue.LEAFLET
    assert image(tissue_of(across))[:, 56, 99:103].max() > 1.5 * image(tissue_of(along))[:, 56, 99:103].mean()


def test_attenuating_tissue_dims_what_lies_behind() -> None:
    labels = torch.full((FRAMES, 112, 200), int(Tissue.BLOOD), dtype=torch.uint8)
    behind_muscle = labels.clone()
    behind_muscle[:, :, 50:120] = Tissue.PERICARDIUM
    assert image(tissue_of(behind_muscle))[..., 140:].mean() < image(tissue_of(labels))[..., 140:].mean()


def test_compression_spans_the_dynamic_range() -> None:
    """60 dB below white is black on a machine of 60 dB, and half of it is mid-gray."""
    white = 10 ** (23 / 20)
    levels = compress(torch.tensor([2 * white, white, white / 10**1.5, white / 1e4]), 0.0, 60.0)
    assert levels.tolist() == [255, 255, pytest.approx(127, abs=1), 0]
