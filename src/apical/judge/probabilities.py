"""Whether a method's probabilities can be trusted, before and after calibration on validation patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.judge.calibration import Temperature, calibrate, expected_calibration_error, fit_temperature
from apical.judge.conformal import Conformal, fit_conformal, prediction_sets
from apical.judge.runs import labelled
from apical.learn.predictions import Predictions

ERROR_RATE = 0.1
"""The share of clips whose set of views may miss the true one."""

_SHUT_OFF = -5e3  # log-probabilities of views that were not taught are about -1e4; no others come near


@dataclass(frozen=True)
class ProbabilityFigures:
    """One method's probabilities on the judged clips, averaged over its training seeds.

    All but `untaught_clips` is of the judged clips whose view was taught; of the others no answer can be
    right, however sure it is.

    Attributes:
        calibration_error: expected calibration error as the classifier answers, 0 … 1.
        temperature: fitted on the validation clips.
        temperature_at_bound: a seed's temperature ran into its bound, so it is not to be trusted.
        calibrated_error: expected calibration error after dividing by the temperature, 0 … 1.
        set_coverage: share of clips whose set of views holds the true one; 1 - `ERROR_RATE` is promised.
        set_size: mean number of views in a set.
        validation_patients: how many patients it was calibrated on.
        enough_patients: False if these are too few for the promise, so that every set holds all views.
        untaught_clips: judged clips of views that were not taught; the most of any seed.
    """

    calibration_error: float
    temperature: float
    temperature_at_bound: bool
    calibrated_error: float
    set_coverage: float
    set_size: float
    validation_patients: int
    enough_patients: bool
    untaught_clips: int


def taught_views(log_probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    """(k,): the views a classifier can answer, from its log-probabilities (n, k) of any n ≥ 1 clips."""
    return np.asarray(log_probabilities.max(axis=0, initial=-np.inf) > _SHUT_OFF)


def of_taught_views(predictions: Predictions, split: str) -> Predictions:
    """The labelled clips of the split that show a view the classifier was taught, sorted by clip id.

    Those of split ``validation`` are what a run is calibrated on, in a report and in a bundle.
    """
    clips = labelled(predictions, split)
    return clips.select(taught_views(predictions.log_probabilities)[clips.label])


def fit_calibration(clips: Predictions) -> tuple[Temperature, Conformal]:
    """Temperature and conformal threshold of one run, on clips from `of_taught_views`.

    Raises:
        CannotDo: there is no clip.
    """
    temperature = fit_temperature(clips.log_probabilities, clips.label)
    probabilities = np.exp(calibrate(clips.log_probabilities, temperature.value))
    return temperature, fit_conformal(probabilities, clips.label, clips.patient, error_rate=ERROR_RATE)


def judge_probabilities(runs: Sequence[Predictions], split: str) -> ProbabilityFigures | None:
    """Calibrate each run on its validation clips, as for a bundle, then look at the judged ones.

    Args:
        runs: all answers of one method, one `Predictions` a training seed.
        split: whose clips to judge on.

    Returns:
        None where a run has no labelled clip of a taught view to calibrate or to judge on.
    """
    before, after, covered, sizes, temperatures, conformals, untaught = [], [], [], [], [], [], []
    for run in runs:
        clips, held_out = of_taught_views(run, split), of_taught_views(run, "validation")
        if not len(clips) or not len(held_out):
            return None
        temperature, conformal = fit_calibration(held_out)
        probabilities = np.exp(calibrate(clips.log_probabilities, temperature.value))
        sets = prediction_sets(probabilities, conformal.threshold)
        before.append(expected_calibration_error(np.exp(clips.log_probabilities), clips.label))
        after.append(expected_calibration_error(probabilities, clips.label))
        covered.append(sets[np.arange(len(clips)), clips.label].mean())
        sizes.append(sets.sum(1).mean())
        temperatures.append(temperature)
        conformals.append(conformal)
        untaught.append(len(labelled(run, split)) - len(clips))
    return ProbabilityFigures(
        calibration_error=float(np.mean(before)),
        temperature=float(np.mean([temperature.value for temperature in temperatures])),
        temperature_at_bound=any(temperature.at_bound for temperature in temperatures),
        calibrated_error=float(np.mean(after)),
        set_coverage=float(np.mean(covered)),
        set_size=float(np.mean(sizes)),
        validation_patients=conformals[0].patients,
        enough_patients=all(conformal.enough for conformal in conformals),
        untaught_clips=max(untaught),
    )
