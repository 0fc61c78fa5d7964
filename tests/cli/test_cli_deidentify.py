"""The verbs deidentify and inspect: what they print, for people and programs, and what they never print."""

import json
import shutil
import subprocess
import sys

import polars as pl
import pydicom
import pytest

from apical.catalogue import read_catalogue
from apical.cli import run
from apical.cli.options import COULD_NOT, DONE, DONE_WITH_PROBLEMS, WRONG_CALL
from apical.ingest.facts import WITH_SECTOR

SECRETS = ("JOHANNA", "DOE", "47110815")


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    """Names of a phantom's clips that show an image with a sector, told with less than full confidence."""
    place = tmp_path_factory.mktemp("exams")
    size = ["--patients", "2", "--frames", "2", "--image-rows", "120", "--workers", "1"]
    assert run(["phantom", *size, "--out", str(place / "DOE^JOHANNA"), "--quiet"]) == DONE
    out = str(place / "c.parquet")
    assert run(["scan", str(place / "DOE^JOHANNA"), "--out", out, "--workers", "1", "--quiet"]) == DONE
    table = read_catalogue(place / "c.parquet")
    table = table.filter(pl.col("mode").is_in(WITH_SECTOR), pl.col("sector_confidence") < 1)
    return table["path"].to_list()


@pytest.fixture
def sound(exams, tmp_path):
    folder = tmp_path / "MRN-47110815"
    folder.mkdir()
    for number, clip in enumerate(exams[:3]):
        shutil.copy(clip, folder / f"DOE_{number}.dcm")
    return folder


@pytest.fixture
def mixed(sound):
    """Some that cannot be cleaned among them; a file of text first."""
    for number in range(6):
        (sound / f"A_JOHANNA_{number}.dcm").write_text(f"JOHANNA DOE {number}")
    (sound / "JOHANNA_empty.dcm").touch()
    return sound


def call(*words):
    return run([str(word) for word in words])


def clean(source, out, *words):
    return call("deidentify", source, out, "--workers", 1, *words)


def error_line(capsys):
    """The one line that a failed command leaves on standard error."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("apical: ")
    return line


def copies(folder):
    return sorted(folder.rglob("*.dcm"))


def test_a_sound_folder(sound, tmp_path, capsys):
    """One line, and nothing on standard error but the progress; the second time too."""
    assert clean(sound, tmp_path / "clean", "--quiet") == DONE
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("3 clean copies → clean\n", "")
    assert len(copies(tmp_path / "clean")) == 3
    assert clean(sound, tmp_path / "clean") == DONE
    assert "Cleaning: 6/6, " in capsys.readouterr().err
    assert {file.name for file in tmp_path.iterdir()} == {"MRN-47110815", "clean", "salt.key"}


def test_broken_files_are_a_line_each(mixed, tmp_path, capsys):
    """Summed up by problem, and listed by their numbers with --verbose."""
    assert clean(mixed, tmp_path / "clean", "--quiet") == DONE_WITH_PROBLEMS
    printed = capsys.readouterr()
    assert printed.out == "3 clean copies → clean\n"
    first, *counts, last = printed.err.splitlines()
    assert first == "7 files have no clean copy"
    assert [line.split(maxsplit=1) for line in counts] == [["6", "not a DICOM file"], ["1", "empty file"]]
    assert last == "  (--verbose lists them)"
    assert clean(mixed, tmp_path / "clean", "--quiet", "--verbose") == DONE_WITH_PROBLEMS
    lines = capsys.readouterr().err.splitlines()
    told = [f"  file {number}: not a DICOM file" for number in range(1, 7)]
    assert lines[3:] == [*told, "  file 10: empty file"]
    assert len(copies(tmp_path / "clean")) == 3


def test_json_is_one_document_of_known_fields(mixed, tmp_path, capsys):
    assert clean(mixed, tmp_path / "clean", "--json") == DONE_WITH_PROBLEMS
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"written": 3, "problems": {"not a DICOM file": 6, "empty file": 1}}


@pytest.mark.parametrize("more", [[], ["--verbose"], ["--json"], ["--mapping", "mapping.csv"]])
def test_no_name_of_a_file_is_printed(mixed, tmp_path, monkeypatch, capfd, more):
    """Nor by libraries below Python."""
    monkeypatch.chdir(tmp_path)
    code = clean(mixed, "clean", *more)
    printed = capfd.readouterr()
    assert code == DONE_WITH_PROBLEMS
    for secret in (*SECRETS, "PHANTOM", str(tmp_path)):
        assert secret not in printed.out + printed.err


def test_names_are_printed_when_asked_for(mixed, tmp_path, capsys):
    code = clean(mixed, tmp_path / "clean", "--show-paths", "--verbose")
    assert code == DONE_WITH_PROBLEMS
    told = capsys.readouterr().err.splitlines()
    assert f"  {mixed.resolve()}/JOHANNA_empty.dcm: empty file" in told


def test_a_clip_without_a_trusted_sector(sound, tmp_path, capsys):
    """Exit code 1, why, and no file."""
    words = ["--least-confidence", 1, "--quiet"]
    assert clean(sound, tmp_path / "clean", *words) == DONE_WITH_PROBLEMS
    printed = capsys.readouterr()
    assert printed.out == "0 clean copies → clean\n"
    assert "the ultrasound image is not told from the screen with confidence" in printed.err
    assert copies(tmp_path / "clean") == []


@pytest.mark.parametrize(
    ("source", "out", "more", "code", "line"),
    [
        ("JOHANNA/none", "clean", [], WRONG_CALL, "there is no such folder or file"),
        ("empty", "clean", [], COULD_NOT, "holds no DICOM files, videos or pictures"),
        ("bogus://JOHANNA", "clean", [], COULD_NOT, "'bogus://' is no kind of source"),
        ("memory://JOHANNA/none", "clean", [], COULD_NOT, "the source cannot be listed"),
        ("MRN-47110815", "MRN-47110815/clean", [], WRONG_CALL, "would lie among the originals"),
        ("MRN-47110815", "used", [], COULD_NOT, "'used' holds something else"),
        ("MRN-47110815", "file/clean", [], COULD_NOT, "cannot be written"),
        ("MRN-47110815", "clean", ["--salt", "clean/k"], WRONG_CALL, "would lie among the clean copies"),
        ("MRN-47110815", "clean", ["--salt", "file"], COULD_NOT, "'file' is no salt"),
        ("MRN-47110815", "clean", ["--mapping", "salt.key"], WRONG_CALL, "cannot be one file"),
        ("MRN-47110815", "clean", ["--least-confidence", 2], WRONG_CALL, "less than or equal to 1"),
    ],
)
def test_what_cannot_be_done_is_one_line(sound, tmp_path, monkeypatch, capsys, source, out, more, code, line):
    """And leaves nothing behind."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "theirs").touch()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert clean(source, out, "--quiet", *more) == code
    told = error_line(capsys)
    assert line in told
    assert "JOHANNA" not in told
    assert len(list(tmp_path.rglob("*.dcm"))) == 3


def test_a_folder_of_other_copies_is_left_alone(sound, tmp_path, capsys):
    assert clean(sound, tmp_path / "clean", "--quiet") == DONE
    capsys.readouterr()
    assert clean(sound, tmp_path / "clean", "--dates", "keep", "--quiet") == COULD_NOT
    assert "'clean' holds something else, or copies made otherwise" in error_line(capsys)


def test_options_reach_the_copies(sound, tmp_path):
    words = ["--dates", "keep", "--keep-uids", "--keep-patient", "--syntax", "rle", "--quiet"]
    mapping = ["--mapping", tmp_path / "safe" / "m.csv", "--salt", tmp_path / "safe" / "k"]
    assert clean(sound, tmp_path / "clean", *words, *mapping) == DONE
    originals = {str(pydicom.dcmread(file).SOPInstanceUID) for file in copies(sound)}
    read = [pydicom.dcmread(file) for file in copies(tmp_path / "clean")]
    assert {str(copy.SOPInstanceUID) for copy in read} == originals
    assert {copy.file_meta.TransferSyntaxUID.name for copy in read} == {"RLE Lossless"}
    assert {copy.LongitudinalTemporalInformationModified for copy in read} == {"UNMODIFIED"}
    assert {file.name for file in (tmp_path / "safe").iterdir()} == {"m.csv", "k"}
    assert {file.name for file in tmp_path.iterdir()} == {"MRN-47110815", "clean", "safe"}


def test_options_from_a_file(sound, tmp_path, capsys):
    """What is said on the command line wins; a name that is none is one line."""
    config = tmp_path / "clean.yaml"
    config.write_text("syntax: rle\ndates: keep\n")
    assert clean(sound, tmp_path / "a", "--config", config, "--dates", "remove", "--quiet") == DONE
    state = json.loads((tmp_path / "a" / "deidentified.json").read_text())
    assert (state["syntax"], state["dates"]) == ("rle", "remove")
    config.write_text("codec: rle\n")
    capsys.readouterr()
    assert clean(sound, tmp_path / "b", "--config", config) == WRONG_CALL
    assert "DeidentifySettings codec" in error_line(capsys)


def test_from_a_shell(mixed, tmp_path):
    """As a program with processes of its own: no traceback, no names, the same exit code."""
    words = [sys.executable, "-m", "apical", "deidentify", mixed, tmp_path / "clean", "-v", "--workers", 2]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == DONE_WITH_PROBLEMS, done.stderr
    assert done.stdout == "3 clean copies → clean\n"
    for word in (*SECRETS, "Traceback", "Warning"):
        assert word not in done.stderr


def test_inspect_for_people(sound, tmp_path, capsys):
    """A line a clip and the picture's name; without a file's name."""
    assert call("inspect", sound, "--out", tmp_path / "o.png", "--quiet") == DONE
    printed = capsys.readouterr()
    *lines, last = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert last == "drawn → o.png"
    assert printed.err == ""
    assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")
    for secret in (*SECRETS, "PHANTOM"):
        assert secret not in printed.out


def test_inspect_for_programs(mixed, tmp_path, capsys, monkeypatch):
    """Files that cannot be used are among the clips, and make exit code 1."""
    monkeypatch.chdir(tmp_path)
    assert call("inspect", mixed, "--json") == DONE_WITH_PROBLEMS
    printed = capsys.readouterr()
    facts = json.loads(printed.out)
    assert facts["picture"] == "inspect.png"
    assert (tmp_path / "inspect.png").is_file()
    assert [clip["number"] for clip in facts["clips"]] == list(range(1, 11))
    problems = [clip["problem"] for clip in facts["clips"]]
    assert problems == ["not a DICOM file"] * 6 + [None] * 3 + ["empty file"]
    assert all(clip["sector"] and clip["confidence"] > 0.5 for clip in facts["clips"][6:9])
    for secret in (*SECRETS, "PHANTOM", str(mixed)):
        assert secret not in printed.out + printed.err


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["MRN-47110815", "--out", "o.jpg"], WRONG_CALL, "a picture cannot be written as '.jpg'"),
        (["empty"], WRONG_CALL, "there is no clip in what was given"),
        (["bogus://JOHANNA"], COULD_NOT, "'bogus://' is no kind of source"),
        (["memory://JOHANNA/none"], COULD_NOT, "a source cannot be listed"),
        (["MRN-47110815", "--size", "40", "--config", "none.yaml"], WRONG_CALL, "none.yaml"),
    ],
)
def test_what_inspect_cannot_do_is_one_line(sound, tmp_path, monkeypatch, capsys, words, code, line):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("inspect", *words) == code
    told = error_line(capsys)
    assert line in told
    assert "JOHANNA" not in told
    assert not list(tmp_path.glob("*.png"))
