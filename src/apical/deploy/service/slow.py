"""Connections that never finish a request's head are closed, which uvicorn by itself does not do."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP, with a limit of time for heads; bodies are the app's affair.

    Args:
        head_seconds: for a request's line and headers, from the connection or the last answer on.
        given: what uvicorn gives.
    """

    def __init__(self, head_seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._head_seconds = head_seconds
        self._last: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """A client has sent something."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """A client has gone."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Start the clock where a head is awaited, and stop it where a request is under way."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._unwatch()
        elif self._last is None and not self.transport.is_closing():
            self._last = self.loop.call_later(self._head_seconds, self._close)

    def _unwatch(self) -> None:
        if self._last is not None:
            self._last.cancel()
            self._last = None

    def _close(self) -> None:
        self._last = None
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()
