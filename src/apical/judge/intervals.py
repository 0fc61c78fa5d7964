"""Confidence intervals by resampling patients.

Clips of one patient resemble each other, so the patient is what is drawn: whole patients are drawn with
replacement, and a figure's interval runs between percentiles of the figure over the draws (the cluster
bootstrap; Field & Welsh, JRSS-B 2007). Because all figures follow from confusion matrices, a draw is a
weighted sum of the patients' matrices, and all draws together are one matrix product.

The interval tells how much the figure would vary with other *test patients*. It does not cover other
training patients or seeds. With few patients (below about 20) percentile intervals are too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.judge.metrics import Counts, Figures
from apical.learn.clips import codes

Statistic = Callable[[Counts], Figures]
"""From confusion matrices (…, k, k) to m figures (…, m)."""

_CHUNK_VALUES = 4_000_000  # doubles in the largest temporary array: 32 MB


@dataclass(frozen=True)
class Interval:
    """A figure and its interval; NaN limits where it could not be had.

    Attributes:
        value: the figure on the patients as they are.
        low: the lower limit.
        high: the upper limit.
        resamples: how many draws the limits rest on: those in which the figure was defined.
    """

    value: float
    low: float
    high: float
    resamples: int


@dataclass(frozen=True)
class Bootstrap:
    """m figures over all draws of patients.

    Attributes:
        value: (m,) the figures on the patients as they are.
        samples: (resamples, m) the figures in each draw; NaN where not defined.
        patients: how many patients were drawn, from as many.
        seed: fixes the draws.
    """

    value: Figures
    samples: Figures
    patients: int
    seed: int


def patient_confusions(
    label: NDArray[np.int64], predicted: NDArray[np.int64], patient: NDArray[Any], views: int
) -> NDArray[np.int64]:
    """(P, k, k) int64: one confusion matrix a patient, in the order of their first clips.

    Args:
        label: (n,) true views as indices; clips with -1 are not counted, but their patients are.
        predicted: (n,) named views as indices.
        patient: (n,) pseudonyms.
        views: k.
    """
    row = codes(patient)
    known = label >= 0
    cell = (row[known] * views + label[known]) * views + predicted[known]
    return np.bincount(cell, minlength=(row.max(initial=-1) + 1) * views**2).reshape(-1, views, views)


def draw_patients(
    patients: int, resamples: int, seed: int, chunk: int | None = None
) -> Iterator[NDArray[np.float64]]:
    """Yield (≤ chunk, P) float64: how often each patient is drawn; a row adds up to P.

    The draws do not depend on `chunk`.
    """
    chunk = chunk or resamples
    random = np.random.default_rng(seed)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = random.integers(patients, size=(rows, patients)) + np.arange(rows)[:, None] * patients
        times = np.bincount(drawn.ravel(), minlength=rows * patients)
        yield times.reshape(rows, patients).astype(np.float64)


def bootstrap(counts: Counts, statistic: Statistic, *, resamples: int = 2000, seed: int = 0) -> Bootstrap:
    """Figures of one method over draws of patients, averaged over its training seeds in each draw.

    Args:
        counts: (s, P, k, k) from `patient_confusions`: the same P patients under s training seeds.
        statistic: gives m figures for confusion matrices with any leading axes.
        resamples: number of draws.
        seed: two methods with the same patients and seed are judged on the same draws.
    """
    runs, patients, views, _ = counts.shape
    table = counts.transpose(1, 0, 2, 3).reshape(patients, runs * views * views).astype(np.float64)
    chunk = max(1, _CHUNK_VALUES // max(table.shape))
    samples = [
        statistic((weights @ table).reshape(-1, runs, views, views)).mean(axis=1)
        for weights in draw_patients(patients, resamples, seed, chunk)
    ]
    value = statistic(counts.sum(axis=1)).mean(axis=0)
    return Bootstrap(value, np.concatenate(samples), patients, seed)


def difference(one: Bootstrap, other: Bootstrap) -> Bootstrap:
    """`one` minus `other`, draw by draw: the paired comparison of two methods on the same patients.

    Raises:
        ValueError: the two were not made with the same draws.
    """
    if (one.patients, one.seed, one.samples.shape) != (other.patients, other.seed, other.samples.shape):
        raise ValueError("the two methods were not judged on the same draws of patients")
    return Bootstrap(one.value - other.value, one.samples - other.samples, one.patients, one.seed)


def percentile_intervals(result: Bootstrap, confidence: float = 0.95) -> list[Interval]:
    """An interval for each of the m figures; its limits are NaN where there are fewer than two patients."""
    tail = (1 - confidence) / 2
    intervals = []
    for value, samples in zip(result.value, result.samples.T, strict=True):
        defined = samples[~np.isnan(samples)]
        if result.patients < 2 or np.isnan(value) or not len(defined):
            intervals.append(Interval(float(value), float("nan"), float("nan"), len(defined)))
            continue
        low, high = np.quantile(defined, [tail, 1 - tail])
        intervals.append(Interval(float(value), float(low), float(high), len(defined)))
    return intervals
