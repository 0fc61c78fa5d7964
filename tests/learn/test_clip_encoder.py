"""The clip encoder: it starts as the mean over frames, exactly; then the order of frames counts."""

import pytest
import torch
from torch import nn

from apical.config import ClipEncoderSettings, ResNetSettings
from apical.errors import WrongCall
from apical.learn.backbones import build_encoder
from apical.learn.clip_encoder import ClipEncoder

FRAME = ResNetSettings(width=4, stem_stride=2)
SETTINGS = ClipEncoderSettings(of_frame=FRAME, frames=3, layers=2, heads=4)


def made(settings=SETTINGS):
    torch.manual_seed(0)
    return build_encoder(settings)


def trained():
    """One in evaluation, with weights as far from the start as training may take them."""
    encoder = made().eval()
    for p in [encoder.time, *encoder.layers.parameters()]:
        nn.init.normal_(p, std=0.3)
    return encoder


def clips(count=2, frames=3):
    return torch.randn(count, frames, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_starts_as_the_mean_of_the_frames_features(training, layout):
    encoder, x = made().train(training), clips().to(memory_format=layout)
    of_frames = encoder.of_frame(x.reshape(6, 1, 32, 32)).view(2, 3, 32)
    assert torch.equal(encoder(x), of_frames.mean(dim=1))
    assert not torch.allclose(of_frames[:, 0], of_frames[:, 1])


def test_equals_each_frame_by_itself_then_torchs_layers():
    """Frames in a loop; attention to normed features plus the code of their time."""
    encoder, x = trained(), clips()
    tokens = torch.stack([encoder.of_frame(x[:, t : t + 1]) for t in range(3)], dim=1)
    for layer in encoder.layers:
        seen = layer.norm1(tokens) + encoder.time
        tokens = tokens + layer.attention(seen)
        tokens = tokens + layer.narrow(nn.functional.gelu(layer.widen(layer.norm2(tokens))))
    torch.testing.assert_close(encoder(x), tokens.mean(dim=1))


def test_the_order_of_frames_counts_once_it_has_learnt():
    encoder, x = trained(), clips()
    assert not torch.allclose(encoder(x), encoder(x.flip(1)), rtol=1e-2)
    nn.init.zeros_(encoder.time)
    torch.testing.assert_close(encoder(x), encoder(x.flip(1)))


def test_it_can_learn_an_order_that_the_mean_cannot_tell():
    """Clips forwards and backwards have the same frames; a few steps tell them apart, from the start at 0."""
    encoder, x = made().eval(), clips(count=4)
    head = nn.Linear(encoder.features, 1)
    both = torch.cat([x, x.flip(1)])
    label = torch.arange(8).div(4, rounding_mode="floor").float()[:, None]
    optimizer = torch.optim.Adam([*encoder.layers.parameters(), encoder.time, *head.parameters()], lr=0.003)
    losses = []
    for _ in range(200):  # from six beginnings of the head 150 were enough
        loss = nn.functional.binary_cross_entropy_with_logits(head(encoder(both)), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.6
    assert losses[-1] < 0.1


def test_a_frame_encoder_can_be_put_in():
    frame = build_encoder(FRAME).eval()
    encoder = made().eval()
    encoder.of_frame.load_state_dict(frame.state_dict())
    x = clips()
    torch.testing.assert_close(encoder(x), torch.stack([frame(x[:, t : t + 1]) for t in range(3)]).mean(0))


def test_another_number_of_frames():
    with pytest.raises(WrongCall, match="looks at 3 frames together, and was given 1"):
        made()(clips(frames=1))


def test_heads_that_do_not_divide_the_features():
    with pytest.raises(WrongCall, match="3 attention heads cannot share a width of 32"):
        ClipEncoder(build_encoder(FRAME), frames=2, layers=1, heads=3)
