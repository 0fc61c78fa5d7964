"""What is drawn: within its bounds, uniform, from the generator alone, and one setting at a time."""

from dataclasses import fields

import numpy as np
import pytest
from fans import EVERYTHING, only
from scipy.stats import kstest

from apical.config import AugmentSettings
from apical.learn.beams import angles
from apical.learn.draw import GRID, Draws, draw, working_side

LEVEL = np.arange(256) / 255
NAMES = [field.name for field in fields(Draws)]


def drawn(settings, count=4000, size=64, side=80, seed=0):
    return draw(count, side, size, settings, np.random.default_rng(seed))


def same(one, other, name):
    return np.array_equal(getattr(one, name), getattr(other, name))


def is_uniform(values, low, high):
    """Kolmogorov and Smirnov do not object, and both bounds are nearly met."""
    nearly = 0.01 * (high - low)
    assert low - 1e-6 <= values.min() < low + nearly
    assert high - nearly < values.max() <= high + 1e-6
    return kstest(values, "uniform", (low, high - low)).pvalue > 1e-3


def test_shapes_and_types():
    many = drawn(EVERYTHING, 7)
    assert len(many) == 7
    shapes = {
        "steps": (7, 2, 2), "rest": (7,), "point": (7, 2), "zoom": (7,), "inverted": (7,), "tone": (7, 256),
        "redraw": (7,), "blur": (7,), "slope": (7,), "haze": (7, GRID, GRID), "kept": (7, GRID, GRID),
        "lost": (7,), "place": (7, 2), "shade": (7, 256), "shaded": (7,), "cut": (7, 2),
    }  # fmt: skip
    assert set(NAMES) == {*shapes, "speckle"}
    assert {name: getattr(many, name).shape for name in shapes} == shapes
    assert many.tone.dtype == many.haze.dtype == many.kept.dtype == many.shade.dtype == np.float32


def test_the_seed_decides():
    one, again, other = (drawn(EVERYTHING, 20, seed=seed) for seed in (3, 3, 4))
    assert all(same(one, again, name) for name in NAMES)
    assert [name for name in NAMES if same(one, other, name)] == ["speckle"]


def test_some_of_the_draws():
    many, rows = drawn(EVERYTHING, 20), np.array([3, 17, 4])
    some = many.select(rows)
    assert len(some) == 3
    assert some.speckle == many.speckle
    for name in set(NAMES) - {"speckle"}:
        assert np.array_equal(getattr(some, name), getattr(many, name)[rows])


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("smallest_crop", {"steps", "rest"}), ("rotation_degrees", {"steps"}), ("shear", {"steps"}),
        ("flip", {"steps"}), ("depth", {"zoom"}), ("narrow", {"cut"}), ("gain", {"tone"}),
        ("dynamic_range", {"tone"}), ("gamma", {"tone"}), ("depth_gain", {"slope"}),
        ("polarity", {"tone", "inverted"}), ("speckle", {"speckle"}), ("redraw", {"redraw"}),
        ("blur", {"blur"}), ("haze", {"haze"}), ("shadow", {"shade", "shaded"}),
        ("dropout", {"kept", "lost"}),
    ],
)  # fmt: skip
def test_a_setting_changes_its_own_draws_only(name, changed):
    """So an ablation compares crops that differ in what is ablated only."""
    less = EVERYTHING.model_copy(update={name: 1 if name == "smallest_crop" else 0})
    one, other = drawn(EVERYTHING, 50), drawn(less, 50)
    assert {part for part in NAMES if not same(one, other, part)} == changed


def test_every_setting_is_tested_above():
    listed = test_a_setting_changes_its_own_draws_only.pytestmark[0].args[1]
    assert {name for name, _ in listed} == set(AugmentSettings.model_fields)


def test_geometry_is_uniform_within_its_strengths():
    """The steps are taken apart again: a mirror, a shear, a turn and an enlargement, in this order."""
    many = drawn(only(smallest_crop=0.4, rotation_degrees=30, shear=0.3, flip=0.25))
    right, down = many.steps[:, :, 0], many.steps[:, :, 1]
    mirror = np.sign(np.linalg.det(many.steps))
    scale = np.hypot(*right.T)
    assert is_uniform(scale * 64 / 80, 0.4, 1)
    assert many.rest == pytest.approx(1 - scale * 64 / 80)
    assert is_uniform(np.arctan2(mirror * right[:, 1], mirror * right[:, 0]), -np.pi / 6, np.pi / 6)
    assert is_uniform(mirror * (right * down).sum(axis=1) / scale**2, -0.3, 0.3)
    assert (mirror < 0).mean() == pytest.approx(0.25, abs=0.03)
    assert drawn(only(), 1).steps[0] == pytest.approx(np.eye(2) * 80 / 64)


def test_points_are_uniform_over_the_area_of_a_sector():
    """The area within a radius grows with its square."""
    radius, angle = drawn(only()).point.T
    assert is_uniform(radius**2, 0, 1)
    assert is_uniform(angle, -1, 1)


def test_large_frames_count_as_halved():
    sides = [(159, 159), (160, 80), (161, 81), (320, 80), (321, 81), (64, 64)]
    assert [(side, working_side(side, 80)) for side, _ in sides] == sides
    assert drawn(only(), 1, size=64, side=256).steps[0] == pytest.approx(np.eye(2))


def test_depth_is_uniform_in_the_logarithm():
    assert is_uniform(np.log(drawn(only(depth=0.4)).zoom), -0.4, 0.4)
    assert (drawn(only()).zoom == 1).all()


def test_tone_is_gamma_then_dynamic_range_then_gain():
    """The table against the formula, its three numbers read off the table itself."""
    many = drawn(only(gamma=0.5, dynamic_range=0.4, gain=0.2))
    gain, factor = many.tone[:, 0], many.tone[:, 255] - many.tone[:, 0]
    gamma = np.log(np.log((many.tone[:, 128] - gain) / factor) / np.log(LEVEL[128]))
    assert is_uniform(gain, -0.2, 0.2)
    assert is_uniform(factor, 0.6, 1.4)
    assert is_uniform(gamma, -0.5, 0.5)
    for row in range(20):
        wanted = LEVEL ** np.exp(gamma[row]) * factor[row] + gain[row]
        assert many.tone[row] == pytest.approx(wanted, abs=1e-5)
    assert drawn(only(), 1).tone[0] == pytest.approx(LEVEL, abs=1e-6)


def test_polarity_makes_the_darkest_the_brightest():
    many = drawn(only(polarity=0.3), 1000)
    assert many.inverted.mean() == pytest.approx(0.3, abs=0.05)
    turned, kept = many.tone[many.inverted], many.tone[~many.inverted]
    assert (np.diff(turned, axis=1) < 0).all()
    assert 0 < turned.min() < turned.max() < 0.8
    assert np.abs(kept - LEVEL).max() < 1e-6


def test_shadow_is_one_dark_wedge():
    many = drawn(only(shadow=0.4))
    assert many.shaded.mean() == pytest.approx(0.4, abs=0.03)
    assert (many.shade[~many.shaded] == 1).all()
    wedges = many.shade[many.shaded]
    assert is_uniform(1 - wedges.min(axis=1), 0.3, 0.9)
    darkest = wedges.argmin(axis=1)
    assert angles()[[darkest.min(), darkest.max()]] == pytest.approx([-0.7, 0.7], abs=0.02)
    for wedge, at in zip(wedges, darkest, strict=True):
        assert (np.diff(wedge[: at + 1]) <= 0).all()
        assert (np.diff(wedge[at:]) >= 0).all()


def test_narrow_draws_each_side_by_itself():
    left, right = drawn(only(narrow=0.4)).cut.T
    assert is_uniform(left, 0, 0.4)
    assert is_uniform(right, 0, 0.4)
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.05


def test_haze_is_uneven_and_never_more_than_its_strength():
    haze = drawn(only(haze=0.5), 2000).haze
    assert haze.min() >= 0
    assert 0.48 < haze.max() <= 0.5
    assert (haze.max(axis=(1, 2)) / haze.min(axis=(1, 2))).min() > 1.2
    for axis in (1, 2):  # linear between four nodes: bent at the two inner ones only
        bend = np.abs(np.diff(haze, n=2, axis=axis)).max(axis=(0, 3 - axis))
        assert set(np.flatnonzero(bend > 1e-6) + 1) == {5, 10}


def test_dropout_is_one_soft_spot():
    many = drawn(only(dropout=0.4), 2000)
    assert many.lost.mean() == pytest.approx(0.4, abs=0.04)
    assert (many.kept[~many.lost] == 1).all()
    spots = 1 - many.kept[many.lost]
    assert spots.min() >= 0
    deepest = spots.max(axis=(1, 2))  # at a node, so nearly all of a strength between 0.5 and 1
    assert np.quantile(deepest, [0.01, 0.5, 0.99]) == pytest.approx([0.49, 0.73, 0.98], abs=0.04)
    assert spots.max() <= 1
    corners = spots[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.median(corners.min(axis=1)) < 0.01  # far from the spot nothing is lost
    for axis in (1, 2):  # a Gaussian of 0.1 to 0.25 of the crop's side: its logarithm is a parabola
        seen = np.apply_along_axis(np.convolve, axis, spots < 0.05, [1, 1, 1], "valid") == 0
        bend = np.diff(np.log(np.maximum(spots, 1e-9)), n=2, axis=axis)[seen]
        assert -2 / (GRID * 0.1) ** 2 - 1e-3 < bend.min() < bend.max() < -2 / (GRID * 0.25) ** 2 + 1e-3


def test_the_rest_is_uniform_too():
    many = drawn(only(redraw=0.6, blur=0.7, speckle=0.2, depth_gain=0.3))
    assert is_uniform(many.redraw, 0, 0.6)
    assert is_uniform(many.slope, -0.3, 0.3)
    assert many.blur.mean() == pytest.approx(0.7, abs=0.03)
    assert many.speckle == 0.2
    assert [set(places) for places in many.place.T] == [set(range(256))] * 2
