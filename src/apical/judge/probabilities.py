"""What a method's probabilities are worth, before and after calibration on validation patients.

A run is calibrated as a bundle is: a scaling is chosen, then sets of views and an operating point are found
on the validation clips as scaled by fits on *other* validation patients, since a scaling flatters the clips
it was fitted on. Sets and operating point are then used with the scaling fitted on all; their promises are
exact for one fixed scaling, and so hold about, not exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.config import JudgeSettings
from apical.judge.calibration import (
    SHUT_OFF,
    Kind,
    Scaling,
    Temperature,
    choose_scaling,
    fit_temperature,
    scaled_by_others,
)
from apical.judge.conformal import Conformal, Score, SetFigures, fit_conformal, set_figures
from apical.judge.intervals import Interval
from apical.judge.reliability import Reliability, judge_reliability
from apical.judge.runs import labelled
from apical.judge.selective import (
    OperatingPoint,
    RiskCoverage,
    answered_figures,
    operating_point,
    risk_coverage,
    risk_coverage_area,
    thinned,
)
from apical.learn.predictions import Predictions

ERROR_RATE = 0.1
"""The share of clips whose set of views may miss the true one."""

SCORE: Score = "lac"
"""By which views get into sets, each view with a threshold of its own. On seven runs on synthetic patients,
by cross-fitting on validation patients: of all scores with thresholds by view, which alone kept every view's
coverage near what is promised, this one had the smallest sets."""


@dataclass(frozen=True)
class Calibration:
    """What makes one run's log-probabilities into answers.

    Attributes:
        scaling: the chosen one.
        losses: what cross-validation found for each kind of scaling: mean negative log-likelihood.
        temperature: the best single temperature, whatever was chosen; it tells how sure of itself a run was.
        conformal: for probabilities that are scaled.
        operating: for probabilities that are scaled.
    """

    scaling: Scaling
    losses: dict[Kind, float]
    temperature: Temperature
    conformal: Conformal
    operating: OperatingPoint


@dataclass(frozen=True)
class ProbabilityFigures:
    """One method's probabilities on the judged clips, averaged over its training seeds.

    `before`, `after` and `sets` are of the judged clips whose view was taught; of the others no answer can be
    right, however sure it is. `area`, `answered` and `wrong` are of all: there these are wrong answers.

    Attributes:
        before: as the classifier answers.
        after: after scaling.
        scalings: what was chosen for each seed.
        temperature: the mean of the seeds' best temperatures, whatever was chosen.
        temperature_at_bound: a seed's temperature ran into its bound, so it is not to be trusted.
        renamed: share of all clips that get another name by scaling; 0 unless it is by vector.
        sets: coverage, of which 1 - `ERROR_RATE` is promised, and size of the sets of views.
        unpromised: taught views without a promise of their own in some seed: too few validation patients.
        area: under the curve of risk against coverage.
        operating: what was found for each seed.
        curve: risk against coverage of the first seed, after scaling.
        answered: share of clips answered at the operating point, promised or not.
        wrong: share wrong of those; None where a seed answers none.
        validation_patients: how many patients it was calibrated on.
        enough_patients: False if these are too few for any promise, so that every set holds all taught views.
        untaught_clips: judged clips of views that were not taught; the most of any seed.
    """

    before: Reliability
    after: Reliability
    scalings: tuple[Kind, ...]
    temperature: float
    temperature_at_bound: bool
    renamed: float
    sets: SetFigures
    unpromised: tuple[str, ...]
    area: Interval
    operating: tuple[OperatingPoint, ...]
    curve: RiskCoverage
    answered: Interval
    wrong: Interval | None
    validation_patients: int
    enough_patients: bool
    untaught_clips: int

    @property
    def calibration_error(self) -> float:
        """Expected calibration error as the classifier answers, 0 … 1."""
        return self.before.error.value

    @property
    def calibrated_error(self) -> float:
        """Expected calibration error after scaling, 0 … 1."""
        return self.after.error.value

    @property
    def set_coverage(self) -> float:
        """Share of clips whose set of views holds the true one."""
        return self.sets.coverage.value

    @property
    def set_size(self) -> float:
        """Mean number of views in a set."""
        return self.sets.size.value


def taught_views(log_probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    """(k,): the views a classifier can answer, from its log-probabilities (n, k) of any n ≥ 1 clips."""
    return np.asarray(log_probabilities.max(axis=0, initial=-np.inf) > SHUT_OFF)


def of_taught_views(predictions: Predictions, split: str) -> Predictions:
    """The labelled clips of the split that show a view the classifier was taught, sorted by clip id.

    Those of split ``validation`` are what a run is calibrated on, in a report and in a bundle.
    """
    clips = labelled(predictions, split)
    return clips.select(taught_views(predictions.log_probabilities)[clips.label])


def calibrate_run(run: Predictions, risk: float = 0.02) -> Calibration:
    """Scaling, sets and operating point of one run, from the labelled clips of its validation patients.

    Clips of views that were not taught only count for the operating point, as wrong.

    Args:
        run: all its answers.
        risk: the share of answered clips that may be wrong at the operating point.

    Raises:
        CannotDo: no such clip shows a view that was taught.
    """
    clips = labelled(run, "validation")
    label = _known(run, clips)
    scaling, losses = choose_scaling(clips.log_probabilities, label, clips.patient)
    held_out = scaled_by_others(scaling.kind, clips.log_probabilities, label, clips.patient)
    probabilities = np.exp(held_out)
    return Calibration(
        scaling=scaling,
        losses=losses,
        temperature=fit_temperature(clips.log_probabilities, label),
        conformal=fit_conformal(
            probabilities, label, clips.patient, error_rate=ERROR_RATE, score=SCORE, per_view=True
        ),
        operating=operating_point(
            probabilities.max(axis=1), probabilities.argmax(axis=1) != clips.label, clips.patient, risk=risk
        ),
    )


def judge_probabilities(
    runs: Sequence[Predictions], split: str, settings: JudgeSettings = JudgeSettings()
) -> ProbabilityFigures | None:
    """Calibrate each run on its validation clips, as for a bundle, then look at the judged ones.

    Args:
        runs: all answers of one method, one `Predictions` a training seed, with the same labelled clips.
        split: whose clips to judge on.
        settings: resamples, confidence, seed and risk.

    Returns:
        None where a run has no labelled clip of a taught view to calibrate or to judge on.
    """
    if not all(len(of_taught_views(run, part)) for run in runs for part in (split, "validation")):
        return None
    fitted = [calibrate_run(run, settings.risk) for run in runs]
    judged = [labelled(run, split) for run in runs]
    patient = judged[0].patient
    label = np.stack([_known(run, clips) for run, clips in zip(runs, judged, strict=True)])
    raw = np.stack([clips.log_probabilities for clips in judged])
    scaled = np.stack([each.scaling(clips) for each, clips in zip(fitted, raw, strict=True)])
    probabilities = np.exp(scaled)
    named, sure = probabilities.argmax(axis=2), probabilities.max(axis=2)
    wrong = named != judged[0].label
    sets = np.stack([each.conformal.sets(p) for each, p in zip(fitted, probabilities, strict=True)])
    resamples, seed, level = settings.resamples, settings.seed, settings.confidence
    answered, of_answered = answered_figures(
        sure,
        wrong,
        patient,
        [each.operating.used for each in fitted],
        resamples=resamples,
        seed=seed,
        level=level,
    )
    unpromised = np.zeros(len(judged[0].views), bool)
    for run, each in zip(runs, fitted, strict=True):
        unpromised |= taught_views(run.log_probabilities) & ~np.array(each.conformal.promised)
    return ProbabilityFigures(
        before=judge_reliability(raw, label, patient, resamples=resamples, seed=seed, level=level),
        after=judge_reliability(scaled, label, patient, resamples=resamples, seed=seed, level=level),
        scalings=tuple(each.scaling.kind for each in fitted),
        temperature=float(np.mean([each.temperature.value for each in fitted])),
        temperature_at_bound=any(each.temperature.at_bound for each in fitted),
        renamed=float((named != raw.argmax(axis=2)).mean()),
        sets=set_figures(sets, label, patient, resamples=resamples, seed=seed, level=level),
        unpromised=tuple(np.array(judged[0].views)[unpromised].tolist()),
        area=risk_coverage_area(sure, wrong, patient, resamples=resamples, seed=seed, level=level),
        operating=tuple(each.operating for each in fitted),
        curve=thinned(risk_coverage(sure[0], wrong[0], patient)),
        answered=answered,
        wrong=of_answered,
        validation_patients=fitted[0].conformal.patients,
        enough_patients=all(each.conformal.enough for each in fitted),
        untaught_clips=int((label < 0).sum(axis=1).max()),
    )


def _known(run: Predictions, clips: Predictions) -> NDArray[np.int64]:
    """(n,) true views of a run's clips, -1 where they were not taught."""
    return np.where(taught_views(run.log_probabilities)[clips.label], clips.label, -1)
