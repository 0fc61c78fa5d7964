"""The pre-norm transformer layer that patches of a frame and frames of a clip share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apical.errors import WrongCall

INITIAL_DEVIATION = 0.02  # of weights, as in the published vision transformers
LAYER_NORM_EPSILON = 1e-6


class TransformerLayer(nn.Module):
    """Attention and a two-layer perceptron, each added to its input.

    x ← x + attention(norm(x) + position), then x ← x + perceptron(norm(x)): the norm comes first, so that
    a sum runs through all layers untouched (Vaswani et al. 2017, arXiv 1706.03762; Xiong et al. 2020,
    arXiv 2002.04745).

    Args:
        width: of a token.
        heads: attention heads; they share out the width.

    Raises:
        WrongCall: the width is no multiple of the heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise WrongCall(
                f"{heads} attention heads cannot share a width of {width} evenly",
                "choose a number of heads that divides it",
            )
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.join_heads = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        for linear in (self.queries_keys_values, self.join_heads, self.widen, self.narrow):
            nn.init.trunc_normal_(linear.weight, std=INITIAL_DEVIATION)
            nn.init.zeros_(linear.bias)

    def start_as_identity(self) -> None:
        """Let the layer pass its input on unchanged until it has learnt otherwise."""
        for linear in (self.join_heads, self.narrow):
            nn.init.zeros_(linear.weight)

    def forward(self, x: Tensor, position: Tensor | None = None) -> Tensor:
        """Tokens (n, t, width) → tokens (n, t, width).

        `position`, (t, width), is seen by the attention alone and not passed on.
        """
        seen = self.norm1(x)
        x = x + self.attention(seen if position is None else seen + position)
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))  # type: ignore[no-any-return]

    def attention(self, x: Tensor) -> Tensor:
        """Σ_j softmax_j(q_i·k_j / √d) v_j in each head of width d; (n, t, width) → (n, t, width)."""
        n, t, width = x.shape
        together = self.queries_keys_values(x).view(n, t, 3, self.heads, width // self.heads)
        queries, keys, values = together.permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(queries, keys, values)
        joined: Tensor = self.join_heads(heads.transpose(1, 2).reshape(n, t, width))
        return joined


def sines_and_cosines(place: Tensor, width: int) -> Tensor:
    """Places on a line as vectors in which near ones are alike (arXiv 1706.03762).

    Args:
        place: (t,) float, in units of one token.
        width: of the code, even.

    Returns:
        (t, width) float: sin(place / 10000^(i / (width/2))) for each i, then the cosines.
    """
    half = torch.arange(width // 2, device=place.device)
    angle = place[:, None] * 10_000.0 ** (-half / max(1, width // 2))
    return torch.cat([angle.sin(), angle.cos()], dim=1)
