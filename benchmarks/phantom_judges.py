"""How hard the phantom is, and whether a view can be told from what is no anatomy: figures with chance.

Every function takes arrays or a `Lab`, so that `phantom_difficulty.py` and the tests ask the same questions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from apical.demo import RARE
from apical.judge import metrics
from apical.judge.intervals import (
    Interval,
    bootstrap,
    draw_patients,
    patient_confusions,
    percentile_intervals,
)
from apical.learn.augment import plain
from apical.learn.backbones import build_encoder
from apical.learn.classifier import Classifier, classify_clips, classify_windows
from apical.learn.clips import Clips, codes
from phantom_lab import NETWORK, VIEWS, Lab, clip_means

IS_RARE = np.isin(VIEWS, RARE)
FIGURES = ("accuracy", "macro F1", "rare F1", "common F1")
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # scikit-learn's C, chosen on validation patients
PIXELS = 32  # side of the crops that linear classifiers see
COMPONENTS = 32  # of many features, for gradient boosting

Learner = Callable[[NDArray[Any], NDArray[np.int64], NDArray[np.str_]], NDArray[np.float64]]
"""From features (r, d), labels (r,) and splits (r,) to log-probabilities (r, views) of all rows."""


@dataclass(frozen=True)
class Chance:
    """A figure of answers that are right by chance only.

    Attributes:
        mean: over permutations.
        upper: 95 % of the permutations give less.
        upper_two_sided: 97.5 % give less.
    """

    mean: float
    upper: float
    upper_two_sided: float


def figures_of(confusion: metrics.Counts) -> metrics.Figures:
    """(…, 4): FIGURES of confusion matrices (…, k, k)."""
    return np.stack(
        [
            metrics.accuracy(confusion),
            metrics.macro_f1(confusion),
            metrics.mean_f1(confusion, IS_RARE),
            metrics.mean_f1(confusion, ~IS_RARE),
        ],
        axis=-1,
    )


def judge(
    said: Sequence[NDArray[np.int64]], label: NDArray[np.int64], patient: NDArray[Any]
) -> dict[str, Interval]:
    """FIGURES with 95 % intervals over patients, averaged over seeds: (n,) answers each."""
    counts = np.stack([patient_confusions(label, one, patient, len(VIEWS)) for one in said])
    intervals = percentile_intervals(bootstrap(counts, figures_of))
    return dict(zip(FIGURES, intervals, strict=True))


def chance(
    said: NDArray[np.int64],
    label: NDArray[np.int64],
    patient: NDArray[Any],
    *,
    permutations: int = 1000,
    seed: int = 0,
) -> dict[str, Chance]:
    """What the same answers would reach if they had nothing to do with the views.

    True views are permuted among the clips of each patient, so that what a patient's clips have in common
    (machine, which views were taken) stays, and answers that only follow the frequent views gain nothing.
    """
    generator = np.random.default_rng(seed)
    code = codes(patient)
    by_patient = np.argsort(code, kind="stable")
    views = len(VIEWS)
    confusions = np.empty((permutations, views, views))
    for number in range(permutations):
        shuffled = np.lexsort((generator.random(len(code)), code))
        cells = label[shuffled] * views + said[by_patient]
        confusions[number] = np.bincount(cells, minlength=views**2).reshape(views, views)
    figures = figures_of(confusions)
    limits = np.quantile(figures, [0.95, 0.975], axis=0)
    columns = zip(FIGURES, figures.mean(axis=0), *limits, strict=True)
    return {name: Chance(float(mean), float(one), float(two)) for name, mean, one, two in columns}


def linear(
    features: NDArray[Any], label: NDArray[np.int64], split: NDArray[np.str_], components: int | None = None
) -> NDArray[np.float64]:
    """Multinomial logistic regression, of `components` principal components if given. A `Learner`."""
    train, validation = split == "train", split == "validation"
    scaled = StandardScaler().fit(features[train]).transform(features).astype(np.float32)
    if components is not None:
        components = min(components, train.sum() - 1)  # of a handful of patients there are fewer
        scaled = PCA(components, whiten=True, random_state=0).fit(scaled[train]).transform(scaled)
    best, answers = -1.0, np.empty(0)
    for penalty in PENALTIES:
        with warnings.catch_warnings():  # the loosest penalties need not converge to be the best
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=penalty, max_iter=200).fit(scaled[train], label[train])
        right = float(model.score(scaled[validation], label[validation]))
        if right > best:
            best, answers = right, _all_views(model, scaled)
    return answers


def boosted(features: NDArray[Any], label: NDArray[np.int64], split: NDArray[np.str_]) -> NDArray[np.float64]:
    """Gradient boosting, of principal components where there are many features. A `Learner`."""
    train = split == "train"
    if features.shape[1] > 2 * COMPONENTS:
        reduction = make_pipeline(StandardScaler(), PCA(COMPONENTS, random_state=0)).fit(features[train])
        features = reduction.transform(features)
    model = HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=8, min_samples_leaf=10, early_stopping=False, random_state=0
    )
    return _all_views(model.fit(features[train], label[train]), features)


def _all_views(model: Any, features: NDArray[Any]) -> NDArray[np.float64]:
    """Log-probabilities (r, views); views that were not taught are as good as impossible."""
    answers = np.full((len(features), len(VIEWS)), -100.0)
    answers[:, model.classes_] = np.log(model.predict_proba(features) + 1e-12)
    return answers


def small_pixels(clips: Clips) -> NDArray[np.float32]:
    """(N, PIXELS²): crops as features."""
    crops = [cv2.resize(crop, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA) for crop in clips.frames]
    return np.asarray(np.stack(crops).reshape(len(crops), -1) / np.float32(255), np.float32)


def pixel_answers(lab: Lab, components: int | None = None) -> NDArray[np.int64]:
    """(n,): what a linear classifier of the cropped pixels says of each clip, taught by all labels."""
    frame = lab.of_frame
    logs = linear(small_pixels(lab.clips), lab.clips.label[frame], lab.clips.split[frame], components)
    return np.asarray(clip_means(logs, lab.clips).argmax(axis=1))


def shortcut_features(lab: Lab) -> dict[str, NDArray[np.float64]]:
    """Features (n, d) that hold no anatomy, by name.

    The order of acquisition is no input of anything here, and tells views apart in real exams, too.
    """
    flat = {name: getattr(lab, name).reshape(len(lab.clips), -1) / 255.0 for name in ("surround", "outline")}
    return {
        "screen without the sector": flat["surround"],
        "outline of the sector": np.hstack([flat["outline"], lab.box]),
        "grey histogram of the sector": clip_means(lab.histogram, lab.clips),
        "header without the scale": lab.header,
        "header with the scale": np.hstack([lab.header, lab.pixel_mm[:, None]]),
        "number of the clip in its exam": lab.number[:, None].astype(np.float64),
    }


def shortcut_answers(lab: Lab, features: NDArray[np.float64], learner: Learner) -> NDArray[np.int64]:
    """(n,): what a classifier of shortcut features says of each clip, taught by all labels."""
    return np.asarray(learner(features, lab.clips.label, lab.clips.split).argmax(axis=1))


def network_answers(
    classifier: Classifier, clips: Clips, input_size: int, among: Sequence[int] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What a network says of each clip (n,) and of each frame (N,), frames in the order of clips.

    Where only some views come into question, answers count `among` those.
    """
    cpu = torch.device("cpu")
    views = np.arange(len(classifier.taught)) if among is None else np.array(among)
    by_clip = classify_clips(classifier, clips, input_size, cpu).log_probabilities[:, views].argmax(axis=1)
    _, logits = classify_windows(classifier, clips.frames[frame_rows(clips)][:, None], input_size, cpu)
    return by_clip, logits[:, views].argmax(dim=1).numpy()


def frame_rows(clips: Clips) -> NDArray[np.int64]:
    """Rows of all frames of clips, in order."""
    spans = zip(clips.first, clips.count, strict=True)
    return np.concatenate([np.arange(first, first + count) for first, count in spans])


@torch.inference_mode()
def random_features(lab: Lab, seed: int) -> NDArray[np.float32]:
    """(n, d): an untrained encoder's features of each clip's middle frame, each of unit variance."""
    torch.manual_seed(seed)
    encoder = build_encoder(NETWORK).eval()
    frames = torch.from_numpy(lab.clips.frames[lab.clips.first + lab.clips.count // 2])
    features = torch.cat([encoder(plain(part[:, None], frames.shape[-1])) for part in frames.split(256)])
    return np.asarray((features - features.mean(0)) / (features.std(0) + 1e-9))


def neighbours(lab: Lab, features: NDArray[np.float32]) -> dict[str, tuple[Interval, float]]:
    """How often the nearest other clip shares something, and how often a random other clip would.

    Patient: among all other clips. Machine and view: among those of other patients, since a patient has one
    machine. Intervals over patients.
    """
    clips = lab.clips
    square = (features.astype(np.float64) ** 2).sum(axis=1)
    distance = square[:, None] + square[None] - 2 * features.astype(np.float64) @ features.T
    np.fill_diagonal(distance, np.inf)
    own = clips.patient[:, None] == clips.patient[None]
    elsewhere = np.where(own, np.inf, distance)
    shared = {}
    for name, value, far, allowed in (
        ("same patient", codes(clips.patient), distance, ~np.eye(len(clips), dtype=bool)),
        ("same machine", lab.machine, elsewhere, ~own),
        ("same view", clips.label, elsewhere, ~own),
    ):
        hit = value[far.argmin(axis=1)] == value
        alike = (value[:, None] == value[None]) & allowed
        expected = float((alike.sum(axis=1) / allowed.sum(axis=1)).mean())
        shared[name] = (_share(hit, codes(clips.patient)), expected)
    return shared


def _share(hit: NDArray[np.bool_], patient: NDArray[np.int64]) -> Interval:
    """Mean of hits (n,) with its 95 % interval over patients."""
    hits, clips = np.bincount(patient, weights=hit), np.bincount(patient)
    weights = next(draw_patients(len(clips), 2000, 0))
    low, high = np.quantile((weights @ hits) / (weights @ clips), [0.025, 0.975])
    return Interval(float(hit.mean()), float(low), float(high), 2000)
