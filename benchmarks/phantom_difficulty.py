"""How hard the phantom's views are to tell, and whether anything but anatomy tells them.

Whole exams of synthetic patients; 60 % of the patients teach, 10 % choose settings, 30 % judge. Intervals
(95 %) are over the judging patients; chance is from permuting the views among each patient's clips.

    OMP_NUM_THREADS=1 python benchmarks/phantom_difficulty.py
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from apical.config import PhantomSettings
from apical.demo import RARE
from apical.judge.intervals import Interval
from apical.learn.classifier import Classifier, classify_clips
from phantom_judges import (
    FIGURES,
    Learner,
    boosted,
    chance,
    judge,
    linear,
    neighbours,
    network_answers,
    pixel_answers,
    random_features,
    shortcut_answers,
    shortcut_features,
)
from phantom_lab import (
    Lab,
    few_labels,
    fit_network,
    make_lab,
    network_settings,
    phantom_version,
    table,
    with_interval,
)

ENOUGH = 0.005  # gain of macro F1 on validation patients by twice the steps, below which more is not tried
GOALS = {"header with the scale": "by depth only", "number of the clip in its exam": "as in practice"}
LEARNERS: dict[str, Learner] = {"linear": linear, "boosted": boosted}


class Results:
    """Rows of the table and of the JSON; each is printed when it is there."""

    def __init__(self, lab: Lab) -> None:
        self.judged = lab.clips.split == "test"
        self.lab = lab
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, goal: str, said: Sequence[NDArray[np.int64]], *, by_frame: bool = False) -> None:
        """One classifier: for each seed its answers for all clips of the lab, or for the judged frames."""
        clips = self.lab.clips.in_split("test")
        label, patient = clips.label, clips.patient
        answers = list(said) if by_frame else [one[self.judged] for one in said]
        if by_frame:
            label, patient = label.repeat(clips.count), patient.repeat(clips.count)
        figures = judge(answers, label, patient)
        by_chance = chance(answers[0], label, patient, permutations=500)
        row = {"what": name, "goal": goal, "seeds": len(said)}
        row["figures"] = {figure: asdict(figures[figure]) for figure in FIGURES}
        row["chance"] = {figure: asdict(by_chance[figure]) for figure in FIGURES}
        self.rows.append(row)
        cells = [with_interval(figures[figure]) for figure in FIGURES]
        cells += [f"{one.mean:.3f} (< {one.upper:.3f})" for one in list(by_chance.values())[:2]]
        print("| " + " | ".join([name, *cells, goal]) + " |", flush=True)


def networks(lab: Lab, results: Results, options: argparse.Namespace) -> list[dict[str, float]]:
    """All labels, and few labels of rare views; returns what was tried to choose the steps.

    Steps are doubled until the validation patients gain no more.
    """
    shape: dict[str, Any] = {
        "encoder": {"depth": 10, "width": options.width, "stem_stride": options.stem_stride},
        "input_size": lab.clips.frames.shape[1],
    }
    teaching, validation, judged = (lab.clips.in_split(name) for name in ("train", "validation", "test"))
    tried: list[dict[str, float]] = []
    fitted: list[Classifier] = []
    steps = options.steps
    while steps <= options.most_steps:
        began = time.monotonic()
        settings = network_settings(steps, 0, **shape)
        fitted.append(fit_network(teaching, settings))
        outputs = classify_clips(fitted[-1], validation, settings.input_size, torch.device("cpu"))
        said = outputs.log_probabilities.argmax(axis=1)
        score = float(f1_score(validation.label, said, labels=np.unique(validation.label), average="macro"))
        tried.append({"steps": steps, "validation macro F1": score, "seconds": time.monotonic() - began})
        print(f"  {steps} steps: macro F1 {score:.3f} on validation patients", flush=True)
        if len(tried) > 1 and score < tried[-2]["validation macro F1"] + ENOUGH:
            break
        steps *= 2
    best = int(np.argmax([one["validation macro F1"] for one in tried]))
    steps = int(tried[best]["steps"])
    by_clip, by_frame, naive = [], [], []
    for seed in range(options.seeds):
        settings = network_settings(steps, seed, **shape)
        network = fitted[best] if seed == 0 else fit_network(teaching, settings)
        by_clip.append(network_answers(network, lab.clips, settings.input_size)[0])
        by_frame.append(network_answers(network, judged, settings.input_size)[1])
    results.add(f"network, all labels, {steps} steps", "F1 .94–.98", by_clip)
    results.add("the same, a frame", "", by_frame, by_frame=True)
    for seed in range(options.seeds):
        few = few_labels(lab.clips, dict.fromkeys(RARE, options.rare_patients), options.common_patients, seed)
        network = fit_network(few, network_settings(options.naive_steps or steps, seed, **shape))
        naive.append(network_answers(network, lab.clips, settings.input_size)[0])
    results.add(f"naive: {options.rare_patients} patients a rare view", "rare F1 < .6", naive)
    return tried


def shortcuts(lab: Lab, results: Results, steps: int) -> None:
    for name, features in shortcut_features(lab).items():
        goal = GOALS.get(name, "chance")
        for kind, learner in LEARNERS.items():
            results.add(f"{name}, {kind}", goal, [shortcut_answers(lab, features, learner)])
    clips = lab.in_surround
    settings = network_settings(steps, 0, input_size=clips.frames.shape[1])
    network = fit_network(clips.in_split("train"), settings)
    said, _ = network_answers(network, clips, settings.input_size)
    results.add("screen without the sector, network", "chance", [said])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--frames", type=int, default=3, help="a clip")
    parser.add_argument("--image-rows", type=int, default=160)
    parser.add_argument("--difficulty", type=float, default=PhantomSettings().difficulty)
    parser.add_argument("--size", type=int, default=64, help="side of a crop in pixels")
    parser.add_argument("--seed", type=int, default=51, help="of the phantom")
    parser.add_argument("--seeds", type=int, default=2, help="networks and label draws")
    parser.add_argument("--steps", type=int, default=2500, help="fewest that are tried with all labels")
    parser.add_argument("--most-steps", type=int, default=5000)
    parser.add_argument("--naive-steps", type=int, help="as many as with all labels by default")
    parser.add_argument("--shortcut-steps", type=int, default=500)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--stem-stride", type=int, default=4, choices=(2, 4))
    parser.add_argument("--rare-patients", type=int, default=5, help="labelled, of a rare view")
    parser.add_argument("--common-patients", type=int, help="labelled, of a common view; all by default")
    parser.add_argument("--only", nargs="+", choices=("networks", "linear", "shortcuts", "neighbours"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = options.only or ("linear", "shortcuts", "neighbours", "networks")
    began = time.monotonic()
    settings = PhantomSettings(
        **{name: getattr(options, name) for name in ("patients", "frames", "image_rows", "difficulty")},
        seed=options.seed,
        workers=options.workers,
    )
    lab = make_lab(settings, options.size)
    print(
        f"phantom {phantom_version()}: {len(lab.clips)} clips, {len(lab.clips.frames)} frames of "
        f"{options.patients} patients, difficulty {options.difficulty}, {options.image_rows} rows, "
        f"{options.size} px; plane error {lab.error_deg.mean():.1f}° on average; "
        f"made in {time.monotonic() - began:.0f} s"
    )
    results = Results(lab)
    record: dict[str, Any] = {"phantom": phantom_version(), "settings": settings.model_dump()}
    print("| | " + " | ".join([*FIGURES, "accuracy by chance", "macro F1 by chance", "goal"]) + " |")
    print("|" + "---|" * (len(FIGURES) + 4))
    if "linear" in wanted:
        results.add("pixels 32 × 32, linear", "< .55", [pixel_answers(lab)])
        results.add("64 components of them, linear", "< .55", [pixel_answers(lab, 64)])
    if "shortcuts" in wanted:
        shortcuts(lab, results, options.shortcut_steps)
    if "neighbours" in wanted:
        found = [neighbours(lab, random_features(lab, seed)) for seed in range(options.seeds)]
        record["neighbours"] = [
            {name: (asdict(one), by) for name, (one, by) in each.items()} for each in found
        ]
    if "networks" in wanted:
        record["steps"] = networks(lab, results, options)
    for seed, each in enumerate(record.get("neighbours", [])):
        rows = [("nearest by random features", f"seed {seed}", "by chance", "factor")]
        for name, (one, by) in each.items():
            rows.append((name, with_interval(Interval(**one)), f"{by:.3f}", f"{one['value'] / by:.1f}"))
        print(table(rows))
    seconds = time.monotonic() - began
    print(f"{seconds:.0f} s in all")
    if options.json:
        options.json.write_text(json.dumps(record | {"rows": results.rows, "seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()
