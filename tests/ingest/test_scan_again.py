"""What a scan found stays right when files, bounds and sources change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from clip_files import write_dicom
from numpy.typing import NDArray

import apical.ingest.scan as scanning
from apical.catalogue import write_catalogue
from apical.config import ScanSettings
from apical.ingest.parallel import MAY_PASS, TOO_LONG
from apical.ingest.pixels import NEEDS_GDCM
from apical.ingest.scan import scan

ONE = ScanSettings(workers=1)
Study = Callable[[int], Path]


def pictures(folder: Path, frames: NDArray[np.uint8], first: int) -> None:
    folder.mkdir(parents=True)
    for number in range(first, first + 2):
        cv2.imwrite(str(folder / f"{number}.png"), frames[number])


def test_two_folders_scanned_one_by_one_are_two_patients(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Files without a Patient ID; and the patients are those of a scan of both at once."""
    for number, name in enumerate(("p1", "p2")):
        pictures(tmp_path / "exp" / name, frames, 2 * number)
        parts, _ = scan(tmp_path / "exp" / name, tmp_path / "parts.parquet", ONE)
    assert parts.group_by("patient").len()["len"].to_list() == [2, 2]
    whole, _ = scan(tmp_path / "exp", tmp_path / "parts.parquet", ONE)
    fresh, _ = scan(tmp_path / "exp", tmp_path / "fresh.parquet", ONE)
    assert whole["patient"].to_list() == parts.sort("path")["patient"].to_list() == fresh["patient"].to_list()


def test_a_picture_added_in_a_renamed_folder_is_of_the_same_patient(
    tmp_path: Path, frames: NDArray[np.uint8]
) -> None:
    pictures(tmp_path / "old", frames, 0)
    before, _ = scan(tmp_path / "old", tmp_path / "c.parquet", ONE)
    (tmp_path / "old").rename(tmp_path / "new")
    cv2.imwrite(str(tmp_path / "new" / "9.png"), frames[9])
    after, _ = scan(tmp_path / "new", tmp_path / "c.parquet", ONE)
    assert set(after["patient"]) == set(before["patient"])
    assert after.height == 3


def test_a_label_stays_with_the_picture_it_was_given_to(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Another file with the same SOPInstanceUID, earlier in the walk, does not take it."""
    write_dicom(tmp_path / "in" / "z.dcm", frames[:2], SOPInstanceUID="1.2.3")
    table, _ = scan(tmp_path / "in", tmp_path / "c.parquet", ONE)
    write_catalogue(table.with_columns(view=pl.lit("A4C")), tmp_path / "c.parquet")
    write_dicom(tmp_path / "in" / "a.dcm", frames[5:7], SOPInstanceUID="1.2.3")
    again, _ = scan(tmp_path / "in", tmp_path / "c.parquet", ONE)
    rows = {
        Path(path).name: (clip, view) for path, clip, view in again.select("path", "clip", "view").iter_rows()
    }
    assert rows == {"z.dcm": (table["clip"][0], "A4C"), "a.dcm": (table["clip"][0] + "-2", None)}


@pytest.mark.parametrize("problem", sorted(MAY_PASS | {NEEDS_GDCM}))
def test_what_may_pass_is_tried_again(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    """Other bounds or another decoder may read what could not be read."""
    folder, read = study(2), scanning.read_row

    def fails(place: str, **how: object) -> dict[str, object]:
        return read(place, **how) | {"problem": problem}  # type: ignore[arg-type]

    monkeypatch.setattr(scanning, "read_row", fails)
    table, _ = scan(folder, tmp_path / "c.parquet", ONE)
    assert table["problem"].to_list() == [problem] * 2
    monkeypatch.undo()
    table, _ = scan(folder, tmp_path / "c.parquet", ONE)
    assert table["problem"].to_list() == [None] * 2


def test_bounds_hold_for_a_single_file(tmp_path: Path, study: Study) -> None:
    """And a later scan with more time reads it."""
    folder, hasty = study(1), ScanSettings(seconds_per_file=1e-6)
    table, _ = scan(folder, tmp_path / "c.parquet", hasty)
    assert table["problem"].to_list() == [TOO_LONG]
    table, _ = scan(folder, tmp_path / "c.parquet")
    assert table["problem"].to_list() == [None]


def test_a_volume_is_read_again_when_its_pixels_have_come(tmp_path: Path) -> None:
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 40 40 2\nElementType = MET_UCHAR\nElementDataFile = v.raw\n"
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "v.mhd").write_text(header)
    (tmp_path / "in" / "v.raw").write_bytes(bytes(100))
    before, _ = scan(tmp_path / "in", tmp_path / "c.parquet", ONE)
    (tmp_path / "in" / "v.raw").write_bytes(bytes(40 * 40 * 2))
    after, _ = scan(tmp_path / "in", tmp_path / "c.parquet", ONE)
    assert before["problem"][0] == "damaged MetaImage file" != after["problem"][0]
