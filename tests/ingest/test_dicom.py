"""Every syntax gives pydicom's pixels; every kind of damage gives a problem without an identifier."""

from __future__ import annotations

import errno
import io
import struct
import traceback
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pydicom
import pytest
import simplejpeg
from clip_files import SECRETS, screen, write_dicom
from numpy.typing import NDArray
from pydicom import examples
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array

from apical.errors import ClipProblem
from apical.ingest import dicom, pixels
from apical.ingest.damage import Unreadable
from apical.ingest.dicom import DicomClip
from apical.ingest.pixels import FrameDecoder

RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


def coloured(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(F, H, W, 3): blue and red blobs on the grey frames."""
    colour = np.repeat(frames[..., None], 3, axis=3)
    colour[:, 90:120, 140:160] = (200, 30, 20)
    colour[:, 90:120, 165:185] = (20, 40, 210)
    return colour


@pytest.mark.parametrize("compress", [None, RLE, JPEG_LS, JPEG_2000])
def test_lossless_grey_is_identical(tmp_path: Path, frames: NDArray[np.uint8], compress: str | None) -> None:
    clip = DicomClip(write_dicom(tmp_path / "a.dcm", frames, compress=compress))
    assert np.array_equal(clip.decode(range(10)), frames)
    assert np.array_equal(clip.decode([7, 2]), frames[[7, 2]])  # chosen frames, in the order asked
    assert np.array_equal(clip.decode_colour([3]), np.repeat(frames[[3], ..., None], 3, axis=3))


@pytest.mark.parametrize("compress", [None, RLE, JPEG_LS, JPEG_2000])
def test_lossless_colour_is_identical(
    tmp_path: Path, frames: NDArray[np.uint8], compress: str | None
) -> None:
    colour = coloured(frames)
    clip = DicomClip(write_dicom(tmp_path / "a.dcm", colour, photometric="RGB", compress=compress))
    assert np.array_equal(clip.decode_colour([0, 9]), colour[[0, 9]])
    assert np.array_equal(clip.decode([4])[0], cv2.cvtColor(colour[4], cv2.COLOR_RGB2GRAY))


def test_jpeg_colour_and_its_luma(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Luma equals OpenCV's decoding bit for bit; colours differ from pydicom's by rounding only."""
    path = write_dicom(tmp_path / "a.dcm", coloured(frames), photometric="YBR_FULL_422", jpeg=True)
    clip, dataset = DicomClip(path), pydicom.dcmread(path)
    coded = list(generate_frames(dataset.PixelData, number_of_frames=10))
    for number in (0, 6):
        luma = cv2.imdecode(np.frombuffer(coded[number], np.uint8), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(clip.decode([number])[0], luma)
        reference = pixel_array(dataset, index=number).astype(int)
        assert np.abs(clip.decode_colour([number])[0] - reference).max() <= 2


def test_uncompressed_subsampled_colours(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """YBR_FULL_422 as bytes Y Y Cb Cr: the luma is what was written, the colours are pydicom's."""
    stored = np.full((10, 240, 160, 4), 128, np.uint8)
    stored[..., :2] = frames.reshape(10, 240, 160, 2)
    stored[:, 90:120, 70:80, 2:] = (60, 200)
    path = write_dicom(tmp_path / "a.dcm", frames, photometric="YBR_FULL_422", SamplesPerPixel=3)
    dataset = pydicom.dcmread(path)
    dataset.PlanarConfiguration = 0
    dataset.PixelData = stored.tobytes()
    dataset.save_as(path)
    clip = DicomClip(path)
    assert np.array_equal(clip.decode([4, 0, 4]), frames[[4, 0, 4]])
    assert np.array_equal(clip.decode_colour([9])[0], pixel_array(dataset, index=9))


def test_real_echo_cine_luma_and_colours() -> None:
    """The echo that pydicom ships: luma as pydicom's raw Y; colours within rounding."""
    path = examples.get_path("ybr_color")
    clip, dataset = DicomClip(path), pydicom.dcmread(path)
    assert clip.facts.frames == 30
    assert clip.facts.frame_time_ms == pytest.approx(33.333)
    for number in (0, 17):
        assert np.array_equal(clip.decode([number])[0], pixel_array(dataset, index=number, raw=True)[..., 0])
        reference = pixel_array(dataset, index=number).astype(int)
        assert np.abs(clip.decode_colour([number])[0] - reference).max() <= 2


@pytest.mark.parametrize("name", ["rgb_color", "palette_color", "jpeg2k"])
def test_real_stills_equal_pydicom(name: str) -> None:
    path = examples.get_path(name)
    dataset = pydicom.dcmread(path)
    reference = pixel_array(dataset)
    if name == "palette_color":
        reference = (pydicom.pixels.apply_color_lut(reference, dataset) >> 8).astype(np.uint8)
    clip = DicomClip(path)
    assert np.array_equal(clip.decode_colour([0])[0], reference)
    assert np.array_equal(clip.decode([0])[0], cv2.cvtColor(reference, cv2.COLOR_RGB2GRAY))


def test_jpeg_that_is_rgb_inside(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """A JPEG without the YBR step, labelled RGB, keeps its colours and is made grey from them."""
    colour = coloured(frames)[:2]
    path = write_dicom(tmp_path / "a.dcm", colour, photometric="RGB", jpeg=True)
    dataset = pydicom.dcmread(path)
    coded = []
    for frame in colour:
        buffer = io.BytesIO()
        PIL.Image.fromarray(frame).save(buffer, "JPEG", quality=95, keep_rgb=True)
        coded.append(buffer.getvalue())
    dataset.PixelData = encapsulate(coded)
    dataset.save_as(path)
    clip = DicomClip(path)
    assert clip.pixels._quick_jpeg(coded[1], grey=True) is not None  # and so not slowly through pydicom
    decoded = clip.decode_colour([1])[0]
    assert np.array_equal(decoded, pixel_array(dataset, index=1))
    assert np.abs(decoded.astype(int) - colour[1]).mean() < 4
    assert np.array_equal(DicomClip(path).decode([1])[0], cv2.cvtColor(decoded, cv2.COLOR_RGB2GRAY))


def lossless_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 as JPEG Lossless (SOF3), first-order prediction, no marker that names the colours."""
    rows, columns, _ = picture.shape
    left = np.roll(picture.astype(int), 1, axis=1)
    left[1:, 0] = picture[:-1, 0]  # the first of a row is predicted from above, the very first is 128
    left[0, 0] = 128
    bits = []
    for difference in (picture - left).ravel().tolist():
        size = abs(difference).bit_length()
        extra = difference if difference > 0 else difference + (1 << size) - 1
        bits.append(f"{size:04b}" + (f"{extra:0{size}b}" if size else ""))  # codes 0-8 of 4 bits each
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    parts = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    frame = b"\xff\xc3" + struct.pack(">HBHHB", 17, 8, rows, columns, 3) + parts
    table = b"\xff\xc4" + struct.pack(">HB", 28, 0) + bytes([0, 0, 0, 9, *[0] * 12]) + bytes(range(9))
    scan = b"\xff\xda" + struct.pack(">HB", 12, 3) + bytes([1, 0, 2, 0, 3, 0, 1, 0, 0])
    return b"\xff\xd8" + frame + table + scan + data + b"\xff\xd9"


def test_lossless_jpeg_in_colour(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Three components without the YBR step: the pixels that were encoded."""
    colour = coloured(frames)[:2, 60:140, 120:200]
    path = write_dicom(tmp_path / "a.dcm", colour, photometric="RGB")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    dataset.PixelData = encapsulate([lossless_jpeg(frame) for frame in colour])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    clip = DicomClip(path)
    assert np.array_equal(clip.decode_colour([0, 1]), colour)
    assert np.array_equal(clip.decode([1])[0], cv2.cvtColor(colour[1], cv2.COLOR_RGB2GRAY))


def test_jpeg_that_contradicts_its_header(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """A grey JPEG labelled as three colours is refused."""
    path = write_dicom(tmp_path / "a.dcm", frames, photometric="YBR_FULL_422", jpeg=True, SamplesPerPixel=3)
    with pytest.raises(ClipProblem):
        DicomClip(path).decode([0])


def test_jpeg_with_stray_bytes(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Bytes before a marker make libjpeg warn; the picture is whole and is used."""
    path = write_dicom(tmp_path / "a.dcm", frames[:1], jpeg=True)
    dataset = pydicom.dcmread(path)
    coded = next(generate_frames(dataset.PixelData, number_of_frames=1))
    end = coded.rindex(b"\xff\xd9")
    dataset.PixelData = encapsulate([coded[:end] + b"\x01\x02\x03" + coded[end:]])
    dataset.save_as(tmp_path / "b.dcm")
    assert np.array_equal(DicomClip(tmp_path / "b.dcm").decode([0]), DicomClip(path).decode([0]))


def test_only_the_chosen_frames_are_decoded(
    tmp_path: Path, frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = DicomClip(write_dicom(tmp_path / "a.dcm", frames, jpeg=True))
    calls = []
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(pixels.simplejpeg, "decode_jpeg", lambda *a, **k: calls.append(1) or decode(*a, **k))
    clip.decode([1, 8])
    assert len(calls) == 2


def test_monochrome1_is_inverted(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    clip = DicomClip(write_dicom(tmp_path / "a.dcm", frames, photometric="MONOCHROME1"))
    assert np.array_equal(clip.decode([0])[0], 255 - frames[0])


def test_twelve_bits_scale_to_eight(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    wide = frames.astype(np.uint16) * 16
    clip = DicomClip(write_dicom(tmp_path / "a.dcm", wide, BitsStored=12, HighBit=11))
    assert np.abs(clip.decode([5])[0].astype(int) - frames[5]).max() <= 1


def test_signed_values_and_rescale(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """Stored -128..127 with slope 2 and intercept 256 is black to white as before."""
    signed = (frames.astype(int) - 128).astype(np.int8)
    path = write_dicom(tmp_path / "a.dcm", signed, RescaleSlope="2", RescaleIntercept="256", RescaleType="US")
    assert np.array_equal(DicomClip(path).decode([2])[0], frames[2])


def test_window(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """A full-range window changes nothing; a narrow one stretches the contrast."""
    full = write_dicom(tmp_path / "a.dcm", frames, WindowCenter="128", WindowWidth="256")
    assert np.array_equal(DicomClip(full).decode([0])[0], frames[0])
    narrow = DicomClip(write_dicom(tmp_path / "b.dcm", frames, WindowCenter="64", WindowWidth="64")).decode(
        [0]
    )[0]
    assert set(np.unique(narrow[frames[0] > 96])) == {255}
    assert set(np.unique(narrow[frames[0] < 32])) == {0}


@pytest.mark.parametrize(("bits", "shift"), [(16, 8), (8, 0), (16, 0)])
def test_palette(tmp_path: Path, frames: NDArray[np.uint8], bits: int, shift: int) -> None:
    """Entries of 16 bits, of 8, and of 8 that call themselves 16, all give the same colours."""
    table = np.arange(256, dtype=np.uint16)
    channels = {"Red": table, "Green": table[::-1], "Blue": table // 2}
    elements: dict[str, Any] = {}
    for name, entries in channels.items():
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        data = (entries << shift).astype(np.uint16 if bits == 16 else np.uint8)
        elements[f"{name}PaletteColorLookupTableData"] = data.tobytes()
    clip = DicomClip(write_dicom(tmp_path / "a.dcm", frames, photometric="PALETTE COLOR", **elements))
    expected = np.stack([frames[0], 255 - frames[0], frames[0] // 2], axis=-1)
    assert np.array_equal(clip.decode_colour([0])[0], expected)


def test_a_palette_that_lacks_a_colour_is_no_picture(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """With one segmented table empty, pydicom gives pictures of two colours."""
    whole = np.array([0, 256, *range(256)], np.uint16).tobytes()  # one discrete segment
    elements: dict[str, Any] = {}
    for name, table in {"Red": b"", "Green": whole, "Blue": whole}.items():
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        elements[f"Segmented{name}PaletteColorLookupTableData"] = table
    clip = DicomClip(write_dicom(tmp_path / "a.dcm", frames, photometric="PALETTE COLOR", **elements))
    for decode in (clip.decode, clip.decode_colour):
        with pytest.raises(ClipProblem, match="palette lacks one of its colours"):
            decode([0])


@pytest.mark.parametrize(
    ("elements", "regions", "mode"),
    [
        ({}, (), None),
        ({}, ((1, 1, 0, 0, 99, 99),), "2d"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, ((1, 1, 0, 0, 99, 99),), None),
        ({}, ((1, 1, 0, 0, 99, 99), (1, 1, 100, 0, 199, 99)), "dual"),
        ({}, ((1, 1, 0, 0, 99, 99), (1, 1, 150, 150, 169, 169)), "2d"),
        (
            {"SeriesDescription": "TDI A4C", "PhotometricInterpretation": "PALETTE COLOR"},
            ((1, 2, 0, 0, 99, 99),),
            "tissue-doppler",
        ),
        ({"SeriesDescription": "Echo 2D + TDI + strain"}, ((1, 1, 0, 0, 99, 99),), "2d"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TTE", "0041"]}, (), "3d"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.2"}, (), "3d"),
        ({}, ((1, 2, 0, 0, 99, 99),), "colour"),
        ({}, ((1, 1, 0, 0, 99, 99), (3, 3, 0, 100, 99, 199)), "spectral"),
        ({}, ((3, 4, 0, 100, 99, 199),), "spectral"),
        ({}, ((2, 1, 0, 100, 99, 199),), "m-mode"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TTE", "0011"]}, (), "colour"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TTE", "0008"]}, (), "spectral"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TTE", "0002"]}, (), "m-mode"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TTE", "not hexadecimal"]}, (), None),
        ({"ImageType": "ORIGINAL"}, (), None),
        ({"UltrasoundColorDataPresent": 0}, (), "2d"),
    ],
)
def test_declared_mode(
    tmp_path: Path,
    frames: NDArray[np.uint8],
    elements: dict[str, Any],
    regions: tuple[tuple[int, ...], ...],
    mode: str | None,
) -> None:
    path = write_dicom(tmp_path / "a.dcm", frames[:1], regions=regions, **elements)
    assert DicomClip(path).facts.mode == mode


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"FrameTime": "40"}, 40),
        ({"FrameTime": None, "FrameTimeVector": [0, 20, 30]}, 25),
        ({"FrameTime": None, "CineRate": 50}, 20),
        ({"FrameTime": "0"}, None),
        ({"FrameTime": None}, None),
        ({"FrameTime": None, "FrameTimeVector": [0]}, None),
        ({"FrameTime": None, "FrameTimeVector": [33.3], "CineRate": 50}, 20),
    ],
)
def test_frame_time(
    tmp_path: Path, frames: NDArray[np.uint8], elements: dict[str, Any], expected: float | None
) -> None:
    assert DicomClip(write_dicom(tmp_path / "a.dcm", frames, **elements)).facts.frame_time_ms == expected


def test_patient_key_and_its_fallback(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """The issuer is no part of the patient; without a patient the study stands in."""

    def key(**elements: Any) -> str | None:
        return DicomClip(write_dicom(tmp_path / "a.dcm", frames[:1], **elements)).facts.patient_key

    assert key() == key(IssuerOfPatientID="HOSPITAL")
    assert key(PatientID="") == key(PatientID=None) == "1.2.3.47110815"
    assert "47110815" not in repr(DicomClip(tmp_path / "a.dcm").facts)


def test_no_file_meta(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """A bare data set without preamble, mark and file meta still decodes."""
    path = write_dicom(tmp_path / "a.dcm", frames)
    dataset = pydicom.dcmread(path)
    del dataset.file_meta
    dataset.preamble = None
    pydicom.dcmwrite(path, dataset, implicit_vr=True, little_endian=True)
    assert path.read_bytes()[128:132] != b"DICM"
    assert np.array_equal(DicomClip(path).decode([1])[0], frames[1])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty file"),
        (b"Patient DOE^JOHANNA, MRN-47110815, was seen today.\n" * 9, "not a DICOM file"),
        (bytes(range(256)) * 40, "not a DICOM file"),
        (bytes(128) + b"DICM", "incomplete DICOM file"),
    ],
)
def test_not_dicom(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    with pytest.raises(ClipProblem, match=problem):
        DicomClip(path)


@pytest.mark.parametrize(
    ("elements", "problem"),
    [
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "not an ultrasound image"),
        ({"Rows": None}, "no pixel data"),
        ({"Rows": 60_000, "Columns": 60_000, "NumberOfFrames": 99_999}, "impossible"),
        ({"NumberOfFrames": 1_000_000}, "impossible"),
        ({"NumberOfFrames": -3}, "impossible"),
        ({"PhotometricInterpretation": "CMYK"}, "not supported"),
        ({"BitsAllocated": 32}, "not supported"),
        ({"NumberOfFrames": 400}, "cut off: 10 of 400"),
        ({"Rows": 241}, "cut off: 9 of 10"),
    ],
)
def test_headers_that_cannot_be(
    tmp_path: Path, frames: NDArray[np.uint8], elements: dict[str, Any], problem: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", frames, **elements)
    with pytest.raises(ClipProblem, match=problem):
        DicomClip(path).decode([0])


@pytest.mark.parametrize("kind", ["raw", "jpeg", "rle", "jpeg-ls", "jpeg-2000"])
def test_cut_and_garbled_files_never_raise_anything_else(tmp_path: Path, kind: str) -> None:
    """Cut anywhere or with bytes changed: pixels, or a problem that quotes nothing."""
    small = screen(3, 64, 80)
    compress = {"rle": RLE, "jpeg-ls": JPEG_LS, "jpeg-2000": JPEG_2000}.get(kind)
    whole = write_dicom(tmp_path / "DOE.dcm", small, jpeg=kind == "jpeg", compress=compress).read_bytes()
    generator = np.random.default_rng(0)
    path = tmp_path / "JOHANNA 47110815.dcm"
    for trial in range(150):
        content = bytearray(whole[: generator.integers(len(whole))] if trial % 2 else whole)
        for _ in range(0 if trial % 4 == 1 else 4):
            content[generator.integers(len(content))] = generator.integers(256)
        path.write_bytes(content)
        try:
            clip = DicomClip(path)
            shape = (2, clip.facts.rows, clip.facts.columns)
            assert clip.decode([0, clip.facts.frames - 1]).shape == shape
        except ClipProblem as problem:
            told = "".join(traceback.format_exception(problem))
            assert not any(secret in told.replace("test_dicom", "") for secret in SECRETS), told


def test_an_empty_lookup_table_says_nothing(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    path = write_dicom(tmp_path / "a.dcm", frames, VOILUTSequence=[], ModalityLUTSequence=[])
    assert np.array_equal(DicomClip(path).decode([1])[0], frames[1])


def test_garbled_deflated_file(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """zlib's own error, which is no ValueError."""
    path = write_dicom(tmp_path / "a.dcm", frames[:1])
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dataset.save_as(path)
    assert np.array_equal(DicomClip(path).decode([0])[0], frames[0])
    content = bytearray(path.read_bytes())
    start = 144 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    content[start : start + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(zlib.error):
        pydicom.dcmread(path)
    with pytest.raises(ClipProblem, match=r"^damaged DICOM header$"):
        DicomClip(path)


@pytest.mark.parametrize("error", [KeyError, IndexError, zlib.error, cv2.error, RecursionError, MemoryError])
def test_whatever_a_decoder_raises_is_a_problem(
    tmp_path: Path, frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("DOE^JOHANNA")

    path = write_dicom(tmp_path / "a.dcm", frames[:1])
    clip = DicomClip(path)
    monkeypatch.setattr(FrameDecoder, "_native", fail)
    with pytest.raises(ClipProblem, match=r"^pixel data cannot be decoded$") as caught:
        clip.decode([0])
    assert "JOHANNA" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setattr(dicom.pydicom, "dcmread", fail)
    with pytest.raises(ClipProblem, match=r"^damaged DICOM header$"):
        DicomClip(path)


def test_a_disk_that_fails_is_no_damage(
    tmp_path: Path, frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "DOE.dcm")

    path = write_dicom(tmp_path / "a.dcm", frames[:1])
    monkeypatch.setattr(dicom.pydicom, "dcmread", fail)
    with pytest.raises(Unreadable):
        DicomClip(path)
