"""Frame stores and catalogues for the studies of `studies/`.

    OMP_NUM_THREADS=1 python benchmarks/study_grounds.py phantom --work /tmp/phantom
    OMP_NUM_THREADS=1 python benchmarks/study_grounds.py camus --work /tmp/camus
    apical study benchmarks/studies/phantom.yaml /tmp/phantom/frames /tmp/phantom/catalogue.parquet \\
        --out /tmp/phantom/study --workers 2

phantom: exams of 480 synthetic patients at the default difficulty, by the public verbs; 300 train, 60
validate, 120 test. camus: two stills each of A2C and A4C of 200 patients; 24 validate, 76 test and 100 train,
of which 44 are of those who judge in the other benchmarks here (a rare view beside one with 100 labelled
patients needs so many). Nothing was ever chosen on the 76.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from apical.cli import run
from apical.cli.options import DONE
from phantom_lab import VIEWS, write_store
from phantom_transfer import LARGER, REAL, SHARED, camus

TRAINED = 44  # of the patients who judge elsewhere


def step(*words: object) -> None:
    if run([str(word) for word in words]) != DONE:
        sys.exit(1)


def phantom(work: Path, options: argparse.Namespace) -> None:
    """Synthetic exams, scanned, labelled, split and made into frames."""
    exams, catalogue = work / "exams", work / "catalogue.parquet"
    dials = ("--patients", options.patients, "--frames", 6, "--seed", options.seed)
    step("phantom", *dials, "--contrast", options.contrast, "--out", exams)
    step("scan", exams, "--out", catalogue)
    step("labels", "import", catalogue, exams / "truth.csv")
    step("labels", "split", catalogue, "--validation", 0.125, "--test", 0.25)
    step("frames", catalogue, "--size", 80, "--frames-per-clip", 6, "--out", work / "frames")


def real(work: Path, options: argparse.Namespace) -> None:
    """CAMUS stills, all labelled; `apical study` takes labels away."""
    clips = camus(options.camus, int(options.input_size * LARGER), work / f"cache-{options.input_size}.npy")
    judges = np.unique(clips.patient[clips.split == "test"])
    drawn = sorted(judges, key=lambda name: hashlib.sha256(f"train {name}".encode()).hexdigest())
    taught = np.isin(clips.patient, drawn[:TRAINED])
    label = np.array([VIEWS.index(view) for view in REAL])[clips.label]
    write_store(replace(clips, label=label, split=np.where(taught, "train", clips.split)), work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("ground", choices=["phantom", "camus"])
    parser.add_argument("--work", type=Path, required=True, help="folder for frames and catalogue")
    parser.add_argument("--patients", type=int, default=480, help="phantom")
    parser.add_argument("--seed", type=int, default=606, help="phantom")
    parser.add_argument("--contrast", type=float, default=0.15, help="phantom: share of exams with agent")
    parser.add_argument("--camus", type=Path, default=SHARED / "camus-dev", help="camus: where it is")
    parser.add_argument("--input-size", type=int, default=112, help="camus: side of a training crop")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    (phantom if options.ground == "phantom" else real)(options.work, options)


if __name__ == "__main__":
    main()
