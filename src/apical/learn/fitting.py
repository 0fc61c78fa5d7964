"""The loop of gradient steps that every method of training goes through."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from lightning_fabric import Fabric
from sklearn.metrics import f1_score

from apical.config import TrainSettings
from apical.errors import CannotDo
from apical.learn.classifier import Classifier, classify_clips
from apical.learn.clips import Clips
from apical.learn.lessons import Learner, Lesson
from apical.learn.optimise import parameter_groups, set_rate, warmup_cosine
from apical.learn.tracking import Tracker

WARMUP = 0.05
CHECKS = 10  # how often a training run looks at the validation patients


@dataclass
class Trainer:
    """Teaches, and says how it goes.

    Attributes:
        settings: of the training; its `steps` are for all calls of `fit` together.
        fabric: where it runs.
        tracker: takes the figures of each step.
        validation: labelled clips to look at for the curve; they have no part in what is learned.
        progress: called after each step with the steps done and in all.
        done: steps so far.
    """

    settings: TrainSettings
    fabric: Fabric
    tracker: Tracker
    validation: Clips
    progress: Callable[[int, int], None]
    done: int = 0
    began: float = field(default_factory=time.monotonic)

    def fit(self, learner: Learner, lesson: Lesson, steps: int, *, encoder_rate: float = 1.0) -> None:
        """Gradient steps with AdamW; the rate warms up and falls along a cosine to zero.

        Args:
            learner: what is taught, in place.
            lesson: what is minimised.
            steps: how many.
            encoder_rate: the encoder's share of the learning rate; with 0 it stays as it is.

        Raises:
            CannotDo: the loss is not finite.
        """
        settings, classifier = self.settings, learner.classifier
        frozen = encoder_rate == 0
        encoder = classifier.encoder.requires_grad_(not frozen)
        groups = parameter_groups(learner.heads, settings.weight_decay)
        if not frozen:
            groups += parameter_groups(encoder, settings.weight_decay, encoder_rate)
        network, optimizer = self.fabric.setup(learner, torch.optim.AdamW(groups, lr=settings.learning_rate))
        for step in range(1, steps + 1):
            rate = settings.learning_rate * warmup_cosine((step - 1) / steps, WARMUP)
            set_rate(optimizer.param_groups, rate)
            learner.train()
            if frozen:
                encoder.eval()
            loss = lesson(network, step)
            self.done += 1
            if not torch.isfinite(loss):
                raise CannotDo(f"the loss is not finite at step {self.done}", "lower the learning rate")
            optimizer.zero_grad()
            self.fabric.backward(loss)
            optimizer.step()
            figures = {"loss": loss.item(), "learning_rate": rate}
            if len(self.validation) and self.done % max(1, settings.steps // CHECKS) == 0:
                device = self.fabric.device
                figures["validation_macro_f1"] = macro_f1(classifier, self.validation, settings, device)
            self.tracker.log(self.done, seconds=round(time.monotonic() - self.began, 3), **figures)
            self.progress(self.done, settings.steps)


def macro_f1(classifier: Classifier, clips: Clips, settings: TrainSettings, device: torch.device) -> float:
    """Mean F1 over the views present among labelled clips, by one window of each: quick, to look at."""
    outputs = classify_clips(classifier, clips, settings.input_size, device, all_of_clip=False)
    said = outputs.log_probabilities.argmax(axis=1)
    present = np.unique(clips.label)
    return float(f1_score(clips.label, said, labels=present, average="macro", zero_division=0))
