"""A vision transformer for one grey frame (Dosovitskiy et al. 2021, arXiv 2010.11929).

It differs from the first one as Beyer et al. 2022 (arXiv 2205.01580) found best for small data: positions
are fixed sines and cosines, and the tokens' mean is the result. A class token would only learn where to look;
which view a frame shows is told by all of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apical.config import ViTSettings
from apical.errors import WrongCall
from apical.learn.encoder import Encoder
from apical.learn.transformer import LAYER_NORM_EPSILON, TransformerLayer, sines_and_cosines

SIDE = 14  # a frame's side as positions count it: that of the published grids, 224 pixels in patches of 16


class ViT(Encoder):
    """Grey crops, (n, 1, h, w) float, → features, (n, features); h and w multiples of the patch.

    Raises:
        WrongCall: the width is no multiple of the heads.
    """

    def __init__(self, settings: ViTSettings) -> None:
        super().__init__()
        self.patch, self.features = settings.patch, settings.width
        self.embed = nn.Conv2d(1, settings.width, settings.patch, stride=settings.patch)
        nn.init.trunc_normal_(self.embed.weight, std=1 / settings.patch)  # of unit variance for unit pixels
        nn.init.zeros_(self.embed.bias)  # type: ignore[arg-type]
        self.layers = nn.ModuleList(
            TransformerLayer(settings.width, settings.heads) for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(settings.width, eps=LAYER_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """The mean of the last layer's tokens.

        Raises:
            WrongCall: the patch does not divide the crop's sides.
        """
        height, width = x.shape[2:]
        if height % self.patch or width % self.patch:
            raise WrongCall(
                f"patches of {self.patch} pixels do not fill crops of {height}x{width}",
                "choose an input size that is a multiple of the patch",
            )
        rows, columns = height // self.patch, width // self.patch
        y = self.embed(x).flatten(2).transpose(1, 2) + positions(rows, columns, self.features, x.device)
        for layer in self.layers:
            y = layer(y)
        tokens: Tensor = self.norm(y)
        return tokens.mean(dim=1)


def positions(rows: int, columns: int, width: int, device: torch.device | None = None) -> Tensor:
    """Where each patch lies in the frame, as sines and cosines of its row and its column.

    A place is told by its share of the frame's side, so that the same anatomy has the same position at
    every input size. What four does not divide of the width stays 0.

    Returns:
        (rows · columns, width) float32, rows first.
    """
    each = 2 * (width // 4)
    row, column = (
        sines_and_cosines((torch.arange(count, device=device) + 0.5) * (SIDE / count), each)
        for count in (rows, columns)
    )
    code = torch.cat(
        [row[:, None].expand(rows, columns, each), column[None].expand(rows, columns, each)], dim=2
    )
    return F.pad(code, (0, width - 2 * each)).flatten(0, 1)
