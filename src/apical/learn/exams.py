"""Whole exams: what the clips of a study tell of each other, for targets and for answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apical.config import ExamSettings
from apical.learn.clips import Clips
from apical.learn.decoding import decode, fit_prior
from apical.learn.doubt import believed_labels

Values = NDArray[np.float64]

LEAST = 1e-4  # of a view's probability, before an exam is looked at: nobody is as sure as a softmax
ADDED_SHARE = 1e-3  # to each view's share of the answers for clips with contrast agent
FEWEST_EXAMS = 5  # with clips with contrast agent, or they stay among the others


def has_exams(clips: Clips) -> bool:
    """Whether any study has two clips or more."""
    return exams_in(clips) > 0


def exams_in(clips: Clips) -> int:
    """How many studies have two clips or more."""
    study = clips.study_code
    return int((np.bincount(study[study >= 0]) > 1).sum())


def exam_code(clips: Clips, with_agent: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,) equal for the clips of an exam, those with contrast agent being one of their own; -1 without."""
    study = clips.study_code
    return np.where(study < 0, -1, 2 * study + with_agent)


def name_exams(
    log_probabilities: NDArray[np.float32],
    clips: Clips,
    settings: ExamSettings,
    *,
    with_agent: NDArray[np.bool_],
    teaching: NDArray[np.bool_] | None = None,
    log_prior: Values | None = None,
    temperature: float = 1.0,
) -> Values:
    """Log-probabilities (n, k) of clips, each given its whole exam; those without a study are `softened`.

    What exams are like is learned from what is said of their clips, and labels where there are any.

    Clips with contrast agent are filmed after the others, once more, and of fewer views. What those parts of
    exams are like is learned from them alone, if there are `FEWEST_EXAMS`. For their order of filming the
    shares in which the classifier believes are those of its answers there: it knows few labels with agent,
    and names too many clips by them (docs/study.md).

    Args:
        log_probabilities: (n, k).
        clips: n, with labels or without.
        settings: of exams.
        with_agent: (n,) clips with contrast agent.
        teaching: (n,) clips from which it is learned; all by default.
        log_prior: (k,) logarithms of the shares in which the classifier believes; None if they are equal.
        temperature: by which log-probabilities are divided first.
    """
    study = clips.study_code
    order = clips.order if settings.order else np.full(len(clips), -1)
    teaching = np.ones(len(clips), bool) if teaching is None else teaching
    if exams_in(clips.select(with_agent & teaching)) < FEWEST_EXAMS:
        with_agent = np.zeros(len(clips), bool)
    said = softened(log_probabilities, temperature)
    named = np.where((study < 0)[:, None], softened(log_probabilities), said)
    for agent in (False, True):
        kind = (with_agent == agent) & (study >= 0)
        known = kind & teaching
        if not has_exams(clips.select(known)):
            continue
        shares = np.log(np.exp(said[known]).mean(axis=0) + ADDED_SHARE) if agent else log_prior
        prior = fit_prior(said[known], study[known], order[known], label=clips.label[known], log_prior=shares)
        named[kind] = decode(said[kind], study[kind], order[kind], prior, strength=settings.strength)
    return named


def exam_targets(
    log_probabilities: NDArray[np.float32],
    clips: Clips,
    settings: ExamSettings,
    *,
    with_agent: NDArray[np.bool_],
    log_prior: Values | None = None,
) -> Values:
    """Probabilities (n, k) to learn from: what is said, exam by exam, and labels where there are any.

    Labels are taken as they are, or with `doubt` as far as they are believed (`believed_labels`).
    """
    said = np.exp(log_probabilities.astype(np.float64))
    if settings.teach and has_exams(clips):
        said = np.exp(
            name_exams(log_probabilities, clips, settings, with_agent=with_agent, log_prior=log_prior)
        )
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
