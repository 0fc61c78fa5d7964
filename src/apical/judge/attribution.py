"""Where in its frames a classifier sees a view: attribution maps, and a check of what they depend on.

Two ways, both through captum (apical[explain]) and both of the view's *logit*, not of its probability, which
also tells of the other views:

- Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) on the last feature map of a residual network. It is as
  coarse as that map: 4x4 cells for inputs of 64 pixels and `stem_stride` 2, 7x7 for 224 pixels and 4.
- Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) from a black frame, for every encoder. As
  fine as the pixels and as grainy. A black pixel gets nothing, whatever it means: a cavity shows by its walls
  alone, and bright tissue shows more than dim (Sturmfels et al. 2020, doi 10.23915/distill.00022).

A map shows where, never what, and that it lies on the heart proves nothing: some ways give the same map for
any weights (Adebayo et al. 2018, arXiv 1810.03292). `randomised_similarity` is their check. On the phantom it
fell to 0 for Grad-CAM, but to .3 for integrated gradients, as any weights give more to bright pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from apical.errors import CannotDo, WrongCall
from apical.learn.augment import plain
from apical.learn.classifier import FRAMES_AT_ONCE, Classifier
from apical.learn.clip_encoder import ClipEncoder
from apical.learn.encoder import Encoder
from apical.learn.resnet import ResNet
from apical.learn.vit import ViT
from apical.learn.windows import windows

Frames = NDArray[np.uint8]
Maps = NDArray[np.float32]
Method = Callable[[Classifier, Frames, int, int], Maps]
"""`grad_cam` or `integrated_gradients`."""

STEPS = 32  # from black to the frame, by Gauss-Legendre
TOP = 0.99  # quantile of what is above 0 that is shown as 1, so that single pixels do not darken the rest
STRENGTH = 0.7  # of the heat where it is 1; the rest is the frame


def grad_cam(classifier: Classifier, frames: Frames, view: int, input_size: int) -> Maps:
    """What speaks for a view by Grad-CAM, (F, s, s) float32 in 0 … 1; a frame where nothing does is all 0.

    The maps of a clip have one scale, so they tell which frames speak more. An encoder of several frames at
    once is explained window by window; frames that are in no window get 0.

    Args:
        classifier: is not changed.
        frames: (F, s, s) uint8 of one clip.
        view: index into the vocabulary.
        input_size: side of the classifier's input in pixels.

    Raises:
        WrongCall: there is no such view.
        CannotDo: it was not taught, the encoder has no convolutional stages that are known here, or captum is
            not installed.
    """
    network = _explained(classifier, view)
    of_frame = network.encoder.of_frame if isinstance(network.encoder, ClipEncoder) else network.encoder
    if not isinstance(of_frame, ResNet):
        raise CannotDo(
            "there is no Grad-CAM for this encoder, only for our residual networks",
            "use integrated gradients",
        )
    method = _captum().LayerGradCam(_logits(network, input_size), of_frame.blocks)

    def attribute(pixels: Tensor) -> Tensor:
        coarse = method.attribute(pixels.requires_grad_(), target=view, relu_attributions=True)
        return _enlarged(coarse, pixels.shape[-1]).reshape(pixels.shape)

    return _scaled(_by_windows(attribute, network, frames, FRAMES_AT_ONCE))


def integrated_gradients(classifier: Classifier, frames: Frames, view: int, input_size: int) -> Maps:
    """What speaks for or against a view by integrated gradients: the size of `signed_gradients`, 0 … 1.

    Arguments, shapes and scale are those of `grad_cam`; so are the errors, but every encoder will do.
    """
    return _scaled(np.abs(signed_gradients(classifier, frames, view, input_size)))


def signed_gradients(
    classifier: Classifier, frames: Frames, view: int, input_size: int
) -> NDArray[np.float64]:
    """Integrated gradients, (F, s, s) float64: each pixel's part of the view's logit, less that of black.

    They add up to that difference, summed over the windows that the encoder looks at (for most, its frames),
    as nearly as `STEPS` allow. On a trained network the sums were a tenth off, but pixels in the order (rank
    correlation .99) of eight times as many steps.
    """
    network = _explained(classifier, view)
    method = _captum().IntegratedGradients(_logits(network, input_size))

    def attribute(pixels: Tensor) -> Tensor:
        found: Tensor = method.attribute(pixels, baselines=0.0, target=view, n_steps=STEPS)
        return found

    return _by_windows(attribute, network, frames, FRAMES_AT_ONCE // STEPS)


def overlay(frame: Frames, heat: Maps) -> Frames:
    """A frame (s, s) in grey and its map (s, s) as heat over it: (s, s, 3) uint8, BGR as OpenCV writes it."""
    colours = cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    weight = STRENGTH * heat[..., None]
    return np.rint((1 - weight) * frame[..., None] + weight * colours).astype(np.uint8)


def randomised_similarity(
    classifier: Classifier, frames: Frames, view: int, input_size: int, method: Method, seed: int
) -> list[tuple[str, float]]:
    """How like the maps stay when the weights lose what was learned, from the head down.

    The values of each tensor change their places at random: its distribution stays, its structure goes. (Our
    initial weights would not do: heads and last norms start at 0.) Likeness is Spearman's rank correlation
    over a frame's pixels that are not black, averaged over frames. One draw on one clip is noisy: average
    over clips and seeds.

    Args:
        classifier: is not changed.
        frames: (F, s, s) uint8 of one clip.
        view: index into the vocabulary.
        input_size: side of the classifier's input in pixels.
        method: `grad_cam` or `integrated_gradients`.
        seed: fixes the draw.

    Returns:
        what lost its weights last, and the correlation, 1 if nothing changed: ``head``, then the blocks down
        to ``block 1``, then ``all``. A map that is the same everywhere is like none, 0. NaN where the trained
        classifier's maps are all so.

    Raises:
        WrongCall, CannotDo: as the method.
    """
    learned = method(classifier, frames, view, input_size)
    changed = copy.deepcopy(classifier)
    random = torch.Generator().manual_seed(seed)
    found = []
    for name, weights in _cascade(changed):
        for weight in weights:
            _shuffle(weight, random)
        found.append((name, _likeness(learned, method(changed, frames, view, input_size), frames > 0)))
    return found


def _cascade(classifier: Classifier) -> list[tuple[str, list[nn.Parameter]]]:
    """The weights that a view's logit depends on, from the output to the input."""
    blocks = [list(block.parameters()) for block in _blocks(classifier.encoder)]
    of_blocks = {id(weight) for block in blocks for weight in block}
    rest = [weight for weight in classifier.encoder.parameters() if id(weight) not in of_blocks]
    numbered = [(f"block {number}", block) for number, block in enumerate(blocks, start=1)]
    return [("head", list(classifier.head.parameters())), *reversed(numbered), ("all", rest)]


def _blocks(encoder: Encoder) -> list[nn.Module]:
    """The blocks of an encoder in the order of its input; none where they are not known here."""
    if isinstance(encoder, ClipEncoder):
        return [*_blocks(encoder.of_frame), *encoder.layers]
    if isinstance(encoder, ResNet):
        return list(encoder.blocks)
    return list(encoder.layers) if isinstance(encoder, ViT) else []


@torch.no_grad()
def _shuffle(weight: nn.Parameter, random: torch.Generator) -> None:
    order = torch.randperm(weight.numel(), generator=random).to(weight.device)
    weight.copy_(weight.flatten()[order].view_as(weight))


def _likeness(one: Maps, other: Maps, lit: NDArray[np.bool_]) -> float:
    """Mean rank correlation over the frames in which the one map is not the same everywhere."""
    from scipy.stats import spearmanr

    found = []
    for frame, seen in enumerate(lit):
        a, b = one[frame, seen], other[frame, seen]
        if len(a) and np.ptp(a):
            found.append(float(spearmanr(a, b).statistic) if np.ptp(b) else 0.0)
    return float(np.mean(found)) if found else float("nan")


def _captum() -> ModuleType:
    try:
        return import_module("captum.attr")
    except ImportError:
        raise CannotDo(
            "the captum library, which explains decisions, is not installed",
            "install it: pip install 'apical[explain]'",
        ) from None


def _explained(classifier: Classifier, view: int) -> Classifier:
    """A copy in evaluation mode without gradients of weights, so that the classifier stays as it is."""
    if not 0 <= view < len(classifier.taught):
        raise WrongCall("there is no such view", f"give a number from 0 to {len(classifier.taught) - 1}")
    if not classifier.taught[view]:
        raise CannotDo("the classifier was not taught this view", "ask for one that it was taught")
    return copy.deepcopy(classifier).eval().requires_grad_(False)


def _logits(classifier: Classifier, input_size: int) -> Callable[[Tensor], Tensor]:
    """Logits (n, k) of frames (n, T, s, s) with levels 0 … 255 as floats."""

    def logits(pixels: Tensor) -> Tensor:
        scores: Tensor = classifier(plain(pixels, input_size))[1]
        return scores

    return logits


def _enlarged(coarse: Tensor, side: int) -> Tensor:
    """A feature map (n, 1, h, h) at the size of the frame, (n, 1, side, side).

    Each stride of our networks keeps the first pixel of two, so a cell stands for what lies around the first
    pixel of its square, not around the middle: else all maps would lie half a cell too far right and down.
    """
    edge = F.pad(coarse, (0, 1, 0, 1), mode="replicate")
    return F.interpolate(edge, (side + 1, side + 1), mode="bilinear", align_corners=True)[..., :-1, :-1]


def _by_windows(
    attribute: Callable[[Tensor], Tensor], classifier: Classifier, frames: Frames, frames_at_once: int
) -> NDArray[np.float64]:
    """(F, s, s) float64: attributions of windows (w, T, s, s), added up by frame."""
    one, count = np.zeros(1, np.int64), np.array([len(frames)])
    _, rows = windows(one, count, classifier.encoder.frames, all_of_clip=True)
    device = classifier.taught.device
    found = np.zeros(frames.shape)
    at_once = max(1, frames_at_once // rows.shape[1])
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        pixels = torch.from_numpy(frames[part]).to(device).float()
        np.add.at(found, part, attribute(pixels).detach().cpu().numpy())
    return found


def _scaled(maps: NDArray[np.float64]) -> Maps:
    above = maps[maps > 0]
    most = float(np.quantile(above, TOP)) if len(above) else 1.0
    return np.minimum(maps / most, 1).astype(np.float32)
