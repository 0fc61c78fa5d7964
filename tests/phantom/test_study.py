"""Exams as files: reproducible, readable, honest, and without the answer in them."""

import csv
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from apical.config import PhantomSettings
from apical.errors import CannotDo
from apical.phantom.exam import CONTRAST_PROTOCOL, PROTOCOL, views_taken
from apical.phantom.machine import machine
from apical.phantom.planes import VIEWS
from apical.phantom.study import write_phantom


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def truth_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def clips(folder: Path) -> Iterator[tuple[dict[str, str], Dataset]]:
    for row in truth_rows(folder):
        yield row, pydicom.dcmread(folder / row["file"])


def test_same_seed_gives_same_bytes(phantom: Path, small: PhantomSettings, tmp_path: Path) -> None:
    write_phantom(tmp_path / "again", small)
    assert contents(tmp_path / "again") == contents(phantom)


def test_other_seed_gives_other_bytes(phantom: Path, small: PhantomSettings, tmp_path: Path) -> None:
    write_phantom(tmp_path / "other", small.model_copy(update={"seed": 2**64 - 1, "patients": 1}))
    ours, theirs = contents(tmp_path / "other"), contents(phantom)
    assert not set(ours.values()) & set(theirs.values())


def test_patient_does_not_depend_on_how_many_there_are(
    phantom: Path, small: PhantomSettings, tmp_path: Path
) -> None:
    write_phantom(tmp_path / "one", small.model_copy(update={"patients": 1}))
    alone, among_others = contents(tmp_path / "one"), contents(phantom)
    del alone["truth.csv"], alone["truth-frames.csv"]
    assert alone
    assert alone.items() <= among_others.items()


def test_workers_change_nothing(phantom: Path, small: PhantomSettings, tmp_path: Path) -> None:
    write_phantom(tmp_path / "parallel", small.model_copy(update={"workers": 2}))
    assert contents(tmp_path / "parallel") == contents(phantom)


def test_every_file_reads_without_warnings(phantom: Path, small: PhantomSettings) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for row, dataset in clips(phantom):
            frames = dataset.pixel_array
            count = int(dataset.get("NumberOfFrames", 1))
            assert count in (1, small.frames)
            expected = (() if count == 1 else (count,)) + (dataset.Rows, dataset.Columns)
            assert frames.shape[: len(expected)] == expected
            assert dataset.PatientID == row["patient"]
            assert dataset.Rows == small.image_rows
            assert frames.max() > 60


def test_region_tags_are_as_promised(phantom: Path) -> None:
    """Whatever the error, no region leaves out a part of the sector."""
    for row, dataset in clips(phantom):
        promise = machine(int(row["machine"])).region_tags
        regions = dataset.get("SequenceOfUltrasoundRegions", [])
        assert len(regions) == {"absent": 0, "full-screen-first": 2}.get(promise, 1)
        sector = np.array([corner.split(",") for corner in row["sector"].split(";")], float)
        for region in regions:
            assert region.RegionLocationMinX0 <= sector[:, 0].min()
            assert region.RegionLocationMaxX1 >= sector[:, 0].max()
            assert region.RegionLocationMinY0 <= sector[:, 1].min()
            assert region.RegionLocationMaxY1 >= sector[:, 1].max()
        if promise == "too-wide":
            assert regions[0].RegionLocationMaxX1 == dataset.Columns


def test_answer_is_nowhere_in_the_files(phantom: Path) -> None:
    for row, dataset in clips(phantom):
        del dataset.PixelData
        text = (row["file"] + str(dataset.file_meta) + str(dataset)).lower()
        for secret in (*VIEWS, row["disease"]):
            if secret != "none":
                assert secret.lower() not in text


def test_truth_is_complete(phantom: Path, small: PhantomSettings) -> None:
    rows = truth_rows(phantom)
    files = {path.relative_to(phantom).as_posix() for path in phantom.rglob("*.dcm")}
    assert {row["file"] for row in rows} == files
    assert {row["patient"] for row in rows} == {f"PHANTOM-{i:04d}" for i in range(small.patients)}
    for row in rows:
        assert row["view"] in VIEWS
        assert row["contrast_agent"] == "false" or row["view"] in dict(CONTRAST_PROTOCOL)
        assert float(row["plane_error_deg"]) > 0
        assert 0 <= float(row["phase_first_frame"]) < 1


def test_uids_are_unique_and_studies_hold_together(phantom: Path, small: PhantomSettings) -> None:
    datasets = [dataset for _, dataset in clips(phantom)]
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
    assert len({dataset.StudyInstanceUID for dataset in datasets}) == small.patients
    assert all(len(dataset.SOPInstanceUID) <= 64 for dataset in datasets)


def test_exams_have_about_eleven_clips_and_every_view_half_the_time() -> None:
    exams = [views_taken(np.random.default_rng(i)) for i in range(1000)]
    assert np.mean([len(exam) for exam in exams]) == pytest.approx(11, abs=0.5)
    present = Counter(view for exam in exams for view in set(exam))
    assert set(present) == set(VIEWS) == {view for view, _, _ in PROTOCOL}
    assert min(present.values()) > 480


def test_progress_and_summary(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    settings = PhantomSettings(patients=2, frames=1, image_rows=96)
    summary = write_phantom(tmp_path / "out", settings, lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)]
    assert summary.patients == 2
    assert summary.files == sum(summary.clips_by_view.values()) == len(truth_rows(tmp_path / "out"))


def test_previous_phantom_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_phantom(out, PhantomSettings(patients=2, frames=1, image_rows=96))
    write_phantom(out, PhantomSettings(patients=1, frames=1, image_rows=96, seed=3))
    assert {path.name for path in out.iterdir()} == {"PHANTOM-0000", "truth.csv", "truth-frames.csv"}


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "PHANTOM-0000" / "notes.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(CannotDo, match="new or empty folder"):
        write_phantom(tmp_path, PhantomSettings(patients=1, frames=1, image_rows=96))
    assert precious.read_text() == "mine"


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("mine")
    with pytest.raises(CannotDo, match="is a file"):
        write_phantom(path, PhantomSettings(patients=1, frames=1, image_rows=96))
