"""What a codestream says of itself is what its decoder makes of it; bytes of any kind give facts or none."""

from __future__ import annotations

import io
import struct
from itertools import product
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import PIL.Image
import pydicom
import pytest
import simplejpeg
from clip_files import REAL_DICOM, write_dicom
from hypothesis import example, given
from hypothesis import strategies as st
from pixel_files import J2K, J2K_LOSSY, JLS, JLS_NEAR, by_gdcm, jpeg, picture
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from apical.errors import ClipProblem
from apical.ingest.codestream import Codestream, check_codestream, is_orderly_jpeg, read_codestream
from apical.ingest.dicom import DicomClip

SOI = b"\xff\xd8"
JPEG = jpeg(picture(24, 20, 3))
JPEG_2000 = io.BytesIO()
PIL.Image.fromarray(picture(40, 53)).save(JPEG_2000, "JPEG2000", no_jp2=True)


@pytest.mark.parametrize(
    ("colours", "options"),
    [("Gray", {}), ("RGB", {"keep_rgb": True}), ("YCbCr", {}), ("YCbCr", {"subsampling": "4:2:0"})],
)
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (33, 46), (16, 600)])
def test_jpeg_facts(colours: str, options: dict[str, Any], progressive: bool, size: tuple[int, int]) -> None:
    """Size and colours are those that libjpeg reads."""
    data = jpeg(
        picture(*size) if colours == "Gray" else picture(*size, 3), progressive=progressive, **options
    )
    rows, columns, found, _ = simplejpeg.decode_jpeg_header(data)
    expected = Codestream(rows, columns, 1 if colours == "Gray" else 3, 8, found)
    assert read_codestream(data) == expected
    assert (rows, columns, found) == (*size, colours)


@pytest.mark.parametrize("marks", list(product([False, True], [None, 0, 1], [b"\1\2\3", b"RGB", b"\0\1\2"])))
def test_colours_that_libjpeg_assumes(marks: tuple[bool, int | None, bytes]) -> None:
    """JFIF, Adobe's transformation and the names of the components, in every combination."""
    jfif, transform, ids = marks
    data = jpeg(picture(8, 8, 3), keep_rgb=True)
    at = data.index(b"\xff\xc0")
    frame = data[at : at + 19]
    named = b"".join(frame[10 + 3 * n : 13 + 3 * n].replace(frame[10 + 3 * n : 11 + 3 * n], ids[n : n + 1], 1)
                     for n in range(3))  # fmt: skip
    start = SOI
    if jfif:
        start += b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    if transform is not None:
        start += b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
    scan = data.index(b"\xff\xda")
    body = data[data.index(b"\xff\xdb") : at] + frame[:10] + named + data[at + 19 : scan]
    named_scan = bytearray(data[scan : scan + 14])
    for n in range(3):
        named_scan[5 + 2 * n] = ids[n]
    whole = start + body + bytes(named_scan) + data[scan + 14 :]
    found = read_codestream(whole)
    assert found is not None
    assert found.colours == simplejpeg.decode_jpeg_header(whole)[2]


def codestream_of(path: Path) -> bytes:
    return next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))


@pytest.mark.parametrize("syntax", [JLS, JLS_NEAR, J2K, J2K_LOSSY])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(("kind", "bits"), [(np.uint8, 8), (np.uint16, 16), (np.uint16, 12)])
def test_other_codings(
    tmp_path: Path, syntax: str, samples: int, kind: type[np.number[Any]], bits: int
) -> None:
    """JPEG-LS and JPEG 2000 as pydicom writes them."""
    stored = picture(1, 40, 53, 3, kind=kind) if samples == 3 else picture(1, 40, 53, kind=kind)
    stored >>= stored.itemsize * 8 - bits
    path = write_dicom(tmp_path / "a", stored, photometric="RGB" if samples == 3 else "MONOCHROME2",
                       BitsStored=bits, HighBit=bits - 1)  # fmt: skip
    dataset = pydicom.dcmread(path)
    options: dict[str, Any] = {JLS_NEAR: {"jls_error": 1}, J2K_LOSSY: {"j2k_cr": [3]}}.get(syntax, {})
    dataset.compress(syntax, **options)
    dataset.save_as(path)
    assert read_codestream(codestream_of(path)) == Codestream(40, 53, samples, bits)


@pytest.mark.parametrize("samples", [1, 3])
def test_lossless_jpeg(tmp_path: Path, samples: int) -> None:
    """Frame type SOF3 of GDCM; it has no colours to take for granted."""
    stored = picture(1, 40, 53, 3) if samples == 3 else picture(1, 40, 53)
    path = write_dicom(tmp_path / "a", stored, photometric="RGB" if samples == 3 else "MONOCHROME2")
    by_gdcm(path, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    assert read_codestream(codestream_of(path)) == Codestream(40, 53, samples, 8)


def test_twelve_bits() -> None:
    path = get_testdata_file("JPGExtended.dcm", download=False)
    assert read_codestream(codestream_of(Path(str(path)))) == Codestream(1024, 256, 1, 12, "Gray")


def test_jp2_boxes_before_the_codestream() -> None:
    """A whole JP2 file as a frame, as some machines write."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture(40, 53, 3)).save(buffer, "JPEG2000", no_jp2=False)
    assert buffer.getvalue()[4:8] == b"jP  "
    assert read_codestream(buffer.getvalue()) == Codestream(40, 53, 3, 8)


def test_jpeg_2000_with_an_offset() -> None:
    """The picture begins at an offset in its grid: its size is that which PIL reads."""
    data = bytearray(JPEG_2000.getvalue())
    struct.pack_into(">4I", data, 8, 53 + 7, 40 + 5, 7, 5)
    with PIL.Image.open(io.BytesIO(data)) as image:
        size = image.size
    found = read_codestream(bytes(data))
    assert found is not None
    assert (found.columns, found.rows) == size == (53, 40)


@pytest.mark.skipif(not REAL_DICOM.is_dir(), reason="no ../shared/data/dicom-dev here")
@pytest.mark.parametrize("name", ["HTJ2KLossless_08_RGB", "HTJ2K_08_RGB"])
def test_high_throughput_jpeg_2000(name: str) -> None:
    path = REAL_DICOM / "pydicom-data" / f"{name}.dcm"
    assert read_codestream(codestream_of(path)) == Codestream(480, 640, 3, 8)


def test_a_thumbnail_and_fill_bytes_are_passed_over() -> None:
    """A smaller JPEG in a segment, bytes FF and stray ones before markers: the outer picture counts."""
    data, small = jpeg(picture(64, 80)), jpeg(picture(8, 8))
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(small)) + small
    expected = read_codestream(data)
    assert expected == Codestream(64, 80, 1, 8, "Gray")
    for between in (segment, b"\xff\xff\xff", b"\x00\x01", segment + b"\xff" + segment):
        assert read_codestream(SOI + between + data[2:]) == expected


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=80).map(lambda data: SOI + data),
        st.binary(max_size=80).map(lambda data: b"\xff\x4f\xff\x51" + data),
    ),
    more=st.binary(max_size=50),
)
@example(SOI, b"")
@example(SOI + b"\xff\xe0\0\0" * 9, b"")
@example(SOI + b"\xff\xda\0\x08", JPEG)
def test_any_bytes(data: bytes, more: bytes) -> None:
    """Random bytes never raise, and what was told stays true whatever comes after."""
    found = read_codestream(data)
    assert found is None or found == read_codestream(data + more)


@pytest.mark.parametrize("data", [JPEG, JPEG_2000.getvalue()])
def test_cut_anywhere(data: bytes) -> None:
    """Nothing, or the facts of the whole; never others."""
    whole = read_codestream(data)
    told = [read_codestream(data[:length]) for length in range(len(data))]
    assert set(told) == {None, whole}
    assert told == sorted(told, key=lambda found: found is not None)


@pytest.mark.parametrize("data", [JPEG, JPEG_2000.getvalue()])
def test_a_size_that_is_not_the_header_is_refused_before_decoding(data: bytes) -> None:
    found = read_codestream(data)
    assert found is not None
    size = (found.rows, found.columns, found.samples)
    assert check_codestream(data, *size) == found
    for wrong in ((size[0] + 1, *size[1:]), (size[0], size[1] - 1, size[2]), (*size[:2], 4 - size[2])):
        with pytest.raises(ClipProblem, match="does not have the size"):
            check_codestream(data, *wrong)
    with pytest.raises(ClipProblem, match="cannot be decoded"):
        check_codestream(b"\0" * 100, *size)


def test_a_small_file_that_asks_for_much_is_refused(tmp_path: Path) -> None:
    """A JPEG 2000 of a few bytes that says 60,000 x 60,000, under a modest header."""
    stored = picture(1, 40, 53)
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a", stored))
    dataset.compress(J2K)
    content = dataset.PixelData
    at = content.index(b"\xff\x4f\xff\x51") + 8
    dataset.PixelData = content[:at] + struct.pack(">2I", 60_000, 60_000) + content[at + 8 :]
    dataset.save_as(tmp_path / "b")
    with pytest.raises(ClipProblem, match="does not have the size"):
        DicomClip(tmp_path / "b").decode([0])


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


@pytest.mark.parametrize(
    ("between", "orderly"),
    [
        (b"", True),
        (b"\xff\xff", True),  # bytes that fill
        (segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0"), True),
        (segment(0xE0, b"JFIF\0\2\0\0\0\1\0\1\0\0"), False),
        (segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"), True),
        (segment(0xEE, b"Adobe\0\x64\0\0\0\0\2"), False),
        (segment(0xEE, b"Adobe\0"), False),
        (bytes(9), False),
        (b"\xff\xd9", False),
        (b"\xff\0", False),
        (b"\xff\xfe\xff\xff", False),  # a comment longer than what follows
    ],
)
def test_orderly_jpegs_are_those_that_libjpeg_does_not_warn_of(between: bytes, orderly: bool) -> None:
    assert is_orderly_jpeg(JPEG[:2] + between + JPEG[2:]) == orderly


def test_a_jpeg_that_ends_before_its_pixels_is_not_orderly() -> None:
    at = JPEG.index(b"\xff\xda")
    assert not any(is_orderly_jpeg(JPEG[:end]) for end in range(at + 4))
    assert is_orderly_jpeg(JPEG[: JPEG.index(b"\0\x3f\0", at) + 3])


def test_lossless_jpeg_with_stray_bytes_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    """GDCM ends the process."""
    path = by_gdcm(
        write_dicom(tmp_path / "a", picture(1, 40, 53)), gdcm.TransferSyntax.JPEGLosslessProcess14_1
    )
    dataset = pydicom.dcmread(path)
    frame = codestream_of(path)
    dataset.PixelData = encapsulate([frame[:2] + bytes(8) + frame[2:]])
    dataset.save_as(path)
    with pytest.raises(ClipProblem, match=r"^pixel data cannot be decoded$"):
        DicomClip(path).decode([0])


def test_jpeg_ls_decoders_are_told_where_a_frame_ends(tmp_path: Path) -> None:
    """CharLS would look for a bit behind the frame for seconds."""
    path = write_dicom(tmp_path / "a", picture(1, 40, 53), compress=JLS)
    dataset, frame = pydicom.dcmread(path), codestream_of(path)
    dataset.PixelData = encapsulate([frame[:300] + bytes(40)])
    dataset.save_as(path)
    given: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jpeg_ls.decode_pixel_data", lambda data, **_: given.append(bytes(data)))
        with pytest.raises(ClipProblem):
            DicomClip(path).decode([0])
    assert [data[-2:] for data in given] == [b"\xff\xd9"]
    with pytest.raises(ClipProblem, match=r"^pixel data cannot be decoded$"):
        DicomClip(path).decode([0])


@pytest.mark.parametrize("bits", [0, 17, 252])
def test_a_jpeg_of_impossible_depth_is_a_problem_and_no_crash(tmp_path: Path, bits: int) -> None:
    """GDCM reads beyond its memory."""
    path = write_dicom(tmp_path / "a", picture(1, 40, 53, 3), photometric="YBR_FULL_422", jpeg=True)
    dataset, frame = pydicom.dcmread(path), bytearray(codestream_of(path))
    frame[frame.index(b"\xff\xc0") + 4] = bits
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset.save_as(path)
    with pytest.raises(ClipProblem, match=r"^pixel data cannot be decoded$"):
        DicomClip(path).decode([0])


@pytest.mark.parametrize(("length", "sound"), [(12, True), (8, True), (0, False), (7, False)])
def test_boxes_before_a_codestream_must_lead_on(length: int, sound: bool) -> None:
    """pydicom would follow a box of length 0 for ever."""
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I", length) + b"free" + bytes(max(0, length - 8))
    data = boxes + b"\0\0\0\0jp2c" + JPEG_2000.getvalue()
    assert (read_codestream(data) is not None) == sound
