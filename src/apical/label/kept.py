"""Sprites kept on the disk, so that none is decoded twice: in a folder that only its owner can read."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from apical.errors import CannotDo
from apical.files import cannot_write, replacing
from apical.label.sprite import Sprite

ROOM = 0.9  # of the bytes are left when some must go
ENDING = ".sprite"
_END_OF_JPEG = b"\xff\xd9"


class KeptSprites:
    """A folder of sprites by keys, for one process and any number of its threads.

    A file is a line of JSON, which says what a `Sprite` says beside its picture, and the picture.

    Args:
        folder: is made if it is not there; what else lies in it, such as half a file, is removed.
        most_bytes: of all files; those written first make room for new ones.

    Raises:
        CannotDo: the folder cannot be made, read or written.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._lock = threading.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            self._sizes: dict[str, int] = {}  # of files by key, those written first before others
            found = [(file.stat().st_mtime_ns, file.name, file) for file in folder.iterdir()]
            for _, name, file in sorted(found):
                if name.endswith(ENDING):
                    self._sizes[file.stem] = file.stat().st_size
                else:
                    file.unlink()
        except OSError as error:
            raise cannot_write(folder, error) from None
        self._bytes = sum(self._sizes.values())
        with self._lock:
            self._thin()

    def get(self, key: str) -> Sprite | None:
        """The sprite of a key; None where there is none, or none that is whole."""
        if key not in self._sizes:
            return None
        try:
            head, _, jpeg = self._path(key).read_bytes().partition(b"\n")
            sprite = Sprite(jpeg=jpeg, **json.loads(head))
        except (OSError, ValueError, TypeError):
            return None
        return sprite if jpeg.endswith(_END_OF_JPEG) else None

    def keep(self, key: str, sprite: Sprite) -> None:
        """Keep a sprite, if the disk lets us: it may be made again.

        Args:
            key: letters and digits.
            sprite: what `get` gives from now on.
        """
        facts = {name: value for name, value in asdict(sprite).items() if name != "jpeg"}
        data = json.dumps(facts).encode() + b"\n" + sprite.jpeg
        try:
            with replacing(self._path(key)) as temporary:
                temporary.chmod(0o600)
                temporary.write_bytes(data)
        except CannotDo:
            return
        with self._lock:
            self._bytes += len(data) - self._sizes.pop(key, 0)
            self._sizes[key] = len(data)
            if self._bytes > self._most_bytes:
                self._thin()

    def _thin(self) -> None:
        """Remove what was written first until there is some room, if there are too many bytes."""
        if self._bytes <= self._most_bytes:
            return
        for key in list(self._sizes):
            if self._bytes <= self._most_bytes * ROOM:
                return
            with suppress(OSError):
                self._path(key).unlink(missing_ok=True)
            self._bytes -= self._sizes.pop(key)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{ENDING}"
