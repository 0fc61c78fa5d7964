"""Who meets whom: batches of whole exams, so that a patient's other clips are there as negatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def exam_batches(
    patient: NDArray[np.int64], batch_clips: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """One epoch: every clip once, clips of a patient together.

    Patients come in random order. A batch is closed when the next exam would overfill it, so
    only an exam larger than `batch_clips` makes a larger batch. A last batch of less than half
    that size joins the one before.

    Args:
        patient: (n,) int64, equal for clips of one patient.
        batch_clips: clips a batch.
        generator: fixes the order.

    Returns:
        arrays of clip positions.
    """
    order = np.argsort(patient, kind="stable")
    exams = np.split(order, np.flatnonzero(np.diff(patient[order])) + 1)
    batches: list[list[NDArray[np.int64]]] = [[]]
    size = 0
    for number in generator.permutation(len(exams)):
        exam = exams[number]
        if size and size + len(exam) > batch_clips:
            batches.append([])
            size = 0
        batches[-1].append(exam)
        size += len(exam)
    if size < batch_clips / 2 and len(batches) > 1:
        rest = batches.pop()
        batches[-1] += rest
    return [np.concatenate(exams) for exams in batches]


def two_frames(
    first: NDArray[np.int64], count: NDArray[np.int64], *, distinct: bool, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two random frame rows of each clip.

    Args:
        first: (n,) row of the first frame of each clip.
        count: (n,) its number of frames.
        distinct: two different frames where the clip has them; otherwise one frame twice.
        generator: fixes the draw.

    Returns:
        two arrays (n,) of frame rows.
    """
    one = generator.integers(count)
    step = generator.integers(1, np.maximum(count, 2))
    other = (one + step) % count if distinct else one
    return first + one, first + other
