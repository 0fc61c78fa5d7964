"""What the shipped encoder is worth to who has few labels, or few clips.

phantom: exams of synthetic patients of another seed; labels from 2 patients for each of the seven rare
views and from 10 for the others, judged on 40 % of the patients. camus: A2C and A4C with labels of 5
patients, of 80 whose stills are there; the 120 judge who do nothing else in any benchmark here.

Rows: the network from random weights, with the imbalance corrected; a probe on the shipped encoder; the
shipped encoder fine-tuned; and probes on encoders that were pre-trained on the ground's own clips for the
same epochs, from random weights and from the shipped ones. Nothing is chosen here: all settings are the
package's defaults but for steps, batches, epochs and bf16. Intervals (95 %) are over the judging patients,
of differences paired.

    OMP_NUM_THREADS=1 python benchmarks/shipped_worth.py --work /tmp/worth
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apical.config import AugmentSettings, PhantomSettings, PretrainSettings
from apical.demo import COMMON_PATIENTS, RARE, RARE_PATIENTS
from apical.judge import metrics
from apical.judge.intervals import bootstrap, difference, percentile_intervals
from apical.learn.classifier import classify_clips
from apical.learn.clips import Clips, load_clips
from apical.learn.pretrain import pretrain
from apical.learn.start import RANDOM, SHIPPED, describe, load_encoder
from apical.views import standard_vocabulary
from phantom_judges import figures_of
from phantom_lab import (
    VIEWS,
    few_labels,
    fit_network,
    make_lab,
    network_settings,
    phantom_version,
    table,
    write_lab,
    write_store,
)
from phantom_transfer import REAL, SHARED, camus, key_of
from pretrain_ablation import CPU, Ground, draws, some_labelled, text

SCRATCH, PROBE, TUNED = "from random weights", "shipped, probe", "shipped, fine-tuned"
OWN, ON_SHIPPED = "own clips from random, probe", "own clips from shipped, probe"
PAIRS = ((PROBE, SCRATCH), (TUNED, SCRATCH), (OWN, PROBE), (ON_SHIPPED, OWN))
DEFAULT = PretrainSettings()


def phantom_ground(options: argparse.Namespace) -> Ground:
    settings = PhantomSettings(patients=options.patients, seed=2027, frames=6, image_rows=options.image_rows)
    folder = options.work / f"phantom-{key_of(phantom_version(), settings)}"
    if not (folder / "catalogue.parquet").exists():
        write_lab(make_lab(settings, options.size), folder)
    clips = load_clips(folder / "frames", folder / "catalogue.parquet", standard_vocabulary())

    def few(draw: int) -> Clips:
        return few_labels(clips, dict.fromkeys(RARE, RARE_PATIENTS), COMMON_PATIENTS, draw)

    return Ground(clips, few, len(VIEWS), folder, "phantom")


def camus_ground(options: argparse.Namespace) -> Ground:
    folder = options.work / "camus"
    clips = camus(options.camus, options.size, folder / f"cache-{options.size}.npy")
    clips.split[clips.split == "validation"] = "train"  # nothing is chosen
    write_store(clips, folder)

    def few(draw: int) -> Clips:
        return some_labelled(clips.in_split("train"), draw)

    return Ground(clips, few, len(REAL), folder, "camus")


GROUNDS = {"phantom": phantom_ground, "camus": camus_ground}


def fitted(ground: Ground, draw: int, options: argparse.Namespace, *, shipped: bool) -> NDArray[np.int64]:
    """(judging clips,): answers of the default network after some steps on the labels of a draw."""
    encoder = load_encoder(SHIPPED)[0] if shipped else None
    settings = network_settings(
        options.steps,
        draw,
        method="fine-tune" if shipped else "logit-adjusted",
        encoder=DEFAULT.encoder,
        input_size=options.input_size,
        augment=AugmentSettings(),
        batch_frames=32,
        learning_rate=2e-3,
    )
    classifier = fit_network(ground.few(draw), settings, views=ground.views, encoder=encoder)
    said = classify_clips(classifier, ground.judged, settings.input_size, CPU).log_probabilities
    return np.asarray(said.argmax(axis=1))


def pretrained(ground: Ground, seed: int, options: argparse.Namespace, start: Path) -> Path:
    """The run of a pre-training on the ground's own clips."""
    settings = PretrainSettings(
        epochs=options.epochs[ground.name], precision="bf16", seed=seed, input_size=options.input_size
    )
    run = ground.source / f"run-{start}-{seed}-{key_of(settings)}"
    resume = (run / "settings.json").exists()
    return pretrain(
        ground.source / "frames",
        ground.source / "catalogue.parquet",
        run,
        settings,
        start=start,
        resume=resume,
    )


def answers(ground: Ground, row: str, seed: int, options: argparse.Namespace) -> NDArray[np.int64]:
    """(draws, judging clips): from --work if there."""
    weights = describe(SHIPPED)["weights"]
    key = key_of(row, seed, options.steps, options.epochs, options.input_size, weights)
    file = ground.source / "answers" / f"{key}.npy"
    if not file.exists():
        if row in (SCRATCH, TUNED):
            made = [fitted(ground, draw, options, shipped=row == TUNED) for draw in draws(seed)]
        else:
            start = {OWN: RANDOM, ON_SHIPPED: SHIPPED}.get(row)
            run = SHIPPED if start is None else pretrained(ground, seed, options, start)
            made = [ground.probe(run, draw) for draw in draws(seed)]
        file.parent.mkdir(exist_ok=True)
        np.save(file, np.stack(made))
    found: NDArray[np.int64] = np.load(file)
    return found


def report(ground: Ground, found: dict[str, dict[int, NDArray[np.int64]]]) -> list[dict[str, Any]]:
    """Prints figures and paired differences."""
    phantom = ground.name == "phantom"
    titles = ("rare F1", "macro F1") if phantom else ("accuracy",)

    def statistic(confusion: metrics.Counts) -> metrics.Figures:
        return figures_of(confusion)[..., [2, 1]] if phantom else metrics.accuracy(confusion)[..., None]

    made = {row: bootstrap(ground.counts(by_seed), statistic) for row, by_seed in found.items()}
    lines, record = [(ground.name, *titles)], []
    rows = [(row, percentile_intervals(one), False) for row, one in made.items()]
    rows += [
        (f"{row} − {rival}", percentile_intervals(difference(made[row], made[rival])), True)
        for row, rival in PAIRS
    ]
    for row, intervals, signed in rows:
        lines.append((row, *(text(one, sign=signed) for one in intervals)))
        for title, one in zip(titles, intervals, strict=True):
            record.append({"ground": ground.name, "row": row, "figure": title, "value": vars(one)})
    print(table(lines), end="\n\n", flush=True)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is worth keeping")
    parser.add_argument("--camus", type=Path, default=SHARED / "camus-dev")
    parser.add_argument("--grounds", nargs="+", choices=tuple(GROUNDS), default=list(GROUNDS))
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1], help="of pre-training; three draws each"
    )
    parser.add_argument("--patients", type=int, default=100, help="of the phantom")
    parser.add_argument("--image-rows", type=int, default=240)
    parser.add_argument("--size", type=int, default=128, help="of a stored frame")
    parser.add_argument("--input-size", type=int, default=DEFAULT.input_size)
    parser.add_argument("--steps", type=int, default=400, help="of fitting with labels, 32 frames each")
    parser.add_argument("--phantom-epochs", type=int, default=40)
    parser.add_argument("--camus-epochs", type=int, default=100)
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    options.epochs = {"phantom": options.phantom_epochs, "camus": options.camus_epochs}
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    began, record = time.monotonic(), []
    for name in options.grounds:
        ground = GROUNDS[name](options)
        found: dict[str, dict[int, NDArray[np.int64]]] = {}
        for row in (SCRATCH, PROBE, TUNED, OWN, ON_SHIPPED):
            found[row] = {seed: answers(ground, row, seed, options) for seed in options.seeds}
            print(f"{name}, {row}: {time.monotonic() - began:.0f} s", flush=True)
        record += report(ground, found)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
