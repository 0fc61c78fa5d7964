"""Crops a second of `apical pretrain`, against the bare network on random tensors, in one run.

The rival is the same network's forward and backward pass and optimiser step on crops that are already in
memory: no reading, no augmentation, no contrastive loss, no logging.

    python benchmarks/pretrain.py --input-size 64 --stem-stride 4 --width 16
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from apical.catalogue import write_catalogue
from apical.config import EncoderSettings, PretrainSettings
from apical.learn.backbones import Encoder, channels_last, projection_head
from apical.learn.device import fabric_on
from apical.learn.pretrain import pretrain
from fake_stores import write_store

FRAMES_A_CLIP, CLIPS_A_PATIENT = 4, 11


def ours(folder: Path, settings: PretrainSettings) -> float:
    """Crops a second of the pre-training loop, without its first epoch (start-up)."""
    run = pretrain(folder / "frames", folder / "catalogue.parquet", folder / "run", settings)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    first = max(line["seconds"] for line in lines if line["epoch"] == 0)
    steps = sum(line["epoch"] > 0 for line in lines)
    return steps * 2 * settings.batch_clips / (lines[-1]["seconds"] - first)


def bare(settings: PretrainSettings, steps: int) -> float:
    """Crops a second of the network alone."""
    fabric = fabric_on(settings.accelerator, settings.precision)
    encoder = Encoder(settings.encoder)
    network = channels_last(nn.Sequential(encoder, projection_head(encoder.features, 128)))
    network, optimizer = fabric.setup(network, torch.optim.AdamW(network.parameters()))
    side = settings.input_size
    crops = torch.randn(2 * settings.batch_clips, 1, side, side, device=fabric.device)
    crops = crops.to(memory_format=torch.channels_last)

    def step() -> None:
        optimizer.zero_grad()
        fabric.backward(network(crops).square().mean())
        optimizer.step()
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()

    step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * len(crops) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--stem-stride", type=int, default=4)
    parser.add_argument("--batch-clips", type=int, default=132)
    parser.add_argument("--batches", type=int, default=4, help="batches an epoch")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--precision", default="32")
    options = parser.parse_args()
    network = EncoderSettings(depth=options.depth, width=options.width, stem_stride=options.stem_stride)
    settings = PretrainSettings(
        encoder=network,
        input_size=options.input_size,
        batch_clips=options.batch_clips,
        epochs=options.epochs,
        precision=options.precision,
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clips = [f"c{number:06}" for number in range(options.batch_clips * options.batches)]
        side = round(options.input_size * 1.25)
        frames = np.random.default_rng(0).integers(
            0, 255, (len(clips) * FRAMES_A_CLIP, side, side), dtype=np.uint8
        )
        write_store(folder / "frames", np.repeat(clips, FRAMES_A_CLIP).tolist(), frames)
        patients = [f"p{number // CLIPS_A_PATIENT}" for number in range(len(clips))]
        write_catalogue(
            pl.DataFrame({"clip": clips, "path": clips, "patient": patients}), folder / "catalogue.parquet"
        )
        rival = bare(settings, 10)
        speed = ours(folder, settings)
        rival = max(rival, bare(settings, 10))
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, {options.precision}")
    print(
        f"ResNet-{options.depth} width {options.width}, {options.input_size} px, stem {options.stem_stride}"
    )
    print(f"apical pretrain {speed:.0f} crops/s, bare network {rival:.0f} crops/s, ratio {speed / rival:.2f}")


if __name__ == "__main__":
    main()
