"""The benchmarks still run; what they measure is not judged here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_pretrain_prints_a_ratio_against_the_bare_network():
    words = ["--input-size", "32", "--width", "4", "--batch-clips", "22", "--batches", "2", "--epochs", "2"]
    command = [sys.executable, ROOT / "benchmarks" / "pretrain.py", *words]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "ratio" in finished.stdout.splitlines()[-1]
