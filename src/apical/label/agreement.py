"""How well annotators agree with each other, and with themselves: Cohen's kappa over all answers.

Kappa is the agreement beyond chance (Cohen, Educ. Psychol. Meas. 1960): 1 is perfect, 0 is what two people
would reach who name views as often as these did, but blindly. To show none of the views, and not to be able
to tell, are answers like any other. Clips of one patient resemble each other, so intervals come from drawing
patients (`apical.judge.intervals`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from apical.judge.intervals import bootstrap, expanded_intervals, patient_confusions
from apical.judge.metrics import accuracy, kappa
from apical.label.opinions import CANNOT_TELL, Said
from apical.label.records import Records
from apical.views import NO_VIEW, Vocabulary

FEWEST_PATIENTS = 5  # below, an interval would cover far less often than it says

_Answers = tuple[str, str, str]  # a patient, and two answers for one clip
_Figures = tuple[float, float | None, float | None, float | None]  # share, kappa, low, high


@dataclass(frozen=True)
class Pair:
    """How two annotators agree on the clips that both labelled, before anybody adjudicated them.

    Attributes:
        one, other: their names, in order.
        clips: how many.
        share: of them that got the same answer.
        kappa: None where chance alone would agree on all.
        low, high: its interval; None with too few patients, or where no draw of patients differs from
            another: people who never differed may still differ on the next clip.
    """

    one: str
    other: str
    clips: int
    share: float
    kappa: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Self:
    """How an annotator agrees with their own answers when clips come again, without seeing them.

    Attributes:
        annotator: the name.
        clips: second looks.
        share, kappa, low, high: as of `Pair`.
    """

    annotator: str
    clips: int
    share: float
    kappa: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Confusion:
    """Two answers that people give for the same clips.

    Attributes:
        one_said, other_said: in the order of the vocabulary; then none, then cannot-tell.
        clips: on which some two annotators differ so.
    """

    one_said: str
    other_said: str
    clips: int


@dataclass(frozen=True)
class Agreement:
    """All of it.

    Attributes:
        pairs: of annotators with a clip in common.
        selves: annotators with second looks.
        confusions: the most frequent first.
    """

    pairs: list[Pair]
    selves: list[Self]
    confusions: list[Confusion]


def agreement(
    records: Records,
    patients: Mapping[str, str],
    vocabulary: Vocabulary,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """Judge how people agree.

    Args:
        records: what was said.
        patients: patient of each clip; clips without one are left out.
        vocabulary: the views, for the order of confusions.
        resamples: draws of patients.
        confidence: of the intervals.
        seed: fixes the draws.
    """
    blind = {clip: said for clip, said in records.blind_opinions().items() if clip in patients}
    between: dict[tuple[str, str], list[_Answers]] = defaultdict(list)
    for clip, opinions in blind.items():
        for one, other in combinations(sorted(opinions), 2):
            between[one, other].append((patients[clip], str(opinions[one].view), str(opinions[other].view)))
    within: dict[str, list[_Answers]] = defaultdict(list)
    for look in records.repeats():
        if look.clip in patients:
            answers = (patients[look.clip], str(look.first.view), str(look.second.view))
            within[look.annotator].append(answers)

    def figures(answers: Sequence[_Answers]) -> _Figures:
        return _figures(answers, resamples, confidence, seed)

    return Agreement(
        [Pair(one, other, len(said), *figures(said)) for (one, other), said in sorted(between.items())],
        [Self(name, len(said), *figures(said)) for name, said in sorted(within.items())],
        _confusions(blind.values(), (*vocabulary.names, NO_VIEW, CANNOT_TELL)),
    )


def _figures(answers: Sequence[_Answers], resamples: int, confidence: float, seed: int) -> _Figures:
    """Share of the same answers, kappa and its limits."""
    answers = sorted(answers)  # so that the draws do not depend on who was labelled first
    patient = np.array([one[0] for one in answers])
    names, codes = np.unique([one[1:] for one in answers], return_inverse=True)
    said = codes.reshape(-1, 2).astype(np.int64)
    tables = patient_confusions(said[:, 0], said[:, 1], patient, len(names))
    share, value = float(accuracy(tables.sum(axis=0))), float(kappa(tables.sum(axis=0)))
    if np.isnan(value):
        return share, None, None, None
    if len(tables) < FEWEST_PATIENTS:
        return share, value, None, None
    drawn = bootstrap(tables[None], lambda sums: kappa(sums)[..., None], resamples=resamples, seed=seed)
    interval = expanded_intervals(drawn, confidence)[0]
    if not interval.low < interval.high:  # also where they are no numbers
        return share, value, None, None
    return share, value, interval.low, interval.high


def _confusions(clips: Iterable[Mapping[str, Said]], order: Sequence[str]) -> list[Confusion]:
    """Which answers stand beside each other, in the order of the vocabulary where equally frequent."""
    place = {name: number for number, name in enumerate(order)}

    def rank(view: str) -> tuple[int, str]:
        return place.get(view, len(place)), view  # a view of another vocabulary comes last

    found: Counter[tuple[str, str]] = Counter()
    for opinions in clips:
        views = {str(said.view) for said in opinions.values()}
        found.update(combinations(sorted(views, key=rank), 2))
    ranked = sorted(found.items(), key=lambda one: (-one[1], *map(rank, one[0])))
    return [Confusion(*views, clips) for views, clips in ranked]
