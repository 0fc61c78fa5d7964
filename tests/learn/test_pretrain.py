"""Pre-training: repeatable, blind to test patients, the same on two processes, clear when it is refused."""

import json
import subprocess
import sys
import time

import polars as pl
import pytest
import torch
import torch._dynamo.utils
import yaml
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from runs import Stopped, method_settings, same_weights, start, stop_after
from safetensors.torch import load_file

import apical.learn.pretrain as module
from apical.catalogue import read_catalogue, write_catalogue
from apical.config import ClipEncoderSettings, ObjectiveSettings, ViTSettings
from apical.errors import CannotDo, WrongCall
from apical.learn import loop
from apical.learn.checkpoint import load_checkpoint
from apical.learn.pretrain import pretrain
from apical.learn.start import load_encoder

METHODS = ("contrastive", "moco", "byol", "barlow-twins", "vicreg")


def test_same_seed_same_weights_and_another_seed_others(exams, tmp_path, few_steps):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        start(exams, tmp_path / name, few_steps.model_copy(update={"seed": seed}))
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_the_loss_goes_down_and_is_logged(exams, tmp_path, few_steps):
    run = start(exams, tmp_path / "run", few_steps.model_copy(update={"epochs": 12}))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    losses = [line["loss"] for line in lines]
    assert sum(losses[-6:]) < 0.8 * sum(losses[:6])
    assert lines[-1]["learning_rate"] < 0.1 * max(line["learning_rate"] for line in lines)


def test_a_call_that_is_refused_leaves_no_folder(exams, tmp_path, few_steps):
    vit = ViTSettings(width=20, heads=3)
    with pytest.raises(WrongCall):
        start(exams, tmp_path / "run", few_steps.model_copy(update={"encoder": vit}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["contrastive", "byol"])
def test_16_bits_with_a_gradient_scaler(exams, tmp_path, few_steps, method, monkeypatch):
    """As on a GPU, by a scaler for the CPU: near 32 bits, and a resumed run has the stopped one's scale."""

    def fabric_of_16_bits(*_, **__):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=1)
        precision = MixedPrecision("16-mixed", "cpu", scaler)
        fabric = Fabric(accelerator="cpu", devices=1, plugins=[precision])
        fabric.launch()
        return fabric

    settings = method_settings(few_steps, method, chunk_crops=7)
    in_32 = start(exams, tmp_path / "in-32", settings)
    monkeypatch.setattr(module, "fabric_on", fabric_of_16_bits)
    whole = start(exams, tmp_path / "whole", settings)

    with pytest.raises(Stopped):
        start(exams, tmp_path / "cut", settings, progress=stop_after(4))
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["precision"]["scale"] == 2.0**12
    assert same_weights(whole, start(exams, tmp_path / "cut", settings, resume=True))
    losses = [[json.loads(line)["loss"] for line in (run / "metrics.jsonl").open()] for run in (in_32, whole)]
    assert losses[1][:3] == pytest.approx(losses[0][:3], rel=0.05)
    assert losses[1] != losses[0]


def test_two_processes_give_the_weights_of_one(exams, tmp_path, few_steps):
    """By torchrun and the command line, with norms that see one crop at a time. Only one of the two speaks;
    sums of floats differ in their last places."""
    network = few_steps.encoder.model_copy(update={"norm": "group"})
    settings = few_steps.model_copy(update={"encoder": network, "accelerator": "cpu"})
    alone = start(exams, tmp_path / "alone", settings)
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "apical", "pretrain"]
    words += [exams / "frames", exams / "catalogue.parquet", "--out", tmp_path / "two"]
    words += ["--config", tmp_path / "settings.yaml", "--json"]
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {"run": str(tmp_path / "two")}
    one, two = (load_file(run / "encoder.safetensors") for run in (alone, tmp_path / "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4, msg=name)
    steps = [
        [json.loads(line)["loss"] for line in (run / "metrics.jsonl").open()]
        for run in (alone, tmp_path / "two")
    ]
    assert steps[0] == pytest.approx(steps[1], rel=1e-4)


def test_validation_and_test_patients_are_never_seen(exams, tmp_path, few_steps):
    """Their clips taken out of the catalogue, the weights are the same."""
    table = read_catalogue(exams / "catalogue.parquet")
    write_catalogue(table.filter(pl.col("split") == "train"), tmp_path / "train-only.parquet")
    with_all = start(exams, tmp_path / "all", few_steps)
    without = pretrain(exams / "frames", tmp_path / "train-only.parquet", tmp_path / "only", few_steps)
    assert same_weights(with_all, without)


@pytest.mark.parametrize(
    "relation", ["same-frame", "same-clip", "same-view", "view-or-clip", "study-view-or-clip"]
)
def test_every_relation_trains(exams, tmp_path, few_steps, relation):
    settings = few_steps.model_copy(update={"objective": ObjectiveSettings(relation=relation), "epochs": 1})
    encoder, read = load_encoder(start(exams, tmp_path / "run", settings))
    assert read.objective.relation == relation
    assert all(torch.isfinite(tensor).all() for tensor in encoder.state_dict().values())


def test_a_time_budget_ends_the_run(exams, tmp_path, few_steps):
    settings = few_steps.model_copy(update={"epochs": 100_000, "max_minutes": 0.02})
    run = start(exams, tmp_path / "run", settings)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    assert lines[-1]["seconds"] >= 1.2
    assert lines[-1]["epoch"] < 1000
    assert (run / "encoder.safetensors").exists()


def test_bf16_trains(exams, tmp_path, few_steps):
    run = start(exams, tmp_path / "run", few_steps.model_copy(update={"precision": "bf16", "epochs": 1}))
    assert load_file(run / "encoder.safetensors")["stem.0.weight"].dtype == torch.float32


def test_16_bits_are_refused_on_a_cpu(exams, tmp_path, few_steps):
    settings = few_steps.model_copy(update={"precision": "16", "accelerator": "cpu"})
    with pytest.raises(CannotDo, match="a CPU cannot train in 16-bit floats"):
        start(exams, tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns(exams, tmp_path, few_steps, method):
    """The loss ends below where it began, and the features do not all point one way."""
    settings = method_settings(few_steps, method, epochs=15, checkpoint_minutes=2)
    run = start(exams, tmp_path / "run", settings)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    losses = [line["loss"] for line in lines]
    assert sum(losses[-6:]) < 0.95 * sum(losses[:6])
    assert lines[-1]["feature_std"] > 0.2


def test_a_compiled_network_has_the_same_weights_by_the_same_names(exams, tmp_path, few_steps, monkeypatch):
    """Traced by dynamo, but run by torch itself: generating code would take the test minutes."""
    settings = few_steps.model_copy(update={"compile": True})
    compiler = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiler(self, backend="eager"))
    torch._dynamo.reset()
    compiled = start(exams, tmp_path / "compiled", settings)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert same_weights(compiled, start(exams, tmp_path / "plain", few_steps))


def test_a_clip_encoder_learns_from_several_frames(exams, tmp_path, few_steps):
    network = ClipEncoderSettings(of_frame=few_steps.encoder, frames=2)
    run = start(exams, tmp_path / "run", few_steps.model_copy(update={"encoder": network}))
    encoder, _ = load_encoder(run)
    assert encoder.frames == 2


def test_too_few_clips(exams, tmp_path, few_steps):
    table = read_catalogue(exams / "catalogue.parquet").head(1)
    write_catalogue(table, tmp_path / "one.parquet")
    with pytest.raises(CannotDo, match="fewer than two clips"):
        pretrain(exams / "frames", tmp_path / "one.parquet", tmp_path / "run", few_steps)


def test_same_view_without_labels(exams, tmp_path, few_steps):
    table = read_catalogue(exams / "catalogue.parquet").with_columns(view=pl.lit(None, pl.String))
    write_catalogue(table, tmp_path / "bare.parquet")
    settings = few_steps.model_copy(update={"objective": ObjectiveSettings(relation="same-view")})
    with pytest.raises(CannotDo, match="needs labels and there are none"):
        pretrain(exams / "frames", tmp_path / "bare.parquet", tmp_path / "run", settings)


def test_a_device_that_is_not_there(exams, tmp_path, few_steps):
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(CannotDo, match="there is no 'cuda' device on this machine"):
        start(exams, tmp_path / "run", few_steps.model_copy(update={"accelerator": "cuda"}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("pause", "epochs", "warned"), [(0.0, 1, False), (0.2, 3, True)])
def test_only_waiting_again_and_again_is_told(exams, tmp_path, few_steps, monkeypatch, pause, epochs, warned):
    """That the first batch comes late, because feeders start, is nothing that a user should mend."""
    make = loop.Feeder.batches

    def batches(self, place):
        time.sleep(0.2)
        for batch in list(make(self, place)):
            time.sleep(pause)
            yield batch

    monkeypatch.setattr(loop.Feeder, "batches", batches)
    told = []
    settings = few_steps.model_copy(update={"batch_clips": 36, "epochs": epochs})
    start(exams, tmp_path / "run", settings, tell=told.append)
    assert any("waits for data" in one for one in told) == warned
