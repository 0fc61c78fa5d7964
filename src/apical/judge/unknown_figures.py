"""How well clips that show none of the views are told from judged clips of the taught views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apical.config import JudgeSettings
from apical.judge.intervals import (
    Bootstrap,
    Interval,
    bootstrap,
    expanded_intervals,
    patient_sums,
)
from apical.judge.metrics import Counts, Figures
from apical.judge.probabilities import of_taught_views
from apical.judge.unknown import UnknownDetector, fit_unknown, told_apart
from apical.judge.unknown_scores import (
    Gaussians,
    Scores,
    directions,
    fit_gaussians,
    max_softmax,
    neighbour,
    relative_mahalanobis,
)
from apical.learn.clips import SHOWS_NONE
from apical.learn.predictions import Predictions

DEFAULT = "distance to the views' clips"
REFUSED = 0.05
"""Share of held-out clips of taught views that may be called unknown, here and in a bundle."""


@dataclass(frozen=True)
class Apart:
    """How well one score tells the two kinds apart: AUROC, and the share of unknown clips that passes."""

    auroc: Interval
    fpr: Interval


@dataclass(frozen=True)
class UnknownFigures:
    """Figures of one method, averaged over its training seeds.

    Attributes:
        clips: how many judged clips are labelled to show none of the views.
        patients: of how many patients.
        default: the score that a bundle goes by.
        scores: figures of each score.
        caught: share of those clips that is called unknown, by the threshold of a bundle.
        refused: share of the judged clips of taught views that is.
    """

    clips: int
    patients: int
    default: str
    scores: dict[str, Apart]
    caught: Interval
    refused: Interval


def judge_unknown(runs: Sequence[Predictions], split: str, settings: JudgeSettings) -> UnknownFigures | None:
    """Fit a detector for each run as a bundle does; look at judged clips of views that all were taught.

    Args:
        runs: all answers of one method, one `Predictions` a training seed.
        split: whose clips to judge on.
        settings: resamples, confidence and seed.

    Returns:
        None where no judged clip is labelled to show none of the views, or no detector can be fitted.
    """
    everywhere = set.intersection(*(set(_judged(run, split).clip.tolist()) for run in runs))
    both = [
        clips.select(np.isin(clips.clip, list(everywhere))) for clips in (_judged(run, split) for run in runs)
    ]
    first = both[0]
    unknown = first.label == SHOWS_NONE
    if not unknown.any() or not all(_can_be_fitted(run) for run in runs):
        return None
    detectors = [detector_of(run) for run in runs]
    by_way = [_scores(run, clips, each) for run, clips, each in zip(runs, both, detectors, strict=True)]
    scores = {
        name: _apart([of_seed[name] for of_seed in by_way], unknown, first, settings) for name in by_way[0]
    }
    called = np.stack(
        [detector.unknown(clips.features) for clips, detector in zip(both, detectors, strict=True)]
    )
    caught, refused = _shares(called, unknown, first, settings)
    return UnknownFigures(
        clips=int(unknown.sum()),
        patients=len(np.unique(first.patient[unknown])),
        default=DEFAULT,
        scores=scores,
        caught=caught,
        refused=refused,
    )


def detector_of(run: Predictions) -> UnknownDetector:
    """The detector of a run: labelled training clips teach it, validation clips set its threshold.

    Raises:
        CannotDo: there are too few of either.
    """
    teaching = _teaching(run)
    held_out = of_taught_views(run, "validation")
    return fit_unknown(teaching.features, teaching.label, held_out.features, refused=REFUSED)


def _scores(run: Predictions, clips: Predictions, detector: UnknownDetector) -> dict[str, Scores]:
    """Of the judged clips by the detector and, to compare it with, by other published scores."""
    labelled = directions(_teaching(run).features)
    views = Gaussians(detector.means, detector.precision)
    x = directions(clips.features)
    return {
        DEFAULT: detector.score(clips.features),
        "that, less the distance to the mean of all labelled clips": relative_mahalanobis(
            x, views, fit_gaussians(labelled, np.zeros(len(labelled), np.int64))
        ),
        "distance to the nearest labelled clip": neighbour(clips.features, labelled, 1),
        "one minus the largest probability": max_softmax(clips.log_probabilities),
    }


def _teaching(run: Predictions) -> Predictions:
    return run.select((run.split == "train") & (run.label >= 0))


def _can_be_fitted(run: Predictions) -> bool:
    taught = run.label[(run.split == "train") & (run.label >= 0)]
    return bool(run.features.shape[1] and len(taught) > 1 and len(of_taught_views(run, "validation")))


def _judged(run: Predictions, split: str) -> Predictions:
    """Clips of the split that show a taught view, or are labelled to show none, sorted by clip id."""
    taught = of_taught_views(run, split).clip
    rows = np.flatnonzero(np.isin(run.clip, taught) | ((run.split == split) & (run.label == SHOWS_NONE)))
    return run.select(rows[np.argsort(run.clip[rows])])


def _apart(
    scores: Sequence[Scores], unknown: NDArray[np.bool_], clips: Predictions, settings: JudgeSettings
) -> Apart:
    drawn = [
        told_apart(
            score, unknown.astype(np.int64), clips.patient, resamples=settings.resamples, seed=settings.seed
        )
        for score in scores
    ]
    mean = Bootstrap(
        np.mean([one.value for one in drawn], axis=0),
        np.mean([one.samples for one in drawn], axis=0),
        drawn[0].patients,
        drawn[0].seed,
    )
    return Apart(*expanded_intervals(mean, settings.confidence))


def _shares(
    called: NDArray[np.bool_], unknown: NDArray[np.bool_], clips: Predictions, settings: JudgeSettings
) -> tuple[Interval, Interval]:
    """Shares called unknown of unknown clips and of the others, for calls (s, n)."""
    kinds = np.stack([unknown, ~unknown], axis=1)
    tables = [
        patient_sums(np.stack([kinds & each[:, None], kinds], axis=2), clips.patient) for each in called
    ]

    def statistic(sums: Counts) -> Figures:
        undefined = np.full(sums.shape[:-1], np.nan)
        return np.asarray(np.divide(sums[..., 0], sums[..., 1], out=undefined, where=sums[..., 1] > 0))

    drawn = bootstrap(np.stack(tables), statistic, resamples=settings.resamples, seed=settings.seed)
    caught, refused = expanded_intervals(drawn, settings.confidence)
    return caught, refused
