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
