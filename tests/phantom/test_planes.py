"""The planes of all views, their errors, and the probe that moves."""

import numpy as np
import pytest

from apical.phantom.anatomy import Floats, sample_patient
from apical.phantom.chest import ribs
from apical.phantom.cycle import cardiac_state
from apical.phantom.heart import Heart, Tissue, heart_at
from apical.phantom.planes import (
    EXTRA_VIEWS,
    VIEWS,
    WITHOUT_RIBS,
    Plane,
    foreshortening_mm,
    held,
    ideal_plane,
    misplace,
    plane_error,
    sweep,
)
from apical.views import standard_vocabulary


def heart(seed: int = 0) -> Heart:
    return heart_at(
        sample_patient(np.random.default_rng(seed), 0.55, len(Tissue)), cardiac_state(np.zeros(1))
    )


def missed(view: str, seed: int, difficulty: float) -> tuple[Plane, Plane, Floats]:
    """A plane that missed the ideal one, that one, and its target."""
    ideal, target = ideal_plane(heart(), view)
    return misplace(ideal, target, view, np.random.default_rng(seed), difficulty, 1.0), ideal, target


def test_views_are_the_standard_vocabulary() -> None:
    assert set(VIEWS) == set(standard_vocabulary().names)
    assert not set(VIEWS) & set(EXTRA_VIEWS)


@pytest.mark.parametrize("view", VIEWS + EXTRA_VIEWS)
def test_axes_are_orthonormal(view: str) -> None:
    for plane in (ideal_plane(heart(), view)[0], missed(view, 1, 1.0)[0]):
        axes = np.stack([plane.beam, plane.lateral, plane.normal])
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("view", VIEWS + EXTRA_VIEWS)
def test_textbook_placement_looks_at_its_target_and_has_no_error(view: str) -> None:
    ideal, target = ideal_plane(heart(), view)
    np.testing.assert_allclose(np.cross(target - ideal.probe, ideal.beam), 0, atol=1e-9)
    plane = misplace(ideal, target, view, np.random.default_rng(0), difficulty=0, window=1)
    error = plane_error(plane, ideal, target)
    assert error.moved[0] == 0
    assert error.mm[0] == pytest.approx(0, abs=1e-9)
    assert error.degrees[0] == pytest.approx(0, abs=1e-5)
    assert error.turned[0] == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(plane.beam, ideal.beam)


def test_error_grows_with_difficulty() -> None:
    def mean_error(difficulty: float) -> tuple[float, float]:
        errors = [plane_error(*missed("A4C", i, difficulty)) for i in range(50)]
        return float(np.mean([e.turned for e in errors])), float(np.mean([e.moved for e in errors]))

    easy, hard = mean_error(0.3), mean_error(0.6)
    assert hard[0] == pytest.approx(2 * easy[0], rel=0.05)
    assert hard[1] == pytest.approx(2 * easy[1], rel=0.05)


def test_apical_views_are_foreshortened() -> None:
    """Mostly by little, sometimes by much; the textbook's plane and the other views' by hardly anything."""
    one = heart()
    lost = np.array([foreshortening_mm(missed("A4C", i, 0.55)[0], one) for i in range(300)])
    assert foreshortening_mm(ideal_plane(one, "A4C")[0], one) == pytest.approx(0, abs=0.5)
    assert np.median(lost) < 1
    assert 0.01 < np.mean(lost > 3) < 0.2
    assert lost.max() > 6


def test_foreshortening_is_that_of_a_known_cut() -> None:
    """A plane along the axis, beside it, cuts the ellipsoid where its radius is the distance."""
    one = heart()
    half = one.lv.half_axes
    aside = Plane(np.array([10.0, 0, 120]), np.array([0, 0, -1.0]), np.array([0, 1.0, 0]))
    height = one.lv.centre[2] + half[2] * np.sqrt(1 - (10 / half[0]) ** 2)
    lost = foreshortening_mm(aside, one)
    assert lost == pytest.approx(one.patient.lv_length - height, abs=0.5)


def test_slid_probe_is_turned_back_to_the_target() -> None:
    ideal, target = ideal_plane(heart(), "A4C")
    slid = [missed("A4C", i, 0.55)[0] for i in range(200)]
    toward = np.array([(target - plane.probe) @ ideal.normal for plane in slid])
    turned = np.array([plane.beam @ ideal.normal for plane in slid])
    assert np.corrcoef(toward, turned)[0, 1] > 0.5


def test_error_is_that_of_a_known_movement() -> None:
    """Turning and sliding within the plane changes no cut; tilting does; a step aside is its own distance."""
    ideal, target = ideal_plane(heart(), "A4C")
    angle = np.radians(10)
    beam, lateral = (
        ideal.beam * np.cos(angle) + ideal.lateral * np.sin(angle),
        ideal.lateral * np.cos(angle) - ideal.beam * np.sin(angle),
    )
    fanned = plane_error(Plane(ideal.probe + ideal.lateral * 5, beam, lateral), ideal, target)
    assert (fanned.degrees[0], fanned.mm[0]) == pytest.approx((0, 0), abs=1e-5)
    assert (fanned.turned[0], fanned.moved[0]) == pytest.approx((10, 5))
    stepped = plane_error(Plane(ideal.probe + ideal.normal * 3, ideal.beam, ideal.lateral), ideal, target)
    assert (stepped.degrees[0], stepped.mm[0], stepped.moved[0]) == pytest.approx((0, 3, 3), abs=1e-5)
    beam = ideal.beam * np.cos(angle) + ideal.normal * np.sin(angle)
    tilted = plane_error(Plane(ideal.probe, beam, ideal.lateral), ideal, target)
    depth = (target - ideal.probe) @ ideal.beam
    assert tilted.degrees[0] == tilted.turned[0] == pytest.approx(10)
    assert tilted.mm[0] == pytest.approx(depth * np.sin(angle))


def test_enlarged_part_has_the_plane_of_the_whole() -> None:
    whole, target = ideal_plane(heart(), "PLAX")
    for view in ("PLAX-AV", "PLAX-MV"):
        error = plane_error(ideal_plane(heart(), view)[0], whole, target)
        assert (error.degrees[0], error.mm[0]) == pytest.approx((0, 0), abs=1e-5)


@pytest.mark.parametrize(("start", "end"), [("A4C", "A2C"), ("PSAX-AV", "PSAX-apex"), ("PLAX", "PLAX")])
def test_sweep_goes_from_plane_to_plane(start: str, end: str) -> None:
    """It starts and ends exactly there, stays a plane, and turns at every frame by no more than its share."""
    (first, aim), (last, _) = ideal_plane(heart(), start), ideal_plane(heart(), end)
    planes = sweep(first, last, 21)
    for frame, plane in ((0, first), (20, last)):
        error = plane_error(planes.frame(frame), plane, aim)
        assert error.turned[0] == pytest.approx(0, abs=1e-4)
        assert error.moved[0] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(np.sum(planes.beam * planes.lateral, axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(planes.beam, axis=1), 1)
    turned = plane_error(planes, first, aim).turned
    assert np.all(np.diff(turned) >= -1e-5)
    assert np.diff(turned).max(initial=0) <= 1.6 * turned[-1] / 20 + 1e-4


def test_hand_trembles_a_little() -> None:
    ideal, aim = ideal_plane(heart(), "PLAX")
    planes = held(ideal.repeated(40), np.zeros((40, 3)), np.random.default_rng(0))
    error = plane_error(planes, ideal, aim)
    assert 0.1 < error.turned.mean() < 2
    assert np.abs(np.diff(error.turned)).max() < 0.5
    np.testing.assert_allclose(error.moved, 0)
    np.testing.assert_allclose(np.sum(planes.beam * planes.lateral, axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("view", VIEWS)
def test_textbook_placement_looks_between_the_ribs(view: str) -> None:
    """No beam straight ahead meets a rib; below and above the rib cage there is none."""
    ideal, _ = ideal_plane(heart(), view)
    beside = ribs(heart().patient, ideal, view)
    assert len(beside) == (0 if view in WITHOUT_RIBS else 2)
    for rib in beside:
        axis = rib.end - rib.start
        apart = np.cross(axis, ideal.beam)
        distance = abs((rib.start - ideal.probe) @ apart) / np.linalg.norm(apart)
        assert distance > rib.start_radius + 5


def test_unknown_view_is_refused() -> None:
    with pytest.raises(KeyError):
        ideal_plane(heart(), "A6C")
