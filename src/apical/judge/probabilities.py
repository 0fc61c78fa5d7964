"""Whether a method's probabilities can be trusted, before and after calibration on validation patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apical.judge.calibration import calibrate, expected_calibration_error, fit_temperature
from apical.judge.conformal import fit_conformal, prediction_sets
from apical.learn.predictions import Predictions

ERROR_RATE = 0.1
"""The share of clips whose set of views may miss the true one."""


@dataclass(frozen=True)
class ProbabilityFigures:
    """One method's probabilities on the judged clips, averaged over its training seeds.

    Attributes:
        calibration_error: expected calibration error as the classifier answers, 0 … 1.
        temperature: fitted on the validation clips.
        temperature_at_bound: a seed's temperature ran into its bound, so it is not to be trusted.
        calibrated_error: expected calibration error after dividing by the temperature, 0 … 1.
        set_coverage: share of clips whose set of views holds the true one; 1 - `ERROR_RATE` is promised.
        set_size: mean number of views in a set.
        validation_patients: how many patients it was calibrated on.
        enough_patients: False if these are too few for the promise, so that every set holds all views.
    """

    calibration_error: float
    temperature: float
    temperature_at_bound: bool
    calibrated_error: float
    set_coverage: float
    set_size: float
    validation_patients: int
    enough_patients: bool


def judge_probabilities(
    judged: Sequence[Predictions], validation: Sequence[Predictions], seed: int = 0
) -> ProbabilityFigures:
    """Calibrate each run on its validation clips, then look at the judged ones.

    Temperature and sets are calibrated on the same patients, as in a bundle.

    Args:
        judged: the labelled clips of the judged split, one a training seed of one method.
        validation: labelled clips of other patients, in the same order of seeds; at least one clip each.
        seed: fixes which clip of a validation patient is drawn for the sets.
    """
    before, after, covered, sizes, temperatures, conformals = [], [], [], [], [], []
    for clips, held_out in zip(judged, validation, strict=True):
        temperature = fit_temperature(held_out.log_probabilities, held_out.label)
        known = np.exp(calibrate(held_out.log_probabilities, temperature.value))
        conformal = fit_conformal(known, held_out.label, held_out.patient, error_rate=ERROR_RATE, seed=seed)
        probabilities = np.exp(calibrate(clips.log_probabilities, temperature.value))
        sets = prediction_sets(probabilities, conformal.threshold)
        before.append(expected_calibration_error(np.exp(clips.log_probabilities), clips.label))
        after.append(expected_calibration_error(probabilities, clips.label))
        covered.append(sets[np.arange(len(clips)), clips.label].mean())
        sizes.append(sets.sum(1).mean())
        temperatures.append(temperature)
        conformals.append(conformal)
    return ProbabilityFigures(
        calibration_error=float(np.mean(before)),
        temperature=float(np.mean([temperature.value for temperature in temperatures])),
        temperature_at_bound=any(temperature.at_bound for temperature in temperatures),
        calibrated_error=float(np.mean(after)),
        set_coverage=float(np.mean(covered)),
        set_size=float(np.mean(sizes)),
        validation_patients=conformals[0].patients,
        enough_patients=all(conformal.enough for conformal in conformals),
    )
