"""Crops a second of `apical pretrain`, against two rivals, all in one run; and its memory as stores grow.

The first rival is the network alone: forward and backward of the same encoder and head on random crops that
are already in memory; no reading, no augmentation, no contrastive loss, no optimiser, no logging. The second
is SimCLR as it is mostly written: a data loader that makes each crop from its own PIL image by as many other
processes as ours (benchmarks/augment.py), feeding the same network, loss and optimiser. Rounds of the three
alternate, and the median of the rounds counts.

    OMP_NUM_THREADS=1 python benchmarks/pretrain.py                                # this machine's processor
    python benchmarks/pretrain.py --depth 50 --width 64 --input-size 224 --precision bf16 --batch-clips 256
    python benchmarks/pretrain.py --memory                                         # 10³ to 10⁶ frames
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from apical.catalogue import write_catalogue
from apical.config import AugmentSettings, PretrainSettings, ResNetSettings
from apical.learn.backbones import build_encoder, channels_last
from apical.learn.branch import branch_of
from apical.learn.device import fabric_on
from apical.learn.losses import masked_contrastive
from apical.learn.pretrain import pretrain
from augment import by_pillow, fan
from fake_stores import write_store

FRAMES_A_CLIP, CLIPS_A_PATIENT = 4, 11
MEMORY = """
import json, resource, sys
from pathlib import Path
from apical.config import PretrainSettings
from apical.learn.pretrain import pretrain
store, catalogue, out, settings, most = sys.argv[1:]
class Enough(Exception): pass
def enough(done, total):
    if done >= int(most):
        raise Enough
try:
    settings = PretrainSettings.model_validate_json(settings)
    pretrain(Path(store), Path(catalogue), Path(out), settings, progress=enough)
except Enough:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def make_store(folder: Path, clips: int, side: int, *, black: bool = False) -> tuple[Path, Path]:
    """A store of sectors of noise, or of black frames, whose file takes no room on the disk."""
    count = clips * FRAMES_A_CLIP
    names = [f"c{number:07}" for number in range(clips)]
    if black:
        write_store(folder / "frames", names[:1], np.zeros((1, side, side), np.uint8))
        index = pl.DataFrame({"row": range(count), "clip": np.repeat(names, FRAMES_A_CLIP)})
        index.write_parquet(folder / "frames" / "index.parquet")
        np.lib.format.open_memmap(folder / "frames" / "frames.npy", "w+", np.uint8, (count, side, side))
    else:
        sector = fan(side) > 0
        frames = np.random.default_rng(0).integers(1, 255, (count, side, side), dtype=np.uint8) * sector
        write_store(folder / "frames", np.repeat(names, FRAMES_A_CLIP).tolist(), frames)
    patients = [f"p{number // CLIPS_A_PATIENT}" for number in range(clips)]
    table = pl.DataFrame({"clip": names, "path": names, "patient": patients})
    write_catalogue(table, folder / "catalogue.parquet")
    return folder / "frames", folder / "catalogue.parquet"


def ours(store: Path, catalogue: Path, run: Path, settings: PretrainSettings) -> float:
    """Crops a second of the pre-training, from the end of its first epoch on."""
    pretrain(store, catalogue, run, settings)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    first = max(line["seconds"] for line in lines if line["epoch"] == 0)
    steps = sum(line["epoch"] > 0 for line in lines)
    return steps * 2 * settings.batch_clips / (lines[-1]["seconds"] - first)


def set_up(settings: PretrainSettings) -> Any:
    fabric = fabric_on(settings.accelerator, settings.precision)
    branch = branch_of(build_encoder(settings.encoder), settings)
    channels_last(branch)
    optimizer = torch.optim.AdamW(branch.parameters(), lr=1e-4)
    return fabric, *fabric.setup(branch, optimizer)


def bare(settings: PretrainSettings, steps: int) -> float:
    """Crops a second of the network alone."""
    fabric, network, optimizer = set_up(settings)
    side = settings.input_size
    crops = torch.randn(2 * settings.batch_clips, 1, side, side, device=fabric.device)

    def step() -> None:
        optimizer.zero_grad()
        fabric.backward(network(crops).square().mean())
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()

    step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * len(crops) / (time.perf_counter() - began)


class Pairs(Dataset[Any]):
    """Two PIL crops of each frame, as SimCLR's loaders give them."""

    def __init__(self, store: Path, size: int, length: int) -> None:
        self.frames = np.load(store / "frames.npy", mmap_mode="r")
        self.length, self.size = length, size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Any:
        frame = self.frames[number * FRAMES_A_CLIP % len(self.frames)]
        return tuple(by_pillow(frame, self.size, AugmentSettings()) for _ in range(2))


def simclr(store: Path, settings: PretrainSettings, steps: int) -> float:
    """Crops a second of the same network fed by a data loader with one worker."""
    fabric, network, optimizer = set_up(settings)
    n = settings.batch_clips
    pairs = Pairs(store, settings.input_size, n * (steps + 1))
    loader = DataLoader(pairs, n, shuffle=True, num_workers=settings.feeders or 0)
    positive = torch.eye(n, dtype=torch.bool, device=fabric.device).repeat(2, 2)
    began = 0.0
    for number, (one, other) in enumerate(loader):
        crops = torch.cat([one, other]).to(fabric.device)
        optimizer.zero_grad()
        fabric.backward(masked_contrastive(network(crops), positive, ~positive, temperature=0.2))
        optimizer.step()
        if number == 0:
            began = time.perf_counter()
    return steps * 2 * n / (time.perf_counter() - began)


def memory(options: argparse.Namespace, settings: PretrainSettings) -> None:
    """Largest resident memory of 30 steps from stores of very different size."""
    for frames in (1_000, 10_000, 100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            store, catalogue = make_store(folder, frames // FRAMES_A_CLIP, 80, black=True)
            words = [store, catalogue, folder / "run", settings.model_dump_json(), "30"]
            done = subprocess.run(
                [sys.executable, "-c", MEMORY, *map(str, words)], capture_output=True, text=True, check=True
            )
            print(f"{frames:9} frames: {done.stdout.strip()} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--stem-stride", type=int, default=4)
    parser.add_argument("--batch-clips", type=int, default=132)
    parser.add_argument("--batches", type=int, default=8, help="batches an epoch")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--feeders", type=int, default=1, help="processes that make crops, of both loaders")
    parser.add_argument("--precision", default="32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--memory", action="store_true", help="measure that instead")
    options = parser.parse_args()
    network = ResNetSettings(depth=options.depth, width=options.width, stem_stride=options.stem_stride)
    settings = PretrainSettings(
        encoder=network,
        input_size=options.input_size,
        batch_clips=options.batch_clips,
        epochs=options.epochs,
        feeders=options.feeders,
        precision=options.precision,
        compile=options.compile,
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, {options.precision}")
    print(
        f"ResNet-{options.depth} width {options.width}, {options.input_size} px, stem {options.stem_stride}"
    )
    if options.memory:
        memory(options, settings.model_copy(update={"epochs": 10_000, "watch": 10_000}))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        side = round(options.input_size * 1.25)
        store, catalogue = make_store(folder, options.batch_clips * options.batches, side)
        steps = options.batches * (options.epochs - 1)
        found: dict[str, list[float]] = {"pretrain": [], "bare": [], "simclr": []}
        for number in range(options.rounds):
            found["bare"].append(bare(settings, steps))
            found["pretrain"].append(ours(store, catalogue, folder / f"run{number}", settings))
            found["simclr"].append(simclr(store, settings, max(3, steps // 4)))
            print("  " + ", ".join(f"{name} {values[-1]:.0f}" for name, values in found.items()), flush=True)
    speed, alone, loader = (statistics.median(values) for values in found.values())
    print(f"apical pretrain {speed:.0f} crops/s")
    print(f"bare network {alone:.0f} crops/s: ratio {speed / alone:.2f}")
    print(f"PIL loader, {options.feeders} workers {loader:.0f} crops/s: ratio {speed / loader:.2f}")


def processor() -> str:
    """Its name, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "CPU"


if __name__ == "__main__":
    main()
