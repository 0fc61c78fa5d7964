"""The networks of a pre-training run: encoder and heads, and their moving average."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from apical.config import PretrainSettings, ResNetSettings, TimmSettings
from apical.learn.backbones import Encoder, HeadNorm, prediction_head, projection_head


class Branch(nn.Module):
    """Crops, (m, t, s, s), → embeddings, (m, d).

    Args:
        encoder: what stays when pre-training is done.
        head: from features to embeddings.
        predictor: from the embeddings of this branch to those of the other one, if there is one.
    """

    def __init__(self, encoder: Encoder, head: nn.Module, predictor: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.predictor = predictor if predictor is not None else nn.Identity()

    def forward(self, crops: Tensor) -> Tensor:
        """Embeddings, not normalised."""
        embeddings: Tensor = self.predictor(self.head(self.encoder(crops)))
        return embeddings

    def averaged(self) -> Branch:
        """A copy without predictor that no gradient reaches, to become the moving average."""
        copied = Branch(copy.deepcopy(self.encoder), copy.deepcopy(self.head))
        return copied.requires_grad_(False)


def branch_of(encoder: Encoder, settings: PretrainSettings) -> Branch:
    """The branch that is trained; only BYOL has a predictor.

    Heads have batch norms if the encoder has; otherwise no crop's embedding depends on another crop.
    """
    whole_batch = settings.encoder
    if whole_batch.kind == "clip":
        whole_batch = whole_batch.of_frame
    batch_norm = isinstance(whole_batch, TimmSettings) or (
        isinstance(whole_batch, ResNetSettings) and whole_batch.norm == "batch"
    )
    norm: HeadNorm = "batch" if batch_norm else "layer"
    head = projection_head(encoder.features, settings.projection_width, norm)
    predictor = (
        prediction_head(settings.projection_width, norm) if settings.objective.method == "byol" else None
    )
    return Branch(encoder, head, predictor)
