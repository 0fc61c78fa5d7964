"""The methods: what is fitted or minimised, in which order, for each name of `TrainSettings.method`."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from apical.config import FROZEN, TrainSettings
from apical.learn.classifier import Classifier
from apical.learn.clips import Clips
from apical.learn.contrasting import bcl, joint, supcon
from apical.learn.fitting import Trainer
from apical.learn.imbalance import believed
from apical.learn.lessons import Desk, Learner, Lesson, focal, ldam_drw, supervised
from apical.learn.probe import fit_probe, fit_propagated, fit_prototypes
from apical.learn.pseudo import fixmatch, mixmatch
from apical.learn.self_training import self_train

CONTRASTING = ("supcon", "bcl", "joint")  # learn embeddings beside


def learn(begun: Classifier, everything: Clips, trainer: Trainer, *, pretrained: bool) -> Classifier:
    """Teach by the method of the settings.

    Args:
        begun: what to begin with; it may be changed.
        everything: all training clips.
        trainer: runs gradient steps.
        pretrained: whether the encoder is.

    Returns:
        the classifier that was taught.
    """
    settings, device = trainer.settings, trainer.fabric.device
    teaching = everything.labelled()
    if settings.method in FROZEN:
        if settings.method == "probe":
            fit_probe(begun, teaching, settings, device)
        elif settings.method == "prototype":
            fit_prototypes(begun, teaching, settings, device)
        else:
            fit_propagated(begun, everything, settings, device)
        trainer.progress(1, 1)
        return begun
    desk = Desk(
        teaching=teaching,
        settings=settings,
        frames=begun.encoder.frames,
        views=len(begun.taught),
        device=device,
        generator=np.random.default_rng([settings.seed, 2]),
    )
    rate = settings.encoder_rate if pretrained else 1.0
    if settings.method == "self-training":
        return self_train(trainer, desk, everything, lambda: copy.deepcopy(begun), pretrained=pretrained)
    if settings.method == "crt":
        retrain_head(trainer, desk, begun)
        return begun
    learner = Learner(begun, settings.contrast.width if settings.method in CONTRASTING else None)
    learner.to(device)
    trainer.fit(learner, lesson_of(desk, learner, everything), settings.steps, encoder_rate=rate)
    return begun


def lesson_of(desk: Desk, learner: Learner, everything: Clips) -> Lesson:
    """What a step minimises, for the methods that are one lesson."""
    adjustment = desk.settings.imbalance.adjustment
    match desk.settings.method:
        case "naive":
            return supervised(desk)
        case "class-balanced":
            return supervised(desk, evenly=True)
        case "logit-adjusted" | "fine-tune":
            return supervised(desk, adjustment=adjustment)
        case "focal":
            return focal(desk)
        case "ldam-drw":
            return ldam_drw(desk)
        case "supcon":
            return supcon(desk)
        case "bcl":
            return bcl(desk, learner)
        case "joint":
            return joint(desk, everything)
        case "fixmatch":
            return fixmatch(desk, learner.classifier, everything)
        case "mixmatch":
            return mixmatch(desk, learner.classifier, everything)
    raise ValueError(f"'{desk.settings.method}' is not one lesson")


def retrain_head(trainer: Trainer, desk: Desk, classifier: Classifier) -> None:
    """Plain cross-entropy; then the head anew, on as many clips of each view, on the encoder as it is.

    Classifier re-training (Kang et al. 2020, arXiv 1910.09217, sec. 4).
    """
    first = min(round(desk.settings.imbalance.plain_share * desk.settings.steps), desk.settings.steps - 1)
    learner = Learner(classifier)
    trainer.fit(learner, supervised(desk), first)
    for parameter in classifier.head.parameters():
        torch.nn.init.zeros_(parameter)
    trainer.fit(learner, supervised(desk, evenly=True), desk.settings.steps - first, encoder_rate=0)


def log_prior_of(settings: TrainSettings, count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log shares of views, (k,), that the method's classifier believes in, from labelled clips a view."""
    if settings.method in ("class-balanced", "crt", "prototype", "self-training"):
        return believed(count, 1.0)
    plain = settings.method in ("naive", "focal", "ldam-drw")
    return believed(count, 0.0 if plain else settings.imbalance.adjustment)


def cosine_of(settings: TrainSettings) -> float | None:
    """Scale of the head of methods that compare directions; None for those with a linear one."""
    return settings.imbalance.scale if settings.method in ("ldam-drw", "prototype") else None
