"""Whether a classifier is worse on some clips than on the rest: figures by slice.

Slices show different views, and views are not equally hard, so accuracies of slices cannot be compared. What
is compared is the recall at equal views: over the views that both the slice and the rest show, the mean of
recall in the slice minus recall in the rest (direct standardisation, every view weighing the same). Patients
are drawn jointly, whether they are in one of the two or in both. Holm's correction is over all slices that
are compared; of a slice with two values both are, so it errs on the safe side.

Limits: slices hang together (a machine has its own depths and its own patients), so a difference says where,
not why. Slices of fewer than `FEWEST` patients are only named. The worst of many slices looks worse than it
is: of 200 simulated tables of 26 slices that differed by chance only, 75 had a slice whose interval lay below
zero (4000 draws, expanded intervals). p is by Student's t and errs on the safe side with few patients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtr

from apical.config import JudgeSettings
from apical.errors import WrongCall
from apical.ingest.frames import FrameStore
from apical.judge import metrics
from apical.judge.again import FrameAnswers
from apical.judge.corruptions import sector_of
from apical.judge.holm import holm
from apical.judge.intervals import KINDS, Bootstrap, Interval, bootstrap, patient_confusions
from apical.judge.tellable import tellable_maker, tellable_model, tellable_stage
from apical.learn.predictions import Predictions
from apical.learn.reading import FrameFile

FEWEST = 5
"""Patients that a slice, and the rest, must have to be compared."""
NOT_KNOWN = "not known"
OF_FEW = f"values of fewer than {FEWEST} patients (not shown)"
ALPHA = 0.05  # an adjusted p below this is taken for a difference
END_SYSTOLE = 0.4
"""Phase at which systole ends: Q wave to aortic closure takes 546 - 2.1 HR ms (Weissler et al., Circulation
1968), about 0.4 of the cycle from the R wave on at 60 to 70 beats a minute, more in faster hearts."""

_NEVER = ("clip", "path", "patient", "study", "view", "labelled_by", "split", "problem", "region", "sector")
_MOST_VALUES = 30  # of a text column that a user names; one with more may tell who a patient is

Values = Mapping[str, NDArray[np.str_]]
"""By the slice's name, the value of each of n clips, (n,)."""


@dataclass(frozen=True)
class Slice:
    """The judged clips of one value, averaged over training seeds. All shares are 0 … 1.

    Attributes:
        name: what the clips are told apart by, such as ``manufacturer``.
        value: theirs; `NOT_KNOWN` where nobody said.
        clips: how many; of the frame phase, how many have a frame in it.
        patients: of how many patients.
        macro_f1: mean F1 of the views in the slice; no limits where there are fewer than `FEWEST` patients.
        accuracy: share named rightly; likewise.
        views: how many views both the slice and the rest show.
        difference: recall at equal views in the slice minus that in the rest; None where not compared.
        p: of no difference, after Holm's correction over all slices compared; NaN where not compared. The
            smallest there can be is 2 / (resamples + 1) times their number, so many slices need many draws.
        worst: it has the lowest difference of those whose interval lies below zero. That is where to look
            first, and shown only if `p` is small: intervals are not corrected for how many slices there are.
    """

    name: str
    value: str
    clips: int
    patients: int
    macro_f1: Interval
    accuracy: Interval
    views: int
    difference: Interval | None
    p: float
    worst: bool = False


def judge_slices(
    runs: Sequence[Predictions],
    values: Values,
    answers: Sequence[FrameAnswers] = (),
    settings: JudgeSettings = JudgeSettings(),
) -> list[Slice]:
    """Figures of every slice, in the order of `values`, each compared with the rest of the clips.

    What is not known of any clip is left out.

    Args:
        runs: the n judged clips of one method, one a training seed, from `apical.judge.runs.judged_runs`.
        values: from `catalogue_values` and `appearance_values`, of the same clips in the same order.
        answers: of the same runs' frames, for slices by phase: a clip is then named by its systolic frames
            alone, and by its diastolic ones. None by default.
        settings: resamples, confidence, seed and kind of interval.
    """
    first = runs[0]
    named = np.stack([run.predicted for run in runs])
    found: list[tuple[Slice, float]] = []
    for name, value in values.items():
        if (value == NOT_KNOWN).all():
            continue
        found += _by_value(name, value, first, np.arange(len(first)), named, settings)
    if answers and not np.isnan(answers[0].phase).all():
        found += _by_value("frame phase", *_by_phase(answers), settings)
    adjusted = holm(np.array([p for _, p in found]))
    slices = [replace(each, p=float(p)) for (each, _), p in zip(found, adjusted, strict=True)]
    lower = {
        place: each.difference.value
        for place, each in enumerate(slices)
        if each.difference is not None and each.difference.high < 0 and each.p < ALPHA
    }
    if lower:
        place = min(lower, key=lower.__getitem__)
        slices[place] = replace(slices[place], worst=True)
    return slices


def catalogue_values(clips: NDArray[np.str_], catalogue: pl.DataFrame, columns: Sequence[str] = ()) -> Values:
    """What a catalogue says of clips.

    Manufacturer, model, contrast agent, stage, depth of the sector (thirds) and heart rate, then the columns
    named: texts and truths as they are, numbers in thirds of the clips given. Texts that only a few patients
    have are one slice, unnamed: they might tell who these are.

    Args:
        clips: (n,) their ids; those not in the catalogue are not known.
        catalogue: as `apical.catalogue.read_catalogue` gives it.
        columns: further columns, such as ``sex`` or ``age``.

    Raises:
        WrongCall: there is no such column, it names clips, people or views, or it cannot be sliced.
    """
    table = pl.DataFrame({"clip": clips.tolist()}).join(
        catalogue, on="clip", how="left", maintain_order="left"
    )
    region = pl.col("region")
    depth = (region.arr.get(3) - region.arr.get(1)) * pl.col("pixel_height_mm")
    found = {
        "manufacturer": _texts(table["manufacturer"], tellable_maker),
        "model": _texts(table["model"], tellable_model),
        "contrast agent": _texts(table["contrast_agent"], str),
        "stage": _texts(table["stage"], tellable_stage),
        "sector depth (mm)": thirds(_numbers(table.select(depth).to_series())),
        "heart rate": _by_limits(_numbers(table["heart_rate"]), ("below 60", "60 to 90", "above 90")),
    }
    return found | {column: _named_column(table, catalogue, column) for column in columns}


def appearance_values(clips: NDArray[np.str_], store: FrameStore) -> Values:
    """How the stored frames of clips look: brightness and sharpness inside the sector, in thirds.

    Brightness is the mean grey level, 0 to 255. Sharpness is the root mean square of the Laplacian by the
    standard deviation of grey levels, which gain hardly changes; noise counts as sharp.

    Args:
        clips: (n,) their ids; those not in the store are not known.
        store: an opened frame store; a clip is read at a time.
    """
    frames = FrameFile.of(store.frames)
    rows = dict(store.index.sort("row").group_by("clip", maintain_order=True).agg("row").iter_rows())
    seen = np.array(
        [
            _appearance(frames[np.array(rows[clip])]) if clip in rows else (np.nan, np.nan)
            for clip in clips.tolist()
        ]
    ).reshape(-1, 2)
    return {"brightness": thirds(seen[:, 0]), "sharpness": thirds(seen[:, 1])}


def thirds(numbers: NDArray[np.float64]) -> NDArray[np.str_]:
    """(n,): in which third of the known numbers (n,) each is, named by its limits; `NOT_KNOWN` for NaN.

    Equal numbers come into one third, so with many of them thirds are uneven or missing.
    """
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return np.full(len(numbers), NOT_KNOWN)
    low, high = np.quantile(known, [1 / 3, 2 / 3], method="inverted_cdf")
    names = np.array([f"up to {low:.4g}", f"{low:.4g} to {high:.4g}", f"above {high:.4g}"])
    third = (numbers > low).astype(int) + (numbers > high)
    return np.where(np.isnan(numbers), NOT_KNOWN, names[third])


def _by_value(
    name: str,
    value: NDArray[np.str_],
    clips: Predictions,
    row: NDArray[np.int64],
    named: NDArray[np.int64],
    settings: JudgeSettings,
) -> list[tuple[Slice, float]]:
    """The slices of one name with their p before correction; unit u, of value[u], is of clip row[u].

    named: (s, u) the views named, one row a training seed.
    """
    label, patient = clips.label[row], clips.patient[row]
    shown, label = np.unique(label, return_inverse=True)
    # Views that no clip shows are one column: naming any of them is wrong alike.
    column = np.searchsorted(shown, named).clip(max=len(shown) - 1)
    column = np.where(shown[column] == named, column, len(shown))
    limits = KINDS[settings.interval]
    found = []
    for each in sorted(set(value.tolist()), key=lambda text: (text == NOT_KNOWN, text)):
        inside = value == each
        parts = [np.where(part, label, -1) for part in (inside, ~inside)]
        tables = np.stack(
            [
                np.stack([patient_confusions(part, seed, patient, len(shown) + 1) for part in parts], axis=1)
                for seed in column
            ]
        )
        drawn = bootstrap(tables, _figures, resamples=settings.resamples, seed=settings.seed)
        patients, others = (len(np.unique(patient[part])) for part in (inside, ~inside))
        # As wide as the patients who have such clips demand, not all who were drawn.
        figures, compared_figures = (
            limits(replace(drawn, patients=number), settings.confidence)
            for number in (patients, min(patients, others))
        )
        enough = patients >= FEWEST
        macro_f1, accuracy = figures[:2] if enough else map(_without_limits, figures[:2])
        views = int((metrics.support(tables[0].sum(axis=0)) > 0).all(axis=0).sum())
        compared = enough and others >= FEWEST and views > 0
        found.append(
            (
                Slice(
                    name=name,
                    value=each,
                    clips=int(inside.sum()),
                    patients=patients,
                    macro_f1=macro_f1,
                    accuracy=accuracy,
                    views=views,
                    difference=compared_figures[2] if compared else None,
                    p=float("nan"),
                ),
                _p(drawn, min(patients, others)) if compared else float("nan"),
            )
        )
    return found


def _p(drawn: Bootstrap, patients: int) -> float:
    """Of no difference, two-sided: Student's t of the difference by its spread over draws.

    The spread is widened and the degrees of freedom are taken as in `expanded_intervals`, for the patients of
    the smaller side. Shares of draws would not do: they are too small for few patients, and cannot be as
    small as a correction for many slices asks.
    """
    spread = float(np.nanstd(drawn.samples[:, 2]))
    if not spread:
        return 1.0 if drawn.value[2] == 0 else 0.0
    freedom = patients - 1
    t = abs(drawn.value[2]) / (spread * np.sqrt(1 + 1 / freedom))
    return float(2 * stdtr(freedom, -t))


def _figures(confusion: metrics.Counts) -> metrics.Figures:
    """Macro F1 and accuracy of the slice, and its recall at equal views minus the rest's: (…, 3).

    confusion: (…, 2, k, k), the slice and the rest.
    """
    inside, rest = confusion[..., 0, :, :], confusion[..., 1, :, :]
    gap = metrics.recall(inside) - metrics.recall(rest)
    both = ~np.isnan(gap)
    number = both.sum(axis=-1)
    mean = np.divide(
        np.where(both, gap, 0).sum(axis=-1), number, out=np.full(number.shape, np.nan), where=number > 0
    )
    return np.stack([metrics.macro_f1(inside), metrics.accuracy(inside), mean], axis=-1)


def _without_limits(figure: Interval) -> Interval:
    return Interval(figure.value, float("nan"), float("nan"), 0)


def _by_phase(
    answers: Sequence[FrameAnswers],
) -> tuple[NDArray[np.str_], Predictions, NDArray[np.int64], NDArray[np.int64]]:
    """Each clip once for each part of the cycle that it has frames of.

    Returns:
        the part (u,), the clips, which of them each is (u,), and the views named (s, u).
    """
    phase = answers[0].phase
    parts = {
        "systole": phase < END_SYSTOLE,
        "diastole": phase >= END_SYSTOLE,
        NOT_KNOWN: np.isnan(phase),
    }
    value, row, named = [], [], []
    for part, chosen in parts.items():
        clips = np.unique(answers[0].clip[chosen])
        value.append(np.full(len(clips), part))
        row.append(clips)
        named.append(np.stack([each.pooled(chosen)[clips].argmax(axis=1) for each in answers]))
    return np.concatenate(value), answers[0].judged, np.concatenate(row), np.concatenate(named, axis=1)


def _named_column(table: pl.DataFrame, catalogue: pl.DataFrame, column: str) -> NDArray[np.str_]:
    """Of the clips of a table; a text must stand with several patients of the whole catalogue to be told."""
    allowed = [name for name in table.columns if name not in _NEVER]
    if column not in allowed:
        raise WrongCall(
            f"'{column}' is no column to slice by" if column in _NEVER else f"there is no column '{column}'",
            f"choose from {', '.join(allowed)}",
        )
    values = table[column]
    if values.dtype.is_numeric():
        return thirds(_numbers(values))
    if values.dtype not in (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null):
        raise WrongCall(f"the column '{column}' holds neither texts nor numbers", "make it one of these")
    if values.n_unique() > _MOST_VALUES:
        raise WrongCall(
            f"the column '{column}' has {values.n_unique()} different values",
            f"group them to {_MOST_VALUES} at most; a column that tells people apart is no slice",
        )
    if values.dtype == pl.Boolean:
        return _texts(values, str)
    patients = catalogue.group_by(pl.col(column).cast(pl.String)).agg(pl.col("patient").n_unique())
    told = {value for value, count in patients.iter_rows() if count >= FEWEST}
    return _texts(values, lambda text: text if text in told else OF_FEW)


def _texts(values: pl.Series, tellable: Callable[[str], str]) -> NDArray[np.str_]:
    words = {None: NOT_KNOWN, True: "yes", False: "no", "": NOT_KNOWN}
    return np.array(
        [words[value] if value in words else tellable(str(value)) for value in values.to_list()], np.str_
    )


def _numbers(values: pl.Series) -> NDArray[np.float64]:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _by_limits(rate: NDArray[np.float64], names: tuple[str, str, str]) -> NDArray[np.str_]:
    """(n,): below 60, 60 to 90, above 90, or not known."""
    group = (rate >= 60).astype(int) + (rate > 90)
    return np.where(np.isnan(rate), NOT_KNOWN, np.array(names)[group])


def _appearance(frames: NDArray[np.uint8]) -> tuple[float, float]:
    """Brightness and sharpness of a clip's frames (F, s, s); NaN for black ones."""
    inside = sector_of(frames)
    inner = cv2.erode(np.pad(inside.astype(np.uint8), 2), np.ones((5, 5), np.uint8))[2:-2, 2:-2] > 0
    if not inner.any():
        return float("nan"), float("nan")
    curved: Any = [cv2.Laplacian(frame, cv2.CV_32F)[inner] for frame in frames]
    spread = float(np.std(frames[:, inner]))
    rough = float(np.sqrt(np.square(curved).mean()))
    return float(frames[:, inside].mean()), rough / spread if spread else float("nan")
