"""The electrocardiogram: in time with the heart, in its strip, and for any beats."""

from dataclasses import replace

import numpy as np
import pytest

from apical.phantom.cycle import Rhythm, rhythm
from apical.phantom.ecg import ECG_TOP, draw_ecg, ecg_voltage
from apical.phantom.machine import MACHINES, Machine, machine
from apical.phantom.screen import Pixels

ROWS, COLUMNS = 300, 400
SWEEP = 2.0  # seconds
REGULAR = Rhythm(np.arange(-4, 10, 0.8), np.ones(17), atria_contract=True)


def plain(number: int) -> Machine:
    """A machine that draws a trace and nothing else in its strip."""
    look = machine(number)
    trace = replace(look.maker.trace, cursor="gap", beats=False)
    return replace(look, maker=replace(look.maker, trace=trace), ecg_colour=(255, 255, 255))


def drawn(look: Machine, seconds: float, **changes: object) -> Pixels:
    frames = np.zeros((1, ROWS, COLUMNS, 3), np.uint8)
    draw_ecg(frames, look, np.array([seconds]), **{"rhythm": REGULAR, "sweep_seconds": SWEEP} | changes)
    return frames[0]


def test_r_wave_is_at_end_diastole_and_the_voltage_has_no_steps() -> None:
    seconds = np.linspace(0, 0.8, 4001)
    voltage = ecg_voltage(REGULAR, seconds)
    phases = REGULAR.phases_at(seconds)
    peak = phases[voltage.argmax()]
    assert min(peak, 1 - peak) < 0.005
    assert voltage.max() == pytest.approx(1, abs=0.02)
    assert np.abs(np.diff(voltage)).max() < 0.05
    assert ecg_voltage(REGULAR, seconds + 2.4) == pytest.approx(voltage)


def test_only_the_p_wave_is_missing_without_it() -> None:
    seconds = np.linspace(0, 0.7999, 2001)
    without = replace(REGULAR, atria_contract=False)
    missing = ecg_voltage(REGULAR, seconds) - ecg_voltage(without, seconds)
    until = REGULAR.around(seconds)[1]
    assert missing.max() == pytest.approx(0.13, abs=0.005)
    assert until[missing.argmax()] == pytest.approx(0.15, abs=0.002)
    assert np.abs(missing[until > 0.25]).max() < 1e-3


@pytest.mark.parametrize("rate", [50, 70, 100, 140])
def test_conduction_takes_the_same_time_at_any_rate(rate: float) -> None:
    """From the P wave to the R wave; the T wave moves with systole."""
    beats = rhythm(rate, False, 0.0, 5.0, np.random.default_rng(0))
    before = np.linspace(-0.22, -0.06, 800)
    voltage = ecg_voltage(beats, beats.onsets[3] + before)
    assert before[voltage.argmax()] == pytest.approx(-0.15, abs=0.02)


@pytest.mark.parametrize("number", range(0, MACHINES, 4))
def test_peaks_are_where_the_beats_are(number: int) -> None:
    """Beats at irregular moments: the highest pixels of the trace stand above just those."""
    moments = np.array([-1.0, 0.2, 0.55, 1.3, 1.65, 5.0])
    beats = Rhythm(moments, np.ones(len(moments) - 1), atria_contract=False)
    trace = drawn(plain(number), 1.999, rhythm=beats).max(axis=-1) > 0
    rows = np.where(trace.any(axis=0), trace.argmax(axis=0), ROWS)
    high = np.flatnonzero(rows < rows.min() + 0.3 * (np.median(rows) - rows.min()))
    seconds = (high + 0.5) / COLUMNS * SWEEP
    for moment in moments[1:-1]:
        assert np.abs(seconds - moment).min() < 0.02
    assert np.abs(seconds[:, None] - moments[1:-1]).min(axis=1).max() < 0.03


@pytest.mark.parametrize("number", range(0, MACHINES, 4))
def test_trace_stays_in_its_strip(number: int) -> None:
    for seconds in (0.0, 0.7, 1.999):
        lit = drawn(machine(number), seconds, across=(100, 300)).any(axis=-1)
        assert lit[:, 100:300].any()
        assert not lit[: int(ECG_TOP * ROWS)].any()
        assert not lit[:, :100].any()
        assert not lit[:, 300:].any()


@pytest.mark.parametrize("number", range(0, MACHINES, 4))
def test_a_gap_runs_ahead_of_the_newest(number: int) -> None:
    lit = drawn(plain(number), 1.0).any(axis=(0, 2))
    assert lit[: COLUMNS // 2 - 1].all()
    assert not lit[COLUMNS // 2 + 3 : COLUMNS // 2 + round(0.025 * COLUMNS)].any()
    assert lit[COLUMNS // 2 + round(0.035 * COLUMNS) :].all()
