"""The windows: no sample of the sector may be farther from the coarse points than they allow for."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.phantom.anatomy import sample_patient
from apical.phantom.cycle import cardiac_state
from apical.phantom.heart import Tissue, heart_at
from apical.phantom.planes import VIEWS, ideal_plane, misplace
from apical.phantom.shapes import PolarGrid, sector_points


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    view=st.sampled_from(VIEWS),
    phase=st.floats(0, 1),
    size=st.sampled_from([(22, 38), (60, 107), (112, 200)]),
)
def test_every_sample_is_within_the_slack_of_a_corner_of_its_cell(
    seed: int, view: str, phase: float, size: tuple[int, int]
) -> None:
    """Where the motion is undone, too: what lies between the coarse points has been allowed for."""
    rng = np.random.default_rng(seed)
    patient = sample_patient(rng, 0.8, len(Tissue))
    heart = heart_at(patient, cardiac_state(np.array([phase])))
    plane = misplace(*ideal_plane(heart, view), view, rng, 0.8, patient.window)
    grid = PolarGrid(np.linspace(3, 190, size[1]), np.linspace(-0.75, 0.75, size[0]))
    points = sector_points(heart.motion, patient.warp, plane.repeated(1), grid)
    coarse = points.coarse
    exact = np.stack([part[0].numpy() for part in (points.x, points.y, points.z)])
    beyond = np.full(size, np.inf)
    for further in itertools.product((0, 1), repeat=2):
        corner = []
        for axis, places in enumerate((coarse.at_beams, coarse.at_samples)):
            below = np.searchsorted(places, np.arange(size[axis]), side="right") - 1
            corner.append(np.minimum(below + further[axis], len(places) - 1))
        at_corner = coarse.points[:, 0].numpy()[:, corner[0]][:, :, corner[1]]
        apart = np.linalg.norm(exact - at_corner, axis=0)
        beyond = np.minimum(beyond, apart - coarse.slack[corner[0]][:, corner[1]])
    assert beyond.max() < 0


@pytest.mark.parametrize("frames", [1, 3])
def test_windows_hold_the_whole_of_a_ball_and_leave_out_what_is_far(frames: int) -> None:
    """Of a ball in the sector, all samples that lie in it are in its window; a ball beside it has none."""
    patient = sample_patient(np.random.default_rng(1), 0.5, len(Tissue))
    heart = heart_at(patient, cardiac_state(np.linspace(0, 0.4, frames)))
    plane, _ = ideal_plane(heart, "A4C")
    grid = PolarGrid(np.linspace(3, 150, 107), np.linspace(-0.7, 0.7, 60))
    points = sector_points(heart.motion, patient.warp, plane.repeated(frames), grid)
    x, y, z = points.x.numpy(), points.y.numpy(), points.z.numpy()
    middle = np.array([part[0, 30, 60] for part in (x, y, z)], dtype=np.float64)
    centres = np.stack([middle, middle + 500])
    near, far = points.coarse.windows(centres, centres, np.array([12.0, 12.0]))
    inside = np.sqrt((x - middle[0]) ** 2 + (y - middle[1]) ** 2 + (z - middle[2]) ** 2) < 12
    assert far is None
    assert near is not None
    assert inside[near].sum() == inside.sum() > 100
    assert inside[near].size < inside.size / 3
