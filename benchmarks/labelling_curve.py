"""How many labels the labelling page needs: what its chooser names next against random order.

A scripted annotator labels clips of training patients a dozen at a time, as the page's own code proposes them
(`apical.label.advising`) or at random, and says the wrong view now and then: the one that a probe taught on
all the truth finds next likeliest. After each dozen the page's own model, the propagated one, names the clips
of patients who never teach; F1 is the mean over all views, a view without labels having none right. Clips of
no view are in the pool and cost labels as others do. Intervals of the difference are over judged patients,
the seeds' figures being averaged in each draw.

Then, at 48, 96 and 192 labels: the page's own estimate beside the truth, how sure guesses are beside how
often they are right, and whether `most_help` names the right views: labels in three more patients of the view
it names, against three more of each other view.

    OMP_NUM_THREADS=1 python benchmarks/labelling_curve.py FRAMES CATALOGUE --encoder RUN --none FEW_CATALOGUE
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray

from apical.config import TrainSettings
from apical.judge.intervals import bootstrap, difference, expanded_intervals, patient_confusions
from apical.judge.metrics import Counts, Figures, macro_f1
from apical.label.advice import Advice, Known
from apical.label.advising import Ground, judged, suggest
from apical.learn.clips import SHOWS_NONE, Clips, load_clips
from apical.learn.probe import probe_answers
from apical.learn.suspects import embed_clips
from apical.views import standard_vocabulary
from phantom_lab import table

VIEWS = standard_vocabulary().names
BATCH = 12
LOOKS = (48, 96, 192)
GOAL = 0.9
FURTHER = 3  # patients


@dataclass(frozen=True)
class Field:
    """Clips, their truth, and who labels.

    Attributes:
        features: (n, d).
        clips: n of training and judged patients; no labels.
        truth: (n,) views, or `SHOWS_NONE`.
        mistaken: (n,) what a wrong annotator says.
        pool: rows that may be labelled.
        judged: rows that judge.
    """

    features: NDArray[np.float32]
    clips: Clips
    truth: NDArray[np.int64]
    mistaken: NDArray[np.int64]
    pool: NDArray[np.int64]
    judged: NDArray[np.int64]

    def ground(self, seed: int) -> Ground:
        """The page's, with another seed."""
        return Ground.of(self.features, self.clips, VIEWS, splits=("train",), seed=seed)

    def tables(self, advice: Advice) -> Counts:
        """Confusions of judged patients; nobody's view where nothing is guessed."""
        truth, said = self.truth[self.judged], advice.guess[self.judged]
        said = np.where(said < 0, len(VIEWS), said)
        return patient_confusions(truth, said, self.clips.patient[self.judged], len(VIEWS) + 1)


def field(options: argparse.Namespace) -> Field:
    """Read features and truth."""
    vocabulary = standard_vocabulary()
    clips = load_clips(options.frames, options.catalogue, vocabulary)
    truth = clips.label
    if options.none is not None:
        none = load_clips(options.frames, options.none, vocabulary)
        shows_none = dict(zip(none.clip.tolist(), (none.label == SHOWS_NONE).tolist(), strict=True))
        truth = np.where([shows_none[clip] for clip in clips.clip.tolist()], SHOWS_NONE, truth)
    asked = (truth != -1) & np.isin(clips.split, ["train", options.split])
    if options.unknown_too:  # clips that no table names show no view either
        truth, asked = (
            np.where(truth == -1, SHOWS_NONE, truth),
            np.isin(clips.split, ["train", options.split]),
        )
    clips, truth = clips.select(asked), truth[asked]
    features = embed_clips(options.encoder, clips)
    teaches = clips.split == "train"
    settings, known = TrainSettings(), teaches & (truth >= 0)
    said = probe_answers(
        features[known],
        truth[known],
        features,
        views=len(VIEWS),
        penalty=settings.probe_penalty,
        adjustment=settings.imbalance.adjustment,
    )
    said[truth >= 0, truth[truth >= 0]] = -np.inf
    blank = replace(clips, label=np.full(len(clips), -1))
    pool = np.flatnonzero(teaches)
    return Field(features, blank, truth, said.argmax(axis=1), pool, np.flatnonzero(~teaches & (truth >= 0)))


def labelling(
    ground: Field, chooser: str, seed: int, most: int, errors: float
) -> Iterator[tuple[int, Known, Advice, Ground]]:
    """Label a dozen at a time; after each: labels, what is known, and the page's advice without figures."""
    page = ground.ground(seed)
    generator = np.random.default_rng(seed)
    order = generator.permutation(ground.pool)
    wrong = generator.random(len(ground.clips)) < errors
    said = np.where(wrong, ground.mistaken, ground.truth)
    label = np.full(len(ground.clips), -1)
    advice = suggest(page, Known(0, label, ground.clips.agent))
    for labels in range(BATCH, most + 1, BATCH):
        rows = [pick.row for pick in advice.picks] if chooser == "page" else order[label[order] == -1]
        label = label.copy()
        label[rows[:BATCH]] = said[rows[:BATCH]]
        known = Known(labels, label, ground.clips.agent)
        advice = suggest(page, known)
        yield labels, known, advice, page


def all_views(confusion: Counts) -> Figures:
    """Macro F1."""
    return macro_f1(confusion)[..., None]


def expected_error(advice: Advice, ground: Field) -> tuple[float, float]:
    """Mean probability of guesses for judged clips, and how often they are right."""
    right = advice.guess[ground.judged] == ground.truth[ground.judged]
    return float(advice.probability[ground.judged].mean()), float(right.mean())


def further_patients(ground: Field, known: Known, view: int, seed: int) -> Known | None:
    """One more label of a view in each of `FURTHER` patients without one; None where there are too few."""
    patient = ground.clips.patient_code
    order = np.random.default_rng(seed).permutation(ground.pool)
    free = order[(ground.truth[order] == view) & (known.label[order] == -1)]
    free = free[~np.isin(patient[free], patient[known.label == view])]
    _, first = np.unique(patient[free], return_index=True)
    rows = free[np.sort(first)[:FURTHER]]
    if len(rows) < FURTHER:
        return None
    label = known.label.copy()
    label[rows] = view
    return replace(known, label=label)


def worth_of_views(ground: Field, known: Known, page: Ground, seed: int) -> NDArray[np.float64]:
    """What labels in three more patients of each view do to macro F1, (k,); NaN where there are none."""
    now = macro_f1(ground.tables(suggest(page, known)).sum(axis=0))
    gains = np.full(len(VIEWS), np.nan)
    for view in range(len(VIEWS)):
        more = further_patients(ground, known, view, seed)
        if more is not None:
            gains[view] = macro_f1(ground.tables(suggest(page, more)).sum(axis=0)) - now
    return gains


def curves(ground: Field, options: argparse.Namespace) -> None:
    """Print the curves and their differences."""
    tables: dict[tuple[str, int], list[Counts]] = {}
    estimates: dict[tuple[str, int], list[list[float]]] = {}
    gains: dict[int, list[tuple[float, float, float]]] = {}
    with (options.log or Path("/dev/null")).open("a") as log:
        for seed in range(options.seeds):
            for chooser in ("random", "page"):
                for labels, known, advice, page in labelling(
                    ground, chooser, seed, options.most, options.errors
                ):
                    found = ground.tables(advice)
                    tables.setdefault((chooser, labels), []).append(found)
                    line = {
                        "seed": seed,
                        "chooser": chooser,
                        "labels": labels,
                        "views": len(np.unique(known.label[known.label >= 0])),
                        "none": int((known.label == SHOWS_NONE).sum()),
                        "f1": round(float(macro_f1(found.sum(axis=0))), 4),
                    }
                    if labels in LOOKS:
                        full = judged(page, known, advice)
                        assert full.estimate is not None
                        one = full.estimate
                        figures = [one.macro_f1, one.low, one.high]
                        estimates.setdefault((chooser, labels), []).append(
                            [np.nan if value is None else value for value in figures]
                            + [float(line["f1"]), *expected_error(advice, ground)]
                        )
                        if options.help and chooser == "page":
                            worth = worth_of_views(ground, known, page, seed)
                            named = [VIEWS.index(each.view) for each in full.help]
                            line |= {"worth": worth.round(4).tolist(), "help": named}
                            line["estimate"] = [
                                (each.patients, each.clips, each.f1, each.low) for each in one.views
                            ]
                            others = np.delete(worth, named[0])
                            gains.setdefault(labels, []).append(
                                (worth[named[0]], float(np.nanmean(others)), float(np.nanmean(worth[named])))
                            )
                    print(json.dumps(line), file=log, flush=True)
    steps = sorted({labels for _, labels in tables})
    mean = {
        key: float(np.mean([macro_f1(one.sum(axis=0)) for one in found])) for key, found in tables.items()
    }
    shown = [step for step in steps if step in (12, 24, 48, 72, 96, 144, 192, 240, 288, 384, 480, 576)]
    rows = [["chosen by", *map(str, shown), f"labels to {GOAL}"]]
    for chooser in ("random", "page"):
        reached = [step for step in steps if mean[chooser, step] >= GOAL]
        first = str(reached[0]) if reached else f"not within {steps[-1]}"
        rows.append([chooser, *(f"{mean[chooser, step]:.3f}" for step in shown), first])
    print(table(rows), flush=True)
    rows = [["labels", "page - random", "95 % over judged patients"]]
    for labels in LOOKS:
        if labels in steps:
            page, random = (bootstrap(np.stack(tables[who, labels]), all_views) for who in ("page", "random"))
            (one,) = expanded_intervals(difference(page, random))
            rows.append([str(labels), f"{one.value:+.3f}", f"{one.low:+.3f} to {one.high:+.3f}"])
    print(table(rows))
    rows = [["labels", "chosen by", "estimate", "low", "high", "truth", "truth within", "sure", "right"]]
    for (chooser, labels), found in sorted(estimates.items(), key=lambda one: (one[0][1], one[0][0])):
        values = np.array(found)
        within = ((values[:, 1] <= values[:, 3]) & (values[:, 3] <= values[:, 2])).sum()
        middle = np.nanmean(values, axis=0)
        rows.append(
            [str(labels), chooser, *(f"{value:.3f}" for value in middle[:4]), f"{within} of {len(values)}"]
            + [f"{value:.3f}" for value in middle[4:]]
        )
    print(table(rows))
    if gains:
        rows = [["labels", "first view named", "all three named", "another view"]]
        for labels, every in gains.items():
            first, other, named = np.nanmean(np.array(every), axis=0)
            rows.append([str(labels), f"{first:+.4f}", f"{named:+.4f}", f"{other:+.4f}"])
        print(f"macro F1 gained by labels in {FURTHER} more patients of\n" + table(rows))


def draw(lines: list[dict[str, object]], out: Path) -> None:
    """The curves of the log, one thin line a seed and their mean, as a picture."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for chooser, colour, name in (
        ("random", "#d55e00", "random order"),
        ("page", "#0072b2", "the page's choice"),
    ):
        of_seed: dict[object, list[tuple[int, float]]] = {}
        for line in lines:
            if line["chooser"] == chooser:
                of_seed.setdefault(line["seed"], []).append(
                    (int(str(line["labels"])), float(str(line["f1"])))
                )
        curves = np.array([sorted(points) for points in of_seed.values()])
        for curve in curves:
            axes.plot(*curve.T, color=colour, alpha=0.3, linewidth=0.8)
        axes.plot(*curves.mean(axis=0).T, color=colour, label=name, linewidth=2)
    axes.axhline(GOAL, color="#55606c", linewidth=0.8, linestyle=":")
    axes.set(xlabel="labels", ylabel="macro F1, 13 views, test patients", ylim=(0.35, 1))
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(out, dpi=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--encoder", type=Path, required=True, help="run folder of a pre-training")
    parser.add_argument("--none", type=Path, help="catalogue that knows which clips show none of the views")
    parser.add_argument("--unknown-too", action="store_true", help="so do clips whose view no table knows")
    parser.add_argument("--split", default="test", choices=["validation", "test"], help="whose clips judge")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, default=384, help="labels")
    parser.add_argument("--errors", type=float, default=0.0, help="share of labels that are wrong")
    parser.add_argument("--help-views", dest="help", action="store_true", help="judge what would help most")
    parser.add_argument("--log", type=Path, help="a line of JSON for each dozen of labels")
    parser.add_argument("--picture", type=Path, help="PNG of the curves; needs --log")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ground = field(options)
    print(f"{len(ground.pool)} clips to label, {len(ground.judged)} that judge", flush=True)
    curves(ground, options)
    if options.picture is not None:
        draw([json.loads(line) for line in options.log.read_text().splitlines()], options.picture)


if __name__ == "__main__":
    main()
