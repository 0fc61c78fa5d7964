"""A file that grows while a run goes on."""

from __future__ import annotations

from pathlib import Path

from apical.files import cannot_write


class Growing:
    """A file to whose end pieces are added.

    A piece is with the operating system when `add` returns, so that a killed process loses nothing.

    Raises:
        CannotDo: the folder cannot be made or written, or the disk is full; also by `add`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from None

    def add(self, piece: bytes) -> None:
        """Write all of `piece`, or what the disk still holds of it."""
        try:
            while piece:
                piece = piece[self._file.write(piece) :]
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def close(self) -> None:
        """Nothing more will come."""
        self._file.close()
