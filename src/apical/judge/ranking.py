"""Figures that need the order of all clips: AUROC, average precision, the two most probable views.

They do not follow from sums over patients, so each draw of patients weighs the clips, and all draws are
worked through side by side: clips are sorted once, and running sums of their weights are taken at the
positive clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from apical.judge.calibration import SHUT_OFF
from apical.judge.intervals import Bootstrap, draw_patients
from apical.judge.metrics import Figures, mean_defined
from apical.learn.clips import codes
from apical.learn.predictions import Predictions

_CHUNK_VALUES = 8_000_000  # clips times draws that are worked on at a time


def auroc_and_precision(
    score: NDArray[Any],
    positive: NDArray[np.bool_],
    weight: NDArray[Any],
    row: NDArray[np.int64] | None = None,
) -> tuple[Figures, Figures]:
    """Area under the ROC curve and average precision, each (r,), under r sets of weights.

    The AUROC is the share of pairs of a positive and another clip in which the positive one scores higher,
    ties counting half. Average precision is Σ (R_i - R_{i-1}) P_i over the distinct scores, without
    interpolation. Both are NaN where the weights leave no positive clip, and the AUROC where they leave no
    other.

    Args:
        score: (n,) higher is more likely positive.
        positive: (n,).
        weight: (g, r) how often clips count.
        row: (n,) which row of `weight` holds for each clip, such as its patient's; by default its own.
    """
    order = np.argsort(-score, kind="stable")
    row = order if row is None else row[order]
    score, positive = score[order], positive[order]
    tie = np.cumsum(np.diff(score, prepend=score[:1]) != 0)  # number of the group of equal scores
    groups = np.unique(tie[positive])
    if not len(groups):
        nothing = np.full(weight.shape[1], np.nan)
        return nothing, nothing
    begin, end = np.searchsorted(tie, groups), np.searchsorted(tie, groups, side="right")
    before, upto = np.split(_sums(weight, row, np.concatenate([begin, end])), 2)
    place = np.flatnonzero(positive)
    found = _sums(weight, row[place], np.searchsorted(place, end))
    hits = np.diff(found, axis=0, prepend=0.0)
    positives, total = found[-1], _sums(weight, row, np.array([len(row)]))[0]
    others_here = upto - before - hits
    others_below = total - positives - (upto - found)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(hits > 0, hits * found / upto, 0).sum(axis=0) / positives
        pairs = (hits * (others_below + others_here / 2)).sum(axis=0)
        return pairs / (positives * (total - positives)), precision


def _sums(weight: NDArray[Any], row: NDArray[np.int64], end: NDArray[np.intp]) -> NDArray[np.float64]:
    """(e, r) float64: sums of the first so many clips' weights, for e numbers 0 … n of clips in order.

    Between two neighbouring ends it only counts how often each row of `weight` (g, r) comes: a product with a
    sparse matrix of counts.
    """
    edges = np.unique(np.concatenate([[0], end]))
    part = np.searchsorted(edges, np.arange(len(row)), side="right") - 1
    kept = part < len(edges) - 1
    counts = csr_array(
        (np.ones(kept.sum(), weight.dtype), (part[kept], row[kept])), shape=(len(edges) - 1, len(weight))
    )
    sums = np.zeros((len(edges), weight.shape[1]))
    np.cumsum(counts @ weight, axis=0, dtype=np.float64, out=sums[1:])
    return np.asarray(sums[np.searchsorted(edges, end)])


def rank_figures(
    runs: Sequence[Predictions], *, resamples: int = 2000, seed: int = 0
) -> tuple[list[str], Bootstrap]:
    """Names and figures of one method over draws of patients, averaged over its training seeds.

    The figures are top-2 accuracy, macro AUROC and macro average precision, each view against the rest,
    then the AUROC of each view, then the average precision of each. Means leave out views that no clip
    shows.

    Args:
        runs: s answers for the same labelled clips.
        resamples: number of draws.
        seed: as in `apical.judge.intervals.bootstrap`, whose draws these are.
    """
    first = runs[0]
    patient = codes(first.patient)
    patients = int(patient.max()) + 1
    draws = [_of_draw(runs, np.ones((patients, 1)), patient)]
    chunk = max(1, _CHUNK_VALUES // len(first))
    for times in draw_patients(patients, resamples, seed, chunk):
        draws.append(_of_draw(runs, times.T, patient))
    figures = np.concatenate(draws)
    names = ["top-2 accuracy", "macro AUROC", "macro average precision"]
    names += [f"{what} of {view}" for what in ("AUROC", "average precision") for view in first.views]
    return names, Bootstrap(figures[0], figures[1:], patients, seed)


def _of_draw(runs: Sequence[Predictions], times: NDArray[np.float64], patient: NDArray[np.int64]) -> Figures:
    """(r, 3 + 2k): the figures where patients are drawn so often, (P, r), and each clip is of one (n,)."""
    return np.asarray(np.mean([_of_run(run, times, patient) for run in runs], axis=0))


def _of_run(run: Predictions, times: NDArray[np.float64], patient: NDArray[np.int64]) -> Figures:
    # A view that was not taught says nothing, though what rounding leaves of its logits may order clips.
    score, label = np.maximum(run.log_probabilities, SHUT_OFF), run.label
    true = score[np.arange(len(run)), label]
    in_two = (score > true[:, None]).sum(axis=1) < 2
    hits, clips = (np.bincount(patient, weights=each, minlength=len(times)) for each in (in_two, None))
    by_view = [auroc_and_precision(score[:, v], label == v, times, patient) for v in range(len(run.views))]
    auroc, precision = (np.stack(each, axis=1) for each in zip(*by_view, strict=True))
    top_two = (hits @ times) / (clips @ times)
    return np.column_stack([top_two, mean_defined(auroc), mean_defined(precision), auroc, precision])
