"""Pictures of the phantom, to look at: a frame a view and patient, or a mode and machine."""

from pathlib import Path

import cv2
import numpy as np

from apical.phantom.anatomy import sample_patient
from apical.phantom.clip import acquire
from apical.phantom.heart import Tissue
from apical.phantom.machine import MACHINES, machine
from apical.phantom.modes import MODES, USUAL_VIEWS, draw_mode
from apical.phantom.planes import VIEWS
from apical.phantom.screen import FONT, Pixels

TILE = 220  # pixels
NAME_WIDTH = 130
SCREEN = (300, 450)  # rows and columns of the tile of a whole screen


def draw_views(path: Path, *, patients: int, seed: int, difficulty: float) -> None:
    """Write a PNG with a tile a view and patient, each cropped to its sector; views in two columns."""
    rows = []
    for view in VIEWS:
        name = np.zeros((TILE, NAME_WIDTH), np.uint8)
        cv2.putText(name, view, (6, TILE // 2), FONT, 0.5, 255, 1, cv2.LINE_AA)
        tiles = [_tile(view, patient, seed, difficulty) for patient in range(patients)]
        rows.append(np.hstack([name, *tiles]))
    if len(rows) % 2:
        rows.append(np.zeros_like(rows[0]))
    half = len(rows) // 2
    cv2.imwrite(str(path), np.hstack([np.vstack(rows[:half]), np.vstack(rows[half:])]))


def draw_modes(path: Path, *, machines: tuple[int, ...], seed: int, difficulty: float) -> None:
    """Write a PNG with a tile a mode and machine, each a whole screen."""
    rows = []
    for place, mode in enumerate(MODES):
        name = np.zeros((SCREEN[0], NAME_WIDTH, 3), np.uint8)
        cv2.putText(name, mode, (6, SCREEN[0] // 2), FONT, 0.5, (255,) * 3, 1, cv2.LINE_AA)
        tiles = [_screen(mode, number, [seed, place, number], difficulty) for number in machines]
        rows.append(np.hstack([name, *tiles]))
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def _screen(mode: str, number: int, seed: list[int], difficulty: float) -> Pixels:
    rng = np.random.default_rng(seed)
    who = sample_patient(rng, difficulty, len(Tissue))
    views = USUAL_VIEWS.get(mode, VIEWS)
    clip = draw_mode(
        mode,
        who,
        views[rng.integers(len(views))],
        machine(number),
        texts=("PHANTOM, NR0", "01/02/2021", f"{who.heart_rate:.0f} bpm", machine(number).model, "MI 1.2"),
        heart_rate=who.heart_rate,
        frames=2,
        rows=SCREEN[0],
        difficulty=difficulty,
        rng=rng,
    )
    tile = np.full((*SCREEN, 3), 60, np.uint8)
    picture = clip.frames[-1, :, : SCREEN[1]]
    tile[:, : picture.shape[1]] = picture
    return tile


def _tile(view: str, patient: int, seed: int, difficulty: float) -> Pixels:
    who = sample_patient(np.random.default_rng([seed, patient]), difficulty, len(Tissue))
    rng = np.random.default_rng([seed, patient, VIEWS.index(view)])
    scanner = machine(int(rng.integers(MACHINES)))
    clip = acquire(
        who,
        view,
        scanner,
        texts=(),
        heart_rate=who.heart_rate,
        frames=1,
        rows=300,
        difficulty=difficulty,
        rng=rng,
    )
    x0, y0, x1, y1 = clip.screen.region()
    sector = cv2.cvtColor(clip.frames[0, y0 : y1 + 1, x0 : x1 + 1], cv2.COLOR_RGB2GRAY)
    scale = TILE / max(sector.shape)
    small = cv2.resize(sector, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.zeros((TILE, TILE), np.uint8)
    top, left = (TILE - small.shape[0]) // 2, (TILE - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile
