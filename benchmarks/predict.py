"""Clips a second from file to answer, against decoding alone and a large network's first frame, in one run.

Everything runs on one core, on JPEG cines of the phantom in the page cache, with a bundle of the default
encoder (a probe on the one that comes with Apical). The rivals:

(a) decoding alone: opening the same files and decoding the very frames that `apical predict` decodes, in the
    same colours and sizes, by the same decoder, and nothing else;
(b) a ConvNeXt-base of the first frame, as EchoPrime's classifier of views: opened, decoded (by our decoder,
    which favours it), scaled to 224 pixels, one pass in torch.

`apical predict` is timed twice: as it finds sectors anew, and as it takes them from a catalogue. With
`--start` also: seconds from the call of the command to its answer for one file, in a new process. With
`--many N`: the memory of a process that answers N files (links to the cines), after a tenth and after all.

    python benchmarks/predict.py --start --many 10000
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch

from apical.cli import run
from apical.config import PredictSettings
from apical.deploy.answering import Answerer
from apical.deploy.bundle import open_bundle
from apical.deploy.inputs import all_inputs
from apical.deploy.predict import predict_each
from apical.ingest.clip import open_clip
from apical.ingest.dicom import DicomClip
from apical.ingest.triage import triage
from convnext import SIZE, convnext_base
from ingest import jpeg_cines

RUNTIMES = ["onnxruntime:f32", "openvino:f32", "openvino:bf16", "torch:f32"]
ALONE, BIG = "(a) decoding alone", "(b) ConvNeXt-base, first frame"
Decoded = list[tuple[list[int], str]]


def call(*words: object) -> None:
    """One command, which must work."""
    if run([str(word) for word in (*words, "--quiet")]):
        raise SystemExit(f"apical {words[0]} failed")


def make_bundle(work: Path) -> Path:
    """A bundle of the default encoder, exported, taught by 30 small synthetic patients."""
    bundle = work / "bundle"
    if not bundle.exists():
        call("phantom", "--patients", 30, "--frames", 8, "--seed", 5, "--out", work / "taught")
        call("scan", work / "taught", "--out", work / "c.parquet")
        call("labels", "import", work / "c.parquet", work / "taught" / "truth.csv")
        call("labels", "split", work / "c.parquet")
        call("frames", work / "c.parquet", "--out", work / "frames")
        call("train", work / "frames", work / "c.parquet", "--method", "probe", "--out", work / "run")
        call("bundle", work / "run", "--out", bundle)
        call("export", bundle)
    return bundle


@contextmanager
def watched(into: Decoded):
    """Notes which frames are decoded, and how."""
    original = DicomClip._decoded

    def decoded(self: DicomClip, numbers: Sequence[int], colour: str) -> Any:
        into.append((list(numbers), colour))
        return original(self, numbers, colour)  # type: ignore[arg-type]

    DicomClip._decoded = decoded  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        DicomClip._decoded = original  # type: ignore[method-assign]


def replay(asked: dict[Path, Decoded]) -> None:
    """Open files and decode frames of them."""
    for path, parts in asked.items():
        clip = open_clip(path)
        assert isinstance(clip, DicomClip)
        for numbers, colour in parts:
            for _ in clip._decoded(numbers, colour):  # type: ignore[arg-type]
                pass


def ways(files: list[Path], bundle: Path, runtimes: list[str]) -> dict[str, Callable[[], Any]]:
    """What is timed, by name, each after what it is measured by; each goes through all files once."""
    opened = open_bundle(bundle)
    answerers = {
        f"{name} {precision}": Answerer.of(opened, runtime=name, precision=precision, threads=1)
        for name, precision in (runtime.split(":") for runtime in runtimes)
    }
    first = next(iter(answerers.values()))
    patient = Answerer(opened, first.runtime, early=False)
    sectors = {path: triage(open_clip(path)).sector for path in files}
    anew: dict[Path, Decoded] = {}
    known: dict[Path, Decoded] = {}
    for path in files:
        for asked, sector in ((anew, None), (known, sectors[path])):
            with watched(asked.setdefault(path, [])):
                answer = first.answer(1, str(path), sector)
        if answer.likeliest is None:
            raise SystemExit(f"a cine of the phantom has no view: {answer.problem or answer.mode}")
    rival = convnext_base()

    def first_frame() -> None:
        for path in files:
            frame = open_clip(path).decode_colour([0], exact=False)[0]
            small: Any = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            with torch.inference_mode():
                x = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
                rival(x.to(memory_format=torch.channels_last)).argmax()

    def answers(one: Answerer, of: dict[Path, Any]) -> Callable[[], Any]:
        return lambda: [one.answer(1, str(path), of.get(path)) for path in files]

    for name, asked in (("sector found anew", anew), ("sector known", known)):
        frames = sum(len(numbers) for parts in asked.values() for numbers, _ in parts) / len(files)
        print(f"decoded for an answer, {name}: {frames:.1f} frames a clip")
    found: dict[str, Callable[[], Any]] = {
        BIG: first_frame,
        f"{ALONE}, sector found anew": lambda: replay(anew),
    }
    found |= {f"  apical predict, {name}": answers(one, {}) for name, one in answerers.items()}
    found["  the same, all frames"] = answers(patient, {})
    found[f"{ALONE}, sector known"] = lambda: replay(known)
    found |= {f"  apical predict CATALOGUE, {name}": answers(one, sectors) for name, one in answerers.items()}
    return found


def start_up(files: list[Path], bundle: Path, rounds: int) -> list[float]:
    """Seconds of whole commands for one file."""
    command = [sys.executable, "-m", "apical", "predict", files[0], "--bundle", bundle, "--quiet"]
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - began)
    return taken


def resident_mb() -> float:
    """Memory that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def memory(files: list[Path], bundle: Path, many: int, folder: Path) -> None:
    """Answer many files in this process."""
    for number in range(many):
        os.symlink(files[number % len(files)], folder / f"{number:06}.dcm")
    inputs = all_inputs([folder])
    marks = []
    answers = predict_each(inputs, open_bundle(bundle), PredictSettings(workers=1))
    for number, _ in enumerate(answers, start=1):
        if number in (many // 10, many):
            marks.append(resident_mb())
    print(f"memory after {many // 10} files {marks[0]:.0f} MB, after {many} {marks[1]:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder to keep the bundle in")
    parser.add_argument("--bundle", type=Path, help="another bundle")
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--frames", type=int, default=40, help="frames of a cine")
    parser.add_argument("--image-rows", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtimes", nargs="+", default=RUNTIMES)
    parser.add_argument("--start", action="store_true")
    parser.add_argument("--many", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = options.bundle or make_bundle(options.work or folder)
        shape = ["--frames", options.frames, "--image-rows", options.image_rows]
        call("phantom", "--patients", options.patients, *shape, "--out", folder / "cines")
        files = jpeg_cines(folder / "cines", options.frames)
        if not files:
            parser.error("no machine of this phantom writes JPEG cines; take more --patients")
        size = open_clip(files[0]).facts
        print(
            f"{platform.processor() or platform.machine()}, one core; {len(files)} JPEG cines of "
            f"{options.frames} frames, {size.rows} × {size.columns}; median of {options.rounds} rounds"
        )
        work = ways(files, bundle, options.runtimes)
        seconds: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(options.rounds):  # in turn, so that a slow minute is everybody's
            for name, once in work.items():
                began = time.perf_counter()
                once()
                seconds[name].append(time.perf_counter() - began)
        speed = {name: len(files) / statistics.median(taken) for name, taken in seconds.items()}
        alone = 0.0
        for name, value in speed.items():
            alone = value if name.startswith(ALONE) else alone
            to_a, to_b = value / alone if alone else 0.0, value / speed[BIG]
            print(
                f"  {name:42} {value:6.1f} clips/s {1000 / value:6.1f} ms {to_a:5.2f} × (a) {to_b:5.1f} × (b)"
            )
        if options.start:
            taken = start_up(files, bundle, options.rounds)
            print(f"start-up to the first answer: {statistics.median(taken):.2f} s (least {min(taken):.2f})")
        if options.many:
            (folder / "many").mkdir()
            memory(files, bundle, options.many, folder / "many")


if __name__ == "__main__":
    main()
