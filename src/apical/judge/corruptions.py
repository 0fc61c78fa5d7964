"""What else may happen to a clip's picture: sector frames made worse, in five steps.

The idea is that of ImageNet-C (Hendrycks & Dietterich, ICLR 2019, arXiv 1903.12261), with what happens to
ultrasound instead of to photographs: more speckle, gain set wrongly, the shadow of a rib, a picture out of
focus, one that is cut, compressed, or whose sector was found in the wrong place. Steps were chosen by eye, on
a synthetic clip and a real one; nobody was asked which of them can still be named.

Limits: all is done to the stored frames, small squares that are 0 outside the sector. So JPEG's blocks are
coarser than those of a file, speckle is multiplied onto grey levels that were compressed before, and where a
wrong sector would have uncovered writing there is black. No step is calibrated against how often it occurs.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.errors import WrongCall
from apical.learn.beams import sectors

Frames = NDArray[np.uint8]
Levels = NDArray[np.float32]
_Corruption = Callable[[Levels, int, np.random.Generator], Levels]

SEVEREST = 5
_SPECKLE = (0.1, 0.2, 0.3, 0.4, 0.5)  # share of fully developed speckle
_SPECKLE_ALONG, _SPECKLE_ACROSS = 0.007, 0.012  # of a frame's side: deviations of the Gaussian it is of
_GAIN = (12.0, 24.0, 36.0, 50.0, 64.0)  # grey levels; 12 are about 3 dB where 60 dB are shown
_HALF_LIFTED = 12.0  # the grey level that more gain lifts by half of what it lifts bright ones
_SHADOW = (2.5, 4.0, 6.0, 9.0, 12.0)  # degrees, half the width of the wedge
_SHADOW_EDGE, _SHADOW_LIGHT = 2.0, 0.08  # degrees over which it fades; the share of light left in it
_BLUR = (0.003, 0.005, 0.008, 0.011, 0.015)  # of a frame's side, along the beam; twice that across
_ZOOM = (1.05, 1.1, 1.17, 1.25, 1.35)
_QUALITY = (50, 30, 18, 10, 5)  # as libjpeg has it
_SHIFT = (0.03, 0.06, 0.1, 0.14, 0.18)  # of a frame's side
_CLOSED = 0.15  # of a frame's side: dark gaps narrower than this belong to the sector


def corrupt(frames: Frames, name: str, severity: int, seed: int) -> Frames:
    """A clip's frames, made worse.

    Args:
        frames: (F, s, s) uint8 of one clip, 0 outside the sector.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5; 0 leaves the frames as they are.
        seed: fixes what is drawn, which is the same for every severity: where a shadow lies, which way a
            sector is shifted. These are the same in all frames of the clip; speckle is another in each.

    Returns:
        (F, s, s) uint8. What is outside the sector stays 0, but where ``crop`` zooms in.

    Raises:
        WrongCall: there is no such corruption or severity.
    """
    if name not in CORRUPTIONS:
        raise WrongCall(f"there is no corruption '{name}'", f"choose from {', '.join(CORRUPTIONS)}")
    if severity not in range(SEVEREST + 1):
        raise WrongCall(f"there is no severity {severity}", f"choose 0 to {SEVEREST}")
    if severity == 0 or not frames.any():
        return frames.copy()
    random = np.random.default_rng(seed)
    changed = _BY_NAME[name](frames.astype(np.float32), severity - 1, random)
    return np.asarray(np.rint(changed.clip(0, 255)), np.uint8)


def sector_of(frames: Frames) -> NDArray[np.bool_]:
    """(s, s): where the sector is, by what is lit in any of a clip's frames (F, s, s), without its gaps."""
    lit = (frames.max(axis=0) > 0).astype(np.uint8)
    width = 2 * round(_CLOSED * lit.shape[0] / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    padded = np.pad(lit, width)  # else the frame's edge counts as lit
    closed = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc))
    return closed[width:-width, width:-width] > 0


def _speckle(frames: Levels, step: int, random: np.random.Generator) -> Levels:
    """Times Rayleigh noise of mean 1, mixed with 1: the length of two correlated normal fields."""
    side = frames.shape[-1]
    deviations = {"sigmaX": _SPECKLE_ACROSS * side, "sigmaY": _SPECKLE_ALONG * side}
    made = np.empty_like(frames)
    for number, frame in enumerate(frames):
        fields = [
            cv2.GaussianBlur(random.standard_normal((side, side)).astype(np.float32), (0, 0), **deviations)
            for _ in range(2)
        ]
        rayleigh = np.hypot(*fields)
        made[number] = frame * (1 + _SPECKLE[step] * (rayleigh / rayleigh.mean() - 1))
    return made


def _darker(frames: Levels, step: int, random: np.random.Generator) -> Levels:
    """Less gain: grey levels are logarithms, so all lose as many; dark ones end at black."""
    return frames - np.float32(_GAIN[step])


def _brighter(frames: Levels, step: int, random: np.random.Generator) -> Levels:
    """More gain, up to white; what is nearly black is lifted less, as nobody knows what lies below it."""
    return frames + np.float32(_GAIN[step]) * frames / (frames + np.float32(_HALF_LIFTED))


def _shadow(frames: Levels, step: int, random: np.random.Generator) -> Levels:
    """A dark wedge from the probe downwards, the same in all frames, such as a rib's."""
    side = frames.shape[-1]
    seen = sectors(frames.max(axis=0, keepdims=True).astype(np.uint8))
    middle = random.uniform(-0.5, 0.5) * float(seen.half_angle[0])
    begins = (float(seen.top[0]) + random.uniform(0.05, 0.2) * float(seen.reach[0])) * side
    y, x = np.mgrid[:side, :side] + 0.5
    depth = y - float(seen.top[0]) * side
    off = np.degrees(np.abs(np.arctan2(x - side / 2, depth) - middle))
    dark = np.clip((_SHADOW[step] - off) / _SHADOW_EDGE + 0.5, 0, 1)
    dark *= np.clip((y - begins) / (0.05 * side), 0, 1)
    return np.asarray(frames * (1 - (1 - _SHADOW_LIGHT) * dark), np.float32)


def _blur(frames: Levels, step: int, random: np.random.Generator) -> Levels:
    """Out of focus: wider across the beams than along them; no light is lost at the sector's edge."""
    sigma = _BLUR[step] * frames.shape[-1]
    inside = _outline(frames)
    near = np.maximum(_smooth(inside, sigma), 1e-3)
    return np.asarray(np.stack([_smooth(frame, sigma) for frame in frames]) / near * inside, np.float32)


def _smooth(picture: Levels, sigma: float) -> Levels:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigmaX=2 * sigma, sigmaY=sigma), np.float32)


def _crop(frames: Levels, step: int, random: np.random.Generator) -> Levels:
    """The sector too large for its frame: zoomed in about the middle; what lies further out is lost."""
    return _mapped(frames, _ZOOM[step], 0.0, 0.0)


def _jpeg(frames: Levels, step: int, random: np.random.Generator) -> Levels:
    """Compressed with loss, each frame for itself."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY[step]]
    made = np.empty_like(frames)
    for number, frame in enumerate(frames):
        file = cv2.imencode(".jpg", frame.astype(np.uint8), quality)[1]
        made[number] = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    return made * _outline(frames)


def _wrong_sector(frames: Levels, step: int, random: np.random.Generator) -> Levels:
    """The outline laid beside the picture: that is shifted, and what leaves the outline is masked away."""
    direction = random.uniform(0, 2 * np.pi)
    shift = _SHIFT[step] * frames.shape[-1]
    return _mapped(frames, 1.0, shift * np.cos(direction), shift * np.sin(direction)) * _outline(frames)


def _outline(frames: Levels) -> Levels:
    """(s, s): 1 inside the sector, 0 outside."""
    return sector_of(frames.astype(np.uint8)).astype(np.float32)


def _mapped(frames: Levels, zoom: float, right: float, down: float) -> Levels:
    """Frames zoomed about their middle, then shifted by pixels; 0 where nothing comes to lie."""
    side = frames.shape[-1]
    middle = (side - 1) / 2
    matrix = np.array([[zoom, 0, middle * (1 - zoom) + right], [0, zoom, middle * (1 - zoom) + down]])
    return np.stack([np.asarray(cv2.warpAffine(frame, matrix, (side, side)), np.float32) for frame in frames])


_BY_NAME: dict[str, _Corruption] = {
    "speckle": _speckle,
    "darker": _darker,
    "brighter": _brighter,
    "shadow": _shadow,
    "blur": _blur,
    "crop": _crop,
    "jpeg": _jpeg,
    "wrong-sector": _wrong_sector,
}
CORRUPTIONS = tuple(_BY_NAME)
"""Their names; gain is two of them, as too little and too much of it are different mistakes."""
