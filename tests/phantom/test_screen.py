"""Scan conversion and what is drawn around the sector."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apical.phantom.anatomy import sample_patient
from apical.phantom.clip import Clip, acquire
from apical.phantom.ecg import ecg_strip
from apical.phantom.heart import Tissue
from apical.phantom.machine import MACHINES, machine
from apical.phantom.screen import Screen, lay_out, scan_convert
from apical.phantom.shapes import PolarGrid
from apical.phantom.surround import draw_frame

ALL_MACHINES = range(MACHINES)


def grid_of(screen: Screen) -> PolarGrid:
    return PolarGrid(
        np.linspace(screen.near_mm, screen.depth_mm, 200),
        np.linspace(-screen.half_angle, screen.half_angle, 112),
    )


def polygon_mask(screen: Screen, margin: int = 1) -> NDArray[np.bool_]:
    mask = np.zeros((screen.rows, screen.columns), np.uint8)
    cv2.fillPoly(mask, [screen.polygon().round().astype(np.int32)], 1)
    return cv2.dilate(mask, np.ones((2 * margin + 1,) * 2, np.uint8)).astype(bool)


def small_clip(number: int) -> Clip:
    patient = sample_patient(np.random.default_rng(0), 0.55, len(Tissue))
    return acquire(
        patient,
        "A4C",
        machine(number),
        texts=("PHANTOM, NR0", "72 bpm", "MI 1.2", "C 50"),
        heart_rate=72,
        frames=3,
        rows=160,
        difficulty=0.55,
        rng=np.random.default_rng(number),
    )


@pytest.mark.parametrize("number", [0, 5, 11])
def test_circle_in_the_body_is_a_circle_on_the_screen(number: int) -> None:
    look = replace(machine(number), sharpening=0.0, gray_exponent=1.0)
    screen = lay_out(look, 300, depth_mm=150)
    grid = grid_of(screen)
    angle, distance = np.meshgrid(grid.angles, grid.ranges, indexing="ij")
    disc = np.hypot(distance * np.sin(angle), distance * np.cos(angle) - 90) < 25
    frames, _ = scan_convert((disc * 255).astype(np.uint8)[None], screen, grid, look)
    y, x = np.nonzero(frames[0] > 127)
    assert np.ptp(x) == pytest.approx(np.ptp(y), abs=2)
    assert np.ptp(x) * screen.mm_per_pixel == pytest.approx(50, abs=1.5)


@pytest.mark.parametrize("rows", [96, 97, 300])
@pytest.mark.parametrize("number", ALL_MACHINES)
def test_sector_lies_on_the_canvas_and_in_its_region(number: int, rows: int) -> None:
    screen = lay_out(machine(number), rows, depth_mm=150)
    x0, y0, x1, y1 = screen.region()
    assert 0 <= x0 < x1 < screen.columns
    assert 0 <= y0 < y1 < screen.rows
    _, _, inside = screen.maps(grid_of(screen))
    rows, columns = np.nonzero(inside)
    assert x0 <= columns.min() <= x0 + 2
    assert x1 - 2 <= columns.max() <= x1
    assert y0 <= rows.min() <= y0 + 2
    assert y1 - 2 <= rows.max() <= y1


@pytest.mark.parametrize("number", ALL_MACHINES)
def test_polygon_is_the_sector(number: int) -> None:
    screen = lay_out(machine(number), 300, depth_mm=150)
    _, _, inside = screen.maps(grid_of(screen))
    mask = polygon_mask(screen, margin=0)
    assert (inside & mask).sum() / (inside | mask).sum() > 0.98


@pytest.mark.parametrize("number", range(0, MACHINES, 3))
def test_only_the_sector_and_the_ecg_move(number: int) -> None:
    clip = small_clip(number)
    moving = np.ptp(clip.frames.max(axis=-1), axis=0) > 0
    moving[ecg_strip(clip.screen)[0] :] = False
    assert moving.any()
    assert not (moving & ~polygon_mask(clip.screen)).any()


@pytest.mark.parametrize("number", ALL_MACHINES)
def test_text_is_burnt_in_outside_the_sector(number: int) -> None:
    look = replace(machine(number), gray_bar="none", depth_ticks="none", marker="none", background=0)
    screen = lay_out(look, 300, depth_mm=150)
    _, _, inside = screen.maps(grid_of(screen))
    drawn = draw_frame(look, screen, inside, ("PHANTOM, NR0", "72 bpm", "MI 1.2")).max(axis=-1) > 0
    assert drawn.any()
    beside = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert not (drawn & beside).any()  # a line that the sector covered in part would touch its edge


def test_machines_keep_their_promises_of_encoding_and_tags() -> None:
    machines = [machine(number) for number in ALL_MACHINES]
    tags = [look.region_tags for look in machines]
    assert tags.count("right") == MACHINES // 2
    assert tags.count("absent") == MACHINES // 3
    assert tags.count("too-wide") == tags.count("full-screen-first") == MACHINES // 12
    assert [look.encoding for look in machines].count("jpeg") == 10  # with halved colours
    assert machine(3) == machine(3)
