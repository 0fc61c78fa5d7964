"""The labelled clips that a clip is most like, to be shown beside what it was named.

They are near in the classifier's features, which also hold what matters for no view, and the answer is the
head's, not theirs: they illustrate a decision and do not prove it. People who judged answers on ImageNet were
helped as much by them as by attribution maps (Nguyen et al. 2021, arXiv 2105.14944).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apical.learn.clips import codes
from apical.learn.neighbours import ROWS_AT_ONCE, unit


def nearest_labelled(
    features: NDArray[Any],
    patient: NDArray[np.str_],
    labelled: NDArray[Any],
    labelled_patient: NDArray[np.str_],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The most similar labelled clips of *other* patients, by cosine; of equals the first.

    Args:
        features: (n, d) floating, of the clips that were named.
        patient: (n,) their pseudonyms.
        labelled: (m, d) floating, of labelled training clips.
        labelled_patient: (m,) their pseudonyms.
        k: neighbours of a clip, at least 1.

    Returns:
        indices into `labelled` (n, k) int64 and cosine similarities (n, k) float64, nearest first; where
        there are no more, -1 and -inf.
    """
    who = codes(np.concatenate([patient, labelled_patient]))
    own, other = who[: len(patient)], who[len(patient) :]
    vectors, targets = (unit(torch.from_numpy(x.astype(np.float64))).numpy() for x in (features, labelled))
    index = np.full((len(features), k), -1, np.int64)
    similarity = np.full((len(features), k), -np.inf)
    for start in range(0, len(features), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        cosine = vectors[rows] @ targets.T
        cosine[own[rows, None] == other] = -np.inf
        first = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        near = np.take_along_axis(cosine, first, axis=1)
        index[rows, : first.shape[1]] = np.where(near > -np.inf, first, -1)
        similarity[rows, : first.shape[1]] = near
    return index, similarity
