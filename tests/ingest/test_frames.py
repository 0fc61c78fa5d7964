"""The frame store holds masked, centred frames; it survives interruption with the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from clip_files import fan_mask, screen, write_dicom
from numpy.typing import NDArray

from apical.catalogue import read_catalogue, write_catalogue
from apical.config import FrameSettings, ScanSettings
from apical.errors import CannotDo, ClipProblem
from apical.ingest import frames as frames_module
from apical.ingest.clip import open_clip
from apical.ingest.frames import FrameStore, build_frames
from apical.ingest.prepare import CHANGED, prepare
from apical.ingest.scan import scan
from apical.ingest.triage import triage

SMALL = FrameSettings(size=48, frames_per_clip=3)
Study = Callable[[int], Path]


@pytest.fixture
def catalogue(tmp_path: Path, study: Study) -> Path:
    """Six clips, the third of which is damaged behind its header, after the scan."""
    folder = study(6)
    path = tmp_path / "catalogue.parquet"
    scan(folder, path, ScanSettings(workers=1))
    broken = folder / "DOE_02.dcm"
    broken.write_bytes(broken.read_bytes()[:5000])
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_prepared_frames(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Masked, then cropped to the box, then scaled with its aspect ratio kept, as written out here.

    The scaling itself is close to the mean over each pixel's whole area, which is slower.
    """
    clip = open_clip(write_dicom(tmp_path / "a", frames))
    prepared = prepare(clip, FrameSettings(size=64, frames_per_clip=4))
    assert prepared.mode == "2d"
    assert prepared.numbers.tolist() == [1, 3, 6, 8]
    assert prepared.frames.shape == (4, 64, 64)
    assert prepared.frames.dtype == np.uint8
    sector = triage(clip).sector
    assert sector is not None
    x0, y0, x1, y1 = sector.box
    for number, frame in zip(prepared.numbers, prepared.frames, strict=True):
        cropped = (frames[number] * sector.mask)[y0:y1, x0:x1]
        rows = round(64 * (y1 - y0) / (x1 - x0))
        assert x1 - x0 > y1 - y0
        top = (64 - rows) // 2
        scaled = cv2.resize(cropped, (64, rows), interpolation=cv2.INTER_AREA)
        difference = np.abs(frame[top : top + rows].astype(int) - scaled)
        assert difference.mean() < 3  # of about 90
        assert np.abs(frame[top : top + rows].mean() - scaled.mean()) < 1
        assert not frame[:top].any()
        assert not frame[top + rows :].any()


def test_nothing_of_the_screen_is_in_the_frames(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """A screen with name, heart rate, bar and ECG gives the same frames as one without."""
    bare = screen(text=False)
    dressed = prepare(open_clip(write_dicom(tmp_path / "a", frames)), FrameSettings()).frames
    clean = prepare(open_clip(write_dicom(tmp_path / "b", bare)), FrameSettings()).frames
    assert np.array_equal(dressed, clean)


def test_small_pictures_and_single_frames_are_filled(tmp_path: Path) -> None:
    """An already cropped still, smaller than the stored frame, is enlarged; it has one frame."""
    still = screen(1, 110, 110, text=False)
    prepared = prepare(open_clip(write_dicom(tmp_path / "a", still)), FrameSettings(size=224))
    assert prepared.frames.shape == (1, 224, 224)
    assert (prepared.frames > 0).mean() > 0.4


def test_other_modes_are_refused(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    path = write_dicom(tmp_path / "a", frames, regions=((3, 3, 0, 0, 99, 99),))
    with pytest.raises(ClipProblem, match="not a 2-D clip but spectral"):
        prepare(open_clip(path), FrameSettings())


def test_store(tmp_path: Path, catalogue: Path) -> None:
    """The frames are those of `prepare`, in the catalogue's order; the broken clip is listed."""
    seen: list[tuple[int, int]] = []
    store = build_frames(catalogue, tmp_path / "store", SMALL, workers=1, progress=lambda *n: seen.append(n))
    table = read_catalogue(catalogue)
    assert store.frames.shape == (15, 48, 48)
    assert not store.frames.flags.writeable
    assert store.settings == SMALL
    assert store.problems == {table["clip"][2]: "pixel data is cut off: 0 of 4 frames are there"}
    assert store.index.columns == ["row", "clip", "frame", "time_ms", "phase", "pixel_mm"]
    assert store.index["row"].to_list() == list(range(15))
    assert store.index["clip"].to_list() == [
        clip for i, clip in enumerate(table["clip"]) if i != 2 for _ in "123"
    ]
    assert store.index["time_ms"].to_list() == pytest.approx([33.3 * n for n in store.index["frame"]])
    first = prepare(open_clip(Path(table["path"][0])), SMALL)
    assert np.array_equal(store.frames[:3], first.frames)
    assert seen == [(done, 6) for done in range(1, 7)]
    assert set(contents(tmp_path / "store")) == {"frames.npy", "index.parquet", "store.json"}
    assert not (tmp_path / "store.partial").exists()
    assert np.array_equal(FrameStore.open(tmp_path / "store").frames, store.frames)


def test_store_holds_no_identifier(tmp_path: Path, catalogue: Path) -> None:
    build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    for name, data in contents(tmp_path / "store").items():
        for secret in (b"DOE_", b"JOHANNA", b"47110815-", str(tmp_path).encode()):
            assert secret not in data, name


def test_workers_do_not_change_the_bytes(tmp_path: Path, catalogue: Path) -> None:
    build_frames(catalogue, tmp_path / "one", SMALL, workers=1)
    build_frames(catalogue, tmp_path / "two", SMALL, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("stop", [1, 3, 5, 6])
def test_interrupted_and_resumed(tmp_path: Path, catalogue: Path, stop: int) -> None:
    """Stopped after any clip, even with half a journal line and half a frame: the same bytes."""
    build_frames(catalogue, tmp_path / "whole", SMALL, workers=1)

    def interrupt(done: int, _: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_frames(catalogue, tmp_path / "store", SMALL, workers=1, progress=interrupt)
    assert not (tmp_path / "store").exists()
    with (tmp_path / "store.partial" / "journal.jsonl").open("ab") as file:
        file.write(b'{"clip": "half a l')
    with (tmp_path / "store.partial" / "frames.npy").open("ab") as file:
        file.write(b"\x07" * 1000)
    seen: list[int] = []
    build_frames(catalogue, tmp_path / "store", SMALL, workers=1, progress=lambda done, _: seen.append(done))
    assert seen == list(range(stop + 1, 7))
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_frames_lost_with_the_machine_are_made_again(tmp_path: Path, catalogue: Path) -> None:
    """A journal that is ahead of the frames on the disk is cut back to them."""
    build_frames(catalogue, tmp_path / "whole", SMALL, workers=1)

    def interrupt(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_frames(catalogue, tmp_path / "store", SMALL, workers=1, progress=interrupt)
    os.truncate(tmp_path / "store.partial" / "frames.npy", 128 + 4 * 48 * 48)
    build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_killed_and_resumed(tmp_path: Path, catalogue: Path) -> None:
    """A real SIGKILL in the middle; the next call goes on and gives the same bytes."""
    build_frames(catalogue, tmp_path / "whole", SMALL, workers=1)
    code = (
        "import sys, time, pathlib\n"
        "from apical.config import FrameSettings\n"
        "from apical.ingest.frames import build_frames\n"
        "catalogue, out = map(pathlib.Path, sys.argv[1:])\n"
        "slow = lambda done, all: time.sleep(0 if done < 2 else 60)\n"
        "build_frames(catalogue, out, FrameSettings(size=48, frames_per_clip=3), workers=1, progress=slow)\n"
    )
    journal = tmp_path / "store.partial" / "journal.jsonl"
    process = subprocess.Popen([sys.executable, "-c", code, str(catalogue), str(tmp_path / "store")])
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert journal.read_bytes().count(b"\n") == 2
    build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_killed_before_the_renaming(tmp_path: Path, catalogue: Path) -> None:
    build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    whole = contents(tmp_path / "store")
    (tmp_path / "store").rename(tmp_path / "store.partial")
    (tmp_path / "store.partial" / "journal.jsonl").touch()
    build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    assert contents(tmp_path / "store") == whole


def test_full_disk(tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space after some clips: one line, and the build goes on once there is space."""
    build_frames(catalogue, tmp_path / "whole", SMALL, workers=1)
    append, written = frames_module._append, []

    def full(file: object, data: bytes) -> None:
        written.append(data)
        if len(written) > 5:
            raise OSError(28, "No space left on device")
        append(file, data)

    monkeypatch.setattr(frames_module, "_append", full)
    with pytest.raises(CannotDo, match="No space left on device"):
        build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    monkeypatch.undo()
    build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_existing_store(tmp_path: Path, catalogue: Path) -> None:
    """The same clips and settings: returned untouched, even with new labels. Others: refused."""
    out = tmp_path / "store"
    build_frames(catalogue, out, SMALL, workers=1)
    before = (out / "frames.npy").stat().st_mtime_ns
    table = read_catalogue(catalogue)
    write_catalogue(table.with_columns(view=pl.lit("A4C"), split=pl.lit("test")), catalogue)
    build_frames(catalogue, out, SMALL, workers=1)
    assert (out / "frames.npy").stat().st_mtime_ns == before
    with pytest.raises(CannotDo, match="exists and is not a frame store of these"):
        build_frames(catalogue, out, FrameSettings(size=64), workers=1)
    write_catalogue(table.head(3), catalogue)
    with pytest.raises(CannotDo, match="exists and is not a frame store of these"):
        build_frames(catalogue, out, SMALL, workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(CannotDo, match="'mine' exists"):
        build_frames(catalogue, tmp_path / "mine", SMALL, workers=1)


def test_begun_store_of_other_settings(tmp_path: Path, catalogue: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_frames(catalogue, tmp_path / "store", SMALL, workers=1, progress=interrupt)
    with pytest.raises(CannotDo, match=r"'store.partial' exists"):
        build_frames(catalogue, tmp_path / "store", FrameSettings(size=64), workers=1)


def test_nothing_usable(tmp_path: Path, catalogue: Path) -> None:
    table = read_catalogue(catalogue)
    write_catalogue(table.with_columns(mode=pl.lit("colour")), catalogue)
    with pytest.raises(CannotDo, match="no usable 2-D clip"):
        build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    (tmp_path / "DOE.dcm").write_bytes(b"")
    write_catalogue(table.with_columns(path=pl.lit(str(tmp_path / "DOE.dcm"))), catalogue)
    with pytest.raises(CannotDo, match=r"none of the 6 clips .*empty file") as caught:
        build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    assert "DOE" not in str(caught.value)
    assert not (tmp_path / "store.partial").exists()


def test_damaged_store(tmp_path: Path, catalogue: Path) -> None:
    out = tmp_path / "store"
    with pytest.raises(CannotDo, match="is no complete frame store"):
        FrameStore.open(out)
    build_frames(catalogue, out, SMALL, workers=1)
    record = json.loads((out / "store.json").read_text())
    assert record["decoders"]["pydicom"]
    os.truncate(out / "frames.npy", 1000)
    with pytest.raises(CannotDo, match="is no complete frame store"):
        FrameStore.open(out)


def test_a_fan_stays_a_fan(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Most of the true fan is kept, and nothing else."""
    sector = triage(open_clip(write_dicom(tmp_path / "a", frames))).sector
    assert sector is not None
    truth = fan_mask(240, 320)
    assert (sector.mask & truth).sum() > 0.95 * truth.sum()
    assert not (sector.mask & ~cv2.dilate(truth.astype(np.uint8), np.ones((5, 5))).astype(bool)).any()


@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_cannot_be_read_now_are_made_later(
    tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Away before the build, then away in the midst of it, then back: the bytes of a smooth build."""
    build_frames(catalogue, tmp_path / "whole", SMALL, workers=1)
    paths = [Path(path) for path in read_catalogue(catalogue)["path"]]
    paths[1].rename(tmp_path / "away")
    paths[4].rename(tmp_path / "away too")
    with pytest.raises(CannotDo, match=r"^2 files cannot be read") as caught:
        build_frames(catalogue, tmp_path / "store", SMALL, workers=workers)
    assert "DOE" not in str(caught.value)
    check = frames_module._refuse_unreadable
    monkeypatch.setattr(
        frames_module, "_refuse_unreadable", lambda paths, least=0: least and check(paths, least)
    )
    with pytest.raises(CannotDo, match=r"^2 files cannot be read"):
        build_frames(catalogue, tmp_path / "store", SMALL, workers=workers)
    monkeypatch.undo()
    assert not (tmp_path / "store").exists()
    assert (tmp_path / "store.partial" / "journal.jsonl").read_bytes().count(b"\n") == 1
    (tmp_path / "away").rename(paths[1])
    (tmp_path / "away too").rename(paths[4])
    build_frames(catalogue, tmp_path / "store", SMALL, workers=workers)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_begun_by_other_decoders(tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A begun store is not continued with others; a complete one is still that store."""

    def interrupt(done: int, _: int) -> None:
        raise KeyboardInterrupt

    build_frames(catalogue, tmp_path / "whole", SMALL, workers=1)
    with pytest.raises(KeyboardInterrupt):
        build_frames(catalogue, tmp_path / "store", SMALL, workers=1, progress=interrupt)
    monkeypatch.setattr(frames_module, "version", lambda _: "99")
    with pytest.raises(CannotDo, match="other versions of the decoders"):
        build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    build_frames(catalogue, tmp_path / "whole", SMALL, workers=1)


def test_errors_have_no_cause_that_quotes(tmp_path: Path, catalogue: Path) -> None:
    with pytest.raises(CannotDo) as caught:
        FrameStore.open(tmp_path / "DOE")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    (tmp_path / "file").touch()
    with pytest.raises(CannotDo) as caught:
        build_frames(catalogue, tmp_path / "file" / "DOE", SMALL, workers=1)
    assert caught.value.__suppress_context__


def test_another_clip_in_the_place_of_one(tmp_path: Path, catalogue: Path) -> None:
    """Of the same size, so only its id tells: its frames do not stand under the first one's name."""
    paths = read_catalogue(catalogue)["path"]
    shutil.copy(paths[1], paths[0])
    store = build_frames(catalogue, tmp_path / "store", SMALL, workers=1)
    assert store.problems[read_catalogue(catalogue)["clip"][0]] == CHANGED
