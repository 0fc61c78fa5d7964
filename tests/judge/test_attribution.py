"""Maps equal their closed forms, add up to the logit, and leave the classifier as it was."""

import copy
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.stats import spearmanr
from torch import nn

from apical.config import ClipEncoderSettings, ResNetSettings, ViTSettings
from apical.errors import CannotDo, WrongCall
from apical.judge import attribution
from apical.judge.attribution import (
    TOP,
    grad_cam,
    integrated_gradients,
    overlay,
    randomised_similarity,
    signed_gradients,
)
from apical.learn.augment import DEVIATION, plain
from apical.learn.classifier import Classifier
from apical.learn.encoder import Encoder
from apical.learn.windows import windows

SMALL = ResNetSettings(width=8, stem_stride=2)
VIEW = 1


class Linear(Encoder):
    """Features are weighted sums of the pixels, so every map is known."""

    def __init__(self, side, features):
        super().__init__()
        self.features = features
        self.sums = nn.Linear(side * side, features)

    def forward(self, x):
        return self.sums(x.flatten(1))


def awake(model, seed=0):
    """Random weights everywhere, also where ours start at 0, and uneven running statistics."""
    random = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.ndim == 4:
            weight.data.mul_(3)  # so that logits depend on the frame
        if weight.ndim < 2 or "head" in name:
            weight.data.add_(torch.randn(weight.shape, generator=random) * 0.3)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.add_(torch.rand(buffer.shape, generator=random) * 0.2)
    return model.eval()


def classifier(settings=SMALL, seed=0):
    torch.manual_seed(seed)
    return awake(Classifier.empty(settings, views=3), seed)


def frames(count=3, side=32, seed=0):
    """Blobs with black around them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    middle = random.uniform(side / 4, 3 * side / 4, (count, 2, 1, 1))
    blob = 255 * np.exp(-((y - middle[:, 0]) ** 2 + (x - middle[:, 1]) ** 2) / side)
    return np.where(blob > 1, blob * random.uniform(0.5, 1, blob.shape), 0).astype(np.uint8)


def logit(model, clip, side):
    with torch.no_grad():
        return model(plain(torch.from_numpy(clip)[:, None], side))[1][:, VIEW].numpy()


def test_grad_cam_of_a_mean_and_a_linear_head_is_the_class_activation_map():
    """Selvaraju et al., sec. 3.1: there the weights of Grad-CAM are the head's (but for a factor)."""
    model, clip = classifier(), frames(side=40)
    with torch.no_grad():
        feature_map = model.encoder.blocks(model.encoder.stem(plain(torch.from_numpy(clip)[:, None], 64)))
    coarse = torch.einsum("c,nchw->nhw", model.head.weight[VIEW], feature_map).clamp(min=0).detach().numpy()
    assert coarse.shape == (3, 4, 4)
    place = np.mgrid[:40, :40] / 10  # a cell stands at the first pixel of its square
    fine = np.stack([map_coordinates(cells, place, order=1, mode="nearest") for cells in coarse])
    assert (fine > 0).mean() > 0.2
    expected = np.minimum(fine / np.quantile(fine[fine > 0], TOP), 1)
    found = grad_cam(model, clip, VIEW, 64)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("stem_stride", [2, 4])
def test_a_cell_of_the_last_map_sees_around_the_first_pixel_of_its_square(stem_stride):
    """The centre of what moves it, over many networks; the middle of its square would be half a stride on."""
    stride, cell, weighed = 4 * stem_stride * 2, 2, np.zeros(129)
    for seed in range(8):
        torch.manual_seed(seed)
        encoder = Classifier.empty(ResNetSettings(width=4, stem_stride=stem_stride), views=2).encoder.eval()
        x = torch.randn(1, 1, 129, 129, requires_grad=True)
        encoder.blocks(encoder.stem(x))[0, :, cell, cell].square().sum().backward()
        weighed += x.grad[0, 0].abs().sum(dim=0).numpy()
    centre = (weighed * np.arange(129)).sum() / weighed.sum()
    assert centre == pytest.approx(cell * stride, abs=0.2 * stride)


def test_integrated_gradients_of_a_linear_classifier_are_weight_times_pixel():
    torch.manual_seed(1)
    model, clip = awake(Classifier(Linear(16, 5), views=3)), frames(side=16)
    weight = (model.head.weight[VIEW] @ model.encoder.sums.weight).detach().numpy().reshape(16, 16)
    expected = weight * clip / 255 / DEVIATION
    np.testing.assert_allclose(signed_gradients(model, clip, VIEW, 16), expected, atol=1e-5)
    size = np.abs(expected)
    scaled = np.minimum(size / np.quantile(size[size > 0], TOP), 1)
    np.testing.assert_allclose(integrated_gradients(model, clip, VIEW, 16), scaled, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "steps", "count", "off"),
    [
        (ViTSettings(width=16, layers=2, heads=2), attribution.STEPS, 11, 1e-4),  # more than go in at once
        (SMALL, attribution.STEPS, 11, 0.15),  # the gradient of a network of ReLUs jumps on the way
        (SMALL, 512, 3, 0.03),
    ],
)
def test_integrated_gradients_add_up_to_the_logit_less_that_of_black(
    settings, steps, count, off, monkeypatch
):
    monkeypatch.setattr(attribution, "STEPS", steps)
    model, clip = classifier(settings), frames(count, side=40)
    expected = logit(model, clip, 32) - logit(model, np.zeros_like(clip), 32)
    most = np.abs(expected).max()
    assert most > 0.1
    found = signed_gradients(model, clip, VIEW, 32)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected, atol=off * most)
    assert not found[clip == 0].any()


def together(model, count):
    """The same classifier, but for clips: the untrained attention is the mean over frames."""
    settings = ClipEncoderSettings(of_frame=SMALL, frames=count, heads=2)
    clips = Classifier.empty(settings, views=3)
    clips.encoder.of_frame.load_state_dict(model.encoder.state_dict())
    clips.head.load_state_dict(model.head.state_dict())
    return clips.eval()


@pytest.mark.parametrize("method", [grad_cam, integrated_gradients])
def test_frames_seen_together_have_the_maps_of_frames_seen_alone(method):
    model, clip = classifier(), frames(count=6)
    alone, both = method(model, clip, VIEW, 32), method(together(model, 3), clip, VIEW, 32)
    assert alone.max() == 1
    np.testing.assert_allclose(both, alone, atol=1e-3)


def test_frames_in_no_window_get_nothing_and_those_in_it_twice_count_twice():
    model = together(classifier(), 2)
    _, rows = windows(np.zeros(1, np.int64), np.array([5]), 2, all_of_clip=True)
    (unseen,) = set(range(5)) - set(rows.ravel().tolist())
    found = signed_gradients(model, frames(count=5), VIEW, 32)
    assert [frame for frame in range(5) if not found[frame].any()] == [unseen]
    single = frames(count=1)
    np.testing.assert_allclose(
        signed_gradients(model, single, VIEW, 32), signed_gradients(classifier(), single, VIEW, 32), atol=1e-4
    )


def by_similarity(model, clip, view, size):
    return randomised_similarity(model, clip, view, size, grad_cam, seed=0)


@pytest.mark.parametrize("method", [grad_cam, integrated_gradients, by_similarity])
def test_the_classifier_stays_as_it_was_and_maps_do_not_depend_on_its_mode(method):
    model, clip = classifier(), frames()
    expected = method(model, clip, VIEW, 32)
    model.train()
    model.encoder.stem.eval()  # as where a part is frozen
    model.head.weight.grad = torch.ones_like(model.head.weight)
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    np.testing.assert_array_equal(method(model, clip, VIEW, 32), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(weight.requires_grad for weight in model.parameters())
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight))
    assert model.head.bias.grad is None


def test_maps_of_other_views_differ():
    one, other = (grad_cam(classifier(), frames(), view, 32) for view in (0, 1))
    assert np.abs(one - other).max() > 0.2


def test_a_clip_has_one_scale_and_nothing_for_a_view_is_all_zero():
    model, clip = classifier(), frames()
    nn.init.zeros_(model.head.weight)
    assert not grad_cam(model, clip, VIEW, 32).any()
    assert not integrated_gradients(model, clip, VIEW, 32).any()
    dim = clip.copy()
    dim[1:] //= 8
    found = integrated_gradients(classifier(), dim, VIEW, 32)
    assert found[0].max() == 1 > 2 * found[1:].max()


def test_overlay_is_grey_where_nothing_speaks_and_hot_where_it_does():
    frame = frames(count=1)[0]
    heat = np.zeros(frame.shape, np.float32)
    heat[:16] = 1
    picture = overlay(frame, heat)
    assert picture.shape == (32, 32, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[16:], np.repeat(frame[16:, :, None], 3, axis=2))
    blue, _, red = picture[0, 0].astype(int)  # the frame is black there
    assert red > blue + 50


def test_a_way_that_looks_at_the_frame_alone_fails_the_check():
    def brightness(model, clip, view, size):
        return clip.astype(np.float32)

    found = randomised_similarity(classifier(), frames(), VIEW, 32, brightness, seed=0)
    assert [name for name, _ in found] == ["head", "block 4", "block 3", "block 2", "block 1", "all"]
    assert [value for _, value in found] == pytest.approx([1.0] * 6)


def test_a_way_that_looks_at_the_weights_passes_it():
    clip = frames(side=16)
    values = []
    for seed in range(20):
        torch.manual_seed(seed)
        model = awake(Classifier(Linear(16, 5), views=3), seed)
        values.append(
            randomised_similarity(
                model, clip, VIEW, 16, lambda *x: signed_gradients(*x) / (x[1] + 1e-9), seed
            )
        )
    assert [name for name, _ in values[0]] == ["head", "all"]
    assert abs(np.mean([found[-1][1] for found in values])) < 0.1


def test_likeness_is_the_mean_rank_correlation_of_pixels_that_are_not_black():
    random, clip = np.random.default_rng(0), frames()
    maps = [random.integers(0, 9, clip.shape).astype(np.float32) for _ in range(3)]
    maps[0][2], maps[2][1] = 4, 7  # a frame that the classifier says nothing of, one that the copy does not
    given = iter(maps)
    torch.manual_seed(0)
    model = awake(Classifier(Linear(32, 5), views=3))
    found = randomised_similarity(model, clip, VIEW, 32, lambda *_: next(given), seed=0)
    by_frame = [
        [spearmanr(maps[0][i][clip[i] > 0], other[i][clip[i] > 0]).statistic for i in range(2)]
        for other in maps[1:-1]
    ]
    last = spearmanr(maps[0][0][clip[0] > 0], maps[2][0][clip[0] > 0]).statistic
    assert [value for _, value in found] == pytest.approx([np.mean(by_frame), (last + 0) / 2])


def test_without_a_map_there_is_no_likeness():
    def nothing(model, clip, view, size):
        return np.zeros(clip.shape, np.float32)

    found = randomised_similarity(classifier(), frames(), VIEW, 32, nothing, seed=0)
    assert np.isnan([value for _, value in found]).all()


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (SMALL, 6),
        (ViTSettings(width=16, layers=3, heads=2), 5),
        (ClipEncoderSettings(of_frame=SMALL, frames=2, heads=2), 7),
    ],
)
def test_weights_lose_their_order_from_the_head_down_and_keep_their_values(settings, parts):
    model, seen = classifier(settings), []

    def spy(network, clip, view, size):
        seen.append({name: weight.detach().clone() for name, weight in network.named_parameters()})
        return np.zeros(clip.shape, np.float32)

    randomised_similarity(model, frames(), VIEW, 32, spy, seed=3)
    assert len(seen) == parts + 1
    several = {name for name, weight in seen[0].items() if len(weight.unique()) > 5}
    changed = [{n for n in several if not torch.equal(now[n], seen[0][n])} for now in seen]
    assert changed[1] == {"head.weight"}
    assert all(less < more for less, more in pairwise(changed))
    assert changed[-1] == {name for name in several if not name.startswith("agent")}
    for name, weight in seen[-1].items():
        assert torch.equal(weight.flatten().sort().values, seen[0][name].flatten().sort().values)


@pytest.mark.parametrize("of_frames", [ViTSettings(width=16, layers=1, heads=2)])
def test_no_grad_cam_without_convolutional_stages(of_frames):
    for settings in (of_frames, ClipEncoderSettings(of_frame=of_frames, frames=2, heads=2)):
        with pytest.raises(CannotDo, match=r"no Grad-CAM.*Use integrated gradients"):
            grad_cam(classifier(settings), frames(), 0, 32)


@pytest.mark.parametrize("method", [grad_cam, integrated_gradients])
def test_views_that_cannot_be_explained(method):
    model = classifier()
    model.taught[2] = False
    with pytest.raises(CannotDo, match="not taught"):
        method(model, frames(), 2, 32)
    for view in (-1, 3):
        with pytest.raises(WrongCall, match="no such view"):
            method(model, frames(), view, 32)


@pytest.mark.parametrize("method", [grad_cam, integrated_gradients])
def test_without_captum_it_says_what_to_install(method, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(CannotDo, match=r"apical\[explain\]"):
        method(classifier(), frames(), 0, 32)


def test_captum_is_not_needed_to_import_the_module():
    assert "captum" not in vars(attribution)
