"""Two renderers, one picture: OpenCV's and torch's crops of the same draws agree, and each is what loops say.

They round coordinates differently, so that a grey level may differ by one, a pixel at an outline may be in or
out, and one at a beam that is cut off may be on either side: all of them rare. OpenCV before version 5 rounds
places to a 32nd of a pixel, which is more.
"""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from fans import EVERYTHING, NOTHING, fan, fans, only
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.learn import augment, render_opencv, render_torch
from apical.learn.beams import WIDEST, angles, sectors
from apical.learn.draw import GRID, draw, working_side
from apical.learn.placing import placed
from apical.learn.texture import STRONGEST, factors

STRONG = {
    "smallest_crop": 0.4, "rotation_degrees": 30, "shear": 0.3, "depth": 0.4, "narrow": 0.4, "flip": 0.5,
    "gain": 0.3, "dynamic_range": 0.5, "gamma": 0.6, "depth_gain": 0.4, "polarity": 0.5, "speckle": 0.3,
    "redraw": 1.0, "blur": 0.5, "haze": 0.6, "shadow": 0.8, "dropout": 0.8,
}  # fmt: skip


def laid(frames, strengths, size, seed=0):
    draws = draw(len(frames), frames.shape[-1], size, strengths, np.random.default_rng(seed))
    return draws, augment.laid(frames, draws, size)


def by_opencv(frames, draws, lie, size):
    return render_opencv.render(render_opencv.halved(frames, size), draws, lie, size)


def by_torch(frames, draws, lie, size):
    halves = render_torch.halved(torch.from_numpy(frames), size)
    return render_torch.render(halves, draws, lie, size).numpy()


EXACT = pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 rounds places")
RENDERERS = pytest.mark.parametrize("render", [by_opencv, by_torch])


def differ(frames, strengths, size, seed=0):
    """Share of pixels in which the renderers differ by more than rounding."""
    made = laid(frames, strengths, size, seed)
    one, other = by_opencv(frames, *made, size), by_torch(frames, *made, size)
    assert one.shape == other.shape == (*frames.shape[:2], size, size)
    assert one.dtype == other.dtype == np.float32
    return (np.abs(one - other) > 0.006).mean()  # 1.5 grey levels


@EXACT
@pytest.mark.parametrize("name", STRONG)
@pytest.mark.parametrize(("side", "size"), [(80, 64), (140, 64)])
def test_renderers_agree_in_each_setting(name, side, size):
    assert differ(fans(8, side), only(**{name: STRONG[name]}), size) < 1e-3


@EXACT
@pytest.mark.parametrize("frames", [1, 3])
def test_renderers_agree_when_all_is_on(frames):
    for seed in range(3):
        assert differ(fans(8, 80, frames, least=0), EVERYTHING, 64, seed) < 1e-3


@EXACT
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(16, 70), st.integers(16, 150), st.integers(1, 3), st.integers(1, 3))
def test_renderers_agree_whatever_the_sizes(seed, size, side, count, frames):
    """A few pixels may differ, of pictures as small as that."""
    assert differ(fans(count, side, frames, least=0), EVERYTHING, size, seed) < 0.01


def bilinear(frame, x, y):
    """Grey level at a point, 0 outside of the frame."""
    left, above = math.floor(x), math.floor(y)
    total = 0.0
    for row in (above, above + 1):
        for column in (left, left + 1):
            if 0 <= row < len(frame) and 0 <= column < len(frame):
                total += frame[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


@EXACT
@RENDERERS
def test_a_crop_is_bilinear_sampling(render):
    """Against a loop over pixels, in which the matrix is applied and four neighbours are weighted."""
    size, frames = 24, fans(3, 40)
    strengths = only(smallest_crop=0.5, rotation_degrees=40, shear=0.3, flip=0.5)
    draws, lie = laid(frames, strengths, size)
    crops = render(frames, draws, lie, size) * 255
    for crop, frame, matrix in zip(crops[:, 0], frames[:, 0], lie.content, strict=True):
        wanted = [[bilinear(frame, *(matrix @ [x, y, 1])) for x in range(size)] for y in range(size)]
        assert crop == pytest.approx(np.array(wanted), abs=0.51)  # rounded to whole levels


@RENDERERS
def test_grey_levels_become_what_the_table_says(render):
    frames = fans(4, 32)
    draws, lie = laid(frames, only(gain=0.3, gamma=0.5, dynamic_range=0.5), 32)
    crops = render(frames, draws, lie, 32)
    for crop, frame, tone in zip(crops[:, 0], frames[:, 0], draws.tone, strict=True):
        wanted = np.where(frame > 0, np.clip(tone[frame], 0, 1), 0)
        assert crop == pytest.approx(wanted, abs=1e-6)


def stretched(nodes, size):
    """Linear between the middles of equal parts, and flat beyond the outermost."""
    at = (np.arange(size) + 0.5) / size * GRID - 0.5
    rows = np.array([np.interp(at, np.arange(GRID), row) for row in nodes])
    return np.array([np.interp(at, np.arange(GRID), column) for column in rows.T]).T


@RENDERERS
@pytest.mark.parametrize("size", [20, 64])
def test_slow_fields_multiply_and_add(render, size):
    frames = fans(3, size)
    draws, lie = laid(frames, only(haze=0.6, depth_gain=0.3, dropout=0.9), size)
    crops = render(frames, draws, lie, size)
    for crop, frame, times, plus in zip(crops[:, 0], frames[:, 0], lie.times, lie.plus, strict=True):
        wanted = frame / 255 * stretched(times, size) + stretched(plus, size)
        assert crop == pytest.approx(np.where(frame > 0, wanted.clip(0, 1), 0), abs=1e-4)


@RENDERERS
def test_a_profile_lies_along_the_beams(render):
    """A factor that grows evenly with the angle is seen at the angle of each pixel, under any turn."""
    size, frames = 48, np.full((4, 1, 80, 80), 255, np.uint8)
    draws, lie = laid(frames, only(smallest_crop=0.6, rotation_degrees=30, shear=0.2, shadow=1), size)
    ramp = np.tile((angles() / WIDEST + 1) / 2, (4, 1)).astype(np.float32)
    crops = render(frames, draws, replace(lie, profile=ramp), size)
    even = render(frames, draws, replace(lie, profile=np.ones_like(ramp)), size)
    at = np.stack([*np.mgrid[:size, :size][::-1], np.ones((size, size))])
    for crop, lit, matrix in zip(crops[:, 0], even[:, 0] == 1, lie.outline, strict=True):
        x, y = np.tensordot(matrix, at, 1) - np.array([39.5, -0.5])[:, None, None]  # from the probe
        wanted = (np.clip(np.arctan2(x, y) / WIDEST, -1, 1) + 1) / 2
        half_a_pixel = 0.5 / np.hypot(x, y) / (2 * WIDEST)
        assert lit.mean() > 0.5
        assert (np.abs(crop - wanted) < 1 / 255 + half_a_pixel)[lit].all()


@RENDERERS
def test_speckle_is_a_piece_of_the_bank(render):
    frames = np.full((5, 2, 32, 32), 102, np.uint8)
    draws, lie = laid(frames, only(speckle=0.2), 32)
    crops = render(frames, draws, lie, 32)
    for crop, (row, column) in zip(crops, draws.place, strict=True):
        piece = factors(32, 0.2)[row : row + 32, column : column + 32]
        assert crop == pytest.approx(np.broadcast_to((0.4 * piece).clip(0, 1), crop.shape), abs=1e-5)


def low_pass(x):
    """Binomial 5x5 with replicated edges, as one sum over all of its weights."""
    weights = np.array([1, 4, 6, 4, 1]) / 16
    around = np.pad(x, 2, mode="edge")
    shifts = [(i, j) for i in range(5) for j in range(5)]
    height, width = x.shape
    return sum(weights[i] * weights[j] * around[i : i + height, j : j + width] for i, j in shifts)


@RENDERERS
def test_redraw_replaces_a_share_of_the_fine_texture(render):
    """What is left of the old texture has the rest of its power; what comes anew is independent of it."""
    noise = 128 + 8 * np.random.default_rng(0).standard_normal((6, 1, 64, 64))
    frames = noise.clip(1, 255).astype(np.uint8)
    draws, lie = laid(frames, only(redraw=1.0), 64)
    shares = np.array([0, 0.2, 0.4, 0.6, 0.8, 1], np.float32)
    crops = render(frames, replace(draws, redraw=shares), lie, 64)
    for crop, frame, share in zip(crops[:, 0], frames[:, 0] / 255, shares, strict=True):
        old, new = (picture - low_pass(frame) for picture in (frame, crop))
        left = (old * new).sum() / (old**2).sum()
        assert left == pytest.approx(math.sqrt(1 - share), abs=0.04)
        assert (new - left * old).std() == pytest.approx(math.sqrt(share) * old.std(), rel=0.1, abs=1e-6)
        assert new.mean() == pytest.approx(0, abs=1e-3)


@RENDERERS
def test_redrawn_texture_is_not_stronger_at_edges(render):
    """An edge is no texture: near it, the new texture is as strong as speckle and not as the step."""
    frames = np.full((1, 1, 64, 64), 40, np.uint8)
    frames[..., 32:] = 220
    draws, lie = laid(frames, only(redraw=1.0), 64)
    crop = render(frames, replace(draws, redraw=np.ones(1, np.float32)), lie, 64)[0, 0]
    new = crop - low_pass(frames[0, 0] / 255)
    at_the_edge = np.sqrt((new[:, 30:34] ** 2).mean())
    assert 0.7 * STRONGEST < at_the_edge < 1.3 * STRONGEST
    assert np.abs(new[:, :26]).max() < 1e-6
    step = render(frames, replace(draws, redraw=np.zeros(1, np.float32)), lie, 64)[0, 0] - low_pass(crop)
    assert np.abs(step[:, 30:34]).max() > 2 * STRONGEST  # which it would have been without that


@RENDERERS
def test_zero_is_black_and_inside_an_inverted_sector_it_is_bright(render):
    """Cavities without any echo shine, what is around the sector doesn't."""
    frame = fan(80, least=1)
    frame[40:50, 35:45] = 0
    frames = np.tile(frame, (2, 1, 1, 1))
    draws, lie = laid(frames, only(polarity=1.0), 80)
    crops = render(frames, draws, lie, 80)
    assert (crops[:, :, 40:50, 35:45] > 0.7).all()
    outside = fan(80) == 0
    assert (crops[:, :, outside] == 0).all()
    plain = render(frames, *laid(frames, NOTHING, 80), 80)
    assert (plain[:, :, 40:50, 35:45] == 0).all()


@RENDERERS
def test_depth_zooms_inside_an_outline_that_stands_still(render):
    """Nearer, the sector is filled to its outline; further, it ends earlier; never does it reach beyond."""
    frames = np.tile(fan(80, least=200), (40, 1, 1, 1))
    draws, lie = laid(frames, only(depth=0.4), 80)
    lit = render(frames, draws, lie, 80)[:, 0] > 0
    sector = fan(80) > 0
    assert not lit[:, ~sector].any()
    nearer = draws.zoom > 1.02
    assert nearer.sum() > 10
    assert (lit[nearer][:, sector].mean(axis=1) > 0.99).all()
    further = draws.zoom < 0.98
    assert lit[further].sum((1, 2)) == pytest.approx(sector.sum() * draws.zoom[further] ** 2, rel=0.04)


@RENDERERS
def test_depth_moves_echoes_away_from_the_probe(render):
    """A spot at half the reach is found where the zoom takes it."""
    frame = (fan(80) > 0).astype(np.uint8)
    y, x = np.mgrid[:80, :80]
    top = sectors(frame[None]).top[0] * 80 - 0.5
    spot = np.hypot(x - 45, y - (top + 28)) < 4
    frame[spot] = 255
    frames = np.tile(frame, (20, 1, 1, 1))
    draws, lie = laid(frames, only(depth=0.3), 80)
    for crop, zoom in zip(render(frames, draws, lie, 80)[:, 0], draws.zoom, strict=True):
        bright = crop > 0.5
        assert y[bright].mean() - top == pytest.approx(28 * zoom, abs=0.6)
        assert x[bright].mean() - 39.5 == pytest.approx(5.5 * zoom, abs=0.6)


@RENDERERS
def test_narrow_leaves_the_inner_beams_as_they_are(render):
    frames = fans(20, 80)
    draws, lie = laid(frames, only(narrow=0.5), 80)
    crops = render(frames, draws, lie, 80)[:, 0]
    x, y = np.mgrid[:80, :80][::-1].astype(float)
    half_angle, top = sectors(frames[:1, 0]).half_angle[0], sectors(frames[:1, 0]).top[0] * 80 - 0.5
    angle, half_a_pixel = np.arctan2(x - 39.5, y - top), 0.5 / np.hypot(x - 39.5, y - top)
    for crop, frame, (left, right) in zip(crops, frames[:, 0], draws.cut, strict=True):
        inside = np.minimum(angle + half_angle * (1 - left), half_angle * (1 - right) - angle)
        shown, cut = inside > 0.01 + half_a_pixel, inside < -0.01 - half_a_pixel
        assert crop[shown] == pytest.approx(frame[shown] / 255, abs=1e-6)
        assert (crop[cut] == 0).all()
        assert (frame[cut] > 0).any()


@RENDERERS
def test_frames_of_a_clip_are_changed_alike(render):
    """Each as if it were alone; they share the outline, so all of it, speckle too, is the crop's."""
    clip = fans(4, 80, frames=3)
    made = laid(clip, EVERYTHING, 64)
    crops = render(clip, *made, 64)
    for number in range(3):
        assert crops[:, number] == pytest.approx(render(clip[:, number : number + 1], *made, 64)[:, 0])
    still = render(np.repeat(clip[:, :1], 2, axis=1), *made, 64)
    assert np.array_equal(still[:, 0], still[:, 1])


@RENDERERS
def test_an_outline_is_that_of_all_frames_of_a_clip(render):
    """Where one frame is dark up to its edge, another one isn't, and the sector is one."""
    clip = fans(1, 80, frames=2)
    clip[0, 0, :, :40] = 0
    draws, lie = laid(clip, only(depth=0.3), 80)
    draws = replace(draws, zoom=np.ones(1) * 1.2)
    lie = placed(draws, sectors(clip[:, 1]), 80, 80)
    lit = render(clip, draws, lie, 80)[0] > 0
    assert lit[1].sum() > 0.98 * (clip[0, 1] > 0).sum()
    inverted = replace(draws, inverted=np.ones(1, bool), tone=1 - draws.tone)
    assert (render(clip, inverted, lie, 80)[0, 0] == 1).sum() > 0.4 * (clip[0, 1] > 0).sum()


@RENDERERS
def test_a_crop_does_not_depend_on_its_batch(render):
    frames = fans(6, 80)
    draws, lie = laid(frames, EVERYTHING, 64)
    rows = np.array([4, 1])
    some = draws.select(rows)
    again = placed(some, sectors(frames[rows, 0]), 80, 64)
    assert render(frames[rows], some, again, 64) == pytest.approx(
        render(frames, draws, lie, 64)[rows], abs=1e-6
    )


@pytest.mark.parametrize("side", [80, 81, 127, 130, 161])
def test_halves_are_means_of_four(side):
    """Against a loop, rounded half up; an odd side is continued by its last pixels."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, side, side), dtype=np.uint8)
    halves = render_opencv.halved(frames, 40)
    assert np.array_equal(halves, render_torch.halved(torch.from_numpy(frames), 40).numpy())
    assert halves.shape[-1] == working_side(side, 40)
    if side < 160:
        even = np.pad(frames, ((0, 0), (0, 0), (0, side % 2), (0, side % 2)), mode="edge").astype(int)
        for row, column in ((0, 0), (7, 20), (halves.shape[-1] - 1,) * 2):
            four = even[..., 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].sum(axis=(2, 3))
            assert np.array_equal(halves[..., row, column], (four + 2) // 4)


def test_small_frames_are_not_halved():
    frames = fans(1, 63)
    assert render_opencv.halved(frames, 32) is frames


@RENDERERS
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(16, 80), st.integers(16, 170), st.integers(1, 3))
def test_values_are_those_of_a_picture(render, seed, size, side, frames):
    strengths = EVERYTHING.model_copy(update={"gain": 1.0, "gamma": 2.0, "speckle": 1.0, "depth_gain": 1.0})
    clip = fans(2, side, frames, least=0)
    crops = render(clip, *laid(clip, strengths, size, seed), size)
    assert crops.shape == (2, frames, size, size)
    assert np.isfinite(crops).all()
    assert crops.min() >= 0
    assert crops.max() <= 1
