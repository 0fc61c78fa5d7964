"""The beat: valves in turn, systole that keeps its length, and a rhythm that may be none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.phantom.cycle import END_SYSTOLE, cardiac_state, rhythm
from apical.phantom.ecg import ecg_voltage


def test_valves_open_in_turn() -> None:
    """Never are the mitral and the aortic valve open together."""
    state = cardiac_state(np.linspace(0, 1, 500))
    assert not np.any((state.mitral_opening > 0.1) & (state.aortic_opening > 0.1))
    assert state.mitral_opening.max() == pytest.approx(1, abs=0.01)
    assert state.aortic_opening.max() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("atria_contract", [True, False])
def test_cycle_is_periodic(atria_contract: bool) -> None:
    ends = cardiac_state(np.array([0.0, 1.0 - 1e-9]), 1.0, atria_contract)
    for part in (ends.contraction, ends.descent, ends.twist, ends.mitral_opening, ends.aortic_opening):
        assert part[0] == pytest.approx(part[1], abs=1e-3)


def test_everything_peaks_at_end_systole() -> None:
    state = cardiac_state(np.linspace(0, 1, 1001))
    for part in (state.contraction, state.descent, state.twist):
        assert state.phases[part.argmax()] == pytest.approx(END_SYSTOLE, abs=0.02)
        assert part.max() == pytest.approx(1)


def test_atria_contract_only_in_sinus_rhythm() -> None:
    """The late wave of mitral opening and the last pull at the base are theirs."""
    late = np.array([0.82, 0.91, 0.92])
    sinus, fibrillation = (cardiac_state(late, 1.0, contracts) for contracts in (True, False))
    assert sinus.mitral_opening[1] > sinus.mitral_opening[0] + 0.3
    assert np.all(np.diff(fibrillation.mitral_opening) <= 0)
    assert sinus.descent[0] - sinus.descent[2] > 0.1
    assert sinus.contraction[0] - sinus.contraction[2] > 0.05
    passive = cardiac_state(np.array([0.62, 0.72]), 1.0, False)  # the same fall goes on
    for name in ("descent", "contraction"):
        early, later = getattr(passive, name), getattr(fibrillation, name)
        assert later[0] - later[2] == pytest.approx(early[0] - early[1], abs=1e-9)


def test_sinus_rhythm_is_regular_and_keeps_the_rate() -> None:
    beats = rhythm(75, False, 0.0, 20.0, np.random.default_rng(0))
    np.testing.assert_allclose(np.diff(beats.onsets), 0.8)
    assert np.all(beats.strengths == 1)
    assert beats.onsets[0] <= 0.0
    assert beats.onsets[-1] >= 20.0


def test_fibrillation_is_irregular_at_the_same_mean_rate() -> None:
    lengths = np.concatenate(
        [np.diff(rhythm(90, True, 0.0, 60.0, np.random.default_rng(i)).onsets) for i in range(20)]
    )
    assert np.mean(lengths) == pytest.approx(60 / 90, rel=0.03)
    assert 0.15 < np.std(lengths) / np.mean(lengths) < 0.28
    beats = rhythm(90, True, 0.0, 60.0, np.random.default_rng(0))
    before = np.diff(beats.onsets)[:-1]
    assert np.corrcoef(before, beats.strengths[1:])[0, 1] > 0.9  # a long pause fills the heart


def test_systole_shortens_less_than_diastole() -> None:
    """Weissler's line: from Q to the closing of the aortic valve 0.546 s less 2.1 ms a beat a minute."""
    for rate in (50, 70, 100):
        beats = rhythm(rate, False, 0.0, 5.0, np.random.default_rng(0))
        seconds = beats.onsets[2] + np.linspace(0, 60 / rate, 5000, endpoint=False)
        phases = beats.phases_at(seconds)
        systole = float((seconds - beats.onsets[2])[np.searchsorted(phases, END_SYSTOLE)])
        assert systole == pytest.approx(0.546 - 0.0021 * rate - 0.03, abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(
    rate=st.floats(40, 160),
    fibrillates=st.booleans(),
    first=st.floats(-10, 0),
    length=st.floats(0.01, 10),
    seed=st.integers(0, 1000),
)
def test_phase_runs_through_every_beat(
    rate: float, fibrillates: bool, first: float, length: float, seed: int
) -> None:
    """At every moment asked for there is a beat; within it the phase only grows, and begins at 0."""
    beats = rhythm(rate, fibrillates, first, first + length, np.random.default_rng(seed))
    seconds = np.linspace(first, first + length, 400)
    number, phases = beats.beats_at(seconds)
    assert beats.onsets[0] <= first
    assert beats.onsets[-1] >= first + length
    assert phases.min() >= 0
    assert phases.max() < 1
    same = np.diff(number) == 0
    assert np.all(np.diff(phases)[same] >= 0)
    assert np.all(beats.phases_at(beats.onsets[:-1]) < 1e-9)


@pytest.mark.parametrize("rate", [50, 70, 90])
def test_atria_contract_after_their_p_wave(rate: float) -> None:
    """The late wave of filling peaks after the P wave does, and both before the R wave."""
    beats = rhythm(rate, False, 0.0, 6.0, np.random.default_rng(0))
    before = np.linspace(-0.22, -0.03, 400)
    voltage = ecg_voltage(beats, beats.onsets[3] + before)
    opening = beats.state_at(beats.onsets[3] + before).mitral_opening
    assert before[voltage.argmax()] + 0.02 < before[opening.argmax()] < 0
