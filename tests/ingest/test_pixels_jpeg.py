"""JPEG: colours are pydicom's whatever the codestream and the header say; lossless gives what was coded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import PIL.Image
import pytest
from clip_files import write_dicom
from pixel_files import (
    BASELINE,
    EXTENDED,
    as_ultrasound,
    by_gdcm,
    check_grey_and_colour,
    jpeg,
    picture,
    reference,
    write_codestreams,
)
from pydicom.data import get_testdata_file
from pydicom.pixels import pixel_array

from apical.errors import ClipProblem
from apical.ingest.dicom import DicomClip


@pytest.mark.parametrize("syntax", [BASELINE, EXTENDED])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_colours(
    tmp_path: Path, syntax: str, subsampling: str, photometric: str, progressive: bool
) -> None:
    """Exact colours are pydicom's whatever the JPEG holds; RGB here is a JPEG without the colour step."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 33, 46, 3), np.uint8)
    keep = {"keep_rgb": True} if photometric == "RGB" else {"subsampling": subsampling}
    coded = [jpeg(frame, progressive=progressive, **keep) for frame in frames]
    path = write_codestreams(tmp_path / "a", frames, coded, syntax, photometric)
    check_grey_and_colour(path, [reference(path, 0), reference(path, 1)])
    for number in (0, 1):  # and GDCM's own libjpeg says about the same
        other = pixel_array(path, index=number, decoding_plugin="gdcm").astype(int)
        assert np.abs(other - DicomClip(path).decode_colour([number])[0]).mean() < 4


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("inside", ["RGB", "YCbCr"])
def test_jpeg_whose_label_is_wrong(tmp_path: Path, label: str, inside: str) -> None:
    """A header that names other colours than the JPEG: still what pydicom makes of it, in grey too."""
    frames = np.repeat(picture(1, 32, 32)[..., None], 3, axis=3)
    frames[:, 5:20, 8:30] = (190, 60, 30)
    coded = [jpeg(frames[0], **({"keep_rgb": True} if inside == "RGB" else {}))]
    check_grey_and_colour(
        path := write_codestreams(tmp_path / "a", frames, coded, BASELINE, label),
        [reference(path)],
        exact=False,
    )


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", [BASELINE, EXTENDED])
def test_grey_jpeg(tmp_path: Path, syntax: str, photometric: str) -> None:
    """A grey JPEG gives PIL's values, the other way round for MONOCHROME1."""
    frame = picture(1, 37, 41)
    path = write_codestreams(tmp_path / "a", frame, [jpeg(frame[0])], syntax, photometric)
    expected = np.asarray(PIL.Image.open(io.BytesIO(jpeg(frame[0]))))
    expected = 255 - expected if photometric == "MONOCHROME1" else expected
    assert np.array_equal(DicomClip(path).decode([0])[0], expected)
    assert np.array_equal(DicomClip(path).decode_colour([0])[0], np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_extended_jpeg_of_12_bits_is_refused(tmp_path: Path, name: str) -> None:
    """No decoder that is installed reads those right, pydicom says, and so nothing is guessed."""
    path = as_ultrasound(Path(str(get_testdata_file(name, download=False))), tmp_path / "a")
    with pytest.raises(RuntimeError):
        pixel_array(path)
    with pytest.raises(ClipProblem, match="cannot be decoded"):
        DicomClip(path).decode([0])


@pytest.mark.parametrize(
    "syntax", [gdcm.TransferSyntax.JPEGLosslessProcess14, gdcm.TransferSyntax.JPEGLosslessProcess14_1]
)
@pytest.mark.parametrize("shape", [(2, 33, 31, 3), (2, 33, 31)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_lossless_jpeg_of_gdcm(
    tmp_path: Path, syntax: int, shape: tuple[int, ...], kind: type[np.number[Any]]
) -> None:
    """Processes 14 and 14 SV1, grey and colour, 8 and 16 bits: the values that were coded."""
    stored = picture(*shape, kind=kind)
    photometric = "RGB" if len(shape) == 4 else "MONOCHROME2"
    path = by_gdcm(write_dicom(tmp_path / "a", stored, photometric=photometric), syntax)
    assert np.array_equal(np.stack(list(DicomClip(path).samples())), stored)
    if photometric == "RGB":
        check_grey_and_colour(path, list((stored >> 8 * stored.itemsize - 8).astype(np.uint8)))
