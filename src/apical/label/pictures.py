"""The pictures of clips for the page: few small frames at once, or all of the file's, decoded when asked for.

A clip is looked up by its id in the catalogue, and by nothing else; no text of a request becomes a path.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apical.errors import CannotDo
from apical.ingest.frames import FrameStore
from apical.label.from_file import Wanted, sprite_of_file
from apical.label.kept import KeptSprites
from apical.label.reference import reference
from apical.label.sprite import Sprite, grey_jpeg, make_sprite, milliseconds
from apical.label.worker import Died, Worker

SMALL_QUALITY, STILL_QUALITY = 70, 85
DECODERS = 2  # processes, so that one slow file does not keep the others waiting
SECONDS, MEMORY_MB = 20.0, 2048  # most for a file
AGAIN_SECONDS = 60.0  # before a file that could not be shown is tried once more

Cutter = Callable[[Wanted], Sprite | None]


class NoPicture(CannotDo):
    """There is nothing that can be shown of a clip."""

    def __init__(self) -> None:
        super().__init__("there is no picture of this clip", "build the store anew with 'apical frames'")


@dataclass(frozen=True)
class _InStore:
    """Where the frames of a clip lie in the store, and the time between them."""

    rows: slice
    ms: float


class Pictures:
    """The pictures of a catalogue's clips, for any number of threads.

    Args:
        store: of frames of these clips.
        table: the catalogue.
        folder: where large pictures are kept; private, see `KeptSprites`.
        side: most pixels of a large frame's side.
        most_frames: of a large picture.
        most_mb: megabytes of the folder.
        seconds: most time that a large picture is waited for; then the store's is shown.
        cut: makes a large picture, in a process of its own; picklable.

    Raises:
        CannotDo: the folder cannot be written.
    """

    def __init__(
        self,
        store: FrameStore,
        table: pl.DataFrame,
        folder: Path,
        *,
        side: int = 448,
        most_frames: int = 48,
        most_mb: int = 2048,
        seconds: float = SECONDS,
        cut: Cutter = sprite_of_file,
    ) -> None:
        self._frames = store.frames
        self._in_store = _places(store.index)
        self._wanted = {
            clip: Wanted(clip, place, sector, side, most_frames) if problem is None else None
            for clip, place, sector, problem in table.select("clip", "path", "sector", "problem").iter_rows()
        }
        self._kept = KeptSprites(folder, most_mb << 20)
        self._seconds = seconds
        self._workers = [Worker(cut, seconds=seconds, memory_mb=MEMORY_MB) for _ in range(DECODERS)]
        self._idle: queue.LifoQueue[Worker[Wanted, Sprite | None]] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._lock = threading.Lock()
        self._running: dict[str, Future[Sprite | None]] = {}
        self._failed: dict[str, float] = {}  # when, by key

    def start(self) -> None:
        """Start the processes that decode, so that the first picture need not wait for them."""
        for worker in self._workers:
            with suppress(Died):  # then it is tried again for a picture
                worker.start()

    def stop(self) -> None:
        """End the processes that decode; large pictures that are asked for now are those of the store."""
        for worker in self._workers:
            worker.stop()

    def small(self, clip: str) -> Sprite:
        """The frames of the store, at once.

        Raises:
            KeyError: the catalogue has no such clip.
            NoPicture: the store has no frames of it.
        """
        found = self._found(clip)
        return make_sprite(self._frames[found.rows], found.ms, "store", SMALL_QUALITY)

    def large(self, clip: str) -> Sprite:
        """The frames of the file, masked, kept or decoded now; those of the store where that cannot be.

        Raises:
            KeyError, NoPicture: as `small`.
        """
        wanted = self._wanted[clip]
        sprite = None if wanted is None else self._from_file(wanted)
        return self.small(clip) if sprite is None else sprite

    def still(self, clip: str) -> bytes:
        """The middle frame of the store as a JPEG: a user's own example of a view.

        Raises:
            KeyError, NoPicture: as `small`.
        """
        rows = self._found(clip).rows
        middle: NDArray[np.uint8] = self._frames[(rows.start + rows.stop) // 2]
        return grey_jpeg(middle, STILL_QUALITY)

    def reference(self, view: str) -> bytes | None:
        """The shipped still of a view; None where there is none. See `apical.label.reference`."""
        return reference(view)

    def _found(self, clip: str) -> _InStore:
        self._wanted[clip]  # a KeyError, if the catalogue does not know it
        if clip not in self._in_store:
            raise NoPicture
        return self._in_store[clip]

    def _from_file(self, wanted: Wanted) -> Sprite | None:
        """A large picture; who asks for one that is being decoded waits for that."""
        key = _key(wanted)
        sprite = self._kept.get(key)
        if sprite is not None:
            return sprite
        with self._lock:
            running = self._running.get(key)
            if running is None:
                mine = self._running[key] = Future()
        if running is not None:
            return running.result()
        try:
            sprite = self._kept.get(key) or self._decoded(wanted, key)  # kept by who was first, a moment ago
        finally:
            mine.set_result(sprite)
            with self._lock:
                del self._running[key]
        return sprite

    def _decoded(self, wanted: Wanted, key: str) -> Sprite | None:
        """Decode a picture and keep it; None where it cannot be, or could not be a short while ago."""
        if time.monotonic() - self._failed.get(key, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return None
        try:
            worker = self._idle.get(timeout=self._seconds)
        except queue.Empty:  # all are busy with slow files
            return None
        try:
            sprite = worker.call(wanted)
        except Died:
            sprite = None
        finally:
            self._idle.put(worker)
        if sprite is None:
            self._failed[key] = time.monotonic()
        else:
            self._kept.keep(key, sprite)
        return sprite


def _places(index: pl.DataFrame) -> dict[str, _InStore]:
    """Where each clip's frames lie, from the index of a store, in which they stand one after another."""
    clips = index.group_by("clip", maintain_order=True).agg("row", "frame", "time_ms")
    return {
        clip: _InStore(slice(rows[0], rows[-1] + 1), _time_between(frames, times))
        for clip, rows, frames, times in clips.iter_rows()
    }


def _time_between(frames: list[int], times: list[float | None]) -> float:
    """Milliseconds from one frame of the store to the next."""
    filmed = times[-1] / frames[-1] if times[-1] is not None and frames[-1] else None
    return milliseconds(frames, filmed)


def _key(wanted: Wanted) -> str:
    """What tells a kept picture from those of other clips, masks, settings and releases."""
    facts = [version("apical"), wanted.clip, wanted.sector, wanted.side, wanted.most_frames]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
