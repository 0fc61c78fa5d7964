"""When the heart beats, and what it does within a beat.

The *phase* of a moment runs from 0 at end-diastole (the R wave) to 1 at the next. It is a mechanical one:
END_SYSTOLE is reached after a time that hardly depends on the heart rate, as in real hearts, so that a fast
heart has a short diastole.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from apical.phantom.anatomy import Floats

END_SYSTOLE = 0.35
# Seconds from the Q wave to the closing of the aortic valve, and less for each beat a minute: Weissler et al.
# 1968, Circulation 37:149-159.
SYSTOLE_SECONDS, SYSTOLE_A_BEAT = 0.546, 0.0021
Q_TO_R_SECONDS = 0.03
IRREGULAR = 0.22  # deviation of the time between beats in atrial fibrillation, of its mean

# One cycle by phase. The left ventricle contracts, the atrioventricular rings descend (and are drawn up by
# the atria at last), and the valves open, all from 0 to 1.
_Curve = tuple[tuple[float, float], ...]
_CONTRACTION: _Curve = (
    (0.00, 0.00), (0.05, 0.10), (0.12, 0.38), (0.20, 0.72), (0.28, 0.94), (0.35, 1.00), (0.42, 0.86),
    (0.48, 0.55), (0.55, 0.22), (0.62, 0.12), (0.80, 0.10), (0.88, 0.05), (0.95, 0.00), (1.00, 0.00),
)  # fmt: skip
_DESCENT: _Curve = (
    (0.00, 0.00), (0.05, 0.12), (0.12, 0.42), (0.20, 0.76), (0.28, 0.95), (0.35, 1.00), (0.42, 0.84),
    (0.48, 0.52), (0.55, 0.28), (0.62, 0.24), (0.82, 0.22), (0.89, 0.06), (0.95, 0.00), (1.00, 0.00),
)  # fmt: skip
_TWIST: _Curve = (
    (0.00, 0.00), (0.05, -0.05), (0.12, 0.30), (0.20, 0.70), (0.30, 0.98), (0.34, 1.00), (0.40, 0.70),
    (0.46, 0.38), (0.55, 0.15), (0.70, 0.05), (1.00, 0.00),
)  # fmt: skip
_MITRAL_OPENING: _Curve = (
    (0.00, 0.0), (0.40, 0.0), (0.45, 1.0), (0.50, 1.0), (0.58, 0.45), (0.84, 0.45), (0.91, 0.85),
    (0.95, 0.40), (0.99, 0.0), (1.00, 0.0),
)  # fmt: skip
_WITHOUT_ATRIA = ((0.84, 0.45), (0.95, 0.35), (0.99, 0.0))  # of the mitral opening in fibrillation
_AORTIC_OPENING: _Curve = ((0.00, 0.0), (0.04, 0.0), (0.08, 1.0), (0.31, 1.0), (0.35, 0.0), (1.00, 0.0))


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When the beats begin, and how strong each is.

    `onsets` are the R waves' seconds, float64 [beats + 1]; `strengths` (float64 [beats]) are 1 for a full
    beat. In atrial fibrillation the atria do not contract.
    """

    onsets: Floats
    strengths: Floats
    atria_contract: bool

    def beats_at(self, seconds: Floats) -> tuple[Floats, Floats]:
        """The beat's number and the phase within it at `seconds` (float64, any shape)."""
        beat = self._beat_at(seconds)
        since = np.asarray(seconds) - self.onsets[beat]
        length = np.diff(self.onsets)[beat]
        systole = _systole_seconds(length)
        phase = np.where(
            since < systole,
            since / systole * END_SYSTOLE,
            END_SYSTOLE + (since - systole) / (length - systole) * (1 - END_SYSTOLE),
        )
        return beat.astype(np.float64), np.clip(phase, 0, np.nextafter(1, 0))

    def around(self, seconds: Floats) -> tuple[Floats, Floats]:
        """Seconds since the R wave before `seconds` (float64, any shape), and until the next."""
        beat = self._beat_at(seconds)
        return seconds - self.onsets[beat], self.onsets[beat + 1] - seconds

    def _beat_at(self, seconds: Floats) -> NDArray[np.int64]:
        found = np.searchsorted(self.onsets, seconds, side="right") - 1
        return np.asarray(found.clip(0, len(self.strengths) - 1))

    def phases_at(self, seconds: Floats) -> Floats:
        """The phase at `seconds` (float64, any shape)."""
        return self.beats_at(seconds)[1]

    def state_at(self, seconds: Floats) -> "CardiacState":
        """What the heart does at `seconds` (float64 [frames])."""
        beat, phases = self.beats_at(seconds)
        return cardiac_state(phases, self.strengths[beat.astype(int)], self.atria_contract)


@dataclass(frozen=True, slots=True)
class CardiacState:
    """State of the pump at each frame; every array is float64 [frames], mostly between 0 and 1."""

    phases: Floats
    contraction: Floats
    descent: Floats
    twist: Floats
    mitral_opening: Floats
    aortic_opening: Floats

    def during(self, frames: slice) -> "CardiacState":
        """The states of some of the frames."""
        return CardiacState(*(getattr(self, part.name)[frames] for part in fields(self)))

    def held(self, frame: int, times: int) -> "CardiacState":
        """The state of one frame, `times` times."""
        return CardiacState(*(np.full(times, getattr(self, part.name)[frame]) for part in fields(self)))


def rhythm(
    heart_rate: float, fibrillates: bool, first: float, last: float, rng: np.random.Generator
) -> Rhythm:
    """Let a heart beat at `heart_rate` (beats per minute) from second `first` to `last`, at any phase there.

    In atrial fibrillation (`fibrillates`) no two beats are alike: a beat after a long pause is stronger.
    """
    mean = 60 / heart_rate
    count = int(np.ceil((last - first) / mean * 2)) + 4
    lengths = np.full(count, mean)
    if fibrillates:
        lengths = mean * np.clip(1 + IRREGULAR * rng.normal(size=count), 0.55, 1.9)
    start = first - lengths[0] - lengths[1] * float(rng.random())
    onsets = start + np.concatenate([[0.0], np.cumsum(lengths)])
    before = np.concatenate([lengths[:1], lengths[:-1]]) / mean
    strengths = np.clip(0.55 + 0.45 * before, 0.6, 1.15) if fibrillates else np.ones(count)
    return Rhythm(onsets, strengths, atria_contract=not fibrillates)


def cardiac_state(
    phases: Floats, strengths: Floats | float = 1.0, atria_contract: bool = True
) -> CardiacState:
    """Give the state of the pump at `phases` (float64 [frames], fraction of a cycle, 0 = end-diastole).

    `strengths` scale contraction, descent and twist.
    """
    wrapped = np.mod(phases, 1.0)

    def follow(curve: _Curve) -> Floats:
        return np.interp(wrapped, [knot[0] for knot in curve], [knot[1] for knot in curve])

    mitral, descent, contraction = _MITRAL_OPENING, _DESCENT, _CONTRACTION
    if not atria_contract:
        mitral = tuple(knot for knot in mitral if not 0.84 <= knot[0] <= 0.99)
        mitral = tuple(sorted((*mitral, *_WITHOUT_ATRIA)))
        descent, contraction = (
            tuple(knot for knot in curve if not 0.60 < knot[0] < 0.95) for curve in (descent, contraction)
        )
    return CardiacState(
        phases=wrapped,
        contraction=follow(contraction) * strengths,
        descent=follow(descent) * strengths,
        twist=follow(_TWIST) * strengths,
        mitral_opening=follow(mitral),
        aortic_opening=follow(_AORTIC_OPENING),
    )


def _systole_seconds(length: Floats) -> Floats:
    """Seconds from the R wave to end-systole in beats of `length` seconds."""
    return np.clip(SYSTOLE_SECONDS - SYSTOLE_A_BEAT * 60 / length - Q_TO_R_SECONDS, 0.15, 0.75 * length)
