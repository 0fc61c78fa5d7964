"""The verbs scan and datasets: what they print, for people and for programs, and what they never print."""

import csv
import json
import shutil
import subprocess
import sys
import zipfile

import polars as pl
import pytest

from apical.catalogue import read_catalogue
from apical.cli import run
from apical.cli.options import COULD_NOT, DONE, DONE_WITH_PROBLEMS, WRONG_CALL
from apical.ingest.datasets import DATASETS


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    """A phantom of two patients, in a folder that names somebody."""
    folder = tmp_path_factory.mktemp("exams") / "DOE^JOHANNA"
    size = ["--patients", "2", "--frames", "2", "--image-rows", "120", "--workers", "1"]
    assert run(["phantom", *size, "--out", str(folder), "--quiet"]) == DONE
    return folder


@pytest.fixture
def mixed(exams, tmp_path):
    """Its files in part, some of them broken, one in an archive; a copy to be changed."""
    folder = tmp_path / "MRN-47110815"
    clips = sorted(exams.rglob("*.dcm"))
    folder.mkdir()
    for number, clip in enumerate(clips[:3]):
        shutil.copy(clip, folder / f"DOE_{number}.dcm")
    for number in range(4):
        (folder / f"JOHANNA_{number}.dcm").write_text(f"these are no pixels {number}")
    (folder / "JOHANNA_empty.dcm").touch()
    with zipfile.ZipFile(folder / "JOHANNA.zip", "w") as archive:
        archive.writestr("DOE.dcm", clips[3].read_bytes())
        archive.writestr("DOE_cut.dcm", clips[4].read_bytes()[:3000])
    (folder / "broken.zip").write_text("JOHANNA")
    return folder


def call(*words):
    return run([str(word) for word in words])


def scan(source, out, *words):
    return call("scan", source, "--out", out, "--workers", 1, *words)


def error_line(capsys):
    """The one line that a failed command leaves on standard error."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("apical: ")
    return line


def test_a_sound_folder(exams, tmp_path, capsys):
    """One line of what there is, and nothing on standard error but the progress."""
    out = tmp_path / "c.parquet"
    assert scan(exams, out, "--quiet") == DONE
    printed = capsys.readouterr()
    table = read_catalogue(out)
    modes = ", ".join(f"{count} {mode}" for mode, count in table["mode"].value_counts(sort=True).iter_rows())
    assert printed.out == f"{table.height} clips of 2 patients ({modes}) → c.parquet\n"
    assert printed.err == ""
    assert scan(exams, tmp_path / "d.parquet") == DONE
    assert f"Scanning: {table.height}/{table.height}, " in capsys.readouterr().err


def test_broken_files_are_summed_up_by_problem(mixed, tmp_path, capsys):
    """The commonest first; each of them only with --verbose, by clip."""
    assert scan(mixed, tmp_path / "c.parquet", "--quiet") == DONE_WITH_PROBLEMS
    printed = capsys.readouterr()
    assert printed.out.startswith("4 clips of ")
    first, *problems, last = printed.err.splitlines()
    assert first.startswith("7 files cannot be used; --show-paths names them")
    counts = [(int(line.split(maxsplit=1)[0]), line.split(maxsplit=1)[1]) for line in problems]
    assert counts[0] == (4, "not a DICOM file")
    assert dict(map(reversed, counts[1:])).keys() == {
        "damaged archive",
        "empty file",
        "pixel data is cut off: 0 of 2 frames are there",
    }
    assert last == "  (--verbose lists them)"
    assert scan(mixed, tmp_path / "c.parquet", "--quiet", "--verbose") == DONE_WITH_PROBLEMS
    lines = capsys.readouterr().err.splitlines()
    broken = read_catalogue(tmp_path / "c.parquet").drop_nulls("problem")
    assert lines[5:] == [f"  {clip}: {problem}" for clip, problem in broken["clip", "problem"].iter_rows()]


def test_json_is_one_document_of_known_fields(mixed, tmp_path, capsys):
    assert scan(mixed, tmp_path / "c.parquet", "--json") == DONE_WITH_PROBLEMS
    facts = json.loads(capsys.readouterr().out)
    table = read_catalogue(tmp_path / "c.parquet")
    sound = table.filter(pl.col("problem").is_null())
    assert facts == {
        "clips": 4,
        "patients": sound["patient"].n_unique(),
        "modes": dict(sound["mode"].value_counts().iter_rows()),
        "labelled": 0,
        "problems": {
            "not a DICOM file": 4,
            "damaged archive": 1,
            "empty file": 1,
            "pixel data is cut off: 0 of 2 frames are there": 1,
        },
        "labels": [],
    }


@pytest.mark.parametrize("more", [[], ["--verbose"], ["--json"], ["--mapping", "mapping.csv"]])
def test_no_name_of_a_file_is_printed(mixed, tmp_path, capsys, monkeypatch, more):
    """Folders and files are often named after patients."""
    monkeypatch.chdir(tmp_path)
    assert scan(mixed, "c.parquet", *more) == DONE_WITH_PROBLEMS
    printed = capsys.readouterr()
    for secret in ("JOHANNA", "DOE", "47110815", str(tmp_path)):
        assert secret not in printed.out + printed.err


def test_names_are_printed_when_asked_for(mixed, tmp_path, capsys):
    assert scan(mixed, tmp_path / "c.parquet", "--show-paths", "--verbose") == DONE_WITH_PROBLEMS
    told = capsys.readouterr().err
    assert f"  {mixed.resolve()}/JOHANNA_empty.dcm: empty file" in told.splitlines()
    assert f"  zip://DOE_cut.dcm::{mixed.resolve()}/JOHANNA.zip: pixel data is cut off" in told


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("JOHANNA/none", WRONG_CALL, "there is no such folder or file"),
        ("bogus://JOHANNA", COULD_NOT, "'bogus://' is no kind of source"),
        ("memory://JOHANNA/none", COULD_NOT, "the source cannot be listed"),
    ],
)
def test_sources_that_cannot_be_read_are_one_line(tmp_path, capsys, source, code, line):
    assert scan(source, tmp_path / "c.parquet") == code
    told = error_line(capsys)
    assert line in told
    assert "JOHANNA" not in told


def test_a_journal_of_rubbish_does_no_harm(mixed, tmp_path, capsys):
    assert scan(mixed, tmp_path / "c.parquet", "--json") == DONE_WITH_PROBLEMS
    first = capsys.readouterr().out
    (tmp_path / "c.parquet.journal").write_bytes(b"JOHANNA" * 1000)
    assert scan(mixed, tmp_path / "c.parquet", "--json") == DONE_WITH_PROBLEMS
    assert capsys.readouterr().out == first


def test_mapping(exams, tmp_path):
    """Written where it is asked for, with mode 0600, and nowhere else."""
    assert scan(exams, tmp_path / "c.parquet", "--quiet") == DONE
    assert not list(tmp_path.glob("*.csv"))
    mapping = tmp_path / "safe" / "mapping.csv"
    assert scan(exams, tmp_path / "c.parquet", "--quiet", "--mapping", mapping) == DONE
    assert mapping.stat().st_mode & 0o777 == 0o600
    with mapping.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["original_patient"] for row in rows} == {"PHANTOM-0000", "PHANTOM-0001"}
    assert {row["patient"] for row in rows} == set(read_catalogue(tmp_path / "c.parquet")["patient"])


def test_any_number_of_workers(exams, tmp_path):
    salt = ["--salt", str(tmp_path / "salt.key"), "--quiet"]
    for workers in (1, 2):
        out = tmp_path / f"{workers}.parquet"
        assert call("scan", exams, "--out", out, "--workers", workers, *salt) == DONE
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


SCRIPT = """
import sys, time
from apical.cli import run
from apical.ingest import scan as module

real = module.open_clip

def open_clip(place):
    if place.endswith("slow.dcm"):
        time.sleep(600)
    if place.endswith("hungry.dcm"):
        bytes(2 << 30)
    return real(place)

module.open_clip = open_clip
if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
"""


def test_files_that_take_too_long_or_too_much(exams, tmp_path):
    """They become problems of their own, and the others are read; the workers import the script too."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, clip in zip(("a", "hungry", "m", "slow", "z"), sorted(exams.rglob("*.dcm")), strict=False):
        shutil.copy(clip, folder / f"{name}.dcm")
    (tmp_path / "script.py").write_text(SCRIPT)
    words = ["scan", folder, "--out", tmp_path / "c.parquet", "--workers", "2", "--quiet"]
    bounds = ["--seconds-per-file", "3", "--memory-mb", "512"]
    finished = subprocess.run(
        [sys.executable, tmp_path / "script.py", *words, *bounds], capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == DONE_WITH_PROBLEMS, finished.stderr
    problems = read_catalogue(tmp_path / "c.parquet")["problem"].to_list()
    assert problems == [None, "it needs too much memory to read", None, "it took too long to read", None]


@pytest.mark.parametrize("bound", [["--seconds-per-file", 0], ["--memory-mb", 10], ["--workers", -1]])
def test_bounds_that_are_none(exams, tmp_path, capsys, bound):
    assert call("scan", exams, "--out", tmp_path / "c.parquet", *bound) == WRONG_CALL
    assert "greater than" in error_line(capsys) or bound[0] == "--workers"
    assert not (tmp_path / "c.parquet").exists()


def test_settings_from_a_file(exams, tmp_path, capsys):
    """Options win over them; a name that is none is one line."""
    config = tmp_path / "scan.yaml"
    config.write_text("workers: 1\nseconds_per_file: 0\n")
    words = ["scan", exams, "--out", tmp_path / "c.parquet", "--config", config, "--quiet"]
    assert call(*words) == WRONG_CALL
    assert "ScanSettings seconds_per_file" in error_line(capsys)
    assert call(*words, "--seconds-per-file", 30) == DONE
    config.write_text("minutes_per_file: 1\n")
    assert call(*words) == WRONG_CALL
    assert "ScanSettings minutes_per_file" in error_line(capsys)


@pytest.fixture
def cactus(exams, tmp_path):
    """A tiny CACTUS: its folders are the views; what lies beside them is none of its images."""
    import cv2
    import numpy as np

    from apical.ingest.clip import open_clip

    clips = sorted(exams.rglob("*.dcm"))
    for name, clip in zip(("A4C/1", "PL/1", "Random/1"), clips, strict=False):
        path = tmp_path / "DOE" / "Images Dataset" / f"{name}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.ascontiguousarray(open_clip(clip).decode([0])[0]))
    return tmp_path / "DOE"


def test_scan_of_a_public_data_set(cactus, tmp_path, capsys):
    """Views come with the scan; what its labels lack is said, as problems are."""
    code = scan(cactus, tmp_path / "c.parquet", "--dataset", "cactus", "--json")
    table = read_catalogue(tmp_path / "c.parquet")
    printed = capsys.readouterr()
    facts = json.loads(printed.out)
    assert table["view"].to_list() == ["A4C", "PLAX", None]
    assert table["patient"].n_unique() == 1
    assert facts["labelled"] == 2
    assert facts["labels"][0] == "3 clips matched, 2 labelled"
    assert code == DONE_WITH_PROBLEMS
    assert "some labels could not be used" in printed.err
    assert "DOE" not in printed.out + printed.err


def test_a_data_set_that_is_none_or_one_too_many(cactus, tmp_path, capsys):
    out = tmp_path / "c.parquet"
    assert scan(cactus, out, "--dataset", "imagenet") == WRONG_CALL
    assert all(name in error_line(capsys) or pytest.fail(name) for name in ["camus"])
    assert scan(cactus, out, "--dataset", "camus") == COULD_NOT
    assert "this is no copy of CAMUS" in capsys.readouterr().err
    (tmp_path / "labels.csv").write_text("file,view\nx,A4C\n")
    words = ["--labels", tmp_path / "labels.csv", "--dataset", "cactus"]
    assert scan(cactus, out, *words) == WRONG_CALL
    assert "brings its own labels" in error_line(capsys)


def test_datasets_for_people(capsys):
    """Of each: its name first, where it is, its licence, what a patient is, and what has misled others."""
    assert call("datasets") == DONE
    printed = capsys.readouterr().out
    blocks = {}
    for line in printed.splitlines():
        if not line.startswith(" "):
            blocks[line.partition(":")[0]] = block = []
        block.append(line)
    assert list(blocks) == list(DATASETS)
    for name, (about, _) in DATASETS.items():
        first, licence, patients, *pitfalls = blocks[name]
        assert first == f"{name}: {about.title} ({about.home})"
        assert (licence, patients) == (f"  licence: {about.licence}", f"  patients: {about.grouping}")
        assert pitfalls == [f"  - {pitfall}" for pitfall in about.pitfalls]


def test_datasets_for_programs(capsys):
    assert call("datasets", "--json") == DONE
    facts = json.loads(capsys.readouterr().out)
    assert list(facts) == list(DATASETS)
    for name, (about, _) in DATASETS.items():
        assert facts[name] == {
            "title": about.title,
            "licence": about.licence,
            "home": about.home,
            "citation": about.citation,
            "patients": about.grouping,
            "pitfalls": list(about.pitfalls),
            "views": dict(about.views),
        }
