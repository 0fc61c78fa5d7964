"""The picture shows what was understood of clips, and nobody's name unless it is asked to."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from clip_files import PATIENT_ID, SECRETS, fan_mask, screen, write_dicom
from numpy.typing import NDArray
from PIL import Image
from planting import Plants, leaks, planted_file
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes
from test_deidentify import listening

from apical.config import FrameSettings
from apical.errors import ApicalError, CannotDo, WrongCall
from apical.ingest import inspect as module
from apical.ingest.clip import open_clip
from apical.ingest.inspect import GREEN, MAGENTA, TILE, inspect
from apical.ingest.prepare import prepare

ROWS, COLUMNS = TILE, 400  # a screen that is drawn as large as it is
GAP, CAPTION = 6, 26


def drawn(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def near(picture: NDArray[np.uint8], colour: tuple[int, int, int], off: int = 40) -> NDArray[np.bool_]:
    return np.asarray((np.abs(picture.astype(int) - colour) < off).all(axis=-1))


def clip_of(path: Path, count: int = 5, seed: int = 0) -> Path:
    return write_dicom(path, screen(count, ROWS, COLUMNS, seed=seed))


def test_the_pictures_of_a_clip(tmp_path: Path) -> None:
    """Screen, what is kept, and what an encoder will see, beside each other, over a line of text."""
    path = clip_of(tmp_path / "a.dcm")
    (seen,) = inspect([path], tmp_path / "o.png", FrameSettings(size=100))
    assert seen.sector is not None
    assert seen.mode == "2d"
    picture = drawn(tmp_path / "o.png")
    x0, y0, x1, y1 = seen.sector.box
    kept_width = round((x1 - x0) * TILE / (y1 - y0))
    widths = [COLUMNS, kept_width, TILE]
    assert picture.shape == (TILE + CAPTION, sum(widths) + 3 * GAP, 3)
    begins = np.cumsum([0, *(width + GAP for width in widths)])
    for begin, width in zip(begins, widths, strict=False):
        assert (picture[:TILE, begin + width : begin + width + GAP] == 0).all()
        assert picture[:TILE, begin : begin + width].any()
    middle = screen(5, ROWS, COLUMNS)[2]
    kept = Image.fromarray(np.where(seen.sector.mask, middle, 0)[y0:y1, x0:x1]).resize((kept_width, TILE))
    shown = picture[:TILE, begins[1] : begins[1] + kept_width].astype(int)
    assert np.abs(shown - np.asarray(kept, int)[..., None]).mean() < 6  # two ways to interpolate
    one = FrameSettings(size=100, frames_per_clip=1)
    square = Image.fromarray(prepare(open_clip(path), one, seen.sector).frames[0]).resize((TILE, TILE))
    shown = picture[:TILE, begins[2] : begins[2] + TILE].astype(int)
    assert np.abs(shown - np.asarray(square, int)[..., None]).mean() < 4
    assert picture[TILE:].max() > 100


def test_the_outline_is_drawn_where_the_image_is(tmp_path: Path) -> None:
    """In green, closed, and around the true fan; within it the screen is as it was."""
    inspect([clip_of(tmp_path / "a.dcm")], tmp_path / "o.png")
    picture = drawn(tmp_path / "o.png")[:TILE, :COLUMNS]
    green, fan = near(picture, GREEN), fan_mask(ROWS, COLUMNS)
    inside = binary_fill_holes(binary_dilation(green))
    assert (inside & fan).sum() / (inside | fan).sum() > 0.93
    assert not near(picture, MAGENTA).any()
    middle = screen(5, ROWS, COLUMNS)[2]
    within = binary_erosion(fan, iterations=6)
    assert (picture[within] == middle[within][:, None]).all()


def test_writing_on_the_image_is_outlined_and_goes(tmp_path: Path) -> None:
    frames = screen(5, ROWS, COLUMNS)
    letters = np.array(Image.new("L", (COLUMNS, ROWS)))
    for column in range(170, 230, 6):  # strokes, as of letters
        letters[190:204, column : column + 2] = 255
    (seen,) = inspect([write_dicom(tmp_path / "a.dcm", np.maximum(frames, letters))], tmp_path / "o.png")
    assert seen.sector is not None
    assert seen.record()["written_on"] == len(seen.sector.holes) > 0
    picture = drawn(tmp_path / "o.png")
    rows, columns = np.nonzero(near(picture[:TILE, :COLUMNS], MAGENTA, 60))
    assert rows.min() < 190 < 204 < rows.max()
    assert columns.min() < 171 < 225 < columns.max()


def test_what_lies_beside_the_image_cannot_be_read(tmp_path: Path) -> None:
    """It is drawn in cells of one colour, larger than letters; as it is only if that is asked for."""
    path = clip_of(tmp_path / "a.dcm")
    beside = ~binary_dilation(fan_mask(ROWS, COLUMNS), iterations=4)
    both = beside[1:] & beside[:-1]
    both[11::12] = False  # where cells end
    for show in (False, True):
        inspect([path], tmp_path / "o.png", show_screen=show)
        picture = drawn(tmp_path / "o.png")[:TILE, :COLUMNS]
        middle = screen(5, ROWS, COLUMNS)[2]
        assert (picture[beside] == middle[beside][:, None]).all() == show
        assert (picture[1:] == picture[:-1])[both].all() != show
        assert picture[beside].max() > 20


def test_nor_what_is_on_a_screen_without_an_image(tmp_path: Path) -> None:
    """Of a spectrum, and of a clip that cannot be understood, the whole screen is coarse."""
    frames = screen(2, ROWS, COLUMNS)
    write_dicom(tmp_path / "a.dcm", frames, regions=((3, 3, 0, 0, COLUMNS - 1, ROWS - 1),))
    dark = np.where(fan_mask(ROWS, COLUMNS), 0, frames)
    write_dicom(tmp_path / "b.dcm", dark.astype(np.uint8))
    spectrum, unknown = inspect([tmp_path / "a.dcm", tmp_path / "b.dcm"], tmp_path / "o.png")
    assert (spectrum.mode, spectrum.sector, spectrum.problem) == ("spectral", None, None)
    assert unknown.sector is None
    picture = drawn(tmp_path / "o.png")
    for begin in (0, TILE + CAPTION):
        tile = picture[begin : begin + TILE, :COLUMNS].astype(int)
        cells = tile.reshape(TILE // 25, 25, COLUMNS, 3)  # twelve, which a title cannot be read in
        assert (cells == cells[:, :1]).all()
        assert tile.any()


@pytest.mark.parametrize("kind", ["grey", "jpeg", "palette"])
def test_no_planted_identifier_is_in_what_is_drawn_or_said(tmp_path: Path, kind: str) -> None:
    """In no byte of the picture, which has no metadata, and in no line, record or log."""
    plants = Plants(3)
    folder = tmp_path / plants.name() / plants.word()
    sound = planted_file(folder / f"{plants.word()}.dcm", plants, kind)
    (folder / f"{plants.word()}.dcm").write_bytes(sound.read_bytes()[:5000])
    with listening() as heard:
        seen = inspect([folder], tmp_path / "o.png")
    assert [one.problem is None for one in seen].count(True) == 1
    content = (tmp_path / "o.png").read_bytes()
    texts = [*heard, *(one.line() for one in seen), repr([one.record() for one in seen])]
    assert leaks([text.encode() for text in texts], plants.tokens) == {}
    assert leaks([content], {token for token in plants.tokens if len(token) > 5}) == {}
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append(content[at + 4 : at + 8])
        at += length + 12
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}
    assert Image.open(tmp_path / "o.png").info == {}


def test_several_clips_and_those_that_cannot_be_used(tmp_path: Path) -> None:
    """In the order of the walk, numbered; a clip without pictures has its line on the sheet all the same."""
    for number in range(3):
        clip_of(tmp_path / "in" / f"{number}.dcm", seed=number)
    (tmp_path / "in" / "1b.dcm").write_text("DOE^JOHANNA")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    single = clip_of(tmp_path / "z.dcm")
    seen = inspect([tmp_path / "in", single, tmp_path / "gone.dcm"], tmp_path / "o.png")
    assert [one.number for one in seen] == [1, 2, 3, 4, 5, 6]
    names = ["0.dcm", "1.dcm", "1b.dcm", "2.dcm", "z.dcm", "gone.dcm"]
    assert [Path(one.place).name for one in seen] == names
    assert [one.problem for one in seen] == [
        None,
        None,
        "not a DICOM file",
        None,
        None,
        "the file cannot be read",
    ]
    assert seen[2].line() == "   3  not a DICOM file"
    assert seen[2].record()["clip"] is None
    picture = drawn(tmp_path / "o.png")
    assert picture.shape[0] == 3 * (TILE + CAPTION)
    half = picture.shape[1] // 2
    assert (picture[TILE + CAPTION : 2 * TILE + CAPTION, :half] == 0).all()  # the third clip
    assert picture[2 * TILE + CAPTION : 2 * (TILE + CAPTION), :half].any()  # its line
    assert picture[: TILE + CAPTION, half:].any()


def test_what_is_said_of_a_clip(tmp_path: Path) -> None:
    (seen,) = inspect([clip_of(tmp_path / "a.dcm")], tmp_path / "o.png")
    record = seen.record()
    assert seen.sector is not None
    assert (record["frames"], record["rows"], record["columns"]) == (5, ROWS, COLUMNS)
    assert (record["mode"], record["sector"], record["problem"]) == ("2d", "fan", None)
    assert record["region"] == list(seen.sector.box)
    assert record["frame_time_ms"] == 33.3
    assert seen.line().split() == [
        "1", str(record["clip"]), "2d", "5", "x", f"{ROWS}x{COLUMNS}", "fan",
        f"{seen.sector.confidence:.2f}", *str(record["syntax"]).split(),
    ]  # fmt: skip
    for secret in (*SECRETS, PATIENT_ID, str(tmp_path)):
        assert secret not in seen.line() + repr(record)


def test_the_same_picture_every_time(tmp_path: Path) -> None:
    clip_of(tmp_path / "in" / "a.dcm")
    contents = []
    for _ in range(2):
        inspect([tmp_path / "in"], tmp_path / "o.png")
        contents.append((tmp_path / "o.png").read_bytes())
    assert contents[0] == contents[1]
    assert {file.name for file in tmp_path.iterdir()} == {"in", "o.png"}


def test_a_sheet_holds_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLIPS", 2)
    for number in range(3):
        clip_of(tmp_path / "in" / f"{number}.dcm", count=1)
    assert len(inspect([tmp_path / "in"], tmp_path / "o.png")) == 2


@pytest.mark.parametrize(
    ("files", "out", "error", "line"),
    [
        (["a.dcm"], "o.jpg", WrongCall, "cannot be written as '.jpg'"),
        (["a.dcm"], "o", WrongCall, "Let --out end in .png"),
        ([], "o.png", WrongCall, "there is no clip"),
        (["empty"], "o.png", WrongCall, "there is no clip"),
        (["bogus://DOE"], "o.png", CannotDo, "is no kind of source"),
        (["memory://DOE/none"], "o.png", CannotDo, "a source cannot be listed"),
        (["a.dcm"], "a.dcm/o.png", CannotDo, "'o.png' cannot be written"),
    ],
)
def test_bad_calls(tmp_path: Path, files: list[str], out: str, error: type[ApicalError], line: str) -> None:
    """One line each, and no picture."""
    clip_of(tmp_path / "a.dcm", count=1)
    (tmp_path / "empty").mkdir()
    sources: list[Path | str] = [file if "://" in file else tmp_path / file for file in files]
    with pytest.raises(error, match=line) as caught:
        inspect(sources, tmp_path / out)
    assert "DOE" not in str(caught.value)
    assert not list(tmp_path.rglob("o*"))
