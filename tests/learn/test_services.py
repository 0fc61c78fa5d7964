"""MLflow and Weights & Biases get settings and figures and nothing else; without them there is one clear
line, and what needs the libraries is skipped: pip install 'apical[mlflow,wandb]'.
"""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from apical.errors import CannotDo, WrongCall
from apical.learn import services
from apical.learn.services import flat, open_service
from apical.learn.tracking import Tracker

SETTINGS = {"encoder": {"kind": "resnet", "depth": 10}, "epochs": 3, "max_minutes": None, "name": "x" * 9000}
NAMES = ("ward-seven", "doctor-who", "secret-folder")
EDGES = np.linspace(-1, 1, 5)

needs_mlflow = pytest.mark.skipif(not find_spec("mlflow"), reason="mlflow is not installed")
needs_wandb = pytest.mark.skipif(not find_spec("wandb"), reason="wandb is not installed")


@pytest.fixture(autouse=True)
def in_a_ward(tmp_path, monkeypatch):
    """Names that must not be sent (the folder of tests, which has a user's name, is older than they are).

    The environment is put back, since services set defaults there.
    """
    monkeypatch.setattr("socket.gethostname", lambda: NAMES[0])
    for variable in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(variable, NAMES[1])
    for variable in services.QUIET:
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)


def log(tracker, steps):
    for step in steps:
        if step % 2 == 0:
            tracker.histogram(step, "positive_similarities", [step, 1, 2, 3], EDGES)
        tracker.log(step, loss=1 / step, epoch=step // 4)


@pytest.mark.parametrize("name", services.NAMES)
def test_what_is_not_installed_is_one_line_that_says_what_to_install(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(WrongCall, match=rf"not installed\. Pip install 'apical\[{name}\]'"):
        Tracker(tmp_path, trackers=[name])


def test_an_unknown_tracker_is_one_line(tmp_path):
    with pytest.raises(WrongCall, match=r"no tracker 'excel'\. Choose from: mlflow, wandb\."):
        Tracker(tmp_path, trackers=["excel"])


def test_a_server_that_does_not_answer_is_one_line_without_its_address(tmp_path, monkeypatch):
    def refuse():
        raise ConnectionError("https://user:secret@hospital refuses")

    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=refuse))
    with pytest.raises(CannotDo, match=r"'mlflow' cannot be used \(ConnectionError\)") as error:
        open_service("mlflow", tmp_path, {}, resume=False)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("name", services.NAMES)
def test_the_environment_wins_over_what_is_switched_off(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(WrongCall):
        open_service(name, tmp_path, {}, resume=False)
    assert os.environ["WANDB_MODE"] == "online"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_nested_settings_become_flat():
    assert dict(flat({"a": {"b": {"c": 1}, "d": (2, 3)}, "e": None})) == {
        "a.b.c": 1,
        "a.d": (2, 3),
        "e": None,
    }


@pytest.fixture
def mlflow_store(tmp_path, monkeypatch):
    """A real SQLite store of MLflow's, and a client that looks into it."""
    import mlflow

    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.chdir(tmp_path)
    return mlflow.MlflowClient(address)


@needs_mlflow
def test_mlflow_has_settings_and_figures_and_no_names(tmp_path, mlflow_store):
    folder = tmp_path / NAMES[2]
    tracker = Tracker(folder, trackers=["mlflow"], settings=SETTINGS)
    log(tracker, range(1, 8))
    tracker.close()
    run = mlflow_store.get_run(json.loads((folder / "mlflow.json").read_text())["run"])
    assert run.info.status == "FINISHED"
    assert mlflow_store.get_experiment(run.info.experiment_id).name == "apical"
    assert run.data.params == {
        "encoder.kind": "resnet",
        "encoder.depth": "10",
        "epochs": "3",
        "max_minutes": "None",
        "name": "x" * 6000,
    }
    for name, expected in (("loss", lambda step: 1 / step), ("epoch", lambda step: step // 4)):
        history = mlflow_store.get_metric_history(run.info.run_id, name)
        assert {metric.step: metric.value for metric in history} == {s: expected(s) for s in range(1, 8)}
    assert set(run.data.tags) <= {"mlflow.runName"}
    assert not any(name.encode() in (tmp_path / "mlflow.db").read_bytes() for name in NAMES)


@needs_mlflow
def test_mlflow_gets_each_step_once_after_a_kill(tmp_path, mlflow_store, monkeypatch):
    """The first process is gone with what it had not sent; the second begins before what was sent."""
    lost = Tracker(tmp_path / "run", trackers=["mlflow"], settings=SETTINGS)
    log(lost, range(1, 5))
    monkeypatch.setattr(services, "SECONDS_BETWEEN", -1)
    log(lost, [5, 6])  # sent at once, with what was waiting
    monkeypatch.setattr(services, "SECONDS_BETWEEN", 10)
    log(lost, [7, 8])  # waiting for ever
    for saved in (4, 8):
        tracker = Tracker(tmp_path / "run", resume_after=saved, trackers=["mlflow"], settings=SETTINGS)
        log(tracker, range(saved + 1, 11))
        tracker.close()
    identity = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run"]
    history = mlflow_store.get_metric_history(identity, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(s, 1 / s) for s in range(1, 11)]


@needs_mlflow
def test_many_figures_are_sent_in_messages_that_mlflow_takes(tmp_path, mlflow_store):
    tracker = Tracker(tmp_path / "run", trackers=["mlflow"], settings={f"s{i}": i for i in range(230)})
    for step in range(1, 30):
        tracker.log(step, **{f"figure{i}": i for i in range(99)})
    tracker.close()
    run = mlflow_store.get_run(json.loads((tmp_path / "run" / "mlflow.json").read_text())["run"])
    assert len(run.data.params) == 230
    assert len(mlflow_store.get_metric_history(run.info.run_id, "figure98")) == 29


def pieces(path):
    """The records of a .wandb file, which is a log of LevelDB's: blocks of 32 KiB with parts of records."""
    data, record, place = path.read_bytes(), b"", 7
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if place + 7 + length > len(data):
            return  # it is being written
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def wandb_records(path):
    """What an offline run wrote down: settings and the history of figures.

    W&B's own process writes the file, and may do so a moment after the run is closed; an ``exit`` ends it.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    deadline, records = time.monotonic() + 60, []
    while not any(record.HasField("exit") for record in records):
        assert time.monotonic() < deadline, "the file never ended"
        time.sleep(0.05)
        records = [Record.FromString(piece) for piece in pieces(path)]
    config, history = {}, []
    for record in records:
        for update in (*record.run.config.update, *record.config.update):
            config[update.key or ".".join(update.nested_key)] = json.loads(update.value_json)
        if record.history.item:
            items = record.history.item
            history.append({i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in items})
    return config, history


@needs_wandb
def test_wandb_has_settings_and_figures_offline_and_no_names(tmp_path):
    folder = tmp_path / NAMES[2]
    tracker = Tracker(folder, trackers=["wandb"], settings=SETTINGS)
    log(tracker, range(1, 8))
    tracker.close()
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    config, history = wandb_records(path)
    assert {name: value for name, value in config.items() if name != "_wandb"} == SETTINGS
    assert config["_wandb"] == {}
    assert [(row["_step"], row["loss"], row["epoch"]) for row in history] == [
        (step, 1 / step, step // 4) for step in range(1, 8)
    ]
    assert history[1]["positive_similarities.values"] == [2, 1, 2, 3]
    assert [name for name in NAMES if name.encode() in path.read_bytes()] == []


@needs_wandb
def test_an_offline_run_that_goes_on_after_a_kill_is_whole_by_itself(tmp_path):
    code = (
        "import os, pathlib, signal, sys; sys.path.insert(0, sys.argv[2]); import test_services\n"
        "tracker = test_services.Tracker(pathlib.Path(sys.argv[1]), trackers=['wandb'])\n"
        "test_services.log(tracker, range(1, 5)); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    own = {
        name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"
    }  # a server of its own
    killed = subprocess.run([sys.executable, "-c", code, tmp_path, Path(__file__).parent], env=own)
    assert killed.returncode == -signal.SIGKILL
    (first,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    tracker = Tracker(tmp_path, resume_after=3, trackers=["wandb"])
    log(tracker, range(4, 7))
    tracker.close()
    (second,) = set(tmp_path.glob("wandb/offline-run-*/*.wandb")) - {first}
    assert second.name == first.name
    _, history = wandb_records(second)
    assert [row["_step"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[1]["positive_similarities.bins"] == EDGES.tolist()
