"""Clean copies are valid, and show of the originals all of the image and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from cleaning import ONE, cleaner, one_copy
from clip_files import PATIENT_ID, fan_mask, screen, write_dicom
from dicomanonymizer import anonymize_dataset
from headers import TOKEN, allow_any_value, attributes, valued
from numpy.typing import NDArray
from planting import Plants, planted_file
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.sequence import Sequence
from scipy.ndimage import binary_dilation

from apical.ingest.deidentify import deidentify

SYNTAXES = {
    "uncompressed": None,
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}


@pytest.mark.parametrize("target", ["jpeg-ls", "rle", "uncompressed"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_of_a_lossless_source_the_image_stays_as_it_is(tmp_path: Path, syntax: str, target: str) -> None:
    """Every pixel of every frame is black or as it was, none beside the image is not, most of it stays."""
    frames = screen(5)
    write_dicom(tmp_path / "in" / "a.dcm", frames, compress=SYNTAXES[syntax])
    clean = pixel_array(one_copy(tmp_path / "in", tmp_path / "out", cleaner(syntax=target)))
    assert clean.shape == frames.shape
    assert ((clean == frames) | (clean == 0)).all()
    fan = fan_mask(240, 320)
    assert (clean[:, ~binary_dilation(fan, iterations=3)] == 0).all()
    assert (clean[:, fan] == frames[:, fan]).mean() > 0.95


@pytest.mark.parametrize("coloured", [False, True])
def test_of_a_jpeg_source_what_it_shows_stays(tmp_path: Path, coloured: bool) -> None:
    """And the light that JPEG spreads beside the image goes."""
    frames = np.repeat(screen(5)[..., None], 3, axis=3)
    if coloured:
        frames[:, 90:130, 140:180, 0] = 255
    path = write_dicom(tmp_path / "in" / "a.dcm", frames, jpeg=True, photometric="YBR_FULL_422")
    before = pixel_array(path)
    clean = pixel_array(one_copy(tmp_path / "in", tmp_path / "out"))
    clean = clean if coloured else np.repeat(clean[..., None], 3, axis=3)
    assert ((clean == before) | (clean == 0)).all()
    fan = fan_mask(240, 320)
    assert (clean[:, ~binary_dilation(fan, iterations=3)] == 0).all()
    assert (clean[:, fan] == before[:, fan]).mean() > 0.95


@pytest.mark.parametrize("target", ["jpeg-ls", "rle", "uncompressed"])
def test_another_library_reads_the_same_pixels(tmp_path: Path, target: str) -> None:
    """GDCM, of which neither this program nor pydicom is made."""
    write_dicom(tmp_path / "in" / "a.dcm", screen(3))
    copy = one_copy(tmp_path / "in", tmp_path / "out", cleaner(syntax=target))
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(copy.filename)))
    assert np.array_equal(read, pixel_array(copy))


US, CAPTURE = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.7"
STILL = {"NumberOfFrames": None, "FrameTime": None}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {  # pixels, elements
    "cine": ("grey", {}),
    "cine of one frame": ("still", {}),
    "cine of colours": ("colours", {"photometric": "RGB"}),
    "cine of grey colours": ("rgb", {"photometric": "RGB"}),
    "still": ("still", {"SOPClassUID": US, **STILL}),
    "capture": ("still", {"SOPClassUID": CAPTURE, **STILL}),
    "capture of several frames": ("grey", {"SOPClassUID": CAPTURE}),
    "multi-frame capture of one": ("still", {"SOPClassUID": f"{CAPTURE}.2"}),
    "multi-frame capture": ("grey", {"SOPClassUID": f"{CAPTURE}.2"}),
    "multi-frame capture of 16 bits": ("16 bits", {"SOPClassUID": f"{CAPTURE}.3"}),
    "multi-frame capture of colours": ("colours", {"SOPClassUID": f"{CAPTURE}.4", "photometric": "RGB"}),
    "multi-frame capture of grey colours": ("rgb", {"SOPClassUID": f"{CAPTURE}.4", "photometric": "RGB"}),
}


def pixels_of(kind: str) -> NDArray[Any]:
    frames = screen(1 if kind == "still" else 3)
    if kind == "16 bits":
        return frames.astype("u2") << 8
    if kind in ("rgb", "colours"):
        frames = np.repeat(frames[..., None], 3, axis=3)
        if kind == "colours":
            frames[:, 90:130, 140:180, 0] = 255
    return frames


def region() -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionFlags = item.RegionLocationMinX0 = item.RegionLocationMinY0 = 0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = 319, 239
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.05
    return item


ALL_OPTIONS = {"dates": "shift", "keep_uids": True, "keep_patient": True}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, ALL_OPTIONS], ids=["basic", "all options"])
def test_a_validator_finds_no_error(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    """dciodvfy of David Clunie's dicom3tools, and pydicom with its strictest reading."""
    pixels, elements = KINDS[kind]
    told = {"StudyDate": "20200102", "StudyTime": "101112", "PatientSex": "F", "PatientAge": "061Y"}
    path = write_dicom(tmp_path / "in" / "a.dcm", pixels_of(pixels), **told, **elements)
    original = pydicom.dcmread(path)
    original.SequenceOfUltrasoundRegions = Sequence([region()])
    original.save_as(path)
    copy = one_copy(tmp_path / "in", tmp_path / "out", cleaner(**options))
    was = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.RAISE
    try:
        assert len(list(pydicom.dcmread(copy.filename).iterall())) > 30
    finally:
        config.settings.reading_validation_mode = was
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    done = subprocess.run(["dciodvfy", str(copy.filename)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert [line for line in said if line.startswith("Error")] == []
    assert any(line.endswith("Image") for line in said)  # it knows the kind


@pytest.mark.parametrize("dates", ["remove", "shift", "keep"])
def test_dates(tmp_path: Path, dates: str) -> None:
    """They go, or move by the same weeks for all of a patient, or stay; those of others always go."""
    for name, day in (("a", "20200101"), ("b", "20200115")):
        elements = {"StudyDate": day, "ContentDate": day, "StudyTime": "101112", "InstanceCreationDate": day}
        write_dicom(tmp_path / "in" / f"{name}.dcm", screen(1), PatientBirthDate="19500101", **elements)
    copies = deidentify(tmp_path / "in", tmp_path / "out", cleaner(dates=dates))
    one, other = (pydicom.dcmread(tmp_path / "out" / str(copy.file)) for copy in copies)
    assert not one.PatientBirthDate
    assert "InstanceCreationDate" not in one
    if dates == "remove":
        assert not one.StudyDate
        assert not one.StudyTime
        assert "ContentDate" not in one
        return
    assert one.StudyTime == "101112"
    assert one.StudyDate == one.ContentDate
    moved = [np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}") for d in (one.StudyDate, other.StudyDate)]
    assert moved[1] - moved[0] == np.timedelta64(14, "D")
    assert (one.StudyDate == "20200101") == (dates == "keep")


def test_what_stays_if_asked_for(tmp_path: Path) -> None:
    elements = {"PatientSex": "F", "PatientAge": "095Y", "PatientSize": 1.6, "PatientWeight": 61}
    path = write_dicom(tmp_path / "in" / "a.dcm", screen(1), SOPInstanceUID="1.2.3.99", **elements)
    plain = one_copy(path, tmp_path / "out")
    assert not any(plain.get(name) for name in elements)
    kept = one_copy(path, tmp_path / "out 2", cleaner(keep_uids=True, keep_patient=True))
    assert (kept.PatientSex, kept.PatientAge, kept.PatientSize, kept.PatientWeight) == ("F", "090Y", 1.6, 61)
    assert (kept.SOPInstanceUID, kept.StudyInstanceUID) == ("1.2.3.99", "1.2.3.47110815")
    assert kept.PatientID == plain.PatientID != PATIENT_ID


def test_another_anonymizer_changes_nothing_that_we_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What dicom-anonymizer removes, empties or replaces by PS3.15, is gone, empty or changed here too."""
    allow_any_value(monkeypatch)
    write_dicom(tmp_path / "in" / "a.dcm", screen(2))
    original = pydicom.dcmread(tmp_path / "in" / "a.dcm")
    for tag in attributes():
        if tag not in original and not 0x5000 <= tag.group < 0x7000:
            original.add(valued(tag))
    original.save_as(tmp_path / "in" / "a.dcm")
    ours = one_copy(tmp_path / "in", tmp_path / "out")
    theirs = pydicom.dcmread(tmp_path / "in" / "a.dcm")
    anonymize_dataset(theirs)
    changed = [element for element in original if theirs.get(element.tag) != element and element.VR != "SQ"]
    assert len(changed) > 300
    for element in changed:
        value = ours.get(element.tag)
        assert value is None or not value.value or value.value != element.value, element.keyword
    assert TOKEN.encode() not in Path(ours.filename).read_bytes()


def test_planted_files_become_valid_copies(tmp_path: Path) -> None:
    """Whatever an original holds, pydicom reads its copy without a warning."""
    for number, kind in enumerate(("grey", "jpeg", "palette")):
        planted_file(tmp_path / "in" / f"{number}.dcm", Plants(number), kind)
    for copy in deidentify(tmp_path / "in", tmp_path / "out", ONE):
        assert copy.problem is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "APICAL" in str(pydicom.dcmread(tmp_path / "out" / str(copy.file)))


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 90, "WindowWidth": 120, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 90, "WindowWidth": 120, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 90, "WindowWidth": 120},
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "RGB"])
def test_windows_stay_with_the_values_they_are_of(
    tmp_path: Path, photometric: str, elements: dict[str, Any]
) -> None:
    """Grey pictures in colours lose them, for there they mean nothing."""
    pixels = screen(2, 120, 160)
    shown = pixels if photometric == "MONOCHROME2" else np.repeat(pixels[..., None], 3, axis=3)
    write_dicom(tmp_path / "in" / "a.dcm", shown, photometric=photometric, **elements)
    header = one_copy(tmp_path / "in", tmp_path / "out")
    assert ("WindowCenter" in header) == (photometric == "MONOCHROME2")
    assert header.get("VOILUTFunction") == (
        elements.get("VOILUTFunction") if photometric == "MONOCHROME2" else None
    )


@pytest.mark.parametrize("jpeg", [False, True])
def test_a_copy_says_what_its_source_has_lost(tmp_path: Path, jpeg: bool) -> None:
    """Even if the source does not (0028,2110)."""
    write_dicom(tmp_path / "in" / "a.dcm", screen(2, 120, 160), jpeg=jpeg)
    assert one_copy(tmp_path / "in", tmp_path / "out").get("LossyImageCompression") == (
        "01" if jpeg else None
    )
