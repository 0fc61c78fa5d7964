"""The screen around a strip that runs over time: a spectrum, or one beam in M-mode."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from apical.phantom.anatomy import Floats
from apical.phantom.clip import Sight, compose
from apical.phantom.cycle import Rhythm, rhythm
from apical.phantom.ecg import ECG_TOP, draw_ecg, ecg_region, sweep
from apical.phantom.machine import Machine
from apical.phantom.screen import (
    Pixels,
    Region,
    Screen,
    lay_out,
    sector_region,
)
from apical.phantom.shot import House, Pen, Shot, house, surround

STILL_SHARE = 0.7  # of the strips
SWEEP = (2.2, 4.5)  # seconds from side to side
SMALL_SECTOR = 0.38  # of the screen's height
_TINTS = {"sepia": (1.0, 0.84, 0.58), "blue": (0.74, 0.87, 1.0)}


@dataclass(frozen=True, slots=True)
class Strip:
    """Where a strip lies, and when its frames are; `x0` to `x1` and `y0` to `y1` are its pixels.

    Time runs in columns: column 0 of `times` is one sweep before the strip's second 0.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    sweep_seconds: float
    seconds: Floats  # of each frame, float64 [frames]
    rhythm: Rhythm
    frame_time_ms: float

    @property
    def width(self) -> int:
        """Its columns."""
        return self.x1 - self.x0 + 1

    @property
    def height(self) -> int:
        """Its rows."""
        return self.y1 - self.y0 + 1

    @property
    def times(self) -> Floats:
        """The second of each column that is ever shown, float64 [times]."""
        newest = math.ceil(float(self.seconds[-1]) / self.sweep_seconds * self.width) + 1
        return np.arange(-self.width, newest, dtype=np.float64) * (self.sweep_seconds / self.width)

    @property
    def beats(self) -> Floats:
        """The number of the beat at each of `times`; the fraction is the phase, float64 [times]."""
        number, phases = self.rhythm.beats_at(self.times)
        return number + phases

    @property
    def first_phase(self) -> float:
        """The phase of the heart at the first frame."""
        return float(self.rhythm.phases_at(self.seconds[:1])[0])

    def shown(self, image: Pixels, frame: int) -> Pixels:
        """What a frame shows of `image` (uint8 [height, times]): uint8 [height, width]."""
        second = float(self.seconds[frame])
        age, wiped = sweep(self.width, second, self.sweep_seconds)
        column = np.round((second - age) / self.sweep_seconds * self.width).astype(int) + self.width
        picture = image[:, np.clip(column, 0, image.shape[1] - 1)]
        picture[:, wiped] = 0
        return picture


def strip_of(shot: Shot) -> Strip:
    """Lay out a strip over most of the width, in the lower part of the screen."""
    rng, style, rows = shot.rng, house(shot.machine), shot.rows
    still = shot.frames == 1 or rng.random() < STILL_SHARE
    seconds = float(rng.uniform(*SWEEP))
    margin = 0.11 * shot.columns
    x0 = round(margin if style.scale_left else 0.02 * shot.columns)
    x1 = round(shot.columns - 1 - (0.02 * shot.columns if style.scale_left else margin))
    width = x1 - x0 + 1
    top = (SMALL_SECTOR + 0.09 if style.sector_above else 0.28) * rows
    frame_time_ms = round(float(rng.uniform(28, 50)), 3)
    if still:  # the sweep has just been completed
        frames = np.array([seconds * (1 - 0.5 / width)])
    else:
        frames = float(rng.uniform(0.1, 0.9)) * seconds + np.arange(shot.frames) * frame_time_ms / 1000
    return Strip(
        x0=x0,
        y0=round(top),
        x1=x1,
        y1=math.floor((ECG_TOP - 0.025) * rows),
        sweep_seconds=seconds,
        seconds=frames,
        rhythm=rhythm(
            shot.heart_rate,
            shot.patient.atrial_fibrillation,
            -seconds - 1,
            float(frames[-1]) + 1,
            rng,
        ),
        frame_time_ms=frame_time_ms,
    )


def small_sector(machine: Machine, rows: int, depth_mm: float) -> Screen:
    """Place the sector in the upper part of the screen, above a strip."""
    full = lay_out(machine, rows, depth_mm)
    height = SMALL_SECTOR * rows
    return replace(
        full,
        apex_x=(0.64 if house(machine).sector_right else 0.5) * full.columns,
        apex_y=0.035 * rows,
        mm_per_pixel=depth_mm / height,
    )


def screen_around(shot: Shot, strip: Strip, sight: Sight, texts: tuple[str, ...]) -> Pixels:
    """Draw all but the strip's content: RGB uint8 [rows, columns, 3]."""
    style, machine = house(shot.machine), shot.machine
    below = (0, strip.y0 - 2, shot.columns - 1, shot.rows - 1)
    unit = strip.y0 - 8 - round(1.2 * machine.text_height * shot.rows)  # stands above the scale
    beside = (0, strip.x0 + 30) if style.scale_left else (strip.x1 - 6, shot.columns - 1)
    area = (below, (beside[0], unit, beside[1], strip.y0))
    if style.sector_above:
        canvas = surround(shot, sight.screen, sight.inside, area, texts)
        canvas = compose(sight.gray[:1], canvas, machine)[0]
    else:
        plain = replace(shot, machine=replace(machine, marker="none", depth_ticks="none"))
        canvas = surround(plain, sight.screen, np.zeros_like(sight.inside), area, texts)
    canvas[strip.y0 : strip.y1 + 1, strip.x0 : strip.x1 + 1] = 0
    return canvas


def frames_of(shot: Shot, strip: Strip, canvas: Pixels, image: Pixels, lines: Pixels) -> Pixels:
    """Fill the strip of `canvas` with `image` (uint8 [height, times]), frame by frame.

    `lines` (RGB uint8 [height, width, 3]) are laid over it; the electrocardiogram runs below.
    """
    style, machine = house(shot.machine), shot.machine
    tint = np.array(_TINTS.get(style.strip_tint, machine.tint))
    frames = np.repeat(canvas[None], len(strip.seconds), axis=0)
    for number, frame in enumerate(frames):
        picture = strip.shown(image, number)[..., None] * tint
        area = frame[strip.y0 : strip.y1 + 1, strip.x0 : strip.x1 + 1]
        area[:] = np.where(lines.any(axis=-1, keepdims=True), lines, picture.astype(np.uint8))
    if machine.ecg:
        across = (strip.x0, strip.x1 + 1)
        draw_ecg(
            frames, machine, strip.seconds, strip.rhythm, sweep_seconds=strip.sweep_seconds, across=across
        )
    return frames


def draw_scale(
    canvas: Pixels, shot: Shot, strip: Strip, rows: list[float], labels: list[str], unit: str
) -> None:
    """Draw ticks with `labels` at `rows` of the strip beside it, and ticks of time below, in place."""
    style = house(shot.machine)
    gray = shot.machine.ink
    pen = Pen(canvas, shot.machine, size=0.85)
    edge, outwards = (strip.x0 - 2, -1) if style.scale_left else (strip.x1 + 2, 1)
    cv2.line(canvas, (edge, strip.y0), (edge, strip.y1), gray, 1)
    lowest = strip.y0 - pen.height
    for row, label in sorted(zip(rows, labels, strict=True)):
        y = round(strip.y0 + row)
        cv2.line(canvas, (edge, y), (edge + outwards * max(2, shot.columns // 120), y), gray, 1)
        foot = y + pen.height // 2
        if label and foot - pen.height > lowest + 2 and foot < strip.y1 + 2:
            pen.write(label, edge + outwards * max(5, shot.columns // 70), foot, right=style.scale_left)
            lowest = foot
    pen.write(unit, edge + outwards * 3, strip.y0 - 4, right=style.scale_left)
    for fifth in range(int(strip.sweep_seconds * 5) + 1):
        x = round(strip.x0 + fifth / 5 / strip.sweep_seconds * strip.width)
        length = (4 if fifth % 5 == 0 else 2) * max(1, shot.rows // 300)
        cv2.line(canvas, (x, strip.y1 + 1), (x, strip.y1 + length), gray, 1)


def draw_cursor(canvas: Pixels, screen: Screen, angle: float, gate_mm: float | None, style: House) -> None:
    """Draw the beam of a strip on the small sector, with its gate if it has one, in place."""
    colour = style.box_line
    dots = np.linspace(screen.near_mm + 3, screen.depth_mm, max(12, screen.rows // 6))
    if gate_mm is not None:
        dots = dots[np.abs(dots - gate_mm) > 5]
    for x, y in screen.to_pixels(dots, np.full_like(dots, angle)).round().astype(int):
        canvas[y, x] = colour
    if gate_mm is not None:
        across = 5 / max(gate_mm, 20)
        for depth in (gate_mm - 3, gate_mm + 3):
            ends = screen.to_pixels(np.full(2, depth), np.array([angle - across, angle + across]))
            start, stop = ends.round().astype(int).tolist()
            cv2.line(canvas, start, stop, colour, 1, cv2.LINE_AA)


def strip_regions(shot: Shot, strip: Strip, sight: Sight, own: Region) -> tuple[Region, ...]:
    """The regions of a screen with a strip: the small sector, the strip (`own`) and the ECG, if shown."""
    above = (sector_region(sight.screen),) if house(shot.machine).sector_above else ()
    ecg = (ecg_region(shot.rows, strip.x0, strip.x1, strip.sweep_seconds),) if shot.machine.ecg else ()
    return (*above, own, *ecg)


def dotted_lines(strip: Strip, rows: list[float], gray: int) -> Pixels:
    """Dotted lines across the strip at some of its rows: RGB uint8 [height, width, 3]."""
    lines = np.zeros((strip.height, strip.width, 3), np.uint8)
    for row in rows:
        if 0 <= round(row) < strip.height:
            lines[round(row), ::6] = gray
    return lines
