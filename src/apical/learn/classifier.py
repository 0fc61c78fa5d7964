"""A classifier of clips: an encoder, a linear layer, and what it says of a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from apical.config import EncoderSettings
from apical.learn.augment import plain
from apical.learn.backbones import Encoder, build_encoder
from apical.learn.clips import Clips
from apical.learn.windows import windows

FRAMES_AT_ONCE = 256


class CosineHead(nn.Module):
    """Features (n, d) → logits (n, k): the cosine with each view's direction, times a scale.

    Args:
        features: d.
        views: k.
        scale: of the cosine.
    """

    def __init__(self, features: int, views: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(views, features) / features**0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        return self.scale * F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))


class Classifier(nn.Module):
    """Crops, (n, t, s, s) float, → features (n, d) and logits (n, k).

    Views that no training clip showed are never answered: their logits are -1e4. Contrast agent is no view
    but has a head of its own (a factorised answer, view × agent): what is learned of either holds for all of
    the other, so a view that is labelled without agent alone is known with it too.

    Args:
        encoder: the backbone.
        views: k, the size of the vocabulary.
        cosine: scale of a head that compares directions; None for a linear one.
    """

    taught: Tensor
    agent_taught: Tensor

    def __init__(self, encoder: Encoder, views: int, *, cosine: float | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head: nn.Linear | CosineHead
        if cosine is None:
            self.head = nn.Linear(encoder.features, views)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
        else:
            self.head = CosineHead(encoder.features, views, cosine)
        self.register_buffer("taught", torch.ones(views, dtype=torch.bool))
        self.agent = nn.Linear(encoder.features, 1)
        nn.init.zeros_(self.agent.weight)
        nn.init.zeros_(self.agent.bias)
        self.register_buffer("agent_taught", torch.zeros((), dtype=torch.bool))

    @classmethod
    def empty(cls, settings: EncoderSettings, views: int, *, cosine: float | None = None) -> Classifier:
        """One to fill with saved weights."""
        return cls(build_encoder(settings), views, cosine=cosine)

    def logits(self, features: Tensor) -> Tensor:
        """Logits (n, k) of features (n, d)."""
        scores: Tensor = self.head(features)
        return scores.masked_fill(~self.taught, -1e4)

    @torch.no_grad()
    def agent_probability(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability (n,) that clips with features (n, d) show contrast agent; NaN where untaught."""
        if not self.agent_taught:
            return np.full(len(features), np.nan, np.float32)
        on_device = torch.tensor(features, device=self.agent.weight.device)
        found: NDArray[np.float32] = self.agent(on_device).sigmoid().squeeze(1).cpu().numpy()
        return found

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits."""
        features = self.encoder(crops)
        return features, self.logits(features)


@dataclass(frozen=True)
class ClipOutputs:
    """What a classifier says of n clips.

    Attributes:
        log_probabilities: (n, k) float32, the windows' log-probabilities averaged, then normalised.
        features: (n, d) float32, the windows' features averaged. For most encoders a window is a frame.
    """

    log_probabilities: NDArray[np.float32]
    features: NDArray[np.float32]


@torch.inference_mode()
def classify_windows(
    classifier: Classifier, frames: NDArray[np.uint8], input_size: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Features (w, d), logits (w, k) of windows of frames, (w, t, s, s) uint8, in evaluation mode."""
    classifier.eval()
    features, logits = [], []
    at_once = max(1, FRAMES_AT_ONCE // frames.shape[1])
    for start in range(0, len(frames), at_once):
        part = torch.from_numpy(np.ascontiguousarray(frames[start : start + at_once])).to(device)
        crops = plain(part, input_size).to(memory_format=torch.channels_last)
        of_features, of_logits = classifier(crops)
        features.append(of_features.float().cpu())
        logits.append(of_logits.float().cpu())
    return torch.cat(features), torch.cat(logits)


def classify_clip(
    classifier: Classifier, frames: NDArray[np.uint8], input_size: int, device: torch.device
) -> ClipOutputs:
    """One clip's frames, (F, s, s) uint8 → `ClipOutputs` of n = 1."""
    one, count = np.zeros(1, np.int64), np.array([len(frames)])
    _, rows = windows(one, count, classifier.encoder.frames, all_of_clip=True)
    features, logits = classify_windows(classifier, frames[rows], input_size, device)
    return _pool(features, logits)


def classify_clips(
    classifier: Classifier,
    clips: Clips,
    input_size: int,
    device: torch.device,
    *,
    all_of_clip: bool = True,
) -> ClipOutputs:
    """`ClipOutputs` of every clip, in order; of one window a clip where not `all_of_clip`.

    Reads a block of clips at a time.
    """
    pooled = []
    for block in blocks_of(clips.count):
        part, rows = windows(
            clips.first[block], clips.count[block], classifier.encoder.frames, all_of_clip=all_of_clip
        )
        features, logits = classify_windows(classifier, clips.read(rows), input_size, device)
        sizes = np.bincount(part, minlength=len(block)).tolist()
        pooled += [_pool(*parts) for parts in zip(features.split(sizes), logits.split(sizes), strict=True)]
    return ClipOutputs(
        np.concatenate([one.log_probabilities for one in pooled]),
        np.concatenate([one.features for one in pooled]),
    )


def window_features(
    classifier: Classifier, clips: Clips, input_size: int, device: torch.device
) -> tuple[NDArray[np.int64], Tensor]:
    """Of every window of every clip: which clip it is of, (w,), and its features (w, d).

    Reads a block of clips at a time.
    """
    of_clip, found = [], []
    for block in blocks_of(clips.count):
        part, rows = windows(
            clips.first[block], clips.count[block], classifier.encoder.frames, all_of_clip=True
        )
        of_clip.append(block[part])
        found.append(classify_windows(classifier, clips.read(rows), input_size, device)[0])
    return np.concatenate(of_clip), torch.cat(found)


def _pool(features: Tensor, logits: Tensor) -> ClipOutputs:
    mean = logits.log_softmax(dim=1).mean(dim=0, keepdim=True)
    return ClipOutputs(mean.log_softmax(dim=1).numpy(), features.mean(dim=0, keepdim=True).numpy())


def blocks_of(count: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Runs of clips with about `FRAMES_AT_ONCE` frames together."""
    number = np.cumsum(count) // FRAMES_AT_ONCE
    yield from np.split(np.arange(len(count)), np.flatnonzero(np.diff(number)) + 1)
