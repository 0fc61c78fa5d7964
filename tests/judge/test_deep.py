"""The whole page on a real small run: every part that has what it needs is there, and no identifier is."""

import csv
import json

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from apical.catalogue import read_catalogue, write_catalogue
from apical.config import JudgeSettings
from apical.errors import CannotDo, WrongCall
from apical.judge.again import ask, call_witnesses
from apical.judge.corruptions import CORRUPTIONS
from apical.judge.evaluate import evaluate
from apical.judge.robustness import STEPS
from apical.judge.runs import labelled
from apical.learn.predictions import Predictions

FAST = JudgeSettings(resamples=100, by=("group",))


@pytest.fixture(scope="module")
def judged(way, tmp_path_factory):
    """All parts: a catalogue with a column of the user's, a phantom's truth, corruptions, explanations."""
    out = tmp_path_factory.mktemp("deep") / "report"
    table = read_catalogue(way / "catalogue.parquet")
    group = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("even")).otherwise(pl.lit("odd"))
    write_catalogue(table.with_columns(group=group), out.with_name("catalogue.parquet"))
    calls = []
    evaluation = evaluate(
        [way / "runs" / "naive", way / "runs" / "probe"],
        out,
        FAST,
        store=way / "frames",
        catalogue=out.with_name("catalogue.parquet"),
        truth=way / "phantom" / "truth.csv",
        corruptions=True,
        explanations=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    return evaluation, calls


def test_all_parts_are_there(judged):
    evaluation, calls = judged
    deep = evaluation.deep
    assert deep.method == "probe"
    assert [level.name for level in deep.levels] == ["frame", "clip", "clip, given its whole study", "study"]
    assert len(deep.robustness) == 1 + len(CORRUPTIONS) * len(STEPS)
    assert calls[-1] == (len(deep.robustness), len(deep.robustness))
    assert {"even", "odd"} <= {one.value for one in deep.slices if one.name == "group"}
    assert deep.plane.clips.sum() > 0
    assert [what.split(" ")[0] for what in deep.missing] == ["slices", "unknown"]  # what nobody knows here
    page = evaluation.report_file.read_text(encoding="utf-8")
    for heading in (
        "Frames, clips and studies",
        "On whom it is worse",
        "When the picture gets worse",
        "What decisions rest on",
        "Do the maps depend on what was learned?",
        "How far the probe missed the view",
        "What a paper must still say",
    ):
        assert heading in page
    assert "not known here: say it yourself" in page
    written = json.loads(evaluation.metrics_file.read_text(encoding="utf-8"))
    assert written["deep"]["levels"][0]["name"] == "frame"


def test_levels_are_those_of_the_answers(way, judged):
    frame, clip, _, study = judged[0].deep.levels
    run = labelled(Predictions.load(way / "runs" / "probe" / "predictions.parquet"), "test")
    assert clip.accuracy.value == pytest.approx((run.predicted == run.label).mean())
    assert study.units == len(np.unique(run.patient))  # one exam a patient
    (witness,) = call_witnesses([way / "runs" / "probe"], way / "frames")
    said = ask(witness)
    right = said.log_probabilities.argmax(axis=1) == witness.judged.label[said.clip]
    assert (frame.units, frame.accuracy.value) == (len(right), pytest.approx(right.mean()))


def test_no_identifier_or_path_leaves(way, judged):
    """Original patients, files and folders, and pseudonyms of patients and studies."""
    folder = judged[0].report_file.parent
    table = read_catalogue(way / "catalogue.parquet")
    with open(way / "phantom" / "truth.csv") as file:
        originals = {row["patient"] for row in csv.DictReader(file)}
    forbidden = {str(way), str(folder), "Phantom^", "IM0001", *originals, *table["patient"], *table["study"]}
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not [word for word in forbidden if word in text], file.name


def test_the_subject_is_chosen_by_name_not_by_how_good_it_is(way, tmp_path):
    runs = [way / "runs" / "probe", way / "runs" / "naive"]
    assert evaluate(runs, tmp_path / "a", FAST.model_copy(update={"by": ()})).deep.method == "probe"
    named = evaluate(runs, tmp_path / "b", FAST.model_copy(update={"by": ()}), subject="naive")
    assert named.deep.method == "naive"
    with pytest.raises(WrongCall, match="there is no run of 'x'"):
        evaluate(runs, tmp_path / "c", JudgeSettings(resamples=100), subject="x")


def test_what_is_not_there_is_said(way, tmp_path):
    evaluation = evaluate([way / "runs" / "naive"], tmp_path / "out", JudgeSettings(resamples=100))
    missing = evaluation.deep.missing
    assert "a frame store (--store)" in missing["single frames"]
    assert missing["studies and slices"] == "a catalogue (--catalogue)"
    page = evaluation.report_file.read_text(encoding="utf-8")
    assert all(what in page for what in missing)
    assert "When the picture gets worse" not in page


def test_bad_wishes_give_one_line_and_write_nothing(way, tmp_path):
    run, out = [way / "runs" / "naive"], tmp_path / "out"
    with pytest.raises(WrongCall, match="weight"):
        evaluate(run, out, JudgeSettings(by=("weight",)), catalogue=way / "catalogue.parquet")
    with pytest.raises(WrongCall, match="patient"):
        evaluate(run, out, JudgeSettings(by=("patient",)), catalogue=way / "catalogue.parquet")
    with pytest.raises(CannotDo, match="holds no finished study"):
        evaluate(run, out, JudgeSettings(resamples=100), study=tmp_path)
    for wish in ({"corruptions": True}, {"explanations": 3}, {"truth": way / "phantom" / "truth.csv"}):
        with pytest.raises(WrongCall, match=r"need.* Give it with --"):
            evaluate(run, out, JudgeSettings(resamples=100), **wish)
    with pytest.raises(WrongCall, match="slices by a column need a catalogue"):
        evaluate(run, out, JudgeSettings(by=("sex",)))
    with pytest.raises(WrongCall, match=r"no run of the baseline 'nonsense'\. Name one of naive"):
        evaluate(run, out, JudgeSettings(resamples=100), baseline="nonsense")
    foreign = read_catalogue(way / "catalogue.parquet").with_columns(clip=pl.lit("x") + pl.col("clip"))
    write_catalogue(foreign, tmp_path / "foreign.parquet")
    with pytest.raises(CannotDo, match="holds none of the judged clips"):
        evaluate(run, out, JudgeSettings(resamples=100), catalogue=tmp_path / "foreign.parquet")
    with pytest.raises(WrongCall, match="no cost of taking 'A4C' for 'Doppler'"):
        evaluate(run, out, JudgeSettings(costs={"A4C": {"Doppler": 1.0}}))
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        JudgeSettings(costs={"A4C": {"A5C": 7}})
    assert not (out / "report.html").exists()
