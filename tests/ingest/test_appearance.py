"""Modes told by pixels alone: on drawn screens one property at a time, and on the phantom's screens."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_files import fan_mask, screen
from numpy.typing import NDArray

from apical.config import PhantomSettings
from apical.errors import ClipProblem
from apical.ingest.appearance import doppler, is_rendering, largest_piece, layout
from apical.ingest.clip import open_clip
from apical.ingest.triage import triage
from apical.phantom.study import write_phantom

Frames = NDArray[np.uint8]
ROWS, COLUMNS = 300, 400


def beside(one: Frames, other: Frames) -> Frames:
    """Two cines of the same size on one screen of that size."""
    half = [
        np.stack([cv2.resize(frame, (COLUMNS // 2, ROWS // 2)) for frame in cine]) for cine in (one, other)
    ]
    shown = np.zeros((len(one), ROWS, COLUMNS), np.uint8)
    shown[:, 60 : 60 + ROWS // 2] = np.concatenate(half, axis=2)
    return shown


def strip(streaks: str) -> Frames:
    """A screen with a wide strip of noise, smeared along the rows or along the columns."""
    noise = np.random.default_rng(0).rayleigh(60, (150, 370)).astype(np.float32)
    kernel = (41, 1) if streaks == "along" else (1, 41)
    shown = np.zeros((1, ROWS, COLUMNS), np.uint8)
    shown[0, 130:280, 15:385] = np.clip(3 * (cv2.blur(noise, kernel) - 50) + 60, 20, 255)
    return shown


def page(background: int) -> Frames:
    shown = np.full((ROWS, COLUMNS), background, np.uint8)
    ink = (255,) if background < 128 else (0,)
    for row in range(20, ROWS - 10, 18):
        cv2.putText(shown, "LVIDd    4.7 cm      EF 61 %", (20, row), 0, 0.5, ink, 1, cv2.LINE_AA)
    return shown[None]


def test_one_image_is_no_layout() -> None:
    assert layout(screen(8, ROWS, COLUMNS)) is None
    assert layout(screen(1, ROWS, COLUMNS)) is None


def test_two_images_side_by_side() -> None:
    assert layout(beside(screen(6, ROWS, COLUMNS), screen(6, ROWS, COLUMNS, seed=1))) == "dual"
    assert layout(beside(screen(6, ROWS, COLUMNS), 0 * screen(6, ROWS, COLUMNS))) is None


@pytest.mark.parametrize("degrees", [3, 8, 15])
def test_a_shadow_does_not_make_two_images_of_one(degrees: int) -> None:
    frames = screen(8, ROWS, COLUMNS)
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    dark = np.abs(np.degrees(np.arctan2(x - 0.5 * COLUMNS, y - 0.1 * ROWS))) < degrees
    frames[:, dark & fan_mask(ROWS, COLUMNS) & (y > 0.35 * ROWS)] = 0
    assert layout(frames) is None


@pytest.mark.parametrize(("streaks", "mode"), [("along", "m-mode"), ("across", "spectral")])
def test_strips_by_the_direction_of_their_streaks(streaks: str, mode: str) -> None:
    assert layout(strip(streaks)) == mode


@pytest.mark.parametrize("background", [0, 40, 245])
def test_pages_of_text(background: int) -> None:
    assert layout(page(background)) == "report"


def test_a_moving_screen_is_no_page() -> None:
    moving = np.concatenate([page(0), screen(1, ROWS, COLUMNS)])
    assert layout(moving) != "report"


def coloured(frames: Frames, mask: NDArray[np.bool_], *, red: float, green: float, blue: float) -> Frames:
    """RGB of grey frames, tinted in a part."""
    colour = np.repeat(frames[..., None], 3, axis=3)
    tint = np.clip(colour * np.array([red, green, blue]), 0, 255).astype(np.uint8)
    return np.where(mask[..., None], tint, colour)


def test_doppler_by_how_much_of_the_image_it_spans() -> None:
    frames, fan = screen(3, ROWS, COLUMNS), fan_mask(ROWS, COLUMNS)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    box = fan & (np.abs(x - COLUMNS / 2) < 25) & (np.abs(y - 130) < 30)
    assert doppler(coloured(frames, fan & False, red=1, green=1, blue=1), fan) == "2d"
    assert doppler(coloured(frames, box, red=2, green=0.1, blue=0.1), fan) == "colour"
    assert doppler(coloured(frames, fan, red=0.1, green=0.1, blue=2), fan) == "tissue-doppler"
    assert doppler(coloured(frames, fan, red=1, green=0.75, blue=0.45), fan) == "2d"


def test_a_rendering_has_one_tint_and_no_speckle() -> None:
    fan = fan_mask(ROWS, COLUMNS)
    speckled = coloured(screen(1, ROWS, COLUMNS), fan, red=1, green=0.75, blue=0.45)[0]
    smooth = np.where(fan[..., None], cv2.GaussianBlur(speckled, (0, 0), 6), 0).astype(np.uint8)
    assert is_rendering(smooth, fan, shaped=True)
    assert not is_rendering(speckled, fan, shaped=True)
    assert is_rendering(speckled, fan, shaped=False)
    grey = np.repeat(smooth[..., :1], 3, axis=2)
    assert not is_rendering(grey, fan, shaped=False)
    assert not is_rendering(0 * smooth, largest_piece(0 * smooth), shaped=False)


@pytest.mark.slow
@pytest.mark.parametrize("tags", [True, False])
def test_the_screens_of_the_phantom(tmp_path: Path, tags: bool) -> None:
    """All modes are there; at most one in twenty is another, and none is taken for 2-D."""
    settings = PhantomSettings(patients=3, other_modes=7, frames=4, image_rows=240, workers=1, seed=2)
    write_phantom(tmp_path, settings)
    with (tmp_path / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    seen = []
    for row in rows:
        clip = open_clip(tmp_path / row["file"])
        if not tags:
            clip.facts = replace(clip.facts, mode=None, regions=())
        try:
            seen.append(str(triage(clip).mode))
        except ClipProblem:
            seen.append("none")
    truth = [row["mode"] for row in rows]
    assert len(set(truth)) == 8
    wrong = [(one, other) for one, other in zip(truth, seen, strict=True) if one != other]
    assert len(wrong) <= len(rows) / 20, wrong
    assert not [pair for pair in wrong if pair[1] == "2d"]
