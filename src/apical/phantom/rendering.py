"""Volumes as a machine renders them: the shaded surface of a heart that is cut open."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.phantom.anatomy import Floats
from apical.phantom.clip import Sight
from apical.phantom.device import array
from apical.phantom.ecg import draw_ecg, ecg_region
from apical.phantom.heart import Heart, Tissue
from apical.phantom.screen import Pixels, Region
from apical.phantom.shapes import PolarGrid
from apical.phantom.shot import VOLUME, ModeClip, Shot, VolumeTint, house, surround
from apical.phantom.tissue import classify

Stack = NDArray[np.float32]  # opacity, [depth, rows, columns], nearest first

SLICES = 26
SLICE_MM = 1.9
FACE_SLICE_MM = 2.5
FROM_APEX = ("A4C", "A2C", "A3C", "A5C")  # views whose beam looks onto the valves
FACE_SHARE = 0.4  # of these look along it
STILL_SHARE = 0.3
FINE = 0.7  # of the screen's resolution
RAGGED = 0.3  # how uneven the opacity of what surrounds the heart is
FADES_MM = 26.0  # from the heart to where its surroundings are no longer seen

# How opaque each tissue is (above a half is seen), and how much light it returns where it is cut.
_OPACITY = {Tissue.BLOOD: 0.0, Tissue.EFFUSION: 0.0, Tissue.FAT: 0.75, Tissue.LUNG: 0.65, Tissue.LIVER: 0.85}
_BRIGHT = {
    Tissue.MYOCARDIUM: 0.72,
    Tissue.RV_WALL: 0.75,
    Tissue.PERICARDIUM: 1.1,
    Tissue.LEAFLET: 1.1,
    Tissue.FAT: 0.5,
    Tissue.LUNG: 0.45,
    Tissue.LIVER: 0.6,
    Tissue.CHEST_WALL: 0.65,
}
# From the nearest surface to the farthest.
_TINTS: dict[VolumeTint, tuple[tuple[int, int, int], ...]] = {
    "bronze": ((255, 205, 150), (215, 130, 75), (120, 75, 70), (45, 50, 110)),
    "copper": ((255, 180, 110), (200, 100, 40), (130, 55, 20), (60, 20, 10)),
    "ice": ((250, 215, 175), (190, 135, 110), (80, 100, 150), (30, 60, 140)),
}


@dataclass(frozen=True, slots=True)
class _Gaze:
    """How a volume is turned: `turn` in the picture (radians), `lean` of the lines of sight (mm a mm)."""

    turn: float
    lean: tuple[float, float]


def volume_clip(shot: Shot) -> ModeClip:
    """The heart cut open along the view's plane or across the beam, rendered by depth."""
    rng, machine = shot.rng, shot.machine
    count = 1 if shot.frames == 1 or rng.random() < STILL_SHARE else shot.frames
    sight = shot.look(frames=1, detail=max(0.3, 100 / shot.rows))
    frame_time_ms = round(float(rng.uniform(45, 90)), 3)
    seconds = np.arange(count) * frame_time_ms / 1000
    beats = sight.rhythm.state_at(seconds)
    along_beam = rng.random() < FACE_SHARE and shot.view in FROM_APEX
    turn = float(rng.normal(0, 0.6) + math.pi * rng.integers(2))
    gaze = _Gaze(turn, (float(rng.uniform(-0.45, 0.45)), float(rng.uniform(-0.45, 0.45))))
    tint = house(machine).volume_tint
    grain = rng.normal(size=(SLICES, len(sight.grid.angles), len(sight.grid.ranges))).astype(np.float32)
    grain = np.stack([cv2.GaussianBlur(one, (0, 0), 1.3) * 4.6 for one in grain])

    plain = replace(machine, marker="none", depth_ticks="none", gray_bar="none", background=0)
    render = _onto_valves if along_beam else _cut_open
    hearts = [sight.heart.at(beats.held(number, SLICES)) for number in range(count)]
    pictures = [render(shot, sight, heart, grain, gaze, tint) for heart in hearts]
    lit = np.stack(pictures).max(axis=(0, 3))
    around = np.asarray(cv2.dilate(lit, np.ones((9, 9), np.uint8))) > 0
    size = round(0.07 * shot.rows)
    x, y = round(0.08 * shot.columns), round(0.8 * shot.rows)
    room = ((x - size, y - size, x + size, y + size),) if house(machine).cube else ()
    texts = (*shot.texts[:1], "3D", *shot.texts[1:3])
    canvas = surround(replace(shot, machine=plain), sight.screen, around, room, texts)
    if house(machine).cube:
        _draw_cube(canvas, gaze, (x, y))
    frames = np.stack([np.where(one.any(axis=-1, keepdims=True), one, canvas) for one in pictures])
    regions: tuple[Region, ...] = ()
    if machine.ecg:
        draw_ecg(frames, machine, seconds, sight.rhythm)
        regions = (ecg_region(shot.rows, 0, shot.columns - 1),)
    return ModeClip(
        frames, VOLUME, regions, phase_first_frame=float(beats.phases[0]), frame_time_ms=frame_time_ms
    )


def _volume(sight: Sight, heart: Heart, offsets: Floats, grain: Stack) -> tuple[Stack, Stack]:
    """Opacity and brightness of slices beside the view's plane, float32 [slices, beams, samples]."""
    still = sight.planes.frame(0).repeated(len(offsets))
    tissue = classify(heart, replace(still, probe=still.probe + offsets[:, None] * still.normal), sight.grid)
    labels, outside = array(tissue.labels), array(tissue.outside)
    opaque = np.array([_OPACITY.get(kind, 1.0) for kind in Tissue], np.float32)[labels]
    bright = np.array([_BRIGHT.get(kind, 0.9) for kind in Tissue], np.float32)[labels]
    uneven = np.array([RAGGED * (0 < _OPACITY.get(kind, 1.0) < 1) + 0.05 for kind in Tissue], np.float32)
    opaque += uneven[labels] * grain - 0.5 * np.clip(outside / FADES_MM - 0.2, 0, 1.5)
    return opaque, bright * (1 + 0.12 * grain)


def _cut_open(shot: Shot, sight: Sight, heart: Heart, grain: Stack, gaze: _Gaze, tint: VolumeTint) -> Pixels:
    """Look across the view's plane into the half behind it: RGB uint8 [rows, columns, 3]."""
    opaque, bright = _volume(sight, heart, np.linspace(0, SLICES - 1, SLICES) * SLICE_MM, grain)
    rows, columns = round(shot.rows * FINE), round(shot.columns * FINE)
    depth = sight.screen.depth_mm
    mm = 1.05 * depth / (0.86 * rows)
    x, y = _plane_mm(rows, columns, mm, gaze.turn)
    planes, lights = [], []
    for number in range(SLICES):
        right, down = x + gaze.lean[0] * number * SLICE_MM, y + gaze.lean[1] * number * SLICE_MM + depth / 2
        maps = _polar(sight.grid, right, down)
        planes.append(_remap(opaque[number], maps))
        if number == 0:
            lights.append(_remap(bright[0], maps, 1.0))
    return _shaded(np.stack(planes), lights[0], SLICE_MM, mm, tint, shot)


def _onto_valves(
    shot: Shot, sight: Sight, heart: Heart, grain: Stack, gaze: _Gaze, tint: VolumeTint
) -> Pixels:
    """Look along the beam from the middle of the heart: RGB uint8 [rows, columns, 3]."""
    offsets = np.linspace(-SLICES / 2, SLICES / 2 - 1, SLICES) * FACE_SLICE_MM
    opaque, bright = _volume(sight, heart, offsets, grain)
    rows, columns = round(shot.rows * FINE), round(shot.columns * FINE)
    grid = sight.grid
    plane = sight.planes.frame(0)
    offset = heart.mitral.centre - plane.probe
    distance = float(np.linalg.norm(offset))
    start = int(np.clip(np.searchsorted(grid.ranges, distance - 14), 4, len(grid.ranges) * 0.7))
    side = SLICES * FACE_SLICE_MM
    mm = 1.15 * side / (0.86 * rows)
    x, y = _plane_mm(rows, columns, mm, gaze.turn)
    step = max(1, round(1.0 / grid.sample_mm))
    middle = math.atan2(float(offset @ plane.lateral), float(offset @ plane.beam))
    around = np.arctan2(y, x)
    inside = np.hypot(x, y) < side / 2 * (
        0.9 + 0.06 * np.sin(3 * around + gaze.turn) + 0.04 * np.sin(7 * around)
    )

    def cut(field: Stack, sample: int) -> Stack:
        range_mm = grid.ranges[sample]
        gone = range_mm - grid.ranges[start]
        beam = ((x + gaze.lean[0] * gone) / range_mm + middle - grid.angles[0]) / grid.beam_radians
        slab = (y + gaze.lean[1] * gone) / FACE_SLICE_MM + SLICES / 2
        return np.where(inside, _remap(field[:, :, sample], (beam, slab)), np.float32(0))

    samples = range(start, min(len(grid.ranges), start + 28 * step), step)
    planes = np.stack([cut(opaque, sample) for sample in samples])
    return _shaded(planes, cut(bright, start), step * grid.sample_mm, mm, tint, shot)


def _plane_mm(rows: int, columns: int, mm: float, turn: float) -> tuple[Stack, Stack]:
    """Millimetres right and down of the picture's centre at each pixel, turned."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x, y = (x - columns / 2) * mm, (y - 0.46 * rows) * mm
    right: Stack = math.cos(turn) * x + math.sin(turn) * y
    down: Stack = math.cos(turn) * y - math.sin(turn) * x
    return right, down


def _polar(grid: PolarGrid, right: Stack, down: Stack) -> tuple[Stack, Stack]:
    """Sample and beam of points of the plane (mm from the apex)."""
    sample = (np.hypot(right, down) - grid.ranges[0]) / grid.sample_mm
    return sample, (np.arctan2(right, down) - grid.angles[0]) / grid.beam_radians


def _remap(plane: Stack, maps: tuple[Stack, Stack], outside: float = 0.0) -> Stack:
    x, y = (np.ascontiguousarray(one, np.float32) for one in maps)
    source = np.ascontiguousarray(plane)
    image = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(outside,))
    return np.asarray(image)


def _first_surface(stack: Stack, step_mm: float) -> tuple[Stack, Stack, Stack]:
    """How deep each line of sight goes (mm), where it ends at all and where it ends at once (0 to 1)."""
    stack = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.2) for plane in stack])
    for _ in range(3):
        stack[1:-1] = 0.25 * stack[:-2] + 0.5 * stack[1:-1] + 0.25 * stack[2:]
    solid = stack > 0.5
    hit, first = np.asarray(solid.any(axis=0)), solid.argmax(axis=0)
    here = np.take_along_axis(stack, first[None], 0)[0]
    before = np.take_along_axis(stack, np.maximum(first - 1, 0)[None], 0)[0]
    share = np.clip((0.5 - before) / np.maximum(here - before, 1e-3), 0, 1)
    depth = np.where(first > 0, first - 1 + share, 0) * step_mm
    depth = np.where(hit, depth, len(stack) * step_mm).astype(np.float32)
    smooth = np.asarray(cv2.bilateralFilter(depth, 5, 6.0, 1.5), np.float32)
    return smooth, _soft(hit, 0.9), _soft((first == 0) & hit, 1.0)


def _shaded(stack: Stack, light: Stack, step_mm: float, mm: float, tint: VolumeTint, shot: Shot) -> Pixels:
    """Shade the first surface that each line of sight meets by its slope and depth, where cut by `light`."""
    depth, hit, cut = _first_surface(stack, step_mm)
    down, across = np.gradient(depth, mm)
    lit = np.clip((0.75 + 0.45 * across + 0.5 * down) / np.sqrt(1 + down**2 + across**2), 0, 1)
    nearness = 1 - depth / (len(stack) * step_mm)
    around = np.asarray(cv2.GaussianBlur(depth, (0, 0), 0.04 * len(depth)))
    hollow = np.clip((depth - around) / 12, -0.1, 0.6)
    level = (0.2 + 0.8 * lit) * (0.3 + 0.7 * nearness) * (1 - 0.7 * hollow) * (1 - cut + cut * light)
    stops = np.array(_TINTS[tint], np.float64)[::-1]
    place = (nearness * (len(stops) - 1)).astype(np.float64)
    colour = np.stack([np.interp(place, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=-1)
    picture = np.clip(colour * level[..., None], 0, 255).astype(np.float32)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.7)) * hit[..., None]
    picture[round(0.87 * len(picture)) :] = 0  # where the electrocardiogram is
    large = cv2.resize(picture, (shot.columns, shot.rows), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, 0, 255), np.uint8)


def _soft(mask: NDArray[np.bool_], width: float) -> Stack:
    """A mask with blurred edges, float32 between 0 and 1."""
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), width))


def _draw_cube(canvas: Pixels, gaze: _Gaze, centre: tuple[int, int]) -> None:
    """Draw a small cube that is turned as the volume is, in place."""
    size = 0.035 * len(canvas)
    cosine, sine = math.cos(gaze.turn), math.sin(gaze.turn)
    corners = []
    for z in (-1, 1):
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            u, v = (
                cosine * x - sine * y + 0.9 * gaze.lean[0] * z,
                sine * x + cosine * y + 0.9 * gaze.lean[1] * z,
            )
            corners.append((round(centre[0] + size * u), round(centre[1] + size * v)))
    near, far = corners[:4], corners[4:]
    for face, colour in ((far, (90, 90, 200)), (near, (210, 160, 60))):
        cv2.polylines(canvas, [np.array(face, np.int32)], True, colour, 1, cv2.LINE_AA)
    for one, other in zip(near, far, strict=True):
        cv2.line(canvas, one, other, (90, 170, 90), 1, cv2.LINE_AA)
