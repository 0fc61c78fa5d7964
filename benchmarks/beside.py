"""How often words beside the image stay in its mask: on the phantom's clips, painted near and close to it.

Names, numbers and boxes of them are painted at least 4 pixels (of 240 rows) beside the phantom's image, on
its own screen and on others: of another grey, shaded, with a black window, noisy. A word has stayed where any
of its strokes is in the mask. Settings were chosen on other seeds than the default.

    python benchmarks/beside.py --patients 24 --seed 31 --image-rows 600
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from apical.config import PhantomSettings
from apical.errors import ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.sampling import spread
from apical.ingest.sector import find_sector
from apical.ingest.triage import LOOKED_AT
from apical.ingest.writing import Mask, Picture
from phantom_truth import Row, arguments, phantom, true_mask

Frames = NDArray[np.uint8]

CLOSEST, FURTHEST = 4 / 240, 16 / 240  # of the rows, from the image to the nearest stroke or box
LETTERS = list("ABCDEFGHKMNPRSTXabdefghknprst0123456789")
KINDS = ("light words", "dim words", "black words, grey screen", "box", "box in a part", "bar", "clock",
         "shaded screen", "black window", "noisy screen")  # fmt: skip


def words(generator: np.random.Generator, rows: int, lines: int) -> tuple[Picture, ...]:
    """Lines of (height, width) uint8 writing of one size, 0 to 255."""
    size, thickness = generator.uniform(0.35, 0.6) * rows / 240, int(generator.integers(1, 1 + rows // 240))
    font = int(
        generator.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX])
    )
    drawn = []
    for _ in range(lines):
        text = "".join(generator.choice(LETTERS, generator.integers(4, 12)))
        (width, height), below = cv2.getTextSize(text, font, size, thickness)
        line = np.zeros((height + below + 2, width + 2), np.uint8)
        cv2.putText(line, text, (1, height + 1), font, size, (255,), thickness, cv2.LINE_AA)
        drawn.append(line)
    return tuple(drawn)


def stacked(lines: tuple[Picture, ...]) -> Picture:
    width = max(line.shape[1] for line in lines)
    return np.concatenate([np.pad(line, ((1, 1), (0, width - line.shape[1]))) for line in lines])


def place(generator: np.random.Generator, block: Picture, truth: Mask) -> tuple[slice, slice] | None:
    """Where a block lies near the image, but not closer than CLOSEST; None if no place is found."""
    (rows, columns), (height, width) = truth.shape, block.shape
    if height + 2 > rows or width + 2 > columns:
        return None
    distance = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    for _ in range(200):
        y, x = int(generator.integers(rows - height)), int(generator.integers(columns - width))
        there = slice(y, y + height), slice(x, x + width)
        nearest = distance[there][block > 0].min()
        if CLOSEST * rows <= nearest <= FURTHEST * rows:
            return there
    return None


def screened(kind: str, frames: Frames, truth: Mask, generator: np.random.Generator) -> Frames:
    """The frames on another screen, where the kind has one."""
    screen = np.zeros(frames.shape, np.float32) + frames
    rows = truth.shape[0]
    if kind == "black words, grey screen":
        screen = np.maximum(screen, generator.integers(20, 60))
    elif kind == "shaded screen":
        screen = np.maximum(screen, np.linspace(0, generator.integers(30, 70), rows)[:, None])
    elif kind == "black window":
        ys, xs = np.nonzero(truth)
        border = int(0.08 * rows)
        window = np.zeros(truth.shape, bool)
        window[
            max(0, ys.min() - border) : ys.max() + border, max(0, xs.min() - border) : xs.max() + border
        ] = True
        screen = np.where(window, screen, np.maximum(screen, generator.integers(30, 90)))
    elif kind == "noisy screen":
        screen = screen + generator.normal(0, generator.uniform(0.5, 3), screen.shape)
    return np.where(truth, frames, screen).clip(0, 255).astype(np.uint8)


def painted(
    kind: str, frames: Frames, truth: Mask, generator: np.random.Generator
) -> tuple[Frames, Mask] | None:
    """The frames with words, and their strokes (H, W); None if there is no room."""
    boxed = kind in ("box", "box in a part", "bar")
    lines = words(generator, truth.shape[0], int(generator.integers(1, 4)))
    letters = stacked(lines)
    if kind == "bar":
        letters = np.pad(letters, ((4, 4), (0, max(0, truth.shape[1] - 3 - letters.shape[1]))))
    solid = np.full_like(letters, 255) if boxed else letters
    there = place(generator, solid, truth)
    if there is None:
        return None
    shown, strokes = screened(kind, frames, truth, generator), np.zeros(truth.shape, bool)
    level = {"dim words": generator.integers(60, 120), "black words, grey screen": 0}.get(
        kind, generator.integers(140, 256)
    )
    box = int(generator.integers(40, 230)) if boxed else 0
    if boxed:
        level = 0 if box > 110 else 255
    part = range(len(shown)) if kind != "box in a part" else range(len(shown) // 3, len(shown) // 2 + 1)
    for number in part:
        if kind == "clock":
            again = stacked(words(generator, truth.shape[0], len(lines)))
            letters = np.zeros_like(solid)
            height, width = min(again.shape[0], letters.shape[0]), min(again.shape[1], letters.shape[1])
            letters[:height, :width] = again[:height, :width]
            letters[solid == 0] = 0
        share = letters.astype(np.float32) / 255
        ground = np.float32(box) if boxed else shown[number][there].astype(np.float32)
        shown[number][there] = np.round(ground * (1 - share) + level * share).astype(np.uint8)
        strokes[there] |= letters > 128
    return shown, strokes


def measure(row: Row, folder: Path, seed: int) -> list[tuple[str, bool, str]]:
    """(kind, still, outcome) of one clip, each kind as a cine and as a still."""
    clip = open_clip(folder / row["file"])
    frames = clip.decode(spread(clip.facts.frames, LOOKED_AT))
    truth = true_mask(row, frames.shape[1:])
    generator = np.random.default_rng([seed, *row["file"].encode()])
    found = []
    for kind in KINDS:
        for still in (False, True):
            given = painted(kind, frames[:1] if still else frames, truth, generator)
            if given is None or not given[1].any() or (still and kind in ("clock", "box in a part")):
                continue
            shown, strokes = given
            quality = int(generator.integers(70, 101))
            coded = [simplejpeg.encode_jpeg(np.ascontiguousarray(frame[..., None]), quality, "GRAY", "Gray")
                     for frame in shown]  # fmt: skip
            shown = np.stack([simplejpeg.decode_jpeg(frame, "GRAY")[..., 0] for frame in coded])
            regions = clip.facts.regions if generator.random() < 0.5 else ()
            try:
                stayed = bool((find_sector(shown, regions).mask & strokes).any())
                found.append((kind, still, "stayed" if stayed else "gone"))
            except ClipProblem:
                found.append((kind, still, "refused"))
    return found


def main() -> None:
    options = arguments(str(__doc__))
    settings = PhantomSettings(patients=options.patients, image_rows=options.image_rows, seed=options.seed)
    with phantom(settings) as (folder, rows), ProcessPoolExecutor(options.workers) as pool:
        work = partial(measure, folder=folder, seed=options.seed)
        outcomes = [outcome for clip in pool.map(work, rows, chunksize=4) for outcome in clip]
    print(f"{len(rows)} clips of {options.patients} patients, {options.image_rows} rows, seed {options.seed}")
    print(f"{'':26} {'cines':>6} {'stayed':>7} {'refused':>8} {'stills':>8} {'stayed':>7} {'refused':>8}")
    for kind in KINDS:
        line = f"{kind:26}"
        for still in (False, True):
            these = [outcome for name, single, outcome in outcomes if (name, single) == (kind, still)]
            line += f" {len(these):6} {these.count('stayed'):7} {these.count('refused'):8}  "
        print(line)


if __name__ == "__main__":
    main()
