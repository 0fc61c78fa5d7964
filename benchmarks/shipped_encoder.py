"""Makes the encoder that comes with the package: synthetic exams by the public verbs, then pre-training.

    OMP_NUM_THREADS=1 python benchmarks/shipped_encoder.py --work /tmp/shipped

The phantom's patients are of a seed that nothing else uses. Stopped at any point, the same command goes on.
At the end the encoder is put into the package: `src/apical/encoders/phantom`, where its card is.
What it is worth is measured by `shipped_worth.py`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import yaml

from apical.cli import run
from apical.cli.options import DONE
from apical.learn.start import SHIPPED, place_of

SEED = 2026  # of the phantom
FRAMES = 6  # a clip
PRETRAIN = {"batch_clips": 64, "learning_rate": 4e-3, "precision": "bf16"}


def step(*words: object) -> None:
    line = [str(word) for word in words]
    print("$ apical", *line, flush=True)
    if run([*line, "--quiet"]) != DONE:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the exams, frames and run")
    parser.add_argument("--patients", type=int, default=300, help="of the phantom")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 = one per core")
    parser.add_argument("--out", type=Path, default=place_of(SHIPPED), help="folder to put the encoder into")
    options = parser.parse_args()
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    exams, catalogue, store, run_folder = (
        work / name for name in ("exams", "catalogue.parquet", "frames", "run")
    )
    workers = ("--workers", options.workers)
    if not (exams / "truth.csv").exists():
        size = ("--patients", options.patients, "--frames", FRAMES, "--extra-views", 2, "--sweeps", 1)
        step("phantom", *size, "--seed", SEED, *workers, "--out", exams)
    if not catalogue.exists():
        step("scan", exams, *workers, "--out", catalogue)
    if not (store / "store.json").exists():
        step("frames", catalogue, "--frames-per-clip", FRAMES, *workers, "--out", store)
    config = work / "pretrain.yaml"
    config.write_text(yaml.safe_dump(PRETRAIN | {"epochs": options.epochs}), encoding="utf-8")
    words = ["--config", config, "--start", "random", "--out", run_folder]
    words += ["--resume"] if (run_folder / "settings.json").exists() else []
    step("pretrain", store, catalogue, *words)
    pack(run_folder, options.out)
    print(f"encoder → {options.out.name}")


def pack(run_folder: Path, folder: Path) -> None:
    """Put what a user needs of the run into a folder; its patients are nobody's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("encoder.safetensors", "settings.json", "environment.json"):
        shutil.copy(run_folder / name, folder / name)
    (folder / "patients.json").write_text(json.dumps({"patients": []}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
