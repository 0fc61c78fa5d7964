"""Beside the mask every frame is black, within it nothing has changed, and other readers see just that."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pydicom
import pytest
from blacked import (
    BIG,
    COLUMNS,
    DEFLATED,
    IMPLICIT,
    JPEG_2000,
    JPEG_LS,
    RLE,
    ROWS,
    Pixels,
    cleaned,
    empty_header,
    frames_of,
    mask_of,
    noise,
)
from clip_files import write_dicom
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID

from apical.errors import ClipProblem
from apical.ingest.blackout import SYNTAXES, Syntax, black_out
from apical.ingest.dicom import DicomClip


def as_syntax(path: Path, syntax: str) -> Path:
    """The same file without compression in another byte order or encoding."""
    dataset = pydicom.dcmread(path)
    fresh = Dataset()
    for element in dataset:
        fresh.add(element)
    wide = dataset.BitsAllocated == 16 and syntax == BIG
    fresh.PixelData = (
        np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes() if wide else dataset.PixelData
    )
    fresh.file_meta = dataset.file_meta
    fresh.file_meta.TransferSyntaxUID = UID(syntax)
    fresh.save_as(path, enforce_file_format=True)
    return path


MONOCHROME: dict[str, tuple[Pixels, str, dict[str, Any], int]] = {  # pixels, photometric, elements, black
    "8 bits": (noise("u1"), "MONOCHROME2", {}, 0),
    "12 bits": (noise("u2", bits=12), "MONOCHROME2", {"BitsStored": 12, "HighBit": 11}, 0),
    "16 bits": (noise("u2"), "MONOCHROME2", {}, 0),
    "8 bits inverted": (noise("u1"), "MONOCHROME1", {}, 255),
    "12 bits inverted": (noise("u2", bits=12), "MONOCHROME1", {"BitsStored": 12, "HighBit": 11}, 4095),
    "8 bits signed": (noise("i1"), "MONOCHROME2", {}, -128),
    "12 bits signed": (noise("i2", bits=12), "MONOCHROME2", {"BitsStored": 12, "HighBit": 11}, -2048),
    "16 bits signed": (noise("i2"), "MONOCHROME2", {}, -32768),
    "16 bits signed inverted": (noise("i2"), "MONOCHROME1", {}, 32767),
}


@pytest.mark.parametrize("syntax", get_args(Syntax))
@pytest.mark.parametrize("name", MONOCHROME)
def test_one_sample_is_kept_as_it_is_stored(tmp_path: Path, name: str, syntax: Syntax) -> None:
    pixels, photometric, elements, black = MONOCHROME[name]
    path = write_dicom(tmp_path / "a.dcm", pixels, photometric=photometric, **elements)
    mask = mask_of(ROWS, COLUMNS)
    dataset = cleaned(path, mask, syntax)
    assert dataset.PhotometricInterpretation == photometric
    assert dataset.file_meta.TransferSyntaxUID == SYNTAXES[syntax]
    read = frames_of(dataset)
    assert read.dtype == pixels.dtype
    assert np.array_equal(read[:, mask], pixels[:, mask])
    assert (read[:, ~mask] == black).all()


@pytest.mark.parametrize("syntax", get_args(Syntax))
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("inverted", [False, True])
def test_black_is_what_a_viewer_shows_black(
    tmp_path: Path, bits: int, inverted: bool, syntax: Syntax
) -> None:
    """Without a window; the decoder of this program is no part of it."""
    pixels = noise("u1" if bits == 8 else "u2", bits=bits)
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    stored = {"BitsStored": bits, "HighBit": bits - 1}
    path = write_dicom(tmp_path / "a.dcm", pixels, photometric=photometric, **stored)
    mask = mask_of(ROWS, COLUMNS)
    shown = frames_of(cleaned(path, mask, syntax)).astype(float) / ((1 << bits) - 1)
    assert ((1 - shown if inverted else shown)[:, ~mask] == 0).all()


@pytest.mark.parametrize("syntax", [None, RLE, JPEG_LS, JPEG_2000, IMPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize("name", ["8 bits", "12 bits signed", "16 bits"])
def test_sources_of_every_lossless_syntax(tmp_path: Path, name: str, syntax: str | None) -> None:
    pixels, _, elements, black = MONOCHROME[name]
    whole = syntax in (IMPLICIT, BIG, DEFLATED)
    path = write_dicom(tmp_path / "a.dcm", pixels, compress=None if whole else syntax, **elements)
    if syntax and whole:
        as_syntax(path, syntax)
    mask = mask_of(ROWS, COLUMNS)
    read = frames_of(cleaned(path, mask, "jpeg-ls"))
    assert np.array_equal(read[:, mask], pixels[:, mask])
    assert (read[:, ~mask] == black).all()


@pytest.mark.parametrize("syntax", get_args(Syntax))
@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_nothing_hides_in_unused_bits(tmp_path: Path, kind: str, syntax: Syntax) -> None:
    """Old files keep overlays above the stored bits; within the mask too only the stored bits stay."""
    pixels = noise(kind, bits=12)
    hidden = (pixels.view("u2") & 0x0FFF) | (noise("u2", bits=4, seed=3) << 12)
    path = write_dicom(tmp_path / "a.dcm", hidden.view(kind), BitsStored=12, HighBit=11)
    mask = mask_of(ROWS, COLUMNS)
    read = frames_of(cleaned(path, mask, syntax))
    assert np.array_equal(read[:, mask], pixels[:, mask])


@given(data=st.data())
def test_any_pixels_and_any_mask(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["u1", "u2", "i1", "i2"]))
    shape = data.draw(st.tuples(*(st.integers(*ends) for ends in ((1, 3), (8, 17), (8, 17)))))
    pixels = data.draw(arrays(kind, shape))
    mask = data.draw(arrays(bool, shape[1:]))
    syntax: Syntax = data.draw(st.sampled_from(get_args(Syntax)))
    path = write_dicom(tmp_path_factory.mktemp("any") / "a.dcm", pixels)
    read = frames_of(cleaned(path, mask, syntax)).reshape(shape)
    assert np.array_equal(read[:, mask], pixels[:, mask])
    assert (read[:, ~mask] == np.iinfo(kind).min).all()


@pytest.mark.parametrize(
    ("elements", "pointer"),
    [
        ({"FrameTime": "33.3"}, 0x00181063),
        ({"FrameTime": None, "FrameTimeVector": ["0", "30", "40"]}, 0x00181063),  # no vector in this header
        ({"FrameTime": None}, 0x00181063),
    ],
)
def test_frames_have_a_time(tmp_path: Path, elements: dict[str, Any], pointer: int) -> None:
    path = write_dicom(tmp_path / "a.dcm", noise("u1"), **elements)
    dataset = cleaned(path, mask_of(ROWS, COLUMNS), "rle")
    assert dataset.NumberOfFrames == 3
    assert dataset.FrameIncrementPointer == pointer
    assert dataset.FrameTime > 0


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    clip = DicomClip(write_dicom(tmp_path / "a.dcm", noise("u1")))
    with pytest.raises(ClipProblem, match="size"):
        black_out(clip, mask_of(ROWS, COLUMNS + 1), empty_header(), "rle")
    assert not list(tmp_path.glob("*.partial"))


def test_a_damaged_frame_gives_no_copy(tmp_path: Path) -> None:
    """The last frame alone is damaged."""
    path = write_dicom(tmp_path / "a.dcm", noise("u1"), compress=JPEG_LS)
    dataset = pydicom.dcmread(path)
    coded = list(generate_frames(dataset.PixelData, number_of_frames=3))
    dataset.PixelData = encapsulate([*coded[:2], coded[2][:20] + bytes(20)])
    dataset.save_as(path)
    with pytest.raises(ClipProblem):
        black_out(DicomClip(path), mask_of(ROWS, COLUMNS), empty_header(), "rle")
