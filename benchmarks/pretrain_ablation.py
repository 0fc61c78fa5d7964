"""What each part of the pre-training recipe is worth: one thing changed at a time, judged on three grounds.

phantom: exams of synthetic patients, 60 % of whom are pre-trained on without labels. Judged by a probe that
gets labels from 2 patients for each of the seven rare views and from 10 for the others: F1 of the rare views,
and of all, on the other 40 % of the patients.

transfer: the same encoders, asked about real images. A probe gets A2C and A4C of 5 CAMUS patients; judged
on the other 75 of the 80 who may choose (the 120 that judge in `phantom_transfer.py` have no part in this).

camus: pre-training on the stills of 54 of those 80, without labels; a probe that gets 5 of them; judged on
the other 26. That is little to learn from, and few to judge on.

A row is a change of the recipe, its seeds are seeds of pre-training and of the draws of labels together.
Intervals (95 %) are over the judging patients, of differences paired. What was computed stays in --work, so
another call goes on, and several may work on one folder with other --seeds.

    OMP_NUM_THREADS=1 python benchmarks/pretrain_ablation.py --work /tmp/ablation --only augmentation
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apical.config import PhantomSettings, PretrainSettings, TrainSettings
from apical.demo import COMMON_PATIENTS as COMMON
from apical.demo import PRETRAIN, RARE, RARE_PATIENTS
from apical.judge import metrics
from apical.judge.intervals import Interval, bootstrap, difference, patient_confusions, percentile_intervals
from apical.learn.classifier import Classifier, classify_clips
from apical.learn.clips import Clips, load_clips
from apical.learn.pretrain import pretrain
from apical.learn.probe import fit_probe
from apical.learn.start import load_encoder
from apical.views import standard_vocabulary
from phantom_judges import figures_of
from phantom_lab import VIEWS, few_labels, make_lab, phantom_version, table, write_lab, write_store
from phantom_transfer import REAL, SHARED, camus, key_of

BASE = "the recipe"
DRAWS = 3  # of labels, for each seed of pre-training
CAMUS_PATIENTS = 5
TEACHING = 54  # of the development patients of CAMUS
CPU = torch.device("cpu")

NO_AUGMENTATION = {
    "smallest_crop": 1, "rotation_degrees": 0, "gain": 0, "dynamic_range": 0, "gamma": 0, "depth_gain": 0,
    "speckle": 0, "blur": 0, "shadow": 0,
}  # fmt: skip
PHOTOGRAPHIC = {  # as near as these settings come to SimCLR's: small crops, flips, strong jitter, blur
    "smallest_crop": 0.28, "flip": 0.5, "rotation_degrees": 0, "gain": 0.4, "dynamic_range": 0.8,
    "gamma": 0.5, "depth_gain": 0, "speckle": 0, "blur": 0.5, "shadow": 0,
}  # fmt: skip


def augmented(**changes: float) -> dict[str, Any]:
    return {"augment": changes}


def former(**changes: float) -> dict[str, Any]:
    """On top of the recipe by which today's depth and dropout were chosen."""
    return augmented(**({"depth": 0, "dropout": 0} | changes))


def aimed(**changes: Any) -> dict[str, Any]:
    return {"objective": changes}


def network(**changes: Any) -> dict[str, Any]:
    return {"encoder": changes}


TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "augmentation": {
        BASE: former(),
        "none": former(**NO_AUGMENTATION),
        "photographic (SimCLR)": former(**PHOTOGRAPHIC),
        "without crop": former(smallest_crop=1),
        "crop from 0.85": former(smallest_crop=0.85),
        "crop from 0.5": former(smallest_crop=0.5),
        "without rotation": former(rotation_degrees=0),
        "rotation 25°": former(rotation_degrees=25),
        "without gain, range, gamma, TGC": former(gain=0, dynamic_range=0, gamma=0, depth_gain=0),
        "gain, range, gamma, TGC doubled": former(gain=0.3, dynamic_range=0.5, gamma=0.6, depth_gain=0.3),
        "without speckle": former(speckle=0),
        "without blur": former(blur=0),
        "without shadow": former(shadow=0),
        "+ shear 0.1": former(shear=0.1),
        "+ depth 0.2": former(depth=0.2),
        "+ narrower sector 0.3": former(narrow=0.3),
        "+ polarity 0.2": former(polarity=0.2),
        "+ speckle drawn anew 0.6": former(redraw=0.6),
        "+ haze 0.3": former(haze=0.3),
        "+ dropout 0.3": former(dropout=0.3),
        "+ flip 0.5": former(flip=0.5),
    },
    "together": {
        BASE: former(),
        "depth 0.2, dropout 0.3": former(depth=0.2, dropout=0.3),
        "depth 0.2, dropout 0.6": former(depth=0.2, dropout=0.6),
        "depth 0.2, dropout 0.6, shadow 0.4": former(depth=0.2, dropout=0.6, shadow=0.4),
        "depth 0.2, dropout 0.6, crop from 0.5": former(depth=0.2, dropout=0.6, smallest_crop=0.5),
    },
    "relation": {
        "same frame (SimCLR)": aimed(relation="same-frame"),
        "view where known, or clip": aimed(relation="view-or-clip"),
        "one study's view where known, or clip": aimed(relation="study-view-or-clip"),
        "same view only (SupCon)": aimed(relation="same-view"),
    },
    "negatives": {
        "all only": aimed(same_patient_share=0),
        "a quarter same patient": aimed(same_patient_share=0.25),
        "same patient only": aimed(same_patient_share=1),
        "other patients only": aimed(same_patient_share=0, negatives="other-patients"),
        "known same view ignored": aimed(ignore_same_view=True),
        "2 nearest ignored": aimed(ignore_nearest=2),
        "debiased, 0.05": aimed(positive_prior=0.05),
        "hard, β 0.5": aimed(hardness=0.5),
        "debiased and hard": aimed(positive_prior=0.05, hardness=0.5),
    },
    "temperature": {f"τ {value}": aimed(temperature=value) for value in (0.07, 0.1, 0.4)},
    "batch": {
        "32 clips": {"batch_clips": 32},
        "128 clips": {"batch_clips": 128},
        "256 clips": {"batch_clips": 256},
        "at most 4 clips an exam": {"exam_clips": 4},
        "4 clips of each patient": {"exam_clips": 4, "balance": "patients"},
        "rare labels more often": {"balance": "views"},
        "4 crops a clip, half the epochs": {"crops_per_clip": 4, "epochs": 0.5},
    },
    "method": {
        "MoCo": aimed(method="moco") | {"average_decay": 0.99},
        "BYOL": aimed(method="byol") | {"average_decay": 0.99},
        "Barlow Twins": aimed(method="barlow-twins"),
        "VICReg": aimed(method="vicreg"),
    },
    "optimisation": {
        "learning rate halved": {"learning_rate": 0.5},
        "learning rate doubled": {"learning_rate": 2.0},
        "LARS": {"optimizer": "lars", "learning_rate": 100.0},
        "average of the weights kept": {"keep": "average"},
        "a quarter of the epochs": {"epochs": 0.25},
        "half of the epochs": {"epochs": 0.5},
        "twice the epochs": {"epochs": 2},
        "four times the epochs": {"epochs": 4},
    },
    "backbone": {
        "ResNet-18": network(depth=18),
        "width 32": network(width=32),
        "stem of stride 2": network(stem_stride=2),
        "group norm": network(norm="group"),
        "ViT, 6 layers of 96": network(kind="vit", patch=8, width=96, layers=6, heads=3),
        "ResNet-10 and time, 3 frames": network(kind="clip", frames=3),
    },
}
FACTORS = ("epochs", "learning_rate")  # numbers in a row that multiply the recipe's


def settings_of(changes: dict[str, Any], base: dict[str, Any]) -> PretrainSettings:
    """The recipe with one change; groups are merged."""
    values = dict(base)
    for name, value in changes.items():
        if name in FACTORS:
            made = base[name] * value
            values[name] = round(made) if name == "epochs" else made
        elif name == "encoder" and "kind" in value:
            nested = {"of_frame": base["encoder"]} if value["kind"] == "clip" else {}
            values[name] = value | nested
        else:
            values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return PretrainSettings(**values)


class Ground:
    """Where encoders come from, and on whom they are judged.

    Args:
        clips: those that teach and judge a probe; the judging ones are not of split ``train``.
        few: the clips that keep their labels, for a draw. Clips of their patients do not judge in that draw.
        views: of the vocabulary of the labels.
        source: folder of the frame store that is pre-trained on.
        name: of the ground.
    """

    def __init__(
        self, clips: Clips, few: Callable[[int], Clips], views: int, source: Path, name: str
    ) -> None:
        self.clips, self.few, self.views, self.source, self.name = clips, few, views, source, name
        self.judged = clips.select(clips.split != "train")

    def answers(self, settings: PretrainSettings) -> NDArray[np.int64]:
        """(draws, judging clips): what a probe says after this pre-training, from the folder if there."""
        key = key_of(settings)
        file = self.source / f"answers-{self.name}" / f"{key}.npy"
        if not file.exists():
            run = self.source / "runs" / key
            catalogue = self.source / f"catalogue-{settings.seed}.parquet"  # with few labels, for relations
            resume = (run / "settings.json").exists()
            pretrain(self.source / "frames", catalogue, run, settings, resume=resume)
            file.parent.mkdir(exist_ok=True)
            np.save(file, np.stack([self.probe(run, draw) for draw in draws(settings.seed)]))
        found: NDArray[np.int64] = np.load(file)
        return found

    def probe(self, run: Path, draw: int) -> NDArray[np.int64]:
        """(judging clips,): answers of a probe on the run's encoder."""
        encoder, pretrained = load_encoder(run)
        settings = TrainSettings(method="probe", input_size=pretrained.input_size, seed=draw)
        classifier = Classifier(encoder, self.views)
        teaching = self.few(draw)
        classifier.taught[:] = torch.from_numpy(np.isin(np.arange(self.views), teaching.label))
        fit_probe(classifier, teaching, settings, CPU)
        said = classify_clips(classifier, self.judged, settings.input_size, CPU).log_probabilities
        return np.asarray(said.argmax(axis=1))

    def counts(self, answers: dict[int, NDArray[np.int64]]) -> NDArray[np.int64]:
        """(runs, patients, k, k) of the answers of all seeds and draws."""
        judged, made = self.judged, []
        for seed, by_draw in answers.items():
            for draw, said in zip(draws(seed), by_draw, strict=True):
                taught = np.isin(judged.patient, self.few(draw).patient)
                label = np.where(taught, -1, judged.label)
                made.append(patient_confusions(label, said, judged.patient, self.views))
        return np.stack(made)


def draws(seed: int) -> range:
    """Of labels, that go with a seed of pre-training."""
    return range(seed * DRAWS, (seed + 1) * DRAWS)


def phantom_ground(options: argparse.Namespace) -> Ground:
    settings = PhantomSettings(patients=options.patients, seed=options.phantom_seed, frames=6, image_rows=160)
    folder = options.work / f"phantom-{key_of(phantom_version(), settings)}"
    if not (folder / "catalogue.parquet").exists():
        write_lab(make_lab(settings, 80), folder)
    clips = load_clips(folder / "frames", folder / "catalogue.parquet", standard_vocabulary())

    def few(draw: int) -> Clips:
        return few_labels(clips, dict.fromkeys(RARE, RARE_PATIENTS), COMMON, draw)

    return prepared(Ground(clips, few, len(VIEWS), folder, "phantom"), options)


def transfer_ground(options: argparse.Namespace) -> Ground:
    clips = camus_development(options)
    clips = replace(clips, split=np.full(len(clips), "test"))

    def few(draw: int) -> Clips:
        return some_labelled(clips, draw)

    return Ground(clips, few, len(REAL), phantom_ground(options).source, "transfer")


def camus_ground(options: argparse.Namespace) -> Ground:
    clips = camus_development(options)
    names = np.unique(clips.patient)
    teaching = np.random.default_rng(0).permutation(names)[:TEACHING]
    clips = replace(clips, split=np.where(np.isin(clips.patient, teaching), "train", "test"))

    def few(draw: int) -> Clips:
        return some_labelled(clips.in_split("train"), draw)

    return prepared(Ground(clips, few, len(REAL), options.work / "camus", "camus"), options)


GROUNDS = {"phantom": phantom_ground, "transfer": transfer_ground, "camus": camus_ground}


def camus_development(options: argparse.Namespace) -> Clips:
    return camus(options.camus, 80, options.work / "camus" / "cache.npy").in_split("train", "validation")


def some_labelled(clips: Clips, draw: int) -> Clips:
    chosen = np.random.default_rng([draw, 11]).permutation(np.unique(clips.patient))[:CAMUS_PATIENTS]
    return clips.select(np.isin(clips.patient, chosen))


def prepared(ground: Ground, options: argparse.Namespace) -> Ground:
    """With a store and, for each seed, a catalogue that has the labels of its first draw and no others."""
    for seed in options.seeds:
        known = np.isin(ground.clips.clip, ground.few(seed * DRAWS).clip)
        label = np.where(known, ground.clips.label, -1)
        write_store(replace(ground.clips, label=label), ground.source, f"catalogue-{seed}.parquet")
    return ground


def report(ground: Ground, name: str, rows: dict[str, dict[int, NDArray[np.int64]]]) -> list[dict[str, Any]]:
    """Prints a table of figures and of differences to the recipe."""
    phantom = ground.views > len(REAL)
    titles = ("rare F1", "macro F1") if phantom else ("accuracy",)
    chosen = [2, 1] if phantom else [0]

    def statistic(confusion: metrics.Counts) -> metrics.Figures:
        return figures_of(confusion)[..., chosen] if phantom else metrics.accuracy(confusion)[..., None]

    made = {row: bootstrap(ground.counts(answers), statistic) for row, answers in rows.items()}
    lines, record = [(name, *(title for one in titles for title in (one, "− recipe")))], []
    for row, result in made.items():
        gains = percentile_intervals(difference(result, made[BASE]))
        cells = []
        for title, one, gain in zip(titles, percentile_intervals(result), gains, strict=True):
            cells += [text(one), "" if row == BASE else text(gain, sign=True)]
            record.append(
                {"table": name, "row": row, "figure": title, "value": vars(one), "gain": vars(gain)}
            )
        lines.append((row, *cells))
    print(table(lines), end="\n\n", flush=True)
    return record


def text(one: Interval, *, sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    return f"{one.value:{form}} ({one.low:{form}} to {one.high:{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is worth keeping")
    parser.add_argument("--camus", type=Path, default=SHARED / "camus-dev")
    parser.add_argument("--grounds", nargs="+", choices=tuple(GROUNDS), default=list(GROUNDS))
    parser.add_argument("--only", nargs="+", choices=tuple(TABLES), default=list(TABLES))
    parser.add_argument("--rows", nargs="+", help="of those tables; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--patients", type=int, default=200, help="of the phantom")
    parser.add_argument("--phantom-seed", type=int, default=71)
    parser.add_argument("--epochs", type=int, default=80, help="on the phantom")
    parser.add_argument("--camus-epochs", type=int, default=150)
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    began, record = time.monotonic(), []
    for place in options.grounds:
        ground = GROUNDS[place](options)
        base = PRETRAIN | {"epochs": options.camus_epochs if place == "camus" else options.epochs}
        for name in options.only:
            changed = TABLES[name].items()
            wanted = {BASE, *(options.rows or TABLES[name])}
            rows = {BASE: {}} | {row: to for row, to in changed if row in wanted}
            found: dict[str, dict[int, NDArray[np.int64]]] = {}
            for row, changes in rows.items():
                for seed in options.seeds:
                    settings = settings_of(changes | {"seed": seed}, base)
                    found.setdefault(row, {})[seed] = ground.answers(settings)
                print(f"{place}, {name}, {row}: {time.monotonic() - began:.0f} s", flush=True)
            record += [{"ground": place} | one for one in report(ground, f"{name}, {place}", found)]
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
