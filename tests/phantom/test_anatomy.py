"""Patients: as the published ranges of adults have them, with correlations, and changed by disease."""

from dataclasses import asdict

import numpy as np
import pytest

from apical.phantom.anatomy import DISEASES, Patient, sample_patient
from apical.phantom.heart import Tissue

# Mean and deviation over both sexes, from the tables that `anatomy` cites.
PUBLISHED = {
    "lv_radius": ((50.2 + 45.0) / 4, 2.4),
    "ejection_fraction": (0.63, 0.05),
    "lv_wall": (8.25, 1.0),
    "rv_length": (68.5, 6.5),
    "tricuspid_descent": (24.0, 3.5),
    "apex_turns": (9.6, 3.3),
    "base_turns": (-3.8, 2.0),
    "ivc_radius": (8.25, 1.5),
    "mitral_descent": (13.75, 2.0),
}


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [sample_patient(np.random.default_rng(i), 0.55, len(Tissue)) for i in range(3000)]


def of_disease(patients: list[Patient], disease: str) -> list[Patient]:
    return [patient for patient in patients if patient.disease == disease]


def mean(patients: list[Patient], name: str) -> float:
    return float(np.mean([getattr(patient, name) for patient in patients]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_healthy_hearts_are_as_published(name: str, patients: list[Patient]) -> None:
    """Mean within a fifth of a deviation; the deviation itself within a quarter."""
    expected, deviation = PUBLISHED[name]
    values = [getattr(patient, name) for patient in of_disease(patients, "none")]
    assert np.mean(values) == pytest.approx(expected, abs=0.2 * deviation)
    assert np.std(values) == pytest.approx(deviation, rel=0.25)


def test_sizes_go_together(patients: list[Patient]) -> None:
    """A large body has a large heart, and a strong pump descends more; others do not correlate."""
    healthy = of_disease(patients, "none")

    def correlation(first: str, second: str) -> float:
        pairs = [(getattr(patient, first), getattr(patient, second)) for patient in healthy]
        return float(np.corrcoef(np.array(pairs).T)[0, 1])

    assert correlation("lv_radius", "lv_length") > 0.4
    assert correlation("lv_radius", "aorta_radius") > 0.4
    assert correlation("ejection_fraction", "mitral_descent") > 0.4
    assert correlation("apex_turns", "base_turns") < -0.2
    assert abs(correlation("lv_radius", "ejection_fraction")) < 0.2
    assert abs(correlation("chest_wall", "lv_radius")) < 0.1


def test_diseases_occur_as_often_as_said(patients: list[Patient]) -> None:
    for disease, prevalence in DISEASES.items():
        share = len(of_disease(patients, disease)) / len(patients)
        assert share == pytest.approx(prevalence, abs=0.03)


def test_diseases_change_the_heart(patients: list[Patient]) -> None:
    healthy = of_disease(patients, "none")
    for disease, name, least in (
        ("dilated cardiomyopathy", "lv_radius", 1.25),
        ("left ventricular hypertrophy", "lv_wall", 1.4),
        ("septal hypertrophy", "septal_bulge", 3.0),
        ("right ventricular dilatation", "rv_radius", 1.2),
        ("left atrial enlargement", "la_radius", 1.2),
    ):
        assert mean(of_disease(patients, disease), name) > least * mean(healthy, name)
    for disease in ("dilated cardiomyopathy", "poor ejection"):
        assert mean(of_disease(patients, disease), "ejection_fraction") < 0.42


def test_fibrillation_comes_with_large_atria_and_fast_hearts(patients: list[Patient]) -> None:
    in_fibrillation = [patient for patient in patients if patient.atrial_fibrillation]
    others = [patient for patient in patients if not patient.atrial_fibrillation]
    assert 0.04 < len(in_fibrillation) / len(patients) < 0.14
    assert mean(in_fibrillation, "la_radius") > 1.08 * mean(others, "la_radius")
    assert mean(in_fibrillation, "heart_rate") > mean(others, "heart_rate") + 10
    assert any(patient.effusion > 15 for patient in patients)


def test_without_difficulty_everybody_is_average() -> None:
    healthy = (sample_patient(np.random.default_rng(i), 0.0, len(Tissue)) for i in range(60))
    sizes = [
        (p.size, p.lv_length, p.lv_radius, p.rv_radius, p.aorta_radius, p.chest_wall, p.ejection_fraction)
        for p in healthy
        if p.disease == "none"
    ]
    assert np.ptp(np.array(sizes), axis=0).max() < 1e-9


def test_all_sizes_are_positive(patients: list[Patient]) -> None:
    for patient in patients:
        sizes = {
            name: value
            for name, value in asdict(patient).items()
            if name.endswith(("radius", "length", "wall"))
        }
        assert min(sizes.values()) > 2
        assert 0.1 < patient.ejection_fraction < 0.85
