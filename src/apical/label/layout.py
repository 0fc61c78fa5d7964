"""A map of the clips, and groups of alike ones to look at together; from features alone, so made once.

Features are taken as the chooser takes them (`apical.learn.next_labels`): less most of what the clips of a
patient have in common.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from apical.judge.report.embedding import embed, map_rows
from apical.label.advice import Layout, Rows
from apical.learn.graph import centred
from apical.learn.neighbours import nearest, unit
from apical.learn.next_labels import CENTRE, grouped

MAPPED = 3000  # clips that t-SNE places; the others stand beside the most alike of these
IN_GROUP = 30  # clips, about
MOST_IN_GROUP = 60
BESIDE, ROUNDS = 10, 2  # nearest clips that a clip is averaged with before it is grouped
AT_ONCE = 2048  # clips compared with the mapped ones

Vectors = NDArray[np.float32]


def vectors_of(features: Vectors, patient: Rows) -> Vectors:
    """Features (n, d) less most of their patient's mean, of length 1."""
    return np.asarray(unit(torch.from_numpy(centred(features, patient, CENTRE))).numpy(), np.float32)


def layout(features: Vectors, patient: Rows, seed: int = 0) -> Layout:
    """Place and group clips.

    Args:
        features: (n, d).
        patient: (n,) int64 codes.
        seed: fixes both.
    """
    if not len(features):
        nothing = np.zeros(0, np.float32)
        return Layout(nothing, nothing, np.zeros(0, np.int32), 0)
    vectors = vectors_of(features, patient)
    place = _places(vectors, seed)
    group, groups = alike_groups(smoothed(vectors, patient), seed)
    return Layout(place[:, 0], place[:, 1], group, groups)


def _places(vectors: Vectors, seed: int) -> Vectors:
    """(n, 2) from 0 to 1."""
    mapped = map_rows(len(vectors), MAPPED, seed)
    found = embed(vectors[mapped], seed)
    if found is None:
        return np.full((len(vectors), 2), 0.5, np.float32)
    low, span = found.min(axis=0), np.ptp(found, axis=0)
    found = ((found - low) / np.where(span > 0, span, 1)).astype(np.float32)
    place = np.empty((len(vectors), 2), np.float32)
    for start in range(0, len(vectors), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        place[part] = found[(vectors[part] @ vectors[mapped].T).argmax(axis=1)]
    beside = np.random.default_rng(seed).normal(size=place.shape) / (4 * len(mapped) ** 0.5)
    place += beside.astype(np.float32)
    place[mapped] = found
    return place.clip(0, 1)


def smoothed(vectors: Vectors, patient: Rows) -> Vectors:
    """Each vector added to those of its nearest clips of other patients, `ROUNDS` times; of length 1.

    What clips have by chance averages out; groups of what is left are purer (docs/labelling.md).
    """
    patients = len(np.unique(patient))
    apart = patient if patients > 1 else np.arange(len(patient), dtype=np.int64)
    beside = min(BESIDE, len(vectors))
    near = [
        (found.numpy(), (likeness > -torch.inf).numpy())
        for found, likeness in nearest(torch.from_numpy(vectors), apart, beside)
    ]
    found, real = (np.concatenate(part) for part in zip(*near, strict=True))
    for _ in range(ROUNDS):
        total = vectors.copy()
        for column in range(beside):
            total += vectors[found[:, column]] * real[:, column, None]
        vectors = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return vectors


def alike_groups(vectors: Vectors, seed: int = 0) -> tuple[NDArray[np.int32], int]:
    """Groups of about `IN_GROUP` clips, `MOST_IN_GROUP` at most where clips differ: (n,) and how many.

    By k-means; a group that is too large is halved, again and again. Who stands apart may stay alone.
    """
    different = len(np.unique(vectors.round(5), axis=0))
    group = grouped(vectors, min(max(1, round(len(vectors) / IN_GROUP)), different), seed)
    large = [rows for rows in _members(group) if len(rows) > MOST_IN_GROUP]
    last = int(group.max())
    while large:
        rows = large.pop()
        if not np.ptp(vectors[rows], axis=0).any():
            continue
        half = grouped(vectors[rows], 2, seed) == 1
        if not half.any() or half.all():
            continue
        last += 1
        group[rows[half]] = last
        large += [part for part in (rows[half], rows[~half]) if len(part) > MOST_IN_GROUP]
    _, numbers = np.unique(group, return_inverse=True)
    return numbers.astype(np.int32), int(numbers.max()) + 1


def _members(group: Rows) -> list[Rows]:
    return np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
