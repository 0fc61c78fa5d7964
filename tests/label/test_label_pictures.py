"""Pictures of clips: as they were filmed, masked, kept, and whatever a file does, the page goes on."""

import math
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pydicom
import pytest
import simplejpeg
from bad_decoders import cut
from hypothesis import given, settings
from hypothesis import strategies as st

from apical.config import FrameSettings, ScanSettings
from apical.ingest.clip import open_clip
from apical.ingest.frames import build_frames
from apical.ingest.prepare import find_sector_of
from apical.ingest.sampling import spread
from apical.ingest.scan import scan
from apical.ingest.sector import Sector
from apical.label.from_file import Wanted, sprite_of_file
from apical.label.pictures import NoPicture, Pictures
from apical.label.sprite import make_sprite, milliseconds
from apical.phantom.anatomy import sample_patient
from apical.phantom.clip import acquire
from apical.phantom.dicom_file import Header, write_dicom
from apical.phantom.heart import Tissue
from apical.phantom.machine import machine

LONG, SHORT, STILL, TIMELESS, UNMASKED = "long", "short", "still", "timeless", "unmasked"
CLIPS = {LONG: 60, SHORT: 10, STILL: 1, TIMELESS: 10, UNMASKED: 6}  # frames
SIDE = 48  # of the store


def write_clip(path, number, frames, *, rows=160, seed=0, timed=True):
    """A phantom's clip with a name written beside the sector, within the box that holds it."""
    rng = np.random.default_rng(seed)
    device = machine(3)
    made = acquire(
        sample_patient(rng, 0.1, len(Tissue)),
        "A4C",
        device,
        texts=("PHANTOM, NR0",),
        heart_rate=70,
        frames=frames,
        rows=rows,
        difficulty=0.1,
        rng=rng,
    )
    x0, y0, _, _ = made.screen.region()
    for frame in made.frames:
        cv2.putText(frame, "DOE", (x0 + 2, y0 + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
    header = Header("1", "DOE^JOHANNA", "key", "20200101", "120000", number, 70, 33.3)
    write_dicom(path, made.frames, header, device, made.screen)
    if not timed:
        dataset = pydicom.dcmread(path)
        for name in ("FrameTime", "CineRate", "RecommendedDisplayFrameRate", "FrameIncrementPointer"):
            dataset.pop(name, None)
        dataset.save_as(path)
    return path


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    """The store and the catalogue of some clips, and the clips' ids by name."""
    folder = tmp_path_factory.mktemp("exam")
    (folder / "files").mkdir()
    for number, (name, frames) in enumerate(CLIPS.items()):
        write_clip(folder / "files" / f"{name}.dcm", number, frames, timed=name != TIMELESS)
    scan(folder / "files", folder / "catalogue.parquet", ScanSettings(workers=1))
    table = pl.read_parquet(folder / "catalogue.parquet")
    settings = FrameSettings(size=SIDE, frames_per_clip=4, sampling="uniform")
    store = build_frames(folder / "catalogue.parquet", folder / "frames", settings, workers=1)
    named = {path.rpartition("/")[2][:-4]: clip for clip, path in table.select("clip", "path").iter_rows()}
    is_unmasked = pl.col("clip") == named[UNMASKED]
    table = table.with_columns(pl.when(is_unmasked).then(None).otherwise(pl.col("sector")).alias("sector"))
    return store, table, named


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the shared pictures are kept."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def shared(exam, folder):
    """Pictures that no test harms, so that their processes start once."""
    store, table, _ = exam
    made = Pictures(store, table, folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def pictures(exam, tmp_path):
    """Makes `Pictures` of the exam, and stops them."""
    made = []

    def make(folder=tmp_path / "own", table=None, **values):
        store, whole, _ = exam
        made.append(Pictures(store, whole if table is None else table, folder, **values))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def tiles(sprite):
    """The frames of a sprite, (F, S, S) float."""
    grid = simplejpeg.decode_jpeg(sprite.jpeg, colorspace="GRAY")[..., 0].astype(float)
    side, rows = sprite.side, math.ceil(sprite.frames / sprite.columns)
    assert grid.shape == (rows * side, sprite.columns * side)
    places = [divmod(number, sprite.columns) for number in range(sprite.frames)]
    return np.stack([grid[y * side : (y + 1) * side, x * side : (x + 1) * side] for y, x in places])


def row_of(table, clip):
    return table.row(by_predicate=pl.col("clip") == clip, named=True)


def wanted(table, clip, side=448, most_frames=48, **values):
    """What is asked for of a clip, with other values than the catalogue's."""
    row = row_of(table, clip) | values
    return Wanted(clip, row["path"], row["sector"], side, most_frames)


def changed(table, clip, **values):
    """The table with other values in the row of a clip."""
    return table.with_columns(
        pl.when(pl.col("clip") == clip).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def squared(pictures, sector):
    """Whole pictures, (F, H, W), cropped to the sector's box, in the middle of squares as large as that."""
    x0, y0, x1, y1 = sector.box
    height, width = y1 - y0, x1 - x0
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    made = np.zeros((len(pictures), side, side))
    made[:, top : top + height, left : left + width] = pictures[:, y0:y1, x0:x1]
    return made


@given(count=st.integers(1, 30), side=st.sampled_from([8, 16, 24]))
@settings(max_examples=30)
def test_every_frame_is_where_the_grid_says(count, side):
    frames = np.stack([np.full((side, side), 8 * number, np.uint8) for number in range(count)])
    sprite = make_sprite(frames, 40.0, "store", 90)
    assert np.abs(tiles(sprite) - frames).max() <= 4
    assert sprite.columns**2 >= count > (sprite.columns - 1) ** 2


@given(frames=st.integers(1, 500), most=st.integers(1, 60), time_ms=st.floats(1, 100))
def test_a_thinned_clip_lasts_as_long_as_the_whole_one_but_for_its_ends(frames, most, time_ms):
    chosen = spread(frames, most)
    step = milliseconds(chosen, time_ms)
    assert (len(chosen) - 1) * step == pytest.approx((chosen[-1] - chosen[0]) * time_ms)
    assert step == pytest.approx(time_ms) or len(chosen) == most
    assert milliseconds(chosen, None) == pytest.approx(milliseconds(chosen, 50.0))


def test_small_pictures_are_the_frames_of_the_store_at_the_speed_of_the_clip(exam, shared):
    store, _, named = exam
    for name, frames in CLIPS.items():
        sprite, rows = shared.small(named[name]), store.index.filter(pl.col("clip") == named[name])
        assert (sprite.frames, sprite.side, sprite.source) == (min(4, frames), SIDE, "store")
        assert np.abs(tiles(sprite) - store.frames[rows["row"].to_numpy()]).mean() < 6
    assert shared.small(named[LONG]).ms == pytest.approx(15 * 33.3)  # frames 7, 22, 37 and 52
    assert shared.small(named[TIMELESS]).ms == pytest.approx(50 * (8 - 1) / 3)  # 1, 3, 6 and 8
    assert shared.small(named[STILL]).ms > 0


@pytest.mark.parametrize(("name", "count"), [(LONG, 48), (SHORT, 10), (STILL, 1)])
def test_large_pictures_are_the_files_frames_masked_cropped_and_no_larger_than_its_sector(
    exam, shared, name, count
):
    _, table, named = exam
    row = row_of(table, named[name])
    sprite, sector = shared.large(named[name]), Sector.from_json(row["sector"])
    numbers = [int((part + 0.5) * CLIPS[name] / count) for part in range(count)]
    expected = squared(np.where(sector.mask, open_clip(row["path"]).decode(numbers), 0), sector)
    assert (sprite.source, sprite.frames, sprite.side) == ("file", count, expected.shape[1])
    assert np.abs(tiles(sprite) - expected).mean() < 3
    if count > 1:
        assert sprite.ms == pytest.approx(33.3 * (numbers[-1] - numbers[0]) / (count - 1))


def test_settings_bound_side_and_number_of_frames(exam):
    _, table, named = exam
    sprite = sprite_of_file(wanted(table, named[LONG], side=64, most_frames=5))
    assert (sprite.side, sprite.frames) == (64, 5)
    assert sprite.ms == pytest.approx(12 * 33.3)  # frames 6, 18, 30, 42 and 54


@pytest.mark.parametrize("name", [SHORT, UNMASKED])
def test_nothing_outside_the_sector_is_shown_whether_the_catalogue_has_one_or_not(exam, name):
    _, table, named = exam
    row = row_of(table, named[name])
    clip = open_clip(row["path"])
    sector = Sector.from_json(row["sector"]) if row["sector"] else find_sector_of(clip)
    inside = squared(sector.mask[None], sector)[0]
    outside = cv2.dilate(inside, np.ones((17, 17), np.uint8)) == 0  # what a JPEG blurs lies nearer
    assert squared(clip.decode([0]), sector)[0, outside].max() > 150  # there is something to hide
    assert tiles(sprite_of_file(wanted(table, named[name])))[:, outside].max() <= 8


def test_an_id_that_the_catalogue_does_not_know_is_a_key_error(exam, shared):
    path = exam[1]["path"][0]
    for text in ("", "..", path, os.path.relpath(path), f"file://{path}", "LONG", "\0"):
        for ask in (shared.small, shared.large, shared.still):
            with pytest.raises(KeyError):
                ask(text)


def test_a_clip_without_frames_has_no_picture(exam, pictures):
    _, table, _ = exam
    broken = table.head(1).with_columns(clip=pl.lit("broken"), problem=pl.lit("damaged"))
    made = pictures(table=pl.concat([table, broken]))
    for ask in (made.small, made.large, made.still):
        with pytest.raises(NoPicture):
            ask("broken")


def test_a_still_is_the_middle_frame_of_the_store(exam, shared):
    store, _, named = exam
    for name in (LONG, STILL):
        rows = store.index.filter(pl.col("clip") == named[name])["row"].to_list()
        shown = simplejpeg.decode_jpeg(shared.still(named[name]), colorspace="GRAY")[..., 0]
        errors = [np.abs(shown.astype(float) - store.frames[row]).mean() for row in rows]
        assert int(np.argmin(errors)) == len(rows) // 2
        assert min(errors) < 5


def test_what_cannot_be_read_or_masked_gives_nothing(exam, tmp_path):
    _, table, named = exam
    clip = named[SHORT]
    row = row_of(table, clip)
    data, number = Path(row["path"]).read_bytes(), list(CLIPS).index(SHORT)
    other = write_clip(tmp_path / "other.dcm", 99, 10)
    larger = write_clip(tmp_path / "larger.dcm", number, 10, rows=200)
    assert open_clip(larger).facts.clip == clip
    (tmp_path / "cut.dcm").write_bytes(data[: len(data) // 2])
    (tmp_path / "noise.dcm").write_bytes(np.random.default_rng(0).bytes(5000))
    os.mkfifo(tmp_path / "pipe.dcm")
    for path in (other, larger, *(tmp_path / f"{name}.dcm" for name in ("cut", "noise", "pipe", "moved"))):
        assert sprite_of_file(wanted(table, clip, path=str(path))) is None
    assert sprite_of_file(wanted(table, clip, path="nothing://knows/this")) is None
    assert sprite_of_file(wanted(table, clip, path=str(tmp_path))) is None
    turned = row["sector"].replace('"size":[160', '"size":[161')
    assert turned != row["sector"]
    for sector in ("{}", "null", turned):
        assert sprite_of_file(wanted(table, clip, sector=sector)) is None
    assert sprite_of_file(wanted(table, clip)) is not None


def test_a_clip_in_an_archive_is_decoded(exam, tmp_path):
    _, table, named = exam
    archive = tmp_path / "exam.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(row_of(table, named[SHORT])["path"], "one.dcm")
    inside = wanted(table, named[SHORT], path=f"zip://one.dcm::{archive}")
    assert sprite_of_file(inside) == sprite_of_file(wanted(table, named[SHORT]))


def test_a_file_that_kills_its_decoder_costs_only_its_large_picture_and_each_is_decoded_once(
    exam, pictures, tmp_path
):
    named, log = exam[2], tmp_path / "log"
    bad = {named[TIMELESS]: "crash"}
    made = pictures(cut=partial(cut, bad=bad, log=log, pause=0.2))
    asked = [named[TIMELESS], named[LONG], named[SHORT]]
    together = threading.Barrier(9)

    def ask(number):
        together.wait(60)
        return made.large(asked[number % 3])

    with ThreadPoolExecutor(9) as threads:
        sprites = list(threads.map(ask, range(9)))
    assert [sprite.source for sprite in sprites[:3]] == ["store", "file", "file"]
    assert sprites[:3] * 3 == sprites
    assert sprites[0] == made.small(named[TIMELESS]) == made.large(named[TIMELESS])  # not tried so soon
    assert sorted(log.read_text().split()) == sorted(asked)


def test_small_pictures_do_not_wait_for_files_that_hang_and_stopping_gives_those_up(exam, pictures, tmp_path):
    named, log = exam[2], tmp_path / "log"
    hanging = [named[TIMELESS], named[SHORT]]  # as many as there are processes
    made = pictures(cut=partial(cut, bad=dict.fromkeys(hanging, "hang"), log=log), seconds=300)
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(made.large, clip) for clip in hanging]
        until = time.monotonic() + 60
        while not (log.exists() and len(log.read_text().split()) == 2) and time.monotonic() < until:
            time.sleep(0.02)
        waiting.append(threads.submit(made.large, named[LONG]))
        assert {made.small(clip).source for clip in named.values()} == {"store"}
        assert not any(one.done() for one in waiting)
        made.stop()
        assert [one.result(60).source for one in waiting] == ["store"] * 3
    assert sorted(log.read_text().split()) == sorted(hanging)


def test_a_store_on_the_net_that_never_answers_is_waited_for_only_so_long(exam, pictures, tmp_path):
    _, table, named = exam
    with socket.create_server(("127.0.0.1", 0)) as line:  # takes calls and says nothing
        place = f"http://127.0.0.1:{line.getsockname()[1]}/one.dcm"
        made = pictures(table=changed(table, named[SHORT], path=place), seconds=2)
        assert made.large(named[SHORT]).source == "store"
    assert made.large(named[LONG]).source == "file"


def test_pictures_are_kept_for_the_next_start_and_told_apart_by_their_settings_and_masks(
    exam, shared, folder, pictures
):
    _, table, named = exam
    clip = named[SHORT]
    first = shared.large(clip)
    sector = Sector.from_json(row_of(table, clip)["sector"])
    smaller = replace(sector, outline=sector.outline * 0.9).to_json()

    def without_decoders(**values):
        made = pictures(folder=folder, **values)
        made.stop()
        return made.large(clip)

    assert without_decoders() == first
    assert first.source == "file"
    for values in ({"side": 60}, {"most_frames": 3}, {"table": changed(table, clip, sector=smaller)}):
        assert without_decoders(**values).source == "store"


def test_only_the_owner_can_read_what_is_kept_and_no_name_tells_the_clip(exam, shared, folder):
    for name in (SHORT, STILL):
        shared.large(exam[2][name])
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.iterdir())
    assert len(files) >= 2
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        assert not any(text in file.name for item in exam[2].items() for text in item)


def test_no_torch_is_needed():
    code = "import sys, apical.label.pictures; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
