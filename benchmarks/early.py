"""How many frames the rule of `apical.deploy.early` saves, and what it changes, on test patients.

Each clip is answered twice, as files are: with the rule and with all frames. Accuracy is over the labelled
clips; its difference is paired, with its interval over patients. The rule's two numbers were chosen on
validation patients.

    python benchmarks/early.py bundle catalogue.parquet --split test
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from apical.catalogue import read_catalogue
from apical.deploy.answering import Answerer
from apical.deploy.bundle import open_bundle
from apical.ingest.sector import Sector
from apical.judge.intervals import draw_patients, patient_sums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--frames-per-clip", type=int, help="take so many frames instead of the bundle's number"
    )
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    if options.frames_per_clip:
        frames = bundle.frames.model_copy(update={"frames_per_clip": options.frames_per_clip})
        bundle = replace(bundle, frames=frames)
    table = read_catalogue(options.catalogue).filter(
        (pl.col("split") == options.split) & pl.col("problem").is_null() & (pl.col("frames") > 2)
    )
    quick, patient = Answerer.of(bundle, threads=1), Answerer.of(bundle, threads=1, early=False)
    said, rows = [], table.select("path", "sector", "view", "patient").iter_rows()
    for number, (path, sector, view, of) in enumerate(rows, start=1):
        found = Sector.from_json(sector) if sector else None
        early, full = (one.answer(number, path, found) for one in (quick, patient))
        if full.likeliest is not None:
            said.append((early, full, view, of))
    print(f"{len(said)} cines of {len({of for *_, of in said})} {options.split} patients")
    used = [(len(early.frames_used), len(full.frames_used)) for early, full, *_ in said]
    print(f"frames looked at: {np.mean(used, axis=0)[0]:.2f} of {np.mean(used, axis=0)[1]:.2f}")
    for name in ("likeliest", "unknown", "doubtful", "views"):
        same = np.mean([getattr(early, name) == getattr(full, name) for early, full, *_ in said])
        print(f"  the same {name}: {100 * same:.2f} %")
    off = [abs(early.probability - full.probability) for early, full, *_ in said]
    print(
        f"  probability: {np.mean(off):.4f} off on the average, {np.quantile(off, 0.95):.3f} in 5 % or more"
    )
    known = [one for one in said if one[2] is not None]
    right = np.array(
        [[early.likeliest == view, full.likeliest == view] for early, full, view, _ in known], float
    )
    patients = np.array([of for *_, of in known])
    difference = right[:, 0] - right[:, 1]
    sums = patient_sums(np.stack([difference, np.ones(len(difference))], axis=1), patients)
    (times,) = draw_patients(len(sums), 2000, seed=0)
    drawn = times @ sums
    low, high = np.quantile(100 * drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    print(
        f"accuracy: {100 * right[:, 0].mean():.2f} %, with all frames {100 * right[:, 1].mean():.2f} %; "
        f"difference {100 * difference.mean():+.2f} ({low:+.2f} to {high:+.2f})"
    )


if __name__ == "__main__":
    main()
