"""``predict``, ``bundle`` and ``export`` as they are called."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from apical.cli import run
from apical.cli.options import COULD_NOT, DONE, DONE_WITH_PROBLEMS, WRONG_CALL


def call(*words):
    return run([str(word) for word in words])


@pytest.fixture
def files(way):
    return sorted((way / "phantom").rglob("*.dcm"))


def test_files_from_standard_input(way, files, capsys, monkeypatch):
    piped = io.TextIOWrapper(io.BytesIO("\n".join(map(str, files[:3])).encode()))
    monkeypatch.setattr(sys, "stdin", piped)
    assert call("predict", "-", "--bundle", way / "bundle", "--json", "--quiet") == DONE
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [answer["number"] for answer in answers] == [1, 2, 3]
    assert "file" not in answers[0]


def test_what_a_study_shows_and_lacks(way, files, capsys):
    assert call("predict", *files[:12], "--bundle", way / "bundle", "--studies", "--quiet") == DONE
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("study 1: 12 clips; present: ")
    assert call("predict", *files[:12], "--bundle", way / "bundle", "--studies", "--json", "-q") == DONE
    (study,) = json.loads(capsys.readouterr().out)["studies"]
    assert study["clips"] == 12
    views = study["present"] + study["doubtful"] + study["missing"]
    taught = json.loads((way / "bundle" / "bundle.json").read_text())["taught"]
    assert sorted(views) == sorted(taught)


def test_exit_codes_and_the_table_in_spite_of_broken_files(way, files, tmp_path, capsys):
    shutil.copy(files[0], tmp_path / "good.dcm")
    (tmp_path / "SMITH.dcm").write_bytes(b"bad")
    out = tmp_path / "out" / "answers.csv"
    assert call("predict", tmp_path, "--bundle", way / "bundle", "--out", out) == DONE_WITH_PROBLEMS
    assert len(out.read_text().splitlines()) == 3
    said = capsys.readouterr()
    assert "1 of 2 files could not be answered" in said.err
    assert "SMITH" not in said.out + said.err + out.read_text()
    assert call("predict", tmp_path / "SMITH.dcm", "--bundle", way / "bundle", "-q") == COULD_NOT
    assert call("predict", tmp_path, "--bundle", way / "bundle", "--runtime", "abacus") == WRONG_CALL


def test_all_frames_and_settings_from_a_file(way, files, tmp_path):
    (tmp_path / "p.yaml").write_text("runtime: torch\nworkers: 1\n")
    words = ["predict", files[0], "--bundle", way / "bundle", "--config", tmp_path / "p.yaml", "--all-frames"]
    assert call(*words, "-q") == DONE


def test_workers_give_the_same_table(way, files, tmp_path):
    some = [*files[:6], way / "bundle" / "MODEL_CARD.md"]
    for workers in (1, 2):
        out = tmp_path / f"{workers}.json"
        words = ["predict", *some, "--bundle", way / "bundle", "--workers", workers, "--out", out, "-q"]
        assert call(*words) == DONE_WITH_PROBLEMS
    assert (tmp_path / "1.json").read_text() == (tmp_path / "2.json").read_text()


def test_killed_and_called_again(way, files, tmp_path):
    """A real process, killed outright once it has answered some; the table is that of an undisturbed call."""
    much = [way / "phantom"] * 2  # so that it lasts for long after the first answers
    words = ["predict", *much, "--bundle", way / "bundle", "-q", "--workers", "1", "--out"]
    out, partial = tmp_path / "a.json", tmp_path / "a.json.partial"
    process = subprocess.Popen([sys.executable, "-m", "apical", *map(str, words), str(out)])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if partial.exists() and partial.read_bytes().count(b"\n") > 5:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial.exists()
    assert not out.exists()
    kept = partial.read_bytes().count(b"\n")
    assert 5 < kept <= 2 * len(files)
    assert call(*words, out) == DONE
    assert call(*words, tmp_path / "b.json") == DONE
    assert out.read_text() == (tmp_path / "b.json").read_text()
    assert not partial.exists()


def test_bundle_is_made_with_options_before_or_after_its_run_and_as_a_zip(way, tmp_path, capsys):
    probe = way / "runs" / "probe"
    assert call("bundle", probe, "--out", tmp_path / "one") == DONE
    assert call("bundle", "--out", tmp_path / "two.zip", probe) == DONE
    assert call("bundle", "make", probe, "--out", tmp_path / "three") == DONE
    versions = {line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert len(versions) == 1
    assert call("bundle", tmp_path / "nothing", "--out", tmp_path / "x") == COULD_NOT


def test_inspect_says_what_is_in_a_bundle(way, tmp_path, capsys):
    assert call("bundle", "inspect", way / "bundle") == DONE
    said = capsys.readouterr().out
    facts = json.loads((way / "bundle" / "bundle.json").read_text())
    for word in (facts["version"], "PLAX", "not a medical device", "probe", f"{facts['parameters']:,}"):
        assert word in said
    assert call("bundle", "inspect", way / "bundle", "--json") == DONE
    assert json.loads(capsys.readouterr().out) == facts
    shutil.copytree(way / "bundle", tmp_path / "b")
    (tmp_path / "b" / "classifier.safetensors").write_bytes(b"other")
    assert call("bundle", "inspect", tmp_path / "b") == COULD_NOT
    assert "was changed" in capsys.readouterr().err


def test_export_into_a_bundle(way, tmp_path, capsys):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: apical[openvino]")
    shutil.copytree(way / "bundle", tmp_path / "b")
    assert call("export", tmp_path / "b", "--json", "-q") == DONE
    assert json.loads(capsys.readouterr().out)["opset"] >= 18
    assert call("bundle", "inspect", tmp_path / "b") == DONE
    assert "network.onnx" in capsys.readouterr().out
