"""The device of the beams: the default one, and a GPU like a CPU."""

import numpy as np
import pytest
import torch
from test_acoustics import CLEAN, GRID, PROBE
from test_tissue import average_patient, beating

from apical.config import PhantomSettings
from apical.errors import WrongCall
from apical.phantom.acoustics import form_image, set_up
from apical.phantom.device import IN_CACHE, array, blocks, floats, random_numbers
from apical.phantom.planes import ideal_plane
from apical.phantom.study import write_phantom
from apical.phantom.tissue import classify


def seen(device: str) -> tuple[np.ndarray, np.ndarray]:
    """Tissue and envelope of an apical view."""
    heart = beating(average_patient(), [0.0, 0.2, 0.4])
    plane, _ = ideal_plane(heart, "A4C")
    with torch.device(device):
        tissue = classify(heart, plane.repeated(3), GRID)
        generator = random_numbers(np.random.default_rng(0))
        setup = set_up(plane, GRID, PROBE, CLEAN, heart.patient, generator)
        envelope = form_image(tissue, setup, np.arange(3) / 30, generator)
        assert tissue.labels.device.type == envelope.device.type == torch.device(device).type
        return array(tissue.labels), array(envelope)


def test_numbers_go_to_the_default_device_and_come_back() -> None:
    with torch.device("meta"):
        assert floats([1.0, 2.0]).device.type == "meta"
    there = floats(np.arange(3))
    assert there.dtype == torch.float32
    assert array(there).tolist() == [0, 1, 2]


@pytest.mark.parametrize("frames", [1, 7, 40])
@pytest.mark.parametrize("samples", [100, 6420, 10**6])
def test_blocks_hold_every_frame_once_and_a_gpu_takes_all(frames: int, samples: int) -> None:
    found = blocks(frames, samples)
    assert [number for block in found for number in range(frames)[block]] == list(range(frames))
    assert all((block.stop - block.start - 1) * samples < IN_CACHE for block in found)
    with torch.device("meta"):
        assert blocks(frames, samples) == [slice(0, frames)]


def test_same_numbers_for_the_same_seed() -> None:
    first, second = (torch.rand(3, generator=random_numbers(np.random.default_rng(4))) for _ in range(2))
    assert (first == second).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_gpu_sees_the_same_heart_with_other_speckle() -> None:
    labels, envelope = seen("cpu")
    labels_there, envelope_there = seen("cuda")
    assert (labels == labels_there).mean() > 0.999
    for one in range(12):
        if (labels == one).sum() > 500:
            level = envelope[labels == one].mean()
            assert envelope_there[labels_there == one].mean() == pytest.approx(level, rel=0.1)


def test_device_that_is_not_there_is_refused(tmp_path: object) -> None:
    for name in ("cuda:99", "abacus", "meta"):
        with pytest.raises(WrongCall, match="no device"):
            write_phantom(tmp_path / "out", PhantomSettings(patients=1, device=name))
    assert not (tmp_path / "out").exists()
