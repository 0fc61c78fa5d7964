"""Corrupted frames stay frames of that sector, repeat by their seed, and get worse step by step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.errors import WrongCall
from apical.judge.corruptions import CORRUPTIONS, corrupt, sector_of
from fake_stores import picture


def clip(number, frames=2):
    return np.stack([picture(f"{number * 10 + frame:08x}") for frame in range(frames)])


def change(before, after):
    return np.abs(after.astype(int) - before).mean()


def changes(frames, name, seed):
    """Mean absolute change at severities 0 to 5."""
    return [change(frames, corrupt(frames, name, severity, seed)) for severity in range(6)]


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"wrong-sector"}))
@settings(max_examples=12, derandomize=True)
@given(number=st.integers(0, 10**6), seed=st.integers(0, 2**32))
def test_worse_step_by_step(name, number, seed):
    found = changes(clip(number), name, seed)
    assert found[0] == 0
    assert found[1] > 0.3  # of 255 grey levels, two thirds of the square being black
    assert (np.diff(found) > 0).all()


@settings(max_examples=30, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_a_wrong_sector_loses_more_step_by_step(seed):
    """Of one clip of speckle two shifts may change as much; of an even sector, more is always lost."""
    even = (sector_of(clip(0)) * 100).astype(np.uint8)[None]
    assert (np.diff(changes(even, "wrong-sector", seed)) > 0).all()


def test_wrong_sectors_change_clips_more_step_by_step():
    found = np.mean([changes(clip(number), "wrong-sector", number) for number in range(30)], axis=0)
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_by_seed_and_the_input_is_left_alone(name):
    frames = clip(1)
    kept = frames.copy()
    one, again = (corrupt(frames, name, 3, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(frames, kept)
    assert one.shape == frames.shape
    assert one.dtype == np.uint8


@pytest.mark.parametrize("name", ["speckle", "shadow", "wrong-sector"])
def test_what_is_drawn_follows_the_seed(name):
    frames = clip(1)
    assert change(corrupt(frames, name, 3, seed=5), corrupt(frames, name, 3, seed=6)) > 0.3


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"crop"}))
@pytest.mark.parametrize("severity", [1, 5])
def test_black_outside_the_sector_stays_black(name, severity):
    frames = clip(2)
    y, x = np.mgrid[0:128, 0:128]
    sector = (np.abs(np.arctan2(x - 64, y + 1)) < 0.7) & (np.hypot(x - 64, y) < 125)
    outline = sector_of(frames)
    assert (outline & sector).sum() / (outline | sector).sum() > 0.98
    assert not corrupt(frames, name, severity, seed=3)[:, ~outline].any()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_black_frames_stay_black(name):
    black = np.zeros((2, 40, 40), np.uint8)
    assert not corrupt(black, name, 5, seed=0).any()


def test_speckle_is_rayleigh_noise_that_keeps_the_mean():
    """Mixed half and half with 1, Rayleigh noise has half its coefficient of variation, √(4/π - 1)."""
    even = np.full((8, 128, 128), 100, np.uint8)
    noisy = corrupt(even, "speckle", 5, seed=0) / 100.0
    assert noisy.mean() == pytest.approx(1, abs=0.01)
    assert noisy.std() == pytest.approx(0.5 * np.sqrt(4 / np.pi - 1), rel=0.05)
    skewness = ((noisy - noisy.mean()) ** 3).mean() / noisy.std() ** 3
    assert skewness == pytest.approx(0.63, abs=0.1)


def test_speckle_hangs_together_across_the_beams_and_differs_by_frame():
    noisy = corrupt(np.full((4, 128, 128), 100, np.uint8), "speckle", 5, seed=0) / 100.0 - 1
    across, along = ((noisy * np.roll(noisy, 1, axis=axis)).mean() / noisy.var() for axis in (2, 1))
    assert across > along > 0.2
    assert abs((noisy[0] * noisy[1]).mean() / noisy.var()) < 0.1


def test_gain_shifts_grey_levels_and_keeps_their_order():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))[None]
    dark, bright = (corrupt(ramp, name, 2, seed=0)[0, 0].astype(int) for name in ("darker", "brighter"))
    np.testing.assert_array_equal(dark, np.maximum(np.arange(256) - 24, 0))
    assert (np.diff(bright) >= 0).all()
    assert bright[0] == 0
    assert bright[200] == pytest.approx(224, abs=2)


def test_a_shadow_is_one_wedge_from_the_probe_in_all_frames():
    y, x = np.mgrid[0:128, 0:128]
    sector = (np.abs(np.arctan2(x - 64, y + 1)) < 0.7) & (np.hypot(x - 64, y) < 125)
    frames = np.stack([sector * 100, sector * 200]).astype(np.uint8)
    shadowed = corrupt(frames, "shadow", 3, seed=4)
    share = shadowed / np.maximum(frames, 1)
    np.testing.assert_allclose(share[0], share[1], atol=0.02)
    lit = sector[100] & (np.abs(x[100] - 64) < 60)
    runs = np.flatnonzero(np.diff((share[0, 100] < 0.5)[lit].astype(int)))
    assert len(runs) == 2  # one dark piece with light on both sides
    dark = [int((share[0, row] < 0.5)[sector[row]].sum()) for row in (50, 75, 100)]
    assert dark[0] < dark[1] < dark[2]
    assert dark[2] == pytest.approx(2 * 100 * np.tan(np.radians(6)), rel=0.35)
    assert (share[0, :5][sector[:5]] == 1).all()  # the skin is not shadowed


def test_blur_keeps_an_even_sector_even():
    frames = (sector_of(clip(3)) * 120).astype(np.uint8)[None]
    blurred = corrupt(frames, "blur", 5, seed=0)
    assert np.abs(blurred.astype(int) - frames).max() <= 1


def test_crop_zooms_about_the_middle():
    frames = np.zeros((1, 129, 129), np.uint8)
    frames[0, 64, 64] = frames[0, 64, 24] = 255
    zoomed = corrupt(frames, "crop", 4, seed=0)[0]
    assert zoomed[64, 64] == 255
    assert np.flatnonzero(zoomed[64, :40]).mean() == pytest.approx(64 - 40 * 1.25, abs=0.6)


def test_a_wrong_sector_shifts_the_picture_and_cuts_it_by_the_outline():
    frames = clip(4, frames=1)
    shifted = corrupt(frames, "wrong-sector", 5, seed=11)
    outline = sector_of(frames)
    lost = (frames > 0).sum() - (shifted > 0).sum()
    assert lost > 0.1 * outline.sum()
    spectra = [np.fft.fft2(each[0].astype(float)) for each in (frames, shifted)]
    peak = np.fft.ifft2(spectra[1] * spectra[0].conj()).real.argmax()
    down, right = ((place + 64) % 128 - 64 for place in np.unravel_index(peak, (128, 128)))
    assert np.hypot(down, right) == pytest.approx(0.18 * 128, abs=1.5)


def test_unknown_names_and_severities_are_refused():
    frames = clip(1)
    with pytest.raises(WrongCall, match="no corruption 'fog'"):
        corrupt(frames, "fog", 1, seed=0)
    for severity in (-1, 6):
        with pytest.raises(WrongCall, match="severity"):
            corrupt(frames, "blur", severity, seed=0)
