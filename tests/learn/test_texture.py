"""Noise from the bank has the moments it promises, repeats without a seam and is as wide as speckle."""

import numpy as np
import pytest

from apical.learn.texture import PERIOD, factors, fine_texture


def alike(noise, rows, columns):
    """Correlation of noise with itself so many pixels further."""
    return np.corrcoef(noise.ravel(), np.roll(noise, (rows, columns), (0, 1)).ravel())[0, 1]


@pytest.mark.parametrize("size", [16, 64, 300])
def test_moments_and_repetition(size):
    for noise, mean, deviation in ((factors(size, 0.2), 1, 0.2), (fine_texture(size), 0, 1)):
        assert noise.shape == (PERIOD + size,) * 2
        assert noise.dtype == np.float32
        once = noise[:PERIOD, :PERIOD]
        assert once.mean() == pytest.approx(mean, abs=1e-5)
        assert once.std() == pytest.approx(deviation, rel=1e-4)
        rows = np.arange(PERIOD + size) % PERIOD
        assert np.array_equal(noise, once[rows[:, None], rows])


def test_it_is_wider_across_than_along_the_beam():
    noise = factors(16, 1.0)[:PERIOD, :PERIOD]
    assert alike(noise, 0, 1) > alike(noise, 1, 0) + 0.1 > 0.3
    assert abs(alike(noise, 20, 20)) < 0.03


def test_neighbours_correlate_as_in_frames():
    """Measured on 150 frames of the phantom at 64 to 112 pixels: 0.47 to 0.54 across, 0.18 to 0.31 along."""
    noise = fine_texture(16)[:PERIOD, :PERIOD]
    assert alike(noise, 0, 1) == pytest.approx(0.5, abs=0.06)
    assert alike(noise, 1, 0) == pytest.approx(0.2, abs=0.08)


def test_fine_texture_has_nothing_slow():
    """Of waves longer than 16 pixels it has a hundredth of the other's power."""
    wave = np.hypot(*np.meshgrid(*(np.fft.fftfreq(PERIOD),) * 2))
    fine, all_of_it = (
        np.abs(np.fft.fft2(noise[:PERIOD, :PERIOD])) ** 2
        for noise in (fine_texture(16), factors(16, 1.0) - 1)
    )
    assert 0 < fine[wave < 1 / 16].sum() < 0.01 * all_of_it[wave < 1 / 16].sum()


def test_the_two_banks_are_independent():
    both = fine_texture(16)[:PERIOD, :PERIOD].ravel(), factors(16, 1.0)[:PERIOD, :PERIOD].ravel()
    assert abs(np.corrcoef(*both)[0, 1]) < 0.02
