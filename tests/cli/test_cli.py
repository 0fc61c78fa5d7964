"""The command line: exit codes, one clear line for each bad input, JSON where a program reads it."""

import errno
import json
import os
import shutil
import subprocess
import sys

import polars as pl
import pytest

from apical.catalogue import read_catalogue, write_catalogue
from apical.cli import run
from apical.demo import run_demo
from apical.errors import CannotDo

DONE, DONE_WITH_PROBLEMS, WRONG_CALL, COULD_NOT = range(4)


def call(*words):
    return run([str(word) for word in words])


def error_line(capsys):
    """The one line that a failed command leaves on standard error."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("apical: ")
    return lines[0]


@pytest.mark.parametrize(
    "verb",
    ["phantom", "scan", "frames", "pretrain", "train", "evaluate", "bundle", "predict", "labels import",
     "labels split", "labels limit", "labels export", "labels check", "labels next", "study",
     "bundle inspect", "export"],
)  # fmt: skip
def test_every_verb_has_help_with_an_example(verb, capsys):
    assert call(*verb.split(), "--help") == DONE
    assert f"Example: apical {verb}" in " ".join(capsys.readouterr().out.split())


def test_the_installed_program_runs():
    finished = subprocess.run([sys.executable, "-m", "apical", "--help"], capture_output=True, text=True)
    assert finished.returncode == 0
    assert "demo" in finished.stdout
    finished = subprocess.run([sys.executable, "-m", "apical", "bogus"], capture_output=True, text=True)
    assert finished.returncode == WRONG_CALL
    assert finished.stderr.startswith("apical: No such command 'bogus'")


@pytest.mark.parametrize(
    "words",
    [["bogus"], ["scan"], ["scan", "x", "--colour"], ["train", "a", "b", "--steps", "many"],
     ["evaluate", "a", "--split", "train"]],
)  # fmt: skip
def test_wrong_calls(words, capsys):
    assert call(*words) == WRONG_CALL
    assert "--help" in error_line(capsys)


def test_scan_of_nothing(tmp_path, capsys):
    assert call("scan", tmp_path / "none", "--out", tmp_path / "c.parquet") == WRONG_CALL
    assert "no such folder" in error_line(capsys)
    (tmp_path / "empty").mkdir()
    assert call("scan", tmp_path / "empty", "--out", tmp_path / "c.parquet") == COULD_NOT
    assert "holds no DICOM files" in error_line(capsys)
    assert not (tmp_path / "c.parquet").exists()


def test_scan_lists_broken_files_and_goes_on(tmp_path, a_file, capsys):
    folder = tmp_path / "Smith^John"
    folder.mkdir()
    shutil.copy(a_file, folder / "good.dcm")
    (folder / "cut.dcm").write_bytes(a_file.read_bytes()[:3000])
    (folder / "text.dcm").write_text("these are no pixels")
    out = tmp_path / "c.parquet"
    assert call("scan", folder, "--out", out, "--workers", 1, "--json") == DONE_WITH_PROBLEMS
    printed = capsys.readouterr()
    assert json.loads(printed.out)["clips"] == 1
    assert "2 files cannot be used" in printed.err
    assert "Smith" not in printed.out + printed.err
    table = read_catalogue(out)
    assert table.height == 3
    assert table["problem"].null_count() == 1
    out.unlink()
    assert call("scan", folder, "--out", out, "--workers", 1, "--show-paths") == DONE_WITH_PROBLEMS
    assert "text.dcm" in capsys.readouterr().err


def test_labels_for_unknown_clips(way, tmp_path, capsys):
    catalogue = shutil.copy(way / "catalogue.parquet", tmp_path / "c.parquet")
    shutil.copy(way / "salt.key", tmp_path)
    labels = tmp_path / "labels.csv"
    labels.write_text("clip,view\nnobody,A4C\n")
    assert call("labels", "import", catalogue, labels) == COULD_NOT
    assert "no row of the labels names a clip" in error_line(capsys)
    clip = read_catalogue(catalogue)["clip"][0]
    labels.write_text(f"clip,view\nnobody,A4C\n{clip},apical 9 chamber\n")
    assert call("labels", "import", catalogue, labels) == DONE_WITH_PROBLEMS
    told = capsys.readouterr().err
    assert "1 row of no clip of the catalogue (1)" in told
    assert "1 row with 1 label that the vocabulary does not know" in told
    assert "apical 9 chamber" not in told
    assert call("labels", "import", catalogue, labels, "--show-labels") == DONE_WITH_PROBLEMS
    assert "'apical 9 chamber' is no label of the vocabulary (1 row: 2)" in capsys.readouterr().err


def test_labels_out_and_in_again(way, tmp_path):
    assert call("labels", "export", way / "catalogue.parquet", "--out", tmp_path / "labels.csv") == DONE
    table = read_catalogue(way / "catalogue.parquet")
    bare = table.with_columns(view=pl.lit(None, pl.String), labelled_by=pl.lit(None, pl.String))
    write_catalogue(bare, tmp_path / "bare.parquet")
    assert call("labels", "import", tmp_path / "bare.parquet", tmp_path / "labels.csv", "--quiet") == DONE
    assert read_catalogue(tmp_path / "bare.parquet")["view"].equals(table["view"])


def test_label_budgets(way, tmp_path, capsys):
    words = ["labels", "limit", way / "catalogue.parquet", "--out", tmp_path / "few.parquet"]
    assert call(*words, "--budget", "AP4=1", "--default", 3, "--json") == DONE
    left = json.loads(capsys.readouterr().out)
    assert left["A4C"] == 1
    assert max(left.values()) == 3
    assert call(*words, "--budget", "AP9=1") == WRONG_CALL
    assert "'AP9=1' is no budget" in error_line(capsys)


def test_one_view_only_and_no_labels_at_all(way, tmp_path, capsys):
    table = read_catalogue(way / "catalogue.parquet")
    for name, view in (("one", pl.lit("A4C")), ("none", pl.lit(None, pl.String))):
        write_catalogue(table.with_columns(view=view), tmp_path / f"{name}.parquet")
        words = ["train", way / "frames", tmp_path / f"{name}.parquet", "--method", "naive"]
        assert call(*words, "--out", tmp_path / "run", "--quiet") == COULD_NOT
        assert ("only A4C" if name == "one" else "no clip") in error_line(capsys)


def test_a_method_that_does_not_exist(way, tmp_path, capsys):
    words = ["train", way / "frames", way / "catalogue.parquet", "--method", "magic"]
    assert call(*words, "--out", tmp_path / "run") == WRONG_CALL
    assert "TrainSettings method" in error_line(capsys)


def test_an_output_that_cannot_be_written(way, tmp_path, capsys):
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "out"
    for words in (
        ["labels", "split", way / "catalogue.parquet", "--out", blocked],
        ["train", way / "frames", way / "catalogue.parquet", "--method", "naive", "--out", blocked],
        ["pretrain", way / "frames", way / "catalogue.parquet", "--out", blocked],
        ["evaluate", way / "runs" / "naive", "--out", blocked],
        ["bundle", way / "runs" / "probe", "--out", blocked],
    ):
        assert call(*words, "--quiet") == COULD_NOT, words
        assert "cannot be written" in error_line(capsys)


def test_a_full_disk_stops_a_training_with_one_line(way, tmp_path, capsys, monkeypatch):
    """The kernel's answer when the weights are written."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("apical.files.os.fsync", full)
    words = ["train", way / "frames", way / "catalogue.parquet", "--method", "naive", "--steps", 1]
    assert call(*words, "--out", tmp_path / "run", "--quiet") == COULD_NOT
    assert "No space left on device" in error_line(capsys)


@pytest.mark.parametrize("verb", ["phantom", "scan", "frames", "predict", "limit", "export", "demo"])
def test_more_outputs_that_cannot_be_written(way, a_file, tmp_path, capsys, verb, monkeypatch):
    (tmp_path / "file").touch()
    blocked = str(tmp_path / "file" / "out")
    words = {
        "phantom": ["phantom", "--patients", 1, "--frames", 1, "--image-rows", 100, "--workers", 1],
        "scan": ["scan", way / "phantom" / "PHANTOM-0000", "--workers", 1],
        "frames": ["frames", way / "catalogue.parquet", "--workers", 1],
        "predict": ["predict", a_file, "--bundle", way / "bundle"],
        "limit": ["labels", "limit", way / "catalogue.parquet", "--default", 2],
        "export": ["labels", "export", way / "catalogue.parquet"],
    }
    if verb == "demo":
        with pytest.raises(CannotDo, match="cannot be written"):
            run_demo(tmp_path / "file" / "out")
        return
    endings = {"predict": ".json", "scan": ".parquet", "limit": ".parquet", "export": ".csv"}
    out = blocked + endings.get(verb, "")
    assert call(*words[verb], "--out", out, "--quiet") == COULD_NOT
    assert "cannot be written" in error_line(capsys)


def test_answers_in_an_unknown_form_are_refused_before_the_work(way, a_file, capsys, monkeypatch):
    monkeypatch.setattr("apical.deploy.predict.predict_each", lambda *_, **__: pytest.fail("it began"))
    assert call("predict", a_file, "--bundle", way / "bundle", "--out", "a.txt") == WRONG_CALL
    assert "as '.txt'" in error_line(capsys)


def test_predict_tells_by_its_exit_code(way, a_file, tmp_path, capsys):
    (tmp_path / "text.dcm").write_text("nothing")
    words = ["predict", "--bundle", way / "bundle", "--quiet"]
    assert call(*words, a_file) == DONE
    assert call(*words, a_file, tmp_path / "text.dcm") == DONE_WITH_PROBLEMS
    assert call(*words, tmp_path / "text.dcm") == COULD_NOT
    assert call(*words, tmp_path / "none.dcm") == WRONG_CALL
    capsys.readouterr()
    assert call(*words, a_file, "--json") == DONE
    answer = json.loads(capsys.readouterr().out)["answers"][0]
    assert answer["probability"] > 0
    assert "file" not in answer


def test_evaluate_prints_figures_and_says_them_as_json(way, tmp_path, capsys):
    words = ["evaluate", way / "runs" / "naive", way / "runs" / "probe", "--out", tmp_path / "r"]
    assert call(*words, "--json") == DONE
    figures = json.loads(capsys.readouterr().out)
    assert {one["method"] for one in figures["methods"]} == {"naive", "probe"}
    assert call(*words) == DONE
    assert "macro F1" in capsys.readouterr().out


def test_a_bug_is_not_dressed_up_as_a_message(monkeypatch):
    """Errors that are not for users keep their traceback."""

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("apical.catalogue.read_catalogue", broken)
    with pytest.raises(ZeroDivisionError):
        call("labels", "split", "x")


def test_stopping_by_keyboard_is_one_line(monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("apical.catalogue.read_catalogue", stopped)
    assert call("labels", "split", "x") == COULD_NOT
    assert "stopped" in error_line(capsys)
