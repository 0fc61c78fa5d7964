"""Near whom does a clip lie: the same view, the same patient, the same machine?

Features are float tensors (n, d) of clips on any device, and need not be normalised. Codes of patients,
machines and views are int64 arrays (n,) with -1 where nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Codes = NDArray[np.int64]

ROWS_AT_ONCE = 512  # of a similarity matrix: with 5,000 clips, 10 MB
VOTERS = 20  # neighbours that vote on a view
VOTE_TEMPERATURE = 0.07  # Wu et al. 2018, arXiv 1805.01978, sec. 3.4


def unit(vectors: Tensor) -> Tensor:
    """Vectors (n, d) of length 1, without a gradient; float32 or, from float64, float64."""
    vectors = vectors.detach()
    return F.normalize(vectors if vectors.dtype == torch.float64 else vectors.float(), dim=1)


@torch.no_grad()
def nearest(features: Tensor, apart: Codes, k: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The most similar clips of each clip by cosine, in blocks of rows, in order.

    Args:
        features: (n, d).
        apart: (n,) no clip is a neighbour of one with the same code (so never of itself).
        k: neighbours of a clip, n at most.

    Yields:
        indices (rows, k) int64 and similarities (rows, k), nearest first; -inf where there are no more.
    """
    vectors = unit(features)
    groups = torch.from_numpy(apart).to(vectors.device)
    for rows in torch.arange(len(vectors), device=vectors.device).split(ROWS_AT_ONCE):
        similarity = vectors[rows] @ vectors.T
        similarity[groups[rows, None] == groups] = -torch.inf
        found = similarity.topk(k, dim=1)
        yield found.indices, found.values


@dataclass(frozen=True)
class Agreement:
    """How often the nearest clip shares something.

    Attributes:
        rate: share of the clips, 0 to 1.
        by_chance: the same of random clips; above 0 and below 1.
        error: standard error of `rate` - `by_chance`, patients being drawn.
    """

    rate: float
    by_chance: float
    error: float

    @property
    def factor(self) -> float:
        """How many times as often as by chance."""
        return self.rate / self.by_chance


def shared_rate(features: Tensor, code: Codes, apart: Codes, patient: Codes) -> Agreement | None:
    """How often the nearest clip has the same code, and how often a random one would.

    Clips without a code (-1 in any) have no part.

    Args:
        features: (n, d).
        code: (n,) what may be shared.
        apart: (n,) a neighbour is of another group than the clip.
        patient: (n,) clips of one patient count as one draw in the error.

    Returns:
        None where neighbours cannot tell: none or all of those in question have the same code.
    """
    known = (code >= 0) & (apart >= 0) & (patient >= 0)
    code, apart, patient = code[known], apart[known], patient[known]
    allowed = len(code) - _size_of_own(apart)
    alike = _size_of_own(code) - _size_of_own(np.stack([code, apart], axis=1))
    if not alike.any() or (alike == allowed).all():
        return None
    first = [found[:, 0] for found, _ in nearest(features[torch.from_numpy(known)], apart, 1)]
    hit = code[torch.cat(first).cpu().numpy()] == code
    surplus = hit - alike / allowed
    _, who = np.unique(patient, return_inverse=True)
    of_patients = np.bincount(who, weights=surplus - surplus.mean())
    error = float(np.sqrt((of_patients**2).sum()) / len(hit))
    return Agreement(float(hit.mean()), float((alike / allowed).mean()), error)


def _size_of_own(group: Codes) -> Codes:
    """(n,): members of the group that each row, a number or several, names."""
    _, place, count = np.unique(group, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(count[place.reshape(-1)], np.int64)


def shared_rates(
    features: Tensor, patient: Codes, machine: Codes, label: Codes | None = None
) -> dict[str, Agreement]:
    """What the nearest clip shares: the shortcut alarm.

    The patient is compared among all other clips; machine and view among those of other patients, since a
    patient has one machine.

    Args:
        features: (n, d) of clips.
        patient: (n,).
        machine: (n,).
        label: (n,) views.

    Returns:
        ``same_patient``, ``same_machine`` and ``same_view``, those that can be asked.
    """
    asked = {
        "same_patient": shared_rate(features, patient, np.arange(len(patient)), patient),
        "same_machine": shared_rate(features, machine, patient, patient),
        "same_view": None if label is None else shared_rate(features, label, patient, patient),
    }
    return {name: found for name, found in asked.items() if found is not None}


def knn_view_accuracy(
    features: Tensor, label: Codes, patient: Codes, k: int = VOTERS
) -> tuple[float, float] | None:
    """How often the nearest labelled clips of *other* patients name a clip's view.

    Neighbours vote with exp(s/0.07), s their cosine similarity (Wu et al. 2018, arXiv 1805.01978, sec. 3.4).

    Args:
        features: (n, d) of clips.
        label: (n,) views; only clips with one ask and answer.
        patient: (n,); clips of unknown patients have no part.
        k: neighbours that vote; fewer where there are no more.

    Returns:
        the share of right clips, and its mean over views (each counts the same); None without two patients
        with labels.
    """
    known = (label >= 0) & (patient >= 0)
    label, patient = label[known], patient[known]
    if len(np.unique(patient)) < 2:
        return None
    one_hot = F.one_hot(torch.from_numpy(label).to(features.device)).float()
    said = []
    for found, similarity in nearest(features[torch.from_numpy(known)], patient, min(k, len(label))):
        votes = ((similarity - 1) / VOTE_TEMPERATURE).exp()  # the constant changes no share
        said.append((one_hot[found] * votes[:, :, None]).sum(dim=1).argmax(dim=1))
    right = torch.cat(said).cpu().numpy() == label
    return float(right.mean()), float(np.mean([right[label == view].mean() for view in np.unique(label)]))
