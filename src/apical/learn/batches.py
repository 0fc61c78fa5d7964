"""Who meets whom: batches of whole exams, so that a patient's other clips are there as negatives.

A batch is P patients × C clips × F crops. All draws are functions of the generator that is given, so any
process, at any time, gets the same batches from the same seed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

MOST_REPEATS = 10  # of one clip in an epoch, however rare its view


def epoch_batches(
    patient: NDArray[np.int64],
    label: NDArray[np.int64],
    *,
    batch_clips: int,
    exam_clips: int | None = None,
    balance: Literal["clips", "patients", "views"] = "clips",
    generator: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """One epoch's batches of clips, those of a patient together.

    Args:
        patient: (n,) int64, equal for clips of one patient.
        label: (n,) int64, the view, or -1.
        batch_clips: clips a batch.
        exam_clips: most clips of one patient in a batch; a larger exam is dealt out at random.
        balance: `clips`: each clip once. `patients`: a random `exam_clips` of each patient, so that long
            exams do not outweigh short ones. `views`: clips with rare labels come more often (see
            `repeats`), all others once.
        generator: fixes everything.

    Returns:
        arrays of clip positions.
    """
    chosen = np.arange(len(patient))
    if balance == "views":
        chosen = np.repeat(chosen, repeats(label, generator))
    exams = _split_exams(chosen, patient, exam_clips, generator)
    if balance == "patients":
        owners = np.array([patient[exam[0]] for exam in exams])
        exams = [exams[number] for number in np.unique(owners, return_index=True)[1]]
    return _pack(exams, batch_clips, generator)


def repeats(label: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each clip comes in an epoch, (n,) int64 ≥ 1: the square root of how much rarer its view is.

    sqrt(most frequent view's clips / its view's clips), rounded up or down at random; 1 without a label
    (repeat-factor sampling, Gupta et al. 2019, arXiv 1908.03195).
    """
    known = label >= 0
    factor = np.ones(len(label))
    if known.any():
        count = np.bincount(label[known])
        factor[known] = np.sqrt(count.max() / count[label[known]])
    rounded = np.floor(factor + generator.random(len(label)))
    return np.clip(rounded, 1, MOST_REPEATS).astype(np.int64)


def _split_exams(
    chosen: NDArray[np.int64],
    patient: NDArray[np.int64],
    exam_clips: int | None,
    generator: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """The clips of each patient; of patients with more than `exam_clips`, random parts of about one size."""
    chosen = chosen[np.argsort(patient[chosen], kind="stable")]
    exams = np.split(chosen, np.flatnonzero(np.diff(patient[chosen])) + 1)
    if exam_clips is None:
        return exams
    parts: list[NDArray[np.int64]] = []
    for exam in exams:
        if len(exam) > exam_clips:
            parts += np.array_split(generator.permutation(exam), -(-len(exam) // exam_clips))
        else:
            parts.append(exam)
    return parts


def _pack(
    exams: list[NDArray[np.int64]], batch_clips: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Exams in random order, as many a batch as go in.

    A batch is closed when the next exam would overfill it, unless it has less than a quarter of `batch_clips`
    (or is a single clip): then it takes that exam as well. A last batch of less than half that size joins
    the one before.
    """
    least = least_clips(batch_clips)
    batches: list[list[NDArray[np.int64]]] = [[]]
    size = 0
    for number in generator.permutation(len(exams)):
        exam = exams[number]
        if size >= least and size + len(exam) > batch_clips:
            batches.append([])
            size = 0
        batches[-1].append(exam)
        size += len(exam)
    if size < max(least, batch_clips / 2) and len(batches) > 1:
        rest = batches.pop()
        batches[-1] += rest
    return [np.concatenate(exams) for exams in batches]


def least_clips(batch_clips: int) -> int:
    """Fewest clips in a batch, if there are as many at all."""
    return max(2, batch_clips // 4)


def draw_frames(
    first: NDArray[np.int64],
    count: NDArray[np.int64],
    *,
    crops: int,
    frames: int = 1,
    same: bool = False,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Random frame rows of each clip for each of its crops.

    Args:
        first: (n,) row of the first frame of each clip.
        count: (n,) its number of frames.
        crops: crops a clip; they show different frames as far as the clip has them.
        frames: frames a crop, in the order of time and as different as the clip allows.
        same: all crops of a clip show the same frames.
        generator: fixes the draw.

    Returns:
        (crops, n, frames) int64 rows.
    """
    drawn = 1 if same else crops
    wanted = drawn * frames
    most = int(count.max(initial=1))
    rank = np.where(np.arange(most) < count[:, None], generator.random((len(count), most)), np.inf)
    order = rank.argsort(axis=1)  # each clip's frames in random order, what it has not at the end
    places = np.take_along_axis(order, np.arange(wanted)[None] % count[:, None], axis=1)
    rows = np.sort(places.reshape(len(count), drawn, frames), axis=2) + first[:, None, None]
    return np.broadcast_to(rows.transpose(1, 0, 2), (crops, len(count), frames)).copy()
