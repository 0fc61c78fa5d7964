"""Anatomy seen through the planes: what lies where."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from apical.phantom.anatomy import Patient, sample_patient
from apical.phantom.axes import body
from apical.phantom.cycle import END_SYSTOLE, cardiac_state
from apical.phantom.heart import Heart, Tissue, heart_at
from apical.phantom.planes import TYPICAL_DEPTH, VIEWS, ideal_plane
from apical.phantom.shapes import EVERYWHERE, Coarse, PolarGrid
from apical.phantom.tissue import classify

GRID = PolarGrid(np.linspace(3, 160, 160), np.linspace(-0.7, 0.7, 90))


def average_patient() -> Patient:
    """A healthy patient without anatomical spread or effusion, in sinus rhythm."""
    for seed in range(100):
        patient = sample_patient(np.random.default_rng(seed), 0.0, len(Tissue))
        if patient.disease == "none" and not patient.effusion and not patient.atrial_fibrillation:
            return patient
    raise AssertionError("no healthy patient in a hundred")


def beating(patient: Patient, phases: list[float]) -> Heart:
    return heart_at(patient, cardiac_state(np.array(phases)))


def labels(view: str, phases: list[float], patient: Patient | None = None) -> Tensor:
    patient = patient or average_patient()
    plane, _ = ideal_plane(beating(patient, [0.0]), view)
    return classify(beating(patient, phases), plane.repeated(len(phases)), GRID).labels


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


def test_base_comes_down_to_the_apex() -> None:
    """In the apical view the leaflets at end-systole are nearer to the probe, the tricuspid ones by more."""
    patient = average_patient()
    frames = labels("A4C", [0.0, END_SYSTOLE])
    depths = [GRID.ranges[(frame == Tissue.LEAFLET).any(dim=0).numpy()].max() for frame in frames]
    assert patient.mitral_descent - 1 < depths[0] - depths[1] < patient.tricuspid_descent + 1


def test_short_axis_of_the_ventricle_is_round() -> None:
    """The myocardium of PSAX-PM is as wide as it is high, in millimetres."""
    muscle = labels("PSAX-PM", [0.0])[0] == Tissue.MYOCARDIUM
    angle, distance = np.meshgrid(GRID.angles, GRID.ranges, indexing="ij")
    right, down = (distance * np.sin(angle))[muscle], (distance * np.cos(angle))[muscle]
    assert np.ptp(right) / np.ptp(down) == pytest.approx(1, abs=0.08)


def test_septum_of_septal_hypertrophy_is_thicker() -> None:
    def septum(bulge: float) -> int:
        patient = average_patient()
        patient = type(patient)(
            **{name: getattr(patient, name) for name in patient.__slots__} | {"septal_bulge": bulge}
        )
        return int((labels("PSAX-PM", [0.0], patient) == Tissue.MYOCARDIUM).sum())

    assert septum(1.0) > 1.15 * septum(0.1)


def test_effusion_gathers_behind_the_heart() -> None:
    patient = average_patient()
    values = {name: getattr(patient, name) for name in patient.__slots__} | {"effusion": 16.0}
    wet = type(patient)(**values)
    plane, _ = ideal_plane(beating(wet, [0.0]), "PSAX-PM")
    tissue = classify(beating(wet, [0.0]), plane.repeated(1), GRID)
    fluid = tissue.labels == Tissue.EFFUSION
    posterior = sum(part * float(along) for part, along in zip(tissue.place, body(0, 1, 0), strict=True))
    middle = float(posterior[tissue.labels == Tissue.MYOCARDIUM].mean())
    area = torch.from_numpy(GRID.ranges * GRID.sample_mm * GRID.beam_radians) * fluid
    behind, before = float(area[posterior > middle].sum()), float(area[posterior < middle].sum())
    assert behind > 400
    assert behind > 2 * before


@pytest.mark.parametrize(
    ("view", "present", "absent"),
    [
        ("A4C", {Tissue.MYOCARDIUM, Tissue.RV_WALL, Tissue.LEAFLET, Tissue.ATRIAL_WALL}, set()),
        ("PSAX-PM", {Tissue.MYOCARDIUM, Tissue.PAPILLARY, Tissue.RV_WALL}, {Tissue.LEAFLET}),
        ("PSAX-MV", {Tissue.MYOCARDIUM, Tissue.LEAFLET, Tissue.RV_WALL}, {Tissue.PAPILLARY}),
        ("PSAX-AV", {Tissue.VESSEL_WALL, Tissue.LEAFLET}, {Tissue.PAPILLARY}),
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


def test_chordae_run_from_the_papillary_muscles_to_the_leaflets() -> None:
    """At whatever opening, each ends within a few millimetres of a leaflet and begins in a muscle."""
    heart = beating(average_patient(), [0.0, 0.45, 0.5])
    chordae = [tube for tube in heart.tubes if tube.lining is Tissue.LEAFLET]
    muscles = [tube for tube in heart.tubes if tube.lining is Tissue.PAPILLARY]
    assert len(chordae) == 4
    for chord in chordae:
        assert min(np.linalg.norm(chord.start - muscle.start) for muscle in muscles) == 0
        assert chord.end.shape == (3, 3)
        assert np.ptp(np.linalg.norm(chord.end - chord.start, axis=1)) < 12


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_shows_blood(view: str) -> None:
    assert (labels(view, [0.0]) == Tissue.BLOOD).float().mean() > 0.08


@pytest.mark.parametrize("seed", [4, 5, 6])
@pytest.mark.parametrize("view", VIEWS)
def test_skipping_what_cannot_touch_the_plane_changes_nothing(
    view: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows are an economy only: computing every shape everywhere gives the same labels and distances."""
    patient = sample_patient(np.random.default_rng(seed), 1.0, len(Tissue))
    heart = beating(patient, [0.0, 0.33])
    plane, _ = ideal_plane(heart, view)
    planes = plane.repeated(2)
    thrifty = classify(heart, planes, GRID)
    monkeypatch.setattr(Coarse, "windows", lambda self, starts, ends, radii: [EVERYWHERE] * len(radii))
    exact = classify(heart, planes, GRID)
    assert (exact.labels == thrifty.labels).all()
    assert (exact.outside == thrifty.outside).all()


def test_frames_do_not_influence_each_other() -> None:
    together = labels("A4C", [0.1, 0.4, 0.7])
    torch.testing.assert_close(together[1], labels("A4C", [0.4])[0])
