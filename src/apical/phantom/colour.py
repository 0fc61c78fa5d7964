"""Clips by colour Doppler: blood in a box, or the walls of the heart, painted by their velocity."""

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.phantom.anatomy import Floats
from apical.phantom.clip import Sight, compose
from apical.phantom.colour_map import ColourBar, colour_map
from apical.phantom.ecg import draw_ecg, ecg_region
from apical.phantom.flow import Field, blood_velocity, wall_velocity
from apical.phantom.heart import Tissue
from apical.phantom.screen import Pixels, Region, Screen, sector_region
from apical.phantom.shapes import PolarGrid
from apical.phantom.shot import COLOUR, POWER, TWO_D, ModeClip, Shot, house, surround

NYQUIST = (0.45, 0.75)  # m/s, of blood
TISSUE_NYQUIST = (0.10, 0.18)
WALL_FILTER = 0.11  # of Nyquist; slower blood is not painted
POWER_SHARE = 0.15  # of the clips of blood
TISSUE_PRIORITY = 130  # gray level from which an echo is tissue, never blood
STRIDE = 2  # the grid of velocities is coarser than that of echoes


def colour_clip(shot: Shot) -> ModeClip:
    """Blood painted in a box of the sector."""
    rng, style = shot.rng, house(shot.machine)
    sight = shot.look()
    power = rng.random() < POWER_SHARE
    scale = float(rng.uniform(*NYQUIST))
    name = "power" if power else style.flow_map
    texts = (*shot.texts[:2], "CPA" if power else "CF", f"{rng.integers(40, 75)}%", *shot.texts[2:])
    bar = ColourBar(shot, name, scale)
    canvas = surround(shot, sight.screen, sight.inside, (bar.room,), texts)
    bar.draw(canvas)
    pictures = compose(sight.gray, canvas, shot.machine)
    box = blood_box(sight, rng)
    painted = paint_blood(pictures, sight, box, name, scale, rng)
    for picture in painted:
        outline(picture, sight.screen, box, style.box_line)
    return _finished(shot, sight, painted, POWER if power else COLOUR, box, bar)


def tissue_clip(shot: Shot) -> ModeClip:
    """Walls painted in most or all of the sector."""
    rng, style = shot.rng, house(shot.machine)
    sight = shot.look()
    scale = float(rng.uniform(*TISSUE_NYQUIST))
    texts = (*shot.texts[:2], "TVI", f"{rng.integers(90, 180)} Hz", *shot.texts[2:])
    bar = ColourBar(shot, style.tissue_map, scale)
    canvas = surround(shot, sight.screen, sight.inside, (bar.room,), texts)
    bar.draw(canvas)
    pictures = compose(sight.gray, canvas, shot.machine)
    whole = rng.random() < 0.6
    box = part_of(sight.grid, (0.02, 1) if whole else (0.05, 0.92), (0, 1) if whole else (0.12, 0.88))
    painted = paint_walls(pictures, sight, box, style.tissue_map, scale, rng)
    if not whole:
        for picture in painted:
            outline(picture, sight.screen, box, style.box_line)
    return _finished(shot, sight, painted, COLOUR, box, bar)


def part_of(grid: PolarGrid, depth: tuple[float, float], width: tuple[float, float]) -> PolarGrid:
    """A part of the sector, as fractions of its depth and width, with every second beam and sample."""
    samples, beams = len(grid.ranges) - 1, len(grid.angles) - 1
    first, last = round(depth[0] * samples), round(depth[1] * samples)
    left, right = round(width[0] * beams), round(width[1] * beams)
    return PolarGrid(grid.ranges[first : last + 1 : STRIDE], grid.angles[left : right + 1 : STRIDE])


def tissue_of(sight: Sight, box: PolarGrid) -> NDArray[np.uint8]:
    """The tissue of each sample of a `box` made by `part_of`, uint8 [frames, beams, samples]."""
    beams = np.searchsorted(sight.grid.angles, box.angles)
    samples = np.searchsorted(sight.grid.ranges, box.ranges)
    return sight.labels[:, beams[:, None], samples]


def blood_box(sight: Sight, rng: np.random.Generator) -> PolarGrid:
    """A box that holds much blood, of some places drawn at random."""
    boxes = []
    for _ in range(8):
        deep, wide = rng.uniform(0.32, 0.62), rng.uniform(0.4, 0.75)
        top, left = rng.uniform(0.15, 0.95 - deep), rng.uniform(0.02, 0.98 - wide)
        boxes.append(part_of(sight.grid, (top, top + deep), (left, left + wide)))
    return max(boxes, key=lambda box: float(np.mean(tissue_of(sight, box) == Tissue.BLOOD)))


def paint_blood(
    pictures: Pixels,
    sight: Sight,
    box: PolarGrid,
    name: str,
    nyquist: float,
    rng: np.random.Generator,
) -> Pixels:
    """Paint the moving blood in `box` by colour map `name`; returns RGB uint8 like `pictures`.

    Blood faster than `nyquist` (m/s) takes the colours of the other direction.
    """
    velocity, turbulence = blood_velocity(sight, box, rng)
    velocity /= nyquist
    velocity += 0.05 * _blurred(rng.normal(size=velocity.shape), 0.7)
    velocity += turbulence * rng.normal(0, 0.7, velocity.shape)
    blood = _blurred(tissue_of(sight, box) == Tissue.BLOOD, 0.7)
    moving = np.clip(np.abs(velocity) / WALL_FILTER - 0.4, 0, 1)
    heard = blood * (np.maximum(moving, 0.75) if name == "power" else moving)
    heard += 0.22 * _blurred(rng.normal(size=velocity.shape), 1.0)
    if name == "power":
        velocity = np.clip(0.9 * heard + np.abs(velocity) - 0.9, -0.95, 0.95)
    sample, beam, in_box = sight.screen.maps(box)
    on_screen = _Remap(sample, beam)
    colours = colour_map(name)
    painted = pictures.copy()
    for number, picture in enumerate(painted):
        seen = in_box & (on_screen(heard[number]) > 0.5) & (sight.gray[number] < TISSUE_PRIORITY)
        turn = math.pi * velocity[number]
        wrapped = np.arctan2(on_screen(np.sin(turn)), on_screen(np.cos(turn))) / math.pi
        paint = colours[((wrapped + 1) * 127.5).astype(np.uint8)]
        if name == "variance":
            green = (255 * np.clip(on_screen(turbulence[number]), 0, 1)).astype(np.uint8)
            paint[..., 1] = np.maximum(paint[..., 1], green)
        picture[seen] = paint[seen]
    return painted


def paint_walls(
    pictures: Pixels,
    sight: Sight,
    box: PolarGrid,
    name: str,
    nyquist: float,
    rng: np.random.Generator,
) -> Pixels:
    """Paint the echoes of tissue in `box` by colour map `name`; returns RGB uint8 like `pictures`."""
    velocity = wall_velocity(sight, box, rng) / nyquist
    velocity += 0.03 * _blurred(rng.normal(size=velocity.shape), 2.0)
    velocity = np.sign(velocity) * np.minimum(np.abs(velocity), 0.98) ** 0.6  # slow walls are seen too
    tissue = _blurred(~np.isin(tissue_of(sight, box), (Tissue.BLOOD, Tissue.EFFUSION)), 0.5)
    sample, beam, in_box = sight.screen.maps(box)
    on_screen = _Remap(sample, beam)
    colours = colour_map(name)
    painted = pictures.copy()
    width = max(1.0, sight.screen.rows / 200)
    for number, picture in enumerate(painted):
        gray = cv2.GaussianBlur(sight.gray[number], (0, 0), width).astype(np.float32)
        level = float(np.percentile(gray[sight.inside], 35))
        seen = in_box & (on_screen(tissue[number]) > 0.5) & (gray > max(20.0, level))
        picture[sight.inside] //= 3  # the machine turns the gray picture down
        paint = colours[((on_screen(velocity[number]) + 1) * 127.5).astype(np.uint8)]
        grain = np.clip(0.55 + gray / 500 + sight.gray[number] / 900, 0, 1)[..., None]
        picture[seen] = (grain * paint)[seen].astype(np.uint8)
    return painted


def box_region(screen: Screen, box: PolarGrid) -> Region:
    """The colour box as a region of colour flow."""
    corners = _corners(screen, box)
    x0, y0 = np.floor(corners.min(axis=0)).astype(int)
    x1, y1 = np.ceil(corners.max(axis=0)).astype(int)
    sector = sector_region(screen)
    return replace(sector, data_type=2, x0=int(x0), y0=int(y0), x1=int(x1), y1=int(y1))


def outline(canvas: Pixels, screen: Screen, box: PolarGrid, colour: tuple[int, int, int]) -> None:
    """Draw a thin line around a box, in place; uint8 [rows, columns, 3]."""
    points = (_corners(screen, box) * 8).round().astype(np.int32)
    cv2.polylines(canvas, [points], True, colour, 1, cv2.LINE_AA, shift=3)


def _corners(screen: Screen, box: PolarGrid) -> Floats:
    """The outline of a box in pixels, float64 [corners, 2]."""
    near = screen.to_pixels(np.full_like(box.angles, box.ranges[0]), box.angles)
    far = screen.to_pixels(np.full_like(box.angles, box.ranges[-1]), box.angles[::-1])
    return np.concatenate([near, far])


def _finished(
    shot: Shot, sight: Sight, painted: Pixels, bits: int, box: PolarGrid, bar: ColourBar
) -> ModeClip:
    regions = [sector_region(sight.screen), box_region(sight.screen, box), bar.region]
    if shot.machine.ecg:
        draw_ecg(painted, shot.machine, sight.seconds, sight.rhythm)
        regions.append(ecg_region(shot.rows, 0, shot.columns - 1))
    return ModeClip(
        painted,
        TWO_D | bits,
        tuple(regions),
        sight.screen,
        sight,
        float(sight.phases[0]),
        sight.frame_time_ms,
    )


def _blurred(values: NDArray[Any], width: float) -> Field:
    """Smooth each frame of [frames, beams, samples] by a Gaussian, as float32; noise keeps its strength."""
    fields = values.astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(one, (0, 0), width) for one in fields])
    return smooth * np.float32(2 * math.sqrt(math.pi) * width) if values.dtype != bool else smooth


class _Remap:
    """Brings fields of a polar grid to the screen."""

    def __init__(self, sample: NDArray[np.float32], beam: NDArray[np.float32]) -> None:
        self._maps = cv2.convertMaps(sample, beam, cv2.CV_16SC2)

    def __call__(self, field: Field) -> Field:
        image = cv2.remap(
            np.ascontiguousarray(field, np.float32),
            *self._maps,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(image, np.float32)
