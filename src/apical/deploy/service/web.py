"""What every server of pages needs: its files, and errors as JSON without a word of what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from apical.deploy.service.guard import problem
from apical.errors import ApicalError

RETRY_SECONDS = "5"
MEDIA = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}  # fmt: skip
_PLAIN = {404: "there is no such page", 405: "this cannot be done here", 415: "what is sent is not JSON"}

Page = dict[str, tuple[bytes, str]]
"""Files by path, each with its kind."""


def page_files(package: str, *names: str) -> Page:
    """The files of the folder ``page`` of a package by path, or those of these names; index.html is ``/``."""
    folder = files(package) / "page"
    found = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        kind = MEDIA.get(PurePosixPath(file.name).suffix)
        if kind is not None and (not names or file.name in names):
            found["/" if file.name == "index.html" else f"/{file.name}"] = (file.read_bytes(), kind)
    return found


def add_page(app: FastAPI, page: Page) -> None:
    """Serve files as they are."""

    def serve(path: str) -> None:
        content, kind = page[path]

        @app.get(path, include_in_schema=False)
        async def part() -> Response:
            return Response(content, headers={"Content-Type": kind})

    for path in page:
        serve(path)


def add_errors(app: FastAPI, statuses: Mapping[type[ApicalError], int], see: str) -> None:
    """Every error as JSON; the kinds of ours have these statuses, 503 if they are not named.

    `see` says what to do about requests that are wrong.
    """

    @app.exception_handler(ApicalError)
    async def ours(request: Request, error: ApicalError) -> Response:
        status = next((statuses[kind] for kind in type(error).__mro__ if kind in statuses), 503)
        headers = {503: {"Retry_After": RETRY_SECONDS}, 408: {"Connection": "close"}}.get(status, {})
        return problem(status, error.what, error.do, **headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(422, "a value of the request is not allowed", see)

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        known = error.detail.startswith("there is no such ")
        what = error.detail if known else _PLAIN.get(error.status_code, "the request cannot be understood")
        answer = problem(error.status_code, what, see)
        answer.headers.update(error.headers or {})
        if error.status_code == 405:  # starlette tells the methods of the first route of that path only
            routes = [route for route in app.routes if route.matches(request.scope)[0] != Match.NONE]
            answer.headers["Allow"] = ", ".join(
                sorted({m for one in routes for m in getattr(one, "methods", ())})
            )
        return answer

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return problem(400, "the client has gone", "send it again")

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        return problem(500, "a fault of the service", "report it, with the log")
