"""Files in, answers out: the same as in training, one record a file, whatever the file."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pydicom
import pytest
from pydicom import examples

from apical.catalogue import read_catalogue
from apical.config import PredictSettings
from apical.deploy.answering import Answerer
from apical.deploy.answers import Answer, answer_lines, records, write_answers
from apical.deploy.bundle import open_bundle
from apical.deploy.inputs import Input
from apical.deploy.packing import add_export
from apical.deploy.predict import number_studies, predict, predict_each
from apical.errors import CannotDo, WrongCall
from apical.learn.predictions import Predictions


def test_a_file_gets_the_answer_it_had_in_training(way):
    """From DICOM again, every clip gets the probabilities of the run, calibrated."""
    bundle = open_bundle(way / "bundle")
    run = Predictions.load(way / "runs" / "probe" / "predictions.parquet")
    expected = dict(zip(run.clip.tolist(), bundle.probabilities(run.log_probabilities), strict=True))
    files = sorted((way / "phantom").rglob("*.dcm"))[:12]
    for answer in predict(files, bundle):
        probability = expected[answer.clip]
        assert answer.likeliest == bundle.vocabulary.names[probability.argmax()]
        assert answer.probability == pytest.approx(probability.max(), abs=1e-4)
        assert answer.unknown == (answer.unknown_score > bundle.unknown.threshold)
        assert answer.view == (None if answer.unknown else answer.likeliest)
        inside = bundle.conformal.sets(probability[None])[0]
        assert inside[probability.argmax()]
        assert answer.doubtful  # two validation patients, and a poor classifier
        assert set(answer.views) == set(np.array(bundle.vocabulary.names)[inside])


def test_clips_below_the_operating_point_are_doubtful(way):
    files = sorted((way / "phantom").rglob("*.dcm"))
    middle = np.median([answer.probability for answer in predict(files, way / "bundle")])
    bundle = replace(open_bundle(way / "bundle"), doubtful_below=float(middle))
    answers = predict(files, bundle)
    assert {answer.doubtful for answer in answers} == {True, False}
    for answer in answers:
        assert answer.doubtful == (answer.probability < bundle.doubtful_below)
    lines = answer_lines(answers)[1:]
    said = [("doubtful" in line) == answer.doubtful for line, answer in zip(lines, answers, strict=True)]
    unknown = [bool(answer.unknown) for answer in answers]
    assert all(right or other for right, other in zip(said, unknown, strict=True))


def test_a_folder_is_walked_in_order(way):
    answers = predict([way / "phantom"], way / "bundle")
    assert [answer.number for answer in answers] == list(range(1, len(answers) + 1))
    table = read_catalogue(way / "catalogue.parquet")
    assert [answer.clip for answer in answers] == table["clip"].to_list()


def test_broken_files_are_records_and_the_rest_is_answered(way, a_file, tmp_path):
    (tmp_path / "text.dcm").write_text("not an image")
    (tmp_path / "cut.dcm").write_bytes(a_file.read_bytes()[:2000])
    (tmp_path / "empty.dcm").touch()
    shutil.copy(a_file, tmp_path / "good.dcm")
    problems = [answer.problem for answer in predict([tmp_path], way / "bundle")]
    assert [problem is None for problem in problems] == [False, False, True, False]
    assert not any(str(tmp_path) in problem for problem in problems if problem)


def test_a_real_clip_is_answered(way):
    answer = predict([examples.get_path("ybr_color")], way / "bundle")[0]
    assert answer.problem is None
    assert (answer.view is None) == answer.unknown
    assert len(answer.frames_used) == 2


def test_doppler_is_told_but_is_no_problem(way, tmp_path, a_file):
    dataset = pydicom.dcmread(a_file)
    region = pydicom.Dataset()
    region.RegionSpatialFormat, region.RegionDataType = 3, 3
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 50, 50
    dataset.SequenceOfUltrasoundRegions = [region]
    dataset.save_as(tmp_path / "doppler.dcm")
    answer = predict([tmp_path / "doppler.dcm"], way / "bundle")[0]
    assert (answer.mode, answer.view, answer.problem, answer.unknown) == ("spectral", None, None, None)
    assert "shows no 2-D image but spectral" in answer_lines([answer])[1]


def test_nothing_to_answer(way, a_file, tmp_path):
    with pytest.raises(WrongCall, match="there is no file at argument 2") as error:
        predict([a_file, tmp_path / "none.dcm"], way / "bundle")
    assert "none" not in str(error.value)
    with pytest.raises(WrongCall, match="no file to answer"):
        predict([tmp_path], way / "bundle")
    with pytest.raises(CannotDo, match="not a whole bundle"):
        predict([tmp_path], tmp_path)


@pytest.fixture(scope="module")
def answers(way, a_file, tmp_path_factory):
    broken = tmp_path_factory.mktemp("b") / "broken.dcm"
    broken.touch()
    return predict([a_file, broken], way / "bundle")


@pytest.mark.parametrize("ending", ["json", "csv", "parquet"])
@pytest.mark.parametrize("show_paths", [False, True])
def test_written_answers_say_the_same_in_every_form(answers, tmp_path, a_file, ending, show_paths):
    path = tmp_path / f"answers.{ending}"
    write_answers(answers, path, show_paths=show_paths)
    if ending == "json":
        rows = json.loads(path.read_text())
    elif ending == "parquet":
        rows = pl.read_parquet(path).to_dicts()
    else:
        rows = list(csv.DictReader(path.open()))
        assert rows[0]["views"].split() == list(answers[0].views)
    assert rows[0]["likeliest"] == answers[0].likeliest
    assert float(rows[0]["probability"]) == pytest.approx(answers[0].probability)
    assert rows[1]["problem"] == answers[1].problem
    assert ("file" in rows[0]) == show_paths
    assert (str(a_file) in str(rows)) == show_paths


def test_an_unknown_ending_is_refused(answers, tmp_path):
    with pytest.raises(WrongCall, match=r"as '\.xls'"):
        write_answers(answers, tmp_path / "a.xls")


def test_the_table_for_people(answers, a_file):
    lines = answer_lines(answers)
    assert len(lines) == 3
    assert answers[0].clip in lines[1]
    assert answers[1].problem in lines[2]
    assert str(a_file) not in "\n".join(lines)
    assert str(a_file) in "\n".join(answer_lines(answers, show_paths=True))
    assert records(answers)[0]["model"] == answers[0].model


def test_whatever_goes_wrong_with_one_file_the_others_are_answered(way, a_file, monkeypatch):
    """A catalogue's sector that is none; a fault in the network; too little memory."""
    inputs = [Input(str(a_file), sector="abc"), *[Input(str(a_file))] * 3]
    bundle, faults = open_bundle(way / "bundle"), [RuntimeError("of /home/doe"), MemoryError()]

    def look(self, number, place, sector=None):
        if faults:
            raise faults.pop(0)
        return original(self, number, place, sector)

    original = Answerer.look
    monkeypatch.setattr(Answerer, "look", look)
    answers = list(predict_each(inputs, bundle))
    assert [bool(answer.problem) for answer in answers] == [True, True, True, False]
    assert answers[1].problem == "it could not be answered (RuntimeError)"
    assert "memory" in answers[2].problem
    assert [answer.number for answer in answers] == [1, 2, 3, 4]


def test_numbers_of_studies_are_never_a_catalogues_names(way):
    inputs = [Input("a", study="1"), Input("b"), Input("c"), Input("d", study="3")]
    keyed = [Answer(n, "", study=study) for n, study in enumerate(["1", "x", "y", "3"], start=1)]
    assert [answer.study for answer in number_studies(keyed, inputs)] == ["1", "2", "4", "3"]


def test_a_name_that_is_no_text_is_spelt_out(answers, tmp_path):
    odd = [replace(answers[0], file="/exports/\udcff.dcm")]
    for ending in ("csv", "json", "jsonl", "parquet"):
        write_answers(odd, tmp_path / f"a.{ending}", show_paths=True)
    assert "\\udcff.dcm" in (tmp_path / "a.csv").read_text()
    "\n".join(answer_lines(odd, show_paths=True)).encode()


def test_a_runtime_that_is_passed_over_is_told_by_several_processes_too(way, a_file, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: apical[openvino]")
    shutil.copytree(way / "bundle", tmp_path / "b")
    add_export(tmp_path / "b", b"no network", {})
    for workers in (1, 2):
        told = []
        settings = PredictSettings(workers=workers, device="cpu")
        opened = open_bundle(tmp_path / "b")
        found = predict_each(
            [Input(str(a_file))] * 3, opened, settings, source=tmp_path / "b", tell=told.append
        )
        assert len({answer.likeliest for answer in found}) == 1
        assert any("passed over" in line for line in told)
