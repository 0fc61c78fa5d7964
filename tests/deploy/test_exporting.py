"""The export of a bundle answers as the bundle does, inside it or beside it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from apical.deploy.answering import Answerer, log_softmax
from apical.deploy.bundle import open_bundle
from apical.deploy.exporting import calibration_windows, export_bundle
from apical.errors import CannotDo
from apical.judge.calibration import Scaling

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: apical[openvino]")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: apical[openvino]")


@pytest.fixture(scope="module")
def exported(way, tmp_path_factory):
    folder = tmp_path_factory.mktemp("e") / "bundle"
    shutil.copytree(way / "bundle", folder)
    export_bundle(folder)
    return folder


def test_into_the_bundle_and_then_it_answers_the_same(exported, way):
    files = [str(path) for path in sorted((way / "phantom").rglob("*.dcm"))[:13]]
    by_torch = Answerer.open(way / "bundle", runtime="torch", key=b"k")
    quick = Answerer.open(exported, runtime="onnxruntime", key=b"k")
    assert quick.bundle.model_version == by_torch.bundle.model_version
    for file in files:
        one, seen = by_torch.look(1, file)
        other, also = quick.look(1, file)
        assert (one.view, one.views, one.unknown, one.frames_used) == (
            other.view, other.views, other.unknown, other.frames_used,
        )  # fmt: skip
        if seen is not None:
            np.testing.assert_allclose(seen.probabilities, also.probabilities, atol=1e-4)


def test_automatically_it_is_taken(exported):
    assert Answerer.open(exported, device="cpu").runtime.name.startswith(("onnxruntime", "openvino"))


def test_in_16_bits_it_says_so(exported, a_file):
    pytest.importorskip("openvino", reason="openvino is not installed: apical[openvino]")
    answer = Answerer.open(exported, precision="bf16").answer(1, str(a_file))
    assert answer.model.endswith("-bf16")


def test_beside_the_bundle_with_all_that_is_needed_to_use_it(way, a_file, tmp_path):
    """From the file and its .json alone, with onnxruntime and numpy, come the probabilities of the answer."""
    facts = export_bundle(way / "bundle", tmp_path / "network.onnx")
    assert facts["format"] == "onnx"
    with pytest.raises(CannotDo, match=r"'network.onnx' exists"):
        export_bundle(way / "bundle", tmp_path / "network.onnx")
    spec = json.loads((tmp_path / "network.onnx.json").read_text())
    answer, seen = Answerer.open(way / "bundle", runtime="torch").look(1, str(a_file))
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    logits = dict(
        zip(
            [output.name for output in session.get_outputs()],
            session.run(None, {session.get_inputs()[0].name: seen.frames[:, None]}),
            strict=True,
        )
    )["logits"]
    views = [view["name"] for view in spec["bundle"]["views"]]
    taught = np.isin(views, spec["bundle"]["taught"])
    bundle = open_bundle(way / "bundle")
    random = np.random.default_rng(0)
    vector = Scaling("vector", tuple(random.uniform(0.5, 2, 13)), tuple(random.normal(0, 1, 13)))
    pooled = log_softmax(logits).mean(axis=0)
    for scaling in (bundle.scaling, vector):
        other = Answerer(replace(bundle, scaling=scaling), Answerer.of(bundle, runtime="torch").runtime)
        centred = pooled - pooled[taught].mean()  # word for word what the file says
        scaled = np.exp(np.where(taught, centred * scaling.weight + np.array(scaling.bias), -np.inf))
        seen = other.look(1, str(a_file))[1]
        np.testing.assert_allclose(scaled / scaled.sum(), seen.probabilities, atol=1e-4)
    assert spec["bundle"]["calibration"]["weight"] == list(bundle.scaling.weight)
    assert answer.model == spec["bundle"]["version"]


def test_to_openvino(way, tmp_path):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed: apical[openvino]")
    facts = export_bundle(way / "bundle", tmp_path / "ir")
    assert facts["format"] == "openvino"
    (model,) = (tmp_path / "ir").glob("*.xml")
    assert openvino.Core().read_model(model).input().partial_shape[0].is_dynamic
    assert json.loads((tmp_path / "ir" / "network.json").read_text())["bundle"]["version"] == facts["version"]
    with pytest.raises(CannotDo, match="'ir' exists"):
        export_bundle(way / "bundle", tmp_path / "ir")


def test_in_eight_bits_by_training_patients(way, tmp_path, a_file):
    """Nearly the same probabilities; the store must be the bundle's, and have training patients."""
    shutil.copytree(way / "bundle", tmp_path / "b")
    store, catalogue = way / "frames", way / "catalogue.parquet"
    assert export_bundle(tmp_path / "b", int8=(store, catalogue))["precision"] == "int8"
    quick = Answerer.open(tmp_path / "b", runtime="onnxruntime")
    assert "int8" in quick.runtime.name
    exact = Answerer.open(way / "bundle", runtime="torch").look(1, str(a_file))[1]
    assert np.abs(quick.look(1, str(a_file))[1].probabilities - exact.probabilities).max() < 0.05
    bundle = open_bundle(way / "bundle")
    few = calibration_windows(bundle, store, catalogue)
    table = pl.read_parquet(catalogue)
    assert len(few) == table.filter(pl.col("split") == "train").height
    table.with_columns(split=pl.lit("test")).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(CannotDo, match="no clips of training patients"):
        calibration_windows(bundle, store, tmp_path / "c.parquet")
    other = replace(bundle, frames=bundle.frames.model_copy(update={"size": 99}))
    with pytest.raises(CannotDo, match="made otherwise"):
        calibration_windows(other, store, catalogue)


def test_a_bundle_that_was_exported_is_whole(exported):
    opened = open_bundle(exported)
    assert opened.facts["exports"]["network.onnx"]["opset"] >= 18
    assert opened.onnx
