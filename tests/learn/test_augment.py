"""Crops: shape, repeatability, a black outside, and nothing changed at zero strength."""

import numpy as np
import pytest
import torch
from fans import EVERYTHING, NOTHING, fans, only
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.config import AugmentSettings
from apical.learn.augment import DEVIATION, MEAN, augment, plain, render
from apical.learn.draw import draw

CPU = torch.device("cpu")
BLACK = -MEAN / DEVIATION


def frames(n=3, size=40):
    noise = np.random.default_rng(0).integers(1, 256, (n, 1, size, size), dtype=np.uint8)
    noise[..., :10, :] = noise[..., 30:, :] = noise[..., :10] = noise[..., 30:] = 0
    return noise


def seeded(seed):
    return np.random.default_rng(seed)


def whole(pictures, size):
    return plain(torch.from_numpy(pictures), size)


@pytest.mark.parametrize("size", [24, 40, 56])
def test_shape_and_finite(size):
    crops = augment(frames(), size, AugmentSettings(), seeded(0), CPU)
    assert crops.shape == (3, 1, size, size)
    assert crops.dtype == torch.float32
    assert torch.isfinite(crops).all()


def test_same_seed_same_crops_and_frames_of_a_batch_differ():
    same = np.repeat(frames()[:1], 2, axis=0)
    first, again = (augment(same, 40, AugmentSettings(), seeded(5), CPU) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


def test_zero_strength_is_the_plain_frame():
    assert torch.allclose(augment(frames(), 40, NOTHING, seeded(0), CPU), whole(frames(), 40), atol=1e-5)


def test_plain_frames_are_standardised_and_resized():
    """Against the numbers, and a mean that resizing does not change."""
    clip = fans(2, 60, frames=3)
    assert whole(clip, 60).numpy() == pytest.approx((clip / 255 - MEAN) / DEVIATION, abs=1e-5)
    small = whole(clip, 24)
    assert small.shape == (2, 3, 24, 24)
    assert small.mean().item() == pytest.approx(whole(clip, 60).mean().item(), abs=0.02)


def test_outside_the_sector_stays_black():
    """Gain and noise must not light up what was masked: with no movement the outside is untouched."""
    settings = AugmentSettings(smallest_crop=1, rotation_degrees=0, blur=0, gain=0.5, depth_gain=0.5)
    crops = augment(frames(), 40, settings, seeded(1), CPU)
    outside = torch.from_numpy(frames() == 0)
    assert torch.allclose(crops[outside], torch.tensor(BLACK))
    assert (crops[~outside] - whole(frames(), 40)[~outside]).abs().max() > 0.5


@pytest.mark.parametrize(
    "name", ["polarity", "redraw", "blur", "haze", "shadow", "dropout", "narrow", "depth"]
)
def test_no_other_setting_lights_up_the_outside(name):
    crops = augment(fans(8), 80, only(**{name: 0.9, "gain": 0.5}), seeded(1), CPU)
    assert torch.allclose(crops[torch.from_numpy(fans(8) == 0)], torch.tensor(BLACK))


def test_values_stay_in_the_range_of_an_image():
    strong = AugmentSettings(gain=1, dynamic_range=0.9, gamma=1, speckle=1)
    crops = augment(frames(), 40, strong, seeded(2), CPU) * DEVIATION + MEAN
    assert crops.min() >= -1e-6
    assert crops.max() <= 1 + 1e-6


@pytest.mark.parametrize("name", AugmentSettings.model_fields)
def test_each_strength_does_something(name):
    strengths = {"smallest_crop": 0.5, "rotation_degrees": 20}
    changed = augment(fans(16, 40), 40, only(**{name: strengths.get(name, 0.9)}), seeded(3), CPU)
    assert not torch.allclose(changed, whole(fans(16, 40), 40), atol=1e-3)


def halves(count):
    """Frames whose left half is dark and whose right half is bright."""
    frame = np.full((count, 1, 40, 40), 20, np.uint8)
    frame[..., 20:] = 200
    return frame


def test_never_flips_left_and_right():
    """The bright half stays on its side in every one of many crops."""
    crops = augment(halves(200), 40, AugmentSettings(), seeded(4), CPU)[:, 0]
    assert (crops[:, :, 30:].mean((1, 2)) > crops[:, :, :10].mean((1, 2))).all()


def test_flips_where_that_is_asked_for():
    flipped = augment(halves(200), 40, only(flip=0.3), seeded(4), CPU)[:, 0]
    left_is_bright = flipped[:, :, :10].mean((1, 2)) > flipped[:, :, 30:].mean((1, 2))
    assert left_is_bright.float().mean() == pytest.approx(0.3, abs=0.1)
    assert torch.equal(flipped[left_is_bright][0], whole(halves(1), 40)[0, 0].flip(1))


def test_blur_equals_a_convolution():
    frame = np.random.default_rng(0).integers(1, 256, (1, 1, 20, 20), dtype=np.uint8)
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    padded = torch.nn.functional.pad(torch.from_numpy(frame).float() / 255, (1, 1, 1, 1), mode="replicate")
    expected = torch.nn.functional.conv2d(padded, (kernel[:, None] * kernel)[None, None])
    ours = augment(frame, 20, only(blur=1.0), seeded(1), CPU) * DEVIATION + MEAN
    assert torch.allclose(ours, expected, atol=1e-4)


def test_crops_of_some_clips_are_those_of_all():
    """So that several processes may each render their part of the draws of a batch."""
    clips, rows = fans(6, frames=2), np.array([1, 4])
    draws = draw(6, 80, 64, EVERYTHING, seeded(6))
    together = render(clips, draws, 64, CPU)
    assert torch.allclose(render(clips[rows], draws.select(rows), 64, CPU), together[rows], atol=1e-5)
    assert torch.equal(together, augment(clips, 64, EVERYTHING, seeded(6), CPU))


def test_tensors_are_taken_as_well():
    clips = fans(2)
    from_tensor = augment(torch.from_numpy(clips), 64, EVERYTHING, seeded(0), CPU)
    assert torch.equal(from_tensor, augment(clips, 64, EVERYTHING, seeded(0), CPU))


def test_large_frames_are_halved_before():
    """By means of four, so that nothing aliases: a fine chequerboard is grey."""
    board = np.indices((160, 160)).sum(axis=0) % 2 * 200
    board[50:110, 50:110] = 77
    crops = augment(board[None, None].astype(np.uint8), 80, NOTHING, seeded(0), CPU) * DEVIATION + MEAN
    wanted = np.full((80, 80), 100 / 255)
    wanted[25:55, 25:55] = 77 / 255
    assert crops[0, 0].numpy() == pytest.approx(wanted, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(16, 90), st.integers(16, 200), st.integers(1, 3), st.integers(1, 3))
def test_range_whatever_the_sizes(seed, size, side, count, frames):
    crops = augment(fans(count, side, frames, least=0), size, EVERYTHING, seeded(seed), CPU)
    assert crops.shape == (count, frames, size, size)
    assert torch.isfinite(crops).all()
    assert crops.min() >= BLACK - 1e-6
    assert crops.max() <= (1 - MEAN) / DEVIATION + 1e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("side", [80, 140])
def test_a_gpu_makes_the_same_crops(side):
    clips = fans(8, side, frames=2, least=0)
    on_cpu = augment(clips, 64, EVERYTHING, seeded(0), CPU)
    for given_as in (clips, torch.from_numpy(clips).cuda()):
        on_gpu = augment(given_as, 64, EVERYTHING, seeded(0), torch.device("cuda"))
        assert on_gpu.is_cuda
        assert ((on_gpu.cpu() - on_cpu).abs() * DEVIATION > 0.006).float().mean() < 1e-3
