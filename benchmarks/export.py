"""What each runtime and precision costs in accuracy, and gives in speed, beside torch in 32 bits, in one run.

    OMP_NUM_THREADS=1 python benchmarks/export.py BUNDLE FRAMES CATALOGUE

Clips of test patients whose view was taught: the largest differences of features, logits and
log-probabilities of single windows; accuracy and macro F1 of clips, and their difference to torch in 32 bits
on the same draws of patients with a 95 % interval (2,000 draws); the share of clips that get another view,
and of those that are unknown in one and not in the other. Ranges for int8 come from training patients.

Speed is of one thread, the best of some rounds that take the runtimes in turn, on windows in memory. "First
answer" is the whole time of a new process that loads the network and answers one window, the best of three.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from apical.deploy.bundle import Bundle, open_bundle
from apical.deploy.export import export_onnx
from apical.deploy.exporting import calibration_windows
from apical.deploy.quantise import quantise
from apical.deploy.runtime import NetworkOutputs, Runtime, onnx_runtime, openvino_runtime
from apical.deploy.torch_runtime import torch_runtime
from apical.judge.intervals import Bootstrap, bootstrap, difference, expanded_intervals, patient_confusions
from apical.judge.metrics import Counts, Figures, accuracy, macro_f1
from apical.learn.clips import Clips, load_clips
from apical.learn.windows import windows

BATCHES = (1, 8, 32)
ROUNDS, SECONDS = 5, 0.2
FIRST = {
    "torch": """
from pathlib import Path
from apical.deploy.bundle import open_bundle
from apical.deploy.torch_runtime import torch_runtime
b = open_bundle(Path(sys.argv[1]))
run = torch_runtime(b.classifier, b.input_size, "cpu", sys.argv[3])
""",
    "onnxruntime": """
from pathlib import Path
from apical.deploy.runtime import onnx_runtime
run = onnx_runtime(Path(sys.argv[2]).read_bytes(), 1)
""",
    "openvino": """
from pathlib import Path
from apical.deploy.runtime import openvino_runtime
run = openvino_runtime(Path(sys.argv[2]).read_bytes(), sys.argv[3], 1)
""",
}


def runtimes(bundle: Bundle, model: bytes, small: bytes | None) -> dict[str, Callable[[], Runtime]]:
    """What is compared, the reference first, by name."""
    in_torch = (bundle.classifier, bundle.input_size, "cpu")
    ways: dict[str, Callable[[], Runtime]] = {
        "torch f32": lambda: torch_runtime(*in_torch, "f32"),
        "torch bf16": lambda: torch_runtime(*in_torch, "bf16"),
        "onnxruntime f32": lambda: onnx_runtime(model, 1),
        "openvino f32": lambda: openvino_runtime(model, "f32", 1),
        "openvino bf16": lambda: openvino_runtime(model, "bf16", 1),
    }
    if small is not None:
        ways["onnxruntime int8"] = lambda: onnx_runtime(small, 1)
        ways["openvino int8"] = lambda: openvino_runtime(small, "f32", 1)
    return ways


def of_clips(outputs: NetworkOutputs, clip: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Log-probabilities (n, k) and features (n, d) of clips, as `classify_clips` pools them."""
    each = np.bincount(clip)[:, None]
    pooled = []
    for values in (log_softmax(outputs.logits.astype(np.float64), axis=1), outputs.features):
        total = np.zeros((len(each), values.shape[1]))
        np.add.at(total, clip, values)
        pooled.append(total / each)
    return log_softmax(pooled[0], axis=1), pooled[1]


def figures(confusion: Counts) -> Figures:
    return np.stack([accuracy(confusion), macro_f1(confusion)], axis=-1)


def judged(named: NDArray[np.int64], clips: Clips, views: int) -> Bootstrap:
    """Accuracy and macro F1 over draws of patients."""
    return bootstrap(patient_confusions(clips.label, named, clips.patient, views)[None], figures)


def rates(made: dict[str, Runtime], crops: NDArray[np.uint8]) -> dict[str, list[float]]:
    """Frames a second by batch, the best of some rounds."""
    best = {name: [0.0] * len(BATCHES) for name in made}
    for _ in range(ROUNDS):
        for name, runtime in made.items():
            for place, batch in enumerate(BATCHES):
                runtime(crops[:batch])
                done, began = 0, time.perf_counter()
                while (took := time.perf_counter() - began) < SECONDS:
                    runtime(crops[:batch])
                    done += batch * crops.shape[1]
                best[name][place] = max(best[name][place], done / took)
    return best


def first_answer(name: str, bundle: Path, model: Path, shape: tuple[int, ...]) -> float:
    """Seconds of a new process until its first answer."""
    library, precision = name.split()
    code = (
        f"import os, sys\nimport numpy as np{FIRST[library]}run(np.zeros((1, *{shape}), 'u1'))\nos._exit(0)"
    )
    words = [sys.executable, "-c", code, str(bundle), str(model), precision.replace("int8", "f32")]
    took = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(words, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        took.append(time.perf_counter() - began)
    return min(took)


def table(place: Path, store: Path, catalogue: Path) -> list[str]:
    """The comparison, in Markdown."""
    bundle = open_bundle(place)
    clips = load_clips(store, catalogue, bundle.vocabulary)
    views, together = len(bundle.vocabulary), bundle.classifier.encoder.frames
    began = time.perf_counter()
    model = export_onnx(bundle.classifier, input_size=bundle.input_size, frame_size=bundle.frames.size)
    exporting = time.perf_counter() - began
    small = quantise(model, calibration_windows(bundle, store, catalogue))
    tests = clips.in_split("test").labelled()
    tests = tests.select(bundle.classifier.taught.numpy()[tests.label])
    clip, rows = windows(tests.first, tests.count, together, all_of_clip=True)
    crops = tests.read(rows)
    made, loading = {}, {}
    for name, load in runtimes(bundle, model, small).items():
        began = time.perf_counter()
        made[name] = load()
        loading[name] = time.perf_counter() - began
    speed = rates(made, crops)
    lines = [
        f"{len(tests)} clips, {len(crops)} windows of {len(np.unique(tests.patient))} test patients; "
        f"{bundle.facts['parameters']:,} weights, input {bundle.input_size} of frames {bundle.frames.size}; "
        f"ONNX {len(model) / 1e6:.2f} MB (int8 {len(small) / 1e6:.2f} MB), made in {exporting:.1f} s",
        "",
        "| runtime | Δ features | Δ logits | Δ log p | accuracy | difference, points | macro F1 | difference "
        "| other view | other unknown | frames/s 1 | 8 | 32 | load, s | first answer, s |",
        "|" + "---|" * 15,
    ]
    said: dict[str, NetworkOutputs] = {name: runtime(crops) for name, runtime in made.items()}
    taught = bundle.classifier.taught.numpy()
    whole = said["torch f32"]
    whole_p, whole_x = of_clips(whole, clip)
    reference = judged(whole_p.argmax(axis=1), tests, views)
    with TemporaryDirectory() as folder:
        for name, outputs in said.items():
            path = Path(folder) / "network.onnx"
            path.write_bytes(small if "int8" in name else model)
            p, x = of_clips(outputs, clip)
            found = judged(p.argmax(axis=1), tests, views)
            gain = expanded_intervals(difference(found, reference))
            off = [
                np.abs(one - other).max()
                for one, other in (
                    (outputs.features, whole.features),
                    (outputs.logits, whole.logits),
                    (
                        log_softmax(outputs.logits[:, taught], axis=1),
                        log_softmax(whole.logits[:, taught], axis=1),
                    ),
                )
            ]
            moved = (p.argmax(axis=1) != whole_p.argmax(axis=1)).mean()
            unknown = bundle.unknown.unknown(x.astype(np.float32))
            flipped = (unknown != bundle.unknown.unknown(whole_x.astype(np.float32))).mean()
            cells = [
                name,
                *(f"{value:.1e}" for value in off),
                f"{found.value[0]:.4f}",
                f"{100 * gain[0].value:+.2f} ({100 * gain[0].low:+.2f} to {100 * gain[0].high:+.2f})",
                f"{found.value[1]:.4f}",
                f"{gain[1].value:+.4f} ({gain[1].low:+.4f} to {gain[1].high:+.4f})",
                f"{moved:.2%}",
                f"{flipped:.2%}",
                *(f"{rate:,.0f}" for rate in speed[name]),
                f"{loading[name]:.3f}",
                f"{first_answer(name, place, path, crops.shape[1:]):.2f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("catalogue", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("\n".join(table(options.bundle, options.frames, options.catalogue)))


if __name__ == "__main__":
    main()
