"""Anatomy seen through the planes: what lies where, and how it beats."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from apical.phantom.anatomy import END_SYSTOLE, Patient, cardiac_cycle, sample_patient
from apical.phantom.heart import Tissue, heart_at
from apical.phantom.planes import TYPICAL_DEPTH, VIEWS, ideal_plane
from apical.phantom.shapes import Points, PolarGrid
from apical.phantom.tissue import classify

GRID = PolarGrid(np.linspace(3, 160, 160), np.linspace(-0.7, 0.7, 90))


def average_patient() -> Patient:
    """A healthy patient without anatomical spread or effusion."""
    for seed in range(100):
        patient = sample_patient(np.random.default_rng(seed), 0.0, len(Tissue))
        if patient.disease == "none" and not patient.effusion:
            return patient
    raise AssertionError("no healthy patient in a hundred")


def labels(view: str, phases: list[float]) -> Tensor:
    patient = average_patient()
    plane = ideal_plane(heart_at(patient, np.zeros(1)), view)
    origins = np.repeat(plane.probe[None], len(phases), axis=0)
    return classify(heart_at(patient, np.array(phases)), plane, origins, GRID).labels


def ventricle_mm2(labels_of_frame: Tensor) -> float:
    """Area of the left ventricle's blood within 75 mm of the probe, short of the valves."""
    blood = (labels_of_frame == Tissue.BLOOD).numpy().astype(np.uint8)
    blood[:, GRID.ranges > 75] = 0
    _, parts = cv2.connectedComponents(blood, connectivity=4)
    largest = np.bincount(parts[parts > 0]).argmax()
    cell = GRID.ranges * GRID.sample_mm * GRID.beam_radians
    return float(((parts == largest) * cell).sum())


def test_ventricle_is_smaller_at_end_systole() -> None:
    diastole, systole = (ventricle_mm2(frame) for frame in labels("A4C", [0.0, END_SYSTOLE]))
    assert diastole > 1000
    assert systole < 0.75 * diastole


def test_wall_thickens_in_systole() -> None:
    middle = labels("PSAX-PM", [0.0, END_SYSTOLE])[:, len(GRID.angles) // 2]
    diastole, systole = (middle == Tissue.MYOCARDIUM).sum(dim=1).tolist()
    assert systole > diastole


def test_valves_open_in_turn() -> None:
    """Never are the mitral and the aortic valve open together."""
    cycle = cardiac_cycle(np.linspace(0, 1, 500))
    assert not np.any((cycle.mitral_opening > 0.1) & (cycle.aortic_opening > 0.1))
    assert cycle.mitral_opening.max() == pytest.approx(1, abs=0.01)
    assert cycle.aortic_opening.max() == pytest.approx(1, abs=0.01)


def test_cycle_is_periodic() -> None:
    first, last = cardiac_cycle(np.array([0.0])), cardiac_cycle(np.array([1.0 - 1e-9]))
    assert first.contraction == pytest.approx(last.contraction, abs=1e-3)


def test_short_axis_of_the_ventricle_is_round() -> None:
    """The myocardium of PSAX-PM is as wide as it is high, in millimetres."""
    muscle = labels("PSAX-PM", [0.0])[0] == Tissue.MYOCARDIUM
    angle, distance = np.meshgrid(GRID.angles, GRID.ranges, indexing="ij")
    right, down = (distance * np.sin(angle))[muscle], (distance * np.cos(angle))[muscle]
    assert np.ptp(right) / np.ptp(down) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize(
    ("view", "present", "absent"),
    [
        ("A4C", {Tissue.MYOCARDIUM, Tissue.RV_WALL, Tissue.LEAFLET, Tissue.ATRIAL_WALL}, set()),
        ("PSAX-PM", {Tissue.MYOCARDIUM, Tissue.PAPILLARY, Tissue.RV_WALL}, {Tissue.LEAFLET}),
        ("IVC", {Tissue.LIVER, Tissue.VESSEL_WALL}, {Tissue.MYOCARDIUM}),
        ("suprasternal", {Tissue.VESSEL_WALL}, {Tissue.MYOCARDIUM, Tissue.LIVER}),
        ("subcostal-4C", {Tissue.LIVER, Tissue.MYOCARDIUM, Tissue.LEAFLET}, set()),
    ],
)
def test_view_shows_its_landmarks(view: str, present: set[Tissue], absent: set[Tissue]) -> None:
    near = GRID.ranges < 0.8 * TYPICAL_DEPTH[view]
    found = {Tissue(int(value)) for value in labels(view, [0.0])[..., near].unique()}
    assert present <= found
    assert not absent & found


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_shows_blood(view: str) -> None:
    assert (labels(view, [0.0]) == Tissue.BLOOD).float().mean() > 0.08


@pytest.mark.parametrize("view", ["PLAX", "PSAX-AV", "suprasternal"])
def test_skipping_what_cannot_touch_the_plane_changes_nothing(
    view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The windows are an economy only: computing every shape everywhere gives the same labels."""
    patient = sample_patient(np.random.default_rng(4), 1.0, len(Tissue))
    heart = heart_at(patient, np.array([0.0, 0.3]))
    plane = ideal_plane(heart, view)
    origins = np.stack([plane.probe, plane.probe + 2])
    thrifty = classify(heart, plane, origins, GRID).labels
    everywhere = (slice(None),) * 3
    monkeypatch.setattr(Points, "window", lambda self, centres, radius: everywhere)
    assert (classify(heart, plane, origins, GRID).labels == thrifty).all()


def test_frames_do_not_influence_each_other() -> None:
    together = labels("A4C", [0.1, 0.4, 0.7])
    torch.testing.assert_close(together[1], labels("A4C", [0.4])[0])
