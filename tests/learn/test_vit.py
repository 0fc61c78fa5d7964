"""The vision transformer: the published size, patches and places by hand, clear errors of size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from apical.config import ViTSettings
from apical.errors import WrongCall
from apical.learn.vit import SIDE, ViT, positions


def small(patch=8, **changes):
    torch.manual_seed(0)
    return ViT(ViTSettings(patch=patch, **({"width": 12, "layers": 2, "heads": 3} | changes)))


def test_parameter_count_is_timms():
    """ViT-tiny of timm, less its classifier, its learned positions and class token, and with our patches."""
    with torch.device("meta"):
        ours = ViT(ViTSettings(patch=8))
    theirs = 5_717_416 - (192 + 1) * 1000 - 197 * 192 - 192 - (3 * 16 * 16 + 1) * 192
    assert sum(p.numel() for p in ours.parameters()) == theirs + (8 * 8 + 1) * 192
    assert ours.features == 192


def test_equals_the_same_steps_written_out():
    """Cut into patches by hand, embed, add places, torch's own layers' arithmetic, norm, mean."""
    encoder = small().double()
    x = torch.randn(2, 1, 16, 24, dtype=torch.float64)
    cut = [x[:, 0, r : r + 8, c : c + 8].flatten(1) for r in (0, 8) for c in (0, 8, 16)]
    y = torch.stack(cut, dim=1) @ encoder.embed.weight.view(12, 64).T + encoder.embed.bias
    y = y + positions(2, 3, 12)
    for layer in encoder.layers:
        y = layer(y)
    y = (y - y.mean(2, keepdim=True)) / (y.var(2, correction=0, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(encoder(x), y.mean(dim=1))


def test_permuted_frames_give_permuted_features():
    encoder, x = small(), torch.randn(5, 1, 32, 32)
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(encoder(x)[order], encoder(x[order]))


def test_where_a_patch_lies_matters():
    encoder, x = small(), torch.randn(2, 1, 32, 32)
    for p in encoder.parameters():
        nn.init.normal_(p, std=0.3)
    assert not torch.allclose(encoder(x), encoder(x.roll(8, dims=3)), rtol=1e-2)
    assert not torch.allclose(encoder(x), encoder(x.roll(8, dims=2)), rtol=1e-2)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(8, 40))
def test_a_place_of_the_frame_has_one_position_at_every_size(rows, columns, width):
    """The middle patch of each 3x3 of a grid three times as fine lies where the coarse patch does."""
    coarse = positions(rows, columns, width).view(rows, columns, width)
    fine = positions(3 * rows, 3 * columns, width).view(3 * rows, 3 * columns, width)
    torch.testing.assert_close(fine[1::3, 1::3], coarse, rtol=0, atol=1e-5)


@given(st.integers(1, 28), st.integers(1, 28))
def test_no_two_patches_have_one_position(rows, columns):
    code = positions(rows, columns, 16)
    apart = torch.cdist(code, code) + torch.eye(rows * columns)
    assert apart.min() > 0.05
    assert code.shape == (rows * columns, 16)


def test_the_published_grid_has_unit_steps():
    code = positions(SIDE, SIDE, 8).view(SIDE, SIDE, 8)
    where = torch.arange(SIDE) + 0.5
    torch.testing.assert_close(code[:, 3, 0], where.sin())  # rows first
    torch.testing.assert_close(code[5, :, 4], where.sin())


@pytest.mark.parametrize(("height", "width"), [(60, 64), (64, 60)])
def test_patches_that_do_not_fill_the_crop(height, width):
    with pytest.raises(WrongCall, match=f"patches of 8 pixels do not fill crops of {height}x{width}"):
        small()(torch.zeros(1, 1, height, width))


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(WrongCall, match="cannot share a width"):
        small(width=16)


def test_first_tokens_neither_drown_the_positions_nor_vanish():
    """Of unit pixels: standard deviation about 1, as the sines' and cosines' is 0.7."""
    encoder = small(width=192)
    x = torch.randn(16, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert 0.8 < encoder.embed(x).std().item() < 1.1
