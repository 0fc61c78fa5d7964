"""Every figure is in every file, a stopped run leaves the record of one that was not, and nobody is named."""

import json
import os
import resource
import signal
import struct
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboardX.proto.event_pb2 import Event, SessionLog

from apical.errors import CannotDo
from apical.learn import tracking
from apical.learn.tracking import Tracker

EDGES = np.linspace(-1, 1, 5)


def figures_of(step):
    """What a run logs: some figures each step, others now and then."""
    figures = {"loss": 1 / step, "epoch": step // 4}
    return figures | ({"knn_view_accuracy": step / 100} if step % 3 == 0 else {})


def log(tracker, steps):
    for step in steps:
        if step % 3 == 0:
            tracker.histogram(step, "positive_similarities", [step, 1, 2, 3], EDGES)
        tracker.log(step, **figures_of(step))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def masked_crc32c(data):
    """Bit by bit: the reflected Castagnoli polynomial, then TensorFlow's mask."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events_in(path):
    """The events of a file, as TFRecord says they are laid out, up to a record that is cut short."""
    data, found = path.read_bytes(), []
    while len(data) >= 12:
        (length,) = struct.unpack("<Q", data[:8])
        if len(data) < 16 + length:
            break
        message = data[12 : 12 + length]
        sums = struct.unpack("<I", data[8:12]) + struct.unpack("<I", data[12 + length : 16 + length])
        assert sums == (masked_crc32c(data[:8]), masked_crc32c(message))
        found.append(Event.FromString(message))
        data = data[16 + length :]
    return found


def tensorboard_of(folder):
    """What TensorBoard shows: {tag: {step: value or counts}}; a restart undoes the steps after it."""
    shown = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        events = events_in(path)
        assert events[0].file_version == "brain.Event:2"
        assert events[1].session_log.status == SessionLog.START
        for event in events:
            if event.session_log.status == SessionLog.START:
                for values in shown.values():
                    for step in [step for step in values if step >= event.step]:
                        del values[step]
            for value in event.summary.value:
                content = list(value.histo.bucket) if value.HasField("histo") else value.simple_value
                assert event.step not in shown.setdefault(value.tag, {})
                shown[value.tag][event.step] = content
    return {tag: values for tag, values in shown.items() if values}


def everything(folder):
    return (
        lines(folder / "metrics.jsonl"),
        lines(folder / "histograms.jsonl"),
        pl.read_csv(folder / "metrics.csv").rows(named=True),
        tensorboard_of(folder),
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Everything that twelve steps leave."""
    folder = tmp_path_factory.mktemp("run")
    tracker = Tracker(folder)
    log(tracker, range(1, 13))
    tracker.close()
    return everything(folder)


def test_every_figure_is_in_every_file(uninterrupted):
    records, histograms, rows, shown = uninterrupted
    assert records == [{"step": step, **figures_of(step)} for step in range(1, 13)]
    assert histograms == [
        {"step": step, "name": "positive_similarities", "counts": [step, 1, 2, 3], "edges": EDGES.tolist()}
        for step in (3, 6, 9, 12)
    ]
    assert list(rows[0]) == ["step", "loss", "epoch", "knn_view_accuracy"]
    assert rows == [{name: record.get(name) for name in rows[0]} for record in records]
    assert shown == {"positive_similarities": {step: [step, 1, 2, 3] for step in (3, 6, 9, 12)}} | {
        name: {record["step"]: np.float32(record[name]) for record in records if name in record}
        for name in ("loss", "epoch", "knn_view_accuracy")
    }


def test_a_histogram_says_where_its_values_lie(tmp_path):
    tracker = Tracker(tmp_path)
    tracker.histogram(1, "similarity", [5, 0, 0, 15], EDGES)
    (told,) = [e.summary.value[0].histo for e in events_in(next((tmp_path / "tensorboard").iterdir()))[2:]]
    assert (told.min, told.max, told.num) == (-1, 1, 20)
    assert list(told.bucket_limit) == [-0.5, 0, 0.5, 1]
    assert (told.sum, told.sum_squares) == (7.5, 20 * 0.75**2)


def test_what_is_not_finite_is_null_and_still_json(tmp_path):
    tracker = Tracker(tmp_path)
    tracker.log(1, loss=float("nan"), rate=float("inf"), epoch=0)
    tracker.log(2, loss=0.5, rate=1.0, epoch=0)
    line = (tmp_path / "metrics.jsonl").read_text().splitlines()[0]
    assert json.loads(line, parse_constant=pytest.fail) == {"step": 1, "loss": None, "rate": None, "epoch": 0}
    assert (tmp_path / "metrics.csv").read_text() == "step,loss,rate,epoch\n1,,,0\n2,0.5,1.0,0\n"


@settings(max_examples=25)
@given(stops=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), max_size=3))
def test_a_stopped_and_resumed_run_leaves_the_record_of_one_that_was_not(
    tmp_path_factory, uninterrupted, stops
):
    """Stopped at some step, it goes on from a checkpoint before, and so on."""
    folder, checkpoint = tmp_path_factory.mktemp("run"), 0
    for stop, saved in stops:
        tracker = Tracker(folder, resume_after=checkpoint)
        log(tracker, range(checkpoint + 1, max(checkpoint, stop) + 1))
        tracker.close()
        checkpoint = max(checkpoint, min(stop, saved))
    tracker = Tracker(folder, resume_after=checkpoint)
    log(tracker, range(checkpoint + 1, 13))
    tracker.close()
    assert everything(folder) == uninterrupted


@pytest.mark.parametrize("lost", [1, 5, 17])
def test_what_a_kill_cuts_short_is_dropped(tmp_path, uninterrupted, lost):
    """The last bytes of every file are missing, or garbage, as after a power cut."""
    tracker = Tracker(tmp_path)
    log(tracker, range(1, 10))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 4
    for path in files:
        os.truncate(path, path.stat().st_size - lost)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b"\0\0\xff\n")
    tracker = Tracker(tmp_path, resume_after=8)
    log(tracker, range(9, 13))
    assert everything(tmp_path) == uninterrupted


def test_a_kill_loses_no_step_that_was_logged(tmp_path):
    """A real process, killed without warning while it logs as fast as it can."""
    code = (
        "import sys, pathlib; from apical.learn.tracking import Tracker\n"
        "tracker = Tracker(pathlib.Path(sys.argv[1]))\n"
        "for step in range(1, 10**9):\n"
        "    tracker.log(step, loss=1 / step); print(step, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    for _ in range(50):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    logged = 50 + len(process.communicate()[0].splitlines())
    tracking._keep(tmp_path / "metrics.jsonl", 10**9)
    assert [record["step"] for record in lines(tmp_path / "metrics.jsonl")][:logged] == [
        *range(1, logged + 1)
    ]
    assert len(pl.read_csv(tmp_path / "metrics.csv")) >= logged
    assert len(tensorboard_of(tmp_path)["loss"]) >= logged


def test_a_new_run_in_an_old_folder_begins_afresh(tmp_path):
    log(Tracker(tmp_path), range(1, 13))
    Tracker(tmp_path).log(1, loss=7.0)
    records, histograms, rows, shown = everything(tmp_path)
    assert (records, histograms, rows) == ([{"step": 1, "loss": 7.0}], [], [{"step": 1, "loss": 7.0}])
    assert shown == {"loss": {1: 7.0}}
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_a_full_disk_is_one_line_and_what_was_logged_stays(tmp_path):
    """The kernel's answer: files may not grow beyond what they are and a few bytes."""
    tracker = Tracker(tmp_path)
    log(tracker, range(1, 6))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "metrics.jsonl").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 7, before[1]))
    try:
        with pytest.raises(
            CannotDo, match=r"'metrics\.jsonl' cannot be written \(File too large\)\. Free some"
        ):
            tracker.log(6, **figures_of(6))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    tracker.close()
    assert (tmp_path / "metrics.jsonl").stat().st_size == size + 7
    Tracker(tmp_path, resume_after=5)
    assert lines(tmp_path / "metrics.jsonl") == [{"step": step, **figures_of(step)} for step in range(1, 6)]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotDo, match="cannot be written"):
        Tracker(tmp_path / "file" / "run")


def test_no_name_of_host_user_or_folder_is_in_any_file(tmp_path, monkeypatch):
    names = ("ward-seven", "doctor-who", "secret-folder")
    monkeypatch.setattr("socket.gethostname", lambda: names[0])
    for variable in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(variable, names[1])
    folder = tmp_path / names[2]
    for resume in (0, 3):
        log(Tracker(folder, resume_after=resume), range(1, 5))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 5
    for path in files:
        assert not any(name in str(path.relative_to(folder)) for name in names)
        assert not any(name.encode() in path.read_bytes() for name in names)


class Remote:
    """A tracker elsewhere that has the steps up to `last`, and fails where it is told to."""

    def __init__(self, last=0, fails_at=None):
        self.last, self.fails_at, self.got = last, fails_at, []

    def log(self, step, figures):
        if step == self.fails_at:
            raise ConnectionError("https://user:secret@hospital")
        self.got.append((step, figures))

    def histogram(self, step, name, counts, edges):
        self.got.append((step, name, counts.tolist(), edges.tolist()))

    def close(self):
        self.got.append("closed")


def remote(monkeypatch, **how):
    found = Remote(**how)
    monkeypatch.setattr(tracking, "open_service", lambda name, folder, settings, *, resume: found)
    return found


def test_a_tracker_elsewhere_gets_the_same_in_order(tmp_path, monkeypatch):
    got = remote(monkeypatch).got
    tracker = Tracker(tmp_path, trackers=["mlflow"])
    log(tracker, range(1, 5))
    tracker.close()
    histogram = (3, "positive_similarities", [3, 1, 2, 3], EDGES.tolist())
    logged = [(step, figures_of(step)) for step in range(1, 5)]
    assert got == [*logged[:2], histogram, *logged[2:], "closed"]


@pytest.mark.parametrize("last", [0, 4, 6, 9, 11])
def test_it_gets_what_it_lacks_after_a_restart_and_nothing_twice(tmp_path, monkeypatch, last):
    """It may have less than was logged (a message was not sent), or more than the checkpoint."""
    log(Tracker(tmp_path), range(1, 10))
    got = remote(monkeypatch, last=last).got
    log(Tracker(tmp_path, resume_after=6, trackers=["mlflow"]), range(7, 13))
    assert [entry for entry in got if len(entry) == 2] == [(s, figures_of(s)) for s in range(last + 1, 13)]
    assert [entry[0] for entry in got if len(entry) == 4] == [s for s in (3, 6, 9, 12) if s > last]
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(got))


def test_a_run_goes_on_without_a_tracker_that_fails(tmp_path, monkeypatch):
    got = remote(monkeypatch, fails_at=3).got
    tracker = Tracker(tmp_path, trackers=["mlflow"])
    with pytest.warns(UserWarning, match=r"'mlflow' takes no more figures \(ConnectionError\)") as said:
        log(tracker, range(1, 6))
    tracker.close()
    assert len(said) == 1
    assert "secret" not in str(said[0].message)
    assert [entry[0] for entry in got] == [1, 2, 3]
    assert len(lines(tmp_path / "metrics.jsonl")) == 5


@pytest.mark.skipif(not find_spec("tensorboard"), reason="tensorboard is not installed")
def test_tensorboard_itself_reads_the_same(tmp_path, uninterrupted):
    """Its two readers: the public one, and the one behind its server, which tells restarts otherwise."""
    from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator

    log(Tracker(tmp_path), range(1, 10))
    log(Tracker(tmp_path, resume_after=5), range(6, 13))
    shown = event_accumulator.EventAccumulator(
        str(tmp_path / "tensorboard"), size_guidance={"histograms": 0}
    ).Reload()
    expected = uninterrupted[3]
    assert set(shown.Tags()["scalars"]) == {"loss", "epoch", "knn_view_accuracy"}
    for name in shown.Tags()["scalars"]:
        assert {event.step: event.value for event in shown.Scalars(name)} == expected[name]
    histograms = shown.Histograms("positive_similarities")
    assert {e.step: e.histogram_value.bucket for e in histograms} == expected["positive_similarities"]
    assert histograms[0].histogram_value.bucket_limit == EDGES[1:].tolist()
    served = plugin_event_accumulator.EventAccumulator(
        str(tmp_path / "tensorboard"), tensor_size_guidance={"scalars": 0, "histograms": 0}
    ).Reload()
    assert [event.step for event in served.Tensors("loss")] == [*range(1, 13)]
    assert [event.step for event in served.Tensors("positive_similarities")] == [3, 6, 9, 12]
