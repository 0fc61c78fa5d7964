"""Between NumPy and torch: the beams are computed on torch's default device (`with torch.device("cuda"):`).

The same code runs on a CPU and on a GPU. Their random numbers differ, and so do the pictures of one seed.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IN_CACHE = 130_000  # samples of a tensor, some of which fit into a core's cache together


def blocks(frames: int, samples: int) -> list[slice]:
    """Split `frames`, of `samples` samples each, into those to be computed at once.

    On a CPU these are few enough for their tensors to stay in its cache, where computing is several times
    as fast as beside it; on a GPU they are all.
    """
    cached = torch.get_default_device().type == "cpu"
    count = math.ceil(frames * samples / IN_CACHE) if cached else 1
    edges = np.linspace(0, frames, min(count, frames) + 1).round().astype(int).tolist()
    return [slice(*pair) for pair in itertools.pairwise(edges)]


def floats(values: Any) -> Tensor:
    """Numbers of any shape as float32, on the default device."""
    return torch.as_tensor(np.asarray(values, dtype=np.float32))


def array(values: Tensor) -> NDArray[Any]:
    """A tensor of any device as an array."""
    found: NDArray[Any] = values.cpu().numpy()
    return found


def random_numbers(rng: np.random.Generator) -> torch.Generator:
    """A generator on the default device, seeded by `rng`."""
    return torch.Generator(torch.get_default_device()).manual_seed(int(rng.integers(2**62)))
