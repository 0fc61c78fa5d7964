"""A request with files: straight from the network to the spool, a piece at a time, under limits.

Starlette's own form parser writes to the system's folder for temporary files, and knows no limit but of
their number, so the parser beneath it (python-multipart; RFC 7578) is used directly. A file's name is not
even read.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

from anyio.to_thread import run_sync
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from apical.config import ServeSettings
from apical.deploy.service.items import Refused
from apical.deploy.service.queue import Queue
from apical.deploy.service.spool import Incoming, Spool, TooLarge, touching_state
from apical.deploy.service.unpack import Ration, is_archive, unpack
from apical.errors import CannotDo, WrongCall

FIELD = b"files"
DRAINED = 64 << 20, 5.0  # bytes and seconds of a refused request that are read, so that its answer is heard


class TooSlow(CannotDo):
    """A client sends too slowly."""


class Upload:
    """The files of one request. Steps run in threads, one at a time; `discard` waits for the last."""

    def __init__(self, spool: Spool, settings: ServeSettings) -> None:
        self._spool = spool
        self._file_bytes, self._all_bytes = settings.file_mb << 20, settings.request_mb << 20
        self._most_files = settings.files_per_request
        self._seconds, self._idle = settings.upload_seconds, settings.idle_seconds
        self._unpack_seconds = settings.unpack_seconds
        self._lock, self._is_over = threading.Lock(), False
        self._writing: Incoming | None = None
        self._files: list[Path | Refused] = []

    async def read(self, stream: AsyncIterator[bytes], content_type: str) -> None:
        """Read a whole request.

        Raises:
            WrongCall: it is no form, is cut off, or has something else than files in `files`.
            TooLarge, TooBusy, TooSlow, CannotDo: it goes beyond a limit, or the disk is full.
        """
        parts = _Parts()
        parser = _parser(content_type, parts)
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for piece in self._pieces(stream):
                    size += len(piece)
                    if size > self._all_bytes:
                        raise TooLarge("the request is too large", "send fewer files at a time")
                    parser.write(piece)
                    await run_sync(self._take, parts.taken())
        except TimeoutError:
            raise _too_slow() from None
        except FormParserError:
            raise _no_form() from None
        if not parts.is_whole:
            raise _no_form()

    async def _pieces(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    piece = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _too_slow() from None
            yield piece

    def _take(self, events: list[bytes | type[Incoming] | None]) -> None:
        """Do to the disk what the parser met: a file begins, its bytes, and None where it ends."""
        with self._lock:
            for event in [] if self._is_over else events:
                if isinstance(event, bytes):
                    assert self._writing is not None
                    self._writing.write(event)
                elif event is not None:
                    self._check_count(len(self._files) + 1)
                    self._writing = self._spool.write(self._file_bytes)
                elif self._writing is not None:
                    self._files.append(self._writing.keep())
                    self._writing = None

    def archives(self) -> list[Path]:
        """The files that are archives. Raises CannotDo."""
        with self._lock, touching_state():
            return [file for file in self._files if isinstance(file, Path) and is_archive(file)]

    def unpack(self, archives: Sequence[Path]) -> None:
        """Put the members of archives in their place. Raises TooLarge, TooBusy, CannotDo."""
        with self._lock, touching_state():
            ration = Ration(self._all_bytes, self._unpack_seconds)
            limits = {"file_bytes": self._file_bytes, "most_files": self._most_files}
            for archive in [] if self._is_over else archives:
                place = self._files.index(archive)
                for one in unpack(archive, self._spool, ration, **limits):
                    self._files.insert(place, one)  # in the order below; so that a failure leaves none behind
                    place += 1
                    self._check_count(len(self._files) - 1)
                self._files.remove(archive)
                self._spool.remove(archive)

    def hand_over(self, queue: Queue) -> str | None:
        """Give the files to the queue; the id of their job, or None if the request was given up before.

        Raises:
            WrongCall: there is no file.
            TooBusy: too many wait.
        """
        with self._lock:
            if self._is_over:
                return None
            if not self._files:
                raise WrongCall("the request has no file", "send one or more in the form's field 'files'")
            job = queue.accept("http", self._files)
            self._files = []
            return job

    def discard(self) -> None:
        """Remove what has not been handed over; nothing more is taken."""
        with self._lock:
            self._is_over = True
            if self._writing is not None:
                with self._writing:  # leaving it removes what was not kept
                    self._writing = None
            for file in self._files:
                if isinstance(file, Path):
                    self._spool.remove(file)
            self._files = []

    def _check_count(self, files: int) -> None:
        if files > self._most_files:
            raise TooLarge(f"the request has more than {self._most_files} files", "send fewer at a time")


async def drain(stream: AsyncIterator[bytes]) -> None:
    """Read some of what a refused client still sends: one that only sends does not hear the answer."""
    most, seconds = DRAINED
    with suppress(Exception):
        async with asyncio.timeout(seconds):
            async for piece in stream:
                most -= len(piece)
                if most < 0:
                    return


class _Parts:
    """What the parser meets, as a list of what to do."""

    def __init__(self) -> None:
        self._events: list[bytes | type[Incoming] | None] = []
        self._name, self._value = b"", b""
        self._field: bytes | None = None
        self.is_whole = False

    def taken(self) -> list[bytes | type[Incoming] | None]:
        """What was met since this was last asked."""
        events, self._events = self._events, []
        return events

    def begin(self) -> None:
        self._field = None

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            options = parse_options_header(self._value)[1]
            self._field = options.get(b"name") if b"filename" in options else None
        self._name, self._value = b"", b""

    def headers_end(self) -> None:
        if self._field != FIELD:
            raise WrongCall("the form has something else than files", "send files in the field 'files' only")
        self._events.append(Incoming)

    def data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def end(self) -> None:
        self._events.append(None)

    def whole(self) -> None:
        self.is_whole = True


def _parser(content_type: str, parts: _Parts) -> MultipartParser:
    kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise _no_form()
    try:
        return MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": parts.begin,
                "on_part_data": parts.data,
                "on_part_end": parts.end,
                "on_header_field": parts.header_name,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_headers_finished": parts.headers_end,
                "on_end": parts.whole,
            },
        )
    except FormParserError:
        raise _no_form() from None


def _no_form() -> WrongCall:
    return WrongCall(
        "the request is no whole form", "send files as multipart/form-data, in the field 'files'"
    )


def _too_slow() -> TooSlow:
    return TooSlow("the files come too slowly", "send fewer at a time, or by a faster way")
