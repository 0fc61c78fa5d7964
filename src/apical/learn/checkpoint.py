"""Crash-safe state: a file is either the whole old checkpoint or the whole new one."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from apical.errors import CannotDo
from apical.files import write_atomically


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write training state (tensors, numbers, strings and containers of them) atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote; nothing in the file is executed.

    Raises:
        CannotDo: there is no such file, or it is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CannotDo(
            f"the checkpoint '{path.name}' cannot be read ({type(error).__name__})",
            "delete it and call again with --resume: the run then begins anew",
        ) from None
    return state


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's parameters and buffers as safetensors."""
    write_atomically(path, weights_of(module))


def weights_of(module: nn.Module) -> bytes:
    """A module's parameters and buffers as safetensors."""
    tensors: dict[str, Tensor] = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    return save(tensors)


def load_weights(path: Path, module: nn.Module) -> None:
    """Fill a module from `save_weights`.

    Raises:
        CannotDo: there is no such file, or it is for another network.
    """
    try:
        module.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CannotDo(
            f"the weights '{path.name}' do not fit ({type(error).__name__})",
            "check that the folder is whole and was made by this version",
        ) from None
