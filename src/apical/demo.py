"""The demo: the public verbs, one after another, on synthetic patients and then on one real clip.

It prints each command and runs it through the command line's own entry, so that what a reader
sees is what was done.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from apical.cli import run
from apical.cli.options import DONE, Json, Quiet
from apical.config import EITHER, NEEDS_ENCODER
from apical.errors import CannotDo
from apical.files import write_atomically

RARE = ("RV-inflow", "PSAX-MV", "PSAX-apex", "A3C", "A5C", "IVC", "suprasternal")
RARE_PATIENTS, COMMON_PATIENTS = 2, 10
OUTPUTS = {
    "report": "report/report.html",
    "figures": "report/metrics.json",
    "harder report": "report-harder/report.html",
    "bundle": "bundle",
    "answer": "answers.json",
    "catalogue": "catalogue.parquet",
    "frames": "frames",
    "runs": "runs",
    "encoder": "pretrain",
    "phantom": "phantom",
}
HARDER_BASELINE = "logit-adjusted"  # the best here that uses no unlabelled clip
METHODS = ("naive", "logit-adjusted", "fine-tune", "label-propagation", "self-training")

# Sized for a laptop CPU: small frames, a small network, minutes instead of a night. Chosen on other
# synthetic patients than the demo's (docs/benchmarks.md).
PHANTOM = ("--frames", 6)
NETWORK = {"depth": 10, "width": 16, "stem_stride": 4}
PRETRAIN = {
    "encoder": NETWORK,
    "input_size": 64,
    "epochs": 160,
    "batch_clips": 64,
    "learning_rate": 4e-3,
}
TRAIN = {"encoder": NETWORK, "input_size": 64, "steps": 400}


def run_demo(out: Path, *, patients: int = 80, seeds: int = 2, quiet: bool = False) -> dict[str, Any]:
    """Synthesise patients, scan, pre-train, train, judge, pack, and predict a real echo clip.

    Args:
        out: a folder for everything; it must be empty or not exist.
        patients: synthetic patients; 30 % of them are kept for judging.
        seeds: label draws and training seeds a method.
        quiet: print errors only.

    Returns:
        the figures of the evaluation, the answer for the real clip, seconds, and where things are.

    Raises:
        CannotDo: `out` holds something, or a step failed (its own error was printed).
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise CannotDo(f"'{out.name}' is not an empty folder", "delete it, or choose another --out")
    began = time.monotonic()

    def step(*words: object) -> None:
        line = [str(word) for word in words]
        if not quiet:
            print(f"\n$ apical {shlex.join(line)}", flush=True)
        with contextlib.redirect_stdout(io.StringIO() if quiet else sys.stdout):
            code = run([*line, "--quiet"] if quiet else line)
        if code != DONE:
            raise CannotDo(f"the demo stopped at 'apical {line[0]}'", "see the line above")

    for name, settings in (("pretrain", PRETRAIN), ("train", TRAIN)):
        write_atomically(out / f"{name}.yaml", yaml.safe_dump(settings).encode())
    exams, catalogue, store, encoder = (
        out / name for name in ("phantom", "catalogue.parquet", "frames", "pretrain")
    )
    step("phantom", "--patients", patients, *PHANTOM, "--out", exams)
    step("scan", exams, "--out", catalogue)
    step("labels", "import", catalogue, exams / "truth.csv")
    step("labels", "split", catalogue)
    step("frames", catalogue, "--size", 80, "--frames-per-clip", 6, "--out", store)
    step("pretrain", store, catalogue, "--config", out / "pretrain.yaml", "--out", encoder)
    budgets = [word for view in RARE for word in ("--budget", f"{view}={RARE_PATIENTS}")]
    runs = []
    for seed in range(seeds):
        few = out / f"few-labels-{seed}.parquet"
        step(
            "labels", "limit", catalogue, *budgets, "--default", COMMON_PATIENTS, "--seed", seed, "--out", few
        )
        for method in METHODS:
            runs.append(out / "runs" / f"{method}-{seed}")
            words = ["--method", method, "--seed", seed, "--config", out / "train.yaml", "--out", runs[-1]]
            words += ["--encoder", encoder] if method in (*NEEDS_ENCODER, *EITHER) else []
            step("train", store, few, *words)
    about = ("--store", store, "--catalogue", catalogue, "--truth", exams / "truth.csv")
    step("evaluate", *runs, *about, "--out", out / "report")
    fair = [run for run in runs if "naive" not in run.name]
    against = ("--baseline", HARDER_BASELINE, "--store", store, "--out", out / "report-harder")
    step("evaluate", *fair, *against)
    step("bundle", out / "runs" / "self-training-0", "--report", out / "report", "--out", out / "bundle")
    step("predict", real_clip(), "--bundle", out / "bundle", "--out", out / "answers.json")
    return {
        "outputs": {name: str(out / place) for name, place in OUTPUTS.items()},
        "figures": json.loads((out / "report" / "metrics.json").read_text(encoding="utf-8")),
        "real_clip": json.loads((out / "answers.json").read_text(encoding="utf-8"))[0],
        "seconds": round(time.monotonic() - began),
    }


def real_clip() -> Path:
    """The real 30-frame echo cine that comes with pydicom."""
    from pydicom import examples

    return Path(os.fspath(examples.get_path("ybr_color")))


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("apical-demo"),
    patients: Annotated[int, typer.Option(min=20, help="Synthetic patients.")] = 80,
    seeds: Annotated[int, typer.Option(min=1, help="Label draws and training seeds a method.")] = 2,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Do the whole job on synthetic patients, then name the view of a real clip.

    Example: apical demo --out apical-demo
    """
    summary = run_demo(out, patients=patients, seeds=seeds, quiet=quiet or json_output)
    if json_output:
        print(json.dumps(summary, indent=2))
    else:
        print(
            f"\nDone in {summary['seconds']} s. Open the report; everything is in {out}:",
            *(f"  {name:13} {path}" for name, path in summary["outputs"].items()),
            sep="\n",
        )
    return DONE
