"""On the phantom: is a classifier less sure, and more often wrong, the farther the probe misses its view?

The phantom knows by which angle the plane of a clip's first frame is off the textbook's of the view that was
aimed at. A classifier that is to warn of clips beside their view must be less sure of them.

Limits: this is the phantom, whose planes are the textbook's, turned and moved at random; patients with bad
windows are imaged worse in other ways too. The angle is that of the first frame, and says nothing of how far
the plane is moved. How far the probe strays is the phantom's making, so the upper bins may be empty.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.errors import CannotDo
from apical.judge.intervals import (
    Bootstrap,
    Interval,
    bootstrap,
    draw_patients,
    expanded_intervals,
    patient_sums,
)
from apical.judge.metrics import Counts, Figures
from apical.learn.clips import codes

EDGES = (5.0, 10.0, 15.0, 20.0)
"""Degrees that part the bins; an error on an edge is in the bin above."""

_CHUNK_VALUES = 1_000_000  # doubles in each temporary array: 8 MB


@dataclass(frozen=True)
class PlaneFigures:
    """What becomes of clips with the error of their plane, in five bins from 0 degrees to more than 20.

    Attributes:
        clips: (5,) how many are in each bin; those without a known error are in none.
        patients: (5,) of how many patients; where they are few, the intervals tell little.
        right: the share named rightly in each bin; NaN without clips.
        confidence: the mean confidence in each bin; NaN without clips.
        correlation: Spearman's, of error and confidence over all clips; below 0 if it is less sure of worse.
    """

    clips: NDArray[np.int64]
    patients: NDArray[np.int64]
    right: list[Interval]
    confidence: list[Interval]
    correlation: Interval


def plane_errors(catalogue: pl.DataFrame, clip: NDArray[np.str_], truth: Path) -> NDArray[np.float64]:
    """The error of each clip's plane in degrees, (n,) float64; NaN where the phantom tells none.

    A clip's row of the truth is the one of its file, which must lie where it was scanned.

    Args:
        catalogue: with the columns `clip` and `path`.
        clip: (n,) ids.
        truth: the `truth.csv` that the phantom wrote beside its exams.

    Raises:
        CannotDo: the truth cannot be read or is none, or it tells of none of the clips.
    """
    try:
        table = pl.read_csv(truth, columns=["file", "plane_error_deg"])
        file, degrees = table["file"].cast(pl.String), table["plane_error_deg"].cast(pl.Float64)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CannotDo(
            f"the phantom's truth cannot be read ({type(error).__name__})",
            "give the truth.csv that 'apical phantom' wrote",
        ) from None
    folders = (os.path.abspath(truth.parent), os.path.realpath(truth.parent))
    known = {
        os.path.normpath(os.path.join(folder, name)): error
        for folder in folders
        for name, error in zip(file, degrees, strict=True)
        if name is not None and error is not None
    }
    path = dict(catalogue.select("clip", "path").iter_rows())
    found = np.array([known.get(path.get(str(name), ""), np.nan) for name in clip], np.float64)
    if np.isnan(found).all():
        raise CannotDo(
            "the phantom's truth tells of the planes of none of these clips",
            "give the truth.csv of the folder that was scanned, and leave it where it was",
        )
    return found


def by_plane_error(
    error: NDArray[np.float64],
    right: NDArray[np.bool_],
    confidence: NDArray[np.float64],
    patient: NDArray[np.str_],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> PlaneFigures:
    """Shares, mean confidences and their correlation with the error, with intervals over patients.

    Args:
        error: (n,) degrees, from `plane_errors`; clips with NaN have no part.
        right: (n,) whether it was named rightly.
        confidence: (n,) probability of the view that was named, 0 … 1.
        patient: (n,) pseudonyms.
        resamples: number of draws of patients.
        seed: fixes the draws.
        level: confidence level of the intervals.
    """
    known = ~np.isnan(error)
    error, right, confidence, patient = error[known], right[known], confidence[known], patient[known]
    here = np.digitize(error, EDGES)[:, None] == np.arange(len(EDGES) + 1)
    tables = here[:, None] * np.stack([np.ones_like(confidence), right, confidence], axis=1)[:, :, None]
    sums = patient_sums(tables, patient)
    drawn = bootstrap(sums[None], _means, resamples=resamples, seed=seed)
    means = expanded_intervals(drawn, level)
    ranks = rank_correlation(error, confidence, patient, resamples=resamples, seed=seed)
    return PlaneFigures(
        clips=here.sum(axis=0),
        patients=(sums[:, 0] > 0).sum(axis=0),
        right=means[: len(EDGES) + 1],
        confidence=means[len(EDGES) + 1 :],
        correlation=expanded_intervals(ranks, level)[0],
    )


def rank_correlation(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    patient: NDArray[np.str_],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Bootstrap:
    """Spearman's correlation of x and y, each (n,), over draws of patients; NaN where either is constant.

    A clip drawn w times counts as w clips with equal ranks, as if the drawn clips had been written out.
    """
    who = codes(patient)
    patients = int(who.max(initial=-1)) + 1
    values = [_weighted(x, y, np.ones((1, len(x))))]
    for times in draw_patients(patients, resamples, seed, max(1, _CHUNK_VALUES // max(1, len(x)))):
        values.append(_weighted(x, y, times[:, who]))
    figures = np.concatenate(values)[:, None]
    return Bootstrap(figures[0], figures[1:], patients, seed)


def _weighted(x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]) -> Figures:
    """(r,): Spearman's correlation under weights (r, n)."""
    total = weight.sum(axis=1, keepdims=True)
    a, b = (
        ranks - (weight * ranks).sum(axis=1, keepdims=True) / total
        for ranks in (_ranks(x, weight), _ranks(y, weight))
    )
    spread = (weight * a * a).sum(axis=1) * (weight * b * b).sum(axis=1)
    undefined = np.full(len(weight), np.nan)
    covariance = (weight * a * b).sum(axis=1)
    return np.asarray(np.divide(covariance, np.sqrt(spread), out=undefined, where=spread > 0))


def _ranks(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(r, n): mean ranks under weights (r, n), less the half that all have."""
    order = np.argsort(values, kind="stable")
    _, start, group = np.unique(values[order], return_index=True, return_inverse=True)
    each = np.add.reduceat(weight[:, order], start, axis=1)
    ranks = np.empty_like(weight)
    ranks[:, order] = (np.cumsum(each, axis=1) - each / 2)[:, group]
    return ranks


def _means(sums: Counts) -> Figures:
    """(…, 10): shares named rightly in five bins, then mean confidences, of tables (…, 3, 5)."""
    clips, summed = sums[..., :1, :], sums[..., 1:, :]
    undefined = np.full(summed.shape, np.nan)
    means = np.asarray(np.divide(summed, clips, out=undefined, where=clips > 0))
    return means.reshape(*means.shape[:-2], -1)
