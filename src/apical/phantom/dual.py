"""Two sectors beside each other: two views, or one view gray and in colour."""

from dataclasses import replace

import numpy as np

from apical.phantom.clip import Place, Sight, compose
from apical.phantom.colour import NYQUIST, blood_box, box_region, outline, paint_blood
from apical.phantom.colour_map import ColourBar
from apical.phantom.ecg import draw_ecg, ecg_region
from apical.phantom.machine import Machine
from apical.phantom.planes import VIEWS
from apical.phantom.screen import Pixels, Region, Screen, lay_out, sector_region
from apical.phantom.shot import COLOUR, TWO_D, ModeClip, Shot, house, surround

IN_COLOUR_SHARE = 0.6  # of the clips; the others show two views
STILL_SHARE = 0.3
WIDEST = 0.46  # of the screen, for one sector


def dual_clip(shot: Shot) -> ModeClip:
    """Two sectors of the same size; the left one is gray."""
    rng = shot.rng
    frames = 1 if rng.random() < STILL_SHARE else shot.frames
    left = shot.look(frames=frames, place=_half(0.255), detail=0.75)
    shift = round(0.49 * shot.columns)
    in_colour = rng.random() < IN_COLOUR_SHARE
    if in_colour:
        right = _shifted(left, shift)
    else:
        others = [view for view in VIEWS if view != shot.view]
        other = replace(shot, view=others[rng.integers(len(others))])
        right = other.look(frames=frames, place=_half(0.255 + shift / shot.columns), detail=0.75)
    inside = left.inside | right.inside
    bar = ColourBar(shot, house(shot.machine).flow_map, float(rng.uniform(*NYQUIST)))
    canvas = surround(shot, left.screen, inside, (bar.room,) if in_colour else (), shot.texts)
    bare = replace(shot, machine=replace(shot.machine, gray_bar="none", depth_ticks="none", background=0))
    canvas = np.maximum(canvas, surround(bare, right.screen, inside, (), ()))
    pictures = compose(np.maximum(left.gray, right.gray), canvas, shot.machine)
    regions = [sector_region(left.screen), sector_region(right.screen)]
    if in_colour:
        pictures, region = _coloured(shot, right, pictures, bar)
        regions += [region, bar.region]
    if shot.machine.ecg:
        draw_ecg(pictures, shot.machine, left.seconds, left.rhythm)
        regions.append(ecg_region(shot.rows, 0, shot.columns - 1))
    return ModeClip(
        pictures,
        TWO_D | (COLOUR if in_colour else 0),
        tuple(regions),
        phase_first_frame=float(left.phases[0]),
        frame_time_ms=left.frame_time_ms,
    )


def _half(centre: float) -> Place:
    """Place a sector in one half of the screen, around `centre` (of the width)."""

    def place(machine: Machine, rows: int, depth_mm: float) -> Screen:
        full = lay_out(machine, rows, depth_mm)
        widest = WIDEST * full.columns / (2 * np.sin(machine.half_angle))
        height = min(0.72 * rows, float(widest))
        return replace(
            full,
            apex_x=centre * full.columns,
            apex_y=max(0.12 * rows, 0.48 * rows - height / 2),
            mm_per_pixel=depth_mm / height,
        )

    return place


def _shifted(sight: Sight, columns: int) -> Sight:
    """The same sector again, further to the right."""
    screen = replace(sight.screen, apex_x=sight.screen.apex_x + columns)
    gray, inside = np.roll(sight.gray, columns, axis=2), np.roll(sight.inside, columns, axis=1)
    return replace(sight, screen=screen, gray=gray, inside=inside)


def _coloured(shot: Shot, sight: Sight, pictures: Pixels, bar: ColourBar) -> tuple[Pixels, Region]:
    """Paint the blood in a box of `sight`; returns the pictures and the box's region."""
    box = blood_box(sight, shot.rng)
    painted = paint_blood(pictures, sight, box, bar.name, bar.scale, shot.rng)
    for picture in painted:
        outline(picture, sight.screen, box, house(shot.machine).box_line)
        bar.draw(picture)
    return painted, box_region(sight.screen, box)
