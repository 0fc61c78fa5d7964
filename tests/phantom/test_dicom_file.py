"""Each way of writing a clip is valid DICOM, and reads back as the same picture, without warnings."""

import shutil
import subprocess
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import convert_color_space, pixel_array
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless
from test_modes import drawn

from apical.ingest.clip import open_clip
from apical.ingest.dicom import DicomClip
from apical.ingest.triage import triage
from apical.phantom.dicom_file import Header, write_dicom, write_mode
from apical.phantom.encoding import CODINGS
from apical.phantom.machine import MACHINES, Encoding, Machine, machine
from apical.phantom.modes import MODES
from apical.phantom.screen import Pixels, Screen, lay_out
from apical.phantom.shot import ModeClip

HEADER = Header("PHANTOM-0001", "Phantom^Nr1", "0/1", "20200101", "080045", 1, 72, 33.3)
# Decoders that are not those by which ingest reads.
OTHER_DECODER = {RLELossless: "pydicom", JPEGLSLossless: "gdcm", JPEG2000Lossless: "gdcm"}
ONE_MACHINE_FOR_EACH = {"right": 0, "absent": 4, "too-wide": 5, "full-screen-first": 11}


@pytest.mark.parametrize(
    ("number", "colours"), [(0, "YBR_FULL_422"), (3, "MONOCHROME2"), (6, "RGB")], ids=["jpeg", "gray", "rgb"]
)
@pytest.mark.parametrize("frames", [1, 4])
def test_pixels_survive(number: int, colours: str, frames: int, tmp_path: Path) -> None:
    screen = lay_out(machine(number), 97, depth_mm=150)  # an odd number of bytes a frame
    ramp = np.linspace(0, 255, screen.columns).astype(np.uint8)
    clip = np.tile(ramp[:, None], (frames, screen.rows, 1, 3)).copy()
    clip += np.arange(frames, dtype=np.uint8)[:, None, None, None] * 9
    path = tmp_path / "clip.dcm"
    write_dicom(path, clip, HEADER, machine(number), screen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array.reshape(frames, screen.rows, screen.columns, -1)
    assert dataset.PhotometricInterpretation == colours
    assert dataset.SOPClassUID.name.startswith("Ultrasound")
    if dataset.PhotometricInterpretation.startswith("YBR") and pixels[0, 0, 0, 1] != pixels[0, 0, 0, 0]:
        pixels = convert_color_space(pixels, "YBR_FULL", "RGB")
    assert np.abs(pixels.astype(int) - clip).mean() < 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("promise", "number"), ONE_MACHINE_FOR_EACH.items())
def test_regions_hold_the_sector_and_its_scale(promise: str, number: int, tmp_path: Path) -> None:
    look = machine(number)
    assert look.region_tags == promise
    screen = lay_out(look, 120, depth_mm=150)
    blank = np.zeros((1, screen.rows, screen.columns, 3), np.uint8)
    write_dicom(tmp_path / "clip.dcm", blank, HEADER, look, screen)
    dataset = pydicom.dcmread(tmp_path / "clip.dcm")
    regions = list(dataset.get("SequenceOfUltrasoundRegions", []))
    assert len(regions) == {"absent": 0, "full-screen-first": 2}.get(promise, 1)
    x0, y0, x1, y1 = screen.region()
    for region in regions:
        assert region.RegionLocationMinX0 <= x0
        assert region.RegionLocationMinY0 <= y0
        assert region.RegionLocationMaxX1 >= x1
        assert region.RegionLocationMaxY1 >= y1
        assert region.PhysicalDeltaX == region.PhysicalDeltaY == pytest.approx(screen.mm_per_pixel / 10)


def coloured(look: Machine, frames: int) -> tuple[Pixels, Screen]:
    """Smooth colours that move, of an odd number of rows, on the screen of a machine."""
    screen = lay_out(look, 97, depth_mm=150)
    y, x = np.mgrid[0 : screen.rows, 0 : screen.columns] / screen.rows
    waves = [np.sin(5 * x + 2 * y + turn + np.arange(frames)[:, None, None] / 3) for turn in (0, 1, 2.5)]
    return (127.5 + 127 * np.stack(waves, axis=-1)).round().astype(np.uint8), screen


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("encoding", CODINGS)
def test_ingest_reads_what_was_written(encoding: Encoding, frames: int, tmp_path: Path) -> None:
    """By its own decoders and by others; exactly, where the syntax loses nothing."""
    look = replace(machine(0), encoding=encoding)
    clip, screen = coloured(look, frames)
    write_dicom(tmp_path / "clip.dcm", clip, HEADER, look, screen)
    dataset = pydicom.dcmread(tmp_path / "clip.dcm")
    syntax, colours = CODINGS[encoding]
    assert (dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation) == (syntax, colours)
    if colours == "MONOCHROME2":
        luma = (0.299 * clip[..., 0] + 0.587 * clip[..., 1] + 0.114 * clip[..., 2]).round().astype(np.uint8)
        assert np.abs(luma.astype(int) - clip.astype(int).mean(axis=-1)).max() > 20  # it is no mean
        clip = np.repeat(luma[..., None], 3, axis=-1)
    opened = DicomClip(tmp_path / "clip.dcm")
    read = opened.decode_colour(range(frames))
    quick = opened.decode_colour(range(frames), exact=False)
    assert (opened.facts.frames, opened.facts.syntax) == (frames, syntax.name)
    if syntax == JPEGBaseline8Bit:
        assert dataset.LossyImageCompression == "01"
        assert 2 < dataset.LossyImageCompressionRatio < 100
        assert np.abs(read.astype(int) - clip).mean() < 2
        assert np.abs(quick.astype(int) - clip).mean() < 2
        return
    assert "LossyImageCompression" not in dataset
    assert np.array_equal(read, clip)
    assert np.array_equal(quick, clip)
    other = pixel_array(dataset, decoding_plugin=OTHER_DECODER.get(syntax, ""))
    other = other.reshape(frames, screen.rows, screen.columns, -1)
    assert np.array_equal(np.broadcast_to(other, clip.shape), clip)


@pytest.mark.parametrize(("encoding", "factors"), [("jpeg", 0x21), ("jpeg-444", 0x11), ("jpeg-420", 0x22)])
def test_jpegs_are_subsampled_as_they_say(encoding: Encoding, factors: int, tmp_path: Path) -> None:
    look = replace(machine(0), encoding=encoding)
    clip, screen = coloured(look, 1)
    write_dicom(tmp_path / "clip.dcm", clip, HEADER, look, screen)
    data = (tmp_path / "clip.dcm").read_bytes()
    start = data.index(b"\xff\xc0")  # of the frame header; then length, bits, size, number of components
    assert data[start + 9] == 3
    assert list(data[start + 11 : start + 20 : 3]) == [factors, 0x11, 0x11]


@pytest.mark.parametrize("encoding", CODINGS)
def test_same_clip_gives_same_bytes(encoding: Encoding, tmp_path: Path) -> None:
    look = replace(machine(0), encoding=encoding)
    clip, screen = coloured(look, 2)
    headers = {"one": HEADER, "again": HEADER, "next": replace(HEADER, instance_number=2)}
    for name, header in headers.items():
        write_dicom(tmp_path / name, clip, header, look, screen)
    one, again, other = ((tmp_path / name).read_bytes() for name in headers)
    assert one == again
    assert one != other


def test_neither_maker_nor_region_tags_tell_the_encoding() -> None:
    machines = [machine(number) for number in range(MACHINES)]
    count = Counter(look.encoding for look in machines)
    assert set(count) == set(CODINGS)
    assert count["jpeg-2000"] == 1  # the slow one
    jpeg = [look for look in machines if CODINGS[look.encoding][0] == JPEGBaseline8Bit]
    assert len(jpeg) == 15
    by_maker = Counter(look.manufacturer for look in jpeg)
    assert sorted(by_maker.values()) == [2, 2, 2, 3, 3, 3]  # of four each
    by_tags = Counter(look.region_tags for look in jpeg)
    assert by_tags == {"right": 7, "absent": 5, "too-wide": 1, "full-screen-first": 2}  # of 12, 8, 2, 2
    for maker in by_maker:
        assert len({look.encoding for look in machines if look.manufacturer == maker}) >= 3


@pytest.fixture(scope="module")
def of_other_modes() -> dict[str, ModeClip]:
    cines = {mode: drawn(mode, 0, rows=96) for mode in MODES}
    return cines | {"spectral still": drawn("spectral", 0, rows=96, frames=1)}


@pytest.mark.parametrize("number", range(MACHINES))
def test_a_validator_finds_no_error(number: int, of_other_modes: dict[str, ModeClip], tmp_path: Path) -> None:
    """dciodvfy of David Clunie's dicom3tools on every kind of file of every machine."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    look = machine(number)
    for frames in (1, 3):
        clip, screen = coloured(look, frames)
        write_dicom(tmp_path / f"2d {frames}", clip, HEADER, look, screen)
    for mode, clip in of_other_modes.items():
        write_mode(tmp_path / mode, clip, HEADER, look)
    kinds: Counter[str] = Counter()
    for path in tmp_path.iterdir():
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert [line for line in said if line.startswith("Error")] == []
        kinds += Counter(line for line in said if line.endswith("Image"))
    assert kinds["USMultiFrameImage"] >= 2
    assert kinds["USImage"] >= 2
    assert kinds["SCImage"] == (look.region_tags == "absent")


@pytest.mark.parametrize("number", range(MACHINES))
def test_header_tells_the_time_the_heart_rate_and_the_machine(number: int, tmp_path: Path) -> None:
    look = machine(number)
    clip, screen = coloured(look, 3)
    write_dicom(tmp_path / "one", clip, HEADER, look, screen)
    write_dicom(
        tmp_path / "other",
        clip[:1],
        Header("X", "X^Y", "1/7", "20210203", "091500", 4, 90, 20.0),
        look,
        screen,
    )
    facts = DicomClip(tmp_path / "one").facts
    assert facts.frame_time_ms == pytest.approx(33.3)
    assert facts.heart_rate == 72
    assert DicomClip(tmp_path / "other").facts.frame_time_ms is None
    one, other = pydicom.dcmread(tmp_path / "one"), pydicom.dcmread(tmp_path / "other")
    assert ("FrameTimeVector" in one) == (number % 5 == 4)
    assert ("FrameTimeVector" in one) != ("FrameTime" in one)
    assert (one.CineRate, one.RecommendedDisplayFrameRate, one.StopTrim) == (30, 30, 3)
    assert one.get("ImageType") == (["ORIGINAL", "PRIMARY"] + ["TTE", "0001"] * (look.region_tags == "right"))
    for name in ("StationName", "DeviceSerialNumber", "SoftwareVersions", "TransducerData"):
        assert one[name].value == other[name].value != ""


def test_every_machine_has_a_serial_number_and_a_name_of_its_own(tmp_path: Path) -> None:
    found = []
    for number in range(MACHINES):
        clip, screen = coloured(machine(number), 1)
        write_dicom(tmp_path / "clip.dcm", clip, HEADER, machine(number), screen)
        dataset = pydicom.dcmread(tmp_path / "clip.dcm")
        found.append((dataset.StationName, dataset.DeviceSerialNumber))
    for values in zip(*found, strict=True):
        assert len(set(values)) == MACHINES


def test_captured_report_pages_are_taken_for_what_they_are(tmp_path: Path) -> None:
    page = drawn("report", 4, rows=300)
    look = machine(4)
    write_mode(tmp_path / "captured", page, HEADER, look)
    write_mode(tmp_path / "us", page, HEADER, replace(look, region_tags="too-wide"))
    names = {name: pydicom.dcmread(tmp_path / name).SOPClassUID.name for name in ("captured", "us")}
    assert names == {"captured": "Secondary Capture Image Storage", "us": "Ultrasound Image Storage"}
    assert {triage(open_clip(tmp_path / name)).mode for name in names} == {"report"}
