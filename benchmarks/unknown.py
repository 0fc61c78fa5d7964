"""How well scores tell clips of no taught view from the others: near ones, far ones, and noise.

The phantom's exams, frozen features of an encoder that was pre-trained on training patients, and label
propagation from few labels: five patients of a rare view, twenty of every other. Kinds of unknown clips:

- hidden view: each of the standard views in turn is taught nowhere; the mean over the views;
- sweeps from one taught view to the next; further views: other planes, and parts of a taught view enlarged;
- organs that are no heart; screens: spectral Doppler, M-mode, 3-D, two images, reports; colour: colour and
  tissue Doppler. `apical frames` leaves out the last two, so the whole screens are made small for this;
- speckle in a fan; white noise: two made-up clips a patient.

The first four are tried both ways: "met", training exams hold clips of that kind, without a label (as they do
in a clinic), and "never met", they hold none (but the encoder was pre-trained on all).

AUROC and FPR@95 (`apical.judge.unknown`) with 95 % intervals over patients, averaged over label draws. With
`--split validation`, on which the default was chosen, combinations are ranked too.

    OMP_NUM_THREADS=1 python benchmarks/unknown.py EXAMS CATALOGUE FRAMES ENCODER --split validation
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apical.catalogue import limit_labels
from apical.config import TrainSettings
from apical.demo import RARE
from apical.judge.intervals import Bootstrap, Interval, bootstrap, expanded_intervals, patient_sums
from apical.judge.metrics import Counts, Figures
from apical.judge.unknown import fit_unknown, told_apart
from apical.judge.unknown_scores import (
    Scores,
    directions,
    energy,
    fisher,
    fit_gaussians,
    mahalanobis,
    max_softmax,
    neighbour,
    relative_mahalanobis,
    surprise,
)
from apical.learn.classifier import Classifier
from apical.learn.clips import Clips
from apical.learn.probe import fit_on_features
from phantom_lab import catalogue_of
from unknown_ground import HIDDEN, KINDS, STANDARD, VIEWS, Ground, ground

WAYS = ("met", "never met")
DETECTOR = "Mahalanobis, directions (the detector)"
COMBINING: dict[str, Callable[[Sequence[Scores]], Scores]] = {
    "Fisher": fisher,
    "mean": lambda each: 1 - np.mean(each, axis=0),
    "least": lambda each: 1 - np.min(each, axis=0),
}
Asked = dict[str, Scores]  # by score: (n,)


def few_labels(clips: Clips, draw: int) -> NDArray[np.int64]:
    """(n,) the labels of few training patients, -1 elsewhere."""
    few = limit_labels(catalogue_of(clips), dict.fromkeys(RARE, 5), default=20, seed=draw)
    return np.where(few["view"].is_not_null().to_numpy(), clips.label, -1)


def scores(
    ground: Ground, trains: NDArray[np.bool_], label: NDArray[np.int64], held: NDArray[np.bool_]
) -> Asked:
    """Every score of all asked clips.

    Args:
        ground: the clips.
        trains: (n,) which training clips are there.
        label: (n,) what they are taught as.
        held: (m,) the asked clips that hold out.
    """
    classifier = Classifier(ground.encoder, len(VIEWS))
    classifier.taught[:] = torch.from_numpy(np.isin(np.arange(len(VIEWS)), label))
    taught = replace(ground.training, label=label).select(trains)
    fit_on_features(classifier, ground.features[trains], taught, TrainSettings(method="label-propagation"))
    with torch.no_grad():
        logits = classifier.logits(torch.from_numpy(ground.asked))
    labelled, asked = label >= 0, ground.asked
    x, y, unit = ground.features[labelled], label[labelled], directions(asked)
    one_group = np.zeros(len(label), np.int64)
    views, by_direction = fit_gaussians(x, y), fit_gaussians(directions(x), y)
    of_labelled = fit_gaussians(directions(x), one_group[labelled])
    of_all = fit_gaussians(directions(ground.features[trains]), one_group[trains])
    return {
        "max-softmax": max_softmax(logits.log_softmax(dim=1).numpy()),
        "energy": energy(logits.numpy()),
        "Mahalanobis": mahalanobis(asked, views),
        DETECTOR: fit_unknown(x, y, asked[held]).score(asked),
        "relative Mahalanobis": relative_mahalanobis(asked, views, fit_gaussians(x, one_group[labelled])),
        "relative Mahalanobis, directions": relative_mahalanobis(unit, by_direction, of_labelled),
        "relative to all training clips, directions": relative_mahalanobis(unit, by_direction, of_all),
        **{f"neighbour {k}": neighbour(asked, x, k) for k in (1, 3, 5)},
    }


def trials(
    ground: Ground, draws: int, hide: Sequence[str]
) -> Iterator[tuple[str, int | None, Asked, NDArray[np.bool_]]]:
    """Of each draw of labels: which way, the view that was hidden or None, the scores, and who holds out."""
    plain = ground.kind == STANDARD
    for draw, way, hidden in itertools.product(range(draws), WAYS, (None, *map(VIEWS.index, hide))):
        full, trains = few_labels(ground.training, draw), np.ones(len(plain), bool)
        if way == "never met":
            trains = plain if hidden is None else ground.training.label != hidden
        label = np.where((full == hidden) if hidden is not None else False, -1, full)
        held = (ground.split == "validation") & (ground.label >= 0) & (ground.label != hidden)
        yield way, hidden, scores(ground, trains, label, held), held


def combinations(asked: Asked, held: NDArray[np.bool_], wanted: Sequence[str] | None) -> Asked:
    """Two or three scores together, each way of combining: the wanted ones, or all."""
    p = {name: surprise(score, score[held]) for name, score in asked.items()}
    several = [names for count in (2, 3) for names in itertools.combinations(p, count)]
    ways = {f"{how}: {' + '.join(names)}": (how, names) for how in COMBINING for names in several}
    return {
        called: COMBINING[how]([p[name] for name in names])
        for called, (how, names) in ways.items()
        if wanted is None or called in wanted
    }


def states(ground: Ground, hidden: int | None) -> dict[str, NDArray[np.int64]]:
    """By kind, (m,): 1 unknown, 0 of a taught view, -1 neither."""
    known = (ground.label >= 0) & (ground.label != hidden)
    if hidden is not None:
        return {HIDDEN: np.where(ground.label == hidden, 1, np.where(known, 0, -1))}
    return {
        kind: np.where(ground.asked_kind == kind, 1, np.where(known, 0, -1))
        for kind in KINDS
        if kind != HIDDEN
    }


def mean_of(each: Sequence[Bootstrap]) -> Bootstrap:
    """Figures averaged in each draw of patients."""
    samples = np.mean([one.samples for one in each], axis=0)
    return Bootstrap(np.mean([one.value for one in each], axis=0), samples, each[0].patients, each[0].seed)


def refusals(
    score: Scores, state: NDArray[np.int64], patient: NDArray[np.str_], limit: float
) -> NDArray[np.float64]:
    """(P, 2, 2): clips refused, and clips, of taught views and of none."""
    kinds = np.stack([state == 0, state == 1], axis=1)
    return patient_sums(np.stack([kinds & (score > limit)[:, None], kinds], axis=1), patient)


def refused_share(tables: Counts) -> Figures:
    """(…, 2): share refused of clips of taught views and of unknown ones."""
    with np.errstate(invalid="ignore"):
        return np.asarray(tables[..., 0, :] / tables[..., 1, :])


class Judged:
    """Figures of each way, kind and score, over trials. Hidden views are kinds by their names too."""

    def __init__(self, ground: Ground, options: argparse.Namespace) -> None:
        self.figures: dict[tuple[str, str, str], list[Bootstrap]] = {}
        self.refused: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
        self.singles: list[str] = []
        judges = ground.split == options.split
        patient = ground.patient[judges]
        for way, hidden, asked, held in trials(ground, options.draws, options.hide):
            self.singles = list(asked)
            wanted = options.beside if options.split == "test" else None
            asked |= combinations(asked, held, wanted)
            limit = float(np.quantile(asked[DETECTOR][held], 0.95, method="higher"))
            for kind, state in states(ground, hidden).items():
                state = state[judges]
                names = [kind] if hidden is None else [kind, VIEWS[hidden]]
                for score, values in asked.items():
                    quick = score not in (*self.singles, *options.beside)
                    figures = told_apart(
                        values[judges], state, patient, resamples=0 if quick else options.resamples
                    )
                    for name in names:
                        self.figures.setdefault((way, name, score), []).append(figures)
                for name in names:
                    table = refusals(asked[DETECTOR][judges], state, patient, limit)
                    self.refused.setdefault((way, name), []).append(table)
            print(f"  {way}, {'all taught' if hidden is None else VIEWS[hidden]}", flush=True)

    def of(self, way: str, kind: str, score: str) -> list[Interval]:
        """AUROC and FPR@95, each with its interval."""
        return expanded_intervals(mean_of(self.figures[way, kind, score]))

    def means(self, score: str) -> Figures:
        """(2,): AUROC and FPR@95, means over kinds and ways."""
        every = [one.value for way in WAYS for kind in KINDS for one in self.of(way, kind, score)]
        return np.reshape(every, (-1, 2)).mean(axis=0)

    def shares(self, way: str, kind: str) -> list[Interval]:
        """What the detector refuses of taught views, and of unknown clips."""
        return expanded_intervals(bootstrap(np.stack(self.refused[way, kind]), refused_share))


def cell(figure: Interval) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f}–{figure.high:.2f})"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def tables(judged: Judged, options: argparse.Namespace) -> str:
    """Markdown."""
    parts = []
    shown = [*judged.singles, *options.beside]
    for column, figure in enumerate(("AUROC", "FPR@95")):
        for way in WAYS:
            rows = [[f"{figure}, {way}", *KINDS]]
            rows += [
                [score, *(cell(judged.of(way, kind, score)[column]) for kind in KINDS)] for score in shown
            ]
            parts.append(markdown(rows))
    rows = [["detector", *(f"{what}, {way}" for way in WAYS for what in ("AUROC", "FPR@95", "refused"))]]
    for kind in (*options.hide, *KINDS):
        cells = [
            cell(one)
            for way in WAYS
            for one in (*judged.of(way, kind, DETECTOR), judged.shares(way, kind)[1])
        ]
        rows.append([kind, *cells])
    parts.append(markdown(rows))
    rows = [["detector, of taught views refused (0.05 asked)", *WAYS]]
    taught = {"one view hidden": HIDDEN, "all taught": KINDS[1]}
    rows += [[name, *(cell(judged.shares(way, kind)[0]) for way in WAYS)] for name, kind in taught.items()]
    parts.append(markdown(rows))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("exams", type=Path, help="that `apical phantom` made, with every kind of clip")
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("encoder", type=Path, help="run folder of a pre-training")
    parser.add_argument("--split", default="validation", choices=["validation", "test"], help="who judges")
    parser.add_argument("--draws", type=int, default=3, help="of labels")
    parser.add_argument("--hide", nargs="+", default=VIEWS, choices=VIEWS, help="views, each in turn")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--beside", nargs="*", default=[], help="combinations to show, by their names")
    parser.add_argument("--json", type=Path, help="write every figure there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    every = ground(options.exams, options.catalogue, options.frames, options.encoder)
    judged = Judged(every, options)
    judges = every.split == options.split
    amounts = {kind: int((every.asked_kind[judges] == kind).sum()) for kind in (STANDARD, *KINDS[1:])}
    print(f"{len(np.unique(every.patient[judges]))} {options.split} patients; clips: {amounts}")
    if options.split == "validation":
        means = {name: judged.means(name) for name in {score for *_, score in judged.figures}}
        for figure, sign in ((0, -1), (1, 1)):
            best = sorted(means, key=lambda name: sign * means[name][figure])[:20]
            print(f"mean AUROC, mean FPR@95: best by the {('first', 'second')[figure]}, and single scores")
            for name in [*best, *judged.singles]:
                print(f"{means[name][0]:.4f} {means[name][1]:.4f}  {name}")
    print(tables(judged, options))
    if options.json:
        found = [
            {"way": way, "kind": kind, "score": score, "figure": figure, **asdict(one)}
            for way, kind, score in judged.figures
            for figure, one in zip(("auroc", "fpr_at_95"), judged.of(way, kind, score), strict=True)
            if score in (*judged.singles, *options.beside)
        ]
        found += [
            {"way": way, "kind": kind, "score": DETECTOR, "figure": figure, **asdict(one)}
            for way, kind in judged.refused
            for figure, one in zip(("refused_taught", "refused"), judged.shares(way, kind), strict=True)
        ]
        options.json.write_text(json.dumps({"split": options.split, "clips": amounts, "figures": found}))


if __name__ == "__main__":
    main()
