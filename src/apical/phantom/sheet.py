"""A picture of the phantom: one frame a view and patient, to look at."""

from pathlib import Path

import cv2
import numpy as np

from apical.phantom.anatomy import sample_patient
from apical.phantom.clip import acquire
from apical.phantom.heart import Tissue
from apical.phantom.machine import MACHINES, machine
from apical.phantom.planes import VIEWS
from apical.phantom.screen import FONT, Pixels

TILE = 220  # pixels
NAME_WIDTH = 130


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
