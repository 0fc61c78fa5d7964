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
    frames: Pixels,
    machine: Machine,
    seconds: Floats,
    rhythm: Rhythm,
    *,
    sweep_seconds: float = SWEEP_SECONDS,
    across: tuple[int, int] | None = None,
) -> None:
    """Draw the electrocardiogram below the sector of frames (in place), each `seconds` into the clip.

    The trace takes `sweep_seconds` from side to side; `across` is its first column and the one past its last,
    the whole screen if not given.
    """
    rows, style = frames.shape[1], machine.maker.trace
    first, past = across or (0, frames.shape[2])
    columns, now = past - first, seconds[:, None]
    age, wiped = sweep(columns, now, sweep_seconds)
    phases = rhythm.phases_at(now - age)
    top, height = style.top * rows, (style.bottom - style.top) * rows
    room = 0.94 * style.baseline  # for the R wave
    y = (top + height * (style.baseline - room * ecg_voltage(rhythm, now - age))).round().astype(np.int32)
    newest = ((seconds / sweep_seconds) % 1 * columns).astype(int).tolist()
    for frame, *trace in zip(frames, y, phases, wiped, newest, strict=True):
        _draw_trace(frame[:, first:past], machine, *trace)


def _draw_trace(
    strip: Pixels,
    machine: Machine,
    y: NDArray[np.int32],
    phase: Floats,
    wiped: NDArray[np.bool_],
    last: int,
) -> None:
    """Draw one frame's trace, of which `last` is the newest column; all else is [columns]."""
    (rows, columns), style = strip.shape[:2], machine.maker.trace
    thickness = max(1, round(rows / (200 if style.bold else 400)))
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
        strip[math.ceil(style.top * rows) : math.ceil(style.bottom * rows), last] = (200, 200, 200)


def sweep(columns: int, seconds: float | Floats, sweep_seconds: float) -> tuple[Floats, NDArray[np.bool_]]:
    """How old each column of a strip is that is written over from left to right again and again.

    Returns the ages at `seconds` (one, or float64 [frames, 1]) and which columns are wiped: float64, seconds,
    and bool, both [columns] or [frames, columns].
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
