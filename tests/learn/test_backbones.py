"""Encoders: sizes as promised, any input size, and a gradient for every parameter."""

import pytest
import torch

from apical.config import EncoderSettings
from apical.learn.backbones import Encoder, projection_head


@pytest.mark.parametrize("depth", [10, 18])
@pytest.mark.parametrize(("stem_stride", "side"), [(2, 64), (4, 112)])
def test_features_of_any_input(depth, stem_stride, side):
    encoder = Encoder(EncoderSettings(depth=depth, width=8, stem_stride=stem_stride))
    features = encoder(torch.randn(2, 1, side, side))
    assert features.shape == (2, encoder.features) == (2, 64)


def test_parameter_counts():
    """ResNet-18 of width 64 has 11.17 M parameters but for the stem (torchvision less its head)."""
    encoder = Encoder(EncoderSettings(depth=18, width=64))
    stem = sum(p.numel() for p in encoder.stem.parameters())
    torchvision_blocks = 11_689_512 - 513_000 - 9_408 - 128  # resnet18 less fc, conv1 and bn1
    assert sum(p.numel() for p in encoder.parameters()) - stem == torchvision_blocks


def test_every_parameter_learns():
    encoder = Encoder(EncoderSettings(width=4))
    network = torch.nn.Sequential(encoder, projection_head(encoder.features, 8))
    for _ in range(2):  # the identity start gives the inner layers a gradient from the second step on
        network.zero_grad()
        network(torch.randn(4, 1, 64, 64)).square().sum().backward()
        with torch.no_grad():
            for p in network.parameters():
                p -= 0.01 * p.grad
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
