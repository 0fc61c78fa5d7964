"""Milliseconds a frame of the phantom on one core, beside the wave simulator SIMUS of pymust, in one run.

What is compared: one frame of the phantom, all in (geometry, image formation, scan conversion, what is burnt
in), against one frame of SIMUS (2-D, default settings) over a sector of the same depth and angle, from a
64-element P4-2v phased array, with scatterers at the density that pymust recommends: (a) one diverging wave,
delay and sum on the phantom's polar grid, once with its matrix made anew and once with it at hand; (b) 64
focused lines, estimated from a few. SIMUS solves for the field of each element and frequency, which the
phantom does not, and is given its scatterers, which the phantom has to find.

pymust is LGPL and no dependency:  pip install pymust

    OMP_NUM_THREADS=1 python benchmarks/phantom.py --rows 160 300
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apical.config import PhantomSettings
from apical.phantom import clip as phantom_clip
from apical.phantom.anatomy import sample_patient
from apical.phantom.heart import Tissue
from apical.phantom.machine import machine
from apical.phantom.planes import TYPICAL_DEPTH, VIEWS

STEPS = {
    "classify": "geometry",
    "set_up": "image formation",
    "form_image": "image formation",
    "scan_convert": "scan conversion",
}
HALF_ANGLE = 0.68  # radians; the mean of the machines
DEPTH_MM = float(np.mean(list(TYPICAL_DEPTH.values())))
LINES = 64
TEXTS = ("PHANTOM, NR0", "01/02/2021", "72 bpm", "MI 1.2")


@contextmanager
def timed_steps(spent: dict[str, float]) -> Iterator[None]:
    """Add up the processor seconds of the phantom's steps while the block runs."""
    originals = {name: getattr(phantom_clip, name) for name in STEPS if hasattr(phantom_clip, name)}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            began = time.process_time()
            result = function(*words, **named)
            spent[STEPS[name]] += time.process_time() - began
            return result

        return call

    for name, function in originals.items():
        setattr(phantom_clip, name, timed(name, function))
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(phantom_clip, name, function)


def ours(rows: int, frames: int, clips_a_view: int, seed: int) -> dict[str, float]:
    """Processor milliseconds a frame: all in, and of each step."""
    spent: dict[str, float] = defaultdict(float)
    acquire(VIEWS[0], rows, frames, [seed, 0])  # what is made once is not counted
    with timed_steps(spent):
        began = time.process_time()
        for number in range(clips_a_view * len(VIEWS)):
            acquire(VIEWS[number % len(VIEWS)], rows, frames, [seed, number])
        spent["all in"] = time.process_time() - began
    return {name: 1000 * seconds / (clips_a_view * len(VIEWS) * frames) for name, seconds in spent.items()}


def acquire(view: str, rows: int, frames: int, seed: list[int]) -> None:
    rng, difficulty = np.random.default_rng(seed), PhantomSettings().difficulty
    patient = sample_patient(rng, difficulty, len(Tissue))
    phantom_clip.acquire(
        patient,
        view,
        machine(int(rng.integers(24))),
        texts=TEXTS,
        heart_rate=patient.heart_rate,
        frames=frames,
        rows=rows,
        difficulty=difficulty,
        rng=rng,
    )


def simus(all_rows: list[int], lines: int, seed: int) -> dict[str, Any]:
    """Processor seconds of SIMUS for one frame; beams as for screens of so many rows."""
    import pymust

    np.random.seed(seed)  # pymust draws from the global state
    param = pymust.getparam("P4-2v")
    depth = DEPTH_MM / 1000
    x, _, z, echo = pymust.genscat(np.array([2 * depth * np.sin(HALF_ANGLE), depth]), param)
    seen = (np.hypot(x, z) < depth) & (np.abs(np.arctan2(x, z)) < HALF_ANGLE)
    x, z, echo = x[seen], z[seen], echo[seen]

    began = time.process_time()
    delays = pymust.txdelay(param, 0.0, 2 * HALF_ANGLE)
    signals, _ = pymust.simus(x, z, echo, delays, param)
    wave = time.process_time() - began
    param.fs = 4 * param.fc  # what simus samples with
    iq = pymust.rf2iq(signals, param)
    beamforming: dict[int, tuple[float, float]] = {}
    for rows in all_rows:
        samples, beams = round(rows * phantom_clip.SAMPLES_PER_ROW), round(rows * phantom_clip.BEAMS_PER_ROW)
        across, down = pymust.impolgrid(np.array([samples, beams]), depth, 2 * HALF_ANGLE, param)
        began = time.process_time()
        matrix = pymust.dasmtx(1j * np.array(iq.shape), across, down, delays, param)
        made = time.process_time() - began
        began = time.process_time()
        pymust.bmode((matrix @ iq.flatten(order="F")).reshape(across.shape, order="F"), 50)
        beamforming[rows] = (made, time.process_time() - began)

    began = time.process_time()
    for angle in np.linspace(-HALF_ANGLE, HALF_ANGLE, lines + 2)[1:-1]:
        delays = pymust.txdelay(0.075 * np.sin(angle), 0.075 * np.cos(angle), param)
        pymust.simus(x, z, echo, delays, param)
    focused = (time.process_time() - began) * LINES / lines
    return {"scatterers": len(x), "wave": wave, "beamforming": beamforming, "focused": focused}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[160, 300])
    parser.add_argument("--frames", type=int, default=16, help="a clip")
    parser.add_argument("--clips", type=int, default=1, help="a view")
    parser.add_argument("--lines", type=int, default=2, help="focused lines that SIMUS does simulate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    if importlib.util.find_spec("pymust") is None:
        print("the rival is not installed; try again after: pip install pymust", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    mine = {rows: ours(rows, options.frames, options.clips, options.seed) for rows in options.rows}
    for rows, figures in mine.items():
        steps = ", ".join(f"{name} {spent:.1f}" for name, spent in figures.items() if name != "all in")
        print(f"{rows} rows: phantom {figures['all in']:.1f} ms a frame, all in ({steps})", flush=True)
    theirs = simus(options.rows, options.lines, options.seed)
    print(f"SIMUS, {theirs['scatterers']} scatterers, {DEPTH_MM:.0f} mm deep: one diverging wave", end=" ")
    print(f"{theirs['wave']:.1f} s, {LINES} focused lines {theirs['focused']:.0f} s (from {options.lines})")
    for rows, (made, used) in theirs["beamforming"].items():
        anew, at_hand = theirs["wave"] + made + used, theirs["wave"] + used
        ratios = [1000 * seconds / mine[rows]["all in"] for seconds in (anew, at_hand, theirs["focused"])]
        print(
            f"{rows} rows: delay and sum {1000 * made:.0f} ms its matrix, {1000 * used:.0f} ms the rest;",
            end=" ",
        )
        print(
            "SIMUS takes {:.0f} times as long, {:.0f} with the matrix at hand, {:.0f} focused".format(*ratios)
        )
    if options.json:
        options.json.write_text(json.dumps({"phantom, ms": mine, "SIMUS, s": theirs}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
