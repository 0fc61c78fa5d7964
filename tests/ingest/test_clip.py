"""Files are opened by content; what they show is told from tags first, from colours second."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import SimpleITK
from clip_files import fan_mask, write_dicom, write_zip
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.places import member_of
from apical.ingest.sampling import spread
from apical.ingest.triage import Triage, triage


@given(frames=st.integers(1, 500), count=st.integers(1, 40))
def test_spread_is_even_and_distinct(frames: int, count: int) -> None:
    numbers = spread(frames, count)
    assert len(set(numbers)) == len(numbers) == min(frames, count)
    assert all(0 <= number < frames for number in numbers)
    gaps = np.diff(numbers)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    assert abs(numbers[0] - (frames - 1 - numbers[-1])) <= 1  # as far from the start as from the end


def with_colour(frames: NDArray[np.uint8], how: str) -> NDArray[np.uint8]:
    colour = np.repeat(frames[..., None], 3, axis=3)
    if how == "doppler":
        colour[:, 90:130, 140:160] = (220, 40, 20)
        colour[:, 90:130, 165:185] = (20, 60, 220)
    if how == "sepia":
        colour[..., 2] = colour[..., 2] // 2
        colour[..., 1] = colour[..., 1] // 4 * 3
    if how == "coloured screen":
        colour[:, :20][frames[:, :20] > 0] = (40, 60, 250)
        colour[:, 225:][frames[:, 225:] > 0] = (0, 255, 0)
    return colour


@pytest.mark.parametrize(
    ("how", "mode"), [("grey", "2d"), ("doppler", "colour"), ("sepia", "2d"), ("coloured screen", "2d")]
)
def test_colour_doppler_by_its_pixels(tmp_path: Path, frames: NDArray[np.uint8], how: str, mode: str) -> None:
    clip = open_clip(write_dicom(tmp_path / "a", with_colour(frames, how), photometric="RGB"))
    seen = triage(clip)
    assert seen.mode == mode
    assert seen.sector is not None


def test_declared_modes_are_believed(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """A spectral clip is told by its tags, whatever it looks like; but its last frame must be there."""
    path = write_dicom(tmp_path / "a", frames, regions=((3, 3, 0, 0, 99, 99),), jpeg=True)
    assert triage(open_clip(path)) == Triage("spectral", None)
    path.write_bytes(path.read_bytes()[:-1000])
    clip = open_clip(path)
    assert clip.facts.mode == "spectral"
    with pytest.raises(ClipProblem, match="cut off: 9 of 10"):
        triage(clip)


def test_declared_colour_has_a_sector(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    path = write_dicom(tmp_path / "a", frames, regions=((1, 2, 20, 10, 300, 210),))
    seen = triage(open_clip(path))
    sector = seen.sector
    assert seen.mode == "colour"
    assert sector is not None
    assert (sector.mask & ~fan_mask(240, 320)).mean() < 0.01


@pytest.mark.parametrize("name", ["missing.dcm", "."])
def test_unreadable_places_are_problems(tmp_path: Path, name: str) -> None:
    with pytest.raises(ClipProblem, match=r"^the file cannot be read$"):
        open_clip(tmp_path / name)


KINDS = (".avi", ".mp4", ".gif", ".nii.gz", ".png", ".jpg", ".mha", ".dcm")


def write_kind(path: Path, frames: NDArray[np.uint8]) -> Path:
    """Frames in the format of the suffix; stills hold the first."""
    name = str(path)
    if path.suffix in (".avi", ".mp4"):
        codec = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
        video = cv2.VideoWriter(name, codec, 25, frames.shape[:0:-1], isColor=False)
        for frame in frames:
            video.write(frame)
        video.release()
    elif path.suffix == ".gif":
        pictures = [PIL.Image.fromarray(frame) for frame in frames]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    elif path.suffix == ".dcm":
        write_dicom(path, frames)
    elif path.suffix in (".gz", ".mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(frames), name)
    else:
        cv2.imwrite(name, frames[0])
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_every_kind_opens_in_an_archive_as_outside(
    tmp_path: Path, frames: NDArray[np.uint8], suffix: str
) -> None:
    path = write_kind(tmp_path / f"a{suffix}", frames[:3])
    archive = write_zip(tmp_path / "a.zip", {path.name: path.read_bytes()})
    clip, packed = open_clip(path), open_clip(member_of(str(archive), path.name))
    assert packed.facts == clip.facts
    assert clip.facts.frames == (1 if suffix in (".png", ".jpg") else 3)
    last = [clip.facts.frames - 1]
    assert np.array_equal(packed.decode(last), clip.decode(last))
