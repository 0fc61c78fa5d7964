"""Six makers whose screens can be told apart, and none of whose drawings tells the view."""

from datetime import date
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from test_screen import ALL_MACHINES, grid_of

from apical.phantom.lettering import letters
from apical.phantom.logos import draw_logo, draw_marker
from apical.phantom.machine import MACHINES, gray_map, machine
from apical.phantom.makers import MAKERS
from apical.phantom.screen import Pixels, lay_out
from apical.phantom.surround import draw_frame
from apical.phantom.wording import Facts, worded

FACTS = Facts(
    index=1234, day=date(2020, 3, 12), heart_rate=104, mi=1.2, tis=0.6, compression=50, frame_rate=54, gain=62
)
OF_EACH_MAKER = range(0, MACHINES, MACHINES // len(MAKERS))
ROWS = (96, 160, 300)


def inside_of(number: int, rows: int, depth_mm: float = 150) -> NDArray[np.bool_]:
    screen = lay_out(machine(number), rows, depth_mm)
    return screen.maps(grid_of(screen))[2]


def frame_of(number: int, rows: int, texts: tuple[str, ...], depth_mm: float = 150) -> Pixels:
    inside = inside_of(number, rows, depth_mm)
    return draw_frame(machine(number), lay_out(machine(number), rows, depth_mm), inside, texts)


def test_each_maker_has_machines_with_and_without_tags_and_of_several_encodings() -> None:
    for maker in MAKERS:
        machines = [look for look in map(machine, ALL_MACHINES) if look.maker is maker]
        assert len(machines) == MACHINES // len(MAKERS)
        assert {"right", "absent"} <= {look.region_tags for look in machines}
        assert len({look.encoding for look in machines}) >= 2


def test_machines_of_a_maker_differ() -> None:
    for maker in MAKERS:
        machines = [look for look in map(machine, ALL_MACHINES) if look.maker is maker]
        assert (
            len({(look.aspect, look.half_angle, look.sector_top, look.text_gray) for look in machines}) == 4
        )
        assert len({gray_map(look).tobytes() for look in machines}) == 4


@pytest.mark.parametrize("number", ALL_MACHINES)
def test_gray_map_never_falls_and_keeps_black_and_white(number: int) -> None:
    levels = gray_map(machine(number)).astype(int)
    assert (np.diff(levels) >= 0).all()
    assert (levels[0], levels[-1]) == (0, 255)


def test_makers_have_gray_maps_of_their_own() -> None:
    for one, other in combinations([gray_map(machine(number)).astype(int) for number in OF_EACH_MAKER], 2):
        assert np.abs(one - other).max() > 12


def test_makers_have_letters_marks_and_markers_of_their_own() -> None:
    """The same word and shapes of the same size are different pictures."""

    def pictures(number: int) -> list[Pixels]:
        look = machine(number)
        word, mark, marker = np.zeros((3, 64, 200, 3), np.uint8)
        letters(look, 300, size=20 / (300 * look.text_height)).write(word, "MI 1.2", 5, 40, (255, 255, 255))
        draw_logo(mark, look, (100, 32), 12)
        draw_marker(marker, look, (100, 32), 12)
        return [word, mark, marker]

    drawn = [pictures(number) for number in OF_EACH_MAKER]
    for one, other in combinations(drawn, 2):
        for ours, theirs in zip(one, other, strict=True):
            ours, theirs = ours.max(axis=-1) > 90, theirs.max(axis=-1) > 90
            assert ours.any()
            assert (ours & theirs).sum() < 0.8 * (ours | theirs).sum()


def test_makers_word_the_same_facts_differently_and_all_name_a_phantom() -> None:
    lines = [worded(machine(number), FACTS) for number in ALL_MACHINES]
    assert len(set(lines)) == len(MAKERS)
    for one in lines:
        assert "phantom" in one[0].lower()
        assert "1234" in one[0]
        for value in ("2020", "20"), ("1.2",), ("0.6",), ("104",):
            assert any(word in line for word in value for line in one[1:])


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("number", ALL_MACHINES)
def test_name_is_burnt_in(number: int, rows: int) -> None:
    """It is drawn whole: as many pixels differ from a screen without it as the name has."""
    texts = worded(machine(number), FACTS)
    with_name, without = frame_of(number, rows, texts), frame_of(number, rows, ("", *texts[1:]))
    word = np.zeros_like(with_name)
    letters(machine(number), rows).write(word, texts[0], 0, rows // 2, machine(number).ink)
    assert (with_name != without).any(axis=-1).sum() >= (word.max(axis=-1) > 60).sum()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("number", ALL_MACHINES)
def test_nothing_is_drawn_on_the_sector(number: int, rows: int) -> None:
    inside = inside_of(number, rows)
    frame = frame_of(number, rows, worded(machine(number), FACTS))
    assert not frame[inside].any()
    assert frame[~inside].max() > 100


@pytest.mark.parametrize("number", ALL_MACHINES)
def test_only_the_scale_tells_the_depth(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At another depth, as another view has, all else stands where it stood."""
    texts = worded(machine(number), FACTS)
    beside = ~(inside_of(number, 300, 90) | inside_of(number, 300, 260))
    shallow, deep = (frame_of(number, 300, texts, depth) for depth in (90, 260))
    changed = (shallow != deep).any(axis=-1) & beside
    assert changed.mean() < 0.006
    assert changed.any() == (machine(number).depth_ticks != "none")
    monkeypatch.setattr("apical.phantom.surround._put_scale", lambda *rest: None)
    shallow, deep = (frame_of(number, 300, texts, depth) for depth in (90, 260))
    assert np.array_equal(shallow[beside], deep[beside])


@pytest.mark.parametrize("number", ALL_MACHINES)
def test_sector_keeps_its_place_and_size_at_any_depth(number: int) -> None:
    shallow, deep = (lay_out(machine(number), 300, depth) for depth in (90, 260))
    assert (shallow.apex_x, shallow.apex_y) == (deep.apex_x, deep.apex_y)
    assert shallow.region()[3] == deep.region()[3]


@pytest.mark.parametrize("number", ALL_MACHINES)
def test_flat_probe_faces_begin_at_a_line(number: int) -> None:
    inside = inside_of(number, 600, 100)
    columns = np.flatnonzero(inside[np.flatnonzero(inside.any(axis=1))[0]])
    face = 2 * machine(number).near_mm * np.tan(machine(number).half_angle) / 100
    assert machine(number).maker.flat_face == (
        len(columns) > 0.7 * face * machine(number).sector_height * 600 > 10
    )


def test_a_line_that_is_cut_by_the_screen_is_drawn_in_part() -> None:
    for number in OF_EACH_MAKER:
        style, whole = letters(machine(number), 300), np.zeros((40, 200, 3), np.uint8)
        style.write(whole, "HR 72", 50, 20, (200, 200, 200))
        for x, foot in ((-10, 20), (-500, 20), (500, 20), (190, 20), (50, 3), (50, 39), (50, 300), (50, -90)):
            cut = np.zeros_like(whole)
            style.write(cut, "HR 72", x, foot, (200, 200, 200))
            assert cut.any() == (-10 <= x <= 190 and 0 < foot < 40)
