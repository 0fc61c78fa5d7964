"""Pre-training: repeatable, resumable to the same bits, blind to test patients, clear when it fails."""

import json
import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import apical.learn.pretrain as module
from apical.catalogue import read_catalogue, write_catalogue
from apical.errors import CannotDo
from apical.learn.checkpoint import load_checkpoint
from apical.learn.pretrain import load_encoder, pretrain, spread


class Stopped(Exception):
    """Stands in for a power cut."""


def same_weights(one, other):
    first, second = (load_file(run / "encoder.safetensors") for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def start(exams, out, settings, **options):
    return pretrain(exams / "frames", exams / "catalogue.parquet", out, settings, **options)


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


@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_resumed_equals_uninterrupted(exams, tmp_path, few_steps, stop_after):
    """With a checkpoint after each step, stop behind step n, go on, and compare the final bits."""
    settings = few_steps.model_copy(update={"checkpoint_minutes": 0})
    whole = start(exams, tmp_path / "whole", settings)

    def stop(done, total):
        if done == stop_after:
            raise Stopped

    with pytest.raises(Stopped):
        start(exams, tmp_path / "cut", settings, progress=stop)
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["step"] == stop_after
    cut = start(exams, tmp_path / "cut", settings, resume=True)
    assert same_weights(whole, cut)
    steps = [[json.loads(line)["step"] for line in (run / "metrics.jsonl").open()] for run in (whole, cut)]
    assert steps[0] == steps[1]
    assert not (cut / "checkpoint.pt").exists()


def test_killed_process_resumes_to_the_same_bits(exams, tmp_path, few_steps):
    """A real process, a real kill -9 as soon as a checkpoint is there."""
    settings = few_steps.model_copy(update={"checkpoint_minutes": 0, "epochs": 40})
    program = (
        "import sys; from pathlib import Path; from apical.config import PretrainSettings\n"
        "from apical.learn.pretrain import pretrain\n"
        "store, catalogue, out, settings = sys.argv[1:]\n"
        "pretrain(Path(store), Path(catalogue), Path(out), PretrainSettings.model_validate_json(settings))\n"
    )
    words = [exams / "frames", exams / "catalogue.parquet", tmp_path / "cut", settings.model_dump_json()]
    process = subprocess.Popen([sys.executable, "-c", program, *map(str, words)], stderr=subprocess.PIPE)
    while not (tmp_path / "cut" / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
    process.stderr.close()
    cut = start(exams, tmp_path / "cut", settings, resume=True)
    whole = start(exams, tmp_path / "whole", settings)
    assert same_weights(whole, cut)


def test_validation_and_test_patients_are_never_seen(exams, tmp_path, few_steps):
    """Their clips taken out of the catalogue, the weights are the same."""
    table = read_catalogue(exams / "catalogue.parquet")
    write_catalogue(table.filter(pl.col("split") == "train"), tmp_path / "train-only.parquet")
    with_all = start(exams, tmp_path / "all", few_steps)
    without = pretrain(exams / "frames", tmp_path / "train-only.parquet", tmp_path / "only", few_steps)
    assert same_weights(with_all, without)


@pytest.mark.parametrize("relation", ["same-frame", "same-clip", "same-view", "view-or-clip"])
def test_every_relation_trains(exams, tmp_path, few_steps, relation):
    settings = few_steps.model_copy(update={"relation": relation, "epochs": 1})
    encoder, read = load_encoder(start(exams, tmp_path / "run", settings))
    assert read.relation == relation
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


def test_a_loss_that_is_not_finite_stops_with_a_line_and_the_checkpoint(
    exams, tmp_path, few_steps, monkeypatch
):
    settings = few_steps.model_copy(update={"checkpoint_minutes": 0})
    real, calls = module.contrastive_objective, []

    def turns_bad(*arguments, **options):
        calls.append(1)
        return real(*arguments, **options) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(module, "contrastive_objective", turns_bad)
    with pytest.raises(CannotDo, match=r"loss is not finite at step 2.*is kept"):
        start(exams, tmp_path / "run", settings)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 2


def test_a_run_is_not_overwritten(exams, tmp_path, few_steps):
    start(exams, tmp_path / "run", few_steps.model_copy(update={"epochs": 1}))
    with pytest.raises(CannotDo, match="'run' already holds a run"):
        start(exams, tmp_path / "run", few_steps)
    with pytest.raises(CannotDo, match=r"started with other settings \(epochs\)"):
        start(exams, tmp_path / "run", few_steps, resume=True)


def test_too_few_clips(exams, tmp_path, few_steps):
    table = read_catalogue(exams / "catalogue.parquet").head(1)
    write_catalogue(table, tmp_path / "one.parquet")
    with pytest.raises(CannotDo, match="fewer than two clips"):
        pretrain(exams / "frames", tmp_path / "one.parquet", tmp_path / "run", few_steps)


def test_same_view_without_labels(exams, tmp_path, few_steps):
    table = read_catalogue(exams / "catalogue.parquet").with_columns(view=pl.lit(None, pl.String))
    write_catalogue(table, tmp_path / "bare.parquet")
    settings = few_steps.model_copy(update={"relation": "same-view"})
    with pytest.raises(CannotDo, match="needs labels and there are none"):
        pretrain(exams / "frames", tmp_path / "bare.parquet", tmp_path / "run", settings)


def test_resume_before_the_first_checkpoint_logs_each_step_once(exams, tmp_path, few_steps):
    def stop(done, total):
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        start(exams, tmp_path / "run", few_steps, progress=stop)
    run = start(exams, tmp_path / "run", few_steps, resume=True)
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").open()]
    assert steps == list(range(1, len(steps) + 1))


def test_a_run_is_not_resumed_on_other_clips(exams, tmp_path, few_steps):
    def stop(done, total):
        raise Stopped

    with pytest.raises(Stopped):
        start(exams, tmp_path / "run", few_steps, progress=stop)
    write_catalogue(read_catalogue(exams / "catalogue.parquet").head(30), tmp_path / "half.parquet")
    with pytest.raises(CannotDo, match=r"other settings \(clips\)"):
        pretrain(exams / "frames", tmp_path / "half.parquet", tmp_path / "run", few_steps, resume=True)


def test_a_device_that_is_not_there(exams, tmp_path, few_steps):
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(CannotDo, match="there is no 'cuda' device on this machine"):
        start(exams, tmp_path / "run", few_steps.model_copy(update={"accelerator": "cuda"}))
    assert not (tmp_path / "run").exists()


def test_spread_is_one_for_even_directions_and_zero_for_one_point():
    generator = torch.Generator().manual_seed(0)
    assert spread(torch.randn(4000, 32, generator=generator)) == pytest.approx(1, abs=0.02)
    assert spread(torch.ones(10, 32)) == 0


def test_an_unfinished_run_has_no_encoder(exams, tmp_path, few_steps):
    def stop(done, total):
        raise Stopped

    with pytest.raises(Stopped):
        start(exams, tmp_path / "run", few_steps, progress=stop)
    with pytest.raises(CannotDo, match="'run' is not finished"):
        load_encoder(tmp_path / "run")
    with pytest.raises(CannotDo, match="'nothing' is not a run folder"):
        load_encoder(tmp_path / "nothing")
