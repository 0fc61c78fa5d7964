"""Frames of a clip together: what each shows, and how they follow each other.

A frame encoder does most of the work and attention in time adds to it, as in the factorised encoder of
Arnab et al. 2021 (arXiv 2103.15691). Attention starts at nothing: the untrained clip encoder is the mean over
frames, so a frame encoder that is already good loses nothing by being put in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apical.errors import WrongCall
from apical.learn.encoder import Encoder
from apical.learn.transformer import INITIAL_DEVIATION, TransformerLayer


class ClipEncoder(Encoder):
    """Grey frames in the order of time, (n, frames, h, w) float, → features, (n, features).

    Args:
        of_frame: encodes one frame; its features are the width of the attention.
        frames: how many are looked at together.
        layers: transformer layers over time.
        heads: attention heads of each.

    Raises:
        WrongCall: the heads do not divide the features.
    """

    def __init__(self, of_frame: Encoder, *, frames: int, layers: int, heads: int) -> None:
        super().__init__()
        self.of_frame, self.frames, self.features = of_frame, frames, of_frame.features
        over_time = [TransformerLayer(self.features, heads) for _ in range(layers)]
        for layer in over_time:
            layer.start_as_identity()
        self.layers = nn.ModuleList(over_time)
        self.time = nn.Parameter(torch.randn(frames, self.features) * INITIAL_DEVIATION)

    def forward(self, x: Tensor) -> Tensor:
        """All frames through the frame encoder at once, then attention among those of a clip, then the mean.

        Raises:
            WrongCall: the crops have another number of frames.
        """
        n, frames, height, width = x.shape
        if frames != self.frames:
            raise WrongCall(
                f"this encoder looks at {self.frames} frames together, and was given {frames}",
                f"give {self.frames} frames of each clip",
            )
        tokens = self.of_frame(x.reshape(n * frames, 1, height, width)).view(n, frames, self.features)
        for layer in self.layers:
            tokens = layer(tokens, self.time)
        mean: Tensor = tokens.mean(dim=1)
        return mean
