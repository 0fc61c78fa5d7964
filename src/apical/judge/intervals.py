"""Confidence intervals by resampling patients.

Clips of one patient resemble each other, so the patient is what is drawn: whole patients are drawn with
replacement, and a figure's interval runs between percentiles of the figure over the draws (the cluster
bootstrap; Field & Welsh, JRSS-B 2007). Most figures follow from tables that add up over patients (confusion
matrices, sums, histograms): a draw is then a weighted sum of the patients' tables, and all draws together
are one matrix product. Figures that need the order of all clips are in `apical.judge.ranking`.

The interval tells how much the figure would vary with other *test patients*. It does not cover other
training patients or seeds. How often it holds the truth was simulated (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from apical.judge.metrics import Counts, Figures
from apical.learn.clips import codes

Statistic = Callable[[Counts], Figures]
"""From tables with any leading axes, such as confusion matrices (…, k, k), to m figures (…, m)."""

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
        patients: P, how many patients were drawn, from as many.
        seed: fixes the draws.
        without: (P, m) the figures without each of the patients in turn (the jackknife); NaN where not
            defined. None where more than patients was drawn.
    """

    value: Figures
    samples: Figures
    patients: int
    seed: int
    without: Figures | None = None


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


def patient_sums(values: NDArray[Any], patient: NDArray[Any]) -> NDArray[np.float64]:
    """(P, …) float64: values (n, …) of clips added up by patient, in the order of their first clips."""
    row = codes(patient)
    flat = values.reshape(len(values), -1).astype(np.float64)
    table = np.zeros((row.max(initial=-1) + 1, flat.shape[1]))
    np.add.at(table, row, flat)
    return table.reshape(-1, *values.shape[1:])


def bootstrap(tables: Counts, statistic: Statistic, *, resamples: int = 2000, seed: int = 0) -> Bootstrap:
    """Figures of one method over draws of patients, averaged over its training seeds in each draw.

    Args:
        tables: (s, P, …) from `patient_confusions` or `patient_sums`: the same P patients under s training
            seeds. The table of several patients is the sum of theirs.
        statistic: gives m figures for tables with any leading axes.
        resamples: number of draws.
        seed: two methods with the same patients and seed are judged on the same draws.
    """
    runs, patients, *shape = tables.shape
    flat = np.moveaxis(tables, 1, 0).reshape(patients, -1).astype(np.float64)
    chunk = max(1, _CHUNK_VALUES // max(flat.shape))

    def of_sums(sums: NDArray[np.float64]) -> Figures:
        return np.asarray(statistic(sums.reshape(-1, runs, *shape)).mean(axis=1))

    whole = flat.sum(axis=0)
    return Bootstrap(
        value=of_sums(whole)[0],
        samples=np.concatenate(
            [of_sums(weights @ flat) for weights in draw_patients(patients, resamples, seed, chunk)]
        ),
        patients=patients,
        seed=seed,
        without=np.concatenate([of_sums(whole - flat[at : at + chunk]) for at in range(0, patients, chunk)]),
    )


def difference(one: Bootstrap, other: Bootstrap) -> Bootstrap:
    """`one` minus `other`, draw by draw: the paired comparison of two methods on the same patients.

    Raises:
        ValueError: the two were not made with the same draws.
    """
    if (one.patients, one.seed, one.samples.shape) != (other.patients, other.seed, other.samples.shape):
        raise ValueError("the two methods were not judged on the same draws of patients")
    return Bootstrap(
        one.value - other.value,
        one.samples - other.samples,
        one.patients,
        one.seed,
        None if one.without is None or other.without is None else one.without - other.without,
    )


def percentile_intervals(result: Bootstrap, confidence: float = 0.95) -> list[Interval]:
    """An interval for each of the m figures; its limits are NaN where there are fewer than two patients."""
    tail = (1 - confidence) / 2
    return [_between(result, j, (tail, 1 - tail)) for j in range(len(result.value))]


def expanded_intervals(result: Bootstrap, confidence: float = 0.95) -> list[Interval]:
    """The same between percentiles further out, so that it also holds with few patients.

    Draws of P patients vary by a factor √((P - 1) / P) too little, and how much they vary is itself not
    known: Student's t with P - 1 degrees of freedom takes the place of the normal z (the expanded
    percentile interval; Hesterberg, Am. Stat. 2015, arXiv 1411.5279, sec. 5.3).
    """
    levels = expanded_levels(result.patients, confidence)
    return [_between(result, j, levels) for j in range(len(result.value))]


def expanded_levels(patients: int, confidence: float = 0.95) -> tuple[float, float]:
    """Between which quantiles of the draws of so many patients an expanded interval lies."""
    low, high = ndtr(_expanded(patients, confidence))
    return float(low), float(high)


def _expanded(patients: int, confidence: float) -> NDArray[np.float64]:
    """(2,) z below and above."""
    freedom = max(patients - 1, 1)
    z = stdtrit(freedom, (1 - confidence) / 2) * np.sqrt(1 + 1 / freedom)
    return np.array([z, -z])


def bca_intervals(result: Bootstrap, confidence: float = 0.95) -> list[Interval]:
    """Expanded intervals, corrected for bias and skewness (BCa; Efron, JASA 1987, eqs. 2.3 and 6.6).

    z₀ is the normal quantile of the share of draws below the figure (those equal to it count half), and the
    acceleration a = Σ d³ / (6 (Σ d²)^1.5) with d the mean jackknife figure minus each. A limit is that
    quantile of the draws at which Φ(z₀ + (z₀ + z) / (1 - a (z₀ + z))) lies, instead of Φ(z).

    Raises:
        ValueError: there is no jackknife.
    """
    if result.without is None:
        raise ValueError("BCa needs the figures without each patient")
    z = _expanded(result.patients, confidence)
    intervals = []
    for j, value in enumerate(result.value):
        samples = result.samples[~np.isnan(result.samples[:, j]), j]
        left_out = result.without[~np.isnan(result.without[:, j]), j]
        if not len(samples) or not len(left_out):
            intervals.append(_between(result, j, (0.0, 1.0)))
            continue
        below = ((samples < value).sum() + (samples == value).sum() / 2) / len(samples)
        half_a_draw = 0.5 / len(samples)  # keeps z₀ finite where all draws lie on one side
        bias = ndtri(np.clip(below, half_a_draw, 1 - half_a_draw))
        off = left_out.mean() - left_out
        spread = np.square(off).sum() ** 1.5
        acceleration = (off**3).sum() / (6 * spread) if spread else 0.0
        low, high = ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))
        intervals.append(_between(result, j, (float(low), float(high))))
    return intervals


def _between(result: Bootstrap, j: int, levels: tuple[float, float]) -> Interval:
    """Figure j between these quantiles of its draws."""
    value, samples = float(result.value[j]), result.samples[:, j]
    defined = samples[~np.isnan(samples)]
    if result.patients < 2 or np.isnan(value) or not len(defined):
        return Interval(value, float("nan"), float("nan"), len(defined))
    low, high = np.quantile(defined, levels)
    return Interval(value, float(low), float(high), len(defined))


KINDS: dict[str, Callable[[Bootstrap, float], list[Interval]]] = {
    "expanded": expanded_intervals,
    "percentile": percentile_intervals,
    "bca": bca_intervals,
}
"""By the names that settings have for them."""
