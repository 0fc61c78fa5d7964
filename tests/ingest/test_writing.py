"""Letters on the image are blanked: in a cine nearly always, in a still where they are hard and bright."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg
from clip_files import fan_mask, screen
from numpy.typing import NDArray

from apical.ingest.evidence import extremes, letter_height
from apical.ingest.sector import find_sector
from apical.ingest.writing import _remove_small, find_writing


def written(
    frames: NDArray[np.uint8],
    words: str,
    at: tuple[int, int],
    *,
    level: int,
    thickness: int,
    size: float = 0.7,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Frames with words over them, and where their strokes are."""
    strokes = np.zeros(frames.shape[1:], np.uint8)
    cv2.putText(strokes, words, at, 0, size, 255, thickness, cv2.LINE_AA)
    share = strokes / 255
    return (frames * (1 - share) + level * share).astype(np.uint8), strokes > 128


@pytest.mark.parametrize("thickness", [1, 2, 3])
@pytest.mark.parametrize("level", [150, 200, 255])
@pytest.mark.parametrize("quality", [None, 90])
def test_words_on_a_cine(thickness: int, level: int, quality: int | None) -> None:
    """Thin or bold, grey or white, through JPEG or not: at least 19 of 20 pixels of the strokes go."""
    shown, strokes = written(
        screen(8, 480, 640), "DOE JOHANNA 4711", (230, 260), level=level, thickness=thickness
    )
    if quality:
        coded = [simplejpeg.encode_jpeg(frame[..., None].copy(), quality, "GRAY", "Gray") for frame in shown]
        shown = np.stack([simplejpeg.decode_jpeg(frame, "GRAY")[..., 0] for frame in coded])
    mask = find_sector(shown).mask
    assert (mask & strokes).sum() <= 0.05 * strokes.sum()
    assert mask.sum() > 0.85 * fan_mask(480, 640).sum()


def test_white_words_on_a_still() -> None:
    shown, strokes = written(screen(1, 480, 640), "JOHANNA", (260, 300), level=255, thickness=2)
    assert not (find_sector(shown).mask & strokes).any()


def test_dark_words_on_a_light_box_on_a_cine() -> None:
    frames = screen(8, 480, 640)
    frames[:, 240:262, 240:400] = 220
    shown, strokes = written(frames, "DOE JOHANNA", (244, 257), level=10, thickness=1, size=0.5)
    mask = find_sector(shown).mask
    assert (mask & strokes).sum() <= 0.05 * strokes.sum()


@pytest.mark.parametrize("count", [1, 8])
def test_tissue_is_not_writing(count: int) -> None:
    """Speckle, a bright membrane and a small bright spot stay."""
    frames = screen(count, 480, 640, text=False)
    for frame in frames:
        cv2.ellipse(frame, (320, 240), (110, 60), 0, 0, 360, 255, 3, cv2.LINE_AA)
        cv2.circle(frame, (300, 330), 5, 255, -1, cv2.LINE_AA)
    peak, low = extremes(frames)
    found = find_writing(peak, low, letter_height(peak.shape), cine=count > 1)
    assert found.mean() < 0.01


def test_small_pieces_go_by_their_own_pixels_alone() -> None:
    """Against OpenCV's areas, also where pieces lie in the holes or in the boxes of others."""
    for seed in range(20):
        noise = np.random.default_rng(seed).random((90, 120), np.float32)
        mask = (cv2.blur(noise, (5, 5)) > 0.47 + 0.005 * seed).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        kept = (stats[:, cv2.CC_STAT_AREA] >= 60)[labels] & (labels > 0)
        assert 0 < kept.sum() < mask.sum()
        _remove_small(mask, 60)
        assert np.array_equal(mask, kept)
