"""Which clips to label next: first those that stand for many others, later those the classifier is unsure of.

While labels are few, typical clips of unlabelled groups teach more than unsure ones (TypiClust, Hacohen et
al. 2022, arXiv 2202.02794), groups far from labels first (as ProbCover covers, Yehuda et al. 2022, arXiv
2205.11320, but without its radius). Once the views with labels have `ENOUGH` each on average, a clip's worth
is its uncertainty times its density (information density, Settles & Craven, EMNLP 2008), less the more labels
its view has. No patient is asked for twice while another has not been: how a view looks differs by patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans

from apical.config import TrainSettings
from apical.errors import CannotDo, WrongCall
from apical.learn.clips import load_clips
from apical.learn.graph import centred
from apical.learn.neighbours import nearest, unit
from apical.learn.probe import probe_answers
from apical.learn.start import SHIPPED
from apical.learn.suspects import Codes, Values, embed_clips
from apical.views import Vocabulary, standard_vocabulary

ENOUGH = 5  # labels a view from which uncertainty decides
CENTRE = (
    0.7  # share of a patient's mean that is taken off: patient, machine and gain weigh less than the view
)
NEIGHBOURS = 20  # that make a clip typical, as TypiClust has it
MOST_GROUPS = 500  # as TypiClust has it
SMALL = 5000  # clips up to which all of them decide each step of the grouping
AT_ONCE = 512  # labelled clips compared with all


@dataclass(frozen=True)
class Proposal:
    """A clip worth labelling.

    Attributes:
        clip: its id.
        guess: the view that labels so far suggest, or None.
        reason: why this clip, in words.
    """

    clip: str
    guess: str | None
    reason: str


@dataclass(frozen=True)
class Pick:
    """A row that is picked, and why.

    Attributes:
        row: of the features.
        group: number of the group of clips it is typical of; -1 if the classifier is unsure of it.
        size: clips of that group; 0 without one.
        labelled: of these, clips labelled or picked before; without a group, those of its likeliest view.
    """

    row: int
    group: int
    size: int
    labelled: int


def next_labels(
    store: Path,
    catalogue: Path,
    count: int = 12,
    *,
    encoder: Path | None = None,
    vocabulary: Vocabulary | None = None,
    centre: float = CENTRE,
    seed: int = 0,
) -> list[Proposal]:
    """Propose clips to label next, the most useful first; fewer than `count` where there are no more.

    Args:
        store: folder of a frame store.
        catalogue: with splits; only clips of split ``train`` are proposed.
        count: clips wanted.
        encoder: run folder of a pre-training; by default the shipped encoder.
        vocabulary: the views; the standard ones by default.
        centre: share of a patient's mean features that is taken off.
        seed: fixes the grouping.

    Raises:
        WrongCall: `count` is below 1, or a label that the vocabulary does not know.
        CannotDo: no clip is of split ``train``, or unreadable inputs.
    """
    if count < 1:
        raise WrongCall("no clip is asked for", "ask for one or more")
    vocabulary = vocabulary or standard_vocabulary()
    clips = load_clips(store, catalogue, vocabulary).in_split("train")
    if not len(clips):
        raise CannotDo("no clip is of the split 'train'", "give splits ('apical labels split')")
    features = embed_clips(encoder or SHIPPED, clips)
    answers = _answers(features, clips.label, len(vocabulary))
    picks = choose(
        features, clips.patient_code, clips.label, count, log_probabilities=answers, centre=centre, seed=seed
    )
    return [
        Proposal(
            str(clips.clip[pick.row]),
            None if answers is None else vocabulary.names[answers[pick.row].argmax()],
            reason(pick, answers, vocabulary.names),
        )
        for pick in picks
    ]


def _answers(features: NDArray[np.float32], label: Codes, views: int) -> Values | None:
    """What a probe taught on the labels so far says of all clips; None without two views."""
    known = label >= 0
    if len(np.unique(label[known])) < 2:
        return None
    settings = TrainSettings()
    return probe_answers(
        features[known],
        label[known],
        features,
        views=views,
        penalty=settings.probe_penalty,
        adjustment=settings.imbalance.adjustment,
    )


def reason(pick: Pick, answers: Values | None, names: tuple[str, ...]) -> str:
    """Why a clip is picked, in words.

    Args:
        pick: of the clips of `answers`.
        answers: (n, k) log-probabilities; None while nothing is taught.
        names: k views.
    """
    if pick.group >= 0 or answers is None:
        return f"typical of {pick.size} alike clips, {pick.labelled} of them labelled"
    second, first = answers[pick.row].argsort()[-2:]
    return f"unsure, {names[first]} or {names[second]}: labels of {names[first]} {pick.labelled}"


def what_next(
    features: NDArray[np.float32],
    patient: Codes,
    label: Codes,
    count: int,
    *,
    log_probabilities: Values | None = None,
    centre: float = 0.0,
    seed: int = 0,
) -> Codes:
    """Rows of clips to label next, (count,) or as many as are unlabelled; see `choose`."""
    picks = choose(
        features, patient, label, count, log_probabilities=log_probabilities, centre=centre, seed=seed
    )
    return np.array([pick.row for pick in picks], np.int64)


def choose(
    features: NDArray[np.float32],
    patient: Codes,
    label: Codes,
    count: int,
    *,
    log_probabilities: Values | None = None,
    centre: float = 0.0,
    seed: int = 0,
    likeness: Values | None = None,
    shows_view: Values | None = None,
    ahead: int | None = None,
) -> list[Pick]:
    """Pick unlabelled clips, the most useful first.

    The order of the rows has no influence, but on which of two clips with equal features is picked.

    Args:
        features: (n, d).
        patient: (n,) int64, 0 or more.
        label: (n,) int64, -1 where unknown; below that, somebody looked and it is none of the views.
        count: picks wanted.
        log_probabilities: (n, k) of a classifier that was taught on the labels, k ≥ 2; without them, clips
            are picked for being typical however many labels there are.
        centre: share of a patient's mean features that is taken off.
        seed: fixes the grouping.
        likeness: (n,) of `likeness_of_nearest`, for who asks again when labels have changed; it takes seconds
            for tens of thousands of clips.
        shows_view: (n,) probability that a clip shows any of the views; a clip's worth for being unsure is
            times this. 1 by default.
        ahead: picks that will be labelled before somebody asks again, `count` by default. Clips are grouped
            for so many; the first so many of a longer list are those of a list that ends there.
    """
    count = min(count, int((label == -1).sum()))
    if not count:
        return []
    order = _by_content(features)
    patient, label = patient[order], label[order]
    vectors = unit(torch.from_numpy(centred(features[order], patient, centre)))
    similarity = _similarity_of_nearest(vectors, patient) if likeness is None else likeness[order]
    if log_probabilities is None or not has_enough(label):
        picks = _typical(vectors.numpy(), similarity, patient, label, count, seed, ahead or count)
    else:
        if shows_view is not None:
            similarity = similarity * shows_view[order]
        picks = _unsure(log_probabilities[order], similarity, patient, label, count)
    return [Pick(int(order[row]), *rest) for row, *rest in picks]


def likeness_of_nearest(features: NDArray[np.float32], patient: Codes, *, centre: float = 0.0) -> Values:
    """How alike each clip is to its nearest clips of other patients, (n,): what makes it typical.

    Args:
        features: (n, d).
        patient: (n,) int64, 0 or more.
        centre: share of a patient's mean features that is taken off.
    """
    return _similarity_of_nearest(unit(torch.from_numpy(centred(features, patient, centre))), patient)


def has_enough(label: Codes, enough: int = ENOUGH) -> bool:
    """Whether uncertainty decides: two views have labels, and such views have `enough` on average.

    Args:
        label: (n,), -1 where unknown.
        enough: labels a view.
    """
    known = label[label >= 0]
    views = len(np.unique(known))
    return views >= 2 and len(known) >= enough * views


def _by_content(features: NDArray[np.float32]) -> Codes:
    """An order of rows that depends on what is in them, not on where they stand."""
    rows = np.ascontiguousarray(features)
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel().argsort(kind="stable")


def _similarity_of_nearest(vectors: torch.Tensor, patient: Codes) -> Values:
    """Mean cosine similarity to the nearest clips of other patients, (n,); of any if there is one patient."""
    apart = patient if len(np.unique(patient)) > 1 else np.arange(len(patient))
    means = []
    for _, similarity in nearest(vectors, apart, min(NEIGHBOURS, len(patient))):
        found = similarity > -torch.inf
        total = similarity.masked_fill(~found, 0).double().sum(dim=1)
        means.append(total / found.sum(dim=1).clamp(min=1))
    return torch.cat(means).numpy()


Row = tuple[int, int, int, int]  # of a `Pick`


def _typical(
    vectors: NDArray[np.float32],
    similarity: Values,
    patient: Codes,
    label: Codes,
    count: int,
    seed: int,
    ahead: int,
) -> list[Row]:
    """The most typical clip of the group with the fewest labels and picks, `count` times.

    There are as many groups as labels and picks, of these `ahead` at most, so that each pick may stand for a
    group of its own. Of equals it is the group whose clips are farthest from labelled and picked ones,
    squared distances summed: without labels the largest, as in TypiClust; later a small group apart before
    another part of a large one. Typical is who is most similar to its neighbours (by mean cosine; for vectors
    of length 1 its order is that of mean squared distances).
    """
    different = len(np.unique(vectors.round(5), axis=0)) if len(vectors) <= SMALL else len(vectors)
    looked_at = label != -1  # also what shows none of the views: who asks there again may get the same
    groups = min(int(looked_at.sum()) + min(count, ahead), different, MOST_GROUPS)
    group = grouped(vectors, groups, seed)
    size = np.bincount(group, minlength=groups)
    labelled = np.bincount(group[looked_at], minlength=groups)
    far = np.ones(len(vectors))  # half the squared distance; at most that of a right angle
    for known in np.split(np.flatnonzero(looked_at), range(AT_ONCE, len(vectors), AT_ONCE)):
        far = np.minimum(far, 1 - (vectors @ vectors[known].T).max(axis=1, initial=0))
    turns = _Turns(patient, label == -1)
    picks = []
    for _ in range(count):
        allowed = turns.allowed()
        offered = np.unique(group[allowed])
        farness = np.bincount(group, weights=far.clip(min=0), minlength=groups)
        best = offered[np.lexsort((-farness[offered], labelled[offered]))[0]]
        row = int(np.where(allowed & (group == best), similarity, -np.inf).argmax())
        picks.append((row, int(best), int(size[best]), int(labelled[best])))
        labelled[best] += 1
        far = np.minimum(far, 1 - vectors @ vectors[row])
        turns.take(row)
    return picks


def grouped(vectors: NDArray[np.float32], groups: int, seed: int) -> Codes:
    """Groups of alike vectors (n, d) by k-means, (n,) int64 below `groups`."""
    if len(vectors) <= SMALL:
        means = KMeans(groups, n_init=3, random_state=seed)
    else:
        means = MiniBatchKMeans(groups, n_init=1, batch_size=2048, random_state=seed)
    return np.asarray(means.fit_predict(vectors), np.int64)


def _unsure(
    log_probabilities: Values, similarity: Values, patient: Codes, label: Codes, count: int
) -> list[Row]:
    """The clip with the most (1 - margin) · similarity / (1 + labels and picks of its view), `count` times.

    The margin is between the two likeliest views; similarity that to its neighbours, where positive.
    """
    second, first = np.sort(np.exp(log_probabilities), axis=1)[:, -2:].T
    worth = (1 - (first - second)) * similarity.clip(min=1e-6)
    view = log_probabilities.argmax(axis=1)
    labelled = np.bincount(label[label >= 0], minlength=log_probabilities.shape[1])
    turns = _Turns(patient, label == -1)
    picks = []
    for _ in range(count):
        row = int(np.where(turns.allowed(), worth / (1 + labelled[view]), -np.inf).argmax())
        picks.append((row, -1, 0, int(labelled[view[row]])))
        labelled[view[row]] += 1
        turns.take(row)
    return picks


class _Turns:
    """Whose clips may be picked: nobody's twice while another's have not been.

    Args:
        patient: (n,) int64, 0 or more.
        free: (n,) clips that may be picked.
    """

    def __init__(self, patient: Codes, free: NDArray[np.bool_]) -> None:
        self.patient, self.free = patient, free.copy()
        self.times = np.zeros(patient.max() + 1, np.int64)

    def allowed(self) -> NDArray[np.bool_]:
        """(n,) clips of the patients with the fewest picks, of those who have clips left."""
        times = self.times[self.patient]
        return np.asarray(self.free & (times == times[self.free].min()))

    def take(self, row: int) -> None:
        """A clip is picked."""
        self.free[row] = False
        self.times[self.patient[row]] += 1
