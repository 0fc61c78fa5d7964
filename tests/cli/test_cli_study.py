"""`apical study`: exit codes, what is printed, and one clear line for each bad input."""

import json
import re

import pytest
import yaml

from apical.cli import run
from fake_studies import study_values, write_exams

DONE, DONE_WITH_PROBLEMS, WRONG_CALL, COULD_NOT = range(4)


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    folder = write_exams(tmp_path_factory.mktemp("exams"))
    (folder / "study.yaml").write_text(yaml.safe_dump(study_values(draws=1), sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def done(exams, tmp_path_factory):
    out = tmp_path_factory.mktemp("done") / "study"
    assert call(exams, "--out", out, "--quiet") == DONE
    return out


def call(exams, *words, config="study.yaml"):
    inputs = (exams / config, exams / "frames", exams / "catalogue.parquet")
    return run(["study", *map(str, (*inputs, *words))])


def error_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("apical: ")
    return lines[0]


def test_help_has_an_example(capsys):
    assert run(["study", "--help"]) == DONE
    assert "Example: apical study study.yaml" in " ".join(capsys.readouterr().out.split())


def test_a_dry_run_lists_the_cells_and_makes_nothing(exams, tmp_path, capsys):
    assert call(exams, "--out", tmp_path / "study", "--dry-run") == DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "to do  naive, budget 1, draw 0"
    assert lines[-1] == "4 cells, 0 of them done; 0 pre-trainings"
    assert len(lines) == 5
    assert not (tmp_path / "study").exists()


def test_a_dry_run_knows_what_is_done(exams, done, capsys):
    assert call(exams, "--out", done, "--dry-run", "--json") == DONE
    facts = json.loads(capsys.readouterr().out)
    assert [cell["done"] for cell in facts["cells"]] == [True] * 4


def test_figures_for_people_and_for_programs(exams, done, capsys):
    assert call(exams, "--out", done) == DONE
    printed = capsys.readouterr()
    assert "4 of 4 cells are done already" in printed.err
    assert re.search(r"naive, budget 1: \d+\.\d", printed.out)
    assert "report → " in printed.out
    assert call(exams, "--out", done, "--report-only", "--json") == DONE
    printed = capsys.readouterr().out
    assert json.loads(printed) == json.loads((done / "study.json").read_text())
    assert "Smith" not in printed


def test_a_problem_is_listed_and_told_by_the_exit_code(exams, tmp_path, capsys):
    methods = {"naive": {"method": "naive"}, "wild": {"method": "naive", "learning_rate": 1e30}}
    values = study_values(draws=1, budgets=[1], methods=methods)
    (exams / "wild.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    assert call(exams, "--out", tmp_path / "study", config="wild.yaml") == DONE_WITH_PROBLEMS
    printed = capsys.readouterr()
    assert "wild, budget 1, draw 0: the loss is not finite" in printed.err
    assert "1 of 2 cells" in printed.out


@pytest.mark.parametrize(
    ("changes", "code", "line"),
    [
        ({"drwas": 3}, WRONG_CALL, "StudySettings drwas: Extra inputs are not permitted"),
        ({"baseline": "best"}, WRONG_CALL, "'best' is compared, but is not among methods"),
        ({"rare": ["IVC"]}, COULD_NOT, "no training clip is labelled IVC"),
    ],
)
def test_bad_settings_are_one_line(exams, tmp_path, capsys, changes, code, line):
    (exams / "bad.yaml").write_text(yaml.safe_dump(study_values(**changes)))
    assert call(exams, "--out", tmp_path / "study", config="bad.yaml") == code
    assert line in error_line(capsys)


def test_changed_settings_are_one_line(exams, done, capsys):
    (exams / "changed.yaml").write_text(yaml.safe_dump(study_values(draws=1, common=3)))
    assert call(exams, "--out", done, config="changed.yaml") == COULD_NOT
    assert "was made with other labels" in error_line(capsys)


def test_files_that_are_not_there(exams, tmp_path, capsys):
    assert call(exams, config="none.yaml") == WRONG_CALL
    assert "the settings file 'none.yaml' cannot be read" in error_line(capsys)
    words = [str(exams / "study.yaml"), str(tmp_path / "none"), str(exams / "catalogue.parquet")]
    assert run(["study", *words, "--out", str(tmp_path / "study")]) == COULD_NOT
    assert "'none' is no complete frame store" in error_line(capsys)
    assert call(exams, "--report-only", "--out", tmp_path / "study") == COULD_NOT
    assert "no cell of the study is done" in error_line(capsys)
