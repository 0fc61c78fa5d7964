"""The pictures of all views and modes."""

from pathlib import Path

import cv2

from apical.phantom.modes import MODES
from apical.phantom.planes import VIEWS
from apical.phantom.sheet import NAME_WIDTH, SCREEN, TILE, draw_modes, draw_views


def test_sheet_has_a_tile_a_view_and_patient_in_two_columns(tmp_path: Path) -> None:
    draw_views(tmp_path / "views.png", patients=2, seed=0, difficulty=0.0)
    image = cv2.imread(str(tmp_path / "views.png"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    half, width = (len(VIEWS) + 1) // 2, NAME_WIDTH + 2 * TILE
    assert image.shape == (TILE * half, 2 * width)
    for place in range(len(VIEWS)):
        top, left = place % half * TILE, place // half * width + NAME_WIDTH
        assert image[top : top + TILE, left : left + 2 * TILE].max() > 100


def test_sheet_has_a_tile_a_mode_and_machine(tmp_path: Path) -> None:
    draw_modes(tmp_path / "modes.png", machines=(0, 1), seed=0, difficulty=0.0)
    image = cv2.imread(str(tmp_path / "modes.png"))
    assert image is not None
    height, width = SCREEN
    assert image.shape == (height * len(MODES), NAME_WIDTH + 2 * width, 3)
    for place in range(len(MODES)):
        for column in range(2):
            left = NAME_WIDTH + column * width
            assert image[place * height : (place + 1) * height, left : left + width].max() > 100
