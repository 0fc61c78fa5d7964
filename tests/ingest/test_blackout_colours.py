"""Palettes, colours and videos: the copy shows the colours that others make of the original."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pydicom
import pytest
from blacked import COLUMNS, JPEG_2000, JPEG_LS, RLE, ROWS, Pixels, cleaned, frames_of, mask_of, noise
from clip_files import write_dicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import UID

from apical.errors import ClipProblem
from apical.ingest.blackout import Syntax
from apical.ingest.dicom import DicomClip


def palette(bits: int, entries: int = 256, first: int = 0) -> dict[str, Any]:
    """Palette elements with colours that are all different, and text behind them."""
    generator = np.random.default_rng(5)
    elements: dict[str, Any] = {}
    for name in ("Red", "Green", "Blue"):
        table = generator.permutation(np.linspace(0, (1 << bits) - 1, entries)).astype(f"<u{bits // 8}")
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [entries, first, bits]
        elements[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    return elements


@pytest.mark.parametrize("syntax", get_args(Syntax))
@pytest.mark.parametrize(
    ("bits", "entries", "first"), [(8, 256, 0), (16, 256, 0), (16, 200, 0), (8, 100, 50)]
)
def test_palette_colours(tmp_path: Path, bits: int, entries: int, first: int, syntax: Syntax) -> None:
    """The colours that pydicom makes of the copy are those of the original, and the darkest one beside."""
    pixels = noise("u1")
    path = write_dicom(
        tmp_path / "a.dcm", pixels, photometric="PALETTE COLOR", **palette(bits, entries, first)
    )
    mask = mask_of(ROWS, COLUMNS)
    dataset = cleaned(path, mask, syntax)
    colours = apply_color_lut(frames_of(dataset), dataset)
    before = apply_color_lut(pixels, pydicom.dcmread(path))
    assert np.array_equal(colours[:, mask], before[:, mask])
    outside = colours[:, ~mask].reshape(-1, 3)
    assert (outside == outside[0]).all()
    reached = apply_color_lut(np.arange(256, dtype=np.uint8), pydicom.dcmread(path))
    high = (reached >> (bits - 8)).astype(int).sum(axis=1)
    assert (outside[0] >> (bits - 8)).astype(int).sum() == high.min()


@pytest.mark.parametrize("bits", [8, 16])
def test_nothing_stands_behind_the_colours_of_a_palette(tmp_path: Path, bits: int) -> None:
    """Neither further values of a descriptor nor colours of values that the stored bits cannot hold stay."""
    elements = palette(bits) | {"BitsStored": 7, "HighBit": 6}
    for name in ("Red", "Green", "Blue"):
        table = elements[f"{name}PaletteColorLookupTableData"]
        elements[f"{name}PaletteColorLookupTableData"] = table[:-16] + b"DOE^JOHANNA 4711"
        elements[f"{name}PaletteColorLookupTableDescriptor"] += [0x4F44, 0x5E45]
    path = write_dicom(tmp_path / "a.dcm", noise("u1", bits=7), photometric="PALETTE COLOR", **elements)
    dataset = cleaned(path, mask_of(ROWS, COLUMNS), "jpeg-ls")
    for name in ("Red", "Green", "Blue"):
        assert list(dataset[f"{name}PaletteColorLookupTableDescriptor"].value) == [128, 0, bits]
        assert len(dataset[f"{name}PaletteColorLookupTableData"].value) == 128 * bits // 8
        assert b"DOE" not in dataset[f"{name}PaletteColorLookupTableData"].value


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_that_the_image_does_not_use_are_black(tmp_path: Path, bits: int) -> None:
    """A name may stand in them; those of the screen beside the image go too, those of any frame stay."""
    elements, mask = palette(bits), mask_of(ROWS, COLUMNS)
    pixels = noise("u1") % 60
    pixels[:, ~mask] = 200
    pixels[2][np.unravel_index(np.flatnonzero(mask)[0], mask.shape)] = 77
    text = b"DOE^JOHANNA 4711"
    for name in ("Red", "Green", "Blue"):
        table = elements[f"{name}PaletteColorLookupTableData"]
        at = 200 * bits // 8
        elements[f"{name}PaletteColorLookupTableData"] = table[:at] + text + table[at + len(text) :]
    path = write_dicom(tmp_path / "a.dcm", pixels, photometric="PALETTE COLOR", **elements)
    dataset = cleaned(path, mask, "jpeg-ls")
    before = apply_color_lut(pixels, pydicom.dcmread(path))
    assert np.array_equal(apply_color_lut(frames_of(dataset), dataset)[:, mask], before[:, mask])
    used = {*np.unique(pixels[:, mask]).tolist(), int(frames_of(dataset)[0][~mask][0])}
    assert 77 in used
    for name in ("Red", "Green", "Blue"):
        table = dataset[f"{name}PaletteColorLookupTableData"].value
        assert text not in table
        entries = np.frombuffer(table, f"<u{bits // 8}")
        assert set(np.flatnonzero(entries).tolist()) <= used


@pytest.mark.parametrize("name", ["Descriptor", "Data"])
def test_a_palette_of_text_gives_no_copy(tmp_path: Path, name: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", noise("u1"), photometric="PALETTE COLOR", **palette(8))
    dataset = pydicom.dcmread(path)
    tag = dataset[f"RedPaletteColorLookupTable{name}"].tag
    dataset[tag] = pydicom.dataelem.DataElement(tag, "LO", "DOE^JOHANNA 4711")
    dataset.save_as(path)
    with pytest.raises(
        (ClipProblem, AttributeError, TypeError, ValueError)
    ):  # `deidentify` makes problems of them
        cleaned(path, mask_of(ROWS, COLUMNS), "jpeg-ls")


def test_segmented_palette_becomes_a_plain_one(tmp_path: Path) -> None:
    """A segment of two colours, and one that rises to white (PS3.3 C.7.9.2)."""
    elements: dict[str, Any] = {}
    segments = np.array([0, 2, 0, 500, 1, 254, 65535], "<u2").tobytes()
    for name in ("Red", "Green", "Blue"):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        elements[f"Segmented{name}PaletteColorLookupTableData"] = segments
    path = write_dicom(tmp_path / "a.dcm", noise("u1"), photometric="PALETTE COLOR", **elements)
    mask = mask_of(ROWS, COLUMNS)
    dataset = cleaned(path, mask, "jpeg-ls")
    assert "SegmentedRedPaletteColorLookupTableData" not in dataset
    before = apply_color_lut(noise("u1"), pydicom.dcmread(path))
    assert np.array_equal(apply_color_lut(frames_of(dataset), dataset)[:, mask], before[:, mask])


def coloured_file(
    path: Path, photometric: str, planar: int, compress: str | None = None
) -> tuple[Path, Pixels]:
    """A file of three samples and the RGB that pydicom makes of it."""
    pixels = noise("u1", 3)
    write_dicom(path, pixels, photometric=photometric, compress=compress)
    if planar or photometric == "YBR_FULL_422":
        dataset = pydicom.dcmread(path)
        stored = pixels.transpose(0, 3, 1, 2)
        if photometric == "YBR_FULL_422":  # Y Y Cb Cr for two pixels beside each other
            pairs = pixels.reshape(3, ROWS, COLUMNS // 2, 2, 3)
            stored = np.stack(
                [pairs[..., 0, 0], pairs[..., 1, 0], pairs[..., 0, 1], pairs[..., 0, 2]], axis=-1
            )
        dataset.PlanarConfiguration, dataset.PixelData = planar, np.ascontiguousarray(stored).tobytes()
        dataset.save_as(path)
    return path, pixel_array(path)


COLOURED = [("RGB", 0), ("RGB", 1), ("YBR_FULL", 0), ("YBR_FULL", 1), ("YBR_FULL_422", 0)]


@pytest.mark.parametrize("syntax", get_args(Syntax))
@pytest.mark.parametrize(("photometric", "planar"), COLOURED)
def test_three_samples_become_the_rgb_of_pydicom(
    tmp_path: Path, photometric: str, planar: int, syntax: Syntax
) -> None:
    path, before = coloured_file(tmp_path / "a.dcm", photometric, planar)
    mask = mask_of(ROWS, COLUMNS)
    dataset = cleaned(path, mask, syntax)
    assert dataset.PhotometricInterpretation == "RGB"
    read = frames_of(dataset)
    assert np.array_equal(read[:, mask], before[:, mask])
    assert (read[:, ~mask] == 0).all()


@pytest.mark.parametrize("compress", [RLE, JPEG_LS, JPEG_2000])
def test_compressed_colours(tmp_path: Path, compress: str) -> None:
    path, before = coloured_file(tmp_path / "a.dcm", "RGB", 0, compress)
    mask = mask_of(ROWS, COLUMNS)
    read = frames_of(cleaned(path, mask, "jpeg-ls"))
    assert np.array_equal(read[:, mask], before[:, mask])
    assert (read[:, ~mask] == 0).all()


@pytest.mark.parametrize("grey", [False, True])
def test_jpeg_colours(tmp_path: Path, frames: NDArray[np.uint8], grey: bool) -> None:
    """What pydicom makes of a lossy source is kept without further loss."""
    pixels = np.repeat(frames[:2, ..., None], 3, axis=3)
    pixels[..., 2] //= 1 if grey else 2
    path = write_dicom(tmp_path / "a.dcm", pixels, photometric="YBR_FULL_422", jpeg=True)
    before, mask = pixel_array(path), mask_of(240, 320)
    dataset = cleaned(path, mask, "jpeg-ls")
    read = frames_of(dataset)
    read = np.repeat(read[..., None], 3, axis=3) if grey else read
    assert dataset.PhotometricInterpretation == ("MONOCHROME2" if grey else "RGB")
    assert np.array_equal(read[:, mask], before[:, mask])
    assert (read[:, ~mask] == 0).all()


@pytest.mark.parametrize("syntax", get_args(Syntax))
def test_grey_pictures_of_three_samples_get_one(tmp_path: Path, syntax: Syntax) -> None:
    """Colours of the screen do not matter; a single coloured pixel of the last frame's image does."""
    mask = mask_of(ROWS, COLUMNS)
    pixels = np.repeat(noise("u1")[..., None], 3, axis=3)
    pixels[:, ~mask] = noise("u1", 3)[:, ~mask]
    dataset = cleaned(write_dicom(tmp_path / "a.dcm", pixels, photometric="RGB"), mask, syntax)
    assert dataset.PhotometricInterpretation == "MONOCHROME2"
    assert dataset.SamplesPerPixel == 1
    assert "PlanarConfiguration" not in dataset
    assert np.array_equal(frames_of(dataset)[:, mask], pixels[:, mask, 0])
    assert (frames_of(dataset)[:, ~mask] == 0).all()
    row, column = np.argwhere(mask)[-1]
    pixels[2, row, column] = (9, 9, 10)
    dataset = cleaned(write_dicom(tmp_path / "b.dcm", pixels, photometric="RGB"), mask, syntax)
    assert dataset.PhotometricInterpretation == "RGB"
    assert np.array_equal(frames_of(dataset)[:, mask], pixels[:, mask])


def video_file(path: Path, codec: str, container: str, syntax: str) -> Path:
    """A video stream of 5 frames in a DICOM file, titled with a name."""
    stream, pixels = io.BytesIO(), np.random.default_rng(2).integers(0, 255, (5, 64, 96, 3), np.uint8)
    with av.open(stream, "w", format=container) as video:
        video.metadata["title"] = "DOE^JOHANNA"
        track = video.add_stream(codec, rate=25)
        track.height, track.width, track.pix_fmt = 64, 96, "yuv420p"
        for frame in pixels:
            video.mux(track.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        video.mux(track.encode())
    write_dicom(path, pixels, photometric="YBR_PARTIAL_420")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    ("codec", "container", "syntax"),
    [("mpeg2video", "mpegts", "1.2.840.10008.1.2.4.100"), ("mpeg4", "mp4", "1.2.840.10008.1.2.4.102")],
)
def test_video_sources(tmp_path: Path, codec: str, container: str, syntax: str) -> None:
    """Every frame that FFmpeg decodes of the stream is there, and the stream's own texts are not."""
    path = video_file(tmp_path / "a.dcm", codec, container, syntax)
    stream = next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))
    with av.open(io.BytesIO(stream)) as video:
        before = np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])
    mask = mask_of(64, 96)
    dataset = cleaned(path, mask, "jpeg-ls")
    read = frames_of(dataset)
    assert dataset.NumberOfFrames == len(before) == 5
    assert np.array_equal(read[:, mask], before[:, mask])
    assert (read[:, ~mask] == 0).all()
    assert b"JOHANNA" not in dataset.PixelData


def test_memory_is_that_of_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are asked for a few at a time, however many there are."""
    asked: list[list[int]] = []
    whole: Callable[..., Any] = DicomClip.decode_colour

    def counted(clip: DicomClip, numbers: Any, **options: Any) -> Any:
        asked.append(list(numbers))
        return whole(clip, numbers, **options)

    monkeypatch.setattr(DicomClip, "decode_colour", counted)
    monkeypatch.setattr("apical.ingest.clip.BYTES_AT_A_TIME", 3 * ROWS * COLUMNS * 2)
    cleaned(coloured_file(tmp_path / "a.dcm", "RGB", 0)[0], mask_of(ROWS, COLUMNS), "rle")
    assert max(map(len, asked)) == 2


def test_colours_of_16_bits_keep_their_upper_byte(tmp_path: Path) -> None:
    pixels = noise("u2", 3)
    mask = mask_of(ROWS, COLUMNS)
    read = frames_of(cleaned(write_dicom(tmp_path / "a.dcm", pixels, photometric="RGB"), mask, "rle"))
    assert np.array_equal(read[:, mask], (pixels >> 8)[:, mask].astype(np.uint8))
