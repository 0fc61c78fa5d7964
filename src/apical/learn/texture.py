"""Noise as fine and as wide as speckle, made once: a crop takes a piece of it from a random place."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

PERIOD = 256  # pixels after which it repeats; a piece begins at any of so many rows and columns
ALONG, ACROSS = 0.6, 0.8  # pixels, of the blur that makes the noise; neighbours then correlate as in frames
STRONGEST = 0.06  # standard deviation of fine texture in homogeneous tissue; more of it is an edge
SPREAD = math.sqrt(math.pi / 2)  # standard deviation by mean absolute deviation, of normal noise


@functools.lru_cache(maxsize=4)
def factors(size: int, deviation: float) -> NDArray[np.float32]:
    """Noise of mean 1 and this standard deviation, a little wider across than along the beam.

    Returns:
        (256 + size, 256 + size) float32, so that a piece of `size` may begin anywhere in the first 256.
    """
    return 1 + np.float32(deviation) * _repeated(_noise(0), size)


@functools.lru_cache(maxsize=4)
def fine_texture(size: int) -> NDArray[np.float32]:
    """Noise of mean 0 and variance 1, without what a binomial low-pass of 5x5 leaves.

    Returns:
        (256 + size, 256 + size) float32.
    """
    noise = _noise(1)
    smooth = cv2.GaussianBlur(np.pad(noise, 2, mode="wrap"), (5, 5), 0)[2:-2, 2:-2]
    return _repeated(noise - smooth, size)


def _noise(seed: int) -> NDArray[np.float64]:
    """White noise through a Gaussian, by its spectrum, so that it repeats without a seam: (256, 256)."""
    white = np.random.default_rng(seed).standard_normal((PERIOD, PERIOD))
    y, x = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(PERIOD),) * 2, indexing="ij")
    spectrum = np.exp(-((ALONG * y) ** 2 + (ACROSS * x) ** 2) / 2)
    return np.asarray(np.fft.ifft2(np.fft.fft2(white) * spectrum).real)


def _repeated(noise: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    normal = (noise - noise.mean()) / noise.std()
    return np.pad(normal, (0, size), mode="wrap").astype(np.float32)
