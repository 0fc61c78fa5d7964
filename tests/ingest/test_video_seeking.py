"""Chosen frames of a video are those of decoding it from its start: any codec, order, clock and damage."""

from __future__ import annotations

import contextlib
import io
import struct
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
import pydicom
import pytest
from clip_files import write_dicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate

from apical.errors import ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.dicom import DicomClip
from apical.ingest.video import VideoStream

COUNT = 40
B_FRAMES = {"bf": "2", "g": "9"}
CODECS = [
    (".mp4", "libx264", "yuv420p", B_FRAMES),
    (".mp4", "libx264", "yuv420p", {"bf": "3", "g": "100", "x264-params": "open-gop=1:b-pyramid=normal"}),
    (".mov", "libx264", "yuv420p", {"bf": "2", "g": "7", "x264-params": "open-gop=1"}),
    (".mp4", "libx265", "yuv420p", {"x265-params": "log-level=none:keyint=8:bframes=3"}),
    (".mp4", "mpeg4", "yuv420p", B_FRAMES),
    (".avi", "mpeg4", "yuv420p", {"bf": "0", "g": "6"}),
    (".avi", "mpeg4", "yuv420p", B_FRAMES),
    (".avi", "mjpeg", "yuvj420p", {}),
    (".avi", "rawvideo", "bgr24", {}),
    (".avi", "ffv1", "bgr0", {"g": "5"}),
    (".mov", "qtrle", "rgb24", {"g": "6"}),
    (".mov", "png", "rgb24", {}),
    (".gif", "gif", "rgb8", {}),
]


@pytest.fixture(scope="module")
def moving() -> NDArray[np.uint8]:
    """(40, 64, 96) uint8: every frame has its own place of a bright square."""
    frames = np.random.default_rng(1).integers(0, 60, (COUNT, 64, 96), np.uint8)
    for number, frame in enumerate(frames):
        frame[8 + number % 40 : 24 + number % 40, 2 * number : 2 * number + 16] = 150 + 2 * number
    return frames


def write(
    path: Path | io.BytesIO,
    frames: NDArray[np.uint8],
    codec: str,
    layout: str,
    options: dict[str, str],
    *,
    form: str | None = None,
    times: list[int] | None = None,
    container: dict[str, str] | None = None,
) -> None:
    """Frames at 25 a second, or shown at `times` in milliseconds."""
    target: Any = str(path) if isinstance(path, Path) else path
    with av.open(target, "w", format=form, options=container or {}) as video:
        stream: Any = video.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], layout
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, axis=2), format="rgb24")
            picture = picture.reformat(format=layout)
            if times:
                picture.pts, picture.time_base = times[number], Fraction(1, 1000)
            video.mux(stream.encode(picture))
        video.mux(stream.encode())


def in_order(source: Any, form: str | None = None) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Every frame by PyAV from the start, grey and RGB, up to the damage if there is one."""
    found: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    with contextlib.suppress(av.FFmpegError), av.open(source, format=form) as video:
        for frame in video.decode(video=0):
            found.append((frame.to_ndarray(format="gray"), frame.to_ndarray(format="rgb24")))
    return found


def check(clip: Any, expected: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> None:
    """The number of frames, some of them in any order, each alone, and all of them."""
    count = len(expected)
    assert clip.facts.frames == count
    order = np.random.default_rng(0).permutation(count).tolist()
    for numbers in (order[:5], [count - 1], [0], [count // 2] * 2, list(range(count))):
        grey, colour = clip.decode(numbers), clip.decode_colour(numbers[:3])
        for at, number in enumerate(numbers):
            assert np.array_equal(grey[at], expected[number][0]), number
        for at, number in enumerate(numbers[:3]):
            assert np.array_equal(colour[at], expected[number][1]), number


@pytest.mark.parametrize(("suffix", "codec", "layout", "options"), CODECS)
def test_seeking_is_counting(
    tmp_path: Path, moving: NDArray[np.uint8], suffix: str, codec: str, layout: str, options: dict[str, str]
) -> None:
    """Frames that lean on later ones, groups that are open, key frames only, one key frame in all."""
    path = tmp_path / f"a{suffix}"
    write(path, moving, codec, layout, options)
    expected = in_order(str(path))
    assert len(expected) == COUNT
    check(open_clip(path), expected)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", B_FRAMES),
        (".mp4", "mpeg4", {"bf": "0", "g": "9"}),
        (".mov", "libx264", {"bf": "0"}),
    ],
)
def test_variable_frame_rate(
    tmp_path: Path, moving: NDArray[np.uint8], suffix: str, codec: str, options: dict[str, str]
) -> None:
    """Frames are numbered as they are shown, whatever the time between them; that told is the mean."""
    steps = np.random.default_rng(2).integers(5, 120, COUNT)
    times = [0, *np.cumsum(steps).tolist()][:COUNT]
    path = tmp_path / f"a{suffix}"
    write(path, moving, codec, "yuv420p", options, times=times)
    expected = in_order(str(path))
    clip = open_clip(path)
    check(clip, expected)
    assert clip.facts.frame_time_ms == pytest.approx(times[-1] / (COUNT - 1), rel=0.15)


STREAMS = [
    ("100", "mpeg2video", "mpeg2video", "mpegvideo"),
    ("101", "mpeg2video", "mpeg", "mpeg"),
    ("100", "mpeg2video", "mpegts", "mpegts"),
    ("102", "libx264", "mp4", "mov"),
    ("103", "libx264", "mpegts", "mpegts"),
    ("104", "libx264", "h264", "h264"),
    ("107", "libx265", "mp4", "mov"),
    ("107", "libx265", "hevc", "hevc"),
    ("108", "libx265", "mpegts", "mpegts"),
]


@pytest.mark.parametrize(("syntax", "codec", "form", "container"), STREAMS)
@pytest.mark.parametrize("fragments", [1, 7])
def test_video_in_dicom(
    tmp_path: Path,
    moving: NDArray[np.uint8],
    syntax: str,
    codec: str,
    form: str,
    container: str,
    fragments: int,
) -> None:
    """MPEG-2, H.264 and HEVC, in a container or bare, in one fragment or several: PyAV's frames."""
    options = {"x265-params": "log-level=none:keyint=8:bframes=2"} if codec == "libx265" else B_FRAMES
    buffer = io.BytesIO()
    write(buffer, moving, codec, "yuv420p", options, form=form)
    path = dicom_of(tmp_path / "a", moving, buffer.getvalue(), syntax, fragments, NumberOfFrames=3)
    clip = DicomClip(path)
    assert clip.is_video
    check(clip, in_order(io.BytesIO(buffer.getvalue()), container))
    with pytest.raises(ClipProblem, match="not stored"):
        next(clip.samples())


def dicom_of(path: Path, frames: NDArray[np.uint8], stream: bytes, syntax: str, fragments: int = 1,
             **elements: Any) -> Path:  # fmt: skip
    write_dicom(path, frames[..., None].repeat(3, axis=3), photometric="YBR_PARTIAL_420", **elements)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{syntax}"
    stream += b"\0" * (len(stream) % 2)
    dataset.PixelData = encapsulate([stream], fragments_per_frame=fragments)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    return path


def test_a_stream_of_another_size_than_its_header(tmp_path: Path, moving: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    write(buffer, moving, "libx264", "yuv420p", B_FRAMES, form="mp4")
    with pytest.raises(ClipProblem, match="does not have the size"):
        DicomClip(dicom_of(tmp_path / "a", moving, buffer.getvalue(), "102", Rows=60))


@pytest.mark.parametrize(
    "stream", [b"\0\0", b"not a video at all", b"\x47" * 400, b"\0\0\0\x18ftypisom" + bytes(90)]
)
def test_a_stream_that_is_none(tmp_path: Path, moving: NDArray[np.uint8], stream: bytes) -> None:
    with pytest.raises(ClipProblem):
        DicomClip(dicom_of(tmp_path / "a", moving[:2], stream, "102"))


def test_rotated_videos_stay_as_stored(tmp_path: Path, moving: NDArray[np.uint8]) -> None:
    """A display matrix of 90 degrees, as telephones write, turns neither size nor frames."""
    path = tmp_path / "a.mp4"
    write(path, moving, "libx264", "yuv420p", B_FRAMES)
    expected = in_order(str(path))
    content = path.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = content.index(upright, content.index(b"tkhd"))
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(content[:at] + turned + content[at + 36 :])
    with av.open(str(path)) as video:
        assert next(video.decode(video=0)).rotation in (90, -90)
    clip = open_clip(path)
    assert (clip.facts.rows, clip.facts.columns) == (64, 96)
    check(clip, expected)


@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
@pytest.mark.parametrize(
    ("suffix", "codec", "layout", "options"), [CODECS[0], CODECS[3], CODECS[5], CODECS[7], CODECS[12]]
)
def test_truncated_videos(
    tmp_path: Path,
    moving: NDArray[np.uint8],
    suffix: str,
    codec: str,
    layout: str,
    options: dict[str, str],
    share: float,
) -> None:
    """The frames before the cut are those of the whole; others are not counted."""
    path = tmp_path / f"a{suffix}"
    front = {"movflags": "faststart"} if suffix == ".mp4" else None
    write(path, moving, codec, layout, options, container=front)
    whole, content = in_order(str(path)), path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    try:
        clip = open_clip(path)
    except ClipProblem:
        assert not in_order(str(path))
        return
    count = clip.facts.frames
    assert 1 <= count < COUNT
    assert count >= len(in_order(str(path))) - 1
    grey = clip.decode(list(range(count)))
    same = [np.array_equal(frame, whole[number][0]) for number, frame in enumerate(grey)]
    assert all(same[:-2])  # what the cut went through may be concealed


def test_a_stream_is_opened_anew_for_each_call(moving: NDArray[np.uint8]) -> None:
    """Two calls do not lean on each other."""
    buffer = io.BytesIO()
    write(buffer, moving, "libx264", "yuv420p", B_FRAMES, form="mp4")
    opened: list[int] = []

    def source() -> Any:
        opened.append(1)
        return nullcontext(cast(BinaryIO, io.BytesIO(buffer.getvalue())))

    stream = VideoStream(source, "mov")
    before = len(opened)
    one = stream.decode([30, 2], "gray")
    assert np.array_equal(stream.decode([2, 30], "gray"), one[::-1])
    assert len(opened) == before + 2
