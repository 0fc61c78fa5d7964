"""Figures of a study, with intervals over patients, label draws and pre-training seeds at once.

Three things are random that a study could have drawn otherwise: who the judged patients are, which patients
were labelled, and how pre-training went. They are crossed: each draw of labels meets each pre-training, and
all classifiers answer for the same patients. So each of the three is drawn with replacement, apart from the
other two, and a figure is averaged over the cells that were drawn (the pigeonhole bootstrap; Owen, Annals of
Applied Statistics 2007; for any number of factors: Owen & Eckles, ibid. 2012, arXiv 1106.2125). Both sides of
a difference see the same draws. The spread over things of which there are few comes out too small: by a
factor of √(4/5) for five draws of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from apical.config import JudgeSettings
from apical.judge import metrics
from apical.judge.holm import holm_together, two_sided_p
from apical.judge.intervals import Bootstrap, Interval, draw_patients, percentile_intervals
from apical.judge.metrics import Counts, Figures

MEANS = ("rare-view F1", "common-view F1", "macro F1")
TESTED = MEANS[:2]  # these have p-values, all of a study in one family

Key = tuple[int, int | None]
"""The label draw and the pre-training of a cell; None where it starts from none."""

_CHUNK_VALUES = 4_000_000  # doubles in the largest temporary array: 32 MB


@dataclass(frozen=True)
class Row:
    """A method at a budget, averaged over its cells. All shares are 0 … 1.

    Attributes:
        method: its name.
        budget: labelled patients a rare view, ``all`` or ``full``.
        whole_exam: whether these answers had all clips of the exam to go by.
        draws: the label draws of its cells.
        pretrainings: the pre-trainings of its cells; () where it starts from none.
        cells: how many there are.
        means: `MEANS`.
        view_f1: F1 of each view; NaN for a view that no judged clip shows.
    """

    method: str
    budget: int | str
    whole_exam: bool
    draws: tuple[int, ...]
    pretrainings: tuple[int, ...]
    cells: int
    means: dict[str, Interval]
    view_f1: dict[str, Interval]


@dataclass(frozen=True)
class Difference:
    """`method` minus `other`, in pairs: on the same patients, draws and, where both have one, pre-trainings.

    Attributes:
        method: what is compared.
        other: what it is compared with.
        budget: of `method`.
        other_budget: of `other`.
        draws: the label draws that both have.
        means: differences of `MEANS`.
        view_f1: differences of each view's F1.
        relative: gain of each of `means` and of each view as a share of the other's; NaN where that is 0.
        p: of the `TESTED` means, two-sided, see `two_sided_p`; {} where nothing is tested.
        adjusted: the same, adjusted by Holm's method for all that a study tests.
    """

    method: str
    other: str
    budget: int | str
    other_budget: int | str
    draws: tuple[int, ...]
    means: dict[str, Interval]
    view_f1: dict[str, Interval]
    relative: dict[str, float]
    p: dict[str, float]
    adjusted: dict[str, float]


@dataclass(frozen=True)
class Sampled:
    """The figures of each of C cells, over B draws of patients.

    Attributes:
        keys: C draws and pre-trainings.
        value: (C, m) on the patients as they are.
        samples: (B, C, m) in each draw of patients.
        patients: how many were drawn, from as many.
    """

    keys: tuple[Key, ...]
    value: Figures
    samples: NDArray[np.floating]
    patients: int


def sample_cells(counts: Mapping[Key, Counts], rare: NDArray[np.bool_], settings: JudgeSettings) -> Sampled:
    """`MEANS`, then F1 of each view, of each cell and draw of patients.

    Args:
        counts: (P, k, k) of each cell, see `patient_confusions`: the same P patients in all.
        rare: (k,) which views are rare.
        settings: resamples and seed; with the same, all methods see the same draws of patients.
    """
    keys = tuple(counts)
    stacked = np.stack([counts[key] for key in keys])
    cells, patients, views, _ = stacked.shape
    table = stacked.transpose(1, 0, 2, 3).reshape(patients, -1).astype(np.float64)
    chunk = max(1, _CHUNK_VALUES // max(table.shape))
    samples = [
        _figures((weights @ table).reshape(-1, cells, views, views), rare).astype(np.float32)
        for weights in draw_patients(patients, settings.resamples, settings.seed, chunk)
    ]
    return Sampled(keys, _figures(stacked.sum(axis=1), rare), np.concatenate(samples), patients)


def average(one: Sampled, chosen: Sequence[Key], settings: JudgeSettings) -> Bootstrap:
    """m figures averaged over the `chosen` cells, in each draw of patients, label draws and pre-trainings.

    Samples in which none of the chosen cells was drawn are NaN.
    """
    columns = [one.keys.index(key) for key in chosen]
    draws, pretrainings = _parts(chosen)
    weights = _times(len(draws), settings, 1)[:, [draws.index(draw) for draw, _ in chosen]]
    if pretrainings:
        which = [None if number is None else pretrainings.index(number) for _, number in chosen]
        times = _times(len(pretrainings), settings, 2)
        weights = weights * np.stack(
            [np.ones(len(times)) if i is None else times[:, i] for i in which], axis=1
        )
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        samples = np.einsum("bc,bcm->bm", weights / total, one.samples[:, columns].astype(np.float64))
    return Bootstrap(one.value[columns].mean(axis=0), samples, one.patients, settings.seed)


def judge_row(
    method: str,
    budget: int | str,
    sampled: Sampled,
    views: Sequence[str],
    settings: JudgeSettings,
    *,
    whole_exam: bool = False,
) -> Row:
    """The figures of a method at a budget, with their intervals."""
    draws, pretrainings = _parts(sampled.keys)
    means, view_f1 = _named(average(sampled, sampled.keys, settings), views, settings)
    return Row(method, budget, whole_exam, draws, pretrainings, len(sampled.keys), means, view_f1)


def means_told(rows: Sequence[Row]) -> tuple[str, ...]:
    """Those of `MEANS` that there is a figure of: without common views there is none of them."""
    return tuple(name for name in MEANS if any(not np.isnan(row.means[name].value) for row in rows))


def judge_difference(
    method: tuple[str, int | str],
    other: tuple[str, int | str],
    sampled: Sampled,
    other_sampled: Sampled,
    views: Sequence[str],
    settings: JudgeSettings,
    *,
    tested: bool = True,
) -> Difference | None:
    """The paired difference of two methods, each with its budget; None where they have no cells in common.

    Its p-values are not adjusted yet, see `adjust`.
    """
    mine, others = common_cells(sampled.keys, other_sampled.keys)
    if not mine:
        return None
    one, base = average(sampled, mine, settings), average(other_sampled, others, settings)
    gain = Bootstrap(one.value - base.value, one.samples - base.samples, one.patients, one.seed)
    means, view_f1 = _named(gain, views, settings)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(base.value > 0, gain.value / base.value, np.nan)
    p = {
        name: two_sided_p(gain.samples[:, i]) if gain.patients > 1 else float("nan")
        for i, name in enumerate(MEANS)
        if tested and name in TESTED and not np.isnan(gain.value[i])
    }
    return Difference(
        method=method[0],
        other=other[0],
        budget=method[1],
        other_budget=other[1],
        draws=_parts(mine)[0],
        means=means,
        view_f1=view_f1,
        relative=dict(zip((*MEANS, *views), relative.tolist(), strict=True)),
        p=p,
        adjusted={},
    )


def common_cells(one: Sequence[Key], other: Sequence[Key]) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """The cells of each side with a partner: the same draw and, where both sides have one, pre-training."""
    if _parts(one)[1] and _parts(other)[1]:
        shared = tuple(key for key in one if key in other)
        return shared, shared
    draws = {draw for draw, _ in one} & {draw for draw, _ in other}
    return tuple(key for key in one if key[0] in draws), tuple(key for key in other if key[0] in draws)


def adjust(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """The differences with p-values adjusted by Holm's method over all of them together."""
    adjusted = holm_together([difference.p for difference in differences])
    return tuple(replace(difference, adjusted=p) for difference, p in zip(differences, adjusted, strict=True))


def _figures(confusion: Counts, rare: NDArray[np.bool_]) -> Figures:
    """(…, k, k) → (…, 3 + k): `MEANS`, then F1 of each view."""
    means: tuple[Callable[[Counts], Figures], ...] = (
        lambda counts: metrics.mean_f1(counts, rare),
        lambda counts: metrics.mean_f1(counts, ~rare),
        metrics.macro_f1,
    )
    columns = [mean(confusion)[..., None] for mean in means]
    return np.concatenate([*columns, metrics.f1(confusion)], axis=-1)


def _named(
    result: Bootstrap, views: Sequence[str], settings: JudgeSettings
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """`MEANS` and the views by name."""
    intervals = percentile_intervals(result, settings.confidence)
    means = dict(zip(MEANS, intervals, strict=False))
    return means, dict(zip(views, intervals[len(MEANS) :], strict=True))


def _parts(keys: Sequence[Key]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The draws and the pre-trainings of cells, each once, in order."""
    draws = sorted({draw for draw, _ in keys})
    return tuple(draws), tuple(sorted({number for _, number in keys if number is not None}))


def _times(things: int, settings: JudgeSettings, stream: int) -> NDArray[np.float64]:
    """(B, things): how often each is drawn, always the same for so many; patients have stream 0."""
    seed = int(np.random.SeedSequence([settings.seed, stream]).generate_state(1)[0])
    return next(draw_patients(things, settings.resamples, seed))
