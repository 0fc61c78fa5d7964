"""Networks of the timm library by name, and published ImageNet weights in them.

The first layer sees one grey channel. Nothing is ever downloaded: weights come from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call

from apical.config import TimmSettings
from apical.errors import CannotDo, WrongCall
from apical.learn.augment import DEVIATION, MEAN
from apical.learn.encoder import Encoder

WRAPPINGS = ("state_dict", "model")  # names under which training scripts keep the weights in their files


@dataclass(frozen=True)
class Published:
    """What to know of a network's published weights.

    Attributes:
        mean: of red, green and blue in [0, 1], subtracted from the images they were made with.
        deviation: of red, green and blue, by which those were then divided.
        classifier: names of the layers that name ImageNet's classes.
    """

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    deviation: tuple[float, ...] = (0.229, 0.224, 0.225)
    classifier: tuple[str, ...] = ()


class TimmEncoder(Encoder):
    """Grey crops, (n, 1, h, w) float, → features, (n, features).

    `shift`, a number kept with the weights, is added to the crops: 0 but for published weights.

    Args:
        network: gives (n, features) for crops.
        features: their width.
        published: of its weights.
        side: the only size it takes, in pixels; None where any will do.
    """

    shift: Tensor

    def __init__(
        self, network: nn.Module, features: int, published: Published, side: int | None = None
    ) -> None:
        super().__init__()
        self.network, self.features, self.published, self.side = network, features, published, side
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """The pooled features, before a classifier.

        Raises:
            WrongCall: the network cannot take crops of this size.
        """
        height, width = x.shape[2:]
        if self.side is not None and (height, width) != (self.side, self.side):
            raise WrongCall(
                f"this network takes crops of {self.side}x{self.side} pixels only", f"use size {self.side}"
            )
        try:
            y: Tensor = self.network(x + self.shift)
        except AssertionError:  # timm's word for a size that patches or windows do not fill
            raise WrongCall(
                f"this network cannot take crops of {height}x{width} pixels",
                "choose a multiple of its patch or window",
            ) from None
        return y


def timm_encoder(settings: TimmSettings) -> TimmEncoder:
    """A network of timm with random weights; one that can take crops of any size does.

    Raises:
        CannotDo: timm is not installed, or does not work here.
        WrongCall: it has no network of that name.
    """
    timm = _timm()
    unknown = WrongCall("timm has no network of that name", "choose one of timm.list_models()")
    if not timm.is_model(settings.name):  # names such as hf-hub:… would be looked up on the network
        raise unknown
    one_channel: dict[str, Any] = {"pretrained": False, "in_chans": 1, "num_classes": 0}
    try:
        try:
            network = timm.create_model(settings.name, dynamic_img_size=True, **one_channel)
            any_size = True
        except TypeError:  # not a network for which that is a choice
            network = timm.create_model(settings.name, **one_channel)
            any_size = False
    except RuntimeError:  # the part of the name after the dot
        raise unknown from None
    facts: dict[str, Any] = network.pretrained_cfg
    classifier = facts.get("classifier") or ()
    return TimmEncoder(
        network,
        features=network.head_hidden_size,
        published=Published(
            mean=tuple(facts["mean"]),
            deviation=tuple(facts["std"]),
            classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        ),
        side=facts["input_size"][-1] if facts.get("fixed_input_size") and not any_size else None,
    )


def _timm() -> ModuleType:
    try:
        return import_module("timm")
    except (ImportError, OSError, RuntimeError) as error:  # also where its torchvision does not fit torch
        raise CannotDo(
            f"the timm library cannot be loaded ({type(error).__name__})",
            "install it with a torchvision that fits your torch: pip install 'apical[timm]'",
        ) from None


def load_imagenet(encoder: TimmEncoder, file: Path) -> None:
    """Fill an encoder with the weights of the same network for colour images; its classifier is left out.

    The features of our standardised grey crops are then those that the published network gives for the same
    image in red, green and blue, standardised its own way: exactly where the first layer does not pad, or the
    published mean is a grey. Else they differ a little at the image's edge, where padding stands for the mean
    colour there and for its grey here.

    Args:
        encoder: of one channel.
        file: safetensors, or a dictionary of tensors saved by torch, as timm names them.

    Raises:
        CannotDo: the file cannot be read or is of another network, or this network's first layer cannot be
            made grey. The encoder is then as it was.
    """
    published, network = encoder.published, encoder.network
    ours: dict[str, Tensor] = network.state_dict()
    heads = {name.split(".")[0] for name in published.classifier}
    theirs = {
        name: weight
        for name, weight in _read(file).items()
        if name in ours or name.split(".")[0] not in heads
    }
    stems = [name for name in theirs if name in ours and _is_colour(theirs[name], ours[name])]
    for name in stems:
        theirs[name], constant = grey_stem(theirs[name], published)
        place, sign = _place_of_constant(network, name.removesuffix(".weight"))
        if place in theirs:
            theirs[place] = theirs[place].float() + sign * constant
    misfits = sum(
        name not in ours or name not in theirs or ours[name].shape != theirs[name].shape
        for name in {*ours, *theirs}
        if not name.endswith("num_batches_tracked")
    )
    if misfits or not stems:
        raise CannotDo(
            f"the weights are not of this network for colour images (tensors that do not fit: {misfits})",
            "give the file that was published for the network and tag in the settings",
        )
    network.load_state_dict(ours | theirs)
    encoder.shift.fill_((MEAN - _grey(published)) / DEVIATION)


def _grey(published: Published) -> float:
    """The grey of the mean colour, in [0, 1]."""
    return sum(published.mean) / len(published.mean)


def grey_stem(weight: Tensor, published: Published) -> tuple[Tensor, Tensor]:
    """A first layer for colour images as one for our grey crops.

    With the shift of the encoder a crop is x = (g - m)/D of a grey image g, where m is the mean of the m_c.
    The layer was made for (g - m_c)/s_c in each of the three channels c, which is (D/s_c) x + (m - m_c)/s_c.
    A convolution is linear, so it becomes one with the kernel Σ_c W_c D/s_c, and the constant
    Σ_c (m - m_c)/s_c · ΣW_c.

    Args:
        weight: (channels, 3, kh, kw).
        published: how its images were standardised.

    Returns:
        kernel (channels, 1, kh, kw) and constant (channels,), float32.
    """
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (published.mean, published.deviation))
    weight = weight.float()
    kernel = (weight * (DEVIATION / deviation)).sum(dim=1, keepdim=True)
    return kernel, (weight * ((_grey(published) - mean) / deviation)).sum(dim=(1, 2, 3))


def _is_colour(theirs: Tensor, ours: Tensor) -> bool:
    """Whether kernels are the same but for three channels instead of one."""
    return (
        theirs.ndim == ours.ndim == 4
        and (theirs.shape[1], ours.shape[1]) == (3, 1)
        and (theirs.shape[0], *theirs.shape[2:]) == (ours.shape[0], *ours.shape[2:])
    )


def _place_of_constant(network: nn.Module, stem: str) -> tuple[str, int]:
    """Which vector takes the constant, and its sign: the layer's bias, or the mean of the next batch norm.

    Raises:
        CannotDo: there is neither, or the layer is not linear in its weights.
    """
    modules = dict(network.named_modules())
    names = list(modules)
    convolution = modules[stem]
    following = names[names.index(stem) + 1 :][:1]
    if isinstance(convolution, nn.Conv2d) and _is_linear(convolution):
        if convolution.bias is not None:
            return f"{stem}.bias", 1
        if following and isinstance(modules[following[0]], nn.BatchNorm2d):
            return f"{following[0]}.running_mean", -1
    raise CannotDo(
        "weights for colour images cannot be used for grey ones in this network",
        "choose a network whose first layer is a plain convolution with a bias or a batch norm",
    )


@torch.no_grad()
def _is_linear(convolution: nn.Conv2d) -> bool:
    """Whether twice the weights give twice the output; not so where they are standardised (NFNet, BiT)."""
    side = 4 * max(convolution.kernel_size)
    ramp = torch.linspace(0, 1, side * side * convolution.in_channels, device=convolution.weight.device)
    image = ramp.square().view(1, convolution.in_channels, side, side)
    doubled = {name: 2 * p for name, p in convolution.named_parameters() if name in ("weight", "bias")}
    return torch.allclose(functional_call(convolution, doubled, image), 2 * convolution(image), rtol=1e-3)


def _read(file: Path) -> dict[str, Tensor]:
    """Named tensors of a file; nothing in it is executed."""
    try:
        if file.suffix == ".safetensors":
            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever foreign bytes make the readers raise
        raise CannotDo(
            f"the file of weights cannot be read ({type(error).__name__})",
            "give a whole .safetensors or .pth file",
        ) from None
    for wrapping in WRAPPINGS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    if not isinstance(content, Mapping):
        content = {}
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
