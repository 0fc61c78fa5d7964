"""Every encoder: sizes as promised, any input, a gradient everywhere, bfloat16, repeatable; and heads."""

import pytest
import torch
from torch import nn

from apical.config import ClipEncoderSettings, ResNetSettings, ViTSettings, encoder_settings
from apical.learn.backbones import Encoder, build_encoder, channels_last, prediction_head, projection_head

SMALL = {
    "resnet10": ResNetSettings(width=4),
    "resnet10-group": ResNetSettings(width=4, norm="group", stem_stride=2),
    "resnet18": ResNetSettings(depth=18, width=8, stem_stride=2),
    "resnet34": ResNetSettings(depth=34, width=4),
    "resnet50": ResNetSettings(depth=50, width=4, stem_stride=2),
    "vit": ViTSettings(patch=16, width=12, layers=2, heads=3),
    "clip of resnet": ClipEncoderSettings(of_frame=ResNetSettings(width=4, stem_stride=2), frames=3),
    "clip of vit": ClipEncoderSettings(
        of_frame=ViTSettings(patch=16, width=12, layers=1, heads=2), frames=2, layers=2, heads=3
    ),
}
FEATURES = {
    "resnet10": 32,
    "resnet10-group": 32,
    "resnet18": 64,
    "resnet34": 32,
    "resnet50": 128,
    "vit": 12,
    "clip of resnet": 32,
    "clip of vit": 12,
}


def crops(encoder, count=4, side=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, encoder.frames, side, side, generator=generator)


def seeded(name, seed=0):
    torch.manual_seed(seed)
    return build_encoder(SMALL[name])


@pytest.fixture(params=SMALL)
def name(request):
    return request.param


@pytest.mark.parametrize(("height", "width"), [(64, 64), (112, 112), (48, 80)])
def test_features_of_any_input(name, height, width):
    encoder = seeded(name)
    assert isinstance(encoder, Encoder)
    assert encoder.frames == getattr(SMALL[name], "frames", 1)
    x = torch.randn(2, encoder.frames, height, width)
    features = encoder(x)
    assert features.shape == (2, encoder.features) == (2, FEATURES[name])
    assert features.dtype == torch.float32
    assert not torch.allclose(*features)  # two crops, two answers


def test_settings_as_text_give_the_same_network(name):
    again = encoder_settings(SMALL[name].model_dump(mode="json"))
    torch.manual_seed(0)
    rebuilt = build_encoder(again).state_dict()
    first = seeded(name).state_dict()
    assert list(rebuilt) == list(first)
    assert all(torch.equal(rebuilt[key], first[key]) for key in first)


def test_a_seed_is_a_network_and_another_seed_another(name):
    one, same, other = seeded(name, 1), seeded(name, 1), seeded(name, 2)
    x = crops(one)
    assert torch.equal(one(x), same(x))
    assert not torch.allclose(one(x), other(x))


def test_weights_move_between_networks_by_name(name):
    one, other = seeded(name, 1).eval(), seeded(name, 2).eval()
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(crops(one)), other(crops(one)))


def test_every_parameter_learns(name):
    encoder = seeded(name)
    network = nn.Sequential(encoder, projection_head(encoder.features, 8), prediction_head(8))
    target = torch.randn(8, 8, generator=torch.Generator().manual_seed(2))
    for _ in range(3):  # layers that start as the identity give what is inside them no gradient at first
        network.zero_grad()
        (network(crops(encoder, 8)) - target).square().sum().backward()
        with torch.no_grad():
            for p in network.parameters():
                p -= 0.01 * p.grad
    still = [key for key, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert not still


def test_bfloat16_is_the_same_but_for_rounding(name):
    encoder = seeded(name).eval()
    network = nn.Sequential(encoder, projection_head(encoder.features, 8, norm="layer"))
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(crops(encoder))
        rough.square().sum().backward()
    assert rough.dtype == torch.bfloat16
    exact = network(crops(encoder)).detach()
    assert (rough.detach() - exact).norm() < 0.05 * exact.norm()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_memory_layout_changes_nothing(name):
    encoder = seeded(name).eval()
    x = crops(encoder)
    before = encoder(x)
    after = channels_last(encoder)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "training"),
    [("resnet10-group", True), ("vit", True), ("clip of vit", True), *((name, False) for name in SMALL)],
)
def test_features_of_a_crop_are_its_own_alone(name, training):
    encoder = seeded(name).train(training)
    x, y = crops(encoder, seed=1), crops(encoder, seed=2)
    y[0] = x[0]
    assert torch.equal(encoder(x)[0], encoder(y)[0])
    assert not torch.equal(encoder(x)[1], encoder(y)[1])


@pytest.mark.parametrize("name", ["resnet10", "clip of resnet"])
def test_batch_norm_in_training_mixes_crops(name):
    encoder = seeded(name)
    x, y = crops(encoder, seed=1), crops(encoder, seed=2)
    y[0] = x[0]
    assert not torch.allclose(encoder(x)[0], encoder(y)[0])


@pytest.mark.parametrize(("norm", "mixes"), [("batch", True), ("layer", False)])
@pytest.mark.parametrize("head", ["projection", "prediction"])
def test_heads_mix_crops_by_batch_norm_only(head, norm, mixes):
    torch.manual_seed(0)
    network = projection_head(6, 5, norm=norm) if head == "projection" else prediction_head(6, norm=norm)
    x = torch.randn(4, 6)
    y = torch.cat([x[:1], torch.randn(3, 6)])
    assert network(x).shape == (4, 5 if head == "projection" else 6)
    assert torch.equal(network(x)[0], network(y)[0]) is not mixes


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_heads_are_linear_norm_rectifier_linear(norm):
    """In training: W₂ relu(normalised(W₁x)) + b, the norm over crops or over units."""
    torch.manual_seed(0)
    head = projection_head(6, 5, norm=norm).double()
    x = torch.randn(7, 6, dtype=torch.float64)
    hidden = x @ head[0].weight.T
    dim = 0 if norm == "batch" else 1
    hidden = hidden - hidden.mean(dim, keepdim=True)
    hidden = hidden / (hidden.square().mean(dim, keepdim=True) + 1e-5).sqrt()
    expected = hidden.clamp(min=0) @ head[3].weight.T + head[3].bias
    torch.testing.assert_close(head(x), expected)


def test_head_sizes():
    count = sum(p.numel() for p in projection_head(256, 128).parameters())
    assert count == 256 * 256 + 2 * 256 + 256 * 128 + 128
    count = sum(p.numel() for p in prediction_head(128).parameters())
    assert count == 128 * 512 + 2 * 512 + 512 * 128 + 128
