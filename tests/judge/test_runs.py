"""Runs that cannot be compared are refused in one clear line; nothing private is shown."""

import json
from dataclasses import replace

import numpy as np
import pytest

from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.judge.runs import Run, judged_runs, read_run, split_sizes, with_common_seeds, without_paths
from fake_runs import fake_budget, fake_predictions, write_run


def run(predictions, budget=None):
    return Run(predictions, settings={}, curve=[], environment={}, budget=budget, predictions_sha256="")


def test_reads_what_training_wrote(tmp_path):
    folder = write_run(tmp_path / "run", fake_predictions("probe", 4), fake_budget())
    read = read_run(folder)
    assert read.predictions.method == "probe"
    assert read.settings["seed"] == 4
    assert read.curve[0]["step"] == 0
    assert read.budget == fake_budget()


def test_only_predictions_are_needed(tmp_path):
    fake_predictions().save(tmp_path / "predictions.parquet")
    read = read_run(tmp_path)
    assert (read.settings, read.curve, read.environment, read.budget) == ({}, [], {}, None)


def test_a_curve_cut_short_by_a_crash_is_read_up_to_there(tmp_path):
    fake_predictions().save(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2}\n{"step": 2, "lo')
    assert read_run(tmp_path).curve == [{"step": 1, "loss": 2}]
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "lo\n{"step": 2, "loss": 1}\n')
    with pytest.raises(CannotDo, match=r"line 1 of 'metrics\.jsonl'") as error:
        read_run(tmp_path)
    assert (error.value.__cause__, error.value.__suppress_context__) == (None, True)


def test_damaged_files(tmp_path):
    with pytest.raises(CannotDo, match="it is not there"):
        read_run(tmp_path)
    fake_predictions().save(tmp_path / "predictions.parquet")
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(
        CannotDo, match=r"'settings.json' of a run cannot be read \(JSONDecodeError\)"
    ) as error:
        read_run(tmp_path)
    assert (error.value.__cause__, error.value.__suppress_context__) == (
        None,
        True,
    )  # a notebook would show the file's text
    (tmp_path / "settings.json").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(CannotDo, match=r"'metrics.jsonl' of a run cannot be read \(IsADirectoryError\)"):
        read_run(tmp_path)


def test_judged_clips_are_labelled_in_the_split_and_in_the_same_order():
    one = fake_predictions("naive")
    other = fake_predictions("probe")
    other = other.select(np.random.default_rng(0).permutation(len(other)))
    first, second = judged_runs([run(one), run(other)], "test")
    assert set(first.split) == {"test"}
    assert (first.label >= 0).all()
    np.testing.assert_array_equal(first.clip, second.clip)


def changed(**changes):
    return run(replace(fake_predictions("probe"), **changes))


def leaking():
    predictions = fake_predictions("probe")
    patient = predictions.patient.copy()
    patient[predictions.split == "test"] = np.where(
        patient[predictions.split == "test"] == "p020", "p000", patient[predictions.split == "test"]
    )
    return replace(predictions, patient=patient)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (changed(views=tuple(reversed(fake_predictions().views))), "have different views"),
        (run(fake_predictions("probe", patients=(10, 6, 20))), "have different labelled test clips"),
        (changed(label=(fake_predictions().label + 1) % 13), "have different labels"),
        (changed(patient=np.char.add("x", fake_predictions().patient)), "have different patients"),
        (
            run(fake_predictions("probe"), budget={"A4C": 3}),
            r"different label budgets: A4C of 3 patients in 'probe' and of 10 in 'naive' \(seed 0\)",
        ),
    ],
)
def test_runs_that_cannot_be_compared(other, message):
    with pytest.raises(CannotDo, match=message):
        judged_runs([run(fake_predictions(), budget=fake_budget()), other], "test")


def test_a_patient_in_training_and_test_is_refused():
    with pytest.raises(PatientOverlap, match=r"^1 patient stands in more than one split of a run\. Split"):
        judged_runs([run(leaking())], "test")


def test_a_patient_judged_here_and_trained_on_there_is_refused():
    here = fake_predictions()
    there = fake_predictions("probe")
    swapped = np.where(there.split == "train", "test", np.where(there.split == "test", "train", there.split))
    with pytest.raises(PatientOverlap, match="34 patients stand in the test split of one"):
        judged_runs([run(here), run(replace(there, split=swapped))], "test")


def test_no_labelled_clip_in_the_split():
    unlabelled = replace(fake_predictions(), label=np.full(440, -1))
    with pytest.raises(CannotDo, match="no labelled clip in the test split"):
        judged_runs([run(unlabelled)], "test")


def test_wrong_calls():
    with pytest.raises(WrongCall, match="there is no run to judge"):
        judged_runs([], "test")
    with pytest.raises(WrongCall, match="two runs are both of method 'naive' with seed 0"):
        judged_runs([run(fake_predictions())] * 2, "test")


def several(*named):
    return [run(fake_predictions(method, seed, patients=(1, 1, 1))) for method, seed in named]


def test_methods_are_compared_on_common_seeds_only():
    runs = several(("naive", 0), ("naive", 1), ("probe", 1), ("probe", 0), ("probe", 2))
    kept, sentence = with_common_seeds(runs)
    assert kept == runs[:4]
    assert sentence == (
        "Methods are judged on the training seeds that all of them have (0, 1); "
        "1 run with another seed is left out."
    )
    assert with_common_seeds(kept) == (kept, None)
    assert with_common_seeds(runs[2:]) == (runs[2:], None)  # one method has its seeds
    with pytest.raises(CannotDo, match="the methods naive, probe have no training seed in common"):
        with_common_seeds(several(("naive", 0), ("probe", 1)))


def test_sizes_of_splits():
    predictions = fake_predictions(patients=(2, 1, 1), clips=3)
    predictions.label[0] = -1
    assert split_sizes(predictions)["train"] == {"patients": 2, "clips": 6, "labelled clips": 5}


def test_paths_people_and_machines_are_dropped_at_any_depth():
    record = {
        "steps": 3,
        "store": "frames",
        "encoder_run": "C:\\data\\run",
        "nested": {"catalogue": "x", "rate": 0.1, "files": ["a"], "list": ["/data/x", 1]},
        "only": {"path": "x"},
        "hostname": "scanner-3",
        "/data/y": 1,
    }
    assert without_paths(record) == {"steps": 3, "nested": {"rate": 0.1, "list": [1]}}
    assert json.dumps(record)  # untouched
