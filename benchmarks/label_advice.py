"""What `apical labels next` and `apical labels check` are worth, on clips whose views are known.

next: labels are given to clips in batches of twelve, those that `what_next` names or random ones, and a probe
is taught after each batch (with --propagate, by labels spread over the graph and whole exams). Two pools: the
training clips as they are, and without the rare views' clips of four patients in five, so that they are rare
indeed. Curves are means over seeds; the last column says with how many labels a curve first reaches what
random choice has with all (--most).

check: a share of the labels of common views is changed to another view, at random or to the one that it is
confused with most, and suspects are listed. Precision is the share of suspects that were changed, recall
the share of changed ones that are suspects. Beside it: how F1 of a probe and of propagation fares with the
wrong labels, and that of a probe once the suspects have lost theirs.

    OMP_NUM_THREADS=1 python benchmarks/label_advice.py FRAMES CATALOGUE --encoder RUN --split validation
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apical.config import TrainSettings
from apical.demo import RARE
from apical.judge import metrics
from apical.learn.classifier import Classifier
from apical.learn.clips import Clips, load_clips
from apical.learn.next_labels import what_next
from apical.learn.probe import fit_on_features, probe_answers, propagated_answers
from apical.learn.start import load_encoder
from apical.learn.suspects import cross_fitted, embed_clips, likely_wrong
from apical.views import standard_vocabulary
from phantom_lab import table

VIEWS = standard_vocabulary().names
IS_RARE = np.isin(VIEWS, RARE)
BATCH = 12
SETTINGS = TrainSettings(method="label-propagation")
FIT = {"penalty": SETTINGS.probe_penalty, "adjustment": SETTINGS.imbalance.adjustment}


def scores(said: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of rare and of common views."""
    confusion = np.zeros((len(VIEWS), len(VIEWS)))
    np.add.at(confusion, (label, said), 1)
    return np.array([metrics.mean_f1(confusion, IS_RARE), metrics.mean_f1(confusion, ~IS_RARE)])


class Ground:
    """Features of a pool of training clips, and of those that judge."""

    def __init__(self, options: argparse.Namespace) -> None:
        clips = load_clips(options.frames, options.catalogue, standard_vocabulary())
        known = clips.select((clips.label >= 0) & np.isin(clips.split, ["train", options.split]))
        features = embed_clips(options.encoder, known)
        teaches = known.split == "train"
        self.pool, self.features = known.select(teaches), features[teaches]
        self.judge, self.judged = known.select(~teaches), features[~teaches]
        self.encoder = load_encoder(options.encoder)[0]

    def without_most_rare(self) -> NDArray[np.bool_]:
        """The pool without the rare views' clips of four patients in five."""
        return ~IS_RARE[self.pool.label] | (self.pool.patient_code % 5 == 0)

    def probe(self, rows: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of a probe on these clips of the pool."""
        if len(np.unique(label)) < 2:
            return np.zeros(2)
        answers = probe_answers(self.features[rows], label, self.judged, views=len(VIEWS), **FIT)
        return scores(answers.argmax(axis=1), self.judge.label)

    def propagated(self, pool: Clips, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of a linear layer taught by propagated labels and whole exams."""
        classifier = Classifier(self.encoder, len(VIEWS))
        classifier.taught[:] = torch.from_numpy(np.isin(np.arange(len(VIEWS)), pool.label))
        fit_on_features(classifier, features, pool, SETTINGS)
        with torch.no_grad():
            said = classifier.logits(torch.from_numpy(self.judged)).argmax(dim=1).numpy()
        return scores(said, self.judge.label)

    def cross_fitted(self, label: NDArray[np.int64]) -> NDArray[np.float64]:
        """What `apical labels check` has said of each clip of the pool, (n, k), given these labels."""
        return cross_fitted(
            lambda known: propagated_answers(
                self.features, replace(self.pool, label=known), SETTINGS, views=len(VIEWS)
            ),
            label,
            self.pool.patient_code,
            views=len(VIEWS),
        )


def curve(
    ground: Ground, kept: NDArray[np.bool_], chooser: str, seed: int, most: int, *, spread: bool
) -> list[float]:
    """Rare-view F1 after each batch of labels."""
    rows = np.flatnonzero(kept)
    generator = np.random.default_rng(seed)
    rows = generator.permutation(rows)
    features, truth, patient = ground.features[rows], ground.pool.label[rows], ground.pool.patient_code[rows]
    label = np.full(len(rows), -1)
    found = []
    for _ in range(most // BATCH):
        if chooser == "random":
            picked = generator.permutation(np.flatnonzero(label < 0))[:BATCH]
        else:
            known = label >= 0
            answers = None
            if len(np.unique(label[known])) > 1:
                answers = probe_answers(features[known], label[known], features, views=len(VIEWS), **FIT)
            picked = what_next(
                features, patient, label, BATCH, log_probabilities=answers, centre=0.7, seed=seed
            )
        label[picked] = truth[picked]
        known = label >= 0
        if spread:
            pool = replace(ground.pool.select(rows), label=label)
            found.append(float(ground.propagated(pool, features)[0]))
        else:
            found.append(float(ground.probe(rows[known], label[known])[0]))
    return found


def judge_next(ground: Ground, seeds: int, most: int, *, spread: bool) -> None:
    """Print the curves of both pools."""
    steps = sorted({min(step * BATCH, most) for step in (1, 2, 4, 8, 12)} | {most})
    rows = [["pool", "chosen by", *map(str, steps), "labels to random's last"]]
    pools = {"as it is": np.ones(len(ground.pool), bool), "rare made rarer": ground.without_most_rare()}
    for name, kept in pools.items():
        curves = {
            chooser: np.array(
                [curve(ground, kept, chooser, seed, most, spread=spread) for seed in range(seeds)]
            )
            for chooser in ("random", "what_next")
        }
        goal = curves["random"].mean(axis=0)[-1]
        for chooser, values in curves.items():
            mean = values.mean(axis=0)
            reached = np.flatnonzero(mean >= goal)
            first = str(BATCH * (reached[0] + 1)) if len(reached) else f"> {most}"
            rows.append([name, chooser, *(f"{mean[step // BATCH - 1]:.3f}" for step in steps), first])
    print(table(rows), flush=True)


def judge_check(ground: Ground, seeds: int, shares: list[float]) -> None:
    """Print precision and recall of suspects, and what wrong labels cost."""
    pool, features = ground.pool, ground.features
    kinds = ("at random", "to the view it is confused with")
    rows = [["wrong", "how", "suspects", "precision", "recall", "probe", "without suspects", "propagation"]]
    truth = pool.label
    clean = ground.cross_fitted(truth)
    confused = np.zeros((len(VIEWS), len(VIEWS)))
    np.add.at(confused, truth, np.exp(clean))
    np.fill_diagonal(confused, 0)
    for share in shares:
        for kind in kinds if share else kinds[:1]:
            figures = []
            for seed in range(seeds):
                generator = np.random.default_rng(seed)
                wrong = (generator.random(len(truth)) < share) & ~IS_RARE[truth]
                other = (truth + generator.integers(1, len(VIEWS), len(truth))) % len(VIEWS)
                if kind != kinds[0]:
                    other = confused[truth].argmax(axis=1)
                label = np.where(wrong, other, truth)
                said = ground.cross_fitted(label)
                suspect = likely_wrong(said, label)
                everything = np.arange(len(label))
                figures.append(
                    [
                        suspect.sum(),
                        (suspect & wrong).sum() / max(suspect.sum(), 1),
                        (suspect & wrong).sum() / max(wrong.sum(), 1) if share else np.nan,
                        *(ground.probe(everything, label)),
                        *(ground.probe(everything[~suspect], label[~suspect])),
                        *ground.propagated(replace(pool, label=label), features),
                    ]
                )
            mean = np.mean(figures, axis=0)
            pairs = [f"{mean[i]:.3f} {mean[i + 1]:.3f}" for i in (3, 5, 7)]
            rows.append([f"{share:.0%}", kind, f"{mean[0]:.0f}", f"{mean[1]:.2f}", f"{mean[2]:.2f}", *pairs])
    print("F1 of rare and of common views\n" + table(rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--encoder", type=Path, required=True, help="run folder of a pre-training")
    parser.add_argument("--split", default="test", choices=["validation", "test"], help="whose clips judge")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=240, help="labels; a multiple of a dozen")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=[0.0, 0.05, 0.1, 0.2], help="of wrong labels"
    )
    parser.add_argument("--propagate", action="store_true", help="spread labels over the graph as well")
    options = parser.parse_args()
    ground = Ground(options)
    print(f"{len(ground.pool)} clips of training patients, {len(ground.judge)} that judge")
    judge_next(ground, options.seeds, options.most, spread=options.propagate)
    judge_check(ground, options.seeds, options.shares)


if __name__ == "__main__":
    main()
