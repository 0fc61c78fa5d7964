"""The thirteen planes and their errors."""

import numpy as np
import pytest

from apical.phantom.anatomy import sample_patient
from apical.phantom.heart import Heart, Tissue, heart_at
from apical.phantom.planes import VIEWS, ideal_plane, misplace, plane_error
from apical.views import standard_vocabulary


def heart(seed: int = 0) -> Heart:
    return heart_at(sample_patient(np.random.default_rng(seed), 0.55, len(Tissue)), np.zeros(1))


def test_views_are_the_standard_vocabulary() -> None:
    assert set(VIEWS) == set(standard_vocabulary().names)


@pytest.mark.parametrize("view", VIEWS)
def test_axes_are_orthonormal(view: str) -> None:
    plane = ideal_plane(heart(), view)
    axes = np.stack([plane.beam, plane.lateral, plane.normal])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("view", VIEWS)
def test_textbook_placement_has_no_error(view: str) -> None:
    ideal = ideal_plane(heart(), view)
    plane, error = misplace(ideal, np.random.default_rng(0), difficulty=0, window=1)
    assert error.mm == 0
    assert error.degrees == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(plane.beam, ideal.beam)


def test_error_grows_with_difficulty() -> None:
    ideal = ideal_plane(heart(), "A4C")

    def mean_error(difficulty: float) -> tuple[float, float]:
        errors = [misplace(ideal, np.random.default_rng(i), difficulty, 1.0)[1] for i in range(50)]
        return float(np.mean([e.degrees for e in errors])), float(np.mean([e.mm for e in errors]))

    easy, hard = mean_error(0.3), mean_error(0.6)
    assert hard[0] == pytest.approx(2 * easy[0], rel=0.05)
    assert hard[1] == pytest.approx(2 * easy[1], rel=0.05)


def test_error_is_the_angle_of_a_known_rotation() -> None:
    ideal = ideal_plane(heart(), "A4C")
    angle = np.radians(10)
    turned = type(ideal)(
        ideal.probe + ideal.normal * 3,
        ideal.beam * np.cos(angle) + ideal.lateral * np.sin(angle),
        ideal.lateral * np.cos(angle) - ideal.beam * np.sin(angle),
    )
    error = plane_error(turned, ideal)
    assert error.degrees == pytest.approx(10)
    assert error.mm == pytest.approx(3)


def test_unknown_view_is_refused() -> None:
    with pytest.raises(KeyError):
        ideal_plane(heart(), "A6C")
