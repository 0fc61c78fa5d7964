"""NIfTI and MetaImage: frames, axes and spacing as nibabel and SimpleITK read them; lies are problems."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest import volume
from apical.ingest.clip import open_clip

KINDS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64)


def ramp(*shape: int, kind: Any = np.uint8, top: int = 251) -> NDArray[Any]:
    """Values that differ along every axis, from 0 to `top`."""
    return (np.arange(int(np.prod(shape))).reshape(shape) * 37 % (top + 1)).astype(kind)


def grey_levels(values: NDArray[Any]) -> NDArray[np.float64]:
    """Bytes as they are and so are other values within 0 to 255; others stretched from least to greatest."""
    real = np.asarray(values, dtype=float)
    low, high = real.min(), real.max()
    if values.dtype == np.uint8 or (low >= 0 and 1 < high <= 255):
        return real
    return (real - low) * 255 / (high - low)


def same(found: NDArray[np.uint8], expected: NDArray[np.float64]) -> None:
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 0.52


def write_nifti(path: Path, values: NDArray[Any], *, zooms: tuple[float, ...] = (), version: int = 1,
                **header: Any) -> Path:  # fmt: skip
    """Values in the order of the file: columns, rows, frames."""
    image = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(values, np.eye(4))
    if zooms:
        image.header.set_zooms(zooms)
    image.header.set_xyzt_units("mm", header.pop("time_unit", "sec"))
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def itk(path: Path) -> NDArray[Any]:
    return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_of_every_type(tmp_path: Path, kind: Any, suffix: str) -> None:
    """SimpleITK's order of axes, (frames, rows, columns), and its values."""
    low = np.iinfo(kind).min if np.dtype(kind).kind == "i" else 0
    values = ramp(20, 13, 4, kind=kind, top=120) + np.asarray(low // 2).astype(kind)
    path = write_nifti(tmp_path / f"a{suffix}", values, zooms=(0.3, 0.4, 1.0))
    clip = open_clip(path)
    assert (clip.facts.frames, clip.facts.rows, clip.facts.columns) == (4, 13, 20)
    same(clip.decode(range(4)), grey_levels(itk(path)))
    same(clip.decode([3, 1]), grey_levels(itk(path))[[3, 1]])
    assert np.array_equal(clip.decode_colour([2])[0], np.repeat(clip.decode([2])[0, ..., None], 3, axis=2))
    assert clip.facts.pixel_mm == pytest.approx((0.3, 0.4))
    assert clip.facts.pixel_aspect == pytest.approx(4 / 3)
    assert clip.facts.mode is None


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_of_both_versions_and_orders(tmp_path: Path, version: int, order: str) -> None:
    values = ramp(9, 7, 3, kind=order + "i2", top=2000)
    image = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    made = image(values, np.eye(4), image.header_class(endianness=order))
    nibabel.save(made, tmp_path / "a.nii")
    assert nibabel.load(tmp_path / "a.nii").header.endianness == order
    same(open_clip(tmp_path / "a.nii").decode(range(3)), grey_levels(values.transpose(2, 1, 0)))


def test_nifti_that_is_scaled(tmp_path: Path) -> None:
    """Slope and intercept of the header are used, as nibabel does."""
    path = write_nifti(tmp_path / "a.nii", ramp(9, 7, 3, kind=np.int16))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([3.0, -20.0], "<f4").tobytes()
    path.write_bytes(content)
    values = nibabel.load(path).get_fdata()
    assert values.max() > 700
    same(open_clip(path).decode(range(3)), grey_levels(values.transpose(2, 1, 0)))


@pytest.mark.parametrize(
    ("shape", "frames", "mode"),
    [((9, 7), 1, None), ((9, 7, 1), 1, None), ((9, 7, 5), 5, None), ((9, 7, 1, 5), 5, None),
     ((9, 7, 4, 5), 4, "3d"), ((9, 7, 4, 1), 4, "3d"), ((9, 7, 1, 1, 5), 5, None)],
)  # fmt: skip
def test_nifti_of_two_to_five_axes(
    tmp_path: Path, shape: tuple[int, ...], frames: int, mode: str | None
) -> None:
    """The third axis is time, or the fourth if the third is one; a moving volume gives its first instant."""
    values = ramp(*shape)
    clip = open_clip(write_nifti(tmp_path / "a.nii", values))
    assert (clip.facts.frames, clip.facts.rows, clip.facts.columns, clip.facts.mode) == (frames, 7, 9, mode)
    expected = values[..., 0] if mode else values
    for number in range(frames):
        flat = expected.reshape(9, 7, -1)[..., number]
        assert np.array_equal(clip.decode([number])[0], flat.T)


@pytest.mark.parametrize(("unit", "step"), [("sec", 0.04), ("msec", 40.0), ("usec", 40_000.0)])
def test_nifti_time(tmp_path: Path, unit: str, step: float) -> None:
    path = write_nifti(tmp_path / "a.nii", ramp(9, 7, 1, 5), zooms=(0.3, 0.3, 1.0, step), time_unit=unit)
    assert open_clip(path).facts.frame_time_ms == pytest.approx(40)


def test_nifti_in_colour(tmp_path: Path) -> None:
    """RGB24, columns first; grey is the luma."""
    colours = ramp(9, 7, 4, 3)
    packed = np.ascontiguousarray(colours).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    clip = open_clip(write_nifti(tmp_path / "a.nii", packed))
    expected = itk(tmp_path / "a.nii")
    assert np.array_equal(expected, colours.transpose(2, 1, 0, 3))
    assert np.array_equal(clip.decode_colour(range(4)), expected)
    same(clip.decode(range(4)), expected @ np.array([0.299, 0.587, 0.114]))


@pytest.mark.parametrize("zooms", [(0.0, 0.0, 1), (9, 9, 1), (0.1, 2, 1), (np.nan, 1, 1)])
def test_nifti_spacing_that_cannot_be(tmp_path: Path, zooms: tuple[float, ...]) -> None:
    """Zero, centimetres for a pixel, or pixels twenty times as high as wide: nothing is told."""
    path = write_nifti(tmp_path / "a.nii", ramp(9, 7, 3))
    content = bytearray(path.read_bytes())
    content[80:92] = np.array(zooms, "<f4").tobytes()
    path.write_bytes(content)
    facts = open_clip(path).facts
    assert (facts.pixel_mm, facts.pixel_aspect) == (None, 1.0)


def test_values_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    values = ramp(9, 7, 3, kind=np.float32)
    values[2, 3, 1], values[4, 4, 1] = np.nan, np.inf
    found = open_clip(write_nifti(tmp_path / "a.nii", values)).decode([1])[0]
    assert found[3, 2] == found[4, 4] == 0
    assert found[0, 0] == values[0, 0, 1]


def write_meta(path: Path, values: NDArray[Any], *, spacing: tuple[float, ...] = (), compressed: bool = False,
               colours: bool = False) -> Path:  # fmt: skip
    image = SimpleITK.GetImageFromArray(values, isVector=colours)
    if spacing:
        image.SetSpacing(spacing)
    SimpleITK.WriteImage(image, str(path), useCompression=compressed)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_meta_image_of_every_type(tmp_path: Path, kind: Any, suffix: str, compressed: bool) -> None:
    """Written by SimpleITK, in one file or two, packed or not."""
    low = np.iinfo(kind).min if np.dtype(kind).kind == "i" else 0
    values = ramp(4, 13, 20, kind=kind, top=120) + np.asarray(low // 2).astype(kind)
    path = write_meta(tmp_path / f"a{suffix}", values, spacing=(0.3, 0.4, 33.0), compressed=compressed)
    assert (b"CompressedData = True" in path.read_bytes()[:400]) == compressed
    clip = open_clip(path)
    same(clip.decode(range(4)), grey_levels(itk(path)))
    facts = clip.facts
    assert (facts.frames, facts.rows, facts.columns, facts.mode) == (4, 13, 20, None)
    assert facts.pixel_mm == pytest.approx((0.3, 0.4))
    assert facts.frame_time_ms == pytest.approx(33)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(13, 20), (4, 13, 20)])
def test_meta_image_in_colour(tmp_path: Path, shape: tuple[int, ...], compressed: bool) -> None:
    path = write_meta(tmp_path / "a.mha", ramp(*shape, 3), compressed=compressed, colours=True)
    clip = open_clip(path)
    assert np.array_equal(clip.decode_colour(range(clip.facts.frames)), itk(path).reshape(-1, 13, 20, 3))


@pytest.mark.parametrize(
    ("shape", "frames", "mode"),
    [((13, 20), 1, None), ((1, 13, 20), 1, None), ((5, 1, 13, 20), 5, None), ((5, 4, 13, 20), 4, "3d")],
)
def test_meta_image_of_two_to_four_axes(
    tmp_path: Path, shape: tuple[int, ...], frames: int, mode: str | None
) -> None:
    values = ramp(*shape)
    if len(shape) < 4:
        image = SimpleITK.GetImageFromArray(values)
    else:
        image = SimpleITK.JoinSeries([SimpleITK.GetImageFromArray(part) for part in values])
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    clip = open_clip(tmp_path / "a.mha")
    assert (clip.facts.frames, clip.facts.mode) == (frames, mode)
    expected = values[0] if mode else values.reshape(-1, 13, 20)
    assert np.array_equal(clip.decode(range(frames)), expected)


HEADER = {"ObjectType": "Image", "NDims": "3", "DimSize": "5 4 3", "ElementType": "MET_SHORT"}


def hand_made(path: Path, data: bytes, **lines: str) -> Path:
    header = HEADER | lines
    header["ElementDataFile"] = header.pop("ElementDataFile", "LOCAL")
    path.write_bytes("".join(f"{name} = {value}\n" for name, value in header.items()).encode() + data)
    return path


@pytest.mark.parametrize("name", ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])
def test_meta_image_in_big_endian(tmp_path: Path, name: str) -> None:
    values = ramp(3, 4, 5, kind=">i2", top=999)
    path = hand_made(tmp_path / "a.mha", values.tobytes(), **{"BinaryData": "True", name: "True"})
    same(open_clip(path).decode(range(3)), grey_levels(values))
    assert np.array_equal(itk(path), values)


@pytest.mark.parametrize("size", ["7", "-1"])
def test_meta_image_whose_values_have_a_header_of_their_own(tmp_path: Path, size: str) -> None:
    values = ramp(3, 4, 5, kind="<i2", top=999)
    (tmp_path / "a.raw").write_bytes(b"7 bytes" + values.tobytes())
    path = hand_made(tmp_path / "a.mhd", b"", HeaderSize=size, ElementDataFile="a.raw")
    same(open_clip(path).decode(range(3)), grey_levels(values))
    assert np.array_equal(itk(path), values)


@pytest.mark.parametrize(
    "lines",
    [
        {"DimSize": "5 4 4"},
        {"DimSize": "5 4"},
        {"DimSize": "-5 -4 3"},
        {"DimSize": "0 4 3"},
        {"DimSize": "99999 99999 99999"},
        {"DimSize": "5 4 3 2 1"},
        {"DimSize": "five 4 3"},
        {"ElementType": "MET_DOUBLE"},
        {"ElementType": "MET_STRING"},
        {"ElementNumberOfChannels": "2"},
        {"ElementNumberOfChannels": "3"},
        {"CompressedData": "True"},
        {"BinaryData": "False"},
        {"ElementDataFile": "gone.raw"},
        {"ElementDataFile": "../outside.raw"},
        {"ElementDataFile": "/etc/hostname"},
        {"ElementDataFile": "LIST"},
        {"HeaderSize": "100"},
    ],
)
def test_meta_images_that_lie(tmp_path: Path, lines: dict[str, str]) -> None:
    """More values than there are, other types, files elsewhere: a problem, not an answer."""
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "outside.raw").write_bytes(bytes(120))
    path = hand_made(folder / "a.mhd", ramp(3, 4, 5, kind="<i2").tobytes(), **lines)
    if lines == {"DimSize": "5 4"}:
        assert open_clip(path).facts.frames == 1  # fewer values than there are: those that it says
        return
    with pytest.raises(ClipProblem):
        open_clip(path).decode([0])


@pytest.mark.parametrize(
    ("at", "value"),
    [(40, [3, 900, 800, 700]), (40, [3, -9, 7, 3]), (40, [3, 0, 7, 3]), (40, [7, 9, 7, 3]),
     (40, [0, 9, 7, 3]), (40, [3, 32_000, 32_000, 32_000]), (70, [999]), (40, [1, 9])],
)  # fmt: skip
def test_nifti_that_lies(tmp_path: Path, at: int, value: list[int]) -> None:
    """Axes and types that are not those of the values: a problem."""
    path = write_nifti(tmp_path / "a.nii", ramp(9, 7, 3))
    content = bytearray(path.read_bytes())
    content[at : at + 2 * len(value)] = np.array(value, "<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(ClipProblem):
        open_clip(path).decode([0])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha"])
def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(volume, "LARGEST_VOLUME", 10_000)
    path = tmp_path / f"a{suffix}"
    values = np.zeros((300, 40, 3), np.uint8)
    write_meta(path, values, compressed=True) if suffix == ".mha" else write_nifti(path, values)
    with pytest.raises(ClipProblem, match=r"bomb|impossible"):
        open_clip(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha"])
def test_cut_and_garbled_files(tmp_path: Path, suffix: str) -> None:
    """Cut or garbled anywhere: frames, or a problem."""
    path = tmp_path / f"a{suffix}"
    values = ramp(9, 7, 3)
    write_meta(path, values, compressed=True) if suffix == ".mha" else write_nifti(path, values)
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for trial in range(150):
        content = bytearray(whole[: generator.integers(1, len(whole))] if trial % 2 else whole)
        for _ in range(4):
            content[generator.integers(min(len(content), 360))] = generator.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(ClipProblem):
            clip = open_clip(path)
            assert clip.decode([0]).shape == (1, clip.facts.rows, clip.facts.columns)


def test_packed_and_plain_are_one_clip(tmp_path: Path) -> None:
    """A gzip of a file is the same clip; other values are another."""
    path = write_nifti(tmp_path / "a.nii", ramp(9, 7, 3))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    other = write_nifti(tmp_path / "c.nii", ramp(9, 7, 3)[::-1].copy())
    assert open_clip(path).facts.clip == open_clip(tmp_path / "b.nii.gz").facts.clip
    assert open_clip(path).facts.clip != open_clip(other).facts.clip


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_strange_header_and_strange_numbers_say_nothing_on_the_screen(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    """nibabel logs what it mends, and NumPy warns of what overflows."""
    values = np.zeros((4, 5, 3), kind)
    values[0], values[1], values[2, 0] = np.finfo(kind).max, np.finfo(kind).min, np.nan
    path = write_nifti(tmp_path / "a.nii", values)
    content = bytearray(path.read_bytes())
    content[0:4] = (7).to_bytes(4, "little")  # sizeof_hdr
    path.write_bytes(content)
    open_clip(path).decode([0])
    assert not caplog.records
    assert not recwarn.list


@pytest.mark.parametrize(("step", "expected"), [(0.04, 40.0), (1e-9, None), (99.0, None), (-0.04, None)])
def test_a_time_between_frames_that_cannot_be_is_none(
    tmp_path: Path, step: float, expected: float | None
) -> None:
    path = write_nifti(tmp_path / "a.nii", ramp(4, 5, 1, 3), zooms=(1, 1, 1, abs(step)))
    content = bytearray(path.read_bytes())
    content[92:96] = np.float32(step).tobytes()  # pixdim[4], which nibabel writes only where it is sound
    path.write_bytes(content)
    found = open_clip(path).facts.frame_time_ms
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_header_asks_for_no_more_memory_than_its_file_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gigabytes of numbers in a file of kilobytes are told before any are read."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.float64)
    header.set_data_shape((4096, 4096, 60))
    header["magic"], header["vox_offset"] = b"n+1", 352
    path = tmp_path / "a.nii"
    path.write_bytes(header.binaryblock + bytes(10_000))
    read: list[object] = []
    monkeypatch.setattr(nibabel.arrayproxy.ArrayProxy, "get_unscaled", lambda proxy: read.append(proxy))
    with pytest.raises(ClipProblem, match="damaged NIfTI file"):
        open_clip(path)
    assert read == []


def test_values_with_a_slope_are_real_numbers(tmp_path: Path) -> None:
    """As nibabel scales them, a frame at a time."""
    values = ramp(40, 50, 3, kind=np.int16)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(0.37, -21.5)
    nibabel.save(image, tmp_path / "a.nii")
    scaled = nibabel.load(tmp_path / "a.nii").get_fdata().transpose(2, 1, 0)
    assert scaled.min() < 0
    same(open_clip(tmp_path / "a.nii").decode(range(3)), grey_levels(scaled))
