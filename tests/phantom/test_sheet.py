"""The pictures of all views and modes."""

from pathlib import Path

import cv2
import numpy as np

from apical.phantom.anatomy import DISEASES
from apical.phantom.machine import MACHINES
from apical.phantom.modes import MODES
from apical.phantom.planes import VIEWS
from apical.phantom.sheet import (
    NAME_WIDTH,
    SCREEN,
    TILE,
    draw_contrast,
    draw_diseases,
    draw_machines,
    draw_modes,
    draw_quality,
    draw_views,
)


def test_sheet_has_a_tile_a_view_and_patient_in_two_columns(tmp_path: Path) -> None:
    draw_views(tmp_path / "views.png", patients=2, seed=0, difficulty=0.0)
    image = cv2.imread(str(tmp_path / "views.png"), cv2.IMREAD_COLOR)
    assert image is not None
    half, width = (len(VIEWS) + 1) // 2, NAME_WIDTH + 2 * TILE
    assert image.shape == (TILE * half, 2 * width, 3)
    for place in range(len(VIEWS)):
        top, left = place % half * TILE, place // half * width + NAME_WIDTH
        assert image[top : top + TILE, left : left + 2 * TILE].max() > 100


def tiles_are_lit(path: Path, rows: int, columns: int, height: int, width: int) -> None:
    image = cv2.imread(str(path))
    assert image is not None
    assert image.shape == (height * rows, NAME_WIDTH + columns * width, 3)
    for row in range(rows):
        for column in range(columns):
            left = NAME_WIDTH + column * width
            assert image[row * height : (row + 1) * height, left : left + width].max() > 60


def test_sheet_has_a_tile_a_mode_and_machine(tmp_path: Path) -> None:
    draw_modes(tmp_path / "modes.png", machines=(0, 1), seed=0, difficulty=0.0)
    tiles_are_lit(tmp_path / "modes.png", len(MODES) + 1, 2, *SCREEN)


def test_sheet_has_a_screen_a_machine(tmp_path: Path) -> None:
    draw_machines(tmp_path / "machines.png", view="A4C", seed=0, difficulty=0.0)
    tiles_are_lit(tmp_path / "machines.png", MACHINES // 4, 4, *SCREEN)


def test_sheet_has_three_views_a_disease_and_patient(tmp_path: Path) -> None:
    draw_diseases(tmp_path / "diseases.png", patients=1, seed=0, difficulty=0.3)
    tiles_are_lit(tmp_path / "diseases.png", len(DISEASES) + 1, 3, TILE, TILE)


def test_sheets_of_quality_and_contrast(tmp_path: Path) -> None:
    """Good windows to the left have less noise than poor ones to the right; agent differs from none."""
    draw_quality(tmp_path / "quality.png", seed=0, difficulty=0.3)
    draw_contrast(tmp_path / "contrast.png", patients=1, seed=0, difficulty=0.3)
    for name in ("quality", "contrast"):
        image = cv2.imread(str(tmp_path / f"{name}.png"))
        assert image is not None
        assert image.shape[0] % TILE == 0
        tiles = (
            image[:TILE, NAME_WIDTH : NAME_WIDTH + 1 * TILE],
            image[TILE : 2 * TILE, NAME_WIDTH:][:, :TILE],
        )
        assert np.abs(tiles[0].astype(int) - tiles[1]).mean() > 5
