"""What else is known of one method, beyond how well it names clips.

Each part needs something beside the runs: a catalogue tells of studies, machines and patients, a frame
store lets the classifier be asked again. A part that is not there says what would bring it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.config import JudgeSettings
from apical.ingest.frames import FrameStore
from apical.judge.again import Witness, ask
from apical.judge.levels import Level, judge_clips, judge_studies
from apical.judge.plane import PlaneFigures, by_plane_error, plane_errors
from apical.judge.robustness import Robustness, judge_robustness
from apical.judge.runs import Run, labelled
from apical.judge.slices import NOT_KNOWN, Slice, appearance_values, catalogue_values, judge_slices
from apical.judge.unknown_figures import UnknownFigures, judge_unknown
from apical.learn.predictions import Predictions
from apical.learn.run import RunFolder


@dataclass(frozen=True)
class Beside:
    """What an evaluation may have beside the runs.

    Attributes:
        store: frame store of the clips.
        witnesses: the method's classifiers, one a training seed; () where they or the frames are not there.
        table: catalogue of the clips; labels and splits are not taken from it.
        truth: the ``truth.csv`` of a phantom.
        corruptions: whether to ask about corrupted frames, which takes as long as some thirty predictions.
        explanations: how many decisions are explained.
    """

    store: Path | None
    witnesses: Sequence[Witness]
    table: pl.DataFrame | None
    truth: Path | None
    corruptions: bool
    explanations: int


@dataclass(frozen=True)
class Deep:
    """Further figures of one method; what could not be had is empty or None, and `missing` says why.

    Attributes:
        method: which one.
        levels: by frame, clip, clip given its whole study, and study.
        unknown: how well clips that show none of the views are told from the judged ones.
        slices: figures by machine, image, patient group.
        robustness: figures on corrupted frames.
        plane: figures by how far the probe missed the view, on the phantom.
        missing: parts that are not there, and what would bring them.
    """

    method: str
    levels: tuple[Level, ...]
    unknown: UnknownFigures | None
    slices: tuple[Slice, ...]
    robustness: tuple[Robustness, ...]
    plane: PlaneFigures | None
    missing: dict[str, str]


def judge_deep(
    folders: Sequence[Path],
    runs: Sequence[Run],
    split: str,
    rare: Sequence[str],
    beside: Beside,
    settings: JudgeSettings,
    progress: Callable[[int, int], None],
) -> Deep:
    """All that `beside` allows.

    Args:
        folders: of the method's runs, one a training seed.
        runs: the same, read.
        split: the judged one.
        rare: views whose mean F1 is given separately.
        beside: what there is.
        settings: how to judge.
        progress: called while corrupted frames are asked about.

    Raises:
        CannotDo: the store or truth cannot be read, or is of other clips.
        WrongCall: there is no such column to judge slices by.
    """
    judged = [labelled(run.predictions, split) for run in runs]
    first = judged[0]
    table, missing = beside.table, dict[str, str]()
    answers = [ask(witness) for witness in beside.witnesses]
    if not answers:
        missing["single frames"] = "a frame store (--store), and runs that keep their classifier"
    levels = (
        [judge_clips("frame", [each.as_predictions() for each in answers], rare, settings)] if answers else []
    )
    levels.append(judge_clips("clip", judged, rare, settings))
    exams = _exam_answers(folders, split)
    if exams:
        levels.append(judge_clips("clip, given its whole study", exams, rare, settings))
    values: dict[str, NDArray[np.str_]] = {}
    if table is None:
        missing["studies and slices"] = "a catalogue (--catalogue)"
    else:
        level = judge_studies(judged, _of_clips(table, first.clip, "study"), rare, settings)
        levels += [level] if level else []
        values |= catalogue_values(first.clip, table, settings.by)
    if beside.store:
        values |= appearance_values(first.clip, FrameStore.open(beside.store))
    nowhere = [name for name, value in values.items() if (value == NOT_KNOWN).all()]
    nowhere += ["frame phase"] * bool(answers and np.isnan(answers[0].phase).all())
    if nowhere:
        missing[f"slices by {', '.join(nowhere)}"] = "values of the clips"
    unknown = None
    if split == "validation":
        missing["unknown clips"] = "test patients: validation patients set the threshold"
    else:
        unknown = judge_unknown([run.predictions for run in runs], split, settings)
        if unknown is None:
            missing["unknown clips"] = f"{split} clips labelled 'none', which show none of the views"
    if beside.truth is None or table is None:
        missing["plane error"] = "a phantom's truth (--truth) and catalogue"
        plane = None
    else:
        plane = _planes(table, judged, beside.truth, settings)
    robustness: Sequence[Robustness] = ()
    if answers and beside.corruptions:
        robustness = judge_robustness(beside.witnesses, settings, progress=progress)
    else:
        missing["corrupted frames"] = "a frame store (--store) and --corruptions"
    if not (answers and beside.explanations):
        missing["decisions explained"] = "a frame store (--store) and --explanations"
    return Deep(
        method=first.method,
        levels=tuple(levels),
        unknown=unknown,
        slices=tuple(judge_slices(judged, values, answers, settings)) if values else (),
        robustness=tuple(robustness),
        plane=plane,
        missing=missing,
    )


def _exam_answers(folders: Sequence[Path], split: str) -> list[Predictions]:
    """Answers given the whole exam, if every run has them."""
    files = [RunFolder(folder).exam_predictions for folder in folders]
    if not all(file.exists() for file in files):
        return []
    return [labelled(Predictions.load(file), split) for file in files]


def _of_clips(table: pl.DataFrame, clip: NDArray[np.str_], column: str) -> NDArray[np.str_]:
    """(n,) what the catalogue says of each clip, "" where nothing."""
    known = dict(table.select("clip", pl.col(column).fill_null("")).iter_rows())
    return np.array([known.get(str(name), "") for name in clip], np.str_)


def _planes(
    table: pl.DataFrame, judged: Sequence[Predictions], truth: Path, settings: JudgeSettings
) -> PlaneFigures:
    """Of the first seed, since seeds see the same planes."""
    first = judged[0]
    return by_plane_error(
        plane_errors(table, first.clip, truth),
        first.predicted == first.label,
        np.exp(first.log_probabilities.max(axis=1).astype(np.float64)),
        first.patient,
        resamples=settings.resamples,
        seed=settings.seed,
        level=settings.confidence,
    )
