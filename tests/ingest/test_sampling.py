"""Frames over one heart cycle, and their phases, against naive loops over the R waves."""

from __future__ import annotations

from itertools import accumulate, pairwise
from statistics import median

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apical.ingest.facts import Facts
from apical.ingest.sampling import over_one_cycle, phases, spread

beats = st.lists(st.floats(200, 1500), min_size=1, max_size=8)


def cine(frames: int, step: float | None, waves: tuple[float, ...] = (), rate: float | None = None) -> Facts:
    return Facts("0" * 16, frames, 100, 100, frame_time_ms=step, r_waves_ms=waves, heart_rate=rate)


@given(
    lengths=beats,
    first=st.floats(-500, 900),
    step=st.floats(8, 60),
    frames=st.integers(1, 400),
    count=st.integers(1, 32),
)
def test_one_cycle_between_r_waves(
    lengths: list[float], first: float, step: float, frames: int, count: int
) -> None:
    """All frames lie in one whole cycle, that nearest to the usual length, evenly and from its start."""
    waves = tuple(accumulate(lengths, initial=first))
    numbers = over_one_cycle(cine(frames, step, waves), count)
    whole = [(one, other) for one, other in pairwise(waves) if one >= 0 and other <= frames * step]
    if not whole:
        assert numbers == spread(frames, count)
        return
    usual = median(other - one for one, other in whole)
    off = [abs(other - one - usual) for one, other in whole]
    near = [cycle for cycle, distance in zip(whole, off, strict=True) if distance <= min(off) + 1e-6]
    assert any(
        numbers == sorted({int(one / step + (n + 0.5) * (other - one) / step / count) for n in range(count)})
        for one, other in near
    )
    assert numbers[0] * step > min(one for one, _ in near) - step
    assert numbers[-1] * step < max(other for _, other in near)


@given(frames=st.integers(1, 400), step=st.floats(8, 60), rate=st.floats(30, 220), count=st.integers(1, 32))
def test_one_beat_in_the_middle(frames: int, step: float, rate: float, count: int) -> None:
    """Without R waves: as many frames as a beat takes, as far from the start as from the end."""
    numbers = over_one_cycle(cine(frames, step, rate=rate), count)
    beat = 60_000 / rate / step
    if not 1 <= beat <= frames:
        assert numbers == spread(frames, count)
        return
    assert numbers[-1] - numbers[0] < beat + 1
    assert abs(numbers[0] - (frames - 1 - numbers[-1])) <= 1
    if count <= beat:
        assert len(numbers) == count
        gaps = np.diff(numbers)
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


@given(
    frames=st.integers(1, 400),
    step=st.one_of(st.none(), st.floats(0.1, 200)),
    lengths=st.lists(st.floats(1, 3000), max_size=6),
    first=st.floats(-3000, 3000),
    rate=st.one_of(st.none(), st.floats(20, 300)),
    count=st.integers(1, 40),
)
def test_frames_are_always_there(
    frames: int, step: float | None, lengths: list[float], first: float, rate: float | None, count: int
) -> None:
    """At least one, at most as many as asked, distinct, rising, and in the cine, whatever the tags say."""
    waves = tuple(accumulate(lengths, initial=first))
    numbers = over_one_cycle(cine(frames, step, waves, rate), count)
    assert 1 <= len(numbers) <= count
    assert all(one < other for one, other in pairwise(numbers))
    assert numbers[0] >= 0
    assert numbers[-1] < frames


@given(lengths=beats, first=st.floats(-500, 900), step=st.floats(8, 60))
def test_phases(lengths: list[float], first: float, step: float) -> None:
    """From 0 at an R wave to 1 at the next, by a search through all pairs; outside of them nothing."""
    waves = tuple(accumulate(lengths, initial=first))
    assume(all(one < other for one, other in pairwise(waves)))
    numbers = list(range(200))
    for number, phase in zip(numbers, phases(cine(200, step, waves), numbers), strict=True):
        time = number * step
        inside = [(one, other) for one, other in pairwise(waves) if one <= time < other]
        if not inside:
            assert phase is None
            continue
        one, other = inside[0]
        assert phase == pytest.approx((time - one) / (other - one))
        assert phase is not None
        assert 0 <= phase < 1


def test_phases_need_times_and_waves() -> None:
    assert phases(cine(5, None, (0.0, 900.0)), [0, 1]) == [None, None]
    assert phases(cine(5, 40), [0, 1]) == [None, None]
    assert phases(cine(5, 40, (40.0,)), [0, 1, 2]) == [None, None, None]
    assert phases(cine(5, 40, (0.0, 160.0)), [0, 1, 2, 4]) == [0, 0.25, 0.5, None]


def test_an_early_beat_is_not_taken() -> None:
    """Of cycles of 420, 800 and 810 ms a usual one is taken, and not the first."""
    numbers = over_one_cycle(cine(120, 20, (100.0, 520.0, 1320.0, 2130.0)), 8)
    assert numbers[0] * 20 > 520
    assert numbers[-1] * 20 < 1320


def test_a_cycle_needs_the_time_between_frames() -> None:
    assert over_one_cycle(cine(60, None, (0.0, 900.0), 70), 4) == spread(60, 4)
