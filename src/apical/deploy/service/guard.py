"""What every request passes: a client's rate, the token, whether it is ours, and a limit on its body unless
that is an upload; and headers on each answer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from apical.deploy.service.access import Rates, Token, is_forwarded, is_own
from apical.deploy.service.logs import log

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEALTH = frozenset({"/healthz", "/readyz"})
MOST_BODY = 4096  # bytes of a request that is no upload
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def problem(status: int, what: str, do: str, **headers: str) -> JSONResponse:
    """An error as JSON; headers with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"problem": what, "do": do}, status, named)


class Guard:
    """Lets a request through to `app`, or refuses it (429, 401, 403, 408, 413); logs it without who and what.

    Args:
        app: what is guarded.
        token: what callers must know.
        rates: how often a client may call; health is not counted.
        host: where the server listens.
        public: paths, beside those of health, that need no token: the page, which holds no data.
        uploads: methods and paths that set limits to their bodies themselves.
        refused: is told the status of each refusal.
        seconds: in which a body that is no upload must have come.
        most_body: bytes of it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: Token,
        rates: Rates,
        host: str,
        public: frozenset[str],
        uploads: frozenset[tuple[str, str]],
        refused: Callable[[int], None],
        seconds: float,
        most_body: int = MOST_BODY,
    ) -> None:
        self._app, self._token, self._rates = app, token, rates
        self._host, self._public, self._uploads = host, public, uploads
        self._refusal, self._seconds, self._most_body = refused, seconds, most_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            answer = self._refused(scope) or self._app
            if answer is self._app and (scope["method"], scope["path"]) not in self._uploads:
                answer, receive = await self._with_small_body(receive)
            await answer(scope, receive, send_safely)
        finally:
            if status >= 400:
                self._refusal(status)
            level = logging.ERROR if status >= 500 and status != 503 else logging.INFO
            if scope["path"] not in HEALTH or level > logging.INFO:
                route = getattr(scope.get("route"), "path", None)
                seconds = round(time.monotonic() - begun, 4)
                log(
                    "request", level=level, method=_method(scope), route=route, status=status, seconds=seconds
                )

    def _refused(self, scope: Scope) -> JSONResponse | None:
        path = scope["path"]
        if path in HEALTH:
            return None
        client = scope.get("client")
        if wait := self._rates.wait(client[0] if client else ""):
            seconds = str(math.ceil(wait))
            return problem(429, "too many requests", "call less often", Retry_After=seconds)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        if path not in self._public and not self._token.fits(headers.get("authorization")):
            return problem(
                401,
                "the token is missing or wrong",
                "send it as 'Authorization: Bearer …'",
                WWW_Authenticate="Bearer",
            )
        if self._token.is_needed:
            return None
        if is_forwarded(headers, scope.get("http_version", "")):
            return problem(403, "the request came through a proxy, and so from anybody", "set APICAL_TOKEN")
        elsewhere = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if not is_own(headers, self._host) or (elsewhere and path not in self._public):
            return problem(403, "the request is from another site's page", "start the service with a token")
        return None

    async def _with_small_body(self, receive: Receive) -> tuple[ASGIApp, Receive]:
        """The app, and what gives it the body, read whole; or what refuses one that is too large or slow."""
        body: bytes = b""
        message: Message | None = None
        try:
            async with asyncio.timeout(self._seconds):
                while message is None or message.get("more_body"):
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > self._most_body:
                        most = f"send at most {self._most_body} bytes"
                        return problem(413, "the request is too large", most), receive
        except TimeoutError:
            slow = problem(408, "the request comes too slowly", "send it at once", Connection="close")
            return slow, receive
        read = [{**message, "body": body} if message["type"] == "http.request" else message]

        async def receive_again() -> Message:
            return read.pop() if read else await receive()

        return self._app, receive_again


def _method(scope: Scope) -> str:
    """The method, if it is a usual one: a client may send any word."""
    usual = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in usual else "other"
