"""Arrays that take long to make are made once and kept as .npy, by a name that tells what they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apical.files import replacing
from apical.learn.clips import Clips

Array = NDArray[Any]


def key_of(clips: Clips, *more: str) -> str:
    """A short hash of which clips these are, and of what else counts; labels and splits do not.

    Args:
        clips: with ids, patients and places in the store.
        more: such as the hash of an encoder's weights.
    """
    digest = hashlib.sha256(repr((clips.frames.shape, clips.made.model_dump_json(), more)).encode())
    for column in (clips.clip, clips.patient, clips.first, clips.count):
        digest.update("\n".join(map(str, column.tolist())).encode())
    return digest.hexdigest()[:16]


def path_of(folder: Path, name: str, key: str) -> Path:
    """Where an array is kept."""
    return folder / f"{name}-{key}.npy"


def kept(folder: Path, name: str, key: str, rows: int, make: Callable[[], Array]) -> Array:
    """An array with so many rows: mapped from the disk, or made and kept; others of its name are removed.

    A file that is broken, or has other rows, is made anew.

    Raises:
        CannotDo: the disk is full, or the folder cannot be written.
    """
    path = path_of(folder, name, key)
    found = _mapped(path, rows)
    if found is not None:
        return found
    array = make()
    write_array(path, array)
    for other in folder.glob(f"{name}-*.npy"):
        if other != path:
            other.unlink(missing_ok=True)
    return array


def write_array(path: Path, array: Array) -> None:
    """Write .npy atomically; see `apical.files.replacing` for the errors."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _mapped(path: Path, rows: int) -> Array | None:
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape[:1] == (rows,) else None
