"""Which labels to look at again and what to label next, on the phantom, through the command line."""

import json

import polars as pl
import pytest

from apical.catalogue import read_catalogue, write_catalogue
from apical.cli import run
from apical.cli.options import DONE, DONE_WITH_PROBLEMS, WRONG_CALL
from apical.learn.suspects import Suspect


@pytest.fixture
def advise(way, tmp_path):
    """Call one of the two verbs with the small encoder; gives the exit code and the table."""

    def call(verb, *words, catalogue=way / "catalogue.parquet"):
        out = tmp_path / "out.csv"
        inputs = [way / "frames", catalogue, "--encoder", way / "runs" / "pretrain", "--out", out, *words]
        code = run(["labels", verb, *map(str, inputs)])
        return code, pl.read_csv(out) if out.exists() else None

    return call


def no_paths(text, way):
    assert str(way) not in text
    assert ".dcm" not in text


def test_the_table_of_suspects(advise, way, capsys):
    """Its rows are labelled training clips, with their labels; the exit code tells whether there are any."""
    code, table = advise("check", "--json")
    told = json.loads(capsys.readouterr().out)["suspects"]
    assert table.columns == ["clip", "view", "likelier", "suspicion"]
    assert table.to_dicts() == told
    assert code == (DONE_WITH_PROBLEMS if told else DONE)
    known = read_catalogue(way / "catalogue.parquet")
    truth = dict(known.filter(pl.col("split") == "train").select("clip", "view").iter_rows())
    assert all(truth[row["clip"]] == row["view"] != row["likelier"] for row in told)
    no_paths(json.dumps(told), way)


@pytest.mark.parametrize("found", [0, 2, 9])
def test_the_exit_code_of_a_check(advise, monkeypatch, capsys, found):
    suspects = [Suspect(f"c{number}", "A4C", "A2C", 0.9) for number in range(found)]
    monkeypatch.setattr("apical.learn.suspects.check_labels", lambda *_, **__: suspects)
    code, table = advise("check")
    assert (code, table.height) == (DONE_WITH_PROBLEMS if found else DONE, found)
    output = capsys.readouterr()
    assert f"{found} suspect labels → out.csv" in output.out
    assert output.err.count("likelier A2C") == (found if found <= 5 else 0)


def test_a_table_of_suspects_is_read_back_once_corrected(advise, way, tmp_path, monkeypatch):
    known = read_catalogue(way / "catalogue.parquet")
    clip, view = known.filter(pl.col("split") == "train").drop_nulls("view").select("clip", "view").row(0)
    suspect = Suspect(clip, view, "IVC", 0.9)
    monkeypatch.setattr("apical.learn.suspects.check_labels", lambda *_, **__: [suspect])
    _, table = advise("check")
    table.with_columns(view="likelier").write_csv(tmp_path / "right.csv")
    write_catalogue(known, tmp_path / "c.parquet")
    assert run(["labels", "import", str(tmp_path / "c.parquet"), str(tmp_path / "right.csv")]) == DONE
    labels = dict(read_catalogue(tmp_path / "c.parquet").select("clip", "view").iter_rows())
    assert labels[clip] == "IVC"


def test_clips_to_label_next(advise, way, tmp_path, capsys):
    """Unlabelled training clips; with their views filled in, the table is read back."""
    catalogue = tmp_path / "c.parquet"
    known = read_catalogue(way / "catalogue.parquet")
    truth = dict(known.select("clip", "view").iter_rows())
    write_catalogue(known.with_columns(view=pl.lit(None, pl.String)), catalogue)
    code, table = advise("next", "--count", "4", "--json", catalogue=catalogue)
    assert code == DONE
    assert table.columns == ["clip", "view", "guess", "reason"]
    told = json.loads(capsys.readouterr().out)["next"]
    assert [row["clip"] for row in told] == table["clip"].to_list()
    assert set(table["clip"]) <= set(known.filter(pl.col("split") == "train")["clip"])
    assert table["clip"].n_unique() == 4
    no_paths(json.dumps(told), way)
    filled = table.with_columns(view=pl.col("clip").replace_strict(truth))
    filled.write_csv(tmp_path / "filled.csv")
    assert run(["labels", "import", str(catalogue), str(tmp_path / "filled.csv")]) == DONE
    assert read_catalogue(catalogue)["view"].count() == 4
    _, again = advise("next", "--count", "4", catalogue=catalogue)
    assert not set(again["clip"]) & set(table["clip"])


def test_nothing_left_to_label(advise, capsys):
    code, table = advise("next")
    assert (code, table.height) == (DONE, 0)
    assert "every training clip is labelled" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["next", "--count", "0"], ["check", "--folds", "1"], ["next", "--out", "next.txt"]]
)
def test_wrong_calls_give_one_line_before_any_work(advise, capsys, words, monkeypatch):
    monkeypatch.setattr("apical.learn.suspects.embed_clips", None)
    assert advise(*words)[0] == WRONG_CALL
    assert len(capsys.readouterr().err.splitlines()) == 1
