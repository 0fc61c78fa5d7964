"""Colours are pydicom's in every syntax and colour model; lossless ones are what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from clip_files import REAL_DICOM, write_dicom
from pixel_files import (
    BASELINE,
    BIG,
    EXPLICIT,
    J2K,
    J2K_LOSSY,
    JLS,
    JLS_NEAR,
    NATIVE,
    OTHER_DECODER,
    RLE,
    as_ultrasound,
    by_gdcm,
    check_grey_and_colour,
    jpeg,
    palette,
    picture,
    reference,
    write_codestreams,
    write_native,
)
from pydicom.data import get_testdata_file

from apical.ingest.dicom import DicomClip

MODELS = [("RGB", np.uint8), ("RGB", np.uint16), ("YBR_FULL", np.uint8)]


@pytest.mark.parametrize(("photometric", "kind"), MODELS)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", NATIVE)
def test_uncompressed_colours(
    tmp_path: Path, syntax: str, photometric: str, planar: int, kind: type[np.number[Any]]
) -> None:
    """Three samples, by pixel or by plane, of odd sizes."""
    stored = picture(3, 7, 9, 3, kind=kind)
    path = write_native(tmp_path / "a", stored, syntax, photometric, planar=planar)
    check_grey_and_colour(path, [reference(path, number) for number in range(3)])
    if photometric == "RGB":
        assert np.array_equal(DicomClip(path).decode_colour([2])[0], stored[2] >> 8 * stored.itemsize - 8)
    samples = list(DicomClip(path).samples())
    assert np.array_equal(np.stack(samples), stored)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "MONOCHROME2", "PALETTE COLOR"])
def test_bytes_written_as_words_in_big_endian(tmp_path: Path, photometric: str) -> None:
    """Pairs stand the wrong way round, also where a frame of odd length begins within a pair."""
    colours = photometric in ("RGB", "YBR_FULL")
    stored = picture(3, 7, 9, 3) if colours else picture(3, 7, 9)
    tables = palette(8) if photometric == "PALETTE COLOR" else {}
    path = write_native(tmp_path / "a", stored, BIG, photometric, words=True, **tables)
    assert np.array_equal(np.stack(list(DicomClip(path).samples())), stored)


@pytest.mark.parametrize("syntax", NATIVE)
def test_uncompressed_subsampled_colours(tmp_path: Path, syntax: str) -> None:
    """YBR_FULL_422, two lumas and then both colours; the luma is what was written."""
    stored = picture(2, 6, 5, 4)
    path = write_native(tmp_path / "a", stored.reshape(2, 6, 20), syntax, "YBR_FULL_422",
                        SamplesPerPixel=3, PlanarConfiguration=0, Columns=10)  # fmt: skip
    check_grey_and_colour(path, [reference(path, 0), reference(path, 1)])
    assert np.array_equal(DicomClip(path).decode([1])[0], stored[1, ..., :2].reshape(6, 10))


@pytest.mark.parametrize(
    ("photometric", "kind"), [*MODELS, ("PALETTE COLOR", np.uint8), ("PALETTE COLOR", np.uint16)]
)
@pytest.mark.parametrize("syntax", [RLE, JLS, J2K])
def test_lossless_codings(tmp_path: Path, syntax: str, photometric: str, kind: type[np.number[Any]]) -> None:
    """The colours before coding, and those of a second decoder of pydicom's."""
    wide = np.dtype(kind).itemsize == 2
    stored = (
        picture(2, 32, 33, kind=kind) if photometric == "PALETTE COLOR" else picture(2, 32, 33, 3, kind=kind)
    )
    tables = palette(16, first=0, entries=1 << 16 if wide else 256) if photometric == "PALETTE COLOR" else {}
    plain = write_native(tmp_path / "plain", stored, EXPLICIT, photometric, **tables)
    before = [reference(plain, 0), reference(plain, 1)]
    path = tmp_path / "a"
    dataset = pydicom.dcmread(plain)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path)
    check_grey_and_colour(path, before)
    assert np.array_equal(before[1], reference(path, 1, OTHER_DECODER[syntax]))


@pytest.mark.parametrize(
    ("syntax", "photometric"),
    [
        (JLS_NEAR, "RGB"),
        (JLS_NEAR, "YBR_FULL"),
        (J2K_LOSSY, "RGB"),
        (J2K_LOSSY, "YBR_FULL"),
        (J2K_LOSSY, "YBR_ICT"),
    ],
)
def test_lossy_codings(tmp_path: Path, syntax: str, photometric: str) -> None:
    """Colours are those of a second decoder of pydicom's, and near those before coding."""
    stored = np.repeat(picture(2, 64, 64)[..., None], 3, axis=3)
    stored[:, 10:30, 20:40] = (180, 90, 60)
    plain = write_dicom(
        tmp_path / "plain", stored, photometric="RGB" if photometric == "YBR_ICT" else photometric
    )
    before = reference(plain, 1)
    dataset = pydicom.dcmread(plain)
    options: dict[str, Any] = {"jls_error": 2} if syntax == JLS_NEAR else {"j2k_cr": [5]}
    if photometric == "YBR_ICT":
        dataset.PhotometricInterpretation = "YBR_ICT"
    dataset.compress(syntax, stored, generate_instance_uid=False, **options)
    dataset.save_as(tmp_path / "a")
    assert pydicom.dcmread(tmp_path / "a").PhotometricInterpretation == photometric
    expected = [reference(tmp_path / "a", n, OTHER_DECODER[syntax]) for n in (0, 1)]
    if photometric == "YBR_ICT":  # real numbers, so two decoders may round apart
        for number, other in enumerate(expected):
            own = reference(tmp_path / "a", number, "pylibjpeg")
            assert np.abs(own.astype(int) - other).max() <= 1
            expected[number] = own
    check_grey_and_colour(tmp_path / "a", expected)
    assert np.abs(expected[1].astype(int) - before).mean() < 12
    assert not np.array_equal(expected[1], before)


def test_reversible_colour_transformation(tmp_path: Path) -> None:
    """JPEG 2000 with its own lossless colour step, YBR_RCT: the RGB that was coded."""
    stored = picture(2, 40, 48, 3)
    dataset = pydicom.dcmread(write_dicom(tmp_path / "plain", stored, photometric="RGB"))
    dataset.PhotometricInterpretation = "YBR_RCT"
    dataset.compress(J2K, stored, generate_instance_uid=False)
    dataset.save_as(tmp_path / "a")
    assert pydicom.dcmread(tmp_path / "a").PhotometricInterpretation == "YBR_RCT"
    check_grey_and_colour(tmp_path / "a", list(stored))


@pytest.mark.parametrize("kind", ["jpeg", "lossless jpeg", J2K, JLS, RLE])
def test_planes_have_no_meaning_in_codestreams(tmp_path: Path, kind: str) -> None:
    """Planar Configuration is that of uncompressed pixels (PS3.5 8.2); pydicom takes the label for true."""
    frames = picture(1, 32, 32, 3)
    path = write_dicom(tmp_path / "a", frames, photometric="RGB")
    if kind == "jpeg":
        write_codestreams(path, frames, [jpeg(frames[0])], BASELINE, "YBR_FULL_422")
    elif kind == "lossless jpeg":
        by_gdcm(path, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    else:
        dataset = pydicom.dcmread(path)
        dataset.compress(kind)
        dataset.save_as(path)
    expected = [reference(path)]
    dataset = pydicom.dcmread(path)
    dataset.PlanarConfiguration = 1
    dataset.save_as(path)
    clip = DicomClip(path)
    assert np.array_equal(clip.decode_colour([0]), np.stack(expected))


SHIPPED = (
    "ExplVR_BigEnd.dcm", "GDCMJ2K_TextGBR.dcm", "SC_jpeg_no_color_transform.dcm",
    "SC_jpeg_no_color_transform_2.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+n1.dcm",
    "SC_rgb_dcmtk_+eb+cy+n2.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_gdcm_KY.dcm", "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm", "SC_rgb_jpeg_app14_dcmd.dcm", "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_rle.dcm", "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm",
    "SC_rgb_small_odd_jpeg.dcm", "SC_ybr_full_422_uncompressed.dcm", "examples_palette.dcm",
)  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_files_that_pydicom_ships(tmp_path: Path, name: str) -> None:
    """Files of DCMTK, GDCM and others, every frame."""
    path = as_ultrasound(Path(str(get_testdata_file(name, download=False))), tmp_path / "a")
    frames = int(pydicom.dcmread(path).get("NumberOfFrames") or 1)
    check_grey_and_colour(path, [reference(path, number) for number in range(frames)], exact=False)


REAL = (
    "pydicom-data/HTJ2KLossless_08_RGB.dcm", "pydicom-data/HTJ2K_08_RGB.dcm",
    "pydicom-data/JLSL_RGB_ILV0.dcm",
    "pydicom-data/JLSL_RGB_ILV1.dcm", "pydicom-data/JLSL_RGB_ILV2.dcm", "pydicom-data/JLSN_RGB_ILV0.dcm",
    "pydicom-data/US1_J2KI.dcm", "pydicom-data/US1_J2KR.dcm", "pydicom-data/color-pl.dcm",
    "pydicom-data/gdcm-US-ALOKA-16.dcm", "pydicom-data/gdcm-US-ALOKA-16_big.dcm", "weasis/ybr422-raw.dcm",
    "weasis/ybrFull-RLE.dcm", "weasis/US-RGB-8-epicard-Banded-bigendian.dcm",
)  # fmt: skip


@pytest.mark.skipif(not REAL_DICOM.is_dir(), reason="no ../shared/data/dicom-dev here")
@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str) -> None:
    """HTJ2K, JPEG-LS of three interleavings, both JPEG 2000 steps, planes, segmented palettes of 16 bits."""
    check_grey_and_colour(REAL_DICOM / name, [reference(REAL_DICOM / name)])
