"""Whole exams: what the clips of a study tell of each other, for targets and for answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apical.config import ExamSettings
from apical.learn.clips import Clips
from apical.learn.decoding import ExamPrior, decode, fit_prior
from apical.learn.doubt import believed_labels

Values = NDArray[np.float64]

LEAST = 1e-4  # of a view's probability, before an exam is looked at: nobody is as sure as a softmax


def has_exams(clips: Clips) -> bool:
    """Whether any study has two clips or more."""
    study = clips.study_code
    return len(np.unique(study[study >= 0])) < int((study >= 0).sum())


def learn_exams(
    log_probabilities: NDArray[np.float32],
    clips: Clips,
    settings: ExamSettings,
    log_prior: Values | None = None,
    temperature: float = 1.0,
) -> ExamPrior:
    """What exams are like, from what is said of their clips, (n, k), and labels where there are any.

    `log_prior` (k,) are the shares of views in which the classifier believes; None if they are equal.
    """
    return fit_prior(
        softened(log_probabilities, temperature),
        clips.study_code,
        _order(clips, settings),
        label=clips.label,
        log_prior=log_prior,
    )


def name_exams(
    log_probabilities: NDArray[np.float32],
    clips: Clips,
    prior: ExamPrior,
    settings: ExamSettings,
    temperature: float = 1.0,
) -> Values:
    """Log-probabilities (n, k) of clips, each given its whole exam; those without a study are `softened`."""
    named = decode(
        softened(log_probabilities, temperature),
        clips.study_code,
        _order(clips, settings),
        prior,
        strength=settings.strength,
    )
    alone = clips.study_code < 0
    named[alone] = softened(log_probabilities)[alone]
    return named


def exam_targets(
    log_probabilities: NDArray[np.float32],
    clips: Clips,
    settings: ExamSettings,
    log_prior: Values | None = None,
) -> Values:
    """Probabilities (n, k) to learn from: what is said, exam by exam, and labels where there are any.

    Labels are taken as they are, or with `doubt` as far as they are believed (`believed_labels`).
    """
    said = np.exp(log_probabilities.astype(np.float64))
    if settings.teach and has_exams(clips):
        prior = learn_exams(log_probabilities, clips, settings, log_prior)
        said = np.exp(name_exams(log_probabilities, clips, prior, settings))
    said /= said.sum(axis=1, keepdims=True)
    known = clips.label >= 0
    said[known] = (
        believed_labels(said[known], clips.label[known])[0]
        if settings.doubt
        else np.eye(said.shape[1])[clips.label[known]]
    )
    return np.asarray(said)


def softened(log_probabilities: NDArray[np.float32], temperature: float = 1.0) -> Values:
    """Log-probabilities (n, k), divided by the temperature and made to add up to 1 again.

    None is below log `LEAST`, but for views that are never answered.
    """
    never = (log_probabilities < -1e3).all(axis=0)
    values = log_probabilities.astype(np.float64) / temperature
    values -= np.logaddexp.reduce(values, axis=1, keepdims=True)
    raised = np.where(never, values, np.logaddexp(values, np.log(LEAST)))
    return np.asarray(raised - np.logaddexp.reduce(raised, axis=1, keepdims=True))


def _order(clips: Clips, settings: ExamSettings) -> NDArray[np.int64]:
    return clips.order if settings.order else np.full(len(clips), -1)
