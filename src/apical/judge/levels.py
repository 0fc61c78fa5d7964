"""The same answers judged by frame, by clip and by study.

A clip is what is labelled and named. A frame weighs as a clip does, so long clips weigh more; papers on
single frames report this. For a study the question is which views it holds: a view is found if one of its
clips is named so, rightly or not, and it is there if one of its clips shows it. Clips without a label are
left out of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.config import JudgeSettings
from apical.judge import metrics
from apical.judge.intervals import KINDS, Interval, Statistic, bootstrap, patient_confusions, patient_sums
from apical.learn.predictions import Predictions


@dataclass(frozen=True)
class Level:
    """Figures of one method at one level, averaged over its training seeds; all 0 … 1.

    Attributes:
        name: ``frame``, ``clip``, ``clip, given its whole study`` or ``study``.
        units: how many frames, clips or studies.
        macro_f1: mean F1 of the views present.
        rare_f1: of the rare ones; NaN where there is none.
        common_f1: of the others.
        accuracy: share named rightly; of studies, share whose set of views is found exactly.
    """

    name: str
    units: int
    macro_f1: Interval
    rare_f1: Interval
    common_f1: Interval
    accuracy: Interval


def judge_clips(
    name: str, runs: Sequence[Predictions], rare: Sequence[str], settings: JudgeSettings
) -> Level:
    """Of labelled clips, or of frames in their place, one `Predictions` a training seed."""
    views = runs[0].views
    tables = np.stack([patient_confusions(p.label, p.predicted, p.patient, len(views)) for p in runs])

    def statistic(confusion: metrics.Counts) -> metrics.Figures:
        return _means(metrics.f1(confusion), np.isin(views, rare), metrics.accuracy(confusion))

    return _level(name, len(runs[0]), tables, statistic, settings)


def judge_studies(
    runs: Sequence[Predictions], study: NDArray[np.str_], rare: Sequence[str], settings: JudgeSettings
) -> Level | None:
    """Of the views that each study holds; None where no clip's study is known.

    Args:
        runs: labelled clips, one `Predictions` a training seed, all of the same clips.
        study: (n,) pseudonyms, "" where nobody said; those clips are left out.
        rare: views whose mean is given separately.
        settings: resamples, confidence and kind of interval.
    """
    known = np.flatnonzero(study != "")
    if not len(known):
        return None
    names, first, number = np.unique(study[known], return_index=True, return_inverse=True)
    patient = runs[0].patient[known][first]
    views = runs[0].views
    tables = []
    for run in runs:
        there, found = (
            _held(number, view[known], len(names), len(views)) for view in (run.label, run.predicted)
        )
        cells = np.stack([there & found, ~there & found, there & ~found], axis=-1).astype(np.float64)
        exact = np.zeros((len(names), 1, 3))
        exact[:, 0, 0], exact[:, 0, 1] = (there == found).all(axis=1), 1
        tables.append(patient_sums(np.concatenate([cells, exact], axis=1), patient))

    def statistic(table: metrics.Counts) -> metrics.Figures:
        right, wrong, missed = np.moveaxis(table[..., :-1, :], -1, 0)
        with np.errstate(invalid="ignore"):
            f1 = np.where(right + missed > 0, 2 * right / (2 * right + wrong + missed), np.nan)
        there, right = table[..., -1, 1], table[..., -1, 0]
        exact = np.divide(right, there, out=np.full(there.shape, np.nan), where=there > 0)
        return _means(f1, np.isin(views, rare), exact)

    return _level("study", len(names), np.stack(tables), statistic, settings)


def _held(study: NDArray[Any], view: NDArray[np.int64], studies: int, views: int) -> NDArray[np.bool_]:
    """(studies, views): whether a clip of the study has this view."""
    held = np.zeros((studies, views), bool)
    held[study, view] = True
    return held


def _means(f1: metrics.Figures, rare: NDArray[np.bool_], accuracy: metrics.Figures) -> metrics.Figures:
    """(…, 4): mean of all, of rare and of other views' F1 (…, k), each without undefined ones; accuracy."""
    means = [metrics.mean_defined(f1[..., chosen]) for chosen in (rare | True, rare, ~rare)]
    return np.stack([*means, accuracy], axis=-1)


def _level(
    name: str, units: int, tables: NDArray[Any], statistic: Statistic, settings: JudgeSettings
) -> Level:
    drawn = bootstrap(tables, statistic, resamples=settings.resamples, seed=settings.seed)
    return Level(name, units, *KINDS[settings.interval](drawn, settings.confidence))
