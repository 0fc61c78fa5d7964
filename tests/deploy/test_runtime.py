"""Runtimes: equal on real frames, taken by what is there, believed only after the probe."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import ENCODERS, FRAME, SIZE, made

from apical.config import FrameSettings
from apical.deploy import runtime as runtimes
from apical.deploy.bundle import open_bundle
from apical.deploy.parity import KEY, Record, gap, probe_frames
from apical.deploy.runtime import choose_runtime, onnx_runtime, openvino_runtime
from apical.deploy.torch_runtime import torch_runtime
from apical.errors import CannotDo, WrongCall
from apical.ingest.clip import open_clip
from apical.ingest.frames import FrameStore
from apical.ingest.prepare import prepare

onnx = pytest.importorskip("onnx", reason="pip install 'apical[openvino]'")
for extra in ("onnxruntime", "onnxscript"):
    pytest.importorskip(extra, reason="pip install 'apical[openvino]'")
if not runtimes.is_installed("openvino"):
    pytest.skip("pip install 'apical[openvino]'", allow_module_level=True)

from apical.deploy.export import export_onnx  # noqa: E402

REAL_DICOM = Path(__file__).parents[3] / "shared" / "data" / "dicom-dev"
KINDS = {"resnet": True, "vit": False, "clip": True}  # by encoder: whether contrast agent was taught


@cache
def exported(kind="resnet"):
    return export_onnx(made(ENCODERS[kind], agent=KINDS[kind]), input_size=SIZE, frame_size=FRAME)


def in_torch(kind="resnet"):
    return torch_runtime(made(ENCODERS[kind], agent=KINDS[kind]), SIZE)


def real_frames():
    """All frames of the real clips that are 2-D images with a sector: three machines."""
    files = ["pydicom-data/JPGLosslessP14SV1_1s_1f_8b.dcm", "weasis/ybrFull-RLE.dcm", "fo-dicom/DIRW0007"]
    settings = FrameSettings(size=FRAME, frames_per_clip=24)
    return np.concatenate([prepare(open_clip(str(REAL_DICOM / name)), settings).frames for name in files])


def windows(frames, count, together):
    """So many windows of frames that are taken in turn."""
    return frames[np.arange(count * together) % len(frames)].reshape(count, together, FRAME, FRAME)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["real", "phantom"])
def test_both_runtimes_answer_as_torch_does_in_batches_of_any_size(kind, source, way):
    if source == "real" and not REAL_DICOM.is_dir():
        pytest.skip("no ../shared/data/dicom-dev here")
    frames = real_frames() if source == "real" else FrameStore.open(way / "frames").frames
    reference = in_torch(kind)
    made = [onnx_runtime(exported(kind), 1), openvino_runtime(exported(kind), threads=1)]
    for count in (1, 2, 7, 300):
        given = windows(frames, count, reference.classifier.encoder.frames)
        wanted = reference(given)
        for runtime in made:
            for found, expected in zip(runtime(given), wanted, strict=True):
                assert found.dtype == np.float32
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert wanted.features.std(axis=0).max() > 1e-3  # so that there is something to get wrong
    assert np.isnan(wanted.agent).all() == (not KINDS[kind])
    assert (wanted.logits[:, [1, 4]] == -1e4).all()


def test_torch_gives_what_the_classifier_gives(way):
    """The agent's logit is that of the probability that training writes down."""
    classifier = made()
    frames = FrameStore.open(way / "frames").frames[:9, None]
    found = torch_runtime(classifier, SIZE)(frames)
    expected = classifier.agent_probability(found.features)
    np.testing.assert_allclose(1 / (1 + np.exp(-found.agent)), expected, atol=1e-6)


@pytest.mark.parametrize("start", [
    lambda: torch_runtime(made(), SIZE, "cpu", "bf16"),
    lambda: openvino_runtime(exported(), "bf16", 1),
])  # fmt: skip
def test_bf16_is_near_and_says_so(start):
    runtime, probe = start(), probe_frames(1, FRAME)
    assert "bf16" in runtime.name
    assert gap(runtime(probe), in_torch()(probe)) < 0.1
    assert np.allclose(runtime(probe).logits[:, [1, 4]], -1e4, rtol=2e-3)


# which is taken


def chosen(**changes):
    """Name of the runtime, and what was told on the way."""
    told = []
    wanted = {
        "onnx": exported(),
        "classifier": made,
        "input_size": SIZE,
        "frame_size": FRAME,
        "device": "cpu",
    }
    return choose_runtime(**wanted | {"tell": told.append} | changes).name, told


def not_called():
    raise AssertionError("torch's classifier is not needed")


def hide(monkeypatch, *names):
    """As if these packages were not installed."""
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def test_on_a_cpu_the_exported_network_is_taken_without_the_classifier():
    assert chosen(classifier=not_called) == ("onnxruntime (cpu, f32)", [])
    assert chosen(classifier=not_called, runtime="openvino") == ("openvino (cpu, f32)", [])
    assert chosen(classifier=not_called, precision="bf16") == ("openvino (cpu, bf16)", [])


def test_what_is_not_installed_is_passed_over_in_silence(monkeypatch):
    hide(monkeypatch, "onnxruntime")
    assert chosen() == ("openvino (cpu, f32)", [])
    hide(monkeypatch, "openvino")
    assert chosen() == ("torch (cpu, f32)", [])


def test_without_an_export_torch_answers():
    assert chosen(onnx=None) == ("torch (cpu, f32)", [])
    assert chosen(onnx=None, precision="bf16") == ("torch (cpu, bf16)", [])


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_the_one_asked_for_must_be_there(name, monkeypatch):
    with pytest.raises(CannotDo, match=f"no exported network for {name}"):
        chosen(onnx=None, runtime=name)
    hide(monkeypatch, name)
    with pytest.raises(CannotDo) as caught:
        chosen(runtime=name)
    assert str(caught.value) == f"{name} is not installed. Install it: pip install 'apical[openvino]'."


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"device": "tpu"}, "no 'tpu'"),
        ({"runtime": "tvm"}, "no 'tvm'"),
        ({"precision": "f8"}, "no 'f8'"),
        ({"runtime": "openvino", "device": "cuda"}, "on the CPU only"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "has no bf16"),
    ],
)
def test_wrong_calls(changes, says):
    with pytest.raises(WrongCall, match=says):
        chosen(**changes)


# what is not believed


def changed(model, change):
    """A model after `change` of onnx's message."""
    message = onnx.load_from_string(model)
    change(message)
    return message.SerializeToString()


def with_other_weights(message):
    """The head's bias of one view off by a tenth."""
    (bias,) = [one for one in message.graph.initializer if one.name.endswith("head.bias")]
    values = onnx.numpy_helper.to_array(bias).copy()
    values[0] += 0.1
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))


def without_record(message):
    del message.metadata_props[:]


def with_nan_for_agent(message):
    (bias,) = [one for one in message.graph.initializer if one.name.endswith("agent.bias")]
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(1, np.nan, np.float32), bias.name))


BROKEN = {
    "other weights": (lambda: changed(exported(), with_other_weights), "off those that torch gave"),
    "agent lost": (lambda: changed(exported(), with_nan_for_agent), "inf off those that torch gave"),
    "foreign": (lambda: changed(exported(), without_record), "not one that this apical made"),
    "half a file": (lambda: exported()[:-1000], "cannot load"),
    "no model": (lambda: b"no model", "cannot load"),
    "nothing": (lambda: b"", "cannot load"),
    "of other frames": (
        lambda: export_onnx(made(), input_size=SIZE, frame_size=48), "for frames of another size"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_wrong_model_falls_back_to_torch_and_says_so(case):
    make, why = BROKEN[case]
    model = make()
    name, told = chosen(onnx=model)
    assert name == "torch (cpu, f32)"
    assert [line.split()[0] for line in told] == ["onnxruntime", "openvino"]
    assert all(" is passed over: " in line for line in told)
    assert all(why in line or "not one that this apical made" in line for line in told)
    for runtime in ("onnxruntime", "openvino"):
        with pytest.raises(CannotDo):
            chosen(onnx=model, runtime=runtime)


def test_a_runtime_that_fails_falls_back_to_the_next(monkeypatch):
    real = runtimes.onnx_runtime

    def fails(model, threads=None):
        made = real(model, threads)

        def run(frames):
            raise MemoryError

        return runtimes.Exported(made.library, made.precision, made.record, run)

    monkeypatch.setattr(runtimes, "onnx_runtime", fails)
    line = "onnxruntime is passed over: it cannot answer (MemoryError)"
    assert chosen(classifier=not_called) == ("openvino (cpu, f32)", [line])


def test_a_gpu_without_torchs_support_is_passed_over(monkeypatch):
    """As on a machine with a driver and a torch for CPUs."""
    monkeypatch.setattr(runtimes, "has_gpu_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = "torch on the GPU is passed over: torch sees no GPU here"
    assert chosen(device="auto") == ("onnxruntime (cpu, f32)", [line])
    assert chosen(device="auto", runtime="torch") == ("torch (cpu, f32)", [line])
    with pytest.raises(CannotDo, match="torch sees no GPU here"):
        chosen(device="cuda")


def test_a_gpu_that_answers_otherwise_is_passed_over(monkeypatch):
    monkeypatch.setattr(runtimes, "has_gpu_driver", lambda: True)
    real = runtimes._torch

    def on_a_broken_gpu(classifier, input_size, device, precision):
        network = classifier()
        if device == "cuda":
            with torch.no_grad():
                network.head.weight *= 1.01
        return real(lambda: network, input_size, "cpu", precision)

    monkeypatch.setattr(runtimes, "_torch", on_a_broken_gpu)
    name, (line,) = chosen(device="auto", classifier=made)
    assert name == "onnxruntime (cpu, f32)"
    assert "torch on the GPU is passed over: its answers are" in line


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_answers_as_a_cpu_does(kind):
    frames = windows(np.random.default_rng(0).integers(0, 256, (64, FRAME, FRAME), dtype=np.uint8), 300, 3)
    together = made(ENCODERS[kind]).encoder.frames
    given = frames.reshape(-1, together, FRAME, FRAME)
    on_gpu = torch_runtime(made(ENCODERS[kind], agent=KINDS[kind]), SIZE, "cuda")
    assert gap(on_gpu(given), in_torch(kind)(given)) < 1e-4


# the record


def test_the_probe_is_the_same_on_every_machine():
    probe = probe_frames(2, 5)
    assert probe.shape == (3, 2, 5, 5)
    assert probe.ravel()[:8].tolist() == [83, 252, 81, 201, 222, 100, 112, 95]


values = st.floats(-100, 100, width=32) | st.just(-1e4) | st.just(float("nan"))


@given(st.lists(values, min_size=1, max_size=6))
def test_a_record_comes_back_as_it_was(numbers):
    outputs = [np.array([numbers], np.float32), np.array([numbers, numbers], np.float32), np.array([0], "f4")]
    record = Record("f32", "0123", 32, 40, 1, outputs)
    again = Record.of(record.metadata())
    assert gap(again.outputs, outputs) == 0
    assert again.metadata() == record.metadata()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "outputs": {"features": {"shape": [3]}}}']
)
def test_a_record_of_another_kind_is_refused(text):
    with pytest.raises(CannotDo, match="not one that this apical made"):
        Record.of({KEY: text})


def test_a_gap_is_a_share_of_the_largest_number_that_counts():
    a = np.array([[20.0, 10.0, -1e4]], np.float32)
    none = np.zeros((1, 2), np.float32)
    assert gap([none, a], [none, a]) == 0
    assert gap([none, a + np.float32(0.5)], [none, a]) == pytest.approx(0.025)
    assert gap([none + np.float32(0.5), a], [none, a]) == pytest.approx(0.5)
    for other in (a[:, :2], np.where(a < 0, np.nan, a), np.where(a < 0, 0, a), np.where(a == 20, np.nan, a)):
        assert gap([none, other.astype(np.float32)], [none, a]) == float("inf")


# starting


def test_the_exported_network_answers_without_torch(tmp_path):
    """Nor anything else that takes long to import."""
    (tmp_path / "network.onnx").write_bytes(exported())
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from apical.deploy.runtime import choose_runtime\n"
        "from apical.deploy.parity import probe_frames\n"
        "runtime = choose_runtime(onnx=Path(sys.argv[1]).read_bytes(), classifier=None, input_size=32,"
        " frame_size=40, device='cpu', runtime=sys.argv[2])\n"
        "runtime(probe_frames(1, 40))\n"
        "print(runtime.name, {'torch', 'sklearn', 'scipy', 'lightning_fabric'} & set(sys.modules))"
    )
    for name in ("onnxruntime", "openvino"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "network.onnx"), name],
            env=dict(os.environ), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == f"{name} (cpu, f32) set()"


def test_a_bundles_own_network_gives_the_clip_probabilities_of_its_run(way):
    """From the bundle's classifier through ONNX to what `predictions.parquet` says of a clip."""
    from apical.learn.predictions import Predictions

    bundle = open_bundle(way / "bundle")
    model = export_onnx(bundle.classifier, input_size=bundle.input_size, frame_size=bundle.frames.size)
    store = FrameStore.open(way / "frames")
    said = Predictions.load(way / "runs" / "probe" / "predictions.parquet")
    runtime = onnx_runtime(model)
    for clip in said.clip[:5]:
        rows = store.index.filter(store.index["clip"] == clip)["row"].to_numpy()
        logits = torch.from_numpy(runtime(store.frames[rows][:, None]).logits)
        pooled = logits.log_softmax(1).mean(0).log_softmax(0)
        place = list(said.clip).index(clip)
        np.testing.assert_allclose(pooled, said.log_probabilities[place], atol=1e-4)
