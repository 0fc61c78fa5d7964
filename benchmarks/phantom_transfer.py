"""Whether encoders that learned on the phantom help on real stills: CAMUS, A2C against A4C.

Encoders pre-trained on phantom clips (contrastively as `apical pretrain` does, or, as a control, by their
view labels) are probed and fine-tuned with the labels of few CAMUS patients, beside the same network from
scratch and logistic regression on 32 × 32 pixels. The control is also asked as it is, without one label of
CAMUS: a judge of the phantom alone. Patients are split by a hash of their names: 120 judge and do nothing
else, 24 choose learning rates and penalties, the others give labels. Label draws are the seeds; every network
has the same steps.

Intervals (95 %) of accuracies are over the judging patients, of differences over patients, label draws and,
where there are several, pre-trainings. What was computed stays in --work, so that another call is quick; what
was made by another version of the phantom is not used.

    OMP_NUM_THREADS=1 python benchmarks/phantom_transfer.py --work /tmp/transfer
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apical.config import AugmentSettings, FrameSettings, PhantomSettings, PretrainSettings, TrainSettings
from apical.demo import PRETRAIN
from apical.ingest.clip import open_clip
from apical.ingest.prepare import prepare
from apical.judge.intervals import Interval
from apical.learn.backbones import Encoder, build_encoder
from apical.learn.checkpoint import load_weights, save_weights
from apical.learn.classifier import Classifier
from apical.learn.clips import Clips, load_clips
from apical.learn.pretrain import pretrain
from apical.learn.probe import fit_probe
from apical.learn.start import load_encoder
from apical.views import standard_vocabulary
from phantom_judges import linear, network_answers, small_pixels
from phantom_lab import (
    VIEWS,
    clip_means,
    fit_network,
    make_lab,
    network_settings,
    phantom_version,
    table,
    with_interval,
    with_sign,
    write_lab,
)

TEST, VALIDATION = 120, 24  # patients of CAMUS
REAL = ("A2C", "A4C")
RATES = (1e-3, 4e-3)  # of the head; a pre-trained encoder's is a third
PENALTIES = (1e-3, 1e-2, 1e-1)  # of the probe
NO_LABEL = "supervised, no label of CAMUS"
LARGER = 1.25  # side of stored frames by that of crops
CPU = torch.device("cpu")
SHARED = Path(__file__).parents[2] / "shared" / "data"  # beside the checkout, where it is there


def camus(folder: Path, size: int, cache: Path) -> Clips:
    """CAMUS stills prepared as `apical frames` does: a clip is a patient and view, with ED and ES."""
    with (folder / "labels.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["patient"], row["view"], row["phase"]))
    if not cache.exists():
        settings = FrameSettings(size=size, frames_per_clip=1)
        frames = [prepare(open_clip(folder / row["file"]), settings).frames[0] for row in rows]
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, np.stack(frames))
    names = [f"{row['patient']}-{row['view']}" for row in rows]
    clip, first, count = np.unique(names, return_index=True, return_counts=True)
    patient = np.array([name.rpartition("-")[0] for name in clip])
    by_hash = sorted(np.unique(patient), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    part = dict.fromkeys(by_hash, "train") | dict.fromkeys(by_hash[:TEST], "test")
    part |= dict.fromkeys(by_hash[TEST : TEST + VALIDATION], "validation")
    return Clips(
        frames=np.load(cache),
        first=first.astype(np.int64),
        count=count.astype(np.int64),
        clip=clip,
        patient=patient,
        study=patient,
        machine=np.full(len(clip), ""),
        split=np.array([part[name] for name in patient]),
        label=np.array([REAL.index(name.rpartition("-")[2]) for name in clip]),
        agent=np.full(len(clip), -1),
        order=np.full(len(clip), -1),
        made=FrameSettings(size=size, frames_per_clip=2),
    )


def labelled(clips: Clips, patients: int, draw: int) -> Clips:
    """Clips of so many drawn training patients; for one draw, fewer are among more."""
    pool = np.unique(clips.patient[clips.split == "train"])
    chosen = np.random.default_rng([draw, 11]).permutation(pool)[:patients]
    return clips.select(np.isin(clips.patient, chosen))


def contrastive(store: Path, catalogue: Path, settings: PretrainSettings, work: Path) -> Encoder:
    """Pre-trained by `apical pretrain`; on from where it was stopped, or from --work."""
    pretrain(store, catalogue, work, settings, resume=(work / "settings.json").exists())
    return load_encoder(work)[0]


def supervised(clips: Clips, settings: PretrainSettings, work: Path) -> Classifier:
    """Pre-trained by cross-entropy on all view labels, on as many crops, from --work if there."""
    classifier, file = (
        Classifier(build_encoder(settings.encoder), len(VIEWS)),
        work / "classifier.safetensors",
    )
    if not file.exists():
        steps = settings.epochs * 2 * len(clips) // 64
        taught = network_settings(
            steps,
            settings.seed,
            encoder=settings.encoder,
            input_size=settings.input_size,
            augment=AugmentSettings(),
        )
        work.mkdir(parents=True, exist_ok=True)
        save_weights(file, fit_network(clips, taught))
    load_weights(file, classifier)
    return classifier


class Judge:
    """Fits classifiers to labels of CAMUS, remembers what they got right, and compares."""

    def __init__(self, clips: Clips, work: Path, options: argparse.Namespace) -> None:
        self.clips, self.work, self.options = clips, work, options
        self.encoder = PretrainSettings(**PRETRAIN).encoder.model_copy(update={"width": options.width})

    def scores(self, arm: str, start: Encoder | Classifier | None, patients: int) -> NDArray[np.float64]:
        """(draws, test patients, 2): share of the frames and of the views named rightly.

        Of the candidates for the learning rate or penalty, the one best on validation patients on average
        over the draws.
        """
        fit, candidates = self.method(arm, start)
        results = [
            [
                self.remembered(f"{arm}-{patients}-{draw}-{candidate:g}", fit, patients, draw, candidate)
                for draw in range(self.options.draws)
            ]
            for candidate in candidates
        ]
        right = np.array(results)  # candidates, draws, patients of validation and test, 2
        best = right[:, :, :VALIDATION].mean(axis=(1, 2, 3)).argmax()
        return np.asarray(right[best, :, VALIDATION:])

    def method(
        self, arm: str, start: Encoder | Classifier | None
    ) -> tuple[Callable[..., Any], tuple[float, ...]]:
        """What gives answers from few labels, and the candidates for its setting."""
        if arm == "pixels":
            return self.by_pixels, (0.0,)
        if isinstance(start, Classifier):
            among = [VIEWS.index(view) for view in REAL]
            said = network_answers(start, self.clips, self.options.input_size, among)
            return lambda patients, draw, candidate: said, (0.0,)
        probing = arm.endswith("probe")

        def fit(patients: int, draw: int, candidate: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            teaching = labelled(self.clips, patients, draw)
            if probing:
                settings = self.settings(draw, probe_penalty=candidate)
                torch.manual_seed(draw)
                classifier = Classifier(copy.deepcopy(start) or build_encoder(settings.encoder), len(REAL))
                fit_probe(classifier, teaching, settings, CPU)
            else:
                method = "naive" if start is None else "fine-tune"
                settings = self.settings(draw, method=method, learning_rate=candidate)
                classifier = fit_network(teaching, settings, views=len(REAL), encoder=copy.deepcopy(start))
            return network_answers(classifier, self.clips, settings.input_size)

        return fit, PENALTIES if probing else RATES

    def settings(self, draw: int, **changes: Any) -> TrainSettings:
        """The same for every network but for `changes`."""
        options = self.options
        shape = {"encoder": self.encoder, "input_size": options.input_size, "batch_frames": 32}
        return network_settings(options.steps, draw, augment=AugmentSettings(), **shape, **changes)

    def by_pixels(
        self, patients: int, draw: int, candidate: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Logistic regression; its penalty is chosen on validation patients in each draw."""
        clips = self.clips
        part = clips.split.copy()
        unknown = (part == "train") & ~np.isin(clips.patient, labelled(clips, patients, draw).patient)
        part[unknown] = "none"
        part, label = np.repeat(part, clips.count), np.repeat(clips.label, clips.count)
        logs = linear(small_pixels(clips), label, part)
        return clip_means(logs, clips).argmax(axis=1), logs.argmax(axis=1)

    def remembered(
        self, key: str, fit: Callable[..., Any], patients: int, draw: int, candidate: float
    ) -> list[list[float]]:
        """Shares right of validation and then of test patients, (patients, 2), from --work if there."""
        file = self.work / f"{key}.json"
        if file.exists():
            known: list[list[float]] = json.loads(file.read_text())
            return known
        clips = self.clips
        by_view, by_frame = fit(patients, draw, candidate)
        frames = clip_means((by_frame == np.repeat(clips.label, clips.count))[:, None], clips)[:, 0]
        views = (by_view == clips.label).astype(np.float64)
        right = []
        for part in ("validation", "test"):
            for name in np.unique(clips.patient[clips.split == part]):
                own = clips.patient == name
                right.append([float(frames[own].mean()), float(views[own].mean())])
        self.work.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(right))
        return right


def interval(scores: NDArray[np.float64], *, over_all: bool, draws: int = 2000) -> Interval:
    """Mean of (pre-trainings, draws, patients) and its interval over patients, or over all three."""
    generator = np.random.default_rng(0)
    means = np.empty(draws)
    for number in range(draws):
        drawn = [
            generator.integers(size, size=size) if over_all or axis == 2 else np.arange(size)
            for axis, size in enumerate(scores.shape)
        ]
        means[number] = scores[np.ix_(*drawn)].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(scores.mean()), float(low), float(high), draws)


def report(scores: dict[str, dict[int, NDArray[np.float64]]], record: dict[str, Any]) -> None:
    """Tables of accuracies and of paired differences; scores are (pre-trainings, draws, patients, 2)."""
    budgets = list(next(iter(scores.values())))
    for column, unit in enumerate(("a frame", "a patient and view")):
        rows = [(f"accuracy {unit}", *(f"{budget} patients" for budget in budgets))]
        for arm, by_budget in scores.items():
            found = [interval(by_budget[budget][..., column], over_all=False) for budget in budgets]
            record["accuracy"].append({"arm": arm, "unit": unit, "figures": [asdict(one) for one in found]})
            rows.append((arm, *map(with_interval, found)))
        for arm in scores:
            for rival in ("scratch", "pixels"):
                if arm == rival or rival not in scores or (arm, rival) == ("pixels", "scratch"):
                    continue
                gains = [scores[arm][budget] - scores[rival][budget] for budget in budgets]
                found = [interval(gain[..., column], over_all=True) for gain in gains]
                name = f"{arm} − {rival}"
                record["gains"].append({"of": name, "unit": unit, "figures": [asdict(one) for one in found]})
                rows.append((name, *map(with_sign, found)))
        print(table(rows), end="\n\n")


def key_of(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:10]


def phantom_store(options: argparse.Namespace) -> tuple[Path, Path]:
    """The given frame store and catalogue, or one made by this version of the phantom."""
    if options.store:
        return options.store, options.catalogue
    settings = PhantomSettings(
        patients=options.patients,
        seed=options.seed,
        frames=options.frames,
        image_rows=options.image_rows,
        difficulty=options.difficulty,
        workers=options.workers,
    )
    size = round(LARGER * options.input_size)
    folder = options.work / f"phantom-{key_of(phantom_version(), settings, size)}"
    if not (folder / "catalogue.parquet").exists():
        write_lab(make_lab(settings, size, tested=False), folder)
    return folder / "frames", folder / "catalogue.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is worth keeping")
    parser.add_argument("--camus", type=Path, default=SHARED / "camus-dev")
    parser.add_argument("--store", type=Path, help="a frame store of phantom clips; made if not given")
    parser.add_argument("--catalogue", type=Path, help="of that store")
    parser.add_argument("--patients", type=int, default=200, help="of the phantom")
    parser.add_argument("--seed", type=int, default=61, help="of the phantom")
    parser.add_argument("--frames", type=int, default=6, help="a clip")
    parser.add_argument("--image-rows", type=int, default=160)
    parser.add_argument("--difficulty", type=float, default=PhantomSettings().difficulty)
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=120, help="of pre-training")
    parser.add_argument("--pretraining-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--without-supervised", action="store_true", help="leave out the control")
    parser.add_argument("--labelled", type=int, nargs="+", default=[5, 10, 25, 50], help="patients of CAMUS")
    parser.add_argument("--draws", type=int, default=5, help="of labels")
    parser.add_argument("--steps", type=int, default=400, help="of each fine-tuning, 32 frames a step")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    if options.store and not options.catalogue:
        parser.error("a --store needs its --catalogue")
    torch.set_num_threads(1)
    began = time.monotonic()
    size = round(LARGER * options.input_size)
    clips = camus(options.camus, size, options.work / f"camus-{size}.npy")
    store, catalogue = phantom_store(options)
    phantom = load_clips(store, catalogue, standard_vocabulary())
    print(
        f"{len(phantom)} phantom clips, {len(clips)} CAMUS clips; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    network = PretrainSettings(**PRETRAIN).encoder.model_copy(update={"width": options.width})
    shape = {"input_size": options.input_size, "epochs": options.epochs, "encoder": network}
    starts: dict[str, list[tuple[str, Encoder | Classifier]]] = {}
    for seed in options.pretraining_seeds:
        settings = PretrainSettings(**(PRETRAIN | shape | {"seed": seed}))
        key = key_of(phantom.fingerprint(), store.parent.name, settings)
        pairs: list[tuple[str, Encoder | Classifier]] = [
            ("contrastive", contrastive(store, catalogue, settings, options.work / f"contrastive-{key}"))
        ]
        if not options.without_supervised:
            control = supervised(phantom, settings, options.work / f"supervised-{key}")
            pairs += [("supervised", control.encoder), (NO_LABEL, control)]
        for kind, start in pairs:
            starts.setdefault(kind, []).append((key, start))
        print(f"pre-trained, seed {seed}; {time.monotonic() - began:.0f} s so far", flush=True)
    judge = Judge(clips, options.work / f"fits-{key_of(size, options.width, options.steps)}", options)
    scores: dict[str, dict[int, NDArray[np.float64]]] = {}
    for budget in options.labelled:
        for arm in ("pixels", "scratch", "random probe"):
            scores.setdefault(arm, {})[budget] = judge.scores(arm, None, budget)[None]
        for kind, pretrained in starts.items():
            for way in ("as it is",) if kind == NO_LABEL else ("probe", "fine-tune"):
                found = [judge.scores(f"{kind} {key} {way}", start, budget) for key, start in pretrained]
                scores.setdefault(f"{kind}, {way}", {})[budget] = np.stack(found)
        print(f"{budget} labelled patients done; {time.monotonic() - began:.0f} s so far", flush=True)
    record: dict[str, Any] = {"phantom": phantom_version(), "labelled": options.labelled}
    record |= {"options": {name: str(value) for name, value in vars(options).items()}}
    record |= {"accuracy": [], "gains": []}
    report(scores, record)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
