"""Connections that hold on to the server without a use are closed, which uvicorn by itself does not do.

Those are: more than are taken at a time, heads that never end, and answers that nobody reads. Bodies are the
affair of `guard` and `uploads`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from apical.deploy.service.connections import Connections


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP, with a limit of connections, and of time for heads and for unread answers.

    Args:
        connections: those there are; one more that is too many is closed at once.
        seconds: for a request's line and headers, from the connection or the last answer on; and for a client
            to read anything of what lies ready for it.
        given: what uvicorn gives.
    """

    def __init__(self, connections: Connections, seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._others, self._seconds = connections, seconds
        self._address: str | None = None
        self._last: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self._others.enter(address):
            transport.abort()
            return
        self._address = address
        self._watch()
        self._look = self.loop.call_later(self._seconds, self._look_at_unread, 0)

    def data_received(self, data: bytes) -> None:
        """A client has sent something."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """A client has gone."""
        self._unwatch()
        if self._look is not None:
            self._look.cancel()
        if self._address is not None:
            self._others.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Start the clock where a head is awaited, and stop it where a request is under way."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._unwatch()
        elif self._last is None and not self.transport.is_closing():
            self._last = self.loop.call_later(self._seconds, self._close)

    def _unwatch(self) -> None:
        if self._last is not None:
            self._last.cancel()
            self._last = None

    def _close(self) -> None:
        self._last = None
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()

    def _look_at_unread(self, before: int) -> None:
        """End a connection of which nothing was read since the last look, though something lies ready.

        Answers are written whole, so that what lies ready only grows less while it is read.
        """
        unread = self.transport.get_write_buffer_size()
        if unread and unread == before:
            self.transport.abort()
        else:
            self._look = self.loop.call_later(self._seconds, self._look_at_unread, unread)
