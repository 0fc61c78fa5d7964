"""Real files: those that pydicom ships, and the development data beside the repository if it is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from clip_files import CAMUS, REAL_DICOM
from pydicom import examples

from apical.config import FrameSettings, ScanSettings
from apical.errors import ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.prepare import prepare
from apical.ingest.scan import scan
from apical.ingest.triage import triage
from apical.ingest.walk import walk

needs_dicom = pytest.mark.skipif(not REAL_DICOM.is_dir(), reason="no ../shared/data/dicom-dev here")
needs_camus = pytest.mark.skipif(not CAMUS.is_dir(), reason="no ../shared/data/camus-dev here")

# mode and number of frames, or the problem, of each file that was looked at
DICOM = {
    "fo-dicom/DIRW0007": ("2d", 65),
    "weasis/palette-multiframe-jpeg-ls.dcm": ("colour", 10),
    "weasis/US-RGB-8-epicard-Banded-bigendian.dcm": ("colour", 1),
    "weasis/ybrFull-RLE.dcm": ("2d", 1),
    "weasis/ybr422-raw.dcm": ("m-mode", 1),  # in truth muscle under a linear probe, as streaky as M-mode
    "cornerstone/US-YBR_FULL_422-EVRLE.dcm": ("m-mode", 1),  # the same
    "cornerstone/no-pixel-spacing.dcm": "no ultrasound sector found",  # an empty screen
    "pydicom-data/JPGLosslessP14SV1_1s_1f_8b.dcm": ("2d", 1),
    "pydicom-data/OBXXXX1A.dcm": "no ultrasound sector found",  # a strip of near field
    "pydicom-data/color-pl.dcm": ("colour", 1),
    "pydicom-data/color-px.dcm": ("colour", 1),
    "pydicom-data/gdcm-US-ALOKA-16.dcm": ("dual", 1),
    "pydicom-data/gdcm-US-ALOKA-16_big.dcm": ("dual", 1),
    "pydicom-data/HTJ2K_08_RGB.dcm": "no ultrasound sector found",  # a photograph
    "pydicom-data/JLSL_RGB_ILV0.dcm": ("report", 1),  # a test chart
}


def test_the_echo_cine_of_pydicom() -> None:
    """Regions of a larger picture are not believed; the text at both sides is gone."""
    clip = open_clip(Path(str(examples.get_path("ybr_color"))))
    seen = triage(clip)
    sector = seen.sector
    assert seen.mode == "2d"
    assert sector is not None
    x0, y0, x1, y1 = sector.box
    assert 30 < x0 < 50
    assert 290 < x1 < 310
    assert 5 < y0 < 40
    assert 185 < y1 < 225
    prepared = prepare(clip, FrameSettings())
    assert prepared.frames.shape == (8, 128, 128)
    assert prepared.frames.std() > 15


@pytest.mark.parametrize("name", ["ct", "mr", "rt_plan", "overlay", "waveform"])
def test_other_dicom_is_a_problem(name: str) -> None:
    with pytest.raises(ClipProblem, match="not an ultrasound image"):
        open_clip(Path(str(examples.get_path(name))))


@needs_dicom
@pytest.mark.parametrize("name", sorted(DICOM))
def test_looked_at_files(name: str) -> None:
    expected = DICOM[name]
    try:
        clip = open_clip(REAL_DICOM / name)
        found: object = (triage(clip).mode, clip.facts.frames)
    except ClipProblem as problem:
        found = str(problem)
    assert found == expected


@needs_dicom
def test_every_real_file_decodes_or_has_a_problem() -> None:
    for found in walk(str(REAL_DICOM)):
        try:
            clip = open_clip(found.place)
        except ClipProblem:
            continue
        shape = (clip.facts.rows, clip.facts.columns)
        last = clip.facts.frames - 1
        assert clip.decode([0, last]).shape == (2, *shape)
        assert clip.decode_colour([last]).shape == (1, *shape, 3)


@needs_dicom
def test_one_picture_in_several_codings_is_one_picture() -> None:
    """Raw, big-endian and RLE copies of one palette image; raw and JPEG 2000 copies of one in colour."""
    folder = REAL_DICOM / "pydicom-data"

    def first(name: str) -> np.ndarray:
        return open_clip(folder / name).decode_colour([0])[0]

    for other in (
        "OBXXXX1A_rle.dcm",
        "OBXXXX1A_2frame.dcm",
        "OBXXXX1A_expb_2frame.dcm",
        "OBXXXX1A_rle_2frame.dcm",
    ):
        assert np.array_equal(first("OBXXXX1A.dcm"), first(other)), other
    assert np.array_equal(first("US1_UNCR.dcm"), first("US1_J2KR.dcm"))
    assert np.abs(first("US1_UNCI.dcm").astype(int) - first("US1_J2KI.dcm")).max() <= 20
    assert np.array_equal(first("gdcm-US-ALOKA-16.dcm"), first("gdcm-US-ALOKA-16_big.dcm"))


@needs_camus
def test_camus(tmp_path: Path) -> None:
    """800 stills of 200 patients, already cropped: all have a sector, all are labelled."""
    table, report = scan(CAMUS, tmp_path / "c.parquet", ScanSettings(workers=2), labels=CAMUS / "labels.csv")
    assert table.height == 800
    assert table["problem"].null_count() == 800
    assert table["patient"].n_unique() == 200
    assert table["mode"].unique().to_list() == ["2d"]
    assert dict(table["view"].value_counts().iter_rows()) == {"A2C": 400, "A4C": 400}
    assert report is not None
    assert report.problems == []
    x0, y0, x1, y1 = (table["region"].arr.get(index) for index in range(4))
    assert ((x1 - x0) * (y1 - y0)).min() > 0.8 * 224 * 224
    assert table.filter(pl.col("labelled_by").is_null()).is_empty()
