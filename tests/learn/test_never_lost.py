"""A run is never lost: stopped by anything it goes on to the same bits, and what stops it is one line."""

import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from runs import Stopped, method_settings, same_weights, start, stop_after

from apical.catalogue import read_catalogue, write_catalogue
from apical.errors import CannotDo
from apical.learn import loop
from apical.learn.checkpoint import load_checkpoint
from apical.learn.objective import Objective
from apical.learn.pretrain import pretrain
from apical.learn.start import load_encoder
from fake_stores import write_store

PROGRAM = """
import sys
from pathlib import Path
from apical.config import PretrainSettings
from apical.errors import ApicalError
from apical.learn.pretrain import pretrain
if __name__ == "__main__":
    store, catalogue, out, settings, resume = sys.argv[1:]
    try:
        settings = PretrainSettings.model_validate_json(settings)
        pretrain(Path(store), Path(catalogue), Path(out), settings, resume=resume == "resume")
    except ApicalError as error:
        sys.exit(str(error))
"""


def process(exams, out, settings, *words):
    """A real process that pre-trains."""
    arguments = [exams / "frames", exams / "catalogue.parquet", out, settings.model_dump_json(), *words]
    script = out.parent / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, script, *arguments]
    return subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)


def wait_for(path, running):
    """Until there is something in the file, or the process has ended without it."""
    while not (path.exists() and path.stat().st_size) and running.poll() is None:
        time.sleep(0.01)
    assert path.exists(), running.stderr.read()


@pytest.mark.parametrize("step", [1, 4, 7])
def test_resumed_equals_uninterrupted(exams, tmp_path, few_steps, step):
    """With a checkpoint after each step, stop behind step n, go on, and compare the final bits."""
    settings = few_steps.model_copy(update={"checkpoint_minutes": 0})
    whole = start(exams, tmp_path / "whole", settings)

    with pytest.raises(Stopped):
        start(exams, tmp_path / "cut", settings, progress=stop_after(step))
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["step"] == step
    cut = start(exams, tmp_path / "cut", settings, resume=True)
    assert same_weights(whole, cut)
    steps = [[json.loads(line)["step"] for line in (run / "metrics.jsonl").open()] for run in (whole, cut)]
    assert steps[0] == steps[1]
    assert not (cut / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("moco", {"precision": "bf16"}),
        ("byol", {"optimizer": "lars", "chunk_crops": 10}),
        ("barlow-twins", {"keep": "average", "average_decay": 0.9}),
        ("vicreg", {"crops_per_clip": 3, "exam_clips": 2, "balance": "patients"}),
        ("contrastive", {"keep": "average", "balance": "views", "chunk_crops": 7, "feeders": 2}),
    ],
)
def test_resumed_equals_uninterrupted_for_every_method(exams, tmp_path, few_steps, method, changes):
    """Stopped in the middle of an epoch; queue, average, momenta and order are in the checkpoint."""
    settings = method_settings(few_steps, method, **changes)
    whole = start(exams, tmp_path / "whole", settings)

    with pytest.raises(Stopped):
        start(exams, tmp_path / "cut", settings, progress=stop_after(4))
    assert same_weights(whole, start(exams, tmp_path / "cut", settings, resume=True))


@pytest.mark.parametrize("method", ["contrastive", "moco", "byol"])
def test_a_process_killed_again_and_again_ends_with_the_same_bits(exams, tmp_path, few_steps, method):
    """Real processes, kill -9 at random moments, each goes on from what the one before left."""
    settings = method_settings(few_steps, method, epochs=25, feeders=int(method == "contrastive"))
    moments = random.Random(method)
    for word in ("begin", "resume", "resume"):
        running = process(exams, tmp_path / "cut", settings, word)
        before = (tmp_path / "cut" / "checkpoint.pt").stat().st_mtime_ns if word == "resume" else 0
        wait_for(tmp_path / "cut" / "checkpoint.pt", running)
        while running.poll() is None and (tmp_path / "cut" / "checkpoint.pt").stat().st_mtime_ns == before:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.3))
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        if running.returncode != -signal.SIGKILL:
            break  # it was quicker
    finished = process(exams, tmp_path / "cut", settings, "resume")
    assert finished.wait() == 0, finished.stderr.read()
    finished.stderr.close()
    assert same_weights(start(exams, tmp_path / "whole", settings), tmp_path / "cut")


def test_two_processes_told_to_stop_go_on_to_the_same_bits(exams, tmp_path, few_steps):
    """SIGTERM to torchrun, as a scheduler sends it; with batch norms, whose statistics differ by process."""
    settings = few_steps.model_copy(update={"epochs": 150, "feeders": 1})
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))

    def begin(out, *options):
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "apical"]
        words += ["pretrain", exams / "frames", exams / "catalogue.parquet", "--out", out, *options]
        words += ["--config", tmp_path / "settings.yaml"]
        return subprocess.Popen([sys.executable, *map(str, words)], stderr=subprocess.PIPE, text=True)

    stopped = begin(tmp_path / "cut")
    wait_for(tmp_path / "cut" / "metrics.jsonl", stopped)
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate(timeout=120)
    assert stopped.returncode != 0
    assert "stopped by SIGTERM after step" in said, said
    assert 0 < load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["step"] < 450
    for out, options in ((tmp_path / "cut", ["--resume"]), (tmp_path / "whole", [])):
        finished = begin(out, *options)
        _, said = finished.communicate(timeout=300)
        assert finished.returncode == 0, said[-3000:]
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("lost", ["store", "feeder"])
def test_what_feeds_it_is_lost_and_it_ends_with_one_line(exams, tmp_path, few_steps, lost):
    """Also the processes that are left over: they hold up nothing."""
    shutil.copytree(exams / "frames", tmp_path / "frames")
    shutil.copy(exams / "catalogue.parquet", tmp_path)
    settings = few_steps.model_copy(update={"epochs": 4000, "feeders": 2})
    running = process(tmp_path, tmp_path / "run", settings, "begin")
    wait_for(tmp_path / "run" / "metrics.jsonl", running)
    if lost == "store":
        os.truncate(tmp_path / "frames" / "frames.npy", 2000)
        why = "the frame store cannot be read any more"
    else:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)  # the first keeps account of shared memory
        why = "a process that makes crops has ended"
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1
    assert said.strip().splitlines()[-1].startswith(why)
    assert "Traceback" not in said


def test_some_settings_may_change_on_the_way(exams, tmp_path, few_steps):
    """Those that the result does not depend on, such as the way out that an error offers."""

    with pytest.raises(Stopped):
        start(exams, tmp_path / "run", few_steps.model_copy(update={"feeders": 1}), progress=stop_after(1))
    run = start(exams, tmp_path / "run", few_steps, resume=True)
    assert json.loads((run / "settings.json").read_text())["feeders"] == 0
    assert same_weights(run, start(exams, tmp_path / "whole", few_steps))


def test_weights_that_are_not_finite_are_not_kept(exams, tmp_path, few_steps, monkeypatch):
    """A finite loss whose gradient is not: the checkpoint before stays."""
    settings = few_steps.model_copy(update={"checkpoint_minutes": 0})
    real, calls = loop.Loop.learn, []

    def turns_bad(self, *arguments):
        figures = real(self, *arguments)
        calls.append(1)
        if len(calls) == 3:
            next(self.branch.parameters()).data[0] = float("inf")
        return figures

    monkeypatch.setattr(loop.Loop, "learn", turns_bad)
    with pytest.raises(CannotDo, match="the weights are not finite at step 3"):
        start(exams, tmp_path / "run", settings)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_saves_first_and_says_so(exams, tmp_path, few_steps, number):
    """No checkpoint is due for two minutes, so the one that is there was made for the signal."""
    settings = few_steps.model_copy(update={"epochs": 400, "feeders": 1})
    running = process(exams, tmp_path / "run", settings, "begin")
    wait_for(tmp_path / "run" / "metrics.jsonl", running)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1
    name = signal.Signals(number).name
    assert said.strip().splitlines()[-1].startswith(f"stopped by {name} after step ")
    assert "--resume" in said
    step = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == step


def test_signals_are_handled_as_before_afterwards(exams, tmp_path, few_steps):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    start(exams, tmp_path / "run", few_steps.model_copy(update={"epochs": 1}))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_full_disk_is_one_line_and_the_old_checkpoint_stays(exams, tmp_path, few_steps):
    """Files may grow to a size at which the first checkpoint fits, but not a later one."""
    settings = few_steps.model_copy(update={"checkpoint_minutes": 0})
    steps = itertools.count()

    def fills_up(done, total):
        if next(steps) == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(CannotDo, match=r"'checkpoint\.pt' cannot be written \(File too large\)"):
            start(exams, tmp_path / "run", settings, progress=fills_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 3
    whole = start(exams, tmp_path / "whole", settings)
    assert same_weights(whole, start(exams, tmp_path / "run", settings, resume=True))
    assert not list((tmp_path / "run").glob(".*partial"))


def test_a_store_that_goes_away_is_one_line_and_the_checkpoint_stays(exams, tmp_path, few_steps):
    settings = few_steps.model_copy(update={"checkpoint_minutes": 0, "epochs": 50})
    frames = np.load(exams / "frames" / "frames.npy")
    store = write_store(
        tmp_path / "frames", np.repeat(read_catalogue(exams / "catalogue.parquet")["clip"], 3), frames
    )

    def goes_away(done, total):
        if done == 3:
            os.truncate(store / "frames.npy", 2000)

    with pytest.raises(CannotDo, match="the frame store cannot be read any more"):
        pretrain(store, exams / "catalogue.parquet", tmp_path / "run", settings, progress=goes_away)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] >= 3


def test_a_loss_that_is_not_finite_stops_with_a_line_and_the_checkpoint(
    exams, tmp_path, few_steps, monkeypatch
):
    settings = few_steps.model_copy(update={"checkpoint_minutes": 0})
    real, calls = Objective.forward, []

    def turns_bad(*arguments, **options):
        calls.append(1)
        return real(*arguments, **options) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(Objective, "forward", turns_bad)
    with pytest.raises(CannotDo, match=r"loss is not finite at step 2.*is kept"):
        start(exams, tmp_path / "run", settings)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 2


def test_a_run_is_not_overwritten(exams, tmp_path, few_steps):
    start(exams, tmp_path / "run", few_steps.model_copy(update={"epochs": 1}))
    with pytest.raises(CannotDo, match="'run' already holds a run"):
        start(exams, tmp_path / "run", few_steps)
    with pytest.raises(CannotDo, match=r"started with other settings \(epochs\)"):
        start(exams, tmp_path / "run", few_steps, resume=True)


def test_resume_before_the_first_checkpoint_logs_each_step_once(exams, tmp_path, few_steps):
    with pytest.raises(Stopped):
        start(exams, tmp_path / "run", few_steps, progress=stop_after(2))
    run = start(exams, tmp_path / "run", few_steps, resume=True)
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").open()]
    assert steps == list(range(1, len(steps) + 1))


def test_a_run_is_not_resumed_on_other_clips(exams, tmp_path, few_steps):
    with pytest.raises(Stopped):
        start(exams, tmp_path / "run", few_steps, progress=stop_after(1))
    write_catalogue(read_catalogue(exams / "catalogue.parquet").head(30), tmp_path / "half.parquet")
    with pytest.raises(CannotDo, match=r"other settings \(clips\)"):
        pretrain(exams / "frames", tmp_path / "half.parquet", tmp_path / "run", few_steps, resume=True)


def test_an_unfinished_run_has_no_encoder(exams, tmp_path, few_steps):
    with pytest.raises(Stopped):
        start(exams, tmp_path / "run", few_steps, progress=stop_after(1))
    with pytest.raises(CannotDo, match="'run' is not finished"):
        load_encoder(tmp_path / "run")
    with pytest.raises(CannotDo, match="'nothing' is not a run folder"):
        load_encoder(tmp_path / "nothing")
