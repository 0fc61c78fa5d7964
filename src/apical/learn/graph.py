"""Labels that spread over a graph of clips.

Clips are linked where each is among the other's nearest of *other* patients; a patient's own clips resemble
each other whatever they show. What all clips of an exam have in common (the person, the machine, the gain) is
largely taken off first.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import cg

from apical.config import GraphSettings
from apical.learn.neighbours import nearest

Codes = NDArray[np.int64]
Values = NDArray[np.float64]


def centred(features: NDArray[np.float32], exam: Codes, share: float) -> NDArray[np.float32]:
    """Features (n, d) less a share of their exam's mean, after each dimension has mean 0 and deviation 1.

    Args:
        features: (n, d).
        exam: (n,) equal for the clips of an exam; those with -1 are each their own, and stay.
        share: of the exam's mean.
    """
    scaled = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    known = exam >= 0
    if not known.any():
        return np.asarray(scaled, np.float32)
    sums = np.zeros((exam.max() + 1, features.shape[1]))
    np.add.at(sums, exam[known], scaled[known])
    mean = sums / np.maximum(np.bincount(exam[known], minlength=len(sums)), 1)[:, None]
    scaled[known] -= share * mean[exam[known]]
    return np.asarray(scaled, np.float32)


def links(features: NDArray[np.float32], patient: Codes, neighbours: int) -> csr_matrix:
    """The graph, (n, n) symmetric: cosine similarity (if positive) of mutual nearest neighbours, else 0.

    Args:
        features: (n, d).
        patient: (n,) a clip is linked to clips of others only.
        neighbours: k of a clip.
    """
    n = len(features)
    k = min(neighbours, max(n - 1, 1))
    column, weight = [], []
    for found, similarity in nearest(torch.from_numpy(features), patient, k):
        column.append(found.numpy())
        weight.append(similarity.numpy().clip(min=0))
    row = np.repeat(np.arange(n), k)
    graph = csr_matrix((np.concatenate(weight).ravel(), (row, np.concatenate(column).ravel())), shape=(n, n))
    return graph.minimum(graph.T).tocsr()


def propagate(graph: csr_matrix, known: Values, spread: float) -> Values:
    """Label propagation (Zhou et al. 2004, *Learning with local and global consistency*, eq. 4).

    Solves (I − αS) F = Y, S the graph with its rows and columns divided by the roots of their sums.

    Args:
        graph: (n, n) symmetric, not negative.
        known: (n, k) Y, the labels' weights; rows of zeros where nothing is known.
        spread: α.

    Returns:
        F (n, k), not negative; rows of zeros where no label reaches.
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    root = diags(np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1e-12)), 0.0))
    system = diags(np.ones(len(known))) - spread * (root @ graph @ root)
    found = np.stack([cg(system, column, rtol=1e-8, maxiter=1000)[0] for column in known.T], axis=1)
    return np.asarray(found.clip(min=0))


def spread_labels(
    features: NDArray[np.float32],
    label: Codes,
    patient: Codes,
    exam: Codes,
    views: int,
    settings: GraphSettings,
) -> Values:
    """What the labelled clips say of all others, (n, k): each row's shares add up to 1, or all are 0.

    A view's labels weigh the same together, however many they are, and so does all that is said for it (class
    mass normalisation, Zhu et al. 2003).

    Args:
        features: (n, d) of clips.
        label: (n,) or -1.
        patient, exam: (n,) codes.
        views: k.
        settings: of the graph.
    """
    graph = links(centred(features, exam, settings.centre), patient, settings.neighbours)
    known = np.zeros((len(label), views))
    labelled = label >= 0
    count = np.bincount(label[labelled], minlength=views)
    known[np.flatnonzero(labelled), label[labelled]] = 1 / count[label[labelled]]
    found = propagate(graph, known, settings.spread)
    found /= np.maximum(found.sum(axis=0), 1e-12)
    total = found.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(found, total, out=np.zeros_like(found), where=total > 0))
