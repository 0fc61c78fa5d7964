"""The spool: files on their way in, and small previews, in one folder that only its owner can read.

Names are random and ours: nothing a client calls a file is used as a path, or kept. Bytes go to the disk as
they come and count at once, so that what waits is bounded by the disk that is set aside, never by memory.
"""

from __future__ import annotations

import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from apical.deploy.service.items import TooBusy
from apical.errors import CannotDo

MOST_BYTES = 20 << 30  # that may wait at a time
MOST_PREVIEWS = 2 << 30  # bytes
ROOM = 0.9  # of these are left when some must go
HALF_SECONDS = 3600  # after which half a preview is nobody's


class TooLarge(CannotDo):
    """A file has more bytes than are accepted."""


class Spool:
    """An opened spool, for one process and any number of its threads.

    Args:
        folder: the private folder of the service; ``incoming`` and ``previews`` are made in it.
        most_bytes: of all files that wait.
        most_previews: bytes of all previews; the oldest make room for new ones.

    Raises:
        CannotDo: the folder cannot be made or read. So does every method for one that cannot be written.
    """

    def __init__(
        self, folder: Path, most_bytes: int = MOST_BYTES, most_previews: int = MOST_PREVIEWS
    ) -> None:
        self.incoming, self._previews = folder / "incoming", folder / "previews"
        self._most_bytes, self._most_previews = most_bytes, most_previews
        self._lock = threading.Lock()
        with touching_state():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for one in (self.incoming, self._previews):
                one.mkdir(mode=0o700, exist_ok=True)
            for one in (folder, self.incoming, self._previews):
                one.chmod(0o700)
            self._bytes = sum(file.stat().st_size for file in self.incoming.iterdir())
            self._preview_bytes = sum(file.stat().st_size for file in self._previews.iterdir())

    @property
    def bytes_waiting(self) -> int:
        """Of all files that wait or are being written."""
        return self._bytes

    @property
    def is_full(self) -> bool:
        """Whether no more bytes are accepted."""
        return self._bytes >= self._most_bytes

    def write(self, most_bytes: int) -> Incoming:
        """A new file to be written piece by piece, of at most so many bytes; see `Incoming`.

        Raises:
            TooBusy: too many bytes wait already.
            CannotDo: the folder cannot be written.
        """
        if self.is_full:
            raise _full()
        return Incoming(self, self.incoming / secrets.token_hex(16), most_bytes)

    def receive(self, data: Iterable[bytes], most_bytes: int) -> Path:
        """Write a whole file, on the disk when this returns; nothing is left of it if this raises.

        Raises:
            TooLarge: it has more than `most_bytes`.
            TooBusy: too many bytes wait already.
            CannotDo: it cannot be written.
        """
        with self.write(most_bytes) as file:
            for piece in data:
                file.write(piece)
            return file.keep()

    def remove(self, file: Path) -> None:
        """Remove a file that has come, if it is there."""
        with touching_state(), suppress(FileNotFoundError):
            size = file.stat().st_size
            file.unlink()
            self.count(-size)

    def sweep(self, wanted: set[Path], *, older_than: float | None = None) -> int:
        """Remove what nobody waits for, such as half a file of a dead server; returns how many.

        Args:
            wanted: is kept.
            older_than: seconds; what was written since is kept too. A file that is being written is not
                wanted yet, so None is only for a server that receives nothing yet.
        """
        names = {file.name for file in wanted}
        before = None if older_than is None else time.time() - older_than
        unwanted = [
            file
            for file in _files_in(self.incoming)
            if file.name not in names and (before is None or _time_of(file) < before)
        ]
        for file in unwanted:
            self.remove(file)
        return len(unwanted)

    def keep_preview(self, item: str, data: bytes) -> None:
        """Keep the preview of an item, for `preview`; the oldest others go if there are too many bytes."""
        beside = self._previews / f".{item}"
        with touching_state():
            beside.write_bytes(data)
            beside.chmod(0o600)
            beside.replace(self._previews / f"{item}.webp")
        with self._lock:
            self._preview_bytes += len(data)
            if self._preview_bytes > self._most_previews:
                self._thin_previews()

    def _thin_previews(self) -> None:
        """Remove the oldest previews until there is some room; that others are gone is only noted here."""
        newest_first = sorted(_files_in(self._previews), key=_time_of, reverse=True)
        self._preview_bytes = 0
        for file in newest_first:
            with touching_state(), suppress(FileNotFoundError):
                size = file.stat().st_size
                if self._preview_bytes + size > self._most_previews * ROOM:
                    file.unlink()
                else:
                    self._preview_bytes += size

    def preview(self, item: str) -> Path | None:
        """Where the preview of an item lies, an animated WebP; None where there is none."""
        path = self._previews / f"{item}.webp"
        return path if path.is_file() else None

    def remove_previews(self, items: Iterable[str]) -> None:
        """Remove the previews of items, where there are any."""
        with touching_state():
            for item in items:
                (self._previews / f"{item}.webp").unlink(missing_ok=True)

    def sweep_previews(self, is_wanted: Callable[[str], bool]) -> None:
        """Remove the previews of items that nobody knows any more, and half ones that were not finished."""
        before = time.time() - HALF_SECONDS
        for file in _files_in(self._previews):
            is_kept = is_wanted(file.stem) if file.suffix == ".webp" else _time_of(file) >= before
            if not is_kept:
                with touching_state():
                    file.unlink(missing_ok=True)

    def count(self, size: int) -> None:
        """Count bytes that came or went. Raises TooBusy, uncounted, if too many would wait."""
        with self._lock:
            if size > 0 and self._bytes + size > self._most_bytes:
                raise _full()
            self._bytes = max(0, self._bytes + size)


class Incoming:
    """A file being written; use it in a ``with`` statement, which removes it unless it was kept."""

    def __init__(self, spool: Spool, path: Path, most_bytes: int) -> None:
        self._spool, self._path, self._most_bytes = spool, path, most_bytes
        self.size, self._kept = 0, False
        with touching_state():
            self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            os.close(self._file)
            self._path.unlink(missing_ok=True)
            self._spool.count(-self.size)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            TooLarge: the file would have more than it may.
            TooBusy: too many bytes would wait.
            CannotDo: the disk is full or gone.
        """
        if self.size + len(data) > self._most_bytes:
            raise TooLarge(
                f"a file has more than {self._most_bytes} bytes", "send a smaller one, or raise the limit"
            )
        self._spool.count(len(data))
        self.size += len(data)
        rest = memoryview(data)
        with touching_state():
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def keep(self) -> Path:
        """See that the file is whole on the disk, whatever happens now, and return where it lies."""
        with touching_state():
            os.fsync(self._file)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        os.close(self._file)
        self._kept = True
        return self._path


def _files_in(folder: Path) -> list[Path]:
    with touching_state():
        return list(folder.iterdir())


def _time_of(file: Path) -> float:
    """When a file was written last, in seconds since 1970; infinite for one that is gone."""
    with touching_state(), suppress(FileNotFoundError):
        return file.stat().st_mtime
    return math.inf


@contextmanager
def touching_state() -> Iterator[None]:
    """Let a folder that cannot be read or written be a CannotDo in this block."""
    try:
        yield
    except OSError as error:
        raise cannot_write_state(error) from None


def _full() -> TooBusy:
    return TooBusy("too many bytes wait already", "try again in a while")


def cannot_write_state(error: Exception) -> CannotDo:
    """The one line for a state folder that is full, read-only or gone."""
    why = getattr(error, "strerror", None) or type(error).__name__
    return CannotDo(
        f"the state folder cannot be read or written ({why})",
        "free some space and see that the folder can be written",
    )
