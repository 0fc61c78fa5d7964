"""What every encoder is to the rest of the house."""

from __future__ import annotations

from torch import nn


class Encoder(nn.Module):
    """Crops, (n, frames, h, w) float32, → features, (n, features).

    Attributes:
        features: width of the result.
        frames: grey frames it looks at together, given as channels in the order of time; mostly 1.
    """

    features: int
    frames: int = 1
