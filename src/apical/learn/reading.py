"""Frames of a store, read where they are asked for.

Not through a memory map: its pages count as the process's memory, so that would seem to grow with the store,
and a file that shrinks or a share that goes away would kill the process instead of raising an error.
"""

from __future__ import annotations

from functools import cached_property
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo


class FrameArray(Protocol):
    """What gives frames by their rows: an array (N, s, s) uint8, or `FrameFile`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, s, s)."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> NDArray[np.uint8]: ...


class FrameFile:
    """The rows of ``frames.npy``, (N, s, s) uint8.

    Args:
        path: the file.
        shape: (N, s, s).
        offset: where the first frame begins, in bytes.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], offset: int) -> None:
        self.path, self.shape, self.offset = path, shape, offset
        self.bytes_a_frame = int(np.prod(shape[1:]))
        self._lock = Lock()

    @classmethod
    def of(cls, mapped: NDArray[np.uint8]) -> FrameArray:
        """The file behind a memory map; an array in memory as it is."""
        if not isinstance(mapped, np.memmap) or mapped.filename is None:
            return mapped
        return cls(Path(mapped.filename), mapped.shape, int(mapped.offset))

    def __len__(self) -> int:
        return self.shape[0]

    @cached_property
    def _file(self) -> FileIO:
        return self.path.open("rb", buffering=0)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("path", "shape", "offset")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __getitem__(self, rows: Any, /) -> NDArray[np.uint8]:
        """Frames by a slice or an array of rows, in any order: (len(rows), s, s), a copy.

        Raises:
            IndexError: there is no such row.
            CannotDo: the file is gone, or shorter than it was.
        """
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else np.atleast_1d(rows)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError("no such frame")
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        found = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        starts = np.flatnonzero(np.diff(ordered, prepend=-2) != 1)
        for start, end in zip(starts, np.append(starts, len(ordered))[1:], strict=True):
            self._read(int(ordered[start]), found[start:end])
        if np.array_equal(order, np.arange(len(order))):
            return found
        unordered = np.empty_like(found)
        unordered[order] = found
        return unordered

    def _read(self, row: int, into: NDArray[np.uint8]) -> None:
        data = into.reshape(-1).data
        got = 0
        try:
            with self._lock:
                self._file.seek(self.offset + row * self.bytes_a_frame)
                while got < len(data) and (count := self._file.readinto(data[got:])):
                    got += count
        except OSError:
            got = -1
        if got != len(data):
            raise CannotDo(
                "the frame store cannot be read any more",
                "check that its disk is there; if it is, delete the store and build it again",
            )
