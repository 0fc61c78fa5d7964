"""What a step of training minimises, method by method.

A lesson is called with the network (`Learner`, as the device wants it) and the number of the step, and gives
the loss. All draw from one generator, so a seed fixes everything. Every step learns from `batch_frames`
crops, however many of them have labels (`joint` from about as many: exams are not cut to size); what goes
through the network without learning comes on top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from apical.config import TrainSettings
from apical.learn import imbalance
from apical.learn.augment import augment
from apical.learn.backbones import projection_head
from apical.learn.batches import draw_frames
from apical.learn.classifier import Classifier
from apical.learn.clips import Clips

Lesson = Callable[[nn.Module, int], Tensor]
"""Network and number of the step (from 1) → the loss."""


class Learner(nn.Module):
    """A classifier, and what it only needs while it learns.

    Crops (n, t, s, s) → logits (n, k) and embeddings (n, width), or None without a `projection`.

    Args:
        classifier: what stays.
        contrast: width of embeddings; None for no projection.
    """

    def __init__(self, classifier: Classifier, contrast: int | None = None) -> None:
        super().__init__()
        self.classifier = classifier
        self.heads = nn.ModuleList([classifier.head])
        self.projection = self.centres = None
        if contrast:
            self.projection = projection_head(classifier.encoder.features, contrast, "layer")
            self.centres = nn.Linear(contrast, len(classifier.taught), bias=False)  # of bcl: one a view
            self.heads += [self.projection, self.centres]

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits and embeddings."""
        features, logits = self.classifier(crops)
        return logits, None if self.projection is None else self.projection(features)


@dataclass(frozen=True)
class Desk:
    """What lessons draw from.

    Attributes:
        teaching: labelled clips.
        settings: of the training.
        frames: frames a crop, T.
        views: k.
        device: where crops go.
        generator: all that is random.
    """

    teaching: Clips
    settings: TrainSettings
    frames: int
    views: int
    device: torch.device
    generator: np.random.Generator

    def rows(
        self, clips: Clips, chosen: NDArray[np.int64], each: int = 1, *, same: bool = False
    ) -> NDArray[np.int64]:
        """Random frames of chosen clips, (each · n, T) rows: crop after crop, as different as may be.

        With `same`, all crops of a clip are of the same frames.
        """
        rows = draw_frames(
            clips.first[chosen],
            clips.count[chosen],
            crops=each,
            frames=self.frames,
            same=same,
            generator=self.generator,
        )
        return rows.reshape(-1, self.frames)

    def crops(self, clips: Clips, rows: NDArray[np.int64]) -> Tensor:
        """Augmented crops of frames by their rows (m, T): (m, T, s, s)."""
        settings = self.settings
        made = augment(clips.read(rows), settings.input_size, settings.augment, self.generator, self.device)
        return made.to(memory_format=torch.channels_last)

    def labelled_crops(self, chosen: NDArray[np.int64], each: int = 1) -> Tensor:
        """Augmented crops of random frames of chosen labelled clips, (each · n, T, s, s), crop after crop."""
        return self.crops(self.teaching, self.rows(self.teaching, chosen, each))

    def draw(self, size: int, *, evenly: bool = False) -> NDArray[np.int64]:
        """Positions of `size` labelled clips: any, or of each view as many."""
        if evenly:
            return imbalance.draw_evenly(self.teaching.label, size, self.generator)
        return self.generator.integers(len(self.teaching), size=size)

    def label(self, chosen: NDArray[np.int64]) -> Tensor:
        """Their views, (n,) int64 on the device."""
        return torch.from_numpy(self.teaching.label[chosen]).to(self.device)

    @property
    def others(self) -> int:
        """Crops of a batch that are not of labelled clips, by `pseudo.share`; at least one, and not all."""
        size = self.settings.batch_frames
        return min(max(round(self.settings.pseudo.share * size), 1), size - 1)

    @cached_property
    def count(self) -> NDArray[np.int64]:
        """Labelled clips a view, (k,)."""
        return np.bincount(self.teaching.label, minlength=self.views)

    @cached_property
    def prior(self) -> Tensor:
        """Log share of each view among the labels, (k,) on the device."""
        return imbalance.log_share(self.count).to(self.device)

    def adjusted(self, logits: Tensor) -> Tensor:
        """Logits (n, k) of labelled clips as the loss is to see them: adjusted as strongly as is set."""
        return imbalance.adjusted(logits, self.prior, self.settings.imbalance.adjustment)


def supervised(desk: Desk, *, evenly: bool = False, adjustment: float = 0.0) -> Lesson:
    """Cross-entropy on labelled clips: naive; on as many of each view; or with logit adjustment."""
    prior, size = desk.prior, desk.settings.batch_frames

    def lesson(network: nn.Module, step: int) -> Tensor:
        chosen = desk.draw(size, evenly=evenly)
        logits, _ = network(desk.labelled_crops(chosen))
        return F.cross_entropy(imbalance.adjusted(logits, prior, adjustment), desk.label(chosen))

    return lesson


def focal(desk: Desk) -> Lesson:
    """The focal loss instead of cross-entropy."""

    def lesson(network: nn.Module, step: int) -> Tensor:
        chosen = desk.draw(desk.settings.batch_frames)
        logits, _ = network(desk.labelled_crops(chosen))
        return imbalance.focal(logits, desk.label(chosen), desk.settings.imbalance.focusing)

    return lesson


def ldam_drw(desk: Desk) -> Lesson:
    """Margins that are larger for rare views, and late in training weights (Cao et al. 2019)."""
    settings = desk.settings.imbalance
    margin = imbalance.margins(desk.count, settings.margin).to(desk.device)
    weights = imbalance.effective_weights(desk.count).to(desk.device)

    def lesson(network: nn.Module, step: int) -> Tensor:
        chosen = desk.draw(desk.settings.batch_frames)
        logits, _ = network(desk.labelled_crops(chosen))
        label = desk.label(chosen)
        weighted = step > settings.plain_share * desk.settings.steps
        with_margin = imbalance.with_margin(logits, label, margin, settings.scale)
        return F.cross_entropy(with_margin, label, weight=weights if weighted else None)

    return lesson
