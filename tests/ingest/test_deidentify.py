"""Nothing that names a patient is in a clean copy, its name or a log; what cannot be cleaned has no copy."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pydicom
import pytest
from clip_files import fan_mask, screen, write_dicom, write_zip
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from planting import SEEDS, Plants, contents, leaks, planted_file
from pydicom.pixels import apply_color_lut, pixel_array
from scipy.ndimage import binary_dilation

from apical.config import DeidentifySettings
from apical.errors import ApicalError, CannotDo, WrongCall
from apical.ingest import deidentify as module
from apical.ingest.deidentify import STATE, UNSURE, Copy, deidentify

ONE = DeidentifySettings(workers=1)
LOSSLESS = ("grey", "palette", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90")
CHARSETS = ("ISO_IR 192", "ISO_IR 100", "ISO_IR 13", "ISO_IR 144", "", "RUBBISH")
OURS = re.compile(rb"2\.25\.[0-9]{36,39}")  # a random number, in which a short one may be by chance
BESIDE = ~binary_dilation(fan_mask(180, 240), iterations=3)


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """All that is logged at any level, warned of and printed."""
    heard: list[str] = []
    printed, logged = io.StringIO(), io.StringIO()
    handler, root = logging.StreamHandler(logged), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(printed):
            warnings.simplefilter("always")
            with contextlib.redirect_stderr(printed):
                yield heard
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        heard += [printed.getvalue(), logged.getvalue(), *(str(one.message) for one in warned)]


def files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def told(copies: list[Copy]) -> str:
    """What of the records may be shown."""
    return repr([(copy.file, copy.clip, copy.problem) for copy in copies])


def leaked(out: Path, told: list[str], plants: Plants) -> dict[str, bytes]:
    """Identifiers in any byte and name of what was written and said; short ones only where text is."""
    files = files_in(out)
    names = [os.fsencode(file.relative_to(out)) for file in files]
    texts = [text.encode("utf-8", "surrogateescape") for text in told]
    texts += [str(pydicom.dcmread(file)).encode() for file in files if file.suffix == ".dcm"]
    everything = [OURS.sub(b"", part) for file in files for part in contents(file)]
    long = {token for token in plants.tokens if len(token) > 5}
    return leaks([*names, *everything], long) | leaks([OURS.sub(b"", text) for text in texts], plants.tokens)


def shown(path: Path) -> np.ndarray:
    """(F, H, W[, 3]) as pydicom shows it, before windows."""
    dataset = pydicom.dcmread(path)
    pixels = pixel_array(dataset, raw=False)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return np.asarray(apply_color_lut(pixels, dataset))
    return pixels


@settings(max_examples=8, phases=SEEDS)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from([*LOSSLESS, "jpeg"]),
    charset=st.sampled_from(CHARSETS),
    syntax=st.sampled_from(["jpeg-ls", "rle", "uncompressed"]),
)
def test_no_planted_identifier_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str, charset: str, syntax: str
) -> None:
    """Text of every VR, private, nested, beside and behind the pixels, in names and burnt into corners."""
    plants, place = Plants(seed), tmp_path_factory.mktemp("planted")
    folder = place / f"{plants.name()} {plants.word()}" / plants.date()
    path = planted_file(folder / f"{plants.name()}.{plants.word()}.dcm", plants, kind, charset=charset)
    content = path.read_bytes()
    (folder / f"{plants.word()}_cut.dcm").write_bytes(content[: len(content) // 2])
    (folder / f"{plants.word()}_text.dcm").write_bytes(plants.bytes(500))
    with listening() as heard:
        cleaner = DeidentifySettings(workers=1, syntax=syntax)
        copies = deidentify(folder.parent, place / "out", cleaner, mapping=place / "mapping.csv")
    assert leaked(place / "out", [*heard, told(copies)], plants) == {}
    assert [copy.problem for copy in copies].count(None) == 1
    (clean,) = (place / "out").rglob("*.dcm")
    before, after = shown(path), shown(clean)
    assert len(after) == len(before) == 3
    assert before[:, BESIDE].max() > 200
    assert (after[:, BESIDE] == 0).all()
    if kind != "jpeg":  # of which pydicom makes colours, and we grey levels
        assert ((after == before) | (after == 0)).all()
        assert (after[:, fan_mask(180, 240)] != 0).mean() > 0.9


@pytest.mark.parametrize("kind", ["grey", "jpeg", "palette"])
def test_the_search_finds_identifiers_that_are_there(tmp_path: Path, kind: str) -> None:
    """Else the test above would prove nothing."""
    plants = Plants(5)
    path = planted_file(tmp_path / "a.dcm", plants, kind)
    found = leaks([path.read_bytes()], plants.tokens)
    assert len(found) > 3000
    assert len(plants.tokens) - len(found) < 100  # those burnt in, and some cut at an end
    write_dicom(tmp_path / "out" / "Recording.dcm", screen(1), PatientName="PLANTED1", StudyID="PLANTED2")
    plants.tokens = {"PLANTED1", "PLANTED2", "PLANTED3", "PLANTED4", "Recording"}
    found = leaked(tmp_path / "out", ["heard of planted3"], plants)
    assert found.keys() == plants.tokens - {"PLANTED4"}


@pytest.mark.parametrize("kind", ["grey", "jpeg"])
def test_nor_is_one_in_what_is_raised(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that quotes the file, at any step, becomes a problem without its text."""
    plants = Plants(7)
    planted_file(tmp_path / plants.word() / "a.dcm", plants, kind)

    def fails(*_: object, **__: object) -> None:
        raise ValueError(f"{next(iter(plants.tokens))} is not allowed")

    for step in ("black_out", "clean_header", "_save"):
        with monkeypatch.context() as patch, listening() as heard:
            patch.setattr(module, step, fails)
            (copy,) = deidentify(tmp_path, tmp_path.parent / f"{tmp_path.name} {kind} {step}", ONE)
        assert copy.problem in ("the clean copy cannot be made", "the header cannot be cleaned")
        assert leaks([told([copy]).encode(), *(line.encode() for line in heard)], plants.tokens) == {}
        assert files_in(tmp_path.parent / f"{tmp_path.name} {kind} {step}")[1:] == []


def test_nor_in_an_error_that_ends_the_run(tmp_path: Path) -> None:
    """The whole traceback: of a source that is not there, a folder without clips, a folder in use."""
    plants = Plants(9)
    folder = tmp_path / plants.name()
    (folder / plants.word()).mkdir(parents=True)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / plants.word()).write_text("theirs")
    write_dicom(tmp_path / "in" / f"{plants.word()}.dcm", screen(1))
    calls = [(folder / plants.word(), "out"), (folder, "out"), (tmp_path / "in", "used")]
    for source, out in calls:
        with pytest.raises(ApicalError) as caught:
            deidentify(source, tmp_path / out, ONE)
        raised = "".join(traceback.format_exception(caught.value)).encode()
        assert leaks([raised], plants.tokens) == {}
    assert [file.name for file in files_in(tmp_path / "used")] == [
        file.name for file in (tmp_path / "used").iterdir()
    ]


def spectral(path: Path) -> Path:
    return write_dicom(path, screen(3), regions=((3, 3, 0, 0, 319, 239),))


def page(path: Path) -> Path:
    """White with lines of dark text, as a report."""
    pixels = np.full((1, 240, 320), 255, np.uint8)
    pixels[:, 20:220:12, 20:280:3] = 0
    return write_dicom(path, pixels, NumberOfFrames=None)


def noise(path: Path) -> Path:
    return write_dicom(path, np.random.default_rng(1).integers(0, 255, (3, 240, 320), np.uint8))


def dark(path: Path) -> Path:
    return write_dicom(path, np.zeros((3, 240, 320), np.uint8))


@pytest.mark.parametrize("make", [spectral, page, noise, dark])
def test_without_a_trusted_sector_there_is_no_copy(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "in" / "a.dcm")
    (copy,) = deidentify(tmp_path / "in", tmp_path / "out", ONE)
    assert copy.problem
    assert copy.file is None
    assert [file.name for file in files_in(tmp_path / "out")] == [STATE]


def test_nor_with_one_that_is_trusted_too_little(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in" / "a.dcm", screen(4))
    (copy,) = deidentify(tmp_path / "in", tmp_path / "out", DeidentifySettings(workers=1, least_confidence=1))
    assert copy.problem == UNSURE
    assert [file.name for file in files_in(tmp_path / "out")] == [STATE]
    (copy,) = deidentify(tmp_path / "in", tmp_path / "other", ONE)
    assert copy.problem is None


@pytest.mark.parametrize("spoilt", [0, -1])
def test_a_copy_that_is_not_black_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: int
) -> None:
    """A copy is read again before it gets its name; a spot of light beside the image is enough."""
    write_dicom(tmp_path / "in" / "a.dcm", screen(4))
    real = module.black_out

    def forgetful(clip, mask, header, syntax):  # type: ignore[no-untyped-def]
        with real(clip, mask, header, syntax) as file:
            content = bytearray(file.read())
        content[3 if spoilt == 0 else -4] = 99
        return io.BytesIO(bytes(content))

    monkeypatch.setattr(module, "black_out", forgetful)
    cleaner = DeidentifySettings(workers=1, syntax="uncompressed")
    (copy,) = deidentify(tmp_path / "in", tmp_path / "out", cleaner)
    assert copy.problem == "the clean copy cannot be made"
    assert [file.name for file in files_in(tmp_path / "out")] == [STATE]


def test_only_dicom_files_are_cleaned(tmp_path: Path) -> None:
    """Pictures and videos are named as what they are not; members of an archive are cleaned."""
    frames = screen(4)
    folder = tmp_path / "in"
    clip = write_dicom(tmp_path / "a.dcm", frames)
    write_zip(folder / "c.zip", {"a.dcm": clip.read_bytes(), "b.dcm": b"rubbish"})
    Image.fromarray(frames[0]).save(folder / "a.png")
    with av.open(str(folder / "b.mp4"), "w") as video:
        track = video.add_stream("mpeg4", rate=25)
        track.height, track.width, track.pix_fmt = 240, 320, "yuv420p"
        for frame in frames:
            video.mux(track.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        video.mux(track.encode())
    copies = deidentify(folder, tmp_path / "out", ONE)
    names = [Path(copy.place.partition("::")[0]).name for copy in copies]
    assert names == ["a.png", "b.mp4", "a.dcm", "b.dcm"]
    no = "not a DICOM file"
    assert [copy.problem for copy in copies] == [no, no, None, no]
    assert sorted(file.suffix for file in files_in(tmp_path / "out")) == [".dcm", ".json"]


@pytest.mark.parametrize(
    ("out", "more", "line"),
    [
        ("in", {}, "would lie among the originals"),
        ("in/a/b", {}, "would lie among the originals"),
        (".", {}, "would lie among the originals"),
        ("out", {"salt": "out/salt.key"}, "'salt.key' would lie among the clean copies"),
        ("out", {"mapping": "out/a/m.csv"}, "'m.csv' would lie among the clean copies"),
        ("out", {"mapping": "in/../out/m.csv"}, "'m.csv' would lie among the clean copies"),
        ("out", {"mapping": "k", "salt": "k"}, "cannot be one file"),
    ],
)
def test_places_that_are_refused(tmp_path: Path, out: str, more: dict[str, str], line: str) -> None:
    """Before anything is written."""
    write_dicom(tmp_path / "in" / "a.dcm", screen(1))
    before = files_in(tmp_path)
    with pytest.raises(WrongCall, match=line):
        deidentify(tmp_path / "in", tmp_path / out, ONE, **{k: tmp_path / v for k, v in more.items()})
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("state", ["", "null", "[]", "{}", "rubbish", '{"least_confidence": "high"}', "\xff"])
def test_a_folder_with_another_state_is_left_alone(tmp_path: Path, state: str) -> None:
    write_dicom(tmp_path / "in" / "a.dcm", screen(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / STATE).write_bytes(state.encode("latin-1"))
    with pytest.raises(CannotDo, match="holds something else"):
        deidentify(tmp_path / "in", tmp_path / "out", ONE)
    assert (tmp_path / "out" / STATE).read_bytes() == state.encode("latin-1")


def test_what_the_state_tells(tmp_path: Path) -> None:
    """How copies were made, and of the key only which it is."""
    write_dicom(tmp_path / "in" / "a.dcm", screen(4))
    deidentify(tmp_path / "in", tmp_path / "out", ONE)
    state = json.loads((tmp_path / "out" / STATE).read_text())
    key = state.pop("key")
    assert state == {
        "dates": "remove", "keep_uids": False, "keep_patient": False, "syntax": "jpeg-ls",
        "least_confidence": 0.5,
    }  # fmt: skip
    assert re.fullmatch("[0-9a-f]{16}", key)
    assert (tmp_path / "salt.key").stat().st_mode & 0o777 == 0o600
