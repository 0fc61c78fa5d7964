"""Residual networks: published sizes, saved names, groups that fit, blocks that start as the identity."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from apical.config import ResNetSettings
from apical.learn.resnet import BLOCKS, BasicBlock, Bottleneck, NarrowPointwise, ResNet, norm_layer

# torchvision's parameters, less its classifier of 1000, and less conv1 (7x7, three channels) and bn1
TORCHVISION = {
    18: 11_689_512 - (512 + 1) * 1000 - 9_408 - 128,
    34: 21_797_672 - (512 + 1) * 1000 - 9_408 - 128,
    50: 25_557_032 - (2048 + 1) * 1000 - 9_408 - 128,
}


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("depth", TORCHVISION)
def test_parameter_counts_are_torchvisions(depth, norm):
    with torch.device("meta"):
        encoder = ResNet(ResNetSettings(depth=depth, width=64, norm=norm))
    assert parameters(encoder.blocks) == TORCHVISION[depth]
    assert parameters(encoder.stem) == 5 * 5 * 64 + 2 * 64
    assert parameters(encoder) == parameters(encoder.blocks) + parameters(encoder.stem)
    assert encoder.features == (2048 if depth == 50 else 512)


@pytest.mark.parametrize("depth", BLOCKS)
def test_depth_is_the_number_of_layers_with_weights(depth):
    """Convolutions but for shortcuts, and a classifier, are the published count."""
    with torch.device("meta"):
        encoder = ResNet(ResNetSettings(depth=depth, width=4))
    convolutions = [
        key for key, m in encoder.named_modules() if isinstance(m, nn.Conv2d) and "shortcut" not in key
    ]
    assert len(convolutions) + 1 == depth


def test_names_of_saved_weights():
    """Of ResNet-10 as the first bundles hold them."""
    batch_norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["stem.0.weight", *(f"stem.1.{part}" for part in batch_norm)]
    for block in range(4):
        for number in (1, 2):
            names += [f"blocks.{block}.conv{number}.weight"]
            names += [f"blocks.{block}.norm{number}.{part}" for part in batch_norm]
        if block:
            names += [f"blocks.{block}.shortcut.0.weight"]
            names += [f"blocks.{block}.shortcut.1.{part}" for part in batch_norm]
    assert list(ResNet(ResNetSettings()).state_dict()) == names


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_blocks_start_as_the_identity(block, norm):
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(16, 16, 1, norm)(x), F.relu(x))


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_strides_skip_no_pixel(block):
    """Every pixel of the input has a say, also where the block halves the picture."""
    torch.manual_seed(0)
    network = block(16, 32, 2, "group")
    last = network.norm2 if block is BasicBlock else network.norm3
    nn.init.ones_(last.weight)
    network.shortcut = nn.Conv2d(16, 32, 1, 2)  # looks at one pixel in four by itself
    x = torch.randn(1, 16, 6, 6, requires_grad=True)
    y = network(x)
    assert y.shape == (1, 32, 3, 3)
    y.square().sum().backward()
    assert (x.grad.abs().sum(dim=(0, 1)) > 0).all()


@given(st.integers(1, 600))
def test_groups_divide_the_channels_and_hold_at_least_eight(channels):
    norm = norm_layer("group", channels)
    assert channels % norm.num_groups == 0
    assert channels // norm.num_groups >= min(8, channels)
    if channels % 8 == 0:
        assert channels // norm.num_groups == 8


def test_stem_stride_is_the_ratio_of_the_sides():
    x = torch.randn(1, 1, 64, 64)
    for stride in (2, 4):
        stem = ResNet(ResNetSettings(width=4, stem_stride=stride)).stem
        assert stem(x).shape == (1, 4, 64 // stride, 64 // stride)


@pytest.mark.parametrize("width", [4, 8, 12])
def test_narrow_networks_in_channels_last_keep_to_their_memory(width):
    """oneDNN's gradient of a strided 1x1 convolution of few channels ends the process for odd batches."""
    torch.manual_seed(0)
    encoder = ResNet(ResNetSettings(width=width, stem_stride=2)).double()
    rough = ResNet(ResNetSettings(width=width, stem_stride=2))
    rough.load_state_dict(encoder.state_dict())
    rough.to(memory_format=torch.channels_last)
    assert not [
        m
        for m in rough.modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and m.stride > (1, 1) and m.in_channels < 16
    ]  # first, since what comes next could end the tests
    x = torch.randn(5, 1, 64, 64)
    for network, crops in ((encoder, x.double()), (rough, x.to(memory_format=torch.channels_last))):
        network(crops).square().sum().backward()
    for name, p in rough.named_parameters():
        exact = encoder.get_parameter(name).grad
        assert (p.grad - exact).norm() <= 1e-3 * exact.norm() + 1e-9, name


def test_a_narrow_shortcut_is_the_strided_convolution():
    torch.manual_seed(0)
    ours = NarrowPointwise(8, 16, 2)
    theirs = nn.Conv2d(8, 16, 1, 2, bias=False)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 7, 9)
    torch.testing.assert_close(ours(x), theirs(x))
