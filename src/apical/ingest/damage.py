"""The one boundary to other people's decoders: whatever they raise is a problem of the clip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apical.errors import ClipProblem


class Unreadable(ClipProblem):
    """The file could not be opened or read just now; that may pass, and says nothing of the clip."""

    def __init__(self, what: str = "the file cannot be read") -> None:
        super().__init__(what)


@contextmanager
def decoding(problem: str) -> Iterator[None]:
    """Turn anything a decoder raises into `ClipProblem(problem)`; our own problems pass as they are.

    Catching `Exception` is right here and nowhere else: pydicom and the codecs behind it meet bytes
    that nobody has checked, and raise what their deepest library happens to raise (``zlib.error``,
    ``cv2.error``, ``KeyError``, ``RecursionError``, ...). No list of those is ever complete, and one
    that is missing would end the batch. The cause is cut off, for it may quote the file.
    """
    try:
        yield
    except ClipProblem:
        raise
    except Exception:
        raise ClipProblem(problem) from None
