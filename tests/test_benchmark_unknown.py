"""The benchmark of scores for unknown clips still runs; what it measures is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apical.cli import run
from apical.cli.options import DONE
from unknown_ground import KINDS, noise, speckle

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """Exams with clips of every kind, labelled, split and made into frames."""
    work = tmp_path_factory.mktemp("ground")
    exams, catalogue, frames = work / "exams", work / "catalogue.parquet", work / "frames"
    further = {"extra-views": 1, "sweeps": 1, "organs": 1, "other-modes": 3}
    dials = {"patients": 8, "frames": 2, "image-rows": 120, "seed": 5, **further}
    for words in (
        ["phantom", *(f"--{name}={amount}" for name, amount in dials.items()), "--workers=1", "--out", exams],
        ["scan", exams, "--workers=1", "--out", catalogue],
        ["labels", "import", catalogue, exams / "truth.csv"],
        ["labels", "split", catalogue, "--validation", "0.2", "--test", "0.2"],
        ["frames", catalogue, "--size", "48", "--frames-per-clip=2", "--workers=1", "--out", frames],
    ):
        assert run([str(word) for word in words]) <= DONE + 1  # extra views are listed as unknown
    return exams, catalogue, frames, "shipped"


@pytest.mark.parametrize("split", ["validation", "test"])
def test_prints_and_writes_a_figure_of_every_kind_and_score(ground, tmp_path, split):
    beside = "Fisher: max-softmax + Mahalanobis"
    command = [sys.executable, BENCHMARKS / "unknown.py", *ground, "--split", split, "--draws", "1"]
    command += ["--hide", "PLAX", "--resamples", "20", "--beside", beside]
    command += ["--json", tmp_path / "found.json"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    figures = json.loads((tmp_path / "found.json").read_text())["figures"]
    assert {one["kind"] for one in figures} >= set(KINDS)
    aurocs = [one for one in figures if one["figure"] == "auroc"]
    assert {one["way"] for one in aurocs if one["score"] == beside} == {"met", "never met"}
    assert all(0 <= one["value"] <= 1 for one in aurocs if not np.isnan(one["value"]))
    assert finished.stdout.count("| Mahalanobis, directions (the detector) |") == 4  # tables
    assert ("least: " in finished.stdout) == (split == "validation")  # chosen there only


def test_made_up_clips_are_what_they_say():
    fan, white = (make(np.random.default_rng(0), 80) for make in (speckle, noise))
    assert fan.shape == white.shape == (6, 80, 80)
    assert (fan[:, 0, [0, -1]] == 0).all()  # beside the fan
    assert fan[:, 40, 40].all()
    assert white.mean() == pytest.approx(127.5, abs=2)
    assert np.corrcoef(white[:, :, :-1].ravel(), white[:, :, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.02)
    inside = fan[:, 30:60, 34:46].astype(float)
    assert np.corrcoef(inside[:, :, :-1].ravel(), inside[:, :, 1:].ravel())[0, 1] > 0.5  # grains, no dots
