"""Sets of views that hold the true one with a promised probability.

Split conformal prediction with the least ambiguous set-valued classifier (Sadinle, Lei & Wasserman,
JASA 2019, arXiv 1609.00451). The promise is about exchangeable draws. Clips of one patient are not, so
one clip a patient is drawn for calibration; the promise is then for a random clip of a new patient from
the same hospitals and machines, on average over views and over calibrations, and not for each view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo


@dataclass(frozen=True)
class Conformal:
    """How improbable a view may be and still be in the set.

    Attributes:
        threshold: a view is in the set if 1 - p ≤ threshold; 1 puts every view in.
        patients: how many patients (one clip each) it was calibrated on.
        enough: False if those are too few for the error rate; the threshold is then 1.
    """

    threshold: float
    patients: int
    enough: bool


def fit_conformal(
    probabilities: NDArray[Any],
    label: NDArray[np.int64],
    patient: NDArray[Any],
    *,
    error_rate: float = 0.1,
    seed: int = 0,
) -> Conformal:
    """The ceil((P + 1) (1 - α)) / P quantile of 1 - p(true view), over one labelled clip of P patients.

    Args:
        probabilities: (n, k) in 0 … 1, of clips that neither trained nor test the classifier.
        label: (n,) true views as indices; clips with -1 are left out.
        patient: (n,) pseudonyms.
        error_rate: α, the share of new clips whose set may miss the true view.
        seed: fixes which clip of a patient is drawn.

    Raises:
        CannotDo: no clip has a label.
    """
    known = np.flatnonzero(label >= 0)
    if not len(known):
        raise CannotDo("no labelled clip to calibrate on", "label some clips of validation patients")
    shuffled = np.random.default_rng(seed).permutation(known)
    _, first = np.unique(patient[shuffled], return_index=True)
    drawn = shuffled[first]
    scores = np.sort(1 - probabilities[drawn, label[drawn]].astype(np.float64))
    rank = int(np.ceil((len(scores) + 1) * (1 - error_rate) - 1e-9))
    if rank > len(scores):
        return Conformal(1.0, len(scores), enough=False)
    return Conformal(float(scores[rank - 1]), len(scores), enough=True)


def prediction_sets(probabilities: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """(n, k): which views are in each clip's set. An empty set means that no view is credible."""
    return np.asarray(1 - probabilities.astype(np.float64) <= threshold)
