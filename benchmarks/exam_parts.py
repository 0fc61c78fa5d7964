"""What each part of label propagation is worth, with few labels, for a lone clip and for a whole exam.

Linear layers on frozen features of pre-trained encoders, so one part can be left out while all else stays:
all frames of a clip against its middle one, the graph, exams that teach, the order of filming, the exam's
mean taken off, whole exams at prediction. F1 of the rare views over clips of patients that judge, and its
paired difference to the default; intervals (95 %) are over those patients, label draws and encoders averaged.
Rows that end in "whole exam" were given every clip of the exam; the others one clip.

    OMP_NUM_THREADS=1 python benchmarks/exam_parts.py FRAMES CATALOGUE --encoders RUN RUN RUN
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apical.catalogue import limit_labels
from apical.config import ExamSettings, GraphSettings, TrainSettings
from apical.demo import RARE
from apical.judge import metrics
from apical.judge.intervals import bootstrap, difference, patient_confusions, percentile_intervals
from apical.learn.classifier import Classifier, window_features
from apical.learn.clips import Clips, load_clips
from apical.learn.probe import fit_head, fit_on_features, one_hot, told_agent
from apical.learn.start import load_encoder
from apical.learn.train import answers_in_exams
from apical.views import standard_vocabulary
from phantom_lab import catalogue_of, table, with_interval, with_sign

VIEWS = standard_vocabulary().names
IS_RARE = np.isin(VIEWS, RARE)
CPU = torch.device("cpu")

PROBE = TrainSettings(method="probe")
DEFAULT = TrainSettings(method="label-propagation")
TOGETHER = "clips with contrast agent are in the exam of the others"


def with_graph(**changes: float) -> TrainSettings:
    return DEFAULT.model_copy(update={"graph": GraphSettings(**changes)})


def with_exams(**changes: float) -> TrainSettings:
    return DEFAULT.model_copy(update={"exams": ExamSettings(**changes)})


TAUGHT = {
    "probe": PROBE,
    "label propagation (default)": DEFAULT,
    "graph alone, exams do not teach": with_exams(teach=False),
    "graph alone, the exam's mean left in": DEFAULT.model_copy(
        update={"graph": GraphSettings(centre=0), "exams": ExamSettings(teach=False)}
    ),
    "the exam's mean left in": with_graph(centre=0),
    "40 neighbours": with_graph(neighbours=40),
    "exams teach without the order of filming": with_exams(order=False),
    TOGETHER: with_exams(agent_apart=False),
    "labels are never doubted": with_exams(doubt=False),
    "exams teach one round": with_exams(rounds=1),
    "exams teach eight rounds": with_exams(rounds=8),
    "penalty 0.1": DEFAULT.model_copy(update={"probe_penalty": 0.1}),
}
REFERENCE = "label propagation (default)"
IN_EXAMS = ("probe", REFERENCE, TOGETHER)  # answered with the whole exam too


class Features:
    """Clips of training patients and of those that judge, with features (w, d) of all their windows."""

    def __init__(self, clips: Clips, encoder: Path) -> None:
        backbone, settings = load_encoder(encoder)
        self.encoder, self.clips = backbone, clips
        of_clip, self.windows = window_features(
            Classifier(backbone, len(VIEWS)), clips, settings.input_size, CPU
        )
        self.of_clip = of_clip
        self.first = np.flatnonzero(np.diff(of_clip, prepend=-1))
        self.count = np.bincount(of_clip)
        self.mean = self.of_clips(self.windows.numpy()).astype(np.float32)

    def of_clips(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Means (n, …) over each clip's windows, (w, …)."""
        return np.asarray(
            np.add.reduceat(values.astype(np.float64), self.first, axis=0) / self.count[:, None]
        )

    def teach(self, settings: TrainSettings, label: NDArray[np.int64]) -> Classifier:
        """A linear layer taught with labels (n,) of training clips."""
        classifier = Classifier(self.encoder, len(VIEWS))
        classifier.taught[:] = torch.from_numpy(np.isin(np.arange(len(VIEWS)), label))
        training = self.clips.split == "train"
        if settings.method == "probe":
            taught = label[self.of_clip]
            rows = taught >= 0
            fit_head(
                classifier, self.windows[torch.from_numpy(rows)], one_hot(taught[rows], len(VIEWS)), settings
            )
        else:
            few = replace(self.clips, label=label).select(training)
            fit_on_features(classifier, self.mean[training], few, settings)
        return classifier

    @torch.no_grad()
    def said(self, classifier: Classifier, *, one_window: bool = False) -> NDArray[np.float32]:
        """Log-probabilities (n, k): means over all windows of a clip, or of its middle one."""
        each = classifier.logits(self.windows).log_softmax(dim=1).numpy()
        if one_window:
            return np.asarray(each[self.first + self.count // 2])
        means = torch.from_numpy(self.of_clips(each))
        return np.asarray(means.log_softmax(dim=1).float())

    def in_exams(
        self, said: NDArray[np.float32], label: NDArray[np.int64], settings: TrainSettings, *, order: bool
    ) -> NDArray[np.float32]:
        """Log-probabilities (n, k), each clip given its exam; exams are learned from those of training."""
        exams = settings.exams.model_copy(update={"order": order})
        known = np.where(self.clips.split == "train", self.clips.agent, -1)
        return answers_in_exams(
            said,
            replace(self.clips, label=label),
            settings.model_copy(update={"exams": exams}),
            with_agent=told_agent(self.mean, known, settings),
        )


def answers(
    features: Features, label: NDArray[np.int64], names: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """What each way says of all clips: its name and (n, k) log-probabilities."""
    for name in names:
        settings = TAUGHT[name]
        classifier = features.teach(settings, label)
        said = features.said(classifier)
        yield name, said
        if name in IN_EXAMS:
            yield f"{name}, one frame a clip", features.said(classifier, one_window=True)
            for order, words in ((False, "whole exam, without order"), (True, "whole exam")):
                yield f"{name}, {words}", features.in_exams(said, label, settings, order=order)


def figures(confusion: metrics.Counts) -> metrics.Figures:
    """F1 of rare and of common views, (…, 2)."""
    return np.stack([metrics.mean_f1(confusion, IS_RARE), metrics.mean_f1(confusion, ~IS_RARE)], axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument(
        "--encoders", type=Path, nargs="+", required=True, help="run folders of pre-trainings"
    )
    parser.add_argument("--split", default="validation", choices=["validation", "test"], help="who judges")
    parser.add_argument("--budgets", type=int, nargs="+", default=[1, 5], help="patients a rare view")
    parser.add_argument("--common", type=int, default=50, help="patients of every other view")
    parser.add_argument("--draws", type=int, default=5)
    others = [name for name in TAUGHT if name != REFERENCE]
    parser.add_argument("--beside", nargs="+", choices=others, default=others, help="the default: what else")
    options = parser.parse_args()
    clips = load_clips(options.frames, options.catalogue, standard_vocabulary()).in_split(
        "train", options.split
    )
    judge = clips.split == options.split
    every = [Features(clips, encoder) for encoder in options.encoders]
    known = catalogue_of(clips)
    for budget in options.budgets:
        found: dict[str, list[NDArray[np.int64]]] = {}
        for draw in range(options.draws):
            few = limit_labels(known, dict.fromkeys(RARE, budget), default=options.common, seed=draw)
            kept = few["view"].is_not_null().to_numpy() & ~judge
            label = np.where(kept, clips.label, -1)
            for features in every:
                for name, said in answers(features, label, [REFERENCE, *options.beside]):
                    confusion = patient_confusions(
                        clips.label[judge], said[judge].argmax(axis=1), clips.patient[judge], len(VIEWS)
                    )
                    found.setdefault(name, []).append(confusion)
        drawn = {name: bootstrap(np.stack(each), figures) for name, each in found.items()}
        rows = [["", "rare", "common", "rare − default"]]
        for name, one in drawn.items():
            rare, common = percentile_intervals(one)
            gain = percentile_intervals(difference(one, drawn[REFERENCE]))[0]
            rows.append(
                [
                    name,
                    with_interval(rare),
                    with_interval(common),
                    "" if name == REFERENCE else with_sign(gain),
                ]
            )
        patients = len(np.unique(clips.patient[judge]))
        print(
            f"\n{budget} labelled patients a rare view, {options.common} of the others; "
            f"{options.draws} draws × {len(every)} encoders; {patients} {options.split} patients\n"
            f"{table(rows)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
