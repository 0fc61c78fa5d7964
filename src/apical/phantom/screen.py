"""The picture on the screen: scan conversion, and everything burnt in around the sector."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.phantom.anatomy import Floats
from apical.phantom.machine import Machine
from apical.phantom.shapes import PolarGrid

Pixels = NDArray[np.uint8]

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_PIXELS = 22.0  # height of FONT at scale 1
ECG_TOP = 0.89  # of the height; the strip below the sector
SWEEP_SECONDS = 2.5  # one screen width of ECG


@dataclass(frozen=True, slots=True)
class Screen:
    """Where the sector lies on the canvas, in pixels; a millimetre is as long across as down."""

    rows: int
    columns: int
    apex_x: float
    apex_y: float
    mm_per_pixel: float
    near_mm: float
    depth_mm: float
    half_angle: float  # radians

    def polygon(self) -> Floats:
        """Outline of the sector, float64 [corners, 2] (x, y)."""
        angles = np.linspace(-self.half_angle, self.half_angle, 25)
        face = self.to_pixels(np.full_like(angles, self.near_mm), angles)
        far = self.to_pixels(np.full_like(angles, self.depth_mm), angles)
        return np.concatenate([face, far[::-1]])

    def region(self) -> tuple[int, int, int, int]:
        """Bounding box of the sector: first column, first row, last column, last row."""
        corners = self.polygon()
        x0, y0 = np.floor(corners.min(axis=0)).astype(int)
        x1, y1 = np.ceil(corners.max(axis=0)).astype(int)
        return int(x0), int(y0), int(x1), int(y1)

    def maps(self, grid: PolarGrid) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Sample index, beam index and "is in the sector" of each pixel: [rows, columns]."""
        y, x = np.mgrid[0 : self.rows, 0 : self.columns].astype(np.float32)
        down, right = (y - self.apex_y) * self.mm_per_pixel, (x - self.apex_x) * self.mm_per_pixel
        ranges, angles = np.hypot(down, right), np.arctan2(right, down)
        sample = ((ranges - grid.ranges[0]) / grid.sample_mm).astype(np.float32)
        beam = ((angles - grid.angles[0]) / grid.beam_radians).astype(np.float32)
        inside = (
            (sample >= 0) & (sample <= len(grid.ranges) - 1) & (beam >= 0) & (beam <= len(grid.angles) - 1)
        )
        return sample, beam, inside

    def to_pixels(self, ranges: Floats, angles: Floats) -> Floats:
        """Where points at `ranges` (mm) and `angles` (radians; float64 [points]) are, [points, 2] (x, y)."""
        x = self.apex_x + ranges * np.sin(angles) / self.mm_per_pixel
        y = self.apex_y + ranges * np.cos(angles) / self.mm_per_pixel
        return np.stack([x, y], axis=-1)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the screen as tags tell of it: PS3.3 C.8.5.5.1; pixels, the last ones included."""

    spatial_format: int  # 1 two-dimensional, 2 M-mode, 3 spectral, 4 waveform, 5 graphics
    data_type: int  # 1 tissue, 2 colour flow, 3 PW, 4 CW, 10 ECG, 13 gray bar, 14 colour bar
    x0: int
    y0: int
    x1: int
    y1: int
    units: tuple[int, int] = (0, 0)  # across and down: 0 none, 3 cm, 4 s, 7 cm/s
    deltas: tuple[float, float] = (1.0, 1.0)  # units a pixel


def sector_region(screen: Screen) -> Region:
    """The sector as a region of tissue."""
    centimetres = screen.mm_per_pixel / 10
    return Region(1, 1, *screen.region(), units=(3, 3), deltas=(centimetres, centimetres))


def lay_out(machine: Machine, rows: int, depth_mm: float) -> Screen:
    """Place the sector of `machine` on a canvas of `rows` pixels height."""
    columns = round(rows * machine.aspect / 2) * 2
    return Screen(
        rows=rows,
        columns=columns,
        apex_x=machine.sector_centre * columns,
        apex_y=machine.sector_top * rows,
        mm_per_pixel=depth_mm / (machine.sector_height * rows),
        near_mm=machine.near_mm,
        depth_mm=depth_mm,
        half_angle=machine.half_angle,
    )


def scan_convert(
    polar: Pixels, screen: Screen, grid: PolarGrid, machine: Machine
) -> tuple[Pixels, NDArray[np.bool_]]:
    """Turn gray polar frames (uint8 [frames, beams, samples]) into the sector as the screen shows it.

    Returns gray frames (uint8 [frames, rows, columns], 0 outside the sector) and where the sector is (bool
    [rows, columns]).
    """
    sample, beam, inside = screen.maps(grid)
    curve = (255 * np.linspace(0, 1, 256) ** machine.gray_exponent).round().astype(np.uint8)
    frames = np.zeros((len(polar), screen.rows, screen.columns), np.uint8)
    maps = cv2.convertMaps(sample, beam, cv2.CV_16SC2)
    for frame, echoes in zip(frames, polar, strict=True):
        image = cv2.remap(echoes, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if machine.sharpening:
            smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
            image = cv2.addWeighted(image, 1 + machine.sharpening, smooth, -machine.sharpening, 0)
        cv2.LUT(image, curve, dst=frame)
        frame[~inside] = 0
    return frames, inside


def draw_frame(machine: Machine, screen: Screen, inside: NDArray[np.bool_], texts: tuple[str, ...]) -> Pixels:
    """Draw what does not move around the sector: text, marker, bar, ticks. RGB uint8 [rows, columns, 3]."""
    canvas = np.full((screen.rows, screen.columns, 3), machine.background, np.uint8)
    taken = inside.copy()
    _draw_marker(canvas, machine, screen)
    if machine.gray_bar != "none":
        _draw_gray_bar(canvas, machine.gray_bar == "left", taken)
    if machine.depth_ticks != "none":
        _draw_ticks(canvas, machine.depth_ticks == "left", screen, taken)
    _draw_texts(canvas, machine, texts, taken)
    canvas[inside] = 0
    return canvas


def draw_ecg(
    canvas: Pixels,
    machine: Machine,
    seconds: float,
    heart_rate: float,
    phase_at_zero: float,
    *,
    sweep_seconds: float = SWEEP_SECONDS,
    across: tuple[int, int] | None = None,
) -> None:
    """Draw the electrocardiogram of one frame, `seconds` into the clip, below the sector (in place).

    It takes `sweep_seconds` from side to side; `across` is its first column and the one past its last, the
    whole screen if not given.
    """
    rows, columns = canvas.shape[:2]
    first, past = across or (0, columns)
    columns = past - first
    age, wiped = sweep(columns, seconds, sweep_seconds)
    phase = (phase_at_zero + (seconds - age) * heart_rate / 60) % 1
    voltage = (
        np.exp(-(((phase - 0.02) / 0.012) ** 2))  # R
        - 0.25 * np.exp(-(((phase - 0.045) / 0.012) ** 2))  # S
        + 0.25 * np.exp(-(((phase - 0.30) / 0.05) ** 2))  # T
        + 0.13 * np.exp(-(((phase - 0.87) / 0.03) ** 2))  # P
    )
    top, height = ECG_TOP * rows, (0.985 - ECG_TOP) * rows
    x, y = np.arange(columns), (top + height * (0.8 - 0.75 * voltage)).round().astype(np.int32)
    newest = x <= (seconds / sweep_seconds) % 1 * columns
    for part in (newest, ~newest & ~wiped):
        points = np.stack([first + x[part], y[part]], axis=-1)
        if len(points) > 1:
            cv2.polylines(canvas, [points], False, machine.ecg_colour, 1)


def sweep(columns: int, seconds: float, sweep_seconds: float) -> tuple[Floats, NDArray[np.bool_]]:
    """How old each column of a strip is that is written over from left to right again and again.

    Returns the ages at `seconds` (float64 [columns], seconds) and which columns are wiped (bool [columns]).
    """
    x = np.arange(columns)
    now = (seconds / sweep_seconds) % 1 * columns
    age = np.where(x <= now, (now - x), (now - x + columns)) / columns * sweep_seconds
    return age, (x - now > 0) & (x - now < columns * 0.03)


def ecg_region(rows: int, x0: int, x1: int) -> Region:
    """The electrocardiogram between two columns as a region."""
    return Region(4, 10, x0, math.floor(ECG_TOP * rows), x1, rows - 1, units=(4, 0))


def ecg_strip(screen: Screen) -> tuple[int, int]:
    """First row and the row past the last of the electrocardiogram."""
    return math.floor(ECG_TOP * screen.rows), screen.rows


def _draw_marker(canvas: Pixels, machine: Machine, screen: Screen) -> None:
    side = 1 if machine.marker_right else -1
    at = (round(screen.apex_x + side * 0.06 * screen.columns), round(screen.apex_y + 0.012 * screen.rows))
    if machine.marker == "dot":
        cv2.circle(canvas, at, max(2, screen.rows // 90), (60, 200, 150), -1, cv2.LINE_AA)
    elif machine.marker == "letter":
        scale = machine.text_height * screen.rows / FONT_PIXELS
        cv2.putText(canvas, "V", at, FONT, scale, (220, 220, 220), 1, cv2.LINE_AA)


def _draw_gray_bar(canvas: Pixels, left: bool, taken: NDArray[np.bool_]) -> None:
    rows, columns = taken.shape
    width, top, bottom = max(3, columns // 50), round(0.30 * rows), round(0.62 * rows)
    first = round(0.02 * columns) if left else round(0.965 * columns)
    area = (slice(top, bottom), slice(first, first + width))
    if not taken[area].any():
        canvas[area] = np.linspace(255, 0, bottom - top).astype(np.uint8)[:, None, None]
        taken[area] = True


def _draw_ticks(canvas: Pixels, left: bool, screen: Screen, taken: NDArray[np.bool_]) -> None:
    edge = 1 if left else screen.columns - 2
    inwards = 1 if left else -1
    for centimetre in range(int(screen.depth_mm // 10) + 1):
        y = round(screen.apex_y + 10 * centimetre / screen.mm_per_pixel)
        length = 5 if centimetre % 5 == 0 else 2
        x = sorted((edge, edge + inwards * length))
        if y < screen.rows and not taken[y, x[0] : x[1] + 1].any():
            canvas[y, x[0] : x[1] + 1] = 180
            taken[y, x[0] : x[1] + 1] = True


def _draw_texts(canvas: Pixels, machine: Machine, texts: tuple[str, ...], taken: NDArray[np.bool_]) -> None:
    """Write the lines of text block by block, wherever a line covers neither the sector nor other marks."""
    rows, columns = taken.shape
    scale = machine.text_height * rows / FONT_PIXELS
    line = round(1.45 * machine.text_height * rows)
    starts = {
        "top-left": (0.02, 0.06, False),
        "top-right": (0.98, 0.06, True),
        "left": (0.04, 0.33, False),
        "right": (0.94, 0.33, True),
        "bottom-left": (0.02, 0.70, False),
    }
    remaining = list(texts)
    for block in machine.text_blocks:
        x, y, right_aligned = starts[block]
        row = round(y * rows)
        for text in remaining[:3]:
            (width, height), below = cv2.getTextSize(text, FONT, scale, 1)
            first = round(x * columns) - (width if right_aligned else 0)
            area = taken[row - height - 2 : row + below + 1, max(0, first - 2) : first + width + 2]
            if first >= 0 and row + below < ECG_TOP * rows and not area.any():
                cv2.putText(canvas, text, (first, row), FONT, scale, (machine.text_gray,) * 3, 1, cv2.LINE_AA)
                area[:] = True
                remaining.remove(text)
            row += line
