"""Bundles: whole, checked, without code; made from validation patients only."""

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from apical.deploy.bundle import make_bundle, open_bundle
from apical.errors import CannotDo
from apical.learn.predictions import Predictions


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
    for name in ("temperature", "conformal", "unknown", "hashes"):
        assert changed.facts[name] == first.facts[name]


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
    with pytest.raises(CannotDo, match="'nothing' is not a whole bundle"):
        open_bundle(tmp_path / "nothing")


def test_a_newer_schema_says_so(copy):
    facts = json.loads((copy / "bundle.json").read_text()) | {"schema": 99}
    (copy / "bundle.json").write_text(json.dumps(facts))
    with pytest.raises(CannotDo, match="has schema 99, newer than this apical knows"):
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


def test_a_pretraining_run_or_a_report_of_others_is_refused(way, tmp_path):
    with pytest.raises(CannotDo, match="'pretrain' is not a training run"):
        make_bundle(way / "runs" / "pretrain", tmp_path / "bundle")
    report = shutil.copytree(way / "report", tmp_path / "report")
    figures = json.loads((report / "metrics.json").read_text())
    figures["methods"] = [one for one in figures["methods"] if one["method"] != "probe"]
    (report / "metrics.json").write_text(json.dumps(figures))
    with pytest.raises(CannotDo, match="says nothing of the method 'probe'"):
        make_bundle(way / "runs" / "probe", tmp_path / "bundle", report=report)


def test_predictions_are_still_a_table(way):
    """The run's predictions are plain Parquet that other programs read."""
    table = pl.read_parquet(way / "runs" / "probe" / "predictions.parquet")
    assert {"clip", "patient", "split", "label", "log_probabilities"} <= set(table.columns)
