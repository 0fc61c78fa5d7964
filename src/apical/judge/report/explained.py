"""Some decisions explained: where the network saw the view it named, and which labelled clips are like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apical.judge.again import Witness
from apical.judge.attribution import (
    Method,
    grad_cam,
    integrated_gradients,
    overlay,
    randomised_similarity,
)
from apical.judge.nearest import nearest_labelled
from apical.judge.report.pictures import Thumbnails, png, short_id
from apical.learn.clip_encoder import ClipEncoder
from apical.learn.predictions import Predictions
from apical.learn.resnet import ResNet

NEIGHBOURS = 3
_CHECKED = 3  # clips of which maps are compared with those of random weights


@dataclass(frozen=True)
class Neighbour:
    """A labelled training clip that is like the explained one."""

    view: str
    similarity: float
    image: str | None


@dataclass(frozen=True)
class Decision:
    """One explained decision; pictures are data URIs."""

    clip: str
    named: str
    true: str
    probability: float
    frame: str | None
    maps: dict[str, str | None]
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Explained:
    """The decisions, and how like the maps are to those of random weights: (what was random, correlation)."""

    seed: int
    decisions: tuple[Decision, ...]
    sanity: dict[str, list[tuple[str, float]]]


def explain(witness: Witness, run: Predictions, thumbnails: Thumbnails, count: int) -> Explained:
    """Explain `count` decisions: in turn the wrong one it was surest of, and a right one, view by view.

    Args:
        witness: the classifier with the judged clips and their frames.
        run: all its answers; the labelled training clips among them are the possible neighbours.
        thumbnails: pictures of clips.
        count: how many; at least 1.

    Raises:
        CannotDo: captum is not installed.
    """
    judged, ways = witness.judged, _ways(witness)
    rows = chosen_rows(judged, count)
    taught = run.select((run.split == "train") & (run.label >= 0))
    near, similarity = nearest_labelled(
        judged.features[rows], judged.patient[rows], taught.features, taught.patient, NEIGHBOURS
    )
    decisions = []
    for place, row in enumerate(rows):
        frames = _frames(witness, row)
        middle = len(frames) // 2
        named = int(judged.predicted[row])
        heat = {
            name: way(witness.classifier, frames, named, witness.input_size)[middle]
            for name, way in ways.items()
        }
        neighbours = [
            Neighbour(run.views[taught.label[other]], float(alike), png(thumbnails(str(taught.clip[other]))))
            for other, alike in zip(near[place], similarity[place], strict=True)
            if other >= 0
        ]
        decisions.append(
            Decision(
                clip=short_id(str(judged.clip[row])),
                named=judged.views[named],
                true=judged.views[judged.label[row]],
                probability=float(np.exp(judged.log_probabilities[row].max())),
                frame=png(frames[middle]),
                maps={name: png(overlay(frames[middle], of)) for name, of in heat.items()},
                neighbours=tuple(neighbours),
            )
        )
    return Explained(judged.seed, tuple(decisions), _sanity(witness, rows[:_CHECKED], ways))


def chosen_rows(judged: Predictions, count: int) -> NDArray[np.intp]:
    """Rows of wrong decisions, the surest first, and of right ones of as many views as can be, in turn."""
    sure = judged.log_probabilities.max(axis=1)
    order = np.argsort(-sure, kind="stable")
    right = judged.predicted == judged.label
    wrong_rows = order[~right[order]]
    right_rows = order[right[order]]
    _, first = np.unique(judged.label[right_rows], return_index=True)
    right_rows = right_rows[np.concatenate([first, np.delete(np.arange(len(right_rows)), first)])]
    wrong = min(len(wrong_rows), max(count // 2, count - len(right_rows)))
    return np.concatenate([wrong_rows[:wrong], right_rows[: count - wrong]])


def _ways(witness: Witness) -> dict[str, Method]:
    """Grad-CAM where the network has feature maps, and integrated gradients."""
    encoder = witness.classifier.encoder
    of_frame = encoder.of_frame if isinstance(encoder, ClipEncoder) else encoder
    ways: dict[str, Method] = {"Grad-CAM": grad_cam} if isinstance(of_frame, ResNet) else {}
    return ways | {"integrated gradients": integrated_gradients}


def _frames(witness: Witness, row: int) -> NDArray[np.uint8]:
    first = witness.first[row]
    return witness.frames[np.arange(first, first + witness.count[row])]


def _sanity(
    witness: Witness, rows: Sequence[int] | NDArray[np.intp], ways: dict[str, Method]
) -> dict[str, list[tuple[str, float]]]:
    """The mean over a few clips of `randomised_similarity`, way by way."""
    found = {}
    for name, way in ways.items():
        by_clip = [
            randomised_similarity(
                witness.classifier,
                _frames(witness, row),
                int(witness.judged.predicted[row]),
                witness.input_size,
                way,
                seed,
            )
            for seed, row in enumerate(rows)
        ]
        found[name] = [
            (steps[0][0], float(np.mean([alike for _, alike in steps if not np.isnan(alike)] or [np.nan])))
            for steps in zip(*by_clip, strict=True)
        ]
    return found
