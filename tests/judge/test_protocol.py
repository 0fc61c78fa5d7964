"""A study runs whole, goes on where it was killed, hides labels beyond budgets, refuses what does not fit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from apical.catalogue import limit_labels, read_catalogue, write_catalogue
from apical.errors import CannotDo, WrongCall
from apical.judge import jobs, protocol
from apical.judge.cells import plan_cells
from apical.judge.protocol import run_study
from apical.learn.predictions import Predictions
from fake_studies import PRETRAIN, PRETRAINED, TRAIN, study_settings, study_values, write_exams


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    return write_exams(tmp_path_factory.mktemp("exams"))


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """So that cells have one thread, whatever the number of workers, and give the same bits."""
    monkeypatch.setattr(jobs.os, "cpu_count", lambda: 1)


def run(exams, out, settings=None, **options):
    return run_study(
        settings or study_settings(), exams / "frames", exams / "catalogue.parquet", out, **options
    )


@pytest.fixture(scope="module")
def whole(exams, tmp_path_factory):
    """A study that ran through at once."""
    out = tmp_path_factory.mktemp("whole") / "study"
    jobs_of = pytest.MonkeyPatch()
    jobs_of.setattr(jobs.os, "cpu_count", lambda: 1)
    counted = []
    study = run(exams, out, progress=lambda done, total: counted.append((done, total)))
    jobs_of.undo()
    return study, out, counted


@pytest.fixture
def copied(whole, tmp_path):
    return shutil.copytree(whole[1], tmp_path / "study")


def answers(out):
    """What every cell said, by its folder."""
    return {
        str(path.parent.relative_to(out)): Predictions.load(path).log_probabilities
        for path in out.rglob("predictions.parquet")
    }


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def times(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("cell.json")}


def test_a_study_runs_through(whole):
    study, out, counted = whole
    assert not study.problems
    assert counted == [(done, 8) for done in range(1, 9)]
    assert [row.whole_exam for row in study.rows] == [False] * 4 + [True] * 4
    for cell in plan_cells(study_settings()):
        facts = json.loads((out / cell.folder / "cell.json").read_text())
        settings = json.loads((out / cell.folder / "settings.json").read_text())
        assert facts["cell"] == vars(cell)
        assert settings["seed"] == cell.seed
        assert facts["made"]["settings"] == {name: settings[name] for name in facts["made"]["settings"]}
        assert min(facts["cost"][name] for name in ("seconds", "cpu_seconds", "peak_memory_mb")) > 0
        assert Predictions.load(out / cell.folder / "predictions.parquet").method == cell.method


def test_labels_are_those_of_the_budget_and_nested(whole, exams):
    _, out, _ = whole
    table = read_catalogue(exams / "catalogue.parquet")
    for cell in plan_cells(study_settings()):
        few = read_catalogue(out / cell.labels)
        rare = {"A2C": cell.budget if cell.budget != "all" else 99}
        by_hand = limit_labels(table, rare, default=4, seed=cell.draw)
        assert few.drop("path").equals(by_hand.drop("path"))
        assert not few["path"].str.contains("Smith").any()
        known = json.loads((out / cell.folder / "budget.json").read_text())
        assert known["A2C"] == (12 if cell.budget == "all" else 1)
        assert known["PLAX"] == 4
    one, every = (
        {*read_catalogue(out / "labels" / f"budget-{budget}-draw-0.parquet").drop_nulls("view")["clip"]}
        for budget in (1, "all")
    )
    assert one < every


def test_what_is_done_is_not_done_again(copied, exams):
    before, counted = times(copied), []
    run(exams, copied, progress=lambda done, total: counted.append(total))
    assert times(copied) == before
    assert not counted


def test_more_draws_and_methods_go_on_from_what_is_there(copied, exams):
    before = times(copied)
    methods = study_values()["methods"] | {"balanced": {"method": "naive", "budgets": [1]}}
    study = run(exams, copied, study_settings(draws=3, methods=methods))
    after = times(copied)
    assert {path: after[path] for path in before} == before
    assert len(after) == 8 + 4 + 3
    assert len(study.cells) == 15


def test_what_was_stopped_half_way_begins_again(whole, copied, exams):
    """Killed in training, after the weights, and before the last file of the cell."""
    cells = plan_cells(study_settings())
    for number, missing in enumerate(
        (("cell.json",), ("cell.json", "predictions.parquet"), ("predictions.parquet",))
    ):
        for name in missing:
            (copied / cells[number].folder / name).unlink()
        (copied / cells[number].folder / "left-over").touch()
    counted = []
    run(exams, copied, progress=lambda done, total: counted.append(total))
    assert counted == [3, 3, 3]
    assert same(answers(copied), answers(whole[1]))
    assert not list(copied.rglob("left-over"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"train": {**TRAIN, "steps": 4}}, "steps"),
        ({"train": {**TRAIN, "encoder": {"width": 8, "stem_stride": 2}}}, "encoder"),
        ({"common": 3}, "labels"),
        ({"rare": ["A4C"]}, "labels"),
        ({"methods": {"naive": {"method": "logit-adjusted"}}}, "method"),
    ],
)
def test_changed_settings_of_a_finished_cell_are_one_error(copied, exams, changes, named):
    before = times(copied)
    with pytest.raises(CannotDo, match=rf"the finished cell 'naive, .*' was made with other .*{named}"):
        run(exams, copied, study_settings(**changes))
    assert times(copied) == before


def test_changed_labels_or_splits_are_one_error(copied, exams, tmp_path):
    table = read_catalogue(exams / "catalogue.parquet")
    table = table.with_columns(view=pl.when(pl.col("patient") == "p4").then(None).otherwise("view"))
    shutil.copytree(exams, tmp_path / "exams")
    write_catalogue(table, tmp_path / "exams" / "catalogue.parquet")
    with pytest.raises(CannotDo, match="was made with other clips"):
        run(tmp_path / "exams", copied)


def test_another_device_is_no_other_setting(copied, exams):
    before = times(copied)
    run(exams, copied, study_settings(train={**TRAIN, "accelerator": "cpu"}))
    assert times(copied) == before


def test_a_damaged_record_is_one_error(copied, exams):
    next(copied.rglob("cell.json")).write_text("{")
    with pytest.raises(CannotDo, match=r"'cell\.json' of a cell cannot be read"):
        run(exams, copied)


def test_a_cell_that_fails_is_a_problem_and_the_others_go_on(exams, tmp_path, monkeypatch):
    real = jobs.train

    def train(store, catalogue, out, settings, **options):
        if settings.method == "naive" and "budget-1-draw-0" in out.name:
            raise MemoryError
        if settings.method == "naive" and "budget-1-draw-1" in out.name:
            raise CannotDo("no luck", "try again")
        return real(store, catalogue, out, settings, **options)

    monkeypatch.setattr(jobs, "train", train)
    study = run(exams, tmp_path / "study")
    assert study.problems == (
        "naive, budget 1, draw 0: it failed (MemoryError)",
        "naive, budget 1, draw 1: no luck. Try again.",
    )
    assert sum(cell["done"] for cell in study.cells) == 6
    monkeypatch.undo()
    assert not run(exams, tmp_path / "study").problems


def test_processes_give_the_same_as_none(exams, whole, tmp_path):
    counted = []
    run(exams, tmp_path / "study", workers=2, progress=lambda done, total: counted.append(done))
    assert counted == [*range(1, 9)]
    assert same(answers(tmp_path / "study"), answers(whole[1]))


KILLED = """
import sys, time
from pathlib import Path
from apical.config import StudySettings
from apical.judge import jobs
from apical.judge.protocol import run_study

real = jobs.train
store, catalogue, out, values, workers, stop_at = sys.argv[1:]
jobs.os.cpu_count = lambda: 1

def train(*words, **options):
    result = real(*words, **options)
    if len(list(Path(out).rglob("cell.json"))) >= int(stop_at):
        Path(out, "stopped").touch()
        time.sleep(600)
    return result

jobs.train = train
if __name__ == "__main__":
    settings = StudySettings.model_validate_json(values)
    run_study(settings, Path(store), Path(catalogue), Path(out), workers=int(workers))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_time_it_loses_the_running_cells_only(exams, whole, tmp_path, workers):
    """kill -9 while cells run: what was done stays as it is, and the end is that of a study never killed."""
    script, out = tmp_path / "script.py", tmp_path / "study"
    script.write_text(KILLED)
    words = [exams / "frames", exams / "catalogue.parquet", out, json.dumps(study_values()), workers, 3]
    process = subprocess.Popen([sys.executable, script, *map(str, words)], start_new_session=True)
    end = time.monotonic() + 300
    while not (out / "stopped").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = times(out)
    assert 3 <= len(done) < 8
    run(exams, out)
    after = times(out)
    assert {path: after[path] for path in done} == done
    assert len(after) == 8
    assert same(answers(out), answers(whole[1]))


CRASHES = """
import os, signal, sys
from pathlib import Path
from apical.config import StudySettings
from apical.judge import jobs
from apical.judge.protocol import run_study

real = jobs.train

def train(store, catalogue, out, settings, **options):
    if settings.method == "naive":
        os.kill(os.getpid(), signal.SIGKILL)
    return real(store, catalogue, out, settings, **options)

jobs.train = train
if __name__ == "__main__":
    store, catalogue, out, values = sys.argv[1:]
    settings = StudySettings.model_validate_json(values)
    study = run_study(settings, Path(store), Path(catalogue), Path(out), workers=2)
    print(*study.problems, sep="\\n")
"""


@pytest.mark.slow
def test_a_cell_whose_process_is_killed_is_a_problem_and_the_others_go_on(exams, tmp_path):
    """As by a system that is out of memory."""
    (tmp_path / "script.py").write_text(CRASHES)
    values = json.dumps(study_values(draws=1, budgets=[1]))
    words = [
        tmp_path / "script.py",
        exams / "frames",
        exams / "catalogue.parquet",
        tmp_path / "study",
        values,
    ]
    finished = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=300)
    (problem,) = finished.stdout.splitlines()
    assert problem.startswith("naive, budget 1, draw 0: its process ended")
    assert [path.parents[1].name for path in times(tmp_path / "study")] == ["adjusted"]


def test_two_studies_do_not_share_a_folder(exams, copied):
    with protocol.alone_in(copied), pytest.raises(CannotDo, match="another study runs in 'study'"):
        run(exams, copied)
    run(exams, copied)


def test_report_only_trains_nothing(exams, copied, tmp_path):
    cells = plan_cells(study_settings())
    shutil.rmtree(copied / cells[0].folder)
    study = run(exams, copied, report_only=True)
    assert not (copied / cells[0].folder).exists()
    assert sum(cell["done"] for cell in study.cells) == 7
    with pytest.raises(CannotDo, match="no cell of the study is done"):
        run(exams, tmp_path / "none", report_only=True)


# Pre-training


@pytest.fixture(scope="module")
def pretrained(exams, tmp_path_factory):
    out = tmp_path_factory.mktemp("pretrained") / "study"
    settings = study_settings(
        pretrain=PRETRAIN, pretraining_seeds=[0, 3], methods=PRETRAINED, budgets=[1], draws=1
    )
    return run(exams, out, settings), out, settings


def test_pretraining_once_a_seed_without_any_label(pretrained):
    study, out, _ = pretrained
    assert not study.problems
    assert {path.name for path in out.glob("pretrain-*")} == {"pretrain-0", "pretrain-3"}
    hidden = read_catalogue(out / "labels" / "none.parquet")
    assert not hidden.filter(pl.col("split") == "train")["view"].drop_nulls().len()
    starts = [cell["start"] for cell in study.cells if cell["method"] == "fine-tune"]
    assert len({start["weights"] for start in starts}) == 2
    assert study.costs["fine-tune"].pretraining_seconds > 0
    assert study.headline == "fine-tune"
    assert [one.other for one in study.distances] == ["everything"] * 2


def test_another_pretraining_is_one_error(pretrained, exams, tmp_path):
    _, out, settings = pretrained
    copy = shutil.copytree(out, tmp_path / "study")
    changed = settings.model_copy(update={"pretrain": settings.pretrain.model_copy(update={"epochs": 2})})
    with pytest.raises(CannotDo, match=r"'pretrain-0' was started with other settings \(epochs\)"):
        run(exams, copy, changed)
    shutil.rmtree(copy / "pretrain-0")
    shutil.rmtree(copy / "pretrain-3")
    assert not run(exams, copy, changed).problems  # no cell needs one
    assert not (copy / "pretrain-0").exists()
    with_more = study_settings(**changed.model_dump(exclude={"encoders"}, exclude_unset=True) | {"draws": 2})
    with pytest.raises(CannotDo, match="was made with other start"):
        run(exams, copy, with_more)


def test_finished_encoders_may_be_given(pretrained, exams, tmp_path):
    _, out, settings = pretrained
    values = settings.model_dump(exclude={"pretrain", "pretraining_seeds"})
    given = study_settings(**values | {"encoders": [out / "pretrain-3"]})
    study = run(exams, tmp_path / "study", given)
    (mine,) = (cell for cell in study.cells if cell["method"] == "fine-tune")
    assert mine["start"] in [cell["start"] for cell in pretrained[0].cells]
    missing = study_settings(**values | {"encoders": [tmp_path / "none"]})
    with pytest.raises(CannotDo, match="'none' is not a run folder"):
        run(exams, tmp_path / "other", missing)


def test_a_pretraining_that_fails_is_a_problem_of_its_cells(exams, tmp_path, monkeypatch):
    real = jobs.pretrain

    def pretrain(store, catalogue, out, settings, **options):
        if settings.seed == 3:
            raise CannotDo("the loss is not finite", "lower the learning rate")
        return real(store, catalogue, out, settings, **options)

    monkeypatch.setattr(jobs, "pretrain", pretrain)
    settings = study_settings(
        pretrain=PRETRAIN, pretraining_seeds=[0, 3], methods=PRETRAINED, budgets=[1], draws=1
    )
    study = run(exams, tmp_path / "study", settings)
    assert study.problems == ("pre-training 3: the loss is not finite. Lower the learning rate.",)
    assert [cell["pretraining"] for cell in study.cells if not cell["done"]] == [3]


def test_a_pretraining_that_was_told_to_stop_ends_the_study(exams, tmp_path):
    """As by Ctrl-C: nothing else begins, and the same call goes on."""
    settings = study_settings(pretrain={**PRETRAIN, "epochs": 5}, methods=PRETRAINED, budgets=[1], draws=1)
    real, sent = jobs.pretrain, []

    def pretrain(*words, **options):
        options["progress"] = lambda done, total: sent or sent.append(signal.raise_signal(signal.SIGINT))
        return real(*words, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "pretrain", pretrain)
        with pytest.raises(CannotDo, match="the pre-training was stopped; all is saved"):
            run(exams, tmp_path / "study", settings)
    assert not (tmp_path / "study" / "cells").exists()
    assert not run(exams, tmp_path / "study", settings).problems


# What does not fit


@pytest.mark.parametrize(
    ("missing", "split"), [("test", "test"), ("train", "test"), ("validation", "validation")]
)
def test_splits_must_be_there(exams, tmp_path, missing, split):
    table = read_catalogue(exams / "catalogue.parquet").filter(pl.col("split") != missing)
    write_catalogue(table, tmp_path / "c.parquet")
    with pytest.raises(CannotDo, match=f"the catalogue has no {missing} patients"):
        run_study(study_settings(split=split), exams / "frames", tmp_path / "c.parquet", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_rare_views_must_be_labelled(exams, tmp_path):
    with pytest.raises(CannotDo, match="no training clip is labelled IVC"):
        run(exams, tmp_path / "study", study_settings(rare=["IVC"]))


def test_a_rare_view_must_be_judged(exams, tmp_path):
    table = read_catalogue(exams / "catalogue.parquet")
    gone = (pl.col("split") == "test") & (pl.col("view") == "A2C")
    write_catalogue(
        table.with_columns(view=pl.when(gone).then(None).otherwise("view")), tmp_path / "c.parquet"
    )
    with pytest.raises(CannotDo, match="no test clip is labelled as a rare view"):
        run_study(study_settings(), exams / "frames", tmp_path / "c.parquet", tmp_path / "study")


def test_a_label_outside_the_vocabulary_is_a_wrong_call(exams, tmp_path):
    table = read_catalogue(exams / "catalogue.parquet").with_columns(pl.col("view").replace("A4C", "odd"))
    write_catalogue(table, tmp_path / "c.parquet")
    with pytest.raises(WrongCall, match="the vocabulary lacks: odd"):
        run_study(study_settings(), exams / "frames", tmp_path / "c.parquet", tmp_path / "study")
