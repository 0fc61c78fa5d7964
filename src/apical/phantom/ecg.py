"""The electrocardiogram that runs below the sector."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.phantom.anatomy import Floats
from apical.phantom.cycle import Rhythm
from apical.phantom.machine import Machine
from apical.phantom.screen import Pixels, Region, Screen

ECG_TOP = 0.89  # of the height; the strip below the sector
SWEEP_SECONDS = 2.5  # one screen width of ECG
# Seconds from the R wave, width in seconds, and height of the waves P, Q, R and S: no rate changes them much.
_P = (-0.15, 0.024, 0.13)
_QRS = ((-0.024, 0.008, -0.10), (0.0, 0.012, 1.0), (0.025, 0.011, -0.25))
_T = (0.28, 0.05, 0.25)  # phase, width in phases, height: it ends with systole


def ecg_voltage(rhythm: Rhythm, seconds: Floats) -> Floats:
    """Voltage at `seconds` (float64, any shape); the R wave is 1 high, at end-diastole.

    Where the atria do not contract together there is no P wave.
    """
    since, until = rhythm.around(seconds)
    voltage = np.zeros_like(since)
    for at, width, height in (*((_P,) if rhythm.atria_contract else ()), *_QRS):
        nearest = np.minimum(np.abs(since - at), np.abs(until + at))  # of the beat before and the next
        voltage += height * np.exp(-((nearest / width) ** 2))
    at, width, height = _T
    voltage += height * np.exp(-(((rhythm.phases_at(seconds) - at) / width) ** 2))
    return voltage


def draw_ecg(
    canvas: Pixels,
    machine: Machine,
    seconds: float,
    rhythm: Rhythm,
    *,
    sweep_seconds: float = SWEEP_SECONDS,
    across: tuple[int, int] | None = None,
) -> None:
    """Draw the electrocardiogram of one frame, `seconds` into the clip, below the sector (in place).

    The trace takes `sweep_seconds` from side to side; `across` is its first column and the one past its last,
    the whole screen if not given.
    """
    rows, style = len(canvas), machine.maker.trace
    first, past = across or (0, canvas.shape[1])
    strip, columns = canvas[:, first:past], past - first
    age, wiped = sweep(columns, seconds, sweep_seconds)
    phase = rhythm.phases_at(seconds - age)
    top, height = style.top * rows, (style.bottom - style.top) * rows
    room = 0.94 * style.baseline  # for the R wave
    y = (top + height * (style.baseline - room * ecg_voltage(rhythm, seconds - age))).round().astype(np.int32)
    thickness = max(1, round(rows / (200 if style.bold else 400)))
    last = int((seconds / sweep_seconds) % 1 * columns)
    x = np.arange(columns, dtype=np.int32)
    for part in (slice(0, last + 1), slice(int(np.flatnonzero(wiped).max(initial=last)) + 1, columns)):
        points = np.stack([x[part], y[part]], axis=-1)
        if len(points) > 1:
            cv2.polylines(strip, [points], False, machine.ecg_colour, thickness)
        if style.beats:
            beats = x[part][1:][np.diff(phase[part]) < -0.5]
            strip[rows - max(3, rows // 60) : rows - 1, beats] = machine.ecg_colour
    if style.cursor == "dot":
        cv2.circle(strip, (last, int(y[last])), max(1, rows // 130), (255, 255, 255), -1)
    elif style.cursor == "line":
        strip[math.ceil(top) : math.ceil(top + height), last] = (200, 200, 200)


def sweep(columns: int, seconds: float, sweep_seconds: float) -> tuple[Floats, NDArray[np.bool_]]:
    """How old each column of a strip is that is written over from left to right again and again.

    Returns the ages at `seconds` (float64 [columns], seconds) and which columns are wiped (bool [columns]).
    """
    x = np.arange(columns)
    now = (seconds / sweep_seconds) % 1 * columns
    age = np.where(x <= now, (now - x), (now - x + columns)) / columns * sweep_seconds
    return age, (x - now > 0) & (x - now < columns * 0.03)


def ecg_region(rows: int, x0: int, x1: int, sweep_seconds: float = SWEEP_SECONDS) -> Region:
    """The electrocardiogram between two columns as a region."""
    seconds_a_column = sweep_seconds / (x1 - x0 + 1)
    top = math.floor(ECG_TOP * rows)
    return Region(4, 10, x0, top, x1, rows - 1, units=(4, 0), deltas=(seconds_a_column, 1.0))


def ecg_strip(screen: Screen) -> tuple[int, int]:
    """First row and the row past the last of the electrocardiogram."""
    return math.floor(ECG_TOP * screen.rows), screen.rows
