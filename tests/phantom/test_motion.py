"""The heart's movement: it ejects what it should, its muscle keeps its volume, and it twists."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tissue import average_patient

from apical.phantom.anatomy import Patient, sample_patient
from apical.phantom.axes import azimuth
from apical.phantom.cycle import END_SYSTOLE, CardiacState, cardiac_state
from apical.phantom.heart import Tissue, heart_at
from apical.phantom.motion import inner_radius_squared, motion_of
from apical.phantom.shapes import wave_at

END_DIASTOLE_AND_SYSTOLE = np.array([0.0, END_SYSTOLE])


def state(phases: np.ndarray = END_DIASTOLE_AND_SYSTOLE) -> CardiacState:
    return cardiac_state(phases)


def undone(patient: Patient, points: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Bring `points` ([points, 3]) back: [frames, points, 3]."""
    x, y, z = (
        torch.from_numpy(points[:, axis]).float().expand(len(phases), 1, len(points)) for axis in range(3)
    )
    return torch.stack(motion_of(patient, state(phases)).undo(x, y, z), dim=-1)[:, 0].numpy()


def volume_ml(patient: Patient, thickness: float) -> np.ndarray:
    """Volume within the ventricle's surface and `thickness` beyond it, at both phases, counted in cubes."""
    axis = np.arange(-45, 45, 1.0)
    points = np.stack(np.meshgrid(axis, axis, np.arange(0, 110, 1.0), indexing="ij"), axis=-1).reshape(-1, 3)
    back = undone(patient, points, END_DIASTOLE_AND_SYSTOLE)
    radius = np.sqrt(
        inner_radius_squared(patient.lv_length, patient.lv_radius, torch.from_numpy(back[..., 2])).numpy()
    )
    inside = (np.hypot(back[..., 0], back[..., 1]) < radius + thickness * (radius > 0)) & (back[..., 2] > 0)
    within = inside & (back[..., 2] < patient.lv_length)
    return within.sum(axis=1) / 1000


@pytest.mark.parametrize("ejection_fraction", [0.2, 0.45, 0.62])
def test_ventricle_ejects_its_fraction(ejection_fraction: float) -> None:
    weak = ejection_fraction / average_patient().ejection_fraction
    patient = replace(
        average_patient(),
        ejection_fraction=ejection_fraction,
        mitral_descent=average_patient().mitral_descent * weak,
    )
    diastole, systole = volume_ml(patient, 0.0)
    assert 1 - systole / diastole == pytest.approx(ejection_fraction, abs=0.015)


def test_normal_volume_is_within_the_published_range() -> None:
    """End-diastole of men: 62 to 150 ml in two dimensions (Lang et al. 2015, table 2)."""
    assert volume_ml(average_patient(), 0.0)[0] == pytest.approx(127, abs=5)


def test_muscle_keeps_its_volume() -> None:
    patient = average_patient()
    diastole, systole = volume_ml(patient, patient.lv_wall) - volume_ml(patient, 0.0)
    assert systole / diastole == pytest.approx(1, abs=0.07)


def test_nothing_has_moved_at_end_diastole() -> None:
    points = np.random.default_rng(0).normal(0, 60, (500, 3))
    np.testing.assert_allclose(undone(average_patient(), points, np.array([0.0]))[0], points, atol=2e-3)


def test_what_is_far_away_never_moves() -> None:
    """Spine, chest wall and liver keep still while the heart beats."""
    far = np.array([[0, 0, 200.0], [150, 0, 30], [0, 160, 30], [-190, 0, 30], [0, 0, -120], [0, -150, -20]])
    moved = undone(average_patient(), far, np.array([END_SYSTOLE]))[0]
    np.testing.assert_allclose(moved, far, atol=1e-3)


def test_base_descends_and_apex_stays() -> None:
    patient = average_patient()
    mitral = azimuth(patient.la_azimuth) * 10
    tricuspid = azimuth(patient.rv_azimuth) * (patient.lv_radius + patient.lv_wall + patient.rv_radius)
    for ring, descent in ((mitral, patient.mitral_descent), (tricuspid, patient.tricuspid_descent)):
        at_end_systole = ring + np.array([0, 0, descent])
        back = undone(patient, at_end_systole[None], np.array([END_SYSTOLE]))[0, 0]
        assert back[2] == pytest.approx(0, abs=2.5)
    apex = np.array([[0.0, 0, patient.lv_length]])
    assert undone(patient, apex, np.array([END_SYSTOLE]))[0, 0, 2] == pytest.approx(
        patient.lv_length, abs=0.1
    )


def test_apex_and_base_turn_against_each_other() -> None:
    """A point of the wall near the apex comes from a smaller azimuth, one near the base from a larger one."""
    patient = average_patient()
    wall = azimuth(60) * (patient.lv_radius * 0.8)
    points = np.stack(
        [wall * 0.5 + [0, 0, 0.95 * patient.lv_length], wall + np.array([0, 0, patient.mitral_descent + 1])]
    )
    back = undone(patient, points, np.array([END_SYSTOLE]))[0]
    turned = 60 - np.degrees(np.arctan2(back[:, 1], back[:, 0]))
    assert turned[0] == pytest.approx(patient.apex_turns, abs=2)
    assert turned[1] == pytest.approx(patient.base_turns, abs=1)


def test_free_wall_of_the_right_ventricle_comes_inwards() -> None:
    patient = average_patient()
    septum, free = (patient.lv_radius + patient.lv_wall + part * patient.rv_radius for part in (0, 1))
    inward = patient.rv_radius * patient.rv_shrinks
    points = np.stack([azimuth(patient.rv_azimuth) * (free - inward) + [0, 0, 25.0]])
    back = undone(patient, points, np.array([END_SYSTOLE]))[0, 0]
    assert np.hypot(*back[:2]) == pytest.approx(free, abs=3)
    assert free - septum > 20


def test_imaged_ventricle_ejects_the_fraction_of_the_truth() -> None:
    """Cubes of the drawn cavity, bent as the patient is, counted at both phases."""
    axis = np.arange(-46, 46, 2.0)
    x, y, z = np.meshgrid(axis, axis, np.arange(-6, 106, 2.0), indexing="ij")
    found = 0
    for seed in range(40):
        patient = sample_patient(np.random.default_rng(seed), 0.55, len(Tissue))
        if patient.disease != "none" or found == 4:
            continue
        found += 1
        inside = [cavity(patient, phase, x, y, z) for phase in END_DIASTOLE_AND_SYSTOLE]
        ejected = 1 - inside[1].sum() / inside[0].sum()
        assert ejected == pytest.approx(patient.ejection_fraction, abs=0.03)
    assert found == 4


def cavity(patient: Patient, phase: float, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Which points of space lie in the left ventricle, by the way of `sector_points`."""
    space = tuple(torch.from_numpy(part.reshape(1, 1, -1)).float() for part in (x, y, z))
    waves = [(wave, wave_at(wave, space)) for wave in patient.warp]
    straight = [part + sum(wave[i] * sine for wave, sine in waves) for i, part in enumerate(space)]
    back = motion_of(patient, state(np.array([phase]))).undo(*straight)
    radius = torch.sqrt(inner_radius_squared(patient.lv_length, patient.lv_radius, back[2]))
    inside = (torch.hypot(back[0], back[1]) < radius) & (back[2] > 0) & (back[2] < patient.lv_length)
    return inside.numpy()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), phase=st.floats(0, 1))
def test_tissue_is_never_folded_nor_torn(seed: int, phase: float) -> None:
    """The Jacobian of the map keeps its sign everywhere, and its largest stretch is bounded."""
    patient = sample_patient(np.random.default_rng(seed), 0.8, len(Tissue))
    points = np.random.default_rng(seed).uniform((-110, -70, -70), (70, 70, 110), (400, 3))
    step = 0.02
    at = np.array([phase])
    columns = [
        (undone(patient, points + step * one, at) - undone(patient, points - step * one, at))[0] / (2 * step)
        for one in np.eye(3)
    ]
    jacobian = np.stack(columns, axis=-1)
    assert np.linalg.det(jacobian).min() > 0
    assert np.linalg.svd(jacobian, compute_uv=False).max() < 3.2


def test_a_heart_brought_to_other_moments_is_the_one_shaped_for_them() -> None:
    """`Heart.at` and `heart_at` agree in every field: nothing that moves is left behind."""
    patient = sample_patient(np.random.default_rng(3), 0.8, len(Tissue))
    moments = cardiac_state(np.linspace(0, 0.9, 7))
    moved = heart_at(patient, cardiac_state(np.zeros(1))).at(moments)
    np.testing.assert_equal(asdict(moved), asdict(heart_at(patient, moments)))
