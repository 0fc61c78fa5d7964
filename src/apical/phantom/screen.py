"""Where the sector lies on the screen, and scan conversion into it."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.phantom.anatomy import Floats
from apical.phantom.machine import Machine, gray_map
from apical.phantom.shapes import PolarGrid

Pixels = NDArray[np.uint8]

BLUR = 1.0  # pixels, deviation of what sharpening compares a picture with
BESIDE = round(3 * BLUR) + 1  # pixels beside the sector that this looks at, and one more


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
    face_mm: float = 0.0  # from the apex to the skin, of a curved transducer: depths count from there
    flat_face: bool = False  # the sector begins at a straight line, not at an arc around its apex

    def polygon(self) -> Floats:
        """Outline of the sector, float64 [corners, 2] (x, y)."""
        angles = np.linspace(-self.half_angle, self.half_angle, 25)
        near = self.near_mm / (np.cos(angles) if self.flat_face else np.ones_like(angles))
        face = self.to_pixels(near, angles)
        far = self.to_pixels(np.full_like(angles, self.depth_mm), angles)
        return np.concatenate([face, far[::-1]])

    def region(self) -> tuple[int, int, int, int]:
        """Bounding box of the sector: first column, first row, last column, last row."""
        corners = self.polygon()
        x0, y0 = np.floor(corners.min(axis=0)).astype(int)
        x1, y1 = np.ceil(corners.max(axis=0)).astype(int)
        return int(x0), int(y0), int(x1), int(y1)

    def maps(
        self, grid: PolarGrid, box: tuple[slice, slice] = np.s_[:, :]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Sample index, beam index and "is in the sector" of each pixel: [rows, columns] (of a `box`)."""
        rows, columns = (np.arange(size, dtype=np.float32) for size in (self.rows, self.columns))
        y, x = rows[box[0], None], columns[box[1]]
        down, right = (y - self.apex_y) * self.mm_per_pixel, (x - self.apex_x) * self.mm_per_pixel
        ranges, angles = np.hypot(down, right), np.arctan2(right, down)
        sample = ((ranges - grid.ranges[0]) / grid.sample_mm).astype(np.float32)
        beam = ((angles - grid.angles[0]) / grid.beam_radians).astype(np.float32)
        inside = (
            (sample >= 0) & (sample <= len(grid.ranges) - 1) & (beam >= 0) & (beam <= len(grid.angles) - 1)
        )
        if self.flat_face:
            inside &= down >= self.near_mm
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
    deltas: tuple[float, float] = (1.0, 1.0)  # units a pixel, to the right and down
    zero_row: int | None = None  # counted from y0, where a speed is 0


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
        flat_face=machine.maker.flat_face,
    )


def enlarge(screen: Screen, middle_mm: float, reach_mm: float) -> Screen:
    """Show only the part of a sector within about `reach_mm` of the point `middle_mm` straight ahead."""
    near, far = max(screen.near_mm, middle_mm - reach_mm), middle_mm + reach_mm
    half_angle = min(screen.half_angle, math.atan(1.1 * reach_mm / middle_mm))
    height = screen.depth_mm / screen.mm_per_pixel  # of the whole sector, pixels
    top = near * math.cos(half_angle)  # of its corners
    mm_per_pixel = max((far - top) / height, 2 * far * math.sin(half_angle) / (0.9 * screen.columns))
    return replace(
        screen,
        apex_y=screen.apex_y - top / mm_per_pixel,
        mm_per_pixel=mm_per_pixel,
        near_mm=near,
        depth_mm=far,
        flat_face=False,
        half_angle=half_angle,
    )


def scan_convert(
    polar: Pixels, screen: Screen, grid: PolarGrid, machine: Machine
) -> tuple[Pixels, NDArray[np.bool_]]:
    """Turn gray polar frames (uint8 [frames, beams, samples]) into the sector as the screen shows it.

    Returns gray frames (uint8 [frames, rows, columns], 0 outside the sector) and where the sector is (bool
    [rows, columns]).
    """
    x0, y0, x1, y1 = screen.region()
    box = np.s_[max(0, y0 - BESIDE) : y1 + BESIDE, max(0, x0 - BESIDE) : x1 + BESIDE]
    sample, beam, within = screen.maps(grid, box)
    curve = gray_map(machine)
    frames = np.zeros((len(polar), screen.rows, screen.columns), np.uint8)
    maps = cv2.convertMaps(sample, beam, cv2.CV_16SC2)
    for frame, echoes in zip(frames, polar, strict=True):
        image = cv2.remap(echoes, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if machine.sharpening:
            smooth = cv2.GaussianBlur(image, (0, 0), BLUR)
            image = cv2.addWeighted(image, 1 + machine.sharpening, smooth, -machine.sharpening, 0)
        np.multiply(cv2.LUT(image, curve), within.view(np.uint8), out=frame[box])
    inside = np.zeros((screen.rows, screen.columns), np.bool_)
    inside[box] = within
    return frames, inside
