"""What every request passes: a client's rate, the token, whether it is ours; and headers on each answer."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from apical.deploy.service.access import Rates, Token, is_own
from apical.deploy.service.logs import log
from apical.deploy.service.metrics import Metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEALTH = frozenset({"/healthz", "/readyz"})
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
    """Lets a request through to `app`, or answers it with 429, 401 or 403; logs it without who and what.

    Args:
        app: what is guarded.
        token: what callers must know.
        rates: how often a client may call; health is not counted.
        host: where the server listens.
        public: paths, beside those of health, that need no token: the page, which holds no data.
        metrics: where refusals are counted.
    """

    def __init__(
        self, app: ASGIApp, *, token: Token, rates: Rates, host: str, public: frozenset[str], metrics: Metrics
    ) -> None:
        self._app, self._token, self._rates = app, token, rates
        self._host, self._public, self._metrics = host, public, metrics

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
            await (self._refused(scope) or self._app)(scope, receive, send_safely)
        finally:
            if status >= 400:
                self._metrics.refused(status)
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
        if not self._token.is_needed and not is_own(headers, self._host):
            return problem(403, "the request is from another site's page", "start the service with a token")
        return None


def _method(scope: Scope) -> str:
    """The method, if it is a usual one: a client may send any word."""
    usual = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in usual else "other"
