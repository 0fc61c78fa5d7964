"""From the labels so far to what the page shows: guesses, what to label next, likely errors, figures.

Guesses are of a linear layer taught by labels that spread over a graph of clips and by whole exams
(`apical.learn.probe.propagated_answers`). Their probabilities are not calibrated: that layer learns targets
that are unsure, and what it says is sharpened by the temperature of whole exams (`ExamSettings`). On a
phantom they were then off by 4 to 7 points (without, by 15 to 19), less sure than right.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from apical.config import TrainSettings
from apical.label.advice import NO_GUESS, TEACHING, Advice, Known, Pick, Rows, Suspicion
from apical.label.estimate import estimate, most_help
from apical.learn.clips import SHOWS_NONE, Clips
from apical.learn.next_labels import CENTRE, choose, has_enough, likeness_of_nearest, reason
from apical.learn.probe import probe_answers, propagated_answers
from apical.learn.suspects import cross_fitted, likely_wrong, suspicion

POOL = 2500
"""Clips without a label over which labels are spread; more take longer than they are worth.

Of 20,000 clips with 200 labels a plain probe named 81.4 % rightly; labels spread over 1,000 others 84.7 % (in
2.4 s on one core), over 2,500 85.5 % (3.1 s), over 5,000 85.1 % (4.3 s). Over all of them it takes 17 s.
"""
PICKS = 200
ENOUGH = 12  # labels a view from which uncertainty decides; with 5 it was no better than at random
AHEAD = 12  # of these, that are labelled before there is newer advice, about
OF_A_VIEW = 100  # rows that are listed as likely of a view

Answers = NDArray[np.float64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Ground:
    """What does not change when labels do.

    Attributes:
        features: (n, d).
        clips: what is known of them but labels; no frame is read.
        offered: rows that may be proposed.
        likeness: of these, see `apical.learn.next_labels.likeness_of_nearest`.
        names: the views.
        seed: fixes every draw.
    """

    features: Vectors
    clips: Clips
    offered: Rows
    likeness: Answers
    names: tuple[str, ...]
    seed: int = 0

    @classmethod
    def of(
        cls,
        features: Vectors,
        clips: Clips,
        names: tuple[str, ...],
        *,
        splits: tuple[str, ...] = TEACHING,
        seed: int = 0,
        likeness: Answers | None = None,
    ) -> Ground:
        """Find what is wanted; `likeness` is taken as it is where it is known already."""
        offered = offered_rows(clips, splits)
        if likeness is None:
            likeness = likeness_of_nearest(features[offered], clips.patient_code[offered], centre=CENTRE)
        return cls(features, clips, offered, likeness, names, seed)


def offered_rows(clips: Clips, splits: tuple[str, ...]) -> Rows:
    """Rows of the clips that may be proposed: those of these splits, "" for clips without one."""
    return np.flatnonzero(np.isin(clips.split, splits))


def advise(ground: Ground, known: Known, *, network: tuple[str, Answers] | None = None) -> Advice:
    """All that the labels so far suggest: `suggest`, and `judged`."""
    return judged(ground, known, suggest(ground, known, network=network))


def suggest(ground: Ground, known: Known, *, network: tuple[str, Answers] | None = None) -> Advice:
    """Guesses and what to label next, without figures: quick.

    Args:
        ground: the clips.
        known: the labels. Those of validation and test patients teach nothing.
        network: the name of a fine-tuned network and its log-probabilities (n, k): then the guesses are its
            own. What to label next still is the probe's affair.
    """
    begun = time.monotonic()
    clips, label = _taught(ground, known)
    answers = _answers(ground, clips, label, np.ones(len(clips), bool))
    model, said = (f"probe {known.version}", _sharpened(answers)) if network is None else network
    guess, probability, second = _likeliest(said, len(clips))
    return Advice(
        version=known.version,
        labels=int((label >= 0).sum()),
        model=model,
        guess=guess,
        probability=probability,
        second=second,
        picks=_picks(ground, known.label, answers),
        by_view=_by_view(ground, known.label, said),
        suspects=[],
        estimate=None,
        help=[],
        seconds=time.monotonic() - begun,
    )


def judged(ground: Ground, known: Known, advice: Advice) -> Advice:
    """Advice with suspects, estimate and help, from cross-validation over patients.

    They are never a fine-tuned network's, which has seen the labels that it would judge.
    """
    begun = time.monotonic()
    clips, label = _taught(ground, known)
    if not (label >= 0).any():
        return advice
    held_out = _held_out(ground, clips, label)
    figures = estimate(held_out, label, clips.patient_code, ground.names, ground.seed)
    return replace(
        advice,
        suspects=_suspects(held_out, label),
        estimate=figures,
        help=most_help(figures),
        seconds=advice.seconds + time.monotonic() - begun,
    )


def with_figures_of(before: Advice, advice: Advice) -> Advice:
    """Advice with the figures and suspects of earlier labels, until its own are there."""
    return replace(advice, suspects=before.suspects, estimate=before.estimate, help=before.help)


def _taught(ground: Ground, known: Known) -> tuple[Clips, Rows]:
    """The clips with what is known of them, and the labels that teach, (n,)."""
    clips = replace(ground.clips, label=known.label, agent=known.agent)
    return clips, np.where(np.isin(clips.split, TEACHING), known.label, -1)


def _answers(ground: Ground, clips: Clips, label: Rows, asked: NDArray[np.bool_]) -> Answers | None:
    """Log-probabilities (n, k) of the clips that are asked about, else -inf; None without two views."""
    if len(np.unique(label[label >= 0])) < 2:
        return None
    pool = taught_from(clips, label, ground.seed)
    chosen = asked | pool
    answers = np.full((len(clips), len(ground.names)), -np.inf)
    answers[chosen] = propagated_answers(
        ground.features[chosen],
        replace(clips, label=label).select(chosen),
        TrainSettings(),
        views=len(ground.names),
        teaching=pool[chosen],
    )
    return answers


def taught_from(clips: Clips, label: Rows, seed: int) -> NDArray[np.bool_]:
    """The clips over which labels are spread, (n,): those with a label, and up to `POOL` others.

    The others are whole patients' but for the last's, those with labels first, then at random. Clips known to
    show none of the views have no part, as in `apical.learn.train`.
    """
    free = np.isin(clips.split, TEACHING) & (label == -1)
    patient = clips.patient_code
    turn = np.random.default_rng(seed).permutation(patient.max(initial=-1) + 1)
    has_label = np.isin(patient, patient[label >= 0])
    order = np.lexsort((turn[patient], ~has_label, ~free))
    pool = label >= 0
    pool[order[: min(POOL, int(free.sum()))]] = True
    return np.asarray(pool)


def _held_out(ground: Ground, clips: Clips, label: Rows) -> Answers:
    """What is said of labelled clips without the labels of their patients, (n, k)."""
    patient = clips.patient_code
    asked = np.isin(patient, patient[label >= 0])

    def answer(others: Rows) -> Answers:
        found = _answers(ground, clips, others, asked)
        return np.full((len(clips), len(ground.names)), -np.inf) if found is None else found

    return cross_fitted(answer, label, patient, views=len(ground.names))


def _sharpened(answers: Answers | None) -> Answers | None:
    if answers is None:
        return None
    sharp = answers / TrainSettings().exams.temperature
    return np.asarray(sharp - np.logaddexp.reduce(sharp, axis=1, keepdims=True))


def _likeliest(said: Answers | None, clips: int) -> tuple[Rows, NDArray[np.float32], Rows]:
    """The likeliest view of each clip (n,), its probability, and the next likeliest."""
    if said is None:
        nobody = np.full(clips, NO_GUESS, np.int64)
        return nobody, np.zeros(clips, np.float32), nobody.copy()
    second, first = np.argsort(said, axis=1, kind="stable")[:, -2:].T
    return first, np.exp(said[np.arange(clips), first]).astype(np.float32), second


def _picks(ground: Ground, label: Rows, answers: Answers | None) -> list[Pick]:
    """Clips to label next, with reasons."""
    rows = ground.offered
    said = None if answers is None or not has_enough(label[rows], ENOUGH) else answers[rows]
    picks = choose(
        ground.features[rows],
        ground.clips.patient_code[rows],
        label[rows],
        PICKS,
        log_probabilities=said,
        centre=CENTRE,
        seed=ground.seed,
        likeness=ground.likeness,
        ahead=AHEAD,
        shows_view=_shows_view(ground.features[rows], label[rows], len(ground.names)),
    )
    return [Pick(int(rows[pick.row]), reason(pick, said, ground.names)) for pick in picks]


def _shows_view(features: Vectors, label: Rows, views: int) -> Answers | None:
    """Probability that clips show any of the views, (n,), by a probe that knows one more: none of them.

    None while no clip is known to show none. The chooser would ask for such clips again and again, since no
    label makes the classifier sure of them.
    """
    known = (label >= 0) | (label == SHOWS_NONE)
    if not (label == SHOWS_NONE).any() or not (label >= 0).any():
        return None
    said = probe_answers(
        features[known],
        np.where(label[known] == SHOWS_NONE, views, label[known]),
        features,
        views=views + 1,
        penalty=TrainSettings().probe_penalty,
        adjustment=0.0,
    )
    return np.asarray(1 - np.exp(said[:, views]))


def _by_view(ground: Ground, label: Rows, said: Answers | None) -> dict[int, list[int]]:
    """Rows without a label of which a view is the likeliest or the next, by turns of patients.

    First a clip of each patient who has no label of the view yet, the likeliest first, then a second one of
    these and a first of those who have one, and so on.
    """
    if said is None:
        return {}
    free = ground.offered[label[ground.offered] == -1]
    guess, _, second = _likeliest(said[free], len(free))
    patient = ground.clips.patient_code
    found = {}
    for view in np.flatnonzero(np.isfinite(said).any(axis=0)):
        rows = free[(guess == view) | (second == view)]
        rows = rows[np.argsort(-said[rows, view], kind="stable")]
        asked = np.bincount(patient[label == view], minlength=patient.max(initial=-1) + 1)
        turn = asked[patient[rows]] + _times_before(patient[rows])
        found[int(view)] = [int(row) for row in rows[np.argsort(turn, kind="stable")[:OF_A_VIEW]]]
    return found


def _times_before(code: Rows) -> Rows:
    """How often each value has stood before, (n,)."""
    order = np.argsort(code, kind="stable")
    run = np.arange(len(code)) - np.searchsorted(code[order], code[order])
    times = np.empty(len(code), np.int64)
    times[order] = run
    return times


def _suspects(held_out: Answers, label: Rows) -> list[Suspicion]:
    """Labels that are probably wrong, the most suspicious first."""
    rows = np.flatnonzero(label >= 0)
    said = held_out[rows]
    if not len(rows):
        return []
    doubt = suspicion(said, label[rows])
    wrong = np.flatnonzero(likely_wrong(said, label[rows]))
    return [
        Suspicion(int(rows[i]), int(said[i].argmax()), float(doubt[i]))
        for i in wrong[np.argsort(-doubt[wrong], kind="stable")]
    ]
