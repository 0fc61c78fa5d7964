"""Which frames of a cine are taken: evenly over it, or evenly over one heart cycle."""

from __future__ import annotations

from bisect import bisect_right
from statistics import median

from apical.ingest.facts import Facts


def spread(frames: int, count: int) -> list[int]:
    """At most `count` distinct frame numbers, evenly over `frames`, each in the middle of its part."""
    if frames <= count:
        return list(range(frames))
    return [(2 * part + 1) * frames // (2 * count) for part in range(count)]


def over_one_cycle(facts: Facts, count: int) -> list[int]:
    """At most `count` distinct frame numbers, evenly over one heart cycle, from R wave to R wave.

    The cycle is the one between R waves whose length is nearest to the usual; without R waves, as many
    frames in the middle of the cine as a beat takes at the heart rate of the tags. Where neither is
    known, or the cine is shorter than a cycle, the frames are spread over the whole cine.
    """
    cycle = _cycle(facts)
    if cycle is None:
        return spread(facts.frames, count)
    start, length = cycle
    numbers = {int(start + (part + 0.5) * length / count) for part in range(count)}
    return sorted(number for number in numbers if number < facts.frames)


def phases(facts: Facts, numbers: list[int]) -> list[float | None]:
    """Where in the heart cycle each frame is, 0 to 1 from R wave to R wave; None outside of known ones."""
    waves = facts.r_waves_ms
    found: list[float | None] = []
    for number in numbers:
        time = number * (facts.frame_time_ms or 0.0)
        after = bisect_right(waves, time)
        inside = facts.frame_time_ms is not None and 0 < after < len(waves)
        found.append((time - waves[after - 1]) / (waves[after] - waves[after - 1]) if inside else None)
    return found


def _cycle(facts: Facts) -> tuple[float, float] | None:
    """First frame and length, in frames, of the cycle to take."""
    step = facts.frame_time_ms
    if not step:
        return None
    whole = [
        (one / step, (other - one) / step)
        for one, other in zip(facts.r_waves_ms, facts.r_waves_ms[1:], strict=False)
        if one >= 0 and other / step <= facts.frames
    ]
    if whole:
        usual = median(length for _, length in whole)
        return min(whole, key=lambda cycle: abs(cycle[1] - usual))
    length = 60_000 / facts.heart_rate / step if facts.heart_rate else 0.0
    return ((facts.frames - length) / 2, length) if 1 <= length <= facts.frames else None
