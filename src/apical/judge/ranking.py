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

from apical.judge.intervals import Bootstrap, draw_patients
from apical.judge.metrics import Figures, mean_defined
from apical.learn.clips import codes
from apical.learn.predictions import Predictions

_CHUNK_VALUES = 8_000_000  # float32 in the largest temporary array: 32 MB


def auroc_and_precision(
    score: NDArray[Any], positive: NDArray[np.bool_], weight: NDArray[Any]
) -> tuple[Figures, Figures]:
    """Area under the ROC curve and average precision, each (r,), under r sets of weights.

    The AUROC is the share of pairs of a positive and another clip in which the positive one scores higher,
    ties counting half. Average precision is Σ (R_i - R_{i-1}) P_i over the distinct scores, without
    interpolation. Both are NaN where the weights leave no positive clip, and the AUROC where they leave no
    other.

    Args:
        score: (n,) higher is more likely positive.
        positive: (n,).
        weight: (n, r) how often each clip counts.
    """
    order = np.argsort(-score, kind="stable")
    score, positive, weight = score[order], positive[order], weight[order]
    tie = np.cumsum(np.diff(score, prepend=score[:1]) != 0)  # number of the group of equal scores
    groups = np.unique(tie[positive])
    if not len(groups):
        nothing = np.full(weight.shape[1], np.nan)
        return nothing, nothing
    begin, end = np.searchsorted(tie, groups), np.searchsorted(tie, groups, side="right")
    before, upto = _sums(weight, begin), _sums(weight, end)
    place = np.flatnonzero(positive)
    hits = np.diff(_sums(weight[place], np.searchsorted(place, end)), axis=0, prepend=0.0)
    found = np.cumsum(hits, axis=0)
    positives, total = found[-1], weight.sum(axis=0, dtype=np.float64)
    others_here = upto - before - hits
    others_below = total - positives - (upto - found)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(hits > 0, hits * found / upto, 0).sum(axis=0) / positives
        pairs = (hits * (others_below + others_here / 2)).sum(axis=0)
        return pairs / (positives * (total - positives)), precision


def _sums(weight: NDArray[Any], end: NDArray[np.intp]) -> NDArray[np.float64]:
    """(g, r) float64: sums of the rows before each of g ascending ends, 0 … n, of weights (n, r)."""
    edges = np.unique(np.concatenate([[0], end[end < len(weight)]]))
    sums = np.cumsum(np.add.reduceat(weight, edges, axis=0), axis=0, dtype=np.float64)
    upto = np.concatenate([np.zeros((1, weight.shape[1])), sums])  # upto[i + 1]: before the edge after i
    return np.asarray(upto[np.searchsorted(edges, end, side="left")])


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
    draws = [_of_draw(runs, np.ones((len(first), 1), np.float32))]
    chunk = max(1, _CHUNK_VALUES // len(first))
    for times in draw_patients(patients, resamples, seed, chunk):
        draws.append(_of_draw(runs, times.T.astype(np.float32)[patient]))
    figures = np.concatenate(draws)
    names = ["top-2 accuracy", "macro AUROC", "macro average precision"]
    names += [f"{what} of {view}" for what in ("AUROC", "average precision") for view in first.views]
    return names, Bootstrap(figures[0], figures[1:], patients, seed)


def _of_draw(runs: Sequence[Predictions], weight: NDArray[np.float32]) -> Figures:
    """(r, 3 + 2k): the figures under weights (n, r)."""
    return np.asarray(np.mean([_of_run(run, weight) for run in runs], axis=0))


def _of_run(run: Predictions, weight: NDArray[np.float32]) -> Figures:
    score, label = run.log_probabilities, run.label
    true = score[np.arange(len(run)), label]
    in_two = ((score > true[:, None]).sum(axis=1) < 2).astype(np.float32)
    by_view = [auroc_and_precision(score[:, v], label == v, weight) for v in range(len(run.views))]
    auroc, precision = (np.stack(each, axis=1) for each in zip(*by_view, strict=True))
    top_two = (in_two @ weight) / weight.sum(axis=0)
    return np.column_stack([top_two, mean_defined(auroc), mean_defined(precision), auroc, precision])
