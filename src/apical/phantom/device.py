"""Between NumPy and torch: the beams are computed on torch's default device (`with torch.device("cuda"):`).

The same code runs on a CPU and on a GPU. Their random numbers differ, and so do the pictures of one seed.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
