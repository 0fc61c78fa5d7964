"""Crops: shape, repeatability, a black outside, and nothing changed at zero strength."""

import pytest
import torch

from apical.config import AugmentSettings
from apical.learn.augment import DEVIATION, MEAN, augment, plain

NOTHING = AugmentSettings(
    smallest_crop=1, rotation_degrees=0, gain=0, dynamic_range=0, gamma=0, depth_gain=0, speckle=0, blur=0,
    shadow=0,
)  # fmt: skip
BLACK = -MEAN / DEVIATION


def frames(n=3, size=40):
    noise = torch.randint(1, 256, (n, size, size), generator=torch.Generator().manual_seed(0))
    inside = torch.zeros(size, size, dtype=torch.bool)
    inside[10:30, 10:30] = True
    return (noise * inside).to(torch.uint8)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [24, 40, 56])
def test_shape_and_finite(size):
    crops = augment(frames(), size, AugmentSettings(), seeded(0))
    assert crops.shape == (3, 1, size, size)
    assert crops.dtype == torch.float32
    assert torch.isfinite(crops).all()


def test_same_seed_same_crops_and_frames_of_a_batch_differ():
    same = frames()[:1].expand(2, -1, -1)
    first, again = (augment(same, 40, AugmentSettings(), seeded(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


def test_zero_strength_is_the_plain_frame():
    assert torch.allclose(augment(frames(), 40, NOTHING, seeded(0)), plain(frames(), 40), atol=1e-5)


def test_outside_the_sector_stays_black():
    """Gain and noise must not light up what was masked: with no movement the outside is untouched."""
    settings = AugmentSettings(smallest_crop=1, rotation_degrees=0, blur=0, gain=0.5, depth_gain=0.5)
    crops = augment(frames(), 40, settings, seeded(1))
    outside = frames() == 0
    assert torch.allclose(crops[:, 0][outside], torch.tensor(BLACK))
    assert (crops[:, 0][~outside] - plain(frames(), 40)[:, 0][~outside]).abs().max() > 0.5


def test_values_stay_in_the_range_of_an_image():
    strong = AugmentSettings(gain=1, dynamic_range=0.9, gamma=1, speckle=1)
    crops = augment(frames(), 40, strong, seeded(2)) * DEVIATION + MEAN
    assert crops.min() >= -1e-6
    assert crops.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    "name", ["gain", "dynamic_range", "gamma", "depth_gain", "speckle", "blur", "shadow"]
)
def test_each_strength_does_something(name):
    settings = NOTHING.model_copy(update={name: 0.9})
    changed = augment(frames(16), 40, settings, seeded(3))
    assert not torch.allclose(changed, plain(frames(16), 40), atol=1e-3)


def test_never_flips_left_and_right():
    """The bright half stays on its side in every one of many crops."""
    frame = torch.full((200, 40, 40), 20, dtype=torch.uint8)
    frame[:, :, 20:] = 200
    crops = augment(frame, 40, AugmentSettings(), seeded(4))[:, 0]
    assert (crops[:, :, 30:].mean((1, 2)) > crops[:, :, :10].mean((1, 2))).all()


def test_blur_equals_a_convolution():
    settings = NOTHING.model_copy(update={"blur": 1.0})
    frame = torch.randint(1, 256, (1, 20, 20), generator=seeded(0)).to(torch.uint8)
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    padded = torch.nn.functional.pad(frame[None].float() / 255, (1, 1, 1, 1), mode="replicate")
    expected = torch.nn.functional.conv2d(padded, (kernel[:, None] * kernel)[None, None])
    ours = augment(frame, 20, settings, seeded(1)) * DEVIATION + MEAN
    assert torch.allclose(ours, expected, atol=1e-4)
