"""Monochrome values, windows, tables and palettes against plain formulas; where the luma may be the grey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from clip_files import REAL_DICOM, write_dicom
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pixel_files import (
    BASELINE,
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    J2K,
    J2K_LOSSY,
    JLS,
    NATIVE,
    RLE,
    jpeg,
    luma,
    palette,
    picture,
    write_codestreams,
    write_native,
)
from pydicom import examples
from pydicom.dataset import Dataset

from apical.ingest.dicom import DicomClip

STORED = [(np.uint8, 8), (np.uint8, 6), (np.int8, 8), (np.uint16, 16), (np.uint16, 12), (np.int16, 16)]
CODED = [(syntax, kind, bits) for syntax in (*NATIVE, RLE, JLS, J2K) for kind, bits in STORED]
CODED += [(syntax, np.int16, 10) for syntax in (*NATIVE, RLE, J2K)]  # pydicom does not write it as JPEG-LS


def values(kind: type[np.number[Any]], bits: int) -> NDArray[Any]:
    """(2, 32, 33) over all that `bits` can hold."""
    signed = np.dtype(kind).kind == "i"
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    made = np.random.default_rng(5).integers(low, high + 1, (2, 32, 33))
    made[0, 0, :2] = low, high
    return made.astype(kind)


def scaled(stored: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Levels from `low` to `high` as 0 to 255, in real numbers."""
    return np.asarray(np.clip((stored.astype(float) - low) / (high - low), 0, 1) * 255)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("syntax", "kind", "bits"), CODED)
def test_monochrome(
    tmp_path: Path, syntax: str, kind: type[np.number[Any]], bits: int, photometric: str
) -> None:
    """The stored range becomes 0-255, black to white, MONOCHROME1 the other way round; also in colour."""
    stored = values(kind, bits)
    path = write_native(tmp_path / "a", stored, syntax if syntax in NATIVE else EXPLICIT, photometric,
                        BitsStored=bits, HighBit=bits - 1)  # fmt: skip
    if syntax not in NATIVE:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
    low = -(1 << bits - 1) if stored.dtype.kind == "i" else 0
    expected = scaled(stored, low, low + (1 << bits) - 1)
    expected = 255 - expected if photometric == "MONOCHROME1" else expected
    clip = DicomClip(path)
    assert np.abs(clip.decode([1, 0]) - expected[::-1]).max() <= 0.51
    assert np.array_equal(clip.decode_colour([0])[0], np.repeat(clip.decode([0])[0, ..., None], 3, axis=2))
    assert np.array_equal(np.stack(list(clip.samples())), stored)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG])
def test_bits_that_are_not_stored_are_no_picture(tmp_path: Path, syntax: str, signed: int) -> None:
    """An overlay in the upper four of sixteen bits does not change the picture."""
    stored = values(np.int16 if signed else np.uint16, 12)
    dirty = (stored.view(np.uint16) & 0x0FFF | 0xA000).astype(np.uint16)
    elements = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": signed}
    clean = DicomClip(write_native(tmp_path / "a", stored, syntax, "MONOCHROME2", **elements))
    clip = DicomClip(write_native(tmp_path / "b", dirty, syntax, "MONOCHROME2", **elements))
    assert np.array_equal(np.stack(list(clip.samples())), stored)
    assert np.array_equal(clip.decode([0, 1]), clean.decode([0, 1]))


@given(
    center=st.floats(-40, 300),
    width=st.floats(1.5, 500),
    function=st.sampled_from([None, "LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.floats(0.5, 3),
)
def test_window_and_rescale(
    tmp_path_factory: pytest.TempPathFactory, center: float, width: float, function: str | None, slope: float
) -> None:
    """The formulas of PS3.3 C.11.2.1.2 and 3, over values that were rescaled first."""
    stored = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    center, width, slope, intercept = round(center, 2), round(width, 2), round(slope, 2), -20.0
    elements: dict[str, Any] = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}
    elements |= {"RescaleSlope": slope, "RescaleIntercept": intercept, "RescaleType": "US"}
    path = write_dicom(tmp_path_factory.getbasetemp() / "window", stored, **elements)
    x = stored.astype(float) * slope + intercept
    if function == "SIGMOID":
        expected = 255 / (1 + np.exp(-4 * (x - center) / width))
    else:
        half = 0.0 if function == "LINEAR_EXACT" else 0.5
        expected = np.clip((x - (center - half)) / (width - 2 * half) + 0.5, 0, 1) * 255
    assert np.abs(DicomClip(path).decode([0]) - expected).max() <= 0.51


def table(entries: list[int], bits: int, first: int = 0) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "US", entries)
    return item


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("kind", ["voi", "modality", "modality and window", "both"])
def test_lookup_tables(tmp_path: Path, kind: str, syntax: str) -> None:
    """Tables with a first value; after one, the window goes by the range of the table's bits."""
    stored = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    entries = [round(1000 * (n / 199) ** 2) for n in range(200)]
    mapped = np.asarray(entries)[np.clip(stored.astype(int) - 20, 0, 199)].astype(float)
    elements: dict[str, Any] = {}
    if kind != "voi":
        item = table(entries, 16, 20)
        item.ModalityLUTType = "US"
        elements["ModalityLUTSequence"] = [item]
        expected = scaled(mapped, 0, 1000)
    if kind == "voi":
        elements["VOILUTSequence"] = [table(entries, 10, 20)]
        expected = scaled(mapped, 0, 1023)
    if kind == "both":
        elements["VOILUTSequence"] = [table([n // 2 for n in range(1001)], 10)]
        expected = scaled(mapped // 2, 0, 1023)
    if kind == "modality and window":
        elements |= {"WindowCenter": 500, "WindowWidth": 1001}
        expected = scaled(mapped, -0.5, 999.5)
    stored = stored.astype(np.uint16) if kind == "voi" else stored
    path = write_native(tmp_path / "a", stored, syntax, "MONOCHROME2", BitsStored=8, HighBit=7, **elements)
    assert np.abs(DicomClip(path).decode([0]) - expected).max() <= 0.51


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowWidth": "", "WindowCenter": ""},
        {"WindowWidth": "0", "WindowCenter": "128"},
        {"WindowWidth": "-5", "WindowCenter": "128", "VOILUTFunction": "SIGMOID"},
        {"WindowWidth": "100"},
        {"WindowCenter": "100"},
        {"VOILUTFunction": "", "WindowWidth": "256", "WindowCenter": "128"},
        {"VOILUTFunction": "PARABOLIC", "WindowWidth": "256", "WindowCenter": "128"},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": "0", "RescaleIntercept": "0"},
        {"RescaleSlope": "2"},
        {"ModalityLUTSequence": [], "VOILUTSequence": []},
        {"ModalityLUTSequence": [Dataset()], "VOILUTSequence": [Dataset()]},
    ],
)
def test_transformations_that_say_nothing_change_nothing(tmp_path: Path, elements: dict[str, Any]) -> None:
    stored = picture(1, 16, 16)
    assert np.array_equal(DicomClip(write_dicom(tmp_path / "a", stored, **elements)).decode([0]), stored)


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(
    ("bits", "first", "entries"),
    [
        (8, 0, 256),
        (16, 0, 256),
        (16, 10, 200),
        (8, 10, 201),
        (16, 0, 1 << 16),
        (16, 300, 4000),
        (8, 300, 4001),
    ],
)
def test_palettes(tmp_path: Path, syntax: str, bits: int, first: int, entries: int) -> None:
    """A naive look-up: below the first value its first entry, beyond the last one its last."""
    wide = entries > 256
    stored = picture(2, 16, 16, kind=np.uint16 if wide else np.uint8)
    tables = palette(bits, first=first, entries=entries)
    data = [name for name in tables if name.endswith("Data")]
    colours = [np.frombuffer(tables[name], f"<u{bits // 8}") for name in data]
    index = np.clip(stored.astype(int) - first, 0, entries - 1)
    expected = np.stack([column[index] >> bits - 8 for column in colours], axis=-1)
    for name in data:
        tables[name] += b"\0" * (len(tables[name]) % 2)
        if syntax == BIG:  # words
            tables[name] = np.frombuffer(tables[name], "<u2").byteswap().tobytes()
    path = write_native(tmp_path / "a", stored, syntax, "PALETTE COLOR", **tables)
    clip = DicomClip(path)
    assert np.array_equal(clip.decode_colour([0, 1]), expected)
    assert np.abs(clip.decode([0, 1]) - luma(expected.astype(np.uint8))).max() <= 0.51


def test_palette_in_big_endian_equals_gdcm(tmp_path: Path) -> None:
    """A second program's word on the order of the bytes of a palette."""
    tables = palette(16)
    for name in tables:
        if name.endswith("Data"):
            tables[name] = np.frombuffer(tables[name], "<u2").byteswap().tobytes()
    path = write_native(tmp_path / "a", picture(1, 16, 16), BIG, "PALETTE COLOR", **tables)
    reader, lookup = gdcm.ImageReader(), gdcm.ImageApplyLookupTable()
    reader.SetFileName(str(path))
    assert reader.Read()
    lookup.SetInput(reader.GetImage())
    assert lookup.Apply()
    text = lookup.GetOutput().GetBuffer().encode("utf-8", "surrogateescape")
    assert np.array_equal(DicomClip(path).decode_colour([0])[0].tobytes(), text)


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
def test_segmented_palette(tmp_path: Path, syntax: str) -> None:
    """Discrete and linear segments (PS3.3 C.7.9.2) as written out here."""
    stored = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    # 2 entries as they are, then 254 in a line to the last value
    tables: dict[str, Any] = {}
    for name, end in (("Red", 65_000), ("Green", 30_000), ("Blue", 500)):
        words = np.array([0, 2, 100, 200, 1, 254, end], ">u2" if syntax == BIG else "<u2")
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"Segmented{name}PaletteColorLookupTableData"] = words.tobytes()
    clip = DicomClip(write_native(tmp_path / "a", stored, syntax, "PALETTE COLOR", **tables))
    found = clip.decode_colour([0])[0].reshape(256, 3).astype(int)
    for column, end in enumerate((65_000, 30_000, 500)):
        line = [100, *(200 + (end - 200) * n / 254 for n in range(255))]
        assert np.abs(found[:, column] - np.asarray(line) // 256).max() <= 1
        assert found[-1, column] == end >> 8


def grey_of_the_full_path(clip: DicomClip, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The exact colours of a frame, and their luma."""
    rgb = clip.decode_colour([number])[0]
    return rgb, luma(rgb)


@pytest.mark.parametrize(
    "name", ["ybr_color", "fo-dicom/DIRW0007", "weasis/ybr422-raw.dcm", "weasis/ybrFull-RLE.dcm"]
)
def test_stored_luma_is_the_luma_of_the_colours(name: str) -> None:
    """Where no colour was cut off at 0 or 255, grey is the luma of the exact colours to one level."""
    path = Path(str(examples.get_path(name))) if "/" not in name else REAL_DICOM / name
    if not path.exists():
        pytest.skip("no ../shared/data/dicom-dev here")
    clip = DicomClip(path)
    assert clip.pixels.form.luma_first
    for number in {0, clip.facts.frames - 1}:
        rgb, grey = grey_of_the_full_path(clip, number)
        whole = ((rgb > 0) & (rgb < 255)).all(axis=2)
        assert np.abs(clip.decode([number])[0] - grey)[whole].max() <= 1


def test_grey_in_colours_is_exact(tmp_path: Path) -> None:
    """A grey picture stored as colours: luma of the JPEG and grey of its colours are one."""
    frames = np.repeat(picture(1, 32, 32)[..., None], 3, axis=3)
    path = write_codestreams(tmp_path / "a", frames, [jpeg(frames[0])], BASELINE, "YBR_FULL_422")
    clip = DicomClip(path)
    rgb, grey = grey_of_the_full_path(clip, 0)
    assert np.abs(clip.decode([0])[0] - grey).max() < 1e-9
    assert (rgb == rgb[..., :1]).all()


@pytest.mark.parametrize("photometric", ["RGB", "YBR_RCT", "YBR_ICT", "PALETTE COLOR", "MONOCHROME2"])
def test_luma_is_not_taken_from_other_models(tmp_path: Path, photometric: str) -> None:
    """The first sample is luma in YBR_FULL and YBR_FULL_422 alone; red is not grey."""
    stored = picture(1, 32, 32) if photometric in ("PALETTE COLOR", "MONOCHROME2") else picture(1, 32, 32, 3)
    tables = palette(8) if photometric == "PALETTE COLOR" else {}
    transformed = photometric in ("YBR_RCT", "YBR_ICT")
    path = write_dicom(tmp_path / "a", stored, photometric="RGB" if transformed else photometric, **tables)
    if transformed:
        dataset = pydicom.dcmread(path)
        dataset.PhotometricInterpretation = photometric
        options: dict[str, Any] = {"j2k_cr": [4]} if photometric == "YBR_ICT" else {}
        dataset.compress(J2K_LOSSY if options else J2K, stored[0], **options)
        dataset.save_as(path)
    clip = DicomClip(path)
    assert not clip.pixels.form.luma_first
    _, grey = grey_of_the_full_path(clip, 0)
    assert np.abs(clip.decode([0])[0] - grey).max() <= 0.51
