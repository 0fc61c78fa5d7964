"""Crops a second of the augmentation, on a CPU, against Pillow; and a sheet of crops to look at.

The rival is what SimCLR's data loader does to one picture at a time with Pillow, as torchvision's transforms
would: a random resized crop, a rotation, brightness and contrast, a blur, and the step to a float tensor.

    python benchmarks/augment.py
    python benchmarks/augment.py --store frames --sheet crops.png
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from apical.config import AugmentSettings
from apical.learn import render_torch
from apical.learn.augment import DEVIATION, MEAN, augment, laid
from apical.learn.draw import draw

CPU = torch.device("cpu")
NOTHING = AugmentSettings(
    smallest_crop=1, rotation_degrees=0, gain=0, dynamic_range=0, gamma=0, depth_gain=0, speckle=0, blur=0,
    shadow=0, depth=0, dropout=0,
)  # fmt: skip
STRONG = {  # strengths at which a setting can be seen on a sheet
    "smallest_crop": 0.5, "rotation_degrees": 25, "shear": 0.3, "depth": 0.4, "narrow": 0.5, "flip": 0.5,
    "gain": 0.2, "dynamic_range": 0.4, "gamma": 0.6, "depth_gain": 0.3, "polarity": 0.7, "speckle": 0.25,
    "redraw": 1.0, "blur": 0.5, "haze": 0.6, "shadow": 0.9, "dropout": 0.9,
}  # fmt: skip
ALL = {
    "smallest_crop": 0.6, "rotation_degrees": 15, "shear": 0.1, "depth": 0.25, "narrow": 0.3,
    "polarity": 0.15, "redraw": 0.5, "haze": 0.3, "shadow": 0.3, "dropout": 0.3,
}  # fmt: skip


def fan(side: int) -> NDArray[np.uint8]:
    """A sector of noise in a square, 0 outside of it."""
    y, x = np.mgrid[:side, :side] - np.array([side / 8, side / 2])[:, None, None]
    inside = (np.abs(np.arctan2(x, y)) < 0.7) & (np.hypot(x, y) < 0.78 * side)
    noise = np.random.default_rng(0).rayleigh(60, (side, side))
    return (np.clip(noise, 1, 255) * inside).astype(np.uint8)


def by_pillow(frame: NDArray[np.uint8], size: int, settings: AugmentSettings) -> torch.Tensor:
    """One crop as a loader of pictures makes it: (1, size, size) float32."""
    picture = Image.fromarray(frame)
    side = frame.shape[0]
    area = side**2 * random.uniform(settings.smallest_crop**2, 1)
    ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
    width, height = (min(side, round(math.sqrt(area * r))) for r in (ratio, 1 / ratio))
    left, top = random.randint(0, side - width), random.randint(0, side - height)
    picture = picture.crop((left, top, left + width, top + height))
    picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    angle = random.uniform(-settings.rotation_degrees, settings.rotation_degrees)
    picture = picture.rotate(angle, Image.Resampling.BILINEAR)
    picture = ImageEnhance.Brightness(picture).enhance(1 + random.uniform(-settings.gain, settings.gain))
    change = random.uniform(-settings.dynamic_range, settings.dynamic_range)
    picture = ImageEnhance.Contrast(picture).enhance(1 + change)
    if random.random() < settings.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2)))
    x = torch.from_numpy(np.array(picture)).unsqueeze(0).float().div_(255)
    return x.sub_(MEAN).div_(DEVIATION)


def crops_a_second(ways: dict[str, Callable[[], object]], crops: int, rounds: int = 8) -> dict[str, float]:
    """By processor time; the best of rounds in which every way has its turn, so that all meet one load."""
    best = dict.fromkeys(ways, math.inf)
    for _ in range(rounds):
        for name, make in ways.items():
            for _ in range(5):
                began = time.process_time()
                make()
                best[name] = min(best[name], time.process_time() - began)
    return {name: crops / seconds for name, seconds in best.items()}


def race(size: int, side: int, count: int) -> None:
    """Print crops a second of each way to make them, one thread."""
    settings, everything = AugmentSettings(), AugmentSettings(**ALL)
    frames = np.tile(fan(side), (count, 1, 1, 1))
    on_torch = torch.from_numpy(frames)
    generator = np.random.default_rng(0)

    def by_torch() -> object:
        draws = draw(count, side, size, settings, generator)
        made = render_torch.render(on_torch, draws, laid(frames, draws, size), size)
        return made.sub_(MEAN).div_(DEVIATION)

    ways: dict[str, Callable[[], object]] = {
        "Pillow": lambda: torch.stack([by_pillow(frame[0], size, settings) for frame in frames]),
        "OpenCV, default": lambda: augment(frames, size, settings, generator, CPU),
        "OpenCV, all settings": lambda: augment(frames, size, everything, generator, CPU),
        "torch, default": by_torch,
    }
    print(f"{side} px to {size} px, {count} crops a batch, one thread of the CPU")
    speeds = crops_a_second(ways, count)
    for name, speed in speeds.items():
        ratio = speed / speeds["Pillow"]
        print(f"  {name:20} {speed:6.0f} crops/s, {1e6 / speed:5.0f} us each, {ratio:4.1f} times Pillow")


def sheet(frames: NDArray[np.uint8], size: int, path: Path, only: list[str]) -> None:
    """Draw what each setting does: the frame, then 8 crops, three frames a setting.

    Args:
        frames: (n, s, s) uint8, of which three are shown.
        size: side of a crop in pixels.
        path: PNG to write.
        only: settings to show; all if empty.
    """
    chosen = frames[np.linspace(0, len(frames) - 1, 3).astype(int)]
    kinds = {name: NOTHING.model_copy(update={name: value}) for name, value in STRONG.items()}
    kinds |= {"default": AugmentSettings(), "all": AugmentSettings(**ALL)}
    rows = []
    for name in only or kinds:
        title = np.zeros((14, 9 * (size + 2)), np.uint8)
        rows.append(cv2.putText(title, name, (2, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1, cv2.LINE_AA))
        for number, frame in enumerate(chosen):
            many = np.tile(frame, (8, 1, 1, 1))
            crops = augment(many, size, kinds[name], np.random.default_rng(number), CPU)
            grey = ((crops[:, 0].numpy() * DEVIATION + MEAN) * 255).round().astype(np.uint8)
            whole = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
            rows.append(np.hstack([np.pad(tile, 1, constant_values=70) for tile in (whole, *grey)]))
    cv2.imwrite(str(path), np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=128, help="crops a batch")
    parser.add_argument("--sheet", type=Path, help="draw a sheet of crops there instead")
    parser.add_argument("--store", type=Path, help="frame store of the sheet's frames; a noisy fan without")
    parser.add_argument("--setting", action="append", default=[], help="of the sheet; all without")
    parser.add_argument("--size", type=int, default=112, help="side of the sheet's crops")
    options = parser.parse_args()
    if options.sheet:
        frames = np.load(options.store / "frames.npy") if options.store else fan(140)[None]
        sheet(frames, options.size, options.sheet, options.setting)
        return
    torch.set_num_threads(1)
    random.seed(0)
    for size, side in ((64, 80), (112, 140)):
        race(size, side, options.count)


if __name__ == "__main__":
    main()
