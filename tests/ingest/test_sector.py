"""The image is found whatever the probe, text beside it never survives, and what is no image is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg
from clip_files import SHAPES, dress, fan_mask, screen, shape_mask
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.facts import Region
from apical.ingest.sector import Sector, find_sector

WHOLE = Region(1, 1, 0, 0, 319, 239)


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def jpeg(frames: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Frames through JPEG, which lets the image leak over its edges."""
    coded = [simplejpeg.encode_jpeg(frame[..., None].copy(), quality, "GRAY", "Gray") for frame in frames]
    return np.stack([simplejpeg.decode_jpeg(frame, "GRAY")[..., 0] for frame in coded])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["cine", "still", "JPEG", "small", "large"])
def test_every_shape(shape: str, how: str) -> None:
    """The outline is the true one, and it is sure of it."""
    count, rows = {"still": (1, 480), "small": (6, 240), "large": (6, 960)}.get(how, (6, 480))
    shown = screen(count, rows, rows * 4 // 3, shape=shape)
    truth = shape_mask(shape, rows, rows * 4 // 3)
    sector = find_sector(jpeg(shown, 85) if how == "JPEG" else shown)
    assert overlap(sector.mask, truth) > 0.96
    assert sector.confidence > 0.8
    assert sector.kind != "outline"
    x0, y0, x1, y1 = sector.box
    inside = sector.mask[y0:y1, x0:x1]
    assert inside.sum() == sector.mask.sum()
    assert inside[[0, -1]].any(axis=1).all()
    assert inside[:, [0, -1]].any(axis=0).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [240, 480])
def test_every_shape_in_a_compressed_still(shape: str, rows: int) -> None:
    """Where the edges are least sharp."""
    truth = shape_mask(shape, rows, rows * 4 // 3)
    for seed in range(4):
        for quality in (70, 90):
            shown = jpeg(screen(1, rows, rows * 4 // 3, seed=seed, text=False, shape=shape), quality)
            assert overlap(find_sector(shown).mask, truth) > 0.9


def test_kinds() -> None:
    kinds = {
        shape: find_sector(screen(6, 480, 640, shape=shape)).kind
        for shape in ("fan", "curved array", "linear array", "trapezoid")
    }
    assert kinds == {
        "fan": "fan",
        "curved array": "fan",
        "linear array": "linear",
        "trapezoid": "trapezoid",
    }


def test_nothing_of_the_screen_is_inside(frames: NDArray[np.uint8]) -> None:
    bare = screen(text=False)
    for shown, clean in ((frames, bare), (frames[:1], bare[:1])):
        sector = find_sector(shown)
        assert np.array_equal(shown[:, sector.mask], clean[:, sector.mask])


@pytest.mark.parametrize("background", [0, 20, 48])
def test_a_screen_that_is_not_black(frames: NDArray[np.uint8], background: int) -> None:
    """Also where a shadow is darker than the screen: there the image is what is darker."""
    shown = np.where(fan_mask(240, 320), screen(text=False), np.maximum(frames, background))
    if background:
        shown[:, 100:, 175:] = np.where(fan_mask(240, 320)[100:, 175:], 0, shown[:, 100:, 175:])
    assert overlap(find_sector(shown.astype(np.uint8)).mask, fan_mask(240, 320)) > 0.95


def test_a_rib_shadow_does_not_move_the_outline(frames: NDArray[np.uint8]) -> None:
    """A quarter of the fan behind a rib is black: its edge follows from the other side's."""
    y, x = np.mgrid[:240, :320].astype(float)
    angle, depth = np.arctan2(x - 160, y - 24), np.hypot(x - 160, y - 24)
    shadowed = np.where((angle > np.radians(15)) & (angle < np.radians(42)) & (depth > 60), 0, frames)
    sector = find_sector(shadowed.astype(np.uint8))
    assert overlap(sector.mask, fan_mask(240, 320)) > 0.95
    assert sector.confidence < 0.9  # and says so
    x0, _, x1, _ = sector.box
    assert abs((x0 + x1) / 2 - 160) <= 3


def test_a_dark_far_field() -> None:
    """Beyond a third of the depth there is but a little noise: it still ends where the image ends."""
    generator = np.random.default_rng(1)
    shown = screen(8, 480, 640, text=False).astype(float)
    shown[:, 200:] *= 0.0
    noise = (generator.random(shown.shape) < 0.04) * generator.integers(8, 25, shown.shape)
    shown = np.where(shape_mask("fan", 480, 640), np.maximum(shown, noise), 0).astype(np.uint8)
    assert overlap(find_sector(shown).mask, fan_mask(480, 640)) > 0.95


@settings(max_examples=60, deadline=None)
@given(
    words=st.text("ABCDEFGHKMNPRSTX0123456789", min_size=4, max_size=12),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    size=st.floats(0.35, 0.6),
    count=st.sampled_from([1, 5]),
    inverse=st.booleans(),
    tagged=st.booleans(),
    shape=st.sampled_from(sorted(SHAPES)),
)
@example("0377BBP", 0.5, 0.890625, 0.59375, 1, False, False, "linear array")
@example("H003FXP9", 0.5, 0.92, 0.59, 5, True, True, "trapezoid")
def test_text_beside_the_image_never_survives(
    words: str, x: float, y: float, size: float, count: int, inverse: bool, tagged: bool, shape: str
) -> None:
    """Words anywhere beside it, light on black or dark on a light box: all their pixels go."""
    shown = screen(count, seed=1, text=False, shape=shape)
    (width, height), base = cv2.getTextSize(words, 0, size, 1)
    left, bottom = int(x * max(0, 318 - width)) + 1, int(y * (236 - height - base)) + height + 1
    painted = np.zeros((240, 320), np.uint8)
    if inverse:
        cv2.rectangle(painted, (left - 1, bottom - height), (left + width, bottom + base), 255, -1)
        cv2.putText(painted, words, (left, bottom), 0, size, 1, 1)
    else:
        cv2.putText(painted, words, (left, bottom), 0, size, 255, 1, cv2.LINE_AA)
    if (cv2.dilate(painted, np.ones((9, 9))) > 0)[shape_mask(shape, 240, 320)].any():
        return  # over or at the image: see test_writing
    shown = np.maximum(shown, painted)
    try:
        sector = find_sector(shown, (WHOLE,) if tagged else ())
    except ClipProblem:
        return
    assert not (sector.mask & (painted > 0)).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lines", [1, 2, 4])
@pytest.mark.parametrize("inverse", [False, True])
def test_lines_of_text_that_all_but_touch_the_image_go(shape: str, lines: int, inverse: bool) -> None:
    """Three rows below its lowest part, or above its highest, as many lines as fit."""
    truth = shape_mask(shape, 240, 320)
    rows = np.flatnonzero(truth.any(axis=1))
    for top in (rows[-1] + 4, rows[0] - 3 - 17 * lines):
        painted = np.zeros((240, 320), np.uint8)
        for line in range(lines):
            bottom = int(top) + 17 * line + 12
            if inverse:
                cv2.rectangle(painted, (89, bottom - 12), (230, bottom + 4), 255, -1)
            cv2.putText(painted, "DOE JOHANNA 47", (90, bottom), 0, 0.5, 1 if inverse else 255, 1)
        if (painted > 0)[truth].any() or top < 0:
            continue
        for count in (1, 5):
            shown = np.maximum(screen(count, seed=1, text=False, shape=shape), painted)
            assert not (find_sector(shown).mask & (painted > 0)).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("inverse", [False, True])
def test_a_clock_beside_the_image_is_no_part_of_it(shape: str, inverse: bool) -> None:
    """Its digits move, as only the image should; looked for beside both upper edges."""
    truth = shape_mask(shape, 240, 320)
    distance = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    for left in (2, 228):
        tops = [top for top in range(2, 200) if distance[top : top + 34, left : left + 90].min() > 6]
        shown, painted = screen(5, seed=1, text=False, shape=shape), np.zeros((240, 320), np.uint8)
        for number, frame in enumerate(shown):
            clock = np.zeros((240, 320), np.uint8)
            for line, words in enumerate((f"DOE J {11 + 7 * number}", f"ID 47 {93 - 9 * number}")):
                bottom = max(tops, default=2) + 16 * line + 13
                if inverse:
                    cv2.rectangle(clock, (left, bottom - 13), (left + 88, bottom + 3), 255, -1)
                cv2.putText(clock, words, (left + 2, bottom), 0, 0.5, 1 if inverse else 255, 1)
            frame[:] = np.maximum(frame, clock)
            painted |= clock
        if tops:
            assert not (find_sector(shown).mask & (painted > 0)).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [20, 40, 60])
@pytest.mark.parametrize("count", [1, 5])
def test_black_words_on_a_grey_screen_do_not_pull_the_outline(shape: str, level: int, count: int) -> None:
    """What is darker than the screen is image, but no letters are."""
    truth = shape_mask(shape, 240, 320)
    shown = np.where(truth, screen(count, seed=1, text=False, shape=shape), level).astype(np.uint8)
    ink = np.zeros((240, 320), np.uint8)
    for x, y in ((4, 14), (200, 14), (4, 60), (236, 60), (4, 120), (236, 232), (4, 232), (120, 236)):
        cv2.putText(ink, "DOE JOH 47", (x, y), 0, 0.45, 255, 1)
    ink[cv2.dilate(truth.astype(np.uint8), np.ones((9, 9))) > 0] = 0
    shown[:, ink > 0] = 0
    assert not (find_sector(jpeg(shown, 90)).mask & (ink > 0)).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("box", [50, 110, 200])
@pytest.mark.parametrize("seen", ["still", "cine", "in a part"])
def test_a_box_of_text_beside_the_image_goes(shape: str, box: int, seen: str) -> None:
    """A flat box of three lines four pixels from the image, in each of the places where there is room."""
    truth = shape_mask(shape, 240, 320)
    distance = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    for left in (1, 211):
        room = [top for top in range(1, 190) if distance[top : top + 48, left : left + 108].min() > 4]
        for top in {min(room), max(room)} if room else ():
            shown = screen(1 if seen == "still" else 6, seed=1, text=False, shape=shape)
            painted = np.full((240, 320), 0, np.uint8)
            cv2.rectangle(painted, (left, top), (left + 107, top + 47), box, -1)
            for line, words in enumerate(("DOE JOHANNA", "ID 0377 BBP", "12.03.1947")):
                ink = 255 if box < 100 else 1
                cv2.putText(painted, words, (left + 3, top + 14 + 15 * line), 0, 0.42, ink, 1)
            part = slice(2, 4) if seen == "in a part" else slice(None)
            shown[part] = np.where(painted > 0, painted, shown[part])
            assert not (find_sector(shown).mask & (painted > 0)).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seen", ["black on grey", "clock", "box in a part", "box on a still"])
def test_what_compression_leaves_of_words_does_not_pull_the_outline(shape: str, seen: str) -> None:
    """On screens so small that they are looked at as they are; bold words five pixels from the image."""
    truth = shape_mask(shape, 240, 320)
    distance = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    for left in (1, 191):
        room = [top for top in range(1, 190) if distance[top : top + 40, left : left + 128].min() > 5]
        for top in {min(room), max(room)} if room else ():
            shown = screen(1 if "still" in seen else 6, seed=1, text=False, shape=shape)
            ink = 255 if seen == "clock" else 1
            if "grey" in seen:
                shown = np.where(truth, shown, 40).astype(np.uint8)
            strokes = np.zeros((240, 320), bool)
            for number in range(len(shown)) if "part" not in seen else (2, 3):
                words = np.zeros((240, 320), np.uint8)
                clock = 11 + 7 * number if seen == "clock" else 47
                for line in range(2):
                    place = (left + 3, top + 16 + 18 * line)
                    cv2.putText(
                        words, f"DOE JOH {clock + line}", place, cv2.FONT_HERSHEY_DUPLEX, 0.55, 255, 2
                    )
                if "box" in seen:
                    cv2.rectangle(shown[number], (left, top), (left + 127, top + 39), 210, -1)
                shown[number][words > 0] = ink
                strokes |= words > 0
            sector = find_sector(jpeg(shown, 72))
            assert not (sector.mask & strokes).any()
            assert overlap(sector.mask, truth) > 0.9


@pytest.mark.parametrize("shape", SHAPES)
def test_a_noisy_screen_does_not_move_as_the_image_does(shape: str) -> None:
    truth = shape_mask(shape, 240, 320)
    shown = screen(8, seed=1, text=False, shape=shape) + np.random.default_rng(1).normal(20, 3, (8, 240, 320))
    assert overlap(find_sector(shown.clip(0, 255).astype(np.uint8)).mask, truth) > 0.95


def test_a_band_too_dark_to_be_seen_does_not_end_the_image() -> None:
    """The image goes on behind it, unlike a line of writing behind a strip of empty screen."""
    shown = screen(6, 480, 640, text=False)
    shown[:, 80:110] = np.where(shape_mask("fan", 480, 640)[80:110], 5, 0)
    assert overlap(find_sector(shown).mask, fan_mask(480, 640)) > 0.98


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


def shades(darkest: int, lightest: int) -> NDArray[np.uint8]:
    """All of it lit; from 100 to 180 it is flat wherever one looks."""
    return np.tile(np.linspace(darkest, lightest, 640).astype(np.uint8), (1, 480, 1))


def photograph(edge: bool = False) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (1, 60, 80), dtype=np.uint8)
    picture = np.asarray(cv2.resize(noise[0], (640, 480)), np.uint8)
    if edge:
        picture[:150] = 120
    return picture[None]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 480, 640), np.uint8),
        np.full((3, 480, 640), 255, np.uint8),
        np.zeros((1, 1, 1), np.uint8),
        np.zeros((2, 3, 2000), np.uint8),
        page_of_text(),
        255 - page_of_text(),
        flat_panels(),
        shades(100, 180),
        shades(20, 220),
        photograph(),
        photograph(edge=True),
        np.random.default_rng(0).integers(0, 256, (1, 20, 20), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (4, 200, 3), dtype=np.uint8),
    ],
    ids=["black", "white", "pixel", "strip", "report", "dark report", "panels", "flat shades", "shades",
         "photograph", "sky", "tiny", "thin"],
)  # fmt: skip
def test_what_is_no_image_is_refused(picture: NDArray[np.uint8]) -> None:
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
    assert overlap(find_sector(frames, regions).mask, fan_mask(240, 320)) > 0.96


def test_a_region_cuts_the_image(frames: NDArray[np.uint8]) -> None:
    """What tags say is not of the image is not, whatever the pixels look like."""
    sector = find_sector(frames, (Region(1, 1, 20, 10, 200, 210),))
    assert not sector.mask[:, 201:].any()
    assert overlap(sector.mask[:, :201], fan_mask(240, 320)[:, :201]) > 0.9


def test_ecg_region_over_the_image_is_blanked(frames: NDArray[np.uint8]) -> None:
    """An ECG that the tags place over the fan's lower end takes its rows away, and hides no edge."""
    sector = find_sector(frames, (Region(1, 1, 20, 10, 300, 210), Region(4, 10, 0, 185, 319, 239)))
    assert not sector.mask[185:].any()
    assert overlap(sector.mask[:185], fan_mask(240, 320)[:185]) > 0.96


@pytest.mark.parametrize(
    "region", [(4, 10, 960_051_513, 5, 200, 50), (4, 10, 5, 900, 200, 9), (4, 10, 250, 200, 60, 20)]
)
def test_an_ecg_region_that_cannot_be_blanks_nothing(
    frames: NDArray[np.uint8], region: tuple[int, ...], recwarn: pytest.WarningsRecorder
) -> None:
    """It begins beyond the picture, or ends before it begins; once it was painted all the same."""
    odd = Region(*region)
    assert np.array_equal(find_sector(frames, (odd,)).mask, find_sector(frames).mask)
    assert not recwarn.list


def test_a_region_without_an_image_in_it_is_refused(frames: NDArray[np.uint8]) -> None:
    """A sane region is believed: nothing outside it is taken instead."""
    with pytest.raises(ClipProblem):
        find_sector(frames, (Region(1, 1, 0, 0, 80, 60),))


def test_an_ecg_trace_that_runs_through_the_sectors_box(frames: NDArray[np.uint8]) -> None:
    """Traces, ticks and text below the apex's height but beside the fan are not in the mask."""
    dressed = screen(8, 480, 640, text=False)
    around = np.zeros_like(dressed)
    for number, frame in enumerate(around):
        dress(frame, number)
        x = np.arange(640)
        trace = 400 - 60 * (np.abs((x + 13 * number) % 160 - 80) < 4)
        frame[trace, x] = frame[trace - 1, x] = 230
    fan = shape_mask("fan", 480, 640)
    dressed = np.where(fan & (around < 200), dressed, around).astype(np.uint8)
    sector = find_sector(dressed)
    assert overlap(sector.mask, fan) > 0.95
    assert not (sector.mask & ~cv2.dilate(fan.astype(np.uint8), np.ones((7, 7))).astype(bool)).any()


def test_as_text_and_back(frames: NDArray[np.uint8]) -> None:
    painted = np.zeros((240, 320), np.uint8)
    cv2.putText(painted, "JOHANNA", (130, 160), 0, 0.5, 255, 1, cv2.LINE_AA)
    sector = find_sector(np.maximum(frames, painted))
    assert sector.holes
    back = Sector.from_json(sector.to_json())
    assert np.array_equal(back.mask, sector.mask)
    assert back.box == sector.box
    assert (back.kind, back.size) == (sector.kind, sector.size)
    assert back.confidence == pytest.approx(sector.confidence, abs=1e-3)


FEW = '{"kind":"fan","size":[1,1],"confidence":1,"outline":[[0,0]],"holes":[]}'
NO_NUMBER = '{"kind":"fan","size":[9,9],"confidence":1,"outline":[[0,0],[NaN,1],[2,2]],"holes":[]}'


@pytest.mark.parametrize("text", ["", "{}", "[]", FEW, NO_NUMBER])
def test_text_that_is_no_sector(text: str) -> None:
    with pytest.raises(ClipProblem, match="scan again"):
        Sector.from_json(text)
