"""Videos and pictures give the frames that were put in, and damage gives a problem."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apical.errors import ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.damage import Unreadable
from apical.ingest.formats import kind_of


def write_video(path: Path, frames: NDArray[np.uint8], codec: str, layout: str) -> Path:
    """Frames as RGB at 25 a second; the container by the file's suffix."""
    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], layout
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, axis=2), format="rgb24")
            video.mux(stream.encode(picture.reformat(format=layout)))
        video.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("suffix", "codec", "layout", "error"),
    [
        (".avi", "ffv1", "bgr0", 1),
        (".avi", "mjpeg", "yuvj444p", 12),
        (".mp4", "mpeg4", "yuv420p", 16),
        (".mov", "png", "rgb24", 1),
        (".gif", "gif", "rgb8", 40),
    ],
)
def test_video_frames(
    tmp_path: Path, frames: NDArray[np.uint8], suffix: str, codec: str, layout: str, error: float
) -> None:
    clip = open_clip(write_video(tmp_path / f"a{suffix}", frames, codec, layout))
    assert (clip.facts.frames, clip.facts.rows, clip.facts.columns) == (10, 240, 320)
    assert clip.facts.frame_time_ms == pytest.approx(40, rel=0.01)
    decoded = clip.decode([8, 3])
    assert decoded.shape == (2, 240, 320)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - frames[[8, 3]]).mean() < error
    assert clip.decode_colour([3]).shape == (1, 240, 320, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_stills(tmp_path: Path, frames: NDArray[np.uint8], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), frames[0])
    clip = open_clip(path)
    assert clip.facts.frames == 1
    assert np.array_equal(clip.decode([0])[0], cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    assert np.array_equal(clip.decode_colour([0])[0], cv2.imread(str(path))[..., ::-1])


def test_opened_by_content_not_by_name(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), frames[0])
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    assert open_clip(tmp_path / "a.dcm").facts.rows == 240


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mov", ".gif", ".png", ".jpg"])
def test_cut_and_garbled_files(tmp_path: Path, frames: NDArray[np.uint8], suffix: str) -> None:
    """Cut or garbled anywhere: frames, or a problem."""
    path = tmp_path / f"a{suffix}"
    small = np.ascontiguousarray(frames[:4, ::4, ::4])
    if suffix in (".png", ".jpg"):
        cv2.imwrite(str(path), small[0])
    else:
        codec, layout = {
            ".avi": ("mjpeg", "yuvj420p"),
            ".mp4": ("mpeg4", "yuv420p"),
            ".mov": ("png", "rgb24"),
            ".gif": ("gif", "rgb8"),
        }[suffix]
        write_video(path, small, codec, layout)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for trial in range(40):
        content = bytearray(whole[: generator.integers(len(whole))] if trial % 2 else whole)
        for _ in range(4):
            if content:
                content[generator.integers(len(content))] = generator.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(ClipProblem):
            clip = open_clip(path)
            assert clip.decode([0]).shape == (1, clip.facts.rows, clip.facts.columns)
            assert clip.decode_colour([0]).shape == (1, clip.facts.rows, clip.facts.columns, 3)


def test_absurd_picture_is_refused_before_decoding(tmp_path: Path) -> None:
    """A PNG header that asks for 60000 x 60000 pixels."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8), np.uint8))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ClipProblem, match="impossible"):
        open_clip(tmp_path / "a.png")


def test_play_lists_are_not_followed(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    """A text that FFmpeg would take as a list of other files is no video here."""
    write_video(tmp_path / "other.avi", frames, "ffv1", "bgr0")
    for text in ("#EXTM3U\n#EXTINF:1,\nother.avi\n", "ffconcat version 1.0\nfile other.avi\n"):
        (tmp_path / "list.avi").write_text(text)
        with pytest.raises(ClipProblem):
            open_clip(tmp_path / "list.avi")


def test_kinds() -> None:
    assert kind_of(b"RIFF\x00\x00\x00\x00WAVEfmt ") is None
    assert kind_of(b"") is None
    assert kind_of(b"\x00\x00\x00\x20ftypisom\x00\x00\x00\x00") == "mov"


@pytest.mark.parametrize(("rate", "expected"), [(25, 40.0), (Fraction(1, 50), None)])
def test_a_time_between_frames_that_cannot_be_is_none(
    tmp_path: Path, frames: NDArray[np.uint8], rate: int | Fraction, expected: float | None
) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as video:
        stream = video.add_stream("mjpeg", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], "yuvj420p"
        for frame in frames[:3]:
            picture = av.VideoFrame.from_ndarray(frame, format="gray").reformat(format="yuvj420p")
            video.mux(stream.encode(picture))
        video.mux(stream.encode())
    facts = open_clip(tmp_path / "a.avi").facts
    assert facts.frames == 3
    assert facts.frame_time_ms == expected


def test_an_avi_whose_titles_are_longer_than_the_file_is_not_given_to_ffmpeg(
    tmp_path: Path, frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fills two gigabytes for a title that says it is so long."""
    path = write_video(tmp_path / "a.avi", frames[:2], "mjpeg", "yuvj444p")
    content = bytearray(path.read_bytes())
    at = content.index(b"INFO") - 4
    assert open_clip(path).facts.frames == 2
    given: list[object] = []
    monkeypatch.setattr(av, "open", lambda *file, **_: given.append(file))
    for size in (0x7FFFFFFF, len(content)):
        content[at : at + 4] = size.to_bytes(4, "little")
        path.write_bytes(content)
        with pytest.raises(ClipProblem, match=r"^damaged video$"):
            open_clip(path)
    assert not given


def test_whatever_a_decoder_raises_is_a_problem(
    tmp_path: Path, frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("DOE")

    video = write_video(tmp_path / "a.avi", frames, "mjpeg", "yuvj444p")
    clip = open_clip(video)
    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(ClipProblem, match=r"^damaged video$"):
        clip.decode([0])
    with pytest.raises(ClipProblem, match=r"^damaged video$"):
        open_clip(video)
    cv2.imwrite(str(tmp_path / "a.png"), frames[0])
    still = open_clip(tmp_path / "a.png")
    monkeypatch.setattr(cv2, "imdecode", fail)
    with pytest.raises(ClipProblem, match=r"^damaged picture$"):
        still.decode([0])


def test_a_video_that_goes_away_is_no_damage(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    video = write_video(tmp_path / "a.avi", frames, "mjpeg", "yuvj444p")
    clip = open_clip(video)
    video.unlink()
    with pytest.raises(Unreadable):
        clip.decode([0])
