"""Draws laid on frames: crops stay on the sector, zooms leave the probe, and fields follow the beams."""

import numpy as np
import pytest
from fans import EVERYTHING, HALF_ANGLE, fan, only
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.learn.beams import angles, sectors
from apical.learn.draw import GRID, draw, working_side
from apical.learn.placing import placed

SIDE, SIZE = 80, 64
FOUND = sectors(fan(SIDE)[None])
PROBE = np.array([(SIDE - 1) / 2, FOUND.top[0] * SIDE - 0.5])
REACH = FOUND.reach[0] * SIDE


def laid(settings, count=500, size=SIZE, side=SIDE, seed=0):
    """Draws for one fan, many times over, and how they lie on it."""
    draws = draw(count, side, size, settings, np.random.default_rng(seed))
    found = sectors(np.repeat(fan(side)[None], count, axis=0))
    return draws, placed(draws, found, working_side(side, size), size)


def depths(matrices):
    """Distance of each grid node from the probe in reaches, one crop and node at a time."""
    nodes = (np.arange(GRID) + 0.5) / GRID * SIZE - 0.5
    result = np.empty((len(matrices), GRID, GRID))
    for crop, matrix in enumerate(matrices):
        for row, y in enumerate(nodes):
            for column, x in enumerate(nodes):
                result[crop, row, column] = np.hypot(*(matrix @ [x, y, 1] - PROBE)) / REACH
    return result


@pytest.mark.parametrize("smallest", [0.3, 0.6])
def test_a_crop_stays_in_the_frame_and_on_the_sector(smallest):
    """The worst crop shows hardly less of the sector, of its area, than the whole frame does."""
    draws, many = laid(only(smallest_crop=smallest))
    lit, shares = fan(SIDE) > 0, []
    for matrix in many.outline:
        corners = [matrix @ [at, at, 1] for at in (-0.5, SIZE - 0.5)]
        assert np.min(corners) >= -0.5 - 1e-9
        assert np.max(corners) <= SIDE - 0.5 + 1e-9
        (x0, y0), (x1, y1) = np.round(np.array(corners) + 0.5).astype(int)
        shares.append(lit[y0:y1, x0:x1].mean())
    assert min(shares) > 0.9 * lit.mean()
    assert np.mean(shares) > 1.15 * lit.mean()
    middle = many.outline @ [(SIZE - 1) / 2, (SIZE - 1) / 2, 1] - (SIDE - 1) / 2
    assert (middle.std(axis=0) > 0.2 * SIDE * draws.rest.mean()).all()  # and they are not all in one place
    assert middle[:, 0].min() < 0 < middle[:, 0].max()


def test_the_smallest_crops_are_uniform_over_the_sector():
    """Middles of crops of hardly any size: as many in the inner quarter of the area as it is of all."""
    draws, many = laid(only(smallest_crop=1e-6), 4000)
    middle = many.outline @ [(SIZE - 1) / 2, (SIZE - 1) / 2, 1]
    tiny = draws.rest > 0.9
    x, y = (middle[tiny] - PROBE).T
    assert (np.hypot(x, y) < REACH / 2).mean() == pytest.approx(0.25, abs=0.08)
    assert (np.arctan2(x, y) < 0).mean() == pytest.approx(0.5, abs=0.08)
    assert np.abs(np.arctan2(x, y)).max() < HALF_ANGLE + 0.1


def test_a_frame_without_black_is_not_left_either():
    """It has no corners without beams, but a reach that is longer than half its width."""
    draws = draw(300, SIDE, SIZE, only(smallest_crop=0.3), np.random.default_rng(0))
    many = placed(draws, sectors(np.full((300, SIDE, SIDE), 9, np.uint8)), SIDE, SIZE)
    corners = many.outline @ np.array([[-0.5, -0.5, 1], [SIZE - 0.5, SIZE - 0.5, 1]]).T
    assert corners.min() >= -0.5 - 1e-9
    assert corners.max() <= SIDE - 0.5 + 1e-9


def test_the_whole_frame_stays_where_it_is():
    _, many = laid(only(), 2, size=SIDE)
    assert many.content == pytest.approx(np.broadcast_to(np.eye(3)[:2], (2, 2, 3)), abs=1e-9)
    assert many.outline == pytest.approx(many.content)
    assert not (many.zoomed | many.faded | many.lifted | many.shaded).any()


def test_depth_zooms_about_the_probe():
    """The probe stays, all else goes away from it or nearer by one factor; outline and beams stand still."""
    draws, many = laid(only(depth=0.4, smallest_crop=0.6, rotation_degrees=20))
    _, still = laid(only(smallest_crop=0.6, rotation_degrees=20))
    assert many.zoomed.all()
    assert np.array_equal(many.outline, still.outline)
    assert np.array_equal(many.beams, still.beams)
    for at in ([0, 0, 1], [10, 50, 1]):
        zoomed = (many.outline @ at - PROBE) / draws.zoom[:, None]
        assert many.content @ at - PROBE == pytest.approx(zoomed)


def test_beams_lead_to_the_same_place_as_the_outline():
    """Relative to the probe; 80 pixels of a frame are 256 of the map, whose probe is at (255.5, 127.5)."""
    _, many = laid(EVERYTHING, 20)
    for at in ([0, 0, 1], [63, 0, 1], [20, 40, 1]):
        relative = (many.outline @ at - PROBE) * 256 / 80
        assert many.beams @ at == pytest.approx(relative + np.array([255.5, 127.5]))


def test_depth_gain_is_a_slope_from_the_probe():
    draws, many = laid(only(depth_gain=0.3, smallest_crop=0.5, rotation_degrees=20, shear=0.2, depth=0.3), 20)
    depth = depths(many.outline)
    assert many.plus == pytest.approx(draws.slope[:, None, None] * (2 * depth - 1), abs=1e-5)
    assert many.lifted.all()
    assert not many.faded.any()


def test_haze_is_a_veil_that_fades_with_depth():
    """What it adds to black it takes from white."""
    draws, many = laid(only(haze=0.5, smallest_crop=0.5), 20)
    wanted = draws.haze * np.exp(-2 * depths(many.outline))
    assert many.plus == pytest.approx(wanted, abs=1e-5)
    assert many.times == pytest.approx(1 - wanted, abs=1e-5)
    assert many.lifted.all()
    assert many.faded.all()


def test_dropout_takes_haze_and_gain_with_it():
    draws, many = laid(only(haze=0.5, depth_gain=0.2, dropout=0.9), 20)
    _, before = laid(only(haze=0.5, depth_gain=0.2), 20)
    assert many.times == pytest.approx(before.times * draws.kept, abs=1e-6)
    assert many.plus == pytest.approx(before.plus * draws.kept, abs=1e-6)
    _, alone = laid(only(dropout=0.5), 50)
    assert np.array_equal(alone.faded, (alone.times < 1).any(axis=(1, 2)))
    assert not alone.lifted.any()


def test_narrow_cuts_the_outer_beams_only():
    draws, many = laid(only(narrow=0.4), 200)
    assert set(np.unique(many.profile)) == {0, 1}
    assert many.shaded.all()
    half_angle = FOUND.half_angle[0]
    for profile, (left, right) in zip(many.profile, draws.cut, strict=True):
        shown = angles()[profile == 1]
        assert shown.min() == pytest.approx(-half_angle * (1 - left), abs=0.01)
        assert shown.max() == pytest.approx(half_angle * (1 - right), abs=0.01)
        assert len(shown) == np.ptp(np.flatnonzero(profile)) + 1  # in one piece


def test_a_shadow_stays_when_beams_are_cut_off():
    draws, many = laid(only(narrow=0.3, shadow=0.5), 50)
    _, cut = laid(only(narrow=0.3), 50)
    assert np.array_equal(many.profile, draws.shade * cut.profile)
    _, shadow = laid(only(shadow=0.5), 50)
    assert np.array_equal(shadow.profile, draws.shade)
    assert np.array_equal(shadow.shaded, draws.shaded)


def test_half_the_frame_is_half_the_pixels():
    """A frame that is halved has its crops in the same places."""
    _, large = laid(only(smallest_crop=0.5, rotation_degrees=10), 20, size=64, side=160)
    draws, small = laid(only(smallest_crop=0.5, rotation_degrees=10), 20, size=64, side=80)
    assert large.outline[:, :, :2] == pytest.approx(small.outline[:, :, :2])
    away = np.abs(large.outline - small.outline)[:, :, 2]
    assert away.max() < 1.5  # the sector's box is in whole pixels
    assert len(draws) == 20


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(16, 200), st.integers(16, 300), st.integers(1, 4))
def test_finite_whatever_the_sizes(seed, size, side, count):
    _, many = laid(EVERYTHING, count, size, side, seed)
    for name in ("content", "outline", "beams", "times", "plus", "profile"):
        assert np.isfinite(getattr(many, name)).all()
    assert many.times.min() >= 0
    assert many.profile.min() >= 0
