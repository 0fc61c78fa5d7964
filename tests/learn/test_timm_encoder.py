"""Networks of timm, and weights for colour images in them: grey crops get what the colour network says.

Most tests use small networks of their own, since timm needs a torchvision that fits; the last use timm.
"""

import os
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from apical.config import ClipEncoderSettings, TimmSettings
from apical.errors import CannotDo, WrongCall
from apical.learn.augment import DEVIATION, MEAN
from apical.learn.backbones import build_encoder
from apical.learn.timm_encoder import Published, TimmEncoder, grey_stem, load_imagenet, timm_encoder

IMAGENET = Published(classifier=("fc",))
GREY = Published((0.5,) * 3, (0.5,) * 3, ("fc",))
AS_OURS = Published((MEAN,) * 3, (DEVIATION,) * 3, ("fc",))

try:
    import timm
except Exception as error:  # also a torchvision that does not fit torch
    timm, why = None, f"timm cannot be imported here ({type(error).__name__}: {error})"
else:
    why = ""
needs_timm = pytest.mark.skipif(timm is None, reason=why)


class Small(nn.Module):
    """A network as timm's are built: a stem, something more, the mean, a classifier that may be left out."""

    def __init__(self, channels, *, bias=False, norm=True, padding=0, classes=0, wide=8):
        super().__init__()
        self.stem = nn.Conv2d(channels, wide, 3, stride=2, padding=padding, bias=bias)
        self.norm = nn.BatchNorm2d(wide) if norm else nn.Identity()
        self.depthwise = nn.Conv2d(wide, wide, 3, groups=wide)  # one channel a kernel, and no stem
        self.fc = nn.Linear(wide, classes) if classes else nn.Identity()

    def forward(self, x):
        """(n, channels, h, w) → (n, classes or wide)."""
        return self.fc(torch.relu(self.depthwise(torch.relu(self.norm(self.stem(x))))).mean(dim=(2, 3)))


def colour_network(seed=0, **choices):
    torch.manual_seed(seed)
    network = Small(3, classes=5, **choices).eval()
    if isinstance(network.norm, nn.BatchNorm2d):
        nn.init.uniform_(network.norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(network.norm.running_var, 0.5, 2)
    return network


def saved(network, folder, suffix=".safetensors"):
    file = folder / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(network.state_dict(), file)
    else:
        torch.save(network.state_dict(), file)
    return file


def grey_images(side=17, count=4):
    """In [0, 1], (n, 1, side, side)."""
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(7))


def in_colour(images, published):
    """As the colour network wants them: red, green and blue, standardised."""
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (published.mean, published.deviation))
    return (images - mean) / deviation


def standardised(images):
    """As our crops are."""
    return (images - MEAN) / DEVIATION


def features_of(network, x):
    """What comes before the classifier."""
    classifier, network.fc = network.fc, nn.Identity()
    y = network(x)
    network.fc = classifier
    return y


def encoder(published=IMAGENET, **choices):
    return TimmEncoder(Small(1, **choices), 8, published).eval()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("bias", [True, False])
def test_three_equal_channels_are_one(tmp_path, bias, suffix):
    """Where the standardisation is ours, a grey image in all three channels gives the same, padded or not."""
    theirs = colour_network(bias=bias, padding=1)
    ours = encoder(AS_OURS, bias=bias, padding=1)
    load_imagenet(ours, saved(theirs, tmp_path, suffix))
    x = standardised(grey_images())
    torch.testing.assert_close(ours(x), features_of(theirs, x.expand(-1, 3, -1, -1)))
    assert ours.shift == 0


@pytest.mark.parametrize(("bias", "norm"), [(True, True), (True, False), (False, True)])
def test_standardisation_of_imagenet_moves_into_the_first_layer(tmp_path, bias, norm):
    theirs = colour_network(bias=bias, norm=norm)
    ours = encoder(IMAGENET, bias=bias, norm=norm)
    load_imagenet(ours, saved(theirs, tmp_path))
    images = grey_images()
    expected = features_of(theirs, in_colour(images, IMAGENET))
    torch.testing.assert_close(ours(standardised(images)), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(features_of(theirs, standardised(images).expand(-1, 3, -1, -1)), expected, 0.05)


def test_a_grey_mean_is_exact_at_padded_edges_too(tmp_path):
    theirs, ours = colour_network(padding=1), encoder(GREY, padding=1)
    load_imagenet(ours, saved(theirs, tmp_path))
    images = grey_images()
    expected = features_of(theirs, in_colour(images, GREY))
    torch.testing.assert_close(ours(standardised(images)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_a_colour_mean_differs_at_padded_edges_only(tmp_path, bias):
    """By the constant that our layer adds for kernel elements on padding too, and by nothing else."""
    theirs, ours = colour_network(padding=1, bias=bias), encoder(IMAGENET, padding=1, bias=bias)
    load_imagenet(ours, saved(theirs, tmp_path))
    images = grey_images(side=16)
    of_colour = theirs.norm(theirs.stem(in_colour(images, IMAGENET)))
    of_grey = ours.network.norm(ours.network.stem(standardised(images) + ours.shift))
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET.mean, IMAGENET.deviation))
    each = (theirs.stem.weight * (sum(IMAGENET.mean) / 3 - mean) / deviation).sum(1, keepdim=True)
    padding = 1 - nn.functional.pad(torch.ones(4, 1, 16, 16), (1, 1, 1, 1))
    added = nn.functional.conv2d(padding, each, stride=2)
    added = added / (theirs.norm.running_var + theirs.norm.eps).sqrt().view(1, -1, 1, 1)
    torch.testing.assert_close(of_grey - of_colour, added, rtol=1e-3, atol=1e-5)
    assert added[..., 0, :].abs().max() > 0.1
    assert not added[..., 1:, 1:].any()


@given(
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    deviation=st.tuples(*[st.floats(0.1, 1)] * 3),
    seed=st.integers(0, 1000),
)
def test_grey_stem_by_its_equation(mean, deviation, seed):
    """Pixel by pixel: a patch g through the colour layer, and through the grey one and its constant."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 3, 3, 3, generator=generator)
    patch = torch.rand(3, 3, generator=generator)
    kernel, constant = grey_stem(weight, Published(mean, deviation))
    assert kernel.shape == (2, 1, 3, 3)
    middle = sum(mean) / 3
    for out in range(2):
        colour = sum(
            float(weight[out, c, i, j]) * (float(patch[i, j]) - mean[c]) / deviation[c]
            for c in range(3)
            for i in range(3)
            for j in range(3)
        )
        grey = float((kernel[out, 0] * (patch - middle) / DEVIATION).sum() + constant[out])
        assert grey == pytest.approx(colour, rel=1e-3, abs=1e-3)


def test_half_precision_files(tmp_path):
    theirs, ours = colour_network(), encoder()
    save_file({key: w.half() for key, w in theirs.state_dict().items()}, tmp_path / "half.safetensors")
    load_imagenet(ours, tmp_path / "half.safetensors")
    expected = features_of(theirs, in_colour(grey_images(), IMAGENET))
    torch.testing.assert_close(ours(standardised(grey_images())), expected, rtol=0.01, atol=0.01)
    assert ours.network.stem.weight.dtype == torch.float32


@pytest.mark.parametrize("wrapping", ["state_dict", "model"])
def test_files_of_training_scripts(tmp_path, wrapping):
    theirs, ours, other = colour_network(), encoder(), encoder()
    torch.save({"epoch": 3, wrapping: theirs.state_dict()}, tmp_path / "wrapped.pth")
    load_imagenet(ours, tmp_path / "wrapped.pth")
    load_imagenet(other, saved(theirs, tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), other.parameters(), strict=True))


def test_the_shift_is_saved_with_the_weights(tmp_path):
    ours, again = encoder(), encoder()
    load_imagenet(ours, saved(colour_network(), tmp_path))
    again.load_state_dict(ours.state_dict())
    x = standardised(grey_images())
    assert ours.shift != 0
    assert torch.equal(ours(x), again(x))


WRONG = {
    "a wider network": Small(3, wide=9, classes=5),
    "a network with more layers": nn.ModuleDict({"stem": nn.Conv2d(3, 8, 3, bias=False), "more": Small(3)}),
    "a grey network": Small(1, classes=5),
    "other things at the end": nn.ModuleDict({**dict(Small(3).named_children()), "top": nn.Linear(2, 2)}),
    "nothing": nn.Identity(),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_one_line_and_changes_nothing(tmp_path, wrong):
    ours = encoder()
    before = {key: w.clone() for key, w in ours.state_dict().items()}
    with pytest.raises(CannotDo, match="are not of this network for colour images") as caught:
        load_imagenet(ours, saved(WRONG[wrong], tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert all(torch.equal(w, before[key]) for key, w in ours.state_dict().items())


def test_a_classifier_is_left_out_and_only_that(tmp_path):
    file = saved(colour_network(), tmp_path)
    load_imagenet(encoder(IMAGENET), file)
    with pytest.raises(CannotDo, match="tensors that do not fit: 2"):
        load_imagenet(encoder(replace(IMAGENET, classifier=("head.fc",))), file)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@given(content=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_any_bytes_are_one_clear_line(tmp_path, suffix, content):
    file = tmp_path / f"any{suffix}"
    file.write_bytes(content)
    with pytest.raises(CannotDo, match=r"the file of weights cannot be read|are not of this network"):
        load_imagenet(encoder(), file)


def test_a_missing_file(tmp_path):
    with pytest.raises(CannotDo, match=r"cannot be read \(FileNotFoundError\)"):
        load_imagenet(encoder(), tmp_path / "none.pth")


class MakesFolder:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        """What unpickling is to call."""
        return os.mkdir, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path):
    torch.save({"stem.weight": MakesFolder(tmp_path / "made")}, tmp_path / "evil.pth")
    with pytest.raises(CannotDo, match=r"cannot be read \(UnpicklingError\)"):
        load_imagenet(encoder(), tmp_path / "evil.pth")
    assert not (tmp_path / "made").exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert (tmp_path / "made").exists()  # it would have


class Standardised(nn.Conv2d):
    """A convolution whose kernels are standardised as it runs, with a gain, as NFNet's are."""

    def __init__(self, *args, **choices):
        super().__init__(*args, **choices)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))

    def forward(self, x):
        """A convolution with (W - mean W)/std W · gain."""
        dims = (1, 2, 3)
        weight = self.weight - self.weight.mean(dims, keepdim=True)
        return self._conv_forward(x, self.gain * weight / weight.std(dims, keepdim=True), self.bias)


@pytest.mark.parametrize("stem", ["no bias and no norm", "standardised", "no convolution"])
def test_a_first_layer_that_cannot_be_made_grey(tmp_path, stem):
    def of(channels):
        network = Small(channels, norm=stem != "no bias and no norm")
        if stem == "standardised":
            network.stem = Standardised(channels, 8, 3, bias=True)
        if stem == "no convolution":
            network.stem = nn.ParameterDict({"weight": torch.zeros(8, channels, 3, 3)})
        return network

    with pytest.raises(CannotDo, match="cannot be used for grey ones in this network"):
        load_imagenet(TimmEncoder(of(1), 8, IMAGENET), saved(of(3), tmp_path))


def test_sizes_that_the_network_cannot_take():
    one_size = TimmEncoder(Small(1), 8, IMAGENET, side=32)
    assert one_size(torch.zeros(2, 1, 32, 32)).shape == (2, 8)
    with pytest.raises(WrongCall, match="crops of 32x32 pixels only"):
        one_size(torch.zeros(2, 1, 32, 48))

    class Patches(Small):
        def forward(self, x):
            """As timm's vision transformers do."""
            assert x.shape[2] % 16 == 0, "Input height (40) should be divisible by patch size (16)."
            return super().forward(x)

    with pytest.raises(WrongCall, match="cannot take crops of 40x48 pixels"):
        TimmEncoder(Patches(1), 8, IMAGENET)(torch.zeros(1, 1, 40, 48))


def test_every_parameter_learns_in_bfloat16_and_channels_last():
    torch.manual_seed(0)
    made = encoder(bias=True).train().to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        made(grey_images().to(memory_format=torch.channels_last)).square().sum().backward()
    learning = {key for key, p in made.named_parameters() if p.grad.abs().sum() > 0}
    assert learning >= {"network.stem.weight", "network.norm.weight", "network.depthwise.weight"}


@pytest.mark.parametrize("broken", ["missing", "torchvision that does not fit"])
def test_without_timm_the_error_says_what_to_install(monkeypatch, tmp_path, broken):
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    if broken == "missing":
        monkeypatch.setitem(sys.modules, "timm", None)
    else:
        (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CannotDo, match=r"pip install 'apical\[timm\]'") as caught:
        build_encoder(TimmSettings(name="resnet18"))
    assert "\n" not in str(caught.value)


@needs_timm
@pytest.mark.parametrize(
    "name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224", "mobilenetv3_small_100"]
)
def test_timm_gives_what_its_colour_network_gives(tmp_path, name):
    torch.manual_seed(0)
    choice = {"dynamic_img_size": True} if name.startswith("vit") else {}
    theirs = timm.create_model(name, num_classes=1000, **choice).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
    file = tmp_path / "weights.safetensors"
    save_file({key: w.contiguous() for key, w in theirs.state_dict().items()}, file)
    ours = timm_encoder(TimmSettings(name=name)).eval()
    load_imagenet(ours, file)
    theirs.reset_classifier(0)
    images = grey_images(side=112)
    expected = theirs(in_colour(images, ours.published))
    assert expected.shape == (4, ours.features)
    error = (ours(standardised(images)) - expected).norm() / expected.norm()
    assert error < 0.01  # of padded edges


@needs_timm
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_timms_networks_are_encoders(name):
    torch.manual_seed(0)
    made = build_encoder(TimmSettings(name=name))
    assert all(made(torch.randn(2, 1, side, side)).shape == (2, made.features) for side in (64, 112))
    made(torch.randn(4, 1, 64, 64)).square().sum().backward()
    assert all(p.grad is not None for p in made.parameters())
    clip = build_encoder(ClipEncoderSettings(of_frame=TimmSettings(name=name), frames=2))
    assert clip(torch.randn(3, 2, 64, 64)).shape == (3, made.features)


@needs_timm
@pytest.mark.parametrize("name", ["no_such_network", "resnet18.no_such_tag", "hf-hub:timm/resnet18.a1_in1k"])
def test_names_that_timm_does_not_know(name):
    with pytest.raises(WrongCall, match="timm has no network of that name"):
        timm_encoder(TimmSettings(name=name))
