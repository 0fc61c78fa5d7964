"""Each way of writing a clip reads back as the same picture, without warnings."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import convert_color_space

from apical.phantom.dicom_file import Header, write_dicom
from apical.phantom.machine import machine
from apical.phantom.screen import lay_out

HEADER = Header("PHANTOM-0001", "Phantom^Nr1", "0/1", "20200101", "080045", 1, 72, 33.3)
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
