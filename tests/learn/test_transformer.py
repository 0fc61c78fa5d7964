"""The transformer layer against naive loops and torch's own, its start, and the code of places."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from apical.errors import WrongCall
from apical.learn.transformer import TransformerLayer, sines_and_cosines


def layer(width=12, heads=3, deviation=0.3):
    """One in double precision with large weights, so that no part of it is near to nothing."""
    torch.manual_seed(0)
    made = TransformerLayer(width, heads).double()
    for p in made.parameters():
        nn.init.normal_(p, std=deviation)
    return made


def tokens(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("heads", [1, 3, 4])
@torch.no_grad()
def test_attention_equals_naive_loops(heads):
    made, x = layer(heads=heads), tokens(2, 5, 12)
    inner = 12 // heads
    q, k, v = (x @ made.queries_keys_values.weight.T + made.queries_keys_values.bias).split(12, dim=2)
    joined = torch.zeros(2, 5, 12, dtype=torch.float64)
    for n in range(2):
        for head in range(heads):
            part = slice(head * inner, (head + 1) * inner)
            for i in range(5):
                scores = [math.exp(float(q[n, i, part] @ k[n, j, part]) / math.sqrt(inner)) for j in range(5)]
                for j in range(5):
                    joined[n, i, part] += scores[j] / sum(scores) * v[n, j, part]
    expected = joined @ made.join_heads.weight.T + made.join_heads.bias
    torch.testing.assert_close(made.attention(x), expected)


def test_equals_torchs_pre_norm_layer():
    ours = layer()
    theirs = nn.TransformerEncoderLayer(
        12, 3, 48, dropout=0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).double()
    pairs = {
        theirs.self_attn.out_proj: ours.join_heads,
        theirs.linear1: ours.widen,
        theirs.linear2: ours.narrow,
        theirs.norm1: ours.norm1,
        theirs.norm2: ours.norm2,
    }
    for their_part, our_part in pairs.items():
        their_part.load_state_dict(our_part.state_dict())
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(ours.queries_keys_values.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.queries_keys_values.bias)
    torch.testing.assert_close(ours(tokens(2, 5, 12)), theirs(tokens(2, 5, 12)))


def test_without_positions_tokens_have_no_order():
    made, x = layer(), tokens(2, 5, 12)
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(made(x)[:, order], made(x[:, order]))


def test_positions_are_seen_by_attention_and_not_passed_on():
    made, x, position = layer(), tokens(2, 5, 12), tokens(5, 12)
    assert not torch.allclose(made(x, position), made(x))
    nn.init.zeros_(made.join_heads.weight)
    assert torch.equal(made(x, position), made(x))


def test_starts_as_the_identity_when_asked_to():
    made, x = TransformerLayer(12, 3), tokens(2, 5, 12).float()
    assert not torch.equal(made(x), x)
    made.start_as_identity()
    assert torch.equal(made(x, tokens(5, 12).float()), x)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(WrongCall, match="5 attention heads cannot share a width of 12 evenly"):
        TransformerLayer(12, 5)


@given(st.integers(1, 40), st.floats(-50, 50), st.floats(-50, 50))
def test_codes_of_places_tell_their_distance_only(half, a, b):
    """code(a)·code(b) = Σ_i cos((a - b) ω_i), whatever a and b are."""
    code = sines_and_cosines(torch.tensor([a, b], dtype=torch.float64), 2 * half)
    assert code.shape == (2, 2 * half)
    expected = sum(math.cos((a - b) * 10_000 ** (-i / half)) for i in range(half))
    assert float(code[0] @ code[1]) == pytest.approx(expected, abs=1e-3)
