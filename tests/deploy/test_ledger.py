"""A long call that is stopped goes on where it was, with the same result."""

import io
import itertools
import json
import os
import shutil

import pytest

from apical.config import PredictSettings
from apical.deploy.answers import Answer
from apical.deploy.bundle import open_bundle
from apical.deploy.inputs import all_inputs
from apical.deploy.ledger import Ledger
from apical.deploy.predict import predict, predict_into
from apical.errors import CannotDo, WrongCall

SETTINGS = PredictSettings(workers=1)


@pytest.fixture
def folder(way, tmp_path):
    """Twelve files of three studies, the last of them broken."""
    files = sorted((way / "phantom").rglob("*.dcm"))[5:30]
    for number, file in enumerate(files[::2][:12]):
        shutil.copy(file, tmp_path / f"{number:02}.dcm")
    (tmp_path / "11.dcm").write_bytes((tmp_path / "11.dcm").read_bytes()[:3000])
    return tmp_path


@pytest.fixture(scope="module")
def bundle(way):
    return open_bundle(way / "bundle")


def table(folder, bundle, name, inputs, *, stop=None):
    """Write the table, but stop after so many answers."""
    out = folder / name
    answers = list(itertools.islice(predict_into(out, inputs, bundle, SETTINGS), stop))
    return answers, json.loads(out.read_text()) if out.exists() else None


def counted(monkeypatch):
    """Counts how many files are opened."""
    opened = []
    from apical.deploy import answering

    original = answering.open_clip
    monkeypatch.setattr(answering, "open_clip", lambda place: opened.append(place) or original(place))
    return opened


def test_stopped_and_called_again_it_is_as_if_never_stopped(folder, bundle, monkeypatch):
    inputs = all_inputs([folder])
    _, whole = table(folder, bundle, "whole.json", inputs)
    assert len({row["study"] for row in whole if row["study"]}) > 1
    opened = counted(monkeypatch)
    _, nothing = table(folder, bundle, "stopped.json", inputs, stop=7)
    assert nothing is None
    assert len(opened) == 7
    answers, stopped = table(folder, bundle, "stopped.json", inputs)
    assert len(opened) == 12
    assert stopped == whole
    assert answers == predict([folder], bundle)
    assert sorted(path.name for path in folder.glob("*.json*")) == ["stopped.json", "whole.json"]


def test_a_file_that_changed_is_answered_again(folder, bundle, monkeypatch):
    inputs = all_inputs([folder])
    table(folder, bundle, "a.json", inputs, stop=9)
    shutil.copy(folder / "10.dcm", folder / "05.dcm")
    opened = counted(monkeypatch)
    _, rows = table(folder, bundle, "a.json", inputs)
    assert len(opened) == 12 - 5
    assert rows == table(folder, bundle, "fresh.json", inputs)[1]


@pytest.mark.parametrize("tail", [b"", b'{"input": "x", "ans', b"\xff\xfe\n", b"[]\n"])
def test_half_a_line_of_a_crash_is_cut_off(folder, bundle, tail):
    inputs = all_inputs([folder])
    table(folder, bundle, "a.json", inputs, stop=4)
    with (folder / "a.json.partial").open("ab") as file:
        file.write(tail)
    assert table(folder, bundle, "a.json", inputs)[1] == table(folder, bundle, "b.json", inputs)[1]


def test_another_bundle_or_other_settings_begin_anew(folder, tmp_path):
    inputs = all_inputs([folder])
    with Ledger(tmp_path / "l", {"model": "a"}, inputs) as ledger:
        ledger.add(inputs[0], Answer(1, "secret/path"))
        key = ledger.key
    assert b"secret" not in (tmp_path / "l").read_bytes()
    assert os.stat(tmp_path / "l").st_mode & 0o077 == 0
    with Ledger(tmp_path / "l", {"model": "a"}, inputs) as ledger:
        assert (ledger.done, ledger.key) == (1, key)
    with Ledger(tmp_path / "l", {"model": "b"}, inputs) as ledger:
        assert ledger.done == 0
        assert ledger.key != key


def test_two_calls_do_not_write_one_table(folder, bundle):
    inputs = all_inputs([folder])
    running = predict_into(folder / "a.csv", inputs, bundle, SETTINGS)
    next(running)
    with pytest.raises(CannotDo, match="being written by another call"):
        next(predict_into(folder / "a.csv", inputs, bundle, SETTINGS))
    running.close()


def test_a_full_disk_leaves_half_a_line_that_the_next_call_cuts_off(folder, bundle, monkeypatch):
    inputs = all_inputs([folder])
    whole = table(folder, bundle, "whole.json", inputs)[1]
    room = [3000]

    class Disk(io.FileIO):
        def write(self, data):
            taken = min(len(data), room[0])
            room[0] -= taken
            return super().write(data[:taken])

    monkeypatch.setattr("apical.deploy.ledger.open", lambda path, *_, **__: Disk(path, "a"), raising=False)
    with pytest.raises(CannotDo, match="No space left"):
        table(folder, bundle, "a.json", inputs)
    kept = (folder / "a.json.partial").read_bytes()
    assert len(kept) == 3000
    assert not kept.endswith(b"\n")
    monkeypatch.undo()
    opened = counted(monkeypatch)
    assert table(folder, bundle, "a.json", inputs)[1] == whole
    assert len(opened) == 12 - (kept.count(b"\n") - 1)


def test_a_call_that_fails_at_once_leaves_nothing(folder, bundle):
    wrong = PredictSettings(workers=1, runtime="onnxruntime")  # which this bundle has no network for
    with pytest.raises(CannotDo):
        next(predict_into(folder / "a.csv", all_inputs([folder]), bundle, wrong))
    assert not list(folder.glob("a.csv*"))


def test_a_table_that_cannot_be_written_is_refused_first(folder, bundle, monkeypatch):
    inputs = all_inputs([folder])
    opened = counted(monkeypatch)
    with pytest.raises(WrongCall):
        next(predict_into(folder / "a.doc", inputs, bundle, SETTINGS))
    with pytest.raises(CannotDo, match="cannot be written"):
        next(predict_into(folder / "00.dcm" / "a.csv", inputs, bundle, SETTINGS))
    assert not opened
