"""Whether clips are told apart by mode: agreement with the phantom's truth, with its tags and without any.

Settings were chosen on other seeds than the default.

    python benchmarks/triage.py --patients 40 --other-modes 8 --seed 41
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from apical.config import PhantomSettings
from apical.errors import ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.triage import triage
from phantom_truth import Row, interval, phantom

TWO_D = ("sweep", "organ")  # of the phantom: 2-D too, if not one standard view
MODES = ("2d", "colour", "tissue-doppler", "spectral", "m-mode", "dual", "3d", "report")
NONE = "none found"


def look(row: Row, folder: Path) -> tuple[str, str, float]:
    """The mode with tags and without, and the seconds of the latter."""
    clip = open_clip(folder / row["file"])
    seen = []
    seconds = 0.0
    for bare in (False, True):
        if bare:
            clip.facts = replace(clip.facts, mode=None, regions=())
        began = time.perf_counter()
        try:
            seen.append(str(triage(clip).mode))
        except ClipProblem:
            seen.append(NONE)
        seconds = time.perf_counter() - began
    return seen[0], seen[1], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--other-modes", type=int, default=8, help="of an exam")
    parser.add_argument("--image-rows", type=int, nargs="+", default=[300, 600])
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    for image_rows in options.image_rows:
        settings = PhantomSettings(
            patients=options.patients,
            other_modes=options.other_modes,
            sweeps=1,
            organs=2,
            extra_views=1,
            image_rows=image_rows,
            seed=options.seed,
            frames=6,
        )
        with phantom(settings) as (folder, rows), ProcessPoolExecutor(options.workers) as pool:
            seen = list(pool.map(partial(look, folder=folder), rows, chunksize=4))
        report(rows, seen, image_rows)


def report(rows: list[Row], seen: list[tuple[str, str, float]], image_rows: int) -> None:
    patients = [row["patient"] for row in rows]
    modes = ["2d" if row["mode"] in TWO_D else row["mode"] for row in rows]
    print(f"{len(rows)} clips of {len(set(patients))} patients, {image_rows} rows")
    for name, which in (("tags and pixels", 0), ("pixels alone", 1)):
        right = np.array([mode == one[which] for mode, one in zip(modes, seen, strict=True)], float)
        print(f"{name}: agreement {interval(right, patients, np.mean)}")
        table = Counter((mode, one[which]) for mode, one in zip(modes, seen, strict=True))
        answers = (*MODES, NONE)
        print(f"  {'truth':15}" + "".join(f"{mode[:8]:>9}" for mode in answers))
        for truth in MODES:
            print(f"  {truth:15}" + "".join(f"{table[truth, answer] or '.':>9}" for answer in answers))
        wrong = sum(count for (truth, answer), count in table.items() if answer == "2d" != truth)
        print(f"  taken for 2d though they are not: {wrong}")
    print(f"{1000 * np.mean([one[2] for one in seen]):.0f} ms a clip without tags, one core")


if __name__ == "__main__":
    main()
