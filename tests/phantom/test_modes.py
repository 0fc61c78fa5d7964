"""The screens beside plain 2-D: reproducible, whole, and showing what they say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from test_study import contents, truth_rows

from apical.cli import run
from apical.config import PhantomSettings
from apical.phantom.anatomy import sample_patient
from apical.phantom.clip import Sight
from apical.phantom.colour import blood_box, paint_blood, paint_walls, part_of
from apical.phantom.colour_map import colour_map
from apical.phantom.dicom_file import Header, write_mode
from apical.phantom.heart import Tissue
from apical.phantom.m_mode import beam_over_time
from apical.phantom.machine import MACHINES, machine
from apical.phantom.modes import MODES, SHOWS_ONE_VIEW
from apical.phantom.planes import VIEWS
from apical.phantom.screen import Pixels, Region
from apical.phantom.shapes import PolarGrid
from apical.phantom.shot import CW, PW, ModeClip, Shot, house
from apical.phantom.strip import strip_of
from apical.phantom.study import write_phantom

HEADER = Header("PHANTOM-0001", "Phantom^Nr1", "0/1", "20200101", "080045", 1, 72, 33.3)
ONE_MACHINE_FOR_EACH = {"right": 0, "absent": 4, "too-wide": 5, "full-screen-first": 23}
BITS = {  # of Image Type value 4 that a mode may have
    "colour": {0x011, 0x101},  # 2-D, and colour or power
    "tissue-doppler": {0x011},
    "spectral": {0x004, 0x008, 0x005, 0x009},  # CW or PW, with or without 2-D
    "m-mode": {0x002, 0x003},
    "dual": {0x001, 0x011},
    "3d": {0x040},
    "report": {0x000},
}


def shot(number: int, *, view: str = "A4C", frames: int = 2, rows: int = 120, seed: int = 0) -> Shot:
    rng = np.random.default_rng([seed, number])
    patient = sample_patient(rng, 0.55, len(Tissue))
    texts = ("PHANTOM, NR0", "01/02/2020", "72 bpm", "MI 1.2")
    return Shot(patient, view, machine(number), texts, 72.0, frames, rows, 0.55, rng)


def drawn(mode: str, number: int, **changes: object) -> ModeClip:
    return MODES[mode](shot(number, **changes))


def area(picture: NDArray[np.generic], region: Region) -> NDArray[np.generic]:
    return picture[..., region.y0 : region.y1 + 1, region.x0 : region.x1 + 1, :]


def with_format(clip: ModeClip, spatial_format: int) -> list[Region]:
    return [region for region in clip.regions if region.spatial_format == spatial_format]


@pytest.mark.parametrize("mode", MODES)
def test_same_generator_gives_same_pixels(mode: str) -> None:
    first, again, other = drawn(mode, 0), drawn(mode, 0), drawn(mode, 0, seed=1)
    assert np.array_equal(first.frames, again.frames)
    assert first.regions == again.regions
    assert first.frames.shape != other.frames.shape or not np.array_equal(first.frames, other.frames)


@pytest.mark.parametrize("rows", [96, 97, 200])
@pytest.mark.parametrize("mode", MODES)
def test_screen_is_the_machines_and_regions_lie_on_it(mode: str, rows: int) -> None:
    for number in range(rows % 5, MACHINES, 5):
        clip = drawn(mode, number, rows=rows, view=VIEWS[number % len(VIEWS)])
        frames, height, width, channels = clip.frames.shape
        assert clip.frames.dtype == np.uint8
        assert (height, width, channels) == (rows, shot(number, rows=rows).columns, 3)
        assert frames in (1, 2)
        assert clip.frames.max() > 100
        assert clip.image_type_bits in BITS[mode]
        assert (clip.sight is not None) == (mode in SHOWS_ONE_VIEW)
        for region in clip.regions:
            assert 0 <= region.x0 < region.x1 < width
            assert 0 <= region.y0 < region.y1 < height


@pytest.mark.parametrize("mode", MODES)
def test_screen_without_texts_can_be_drawn(mode: str) -> None:
    clip = MODES[mode](replace(shot(0, view="PLAX", frames=1, rows=96), texts=(), difficulty=0.0))
    assert len(clip.frames) == 1


def labels_on_screen(sight: Sight) -> NDArray[np.uint8]:
    """The tissue at each pixel by the nearest sample, [frames, rows, columns]."""
    sample, beam, _ = sight.screen.maps(sight.grid)
    samples, beams = (np.clip(np.round(index).astype(int), 0, None) for index in (sample, beam))
    last = np.array(sight.labels.shape[1:]) - 1
    return sight.labels[:, np.minimum(beams, last[0]), np.minimum(samples, last[1])]


def painted_pixels(pictures: Pixels) -> NDArray[np.bool_]:
    return np.ptp(pictures.astype(int), axis=-1) > 20


@pytest.mark.parametrize("view", ["A4C", "PLAX", "subcostal-4C"])
def test_flow_is_painted_where_blood_is(view: str) -> None:
    one = shot(7, view=view, frames=4, rows=200)
    sight = one.look()
    box = blood_box(sight, one.rng)
    blank = np.zeros((*sight.gray.shape, 3), np.uint8)
    painted = painted_pixels(paint_blood(blank, sight, box, "warm", 0.6, one.rng))
    assert painted.any(axis=(1, 2)).sum() >= 2
    assert not painted[:, ~sight.screen.maps(box)[2]].any()
    assert (labels_on_screen(sight)[painted] == Tissue.BLOOD).mean() > 0.93


def test_walls_are_painted_where_tissue_is() -> None:
    one = shot(7, view="A4C", frames=4, rows=200)
    sight = one.look()
    box = part_of(sight.grid, (0, 1), (0, 1))
    blank = np.zeros((*sight.gray.shape, 3), np.uint8)
    painted = painted_pixels(paint_walls(blank, sight, box, "warm", 0.12, one.rng))
    labels = labels_on_screen(sight)
    assert (labels[painted] != Tissue.BLOOD).mean() > 0.95
    assert painted[labels == Tissue.MYOCARDIUM].mean() > 0.3


@pytest.mark.parametrize(("nyquist", "red", "blue"), [(1.8, True, False), (0.6, False, True)])
def test_fast_flow_takes_the_colours_of_the_other_direction(
    nyquist: float, red: bool, blue: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blood that comes at 0.9 m/s everywhere is red, but blue where Nyquist's limit is below that."""

    def steady(sight: Sight, grid: PolarGrid, *rest: object) -> tuple[NDArray[np.float64], float]:
        return np.full((len(sight.seconds), len(grid.angles), len(grid.ranges)), 0.9), 0.0

    monkeypatch.setattr("apical.phantom.colour.blood_velocity", steady)
    one = shot(7)
    sight = one.look()
    box = blood_box(sight, one.rng)
    blank = np.zeros((*sight.gray.shape, 3), np.uint8)
    painted = paint_blood(blank, sight, box, "plain", nyquist, one.rng).astype(int)
    assert (painted[..., 0] > painted[..., 2] + 20).any() == red
    assert (painted[..., 2] > painted[..., 0] + 20).any() == blue


@pytest.mark.parametrize("mode", ["colour", "tissue-doppler"])
@pytest.mark.parametrize("number", [1, 8, 18])
def test_colour_stays_in_its_box_and_the_bar_shows_the_map(mode: str, number: int) -> None:
    clip = drawn(mode, number, rows=200)
    sector, box, bar = clip.regions[:3]
    assert (sector.data_type, box.data_type, bar.data_type) == (1, 2, 14)
    chroma = np.ptp(clip.frames.astype(int), axis=-1) > 60
    for region in clip.regions[1:]:  # the box and its outline, the bar, the electrocardiogram
        chroma[:, max(0, region.y0 - 1) : region.y1 + 2, max(0, region.x0 - 1) : region.x1 + 2] = False
    side, top = 0.1 * clip.frames.shape[2], round(0.15 * len(clip.frames[0]))
    centre = round(clip.sight.screen.apex_x) if clip.sight else 0
    chroma[:, :top, round(centre - side) : round(centre + side)] = False  # the orientation marker
    assert not chroma.any()
    shown = area(clip.frames[0], bar)[:, 0]
    maps = [
        colour_map(name)
        for name in (house(machine(number)).flow_map, house(machine(number)).tissue_map, "power")
    ]
    assert any((shown[0] == colours[-1]).all() and (shown[-1] == colours[0]).all() for colours in maps)


@pytest.mark.parametrize("mode", ["spectral", "m-mode"])
def test_only_the_strip_and_the_ecg_move(mode: str) -> None:
    moved = 0
    for number in range(MACHINES):
        clip = drawn(mode, number, frames=3)
        moving = np.ptp(clip.frames.max(axis=-1), axis=0) > 0
        for region in clip.regions:
            if region.spatial_format in (2, 3):
                moved += moving[region.y0 : region.y1 + 1, region.x0 : region.x1 + 1].any()
            if region.spatial_format != 1:
                moving[region.y0 : region.y1 + 1, region.x0 : region.x1 + 1] = False
        assert not moving.any()
    assert 0 < moved < MACHINES  # some are stills


def test_strip_is_written_on_from_left_to_right() -> None:
    """Column by column, behind a gap; what was written stays."""
    one = shot(8, frames=5)
    strip = replace(strip_of(one), seconds=np.array([1.0, 1.4]), sweep_seconds=2.0)
    image = np.broadcast_to(np.arange(len(strip.times)) % 200 + 1, (3, len(strip.times))).astype(np.uint8)
    before, after = strip.shown(image, 0)[0], strip.shown(image, 1)[0]
    new = slice(round(0.51 * strip.width), round(0.69 * strip.width))
    assert (before[: new.start - 5] == after[: new.start - 5]).all()
    assert (before[round(0.75 * strip.width) :] == after[round(0.75 * strip.width) :]).all()
    assert (before[new] != after[new]).all()
    for picture, second in ((before, 1.0), (after, 1.4)):
        gap = round(second / 2 * strip.width)
        assert (picture[gap + 2 : gap + round(0.025 * strip.width)] == 0).all()


@pytest.mark.parametrize("mode", ["spectral", "m-mode"])
def test_strip_is_wide_and_in_the_lower_part_of_the_screen(mode: str) -> None:
    sectors = 0
    for number in range(0, MACHINES, 3):
        clip = drawn(mode, number)
        (strip,) = with_format(clip, {"spectral": 3, "m-mode": 2}[mode])
        _, rows, columns, _ = clip.frames.shape
        assert strip.x1 - strip.x0 > 0.8 * columns
        assert 0.35 * rows < strip.y1 - strip.y0 < 0.62 * rows
        assert strip.y1 > 0.8 * rows
        if mode == "spectral":
            assert strip.data_type == (4 if clip.image_type_bits & CW else 3)
            assert bool(clip.image_type_bits & CW) != bool(clip.image_type_bits & PW)
        sectors += len(with_format(clip, 1))
        for sector in with_format(clip, 1):
            assert sector.y1 < strip.y0
            assert area(clip.frames[0], sector).max() > 60
    assert 0 < sectors < MACHINES // 3


def period_seconds(picture: NDArray[np.generic], seconds_a_column: float) -> float:
    """The delay after which a strip (uint8 [rows, columns]) is most alike itself, 0.3 s at least."""
    signal = picture.astype(float)
    signal -= signal.mean(axis=1, keepdims=True)
    first, last = (round(delay / seconds_a_column) for delay in (0.3, 1.5))
    alike = [
        (signal[:, :-delay] * signal[:, delay:]).mean()
        / np.sqrt((signal[:, :-delay] ** 2).mean() * (signal[:, delay:] ** 2).mean())
        for delay in range(first, last)
    ]
    return (first + int(np.argmax(alike))) * seconds_a_column


@pytest.mark.parametrize(("number", "seed"), [(8, 0), (9, 1), (12, 2), (14, 3)])
def test_spectrum_beats_with_the_heart(number: int, seed: int) -> None:
    clip = drawn("spectral", number, frames=1, rows=200, seed=seed)
    (strip,) = with_format(clip, 3)
    period = period_seconds(area(clip.frames[0], strip).max(axis=-1), strip.deltas[0])
    beats = period / (60 / 72)
    assert beats == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("number", [0, 8, 12])
def test_tags_tell_where_the_speed_is_0_and_how_time_runs(number: int, tmp_path: Path) -> None:
    clip = drawn("spectral", number, frames=1, rows=200)
    write_mode(tmp_path / "clip.dcm", clip, HEADER, replace(machine(number), region_tags="right"))
    items = {
        item.RegionSpatialFormat: item
        for item in pydicom.dcmread(tmp_path / "clip.dcm").SequenceOfUltrasoundRegions
    }
    spectrum = items[3]
    (strip,) = with_format(clip, 3)
    baseline = area(clip.frames[0], strip)[spectrum.ReferencePixelY0]
    assert (baseline == 150).all(axis=-1).mean() > 0.9  # drawn there, from side to side
    assert spectrum.ReferencePixelPhysicalValueY == 0
    fastest = -spectrum.ReferencePixelY0 * spectrum.PhysicalDeltaY  # cm/s, at the upper edge
    assert 5 < fastest < 800
    if machine(number).ecg:
        assert items[4].PhysicalDeltaX == pytest.approx(spectrum.PhysicalDeltaX)


def test_m_mode_beats_with_the_heart_and_does_not_stand_still() -> None:
    one = shot(8, view="PLAX", frames=1, rows=200)
    strip, sight = strip_of(one), one.look(frames=1)
    image = beam_over_time(one, sight, strip, 0.0)
    assert image.shape == (strip.height, len(strip.times))
    period = period_seconds(image, strip.sweep_seconds / strip.width)
    assert period == pytest.approx(60 / 72, rel=0.06)


def test_dual_has_two_sectors_of_one_size_beside_each_other() -> None:
    for number in range(0, MACHINES, 4):
        clip = drawn("dual", number)
        left, right = (region for region in clip.regions if region.data_type == 1)
        assert left.x1 < right.x0
        assert right.x1 - right.x0 == pytest.approx(left.x1 - left.x0, abs=2)
        for sector in (left, right):
            assert area(clip.frames[0], sector).max() > 60


def test_volume_is_tinted_and_smooth() -> None:
    """Warm where near, never the speckle of a sector: neighbours differ little."""
    roughness = []
    for number in (0, 8, 16):
        frame = drawn("3d", number, rows=200).frames[0, 40:170].astype(float)
        lit = frame.max(axis=-1) > 40
        assert lit.mean() > 0.1
        assert frame[lit][:, 0].mean() > 1.1 * frame[lit][:, 2].mean()
        sector = drawn("dual", number, rows=200).frames[0, 40:170].astype(float)
        for one in (frame, sector):
            roughness.append(np.abs(np.diff(one[..., 1], axis=1))[(one[..., 1] > 40)[:, 1:]].mean())
    assert sum(roughness[::2]) < 0.6 * sum(roughness[1::2])


@pytest.mark.parametrize(("promise", "number"), ONE_MACHINE_FOR_EACH.items())
@pytest.mark.parametrize("mode", MODES)
def test_tags_are_as_the_machine_writes_them(mode: str, promise: str, number: int, tmp_path: Path) -> None:
    look = machine(number)
    assert look.region_tags == promise
    clip = drawn(mode, number)
    write_mode(tmp_path / "clip.dcm", clip, HEADER, look)
    dataset = pydicom.dcmread(tmp_path / "clip.dcm")
    assert dataset.pixel_array.size == clip.frames.size
    written = [
        Region(
            item.RegionSpatialFormat,
            item.RegionDataType,
            item.RegionLocationMinX0,
            item.RegionLocationMinY0,
            item.RegionLocationMaxX1,
            item.RegionLocationMaxY1,
        )
        for item in dataset.get("SequenceOfUltrasoundRegions", [])
    ]
    true = [Region(one.spatial_format, one.data_type, one.x0, one.y0, one.x1, one.y1) for one in clip.regions]
    of_an_image = bool(true) and true[0].spatial_format < 4
    if promise == "right":
        assert written == true
        assert dataset.UltrasoundColorDataPresent == int(bool(clip.image_type_bits & 0x130))
        if mode == "report":
            assert len(dataset.ImageType) == 2
        else:
            assert int(dataset.ImageType[3], 16) == clip.image_type_bits
        return
    assert len(dataset.ImageType) == 2
    assert "UltrasoundColorDataPresent" not in dataset
    if promise == "absent":
        assert not written
    elif promise == "too-wide" and of_an_image:
        assert written[0].x1 == dataset.Columns
        assert written[1:] == true[1:]
    elif promise == "full-screen-first" and of_an_image:
        full = (written[0].x0, written[0].y0, written[0].x1, written[0].y1)
        assert full == (0, 0, dataset.Columns - 1, dataset.Rows - 1)
        assert written[1:] == true
    else:
        assert written == true


@pytest.mark.parametrize(("mode", "colours"), [("colour", "RGB"), ("3d", "RGB"), ("m-mode", "MONOCHROME2")])
def test_gray_machines_write_colour_where_it_tells_something(mode: str, colours: str, tmp_path: Path) -> None:
    assert machine(3).encoding == "gray"
    write_mode(tmp_path / "clip.dcm", drawn(mode, 3), HEADER, machine(3))
    assert pydicom.dcmread(tmp_path / "clip.dcm").PhotometricInterpretation == colours


@pytest.fixture(scope="module")
def with_other_modes(small: PhantomSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("modes") / "exams"
    write_phantom(out, small.model_copy(update={"other_modes": 7, "workers": 1}))
    return out


def test_exam_has_the_other_modes_after_its_ordinary_clips(
    phantom: Path, with_other_modes: Path, small: PhantomSettings
) -> None:
    plain, more = contents(phantom), contents(with_other_modes)
    assert len(more) == len(plain) + 7 * small.patients
    del plain["truth.csv"], plain["truth-frames.csv"]
    assert plain.items() <= more.items()
    rows = truth_rows(with_other_modes)
    assert [row for row in rows if row["mode"] == "2d"] == truth_rows(phantom)
    others = [row for row in rows if row["mode"] != "2d"]
    assert len({row["mode"] for row in others}) > 4
    for row in others:
        assert row["mode"] in MODES
        assert bool(row["view"]) == bool(row["sector"]) == (row["mode"] in SHOWS_ONE_VIEW)
        assert row["view"] in ("", *VIEWS)
        assert bool(row["phase_first_frame"]) == (row["mode"] != "report")
        dataset = pydicom.dcmread(with_other_modes / row["file"])
        assert dataset.PatientID == row["patient"]
        assert dataset.Rows == small.image_rows
        assert row["mode"] not in str(dataset)


def test_fewer_other_modes_are_the_first_of_more(
    with_other_modes: Path, small: PhantomSettings, tmp_path: Path
) -> None:
    write_phantom(tmp_path / "few", small.model_copy(update={"other_modes": 2, "patients": 1, "workers": 1}))
    few, many = contents(tmp_path / "few"), contents(with_other_modes)
    del few["truth.csv"], few["truth-frames.csv"]
    assert few.items() <= many.items()


def test_summary_counts_every_file_and_the_views_that_are_shown(
    with_other_modes: Path, small: PhantomSettings, tmp_path: Path
) -> None:
    settings = small.model_copy(update={"patients": 1, "other_modes": 7, "workers": 1})
    summary = write_phantom(tmp_path / "one", settings)
    rows = truth_rows(tmp_path / "one")
    assert summary.files == len(rows)
    assert sum(summary.clips_by_view.values()) == sum(bool(row["view"]) for row in rows)


def test_command_line_passes_the_number_on(tmp_path: Path) -> None:
    words = ["phantom", "--patients", "1", "--frames", "1", "--image-rows", "96", "--workers", "1"]
    assert run([*words, "--other-modes", "2", "--quiet", "--out", str(tmp_path / "exams")]) == 0
    assert sum(row["mode"] != "2d" for row in truth_rows(tmp_path / "exams")) == 2
