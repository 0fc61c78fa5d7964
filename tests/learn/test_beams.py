"""Where a frame's sector lies is found by its pixels, and angles are those of the beams."""

import numpy as np
import pytest
from fans import HALF_ANGLE, fan

from apical.learn.beams import MAP_PER_FRAME, MAP_PROBE, WIDEST, angle_map, angles, sectors


@pytest.mark.parametrize("side", [48, 80, 141])
def test_a_fan_is_found(side):
    found = sectors(np.stack([fan(side), fan(side, seed=1)]))
    reach = 1 / (2 * np.sin(HALF_ANGLE))
    assert len(found) == 2
    assert found.top == pytest.approx((1 - reach) / 2, abs=1.5 / side)
    assert found.reach == pytest.approx(reach, abs=3 / side)
    assert found.half_width == pytest.approx(0.5, abs=1 / side)
    assert found.half_angle == pytest.approx(HALF_ANGLE, abs=0.05)


def test_what_is_blacked_out_at_the_probe_does_not_move_it():
    whole, hurt = fan(), fan()
    hurt[:20] = 0
    assert sectors(hurt[None]).top == sectors(whole[None]).top
    assert sectors(hurt[None]).reach == sectors(whole[None]).reach


def test_what_is_blacked_out_at_a_side_does_not_narrow_it():
    whole, hurt = fan(), fan()
    hurt[:, :3] = 0
    assert sectors(hurt[None]).half_width == sectors(whole[None]).half_width
    square = np.full((40, 40), 9, np.uint8)
    square[:25, 0] = 0  # the upper end of the left side
    assert sectors(square[None]).half_angle == pytest.approx(np.pi / 2)


def test_frames_without_black_or_without_light_are_wholly_a_sector():
    for level in (0, 9):
        found = sectors(np.full((1, 40, 40), level, np.uint8))
        assert (found.top, found.reach, found.half_width) == (0, 1, 0.5)
        assert found.half_angle == pytest.approx(np.pi / 2)


def test_the_map_holds_the_angle_of_every_point():
    """Against the arc tangent, point by point; a step of the map is half a degree."""
    step = 2 * WIDEST / 255
    assert angles()[[0, 255]] == pytest.approx([-WIDEST, WIDEST])
    for x, y in np.random.default_rng(0).integers(0, 512, (500, 2)):
        wanted = np.clip(np.arctan2(x - MAP_PROBE[0], y - MAP_PROBE[1]), -WIDEST, WIDEST)
        assert angles()[angle_map()[y, x]] == pytest.approx(wanted, abs=step / 2 + 1e-6)


def test_the_map_reaches_beyond_any_frame():
    assert MAP_PROBE[0] - MAP_PER_FRAME / 2 > 0
    assert MAP_PROBE[0] + MAP_PER_FRAME / 2 < 511
    assert MAP_PROBE[1] + MAP_PER_FRAME < 511
