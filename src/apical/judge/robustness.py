"""What a method's figures become when the judged clips' pictures get worse.

Each corruption is laid on the frames of every judged clip, the classifier is asked again, and its figures are
compared with those on the frames as they are, on the same draws of patients. Nothing is trained or
calibrated anew. See `apical.judge.corruptions` for what is done, and for its limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from apical.config import JudgeSettings
from apical.judge import metrics
from apical.judge.again import Change, Witness, ask
from apical.judge.corruptions import CORRUPTIONS, corrupt
from apical.judge.intervals import (
    KINDS,
    Bootstrap,
    Interval,
    Statistic,
    bootstrap,
    difference,
    patient_confusions,
    patient_sums,
)

CLEAN = "none"
STEPS = (1, 3, 5)


@dataclass(frozen=True)
class Robustness:
    """Figures of clips under one corruption, averaged over training seeds, with intervals over patients.

    Attributes:
        corruption: one of `apical.judge.corruptions.CORRUPTIONS`; `CLEAN` for the frames as they are.
        severity: 1 to 5; 0 for the frames as they are.
        macro_f1: 0 … 1.
        accuracy: 0 … 1.
        confidence: mean probability of the named views, 0 … 1. Where it falls less than the accuracy, the
            classifier does not notice.
        macro_f1_change: minus that of the frames as they are, on the same draws of patients.
        accuracy_change: likewise.
        confidence_change: likewise.
    """

    corruption: str
    severity: int
    macro_f1: Interval
    accuracy: Interval
    confidence: Interval
    macro_f1_change: Interval
    accuracy_change: Interval
    confidence_change: Interval


def judge_robustness(
    witnesses: Sequence[Witness],
    settings: JudgeSettings = JudgeSettings(),
    *,
    severities: Sequence[int] = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Robustness]:
    """Figures under every corruption at every severity; the first row is of the frames as they are.

    Every training seed is asked about the same corrupted frames: what is drawn goes by the clip's number.

    Args:
        witnesses: of one method, one a training seed, from `apical.judge.again.call_witnesses`.
        settings: resamples, confidence, seed and kind of interval.
        severities: 1 to 5 each.
        progress: called with how many times all clips were asked about, and how many times in all.

    Raises:
        WrongCall: there is no such severity.
    """
    rounds = [(CLEAN, 0), *((name, severity) for name in CORRUPTIONS for severity in severities)]
    limits = KINDS[settings.interval]
    rows: list[Robustness] = []
    clean: Bootstrap | None = None
    for number, (name, severity) in enumerate(rounds):
        change: Change | None = partial(_corrupt, name, severity) if severity else None
        tables = []
        for done, witness in enumerate(witnesses, start=number * len(witnesses) + 1):
            tables.append(_table(witness, ask(witness, change).pooled()))
            if progress is not None:
                progress(done, len(rounds) * len(witnesses))
        views = len(witnesses[0].judged.views)
        drawn = bootstrap(np.stack(tables), _figures(views), resamples=settings.resamples, seed=settings.seed)
        clean = clean or drawn
        figures = limits(drawn, settings.confidence)
        changes = limits(difference(drawn, clean), settings.confidence)
        rows.append(Robustness(name, severity, *figures, *changes))
    return rows


def _corrupt(name: str, severity: int, frames: NDArray[np.uint8], clip: int) -> NDArray[np.uint8]:
    return corrupt(frames, name, severity, seed=clip)


def _table(witness: Witness, log_probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """(P, k² + 1): each patient's confusion matrix, laid flat, and the sum of its clips' confidences."""
    judged, views = witness.judged, len(witness.judged.views)
    named = log_probabilities.argmax(axis=1)
    confusions = patient_confusions(judged.label, named, judged.patient, views)
    confidence = np.exp(log_probabilities.max(axis=1, keepdims=True))
    sums = patient_sums(confidence, judged.patient)
    return np.concatenate([confusions.reshape(len(confusions), -1), sums], axis=1)


def _figures(views: int) -> Statistic:
    """Macro F1, accuracy and mean confidence of sums of such tables (…, k² + 1)."""

    def statistic(tables: metrics.Counts) -> metrics.Figures:
        confusion = tables[..., :-1].reshape(*tables.shape[:-1], views, views)
        confidence = tables[..., -1] / confusion.sum((-2, -1))
        return np.stack([metrics.macro_f1(confusion), metrics.accuracy(confusion), confidence], axis=-1)

    return statistic
