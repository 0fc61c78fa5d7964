"""Lessons that also learn from what a classifier says of clips nobody labelled.

Targets are of clips, not of frames: the mean of the log-probabilities over some of a clip's frames, as
answers are. What is learned to say so is any frame of the clip, so the frames of a clip come to agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apical.config import PseudoSettings
from apical.learn import imbalance
from apical.learn.augment import plain
from apical.learn.classifier import Classifier
from apical.learn.clips import Clips
from apical.learn.lessons import Desk, Lesson

MEMORY = 0.99  # of the running mean of targets, by which they are aligned


@dataclass
class Alignment:
    """Makes views as frequent among targets as they are expected to be: distribution alignment.

    ReMixMatch (Berthelot et al. 2020, arXiv 1911.09785, sec. 3.1): q ∝ p · expected / mean of p so far.

    Attributes:
        expected: (k,) shares of views, or None to leave targets as they are.
        mean: (k,) the running mean of what came in; None before the first.
    """

    expected: Tensor | None
    mean: Tensor | None = None

    @classmethod
    def of(cls, settings: PseudoSettings, count: np.ndarray, device: torch.device) -> Alignment:
        """Towards what the settings say; `count` (k,) are labelled clips a view."""
        if settings.align == "none":
            return cls(None)
        shares = np.where(count > 0, 1 if settings.align == "uniform" else count, 0)
        return cls(torch.from_numpy(shares / shares.sum()).float().to(device))

    def __call__(self, target: Tensor) -> Tensor:
        """Targets (n, k), rows adding up to 1 → the same, aligned."""
        if self.expected is None:
            return target
        now = target.mean(dim=0)
        self.mean = now if self.mean is None else MEMORY * self.mean + (1 - MEMORY) * now
        weighed = target * self.expected / self.mean.clamp(min=1e-6)
        return weighed / weighed.sum(dim=1, keepdim=True)


def fixmatch(desk: Desk, classifier: Classifier, everything: Clips) -> Lesson:
    """Labelled clips, and clips whose target is sure (Sohn et al. 2020, arXiv 2001.07685).

    The weak crop is a whole frame, the strong one an augmented crop of any frame of the clip.

    Args:
        desk: of the labelled clips.
        classifier: what learns.
        everything: all training clips, whose labels are not looked at here.
    """
    pseudo = desk.settings.pseudo
    align = Alignment.of(pseudo, desk.count, desk.device)

    def lesson(network: nn.Module, step: int) -> Tensor:
        labelled, others = _draws(desk, everything)
        target = align(clip_targets(desk, classifier, everything, others))
        sureness, said = target.max(dim=1)
        rows = desk.rows(everything, others)
        logits, _ = network(_crops(desk, labelled, everything, rows))
        known = F.cross_entropy(desk.adjusted(logits[: len(labelled)]), desk.label(labelled))
        each = F.cross_entropy(logits[len(labelled) :], said, reduction="none")
        return known + pseudo.weight * (each * (sureness >= pseudo.confidence)).mean()

    return lesson


def mixmatch(desk: Desk, classifier: Classifier, everything: Clips) -> Lesson:
    """All clips mixed with each other, those without labels with sharpened targets.

    MixMatch (Berthelot et al. 2019, arXiv 1905.02249) with the alignment and cross-entropy of ReMixMatch.
    """
    pseudo = desk.settings.pseudo
    align = Alignment.of(pseudo, desk.count, desk.device)

    def lesson(network: nn.Module, step: int) -> Tensor:
        labelled, others = _draws(desk, everything)
        guess = align(clip_targets(desk, classifier, everything, others))
        sharp = (guess.log() / pseudo.sharpening).softmax(dim=1)
        target = torch.cat([F.one_hot(desk.label(labelled), desk.views).float(), sharp])
        crops = _crops(desk, labelled, everything, desk.rows(everything, others))
        other = torch.from_numpy(desk.generator.permutation(len(crops))).to(desk.device)
        drawn = desk.generator.beta(pseudo.mixup, pseudo.mixup, size=len(crops))
        share = torch.from_numpy(np.maximum(drawn, 1 - drawn)).float().to(desk.device)
        mixed = share[:, None, None, None] * crops + (1 - share)[:, None, None, None] * crops[other]
        target = share[:, None] * target + (1 - share)[:, None] * target[other]
        logits, _ = network(mixed.to(memory_format=torch.channels_last))
        n = len(labelled)
        known = soft_cross_entropy(desk.adjusted(logits[:n]), target[:n])
        guessed = soft_cross_entropy(logits[n:], target[n:])
        return known + pseudo.weight * guessed

    return lesson


def on_targets(desk: Desk, clips: Clips, target: Tensor) -> Lesson:
    """Clips with given targets, labelled ones among them, of each likeliest view as many.

    So a label weighs no more than what is said of other clips of its view, which outvote a wrong one.

    Args:
        desk: draws and crops.
        clips: n clips.
        target: (n, k), rows adding up to 1.
    """
    likeliest = target.argmax(dim=1).numpy()

    def lesson(network: nn.Module, step: int) -> Tensor:
        chosen = imbalance.draw_evenly(likeliest, desk.settings.batch_frames, desk.generator)
        logits, _ = network(desk.crops(clips, desk.rows(clips, chosen)))
        return soft_cross_entropy(logits, target[torch.from_numpy(chosen)].to(desk.device))

    return lesson


@torch.no_grad()
def clip_targets(desk: Desk, classifier: Classifier, clips: Clips, chosen: np.ndarray) -> Tensor:
    """What is said now of clips by some of their whole frames, (n, k); rows add up to 1."""
    rows = desk.rows(clips, chosen, each=desk.settings.pseudo.frames)
    crops = plain(torch.from_numpy(clips.read(rows)).to(desk.device), desk.settings.input_size)
    classifier.eval()
    _, logits = classifier(crops.to(memory_format=torch.channels_last))
    classifier.train()
    said: Tensor = logits.float().log_softmax(dim=1).view(-1, len(chosen), logits.shape[1])
    return said.mean(dim=0).softmax(dim=1)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy against targets (n, k) whose rows add up to 1."""
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


def _draws(desk: Desk, everything: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Positions of labelled clips and of any for a step."""
    n = desk.others
    return desk.draw(desk.settings.batch_frames - n), desk.generator.integers(len(everything), size=n)


def _crops(desk: Desk, labelled: np.ndarray, unlabelled: Clips, rows: np.ndarray) -> Tensor:
    """Crops of labelled clips and then of frames of others; both are of one store."""
    return desk.crops(unlabelled, np.concatenate([desk.rows(desk.teaching, labelled), rows]))
