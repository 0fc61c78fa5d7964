"""The one boundary to other people's decoders: whatever they raise is a problem of the clip."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from apical.errors import ClipProblem

MOST_READS = 500_000  # of a header: two an element


class Unreadable(ClipProblem):
    """The file could not be opened or read just now; that may pass, and says nothing of the clip."""

    def __init__(self, what: str = "the file cannot be read") -> None:
        super().__init__(what)


@contextmanager
def decoding(problem: str) -> Iterator[None]:
    """Turn anything a decoder raises into `ClipProblem(problem)`; our own problems pass as they are.

    Catching everything is right here and nowhere else: pydicom and the codecs behind it meet bytes
    that nobody has checked, and raise what their deepest library happens to raise (``zlib.error``,
    ``cv2.error``, ``KeyError``, ``RecursionError``, ...; codecs in Rust panic with what is no
    `Exception`). No list of those is ever complete, and one that is missing would end the batch. The
    cause is cut off, for it may quote the file.
    """
    try:
        yield
    except (ClipProblem, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:
        raise ClipProblem(problem) from None


class Rationed:
    """A file that is parsed by its own lengths: no more is asked of it than it holds, and not without end.

    A parser sets aside the memory that a length asks for before it reads, and follows a header of a
    gigabyte of empty elements for an hour.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._reads = file, 0
        at = file.tell()
        self._end = file.seek(0, io.SEEK_END)
        file.seek(at)

    def read(self, size: int = -1) -> bytes:
        """As that of the file; raises ValueError if it was called too often."""
        self._reads += 1
        if self._reads > MOST_READS:
            raise ValueError("too many elements")
        return self._file.read(min(size, max(0, self._end - self._file.tell())) if size > 1 << 16 else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As that of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As that of the file."""
        return self._file.tell()
