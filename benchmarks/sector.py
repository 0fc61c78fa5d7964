"""How well the sector is found: overlap with the phantom's own outline, by tags and by pixels.

Also how much of a word that stands on the image is blanked, in clips through JPEG of several qualities, by
how much brighter it is than what it covers; and how much tissue is blanked where nothing is written, in frame
stores and in clean copies. Settings were chosen on other seeds than the default.

    python benchmarks/sector.py --patients 24 --seed 31 --image-rows 600
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from apical.config import PhantomSettings
from apical.errors import ClipProblem
from apical.ingest.burnt_in import without_burnt_in
from apical.ingest.clip import open_clip
from apical.ingest.facts import Region
from apical.ingest.sampling import spread
from apical.ingest.sector import Sector, find_sector
from apical.ingest.triage import LOOKED_AT, triage
from phantom_truth import Row, arguments, interval, phantom, true_mask

QUALITIES = (100, 90, 75)
BRIGHTER = (-255, 0, 20, 256)  # grey levels by which a word is brighter than the brightest under it
LETTERS = list("ABCDEFGHKMNPRST0123456789")


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def find(frames: NDArray[np.uint8], regions: tuple[Region, ...]) -> Sector | None:
    try:
        return find_sector(frames, regions)
    except ClipProblem:
        return None


def measure(row: Row, folder: Path) -> list[tuple[str, float, float, float]]:
    """(way, overlap of the outline, of the mask, seconds) of one clip."""
    clip = open_clip(folder / row["file"])
    frames = clip.decode(spread(clip.facts.frames, LOOKED_AT))
    truth = true_mask(row, frames.shape[1:])
    found = []
    for way, shown, regions in (
        ("cine, tags", frames, clip.facts.regions),
        ("cine, pixels", frames, ()),
        ("still, pixels", frames[:1], ()),
    ):
        began = time.perf_counter()
        sector = find(shown, regions)
        seconds = time.perf_counter() - began
        both = (overlap(filled(sector), truth), overlap(sector.mask, truth)) if sector else (0.0, 0.0)
        found.append((way, *both, seconds))
    return found


def filled(sector: Sector) -> NDArray[np.bool_]:
    """The outline without what is blanked in it."""
    return Sector(sector.kind, sector.outline, (), sector.size, sector.confidence).mask


def blanked(row: Row, folder: Path) -> tuple[list[float], list[tuple[int, float, float]]]:
    """Share of one clip's tissue that is blanked where nothing is written, and of words' strokes.

    The latter as (quality, by how much the word is brighter than the brightest under it, share blanked).
    """
    clip = open_clip(folder / row["file"])
    frames = clip.decode(spread(clip.facts.frames, LOOKED_AT))
    truth = true_mask(row, frames.shape[1:])
    bare = find(frames, ())
    tissue = [float((filled(bare) & ~bare.mask).sum() / truth.sum())] if bare else []
    found: list[tuple[int, float, float]] = []
    generator = np.random.default_rng(int(row["heart_rate"]))
    inner = cv2.erode(truth.astype(np.uint8), np.ones((61, 61), np.uint8))
    ys, xs = np.nonzero(inner)
    if not ys.size:
        return tissue, found
    for quality in QUALITIES:
        word = "".join(generator.choice(LETTERS, generator.integers(4, 9)))
        place = generator.integers(ys.size)
        at = (int(xs[place]) - 60, int(ys[place]))
        drawn, level = np.zeros(truth.shape, np.uint8), int(generator.integers(140, 256))
        size, thickness = generator.uniform(0.5, 0.9), int(generator.integers(1, 4))
        cv2.putText(drawn, word, at, 0, size, (255,), thickness, cv2.LINE_AA)
        drawn[~truth] = 0
        share = drawn / 255
        shown = (frames * (1 - share) + level * share).astype(np.uint8)
        coded = [simplejpeg.encode_jpeg(np.ascontiguousarray(frame[..., None]), quality, "GRAY", "Gray")
                 for frame in shown]  # fmt: skip
        sector = find(np.stack([simplejpeg.decode_jpeg(frame, "GRAY")[..., 0] for frame in coded]), ())
        strokes = drawn > 128
        if sector and strokes.any():
            brighter = level - float(frames[:, strokes].max(axis=0).mean())
            found.append((quality, brighter, float((strokes & ~sector.mask).sum() / strokes.sum())))
    return tissue, found


def lost_in_copy(row: Row, folder: Path) -> float | None:
    """The share of the sector that a clean copy blanks besides, where nothing is written; None if refused."""
    clip = open_clip(folder / row["file"])
    found = triage(clip)
    if found.sector is None:
        return None
    try:
        kept = without_burnt_in(clip, found.sector, found.mode)
    except ClipProblem:
        return None
    return float(1 - kept.mask.sum() / found.sector.mask.sum())


def main() -> None:
    options = arguments(str(__doc__))
    settings = PhantomSettings(patients=options.patients, image_rows=options.image_rows, seed=options.seed)
    with phantom(settings) as (folder, rows), ProcessPoolExecutor(options.workers) as pool:
        results = list(pool.map(partial(measure, folder=folder), rows, chunksize=4))
        written = list(pool.map(partial(blanked, folder=folder), rows[::3], chunksize=4))
        lost = list(pool.map(partial(lost_in_copy, folder=folder), rows, chunksize=4))
    patients = [row["patient"] for row in rows]
    print(
        f"{len(rows)} clips of {options.patients} patients, {options.image_rows} rows, seed {options.seed};"
    )
    print("intersection over union with the phantom's outline, 95 % intervals over patients")
    for way in range(3):
        name = results[0][way][0]
        for kind, column in (("outline", 1), ("mask", 2)):
            values = np.array([result[way][column] for result in results])
            figures = [
                interval(values, patients, partial(np.percentile, q=share)) for share in (50, 5)
            ]  # fmt: skip
            print(f"  {name:14} {kind:8} median {figures[0]}, 5th percentile {figures[1]}, ", end="")
            print(f"least {values.min():.3f}, none found {int((values == 0).sum())}")
        print(f"  {name:14} {1000 * np.median([result[way][3] for result in results]):.1f} ms a clip")
    tissue = np.concatenate([shares for shares, _ in written])
    print(f"tissue blanked where nothing is written: median {np.median(tissue):.4f} of the sector, ", end="")
    print(f"95th percentile {np.percentile(tissue, 95):.4f}")
    copied = np.array([share for share in lost if share is not None])
    print(f"and further in a clean copy, {len(copied)} clips, {len(lost) - len(copied)} refused: ", end="")
    print("median {:.4f}, 95th percentile {:.4f}, most {:.4f}".format(*np.percentile(copied, (50, 95, 100))))
    words = np.array([word for _, found in written for word in found])
    for low, high in pairwise(BRIGHTER):
        print(f"words on clips, {low} to {high - 1} levels brighter than what they cover, blanked to 95 %:")
        for quality in QUALITIES:
            alike = (words[:, 0] == quality) & (words[:, 1] >= low) & (words[:, 1] < high)
            print(f"  JPEG {quality}: {(words[alike, 2] >= 0.95).sum()} of {alike.sum()}")


if __name__ == "__main__":
    main()
