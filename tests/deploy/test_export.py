"""Exported networks: what torch answers, from the same frames, in other people's runtimes."""

import json
import logging
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import networks
import numpy as np
import pytest
import torch
from networks import ENCODERS, FRAME, SIZE, made

from apical.errors import CannotDo
from apical.learn.augment import plain

onnx = pytest.importorskip("onnx", reason="pip install 'apical[openvino]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'apical[openvino]'")
pytest.importorskip("onnxscript", reason="pip install 'apical[openvino]'")

from apical.deploy.export import OPSET, export_onnx, network_of, resize_matrix, to_openvino  # noqa: E402
from apical.deploy.parity import KEY, NAMES, Record, gap, probe_frames  # noqa: E402
from apical.deploy.quantise import quantise  # noqa: E402
from apical.deploy.runtime import import_openvino, onnx_runtime, openvino_runtime  # noqa: E402


@cache
def export_of(kind="resnet", agent=True, cosine=None):
    return export_onnx(made(ENCODERS[kind], agent=agent, cosine=cosine), input_size=SIZE, frame_size=FRAME)


@pytest.fixture(scope="module")
def exported():
    return export_of()


def noise(count, frames=1, size=FRAME):
    return np.random.default_rng(1).integers(0, 256, (count, frames, size, size), dtype=np.uint8)


def smooth(count, frames=1):
    """Frames (count, frames, s, s) with large shapes, as echo has them."""
    coarse = np.random.default_rng(2).integers(0, 256, (count, frames, 5, 5), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 1, FRAME // 5, FRAME // 5), np.uint8))


@pytest.mark.parametrize(("before", "after"), [(40, 32), (80, 64), (112, 224), (140, 112), (33, 8), (32, 32)])
def test_two_products_are_the_antialiased_resize(before, after):
    frames = torch.from_numpy(noise(2, 3, before))
    wanted = plain(frames, after)
    matrix = resize_matrix(before, after)
    found = (matrix @ (frames.float() / 255) @ matrix.T - 0.15) / 0.2
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("input_size", [SIZE, FRAME])
def test_the_graph_is_plain_and_then_the_classifier(input_size):
    classifier = made()
    frames = torch.from_numpy(noise(3))
    with torch.inference_mode():
        features, logits, agent = network_of(classifier, input_size=input_size, frame_size=FRAME)(frames)
        wanted_features, wanted_logits = classifier(plain(frames, input_size))
    torch.testing.assert_close(features, wanted_features, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, wanted_logits, rtol=0, atol=1e-5)
    probability = classifier.agent_probability(wanted_features.numpy())
    np.testing.assert_allclose(agent.sigmoid(), probability, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "agent", "cosine"),
    [
        ("resnet", True, None),
        ("pooled resnet with group norm", False, 16.0),
        ("vit", False, None),
        ("clip", True, None),
    ],
)
def test_plain_onnxruntime_gives_torchs_answers_for_any_number_of_windows(kind, agent, cosine):
    """Without our code: a session, the input's name, the outputs' names."""
    classifier = made(ENCODERS[kind], agent=agent, cosine=cosine)
    together = classifier.encoder.frames
    session = onnxruntime.InferenceSession(export_of(kind, agent, cosine), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7, 300):
        frames = smooth(count, together)
        features, logits, tells = session.run(["features", "logits", "agent"], {"frames": frames})
        with torch.inference_mode():
            wanted_features, wanted_logits = classifier(plain(torch.from_numpy(frames), SIZE))
        assert count == 1 or wanted_logits.std(0)[0] > 1e-3  # so that there is something to get wrong
        np.testing.assert_allclose(features, wanted_features, rtol=0, atol=1e-4)
        np.testing.assert_allclose(logits, wanted_logits, rtol=0, atol=1e-4)
        assert (logits[:, [1, 4]] == -1e4).all()
        assert tells.shape == (count,)
        assert np.isnan(tells).all() == (not agent)


def test_the_file_is_valid_onnx_of_the_stated_opset_and_says_what_it_takes(exported):
    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    entry = model.graph.input[0]
    shape = [size.dim_value or size.dim_param for size in entry.type.tensor_type.shape.dim]
    assert (entry.name, entry.type.tensor_type.elem_type, shape) == (
        "frames",
        2,
        ["windows", 1, FRAME, FRAME],
    )
    assert [output.name for output in model.graph.output] == list(NAMES)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["intended_use"] == "research only; not a medical device"
    assert "divide by 255" in about["preprocessing"]
    assert "(windows, 1, 40, 40)" in about["frames"]
    assert json.loads(about[KEY])["precision"] == "f32"


def test_the_same_weights_give_the_same_bytes_and_others_another_name(exported):
    assert export_onnx(made(), input_size=SIZE, frame_size=FRAME) == exported
    other = made()
    with torch.no_grad():
        other.head.bias[0] += 1e-3
    name = [Record.of(onnx_runtime(model).record.metadata()).weights for model in (
        exported, export_onnx(other, input_size=SIZE, frame_size=FRAME))]  # fmt: skip
    assert name[0] != name[1]


def test_no_path_of_this_machine_is_inside(exported):
    """The exporter writes a stack trace beside every node."""
    for place in (networks.__file__, sys.modules["apical.learn.resnet"].__file__, torch.__file__):
        assert str(Path(place).parent).encode() not in exported
    assert b".py" not in exported


def test_exporting_changes_neither_the_classifier_nor_logging(exported):
    classifier = made().train()
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    level = logging.getLogger("torch.onnx").level
    assert export_onnx(classifier, input_size=SIZE, frame_size=FRAME) == exported
    assert classifier.training
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.state_dict().items())
    assert logging.getLogger("torch.onnx").level == level


def test_what_onnx_does_not_know_is_said():
    classifier = made()
    classifier.encoder.forward = lambda x: torch.linalg.eigvals(x[:, 0]).real.repeat(1, 2)
    with pytest.raises(CannotDo, match="this network cannot be exported"):
        export_onnx(classifier, input_size=SIZE, frame_size=FRAME)


def test_openvinos_files_give_the_same_answers_with_the_same_record(exported, tmp_path):
    openvino = import_openvino_or_skip()
    (tmp_path / "ir").mkdir()
    (tmp_path / "ir" / "thesis.txt").touch()
    files = to_openvino(exported, tmp_path / "ir")
    assert [file.name for file in files] == ["network.xml", "network.bin"]
    assert sorted(file.name for file in tmp_path.rglob("*")) == [
        "ir",
        "network.bin",
        "network.xml",
        "thesis.txt",
    ]
    read = openvino.Core().read_model(files[0])
    record = Record.of({KEY: read.get_rt_info(["framework", KEY]).value})
    compiled = openvino.Core().compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(probe_frames(1, FRAME))
    assert gap([found[name] for name in NAMES], record.outputs) < 1e-5
    assert str(tmp_path) not in files[0].read_text()
    with pytest.raises(CannotDo, match="OpenVINO cannot read this model"):
        to_openvino(b"no model", tmp_path / "ir")


def import_openvino_or_skip():
    """OpenVINO as our code imports it, without its telemetry."""
    if find_spec("openvino") is None:
        pytest.skip("pip install 'apical[openvino]'")
    return import_openvino()


def test_int8_is_near_in_both_runtimes_and_keeps_heads_and_preprocessing(exported, tmp_path, monkeypatch):
    import_openvino_or_skip()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    windows = smooth(64)
    small = quantise(exported, windows)
    assert list(tmp_path.iterdir()) == []
    assert small == quantise(exported, windows)
    assert len(small) < 0.5 * len(exported)
    whole, one, two = onnx_runtime(exported), onnx_runtime(small), openvino_runtime(small)
    assert (one.name, two.name) == ("onnxruntime (cpu, int8)", "openvino (cpu, int8)")
    fresh = smooth(100)[64:]
    assert 1e-4 < gap(one(fresh), whole(fresh)) < 0.1
    assert 1e-4 < gap(two(fresh), whole(fresh)) < 0.1
    assert gap(two(fresh), one(fresh)) < 0.05
    kinds = [node.op_type for node in onnx.load_from_string(small).graph.node]
    assert kinds.count("Gemm") == 2
    assert not {"QLinearMatMul", "QGemm"} & set(kinds)
    assert b".py" not in small


def test_attention_is_not_quantised():
    with pytest.raises(CannotDo, match="attention"):
        quantise(export_of("vit", False), noise(4))


WATCHED = """
import socket, sys
def refuse(*_): print("network"); raise OSError
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from pathlib import Path
from apical.deploy.runtime import openvino_runtime
from apical.deploy.parity import probe_frames
runtime = openvino_runtime(Path(sys.argv[1]).read_bytes())
runtime(probe_frames(1, 40))
import threading
for thread in threading.enumerate():
    if thread is not threading.current_thread(): thread.join(2)
print(sorted(name for name in sys.modules if "telemetry" in name and sys.modules[name] is not None))
"""


def test_openvino_sends_nothing_and_leaves_nothing_in_the_home_folder(exported, tmp_path):
    import_openvino_or_skip()
    (tmp_path / "home").mkdir()
    (tmp_path / "network.onnx").write_bytes(exported)
    words = [sys.executable, "-c", WATCHED, str(tmp_path / "network.onnx")]
    done = subprocess.run(
        words, env={**os.environ, "HOME": str(tmp_path / "home"), "CI": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "network" not in done.stdout
    assert "openvino_telemetry" not in done.stdout
    assert list((tmp_path / "home").iterdir()) == []
