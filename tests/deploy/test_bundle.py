"""Bundles: whole, checked, without code; made from validation patients only."""

import errno
import json
import shutil
from dataclasses import replace
from traceback import format_exception

import numpy as np
import polars as pl
import pytest
import torch

from apical.config import JudgeSettings
from apical.deploy.bundle import open_bundle
from apical.deploy.packing import make_bundle
from apical.errors import CannotDo
from apical.judge.evaluate import evaluate
from apical.learn.checkpoint import save_weights
from apical.learn.predictions import Predictions
from apical.learn.train import load_classifier


@pytest.fixture
def copy(way, tmp_path):
    return shutil.copytree(way / "bundle", tmp_path / "bundle")


def test_holds_all_a_prediction_needs(way):
    assert sorted(file.name for file in (way / "bundle").iterdir()) == [
        "MODEL_CARD.md",
        "bundle.json",
        "classifier.safetensors",
        "unknown.safetensors",
    ]
    bundle = open_bundle(way / "bundle")
    assert len(bundle.vocabulary) == 13
    assert (bundle.frames.size, bundle.frames.frames_per_clip, bundle.input_size) == (40, 2, 32)
    assert bundle.facts["metrics"]["method"] == "probe"
    card = (way / "bundle" / "MODEL_CARD.md").read_text()
    assert "not a medical device" in card
    assert "| macro F1 |" in card
    assert "| F1 of | value |" in card
    assert "| IVC | " in card


def test_no_path_or_identifier_inside(way):
    for file in (way / "bundle").iterdir():
        content = file.read_bytes()
        assert str(way).encode() not in content
        assert b"PHANTOM-" not in content


def test_calibration_uses_validation_patients_only(way, tmp_path):
    """With the test patients' answers replaced by nonsense the thresholds stay."""
    run = shutil.copytree(way / "runs" / "probe", tmp_path / "run")
    answers = Predictions.load(run / "predictions.parquet")
    test = answers.split == "test"
    nonsense = np.where(test[:, None], answers.log_probabilities[:, ::-1], answers.log_probabilities)
    features = answers.features + 100 * test[:, None].astype(np.float32)
    replace(answers, log_probabilities=nonsense, features=features).save(run / "predictions.parquet")
    changed, first = make_bundle(run, tmp_path / "bundle"), open_bundle(way / "bundle")
    for name in ("temperature", "calibration", "conformal", "operating_point", "unknown", "hashes"):
        assert changed.facts[name] == first.facts[name]


def test_the_report_calibrates_as_the_bundle_does(way, tmp_path):
    """Also where a validation clip shows a view that nobody taught."""
    run = shutil.copytree(way / "runs" / "probe", tmp_path / "run")
    classifier, _, _ = load_classifier(run)
    classifier.taught[:2] = False
    save_weights(run / "classifier.safetensors", classifier)
    answers = Predictions.load(run / "predictions.parquet")
    shut_off = torch.from_numpy(answers.log_probabilities.copy())
    shut_off[:, :2] = -1e4
    changed = replace(answers, log_probabilities=shut_off.log_softmax(dim=1).numpy())
    changed.save(run / "predictions.parquet")
    assert ((answers.split == "validation") & np.isin(answers.label, [0, 1])).any()
    report = evaluate([run], tmp_path / "report", JudgeSettings(resamples=100, seed=7))
    bundle = make_bundle(run, tmp_path / "bundle")
    assert report.probabilities["probe"].temperature == bundle.facts["temperature"]
    assert report.probabilities["probe"].untaught_clips > 0
    assert len(bundle.facts["taught"]) == 11


def test_too_few_calibration_patients_are_said_and_every_view_stays_in_the_set(way):
    bundle = open_bundle(way / "bundle")
    answers = Predictions.load(way / "runs" / "probe" / "predictions.parquet")
    np.testing.assert_allclose(bundle.probabilities(answers.log_probabilities).sum(axis=1), 1)
    assert bundle.facts["conformal"]["patients"] == 2
    assert not bundle.facts["conformal"]["enough_patients"]
    assert bundle.facts["conformal"]["threshold"] == 1
    assert "too few for the promised coverage" in (way / "bundle" / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("file", ["classifier.safetensors", "unknown.safetensors"])
def test_a_changed_file_is_found_out(copy, file):
    content = bytearray((copy / file).read_bytes())
    content[-1] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(CannotDo, match=f"{file} of the bundle 'bundle' was changed"):
        open_bundle(copy)


def test_a_missing_file_and_a_folder_that_is_none(copy, tmp_path):
    (copy / "unknown.safetensors").unlink()
    with pytest.raises(CannotDo, match="'bundle' is not a whole bundle"):
        open_bundle(copy)
    with pytest.raises(CannotDo, match="there is no bundle 'nothing'"):
        open_bundle(tmp_path / "nothing")


def test_a_newer_schema_says_so(copy):
    facts = json.loads((copy / "bundle.json").read_text()) | {"schema": 99}
    (copy / "bundle.json").write_text(json.dumps(facts))
    with pytest.raises(CannotDo, match="has schema 99, newer than this apical knows"):
        open_bundle(copy)


def test_an_older_schema_says_what_to_do(copy):
    facts = json.loads((copy / "bundle.json").read_text()) | {"schema": 2}
    (copy / "bundle.json").write_text(json.dumps(facts))
    with pytest.raises(CannotDo, match=r"has schema 2, older than .* Make it again from its run"):
        open_bundle(copy)


def test_another_folder_is_not_overwritten(way, tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(CannotDo, match="exists and is not a bundle"):
        make_bundle(way / "runs" / "probe", tmp_path)


def test_without_validation_labels_there_is_nothing_to_calibrate_on(way, tmp_path):
    run = shutil.copytree(way / "runs" / "probe", tmp_path / "run")
    answers = Predictions.load(run / "predictions.parquet")
    label = np.where(answers.split == "validation", -1, answers.label)
    replace(answers, label=label).save(run / "predictions.parquet")
    with pytest.raises(CannotDo, match="no labelled clip of a validation patient"):
        make_bundle(run, tmp_path / "bundle")


def test_a_pretraining_run_is_refused(way, tmp_path):
    with pytest.raises(CannotDo, match="'pretrain' is not a training run"):
        make_bundle(way / "runs" / "pretrain", tmp_path / "bundle")


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def edited(path, change):
    """A JSON file after `change` of its content."""
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def report_of_another_experiment(way, tmp_path, **changes):
    """A report on a run of the same method and seed with other answers."""
    run = shutil.copytree(way / "runs" / "probe", tmp_path / "other")
    answers = Predictions.load(run / "predictions.parquet")
    noise = answers.features + np.float32(1)
    replace(answers, features=noise).save(run / "predictions.parquet")
    evaluate([run], tmp_path / "report", JudgeSettings(resamples=100, **changes))
    return run, tmp_path / "report"


def test_a_report_of_another_run_of_the_same_method_is_refused(way, tmp_path):
    _, report = report_of_another_experiment(way, tmp_path)
    with pytest.raises(CannotDo, match="the report 'report' does not judge this run"):
        make_bundle(way / "runs" / "probe", tmp_path / "bundle", report=report)
    (report / "metrics.json").write_text("[]")
    with pytest.raises(CannotDo, match=r"the report 'report' cannot be read \(AttributeError\)"):
        make_bundle(way / "runs" / "probe", tmp_path / "bundle", report=report)
    (report / "metrics.json").unlink()
    with pytest.raises(CannotDo, match=r"cannot be read \(FileNotFoundError\)") as error:
        make_bundle(way / "runs" / "probe", tmp_path / "bundle", report=report)
    assert (error.value.__cause__, error.value.__suppress_context__) == (None, True)
    assert not (tmp_path / "bundle").exists()


def test_the_card_names_the_confidence_that_was_used(way, tmp_path):
    run, report = report_of_another_experiment(way, tmp_path, confidence=0.8)
    bundle = make_bundle(run, tmp_path / "bundle", report=report)
    assert bundle.facts["metrics"]["confidence"] == 0.8
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "| 80 % interval |" in card
    assert "95 % interval" not in card


def test_a_bundle_outlives_any_failure_to_replace_it(way, copy, tmp_path, monkeypatch):
    before = content(copy)
    with pytest.raises(CannotDo, match="cannot be read"):
        make_bundle(way / "runs" / "naive", copy, report=tmp_path / "no report")
    for step in ("write_atomically", "open_bundle"):
        with monkeypatch.context() as broken:
            broken.setattr(f"apical.deploy.packing.{step}", full_disk)
            with pytest.raises(CannotDo, match="No space left"):
                make_bundle(way / "runs" / "naive", copy)
    assert content(copy) == before
    assert [folder.name for folder in tmp_path.iterdir()] == ["bundle"]


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failure_leaves_no_half_made_folder(way, tmp_path, monkeypatch):
    monkeypatch.setattr("apical.deploy.packing.write_atomically", full_disk)
    with pytest.raises(CannotDo, match="'bundle' cannot be written"):
        make_bundle(way / "runs" / "naive", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_bundle_is_replaced_in_place(way, copy, tmp_path):
    before = open_bundle(copy)
    after = make_bundle(way / "runs" / "naive", copy)
    assert after.facts == open_bundle(copy).facts
    assert after.model_version != before.model_version
    assert [folder.name for folder in tmp_path.iterdir()] == ["bundle"]


def test_a_file_or_a_bundle_with_other_files_is_not_replaced(way, copy, tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(CannotDo, match="'taken' is a file, not a folder"):
        make_bundle(way / "runs" / "naive", tmp_path / "taken")
    with pytest.raises(CannotDo, match="'bundle' cannot be written"):
        make_bundle(way / "runs" / "naive", tmp_path / "taken" / "bundle")
    (copy / "thesis.txt").touch()
    with pytest.raises(CannotDo, match="holds other files too"):
        make_bundle(way / "runs" / "naive", copy)
    assert (copy / "thesis.txt").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(temperature=facts["temperature"] + 0.01),
        lambda facts: facts["unknown"].update(threshold=1e9),
        lambda facts: facts["conformal"].update(threshold=0.5),
        lambda facts: facts["views"].reverse(),
        lambda facts: facts["hashes"].update({"unknown.safetensors": "0"}),
        lambda facts: facts.update(version="0123456789ab"),
        lambda facts: facts.update(facts_sha256="0"),
    ],
)
def test_changed_facts_are_found_out(copy, change):
    edited(copy / "bundle.json", change)
    with pytest.raises(CannotDo, match="of the bundle 'bundle' was changed"):
        open_bundle(copy)


def test_a_licence_may_be_stated_later(copy):
    edited(copy / "bundle.json", lambda facts: facts.update(licence="CC-BY-4.0"))
    assert open_bundle(copy).facts["licence"] == "CC-BY-4.0"


def test_other_thresholds_make_another_version(way, tmp_path, monkeypatch):
    one = make_bundle(way / "runs" / "probe", tmp_path / "one")
    assert make_bundle(way / "runs" / "probe", tmp_path / "same").model_version == one.model_version
    for user in ("apical.deploy.packing", "apical.judge.unknown_figures"):
        monkeypatch.setattr(f"{user}.REFUSED", 0.5)
    other = make_bundle(way / "runs" / "probe", tmp_path / "other")
    assert other.facts["hashes"] == one.facts["hashes"]
    assert other.model_version != one.model_version
    assert other.unknown.threshold < one.unknown.threshold
    riskier = make_bundle(way / "runs" / "probe", tmp_path / "riskier", risk=0.95)
    assert riskier.model_version != one.model_version
    assert riskier.facts["operating_point"]["risk"] == 0.95
    assert one.doubtful_below is None  # two validation patients, and a poor classifier
    assert 0 < riskier.doubtful_below < 1


def test_no_cause_shows_the_path(tmp_path):
    """Notebooks print an exception with its causes."""
    missing = tmp_path / "Jane" / "bundle"
    with pytest.raises(CannotDo) as caught:
        open_bundle(missing)
    assert str(missing) not in "".join(format_exception(caught.value))


def test_predictions_are_still_a_table(way):
    """The run's predictions are plain Parquet that other programs read."""
    table = pl.read_parquet(way / "runs" / "probe" / "predictions.parquet")
    assert {"clip", "patient", "split", "label", "log_probabilities"} <= set(table.columns)
