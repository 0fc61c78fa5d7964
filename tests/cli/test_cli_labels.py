"""Tables with columns of any name: asked for once, at a terminal, and remembered beside the catalogue."""

import json
import shutil

import pytest

from apical.catalogue import read_catalogue
from apical.cli import run
from apical.cli.options import DONE, DONE_WITH_PROBLEMS, WRONG_CALL


@pytest.fixture
def catalogue(way, tmp_path):
    """A catalogue of the phantom without labels, and a table of them with columns of its own."""
    words = ["--out", str(tmp_path / "c.parquet"), "--workers", "1", "--quiet"]
    assert run(["scan", str(way / "phantom"), *words]) == DONE
    clips = read_catalogue(tmp_path / "c.parquet")["clip"].to_list()
    lines = ["Kennung;Schnitt;Bemerkung"] + [f"{clip};AP4;gut" for clip in clips[:5]]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path / "c.parquet"


def take(catalogue, *words):
    table = catalogue.with_name("labels.csv")
    return run(["labels", "import", str(catalogue), str(table), *map(str, words)])


def labelled(catalogue):
    return read_catalogue(catalogue)["view"].count()


def test_without_a_terminal_the_columns_must_be_said(catalogue, capsys):
    assert take(catalogue) == WRONG_CALL
    told = capsys.readouterr().err
    assert "--column file=NAME --column view=NAME" in told
    assert len(told.splitlines()) == 1
    assert labelled(catalogue) == 0


def test_said_once_and_remembered(catalogue):
    assert take(catalogue, "--column", "clip=Kennung", "--column", "view=Schnitt") == DONE
    assert labelled(catalogue) == 5
    kept = json.loads(catalogue.with_name(catalogue.name + ".columns.json").read_text())
    assert kept == {"Bemerkung | Kennung | Schnitt": {"clip": "Kennung", "view": "Schnitt"}}
    fresh = catalogue.with_name("labels.csv").read_text().replace("AP4", "PLAX")
    catalogue.with_name("labels.csv").write_text(fresh)
    assert take(catalogue) == DONE
    assert set(read_catalogue(catalogue)["view"].drop_nulls()) == {"PLAX"}


def test_asked_for_at_a_terminal(catalogue, monkeypatch, capsys):
    """The columns are listed; what is no number of one is asked for again."""
    table = catalogue.with_name("labels.csv")
    table.write_text(table.read_text().replace("Kennung", "clip"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    answers = iter(["Schnitt", "9", "2"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    assert take(catalogue) == DONE
    assert labelled(catalogue) == 5
    assert "2  Schnitt" in capsys.readouterr().err
    assert list(answers) == []
    assert take(catalogue) == DONE  # remembered: nobody is asked, or next() would stop


@pytest.mark.parametrize("words", [["--column", "Schnitt"], ["--column", "clip=Nummer"]])
def test_columns_that_are_not_there(catalogue, capsys, words):
    assert take(catalogue, *words) == WRONG_CALL
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not catalogue.with_name(catalogue.name + ".columns.json").exists()


def test_excel_and_json_go_in_and_out(catalogue):
    assert take(catalogue, "--column", "clip=Kennung", "--column", "view=Schnitt") == DONE
    before = read_catalogue(catalogue)
    for suffix in (".xlsx", ".json", ".csv"):
        out = catalogue.with_name(f"out{suffix}")
        assert run(["labels", "export", str(catalogue), "--out", str(out)]) == DONE
        other = shutil.copy(catalogue, catalogue.with_name("other.parquet"))
        assert run(["labels", "import", str(other), str(out)]) == DONE
        assert read_catalogue(other).equals(before)


def test_scan_takes_a_table_of_any_columns(catalogue, way):
    words = ["scan", str(way / "phantom"), "--out", str(catalogue), "--workers", "1", "--quiet"]
    words += ["--labels", str(catalogue.with_name("labels.csv"))]
    assert run(words) == WRONG_CALL
    assert run([*words, "--column", "clip=Kennung", "--column", "view=Schnitt"]) == DONE
    assert labelled(catalogue) == 5
    unknown = catalogue.with_name("labels.csv").read_text().replace("AP4", "apical 9")
    catalogue.with_name("labels.csv").write_text(unknown)
    assert run(words) == DONE_WITH_PROBLEMS
