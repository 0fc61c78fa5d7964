"""Figures and differences as text: in hundredths, with their intervals."""

from __future__ import annotations

import math

from apical.judge.intervals import Interval


def percent(figure: Interval) -> str:
    """A share as hundredths with its interval: ``71.2 (65.0 to 77.1)``; ``–`` where there is none."""
    if math.isnan(figure.value):
        return "–"
    value = f"{100 * figure.value:.1f}"
    return value if math.isnan(figure.low) else f"{value} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def points(figure: Interval) -> str:
    """A difference as signed hundredths with its interval: ``+12.3 (+6.1 to +18.0)``."""
    if math.isnan(figure.value):
        return "–"
    value = signed(figure.value)
    return value if math.isnan(figure.low) else f"{value} ({signed(figure.low)} to {signed(figure.high)})"


def shown(gain: Interval) -> str:
    """What the interval of a difference shows: ``better``, ``worse`` or ``""``."""
    return "better" if gain.low > 0 else "worse" if gain.high < 0 else ""


def signed(share: float) -> str:
    """A difference of shares as signed hundredths: ``+12.3``, ``−4.0``, ``0.0``."""
    text = f"{100 * share:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def value(figure: Interval) -> str:
    """A share as hundredths, alone: ``71.2``; ``–`` where there is none."""
    return "–" if math.isnan(figure.value) else f"{100 * figure.value:.1f}"


def limits(figure: Interval) -> str:
    """The interval of a share in hundredths: ``65.0 to 77.1``; empty where there is none."""
    return "" if math.isnan(figure.low) else f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"


def number(figure: Interval) -> str:
    """A figure that is no share, with its interval: ``1.31 (1.22 to 1.40)``; ``–`` where there is none."""
    if math.isnan(figure.value):
        return "–"
    text = f"{figure.value:.2f}"
    whole = text if math.isnan(figure.low) else f"{text} ({figure.low:.2f} to {figure.high:.2f})"
    return whole.replace("-", "−")


def p_value(p: float | None) -> str:
    """``< 0.001``, ``0.012``, ``–`` where there is none."""
    return "–" if p is None or math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
