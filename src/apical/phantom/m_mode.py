"""Screens in M-mode: one beam of the phantom over several heart cycles."""

from dataclasses import replace

import cv2
import numpy as np

from apical.phantom.clip import Sight, insonate
from apical.phantom.device import random_numbers
from apical.phantom.machine import gray_map
from apical.phantom.screen import Pixels, Region
from apical.phantom.shapes import PolarGrid
from apical.phantom.shot import M_MODE, TWO_D, ModeClip, Shot, house
from apical.phantom.strip import (
    Strip,
    dotted_lines,
    draw_cursor,
    draw_scale,
    frames_of,
    screen_around,
    small_sector,
    strip_of,
    strip_regions,
)

BEAMS = 7  # insonated, so that the point spread and the walls' slopes are as in the sector; one is shown
LEAN = 0.35  # of the half-angle: how far the cursor may lie from the middle


def m_mode_clip(shot: Shot) -> ModeClip:
    """A strip of depth over time, in some machines below a small sector with the beam."""
    rng, style = shot.rng, house(shot.machine)
    strip = strip_of(shot)
    sight = shot.look(frames=1, place=small_sector, detail=0.6)
    angle = float(rng.uniform(-LEAN, LEAN)) * sight.screen.half_angle
    image = beam_over_time(shot, sight, strip, angle)
    texts = (*shot.texts[:2], "M-mode", f"{rng.integers(50, 120)} mm/s", *shot.texts[2:5])
    canvas = screen_around(shot, strip, sight, texts)
    depth = sight.screen.depth_mm
    centimetres = list(range(int(depth // 10) + 1))
    rows = [10 * centimetre / depth * strip.height for centimetre in centimetres]
    labels = [str(centimetre) if centimetre and centimetre % 5 == 0 else "" for centimetre in centimetres]
    draw_scale(canvas, shot, strip, rows, labels, "cm")
    if style.sector_above:
        draw_cursor(canvas, sight.screen, angle, None, style)
    own = Region(
        2,
        1,
        strip.x0,
        strip.y0,
        strip.x1,
        strip.y1,
        units=(4, 3),
        deltas=(strip.sweep_seconds / strip.width, depth / 10 / strip.height),
    )
    lines = dotted_lines(strip, rows[::5] if style.dotted else [], 100)
    return ModeClip(
        frames_of(shot, strip, canvas, image, lines),
        M_MODE | (TWO_D if style.sector_above else 0),
        strip_regions(shot, strip, sight, own),
        phase_first_frame=strip.first_phase,
        frame_time_ms=strip.frame_time_ms,
    )


def beam_over_time(shot: Shot, sight: Sight, strip: Strip, angle: float) -> Pixels:
    """The gray levels along the beam at `angle` (radians) at the strip's times, uint8 [height, times]."""
    whole, spacing = sight.grid, sight.grid.beam_radians
    grid = PolarGrid(
        ranges=np.linspace(whole.ranges[0], whole.ranges[-1], max(48, round(strip.height * 0.9))),
        angles=angle + np.linspace(-(BEAMS // 2), BEAMS // 2, BEAMS) * spacing,
    )
    conditions = replace(
        sight.conditions,
        beam_loss_db=np.interp(grid.angles, whole.angles, sight.conditions.beam_loss_db),
        tgc_db=np.interp(grid.ranges, whole.ranges, sight.conditions.tgc_db),
    )
    breath = 1.5 * np.sin(2 * np.pi * strip.times / 4 + float(shot.rng.uniform(0, 2 * np.pi)))  # mm
    plane = sight.planes.frame(0)
    still = plane.repeated(len(breath))
    planes = replace(still, probe=still.probe + breath[:, None] * plane.beam)
    heart = sight.heart.at(strip.rhythm.state_at(strip.times))
    generator = random_numbers(shot.rng)
    polar, _ = insonate(heart, shot.machine, planes, grid, conditions, strip.times, generator, sight.ribs)
    lines = cv2.GaussianBlur(np.ascontiguousarray(polar[:, BEAMS // 2].T), (0, 0), sigmaX=0.8, sigmaY=0.01)
    image = cv2.resize(lines, (lines.shape[1], strip.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(gray_map(shot.machine)[image])
