"""The sector is found, text beside it never survives, and what is no sector is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from clip_files import fan_mask, screen
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.facts import Region
from apical.ingest.sector import find_sector

WHOLE = Region(1, 1, 0, 0, 319, 239)


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def test_cine_and_still(frames: NDArray[np.uint8]) -> None:
    """The mask is the fan, the box is the mask's, and of the screen's dressing nothing is inside."""
    truth = fan_mask(240, 320)
    bare = screen(text=False)
    for shown, clean in ((frames, bare), (frames[:1], bare[:1])):
        sector = find_sector(shown)
        assert overlap(sector.mask, truth) > 0.93
        x0, y0, x1, y1 = sector.box
        assert sector.mask[y0:y1, x0:x1].sum() == sector.mask.sum()
        assert abs((x0 + x1) / 2 - 160) <= 2
        assert sector.mask[y0].any()
        assert sector.mask[y1 - 1].any()
        assert np.array_equal(shown[:, sector.mask], clean[:, sector.mask])


def test_a_shadow_at_one_side_does_not_move_the_box(frames: NDArray[np.uint8]) -> None:
    """The right third of the fan is black, as behind a rib: the middle stays below the apex."""
    shadowed = frames.copy()
    shadowed[:, 60:195, 185:] = 0
    x0, _, x1, _ = find_sector(shadowed).box
    assert abs((x0 + x1) / 2 - 160) <= 4


@settings(max_examples=60, deadline=None)
@given(
    words=st.text("ABCDEFGHKMNPRSTX0123456789", min_size=4, max_size=12),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    size=st.floats(0.35, 0.6),
    count=st.sampled_from([1, 5]),
    inverse=st.booleans(),
    tagged=st.booleans(),
)
def test_text_beside_the_fan_never_survives(
    words: str, x: float, y: float, size: float, count: int, inverse: bool, tagged: bool
) -> None:
    """Words anywhere beside the fan, light on black or dark on a light box: all their pixels go."""
    shown = screen(count, seed=1, text=False)
    (width, height), base = cv2.getTextSize(words, 0, size, 1)
    left, bottom = int(x * max(0, 318 - width)) + 1, int(y * (236 - height - base)) + height + 1
    painted = np.zeros((240, 320), np.uint8)
    if inverse:
        cv2.rectangle(painted, (left - 1, bottom - height), (left + width, bottom + base), 255, -1)
        cv2.putText(painted, words, (left, bottom), 0, size, 1, 1)
    else:
        cv2.putText(painted, words, (left, bottom), 0, size, 255, 1, cv2.LINE_AA)
    if (cv2.dilate(painted, np.ones((9, 9))) > 0)[fan_mask(240, 320)].any():
        return  # over or at the image: see test_thin_bright_text_on_the_fan_is_blanked
    shown = np.maximum(shown, painted)
    try:
        sector = find_sector(shown, (WHOLE,) if tagged else ())
    except ClipProblem:
        return
    assert not (sector.mask & (painted > 0)).any()


def test_thin_bright_text_on_the_fan_is_blanked(frames: NDArray[np.uint8]) -> None:
    """A name written over the tissue in strokes of one pixel; bold or grey letters are not promised."""
    painted = np.zeros((240, 320), np.uint8)
    cv2.putText(painted, "JOHANNA", (130, 160), 0, 0.5, 255, 1, cv2.LINE_AA)
    shown = np.maximum(frames, painted)
    for part in (shown, shown[:1]):
        assert not (find_sector(part).mask & (painted > 100)).any()


def page_of_text() -> NDArray[np.uint8]:
    page = np.zeros((1, 480, 640), np.uint8)
    for row in range(20):
        cv2.putText(
            page[0], "PATIENT DOE JOHANNA EF 55 PERCENT LVIDD 47", (10, 24 + 22 * row), 0, 0.6, 230, 1
        )
    return page


def flat_panels() -> NDArray[np.uint8]:
    panels = np.zeros((1, 480, 640), np.uint8)
    panels[0, :50] = 90
    panels[0, 100:400, 50:300] = 60
    return panels


def photograph() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (1, 60, 80), dtype=np.uint8)
    return np.asarray(cv2.resize(noise[0], (640, 480)), np.uint8)[None]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 480, 640), np.uint8),
        np.full((3, 480, 640), 255, np.uint8),
        np.zeros((1, 1, 1), np.uint8),
        np.zeros((2, 3, 2000), np.uint8),
        page_of_text(),
        flat_panels(),
        photograph(),
        np.random.default_rng(0).integers(0, 256, (1, 20, 20), dtype=np.uint8),
    ],
    ids=["black", "white", "pixel", "strip", "report", "panels", "photograph", "tiny"],
)
def test_what_is_no_sector_is_refused(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ClipProblem, match="no ultrasound sector found"):
        find_sector(picture)


@pytest.mark.parametrize(
    "regions",
    [
        (Region(1, 1, 20, 10, 320, 240),),  # far corner one too far
        (Region(0, 0, 0, 0, 319, 239), Region(1, 1, 20, 10, 300, 210)),  # the whole screen first
        (Region(1, 1, 50, 50, 50, 200),),  # no width
        (Region(1, 1, 84, 31, 595, 414),),  # of a larger picture
        (Region(1, 1, 200, 200, 100, 100),),  # inside out
        (Region(1, 1, -5, 0, 319, 239),),
        (Region(1, 1, 20, 10, 300, 210), Region(4, 10, 0, 210, 319, 239)),  # with an ECG
        (Region(1, 1, 20, 10, 300, 210), Region(1, 1, 300, 10, 319, 60)),  # two images: the larger
    ],
    ids=["clamp", "screen-first", "zero-width", "rescaled", "inside-out", "negative", "ecg", "two"],
)
def test_region_tags_as_real_files_have_them(frames: NDArray[np.uint8], regions: tuple[Region, ...]) -> None:
    assert overlap(find_sector(frames, regions).mask, fan_mask(240, 320)) > 0.93


def test_ecg_region_over_the_fan_is_blanked(frames: NDArray[np.uint8]) -> None:
    """An ECG that the tags place over the fan's lower end takes its rows away."""
    sector = find_sector(frames, (Region(1, 1, 20, 10, 300, 210), Region(4, 10, 0, 185, 319, 239)))
    assert not sector.mask[185:].any()
    assert overlap(sector.mask[:185], fan_mask(240, 320)[:185]) > 0.93


def test_a_region_without_an_image_in_it_is_refused(frames: NDArray[np.uint8]) -> None:
    """A sane region is believed: nothing outside it is taken instead."""
    with pytest.raises(ClipProblem):
        find_sector(frames, (Region(1, 1, 0, 0, 80, 60),))
