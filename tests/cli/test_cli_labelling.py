"""``apical labels`` with DICOM SR and with the records of the labelling page: exit codes, lines, files."""

import json
import os
import shutil
from contextlib import closing

import polars as pl
import pydicom
import pytest

from apical.catalogue import read_catalogue, write_catalogue
from apical.cli import run
from apical.cli.options import COULD_NOT, DONE, DONE_WITH_PROBLEMS, WRONG_CALL
from apical.deploy.answers import Answer
from apical.deploy.dicom_sr import sr_bytes
from apical.label.opinions import Said
from apical.label.records import Records
from apical.views import standard_vocabulary
from small_clips import small_clips
from sr_files import WHEN, assert_valid

IDENTIFIERS = ("Doe", "IM0", "PHANTOM")


@pytest.fixture
def catalogue(tmp_path):
    """Five DICOM clips, four with a label."""
    (tmp_path / "exam").mkdir()
    table = small_clips(tmp_path / "exam", 5).with_columns(
        pl.Series("view", ["A4C", "IVC", "none", "PLAX", None]),
        pl.Series("contrast_agent", [True, None, None, False, None]),
        pl.Series("labelled_by", ["Al", "Al, Bo", "Bo", "table", None]),
    )
    write_catalogue(table, tmp_path / "c.parquet")
    return tmp_path / "c.parquet"


def labels(verb, catalogue, *words):
    return run(["labels", verb, str(catalogue), *map(str, words)])


def bare(catalogue):
    """The same catalogue without labels."""
    table = read_catalogue(catalogue).with_columns(
        pl.lit(None, kind).alias(name)
        for name, kind in {"view": pl.String, "labelled_by": pl.String, "contrast_agent": pl.Boolean}.items()
    )
    write_catalogue(table, catalogue.with_name("bare.parquet"))
    return catalogue.with_name("bare.parquet")


def test_reports_go_out_and_in_again(catalogue, capsys):
    out = catalogue.with_name("reports")
    assert labels("export", catalogue, "--dicom-sr", "--out", out) == DONE
    assert capsys.readouterr().out == "4 reports of 4 labels → reports\n"
    table = read_catalogue(catalogue)
    assert {path.name for path in out.iterdir()} == {f"{clip}-label.dcm" for clip in table["clip"][:4]}
    for path in out.iterdir():
        assert_valid(path)
    empty = bare(catalogue)
    assert labels("import", empty, out, "--json") == DONE
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert (facts["reports"], facts["labelled"], facts["verified"], facts["problems"]) == (4, 4, 0, [])
    assert read_catalogue(empty).equals(table)
    assert not [word for word in IDENTIFIERS if word in told.out + told.err]


def test_single_files_and_a_zip_are_taken_too(catalogue):
    out = catalogue.with_name("reports")
    assert labels("export", catalogue, "--dicom-sr", "--out", out) == DONE
    for path in out.iterdir():
        path.rename(path.with_suffix(""))  # told by what is in them
    archive = shutil.make_archive(str(catalogue.with_name("sent")), "zip", out)
    for words in (sorted(out.iterdir()), [archive]):
        empty = bare(catalogue)
        assert labels("import", empty, *words) == DONE
        assert read_catalogue(empty).equals(read_catalogue(catalogue))


def test_files_that_cannot_be_read_are_a_line_each_and_the_others_are_written(catalogue, capsys):
    table = read_catalogue(catalogue)
    os.remove(table["path"][0])
    shutil.copy(table["path"][3], table["path"][1])
    (catalogue.parent / "exam" / "IM2.dcm").write_bytes(b"no image")
    still = pl.when(pl.col("clip") == table["clip"][4]).then(pl.lit(str(catalogue.parent / "s.png")))
    pytest.importorskip("PIL.Image").new("L", (64, 64)).save(catalogue.parent / "s.png")
    write_catalogue(
        table.with_columns(path=still.otherwise("path"), view=pl.col("view").fill_null("A4C")), catalogue
    )
    out = catalogue.with_name("reports")
    assert labels("export", catalogue, "--dicom-sr", "--out", out) == DONE_WITH_PROBLEMS
    told = capsys.readouterr()
    assert told.out == "1 reports of 5 labels → reports\n1 clips are no DICOM files and have none\n"
    assert [line.strip() for line in told.err.splitlines() if line.startswith("  ")] == [
        f"clip {table['clip'][0]}: the file cannot be read",
        f"clip {table['clip'][1]}: its file is another one now; scan again",
        f"clip {table['clip'][2]}: not a DICOM file",
    ]
    assert [path.name for path in out.iterdir()] == [f"{table['clip'][3]}-label.dcm"]
    assert not [word for word in IDENTIFIERS if word in told.out + told.err]


def test_the_help_says_that_reports_hold_identities(capsys):
    assert run(["labels", "export", "--help"]) == DONE
    assert "it holds the identity of the patient" in " ".join(capsys.readouterr().out.split())


def test_reports_are_written_only_where_nothing_is(catalogue, capsys):
    out = catalogue.with_name("reports")
    out.mkdir()
    (out / "mine").write_text("mine")
    assert labels("export", catalogue, "--dicom-sr", "--out", out) == COULD_NOT
    assert [path.name for path in out.iterdir()] == ["mine"]
    assert labels("export", catalogue, "--dicom-sr", "--out", catalogue.with_name("l.csv")) == WRONG_CALL
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("words", [["--column", "view=x"], ["--root", "."], ["--salt", "k"]])
def test_options_of_tables_are_refused_with_reports(catalogue, words):
    assert labels("import", catalogue, catalogue.parent / "exam", *words) == WRONG_CALL


def test_tables_are_taken_as_before_and_one_at_a_time(catalogue, capsys):
    table = catalogue.with_name("labels.csv")
    table.write_text(f"clip,view\n{read_catalogue(catalogue)['clip'][4]},A5C\n")
    assert labels("import", catalogue, table, table) == WRONG_CALL
    assert labels("import", catalogue, table, "--programs") == WRONG_CALL
    assert labels("import", catalogue, table) == DONE
    assert read_catalogue(catalogue)["view"][4] == "A5C"


def test_a_folder_without_reports_and_one_that_is_not_there(catalogue, capsys):
    assert labels("import", catalogue, catalogue.parent / "exam") == COULD_NOT
    assert "no DICOM SR among the files" in capsys.readouterr().err
    assert labels("import", catalogue, catalogue.with_name("none.dcm")) == COULD_NOT
    assert "not there" in capsys.readouterr().err


def test_what_programs_say_is_taken_only_when_asked_for(catalogue, capsys):
    clip = pydicom.dcmread(read_catalogue(catalogue)["path"][4])
    answer = Answer(1, "f", view="A5C", probability=0.9, likeliest="A5C", unknown_score=1.0, model="m")
    facts = {"version": "m", "training": {"method": "probe"}, "unknown": {"threshold": 2.0}}
    report = catalogue.with_name("sr.dcm")
    report.write_bytes(sr_bytes(clip, answer, standard_vocabulary(), facts, WHEN))
    assert labels("import", catalogue, report) == COULD_NOT
    assert "--programs" in capsys.readouterr().err
    assert labels("import", catalogue, report, "--programs") == DONE
    last = read_catalogue(catalogue).row(4, named=True)
    assert (last["view"], last["labelled_by"]) == ("A5C", "Apical")


def test_problems_of_reports_are_listed(catalogue, capsys):
    out = catalogue.with_name("reports")
    assert labels("export", catalogue, "--dicom-sr", "--out", out) == DONE
    first = sorted(out.iterdir())[0]
    first.write_bytes(first.read_bytes()[:400])
    capsys.readouterr()
    assert labels("import", bare(catalogue), out) == DONE_WITH_PROBLEMS
    told = capsys.readouterr()
    assert "3 clips are labelled by 3 reports" in told.out
    assert "file 1: " in told.err
    assert first.name not in told.err


@pytest.fixture
def state(catalogue):
    """Records: one clip agreed, one disputed, one that nobody can tell, one taken back, one elsewhere."""
    folder = catalogue.with_name("labelling")
    clips = read_catalogue(catalogue)["clip"].to_list()
    said = [("Al", 4, "A4C"), ("Bo", 4, "A4C"), ("Al", 0, "A2C"), ("Al", 2, "cannot-tell"), ("Al", 3, "A3C")]
    with closing(Records(folder / "labels.sqlite")) as records:
        for number, (name, clip, view) in enumerate(said):
            records.say_all(name, [(clips[clip], None)], Said(view), kind="wall", key=str(number))
        records.undo("Al", key="undo")
    return folder


def dispute(catalogue, state, name, clip, view):
    with closing(Records(state / "labels.sqlite")) as records:
        clip = read_catalogue(catalogue)["clip"].to_list()[clip] if isinstance(clip, int) else clip
        records.say_all(name, [(clip, None)], Said(view), kind="wall", key=f"{name} {clip}")


def test_labels_of_the_page_are_merged(catalogue, state, capsys):
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    kept = catalogue.read_bytes()
    out = catalogue.with_name("merged.parquet")
    assert labels("merge", catalogue, state, "--out", out) == DONE
    told = "1 clips labelled, 1 changed, 1 cleared, 0 disputed, 1 that nobody can tell → merged.parquet\n"
    assert capsys.readouterr().out == told
    merged = read_catalogue(out)
    assert merged["view"].to_list() == ["A2C", "IVC", None, "PLAX", "A4C"]
    assert merged["labelled_by"].to_list() == ["Al", "Al, Bo", None, "table", "Al, Bo"]
    assert catalogue.read_bytes() == kept
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before
    assert labels("merge", out, state, "--json") == DONE
    assert read_catalogue(out).equals(merged)
    assert json.loads(capsys.readouterr().out)["changed"] == 0


def test_disputed_clips_are_told_with_where_to_settle_them(catalogue, state, capsys):
    dispute(catalogue, state, "Bo", 0, "A5C")
    dispute(catalogue, state, "Bo", "elsewhere", "A5C")
    assert labels("merge", catalogue, state) == DONE_WITH_PROBLEMS
    told = capsys.readouterr()
    assert ", 1 disputed, " in told.out
    assert "1 clip that people differ on: decide under Review on the page" in told.err
    assert "1 clip with labels that the catalogue does not have" in told.err
    assert read_catalogue(catalogue)["view"][0] is None


@pytest.mark.parametrize("verb", ["merge", "history"])
def test_no_state_folder_is_made(catalogue, capsys, verb):
    nothing = catalogue.with_name("nothing")
    before = sorted(catalogue.parent.rglob("*"))
    words = [catalogue, nothing] if verb == "merge" else [nothing, "--out", catalogue.with_name("h.csv")]
    assert labels(verb, *words) == COULD_NOT
    assert "holds no records" in capsys.readouterr().err
    assert sorted(catalogue.parent.rglob("*")) == before


def test_the_history_is_written(state, capsys):
    for name in ("h.json", "h.csv"):
        assert labels("history", state, "--out", state.with_name(name)) == DONE
        assert capsys.readouterr().out == f"6 events → {name}\n"
    assert [event["kind"] for event in json.loads(state.with_name("h.json").read_text())] == ["wall"] * 5 + [
        "undo"
    ]
    assert pl.read_csv(state.with_name("h.csv"))["number"].to_list() == [1, 2, 3, 4, 5, 6]
    assert labels("history", state, "--out", state.with_name("h.xml")) == WRONG_CALL


def test_the_identity_in_a_report_is_that_of_its_image(catalogue):
    out = catalogue.with_name("reports")
    assert labels("export", catalogue, "--dicom-sr", "--out", out) == DONE
    for clip, path in read_catalogue(catalogue).select("clip", "path").head(4).iter_rows():
        image, report = pydicom.dcmread(path), pydicom.dcmread(out / f"{clip}-label.dcm")
        for name in ("PatientName", "PatientID", "StudyInstanceUID"):
            assert image[name].value == report[name].value
