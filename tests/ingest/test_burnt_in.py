"""What a clean copy gives away is looked at in every frame and colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_files import screen, write_dicom
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.burnt_in import BLOCK, without_burnt_in
from apical.ingest.clip import open_clip
from apical.ingest.sector import find_sector

FRAMES = 3 * BLOCK + 1
WHITE, GREY, BLUE = (255, 255, 255), (190, 190, 190), (0, 0, 255)


@pytest.fixture(scope="module")
def plain() -> NDArray[np.uint8]:
    """A grey cine in colours, (FRAMES, 480, 640, 3); do not write to it."""
    made = np.repeat(screen(FRAMES, 480, 640)[..., None], 3, axis=3)
    made.flags.writeable = False
    return made


def strokes() -> NDArray[np.bool_]:
    drawn = np.zeros((480, 640), np.uint8)
    cv2.putText(drawn, "DOE JOHANNA 4711", (230, 260), 0, 0.7, 255, 2)
    return drawn > 0


@pytest.mark.parametrize(
    ("colour", "first", "end"),
    [
        (WHITE, 0, FRAMES),
        (WHITE, 0, FRAMES // 2),
        (WHITE, FRAMES - 2 * BLOCK, FRAMES),
        (WHITE, 7, 7 + BLOCK + BLOCK // 2 - 1),  # whatever the first, it fills a block
        (WHITE, 0, 1),
        (GREY, 7, 7 + BLOCK + BLOCK // 2 - 1),
        (BLUE, 0, FRAMES),
        (BLUE, 20, 21),  # colours in a grey clip need no time
    ],
)
def test_words_in_some_frames(
    tmp_path: Path, plain: NDArray[np.uint8], colour: tuple[int, int, int], first: int, end: int
) -> None:
    """Gone for at least 19 of 20 pixels, in all frames, and nearly all of the image stays."""
    sector = find_sector(plain[::5, ..., 0])
    shown = plain.copy()
    shown[first:end, strokes()] = colour
    clip = open_clip(write_dicom(tmp_path / "a.dcm", shown, photometric="RGB"))
    found = without_burnt_in(clip, sector, "2d")
    assert (found.mask & strokes()).sum() <= 0.05 * strokes().sum()
    assert found.mask.sum() > 0.9 * sector.mask.sum()


def test_tissue_stays(tmp_path: Path, plain: NDArray[np.uint8]) -> None:
    sector = find_sector(plain[::5, ..., 0])
    for count in (2, BLOCK - 1, BLOCK, FRAMES):
        path = write_dicom(tmp_path / f"{count}.dcm", plain[:count], photometric="RGB")
        assert without_burnt_in(open_clip(path), sector, "2d").mask.sum() > 0.999 * sector.mask.sum()


def test_colours_of_blood_stay(tmp_path: Path, plain: NDArray[np.uint8]) -> None:
    """In a colour clip colours are no writing; stripes of them as fine as letters are here."""
    sector = find_sector(plain[::5, ..., 0])
    shown = plain.copy()
    shown[0, 200:260, 250:390:4] = BLUE
    path = write_dicom(tmp_path / "a.dcm", shown, photometric="RGB")
    assert without_burnt_in(open_clip(path), sector, "colour").mask.sum() > 0.999 * sector.mask.sum()
    assert without_burnt_in(open_clip(path), sector, "2d").mask.sum() < 0.98 * sector.mask.sum()


def test_a_page_of_writing_is_refused(tmp_path: Path, plain: NDArray[np.uint8]) -> None:
    sector = find_sector(plain[::5, ..., 0])
    shown = plain[:BLOCK].copy()
    for row in range(100, 400, 22):
        for frame in shown:
            cv2.putText(frame, "M" * 40, (60, row), 0, 0.7, WHITE, 2)
    clip = open_clip(write_dicom(tmp_path / "a.dcm", shown, photometric="RGB"))
    with pytest.raises(ClipProblem, match="too much is written"):
        without_burnt_in(clip, sector, "2d")
