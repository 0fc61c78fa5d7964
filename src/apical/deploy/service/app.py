"""The service over HTTP: files in, jobs that can be watched, answers out, and a page for people.

FastAPI, with OpenAPI at ``/openapi.json``. A job is accepted (202) only when its files and its rows in the
queue are on the disk. What clients call their files is not read. Errors are ``{"problem", "do"}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import FastAPI, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from apical.config import ServeSettings
from apical.deploy.service.access import Rates, Token
from apical.deploy.service.guard import Guard
from apical.deploy.service.metrics import CONTENT_TYPE, Metrics
from apical.deploy.service.queue import Queue, TooBusy
from apical.deploy.service.schemas import FORM, Accepted, AcceptedItem, ItemSaid, Job, Notice, Problem
from apical.deploy.service.spool import Spool, TooLarge
from apical.deploy.service.uploads import TooSlow, Upload, drain
from apical.deploy.service.web import add_errors, add_page, page_files
from apical.errors import ApicalError, WrongCall

ID = r"^[0-9a-f]{32}$"
STATUSES = {TooLarge: 413, TooSlow: 408, WrongCall: 400}
UPLOADS = frozenset({("POST", "/v1/jobs")})
JobId = Annotated[str, Path(pattern=ID)]
ItemId = Annotated[str, Path(pattern=ID)]


@dataclass(frozen=True)
class Parts:
    """What the app talks to.

    Attributes:
        queue: where jobs are.
        spool: where their files are.
        metrics: what is counted.
        token: what callers must know.
        is_alive: whether anything is left that will answer files, now or later.
        is_ready: whether files are being answered.
        model: what is told of the model.
        notify: looks at the PACS now; None where there is none.
    """

    queue: Queue
    spool: Spool
    metrics: Metrics
    token: Token
    is_alive: Callable[[], bool]
    is_ready: Callable[[], bool]
    model: dict[str, Any]
    notify: Callable[[Notice], None] | None = None


def make_app(parts: Parts, settings: ServeSettings) -> FastAPI:
    """The service over HTTP, guarded; see the module and ``/openapi.json``."""
    usual: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem} for code in (400, 401, 403, 404, 408, 413, 422, 429, 503)
    }
    app = FastAPI(
        title="Apical",
        summary="Names the view of echocardiogram clips",
        description="Research software, not a medical device.",
        responses=usual,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    page = page_files("apical.deploy.service")
    public = frozenset({*page, "/openapi.json"})
    rates = Rates(settings.requests_per_second, settings.burst)
    app.add_middleware(
        Guard, token=parts.token, rates=rates, host=settings.host, public=public, uploads=UPLOADS,
        refused=parts.metrics.refused, seconds=settings.idle_seconds,
    )  # fmt: skip
    add_errors(app, STATUSES, "see /openapi.json")
    _add_jobs(app, parts, settings)
    _add_status(app, parts, settings)
    add_page(app, page)
    return app


def _add_jobs(app: FastAPI, parts: Parts, settings: ServeSettings) -> None:
    queue, spool = parts.queue, parts.spool
    uploads, unpacking = asyncio.Semaphore(settings.uploads), asyncio.Semaphore(1)

    @app.post("/v1/jobs", status_code=202, openapi_extra=FORM)
    async def accept(request: Request) -> Accepted:
        """Send one or many files; zip archives are unpacked."""
        stream = aiter(request.stream())
        try:
            _refuse_early(request, parts, settings, full=uploads.locked())
            async with uploads:
                job = await _taken(stream, request, parts, settings, unpacking)
        except ApicalError as error:
            if not isinstance(error, TooSlow):
                await drain(stream)
            raise
        parts.metrics.accepted("http")
        items = await run_sync(queue.items, job)
        return Accepted(job=job, items=[AcceptedItem(item=one.item, number=one.number) for one in items])

    @app.get("/v1/jobs/{job}")
    def watch(job: JobId) -> Job:
        """How far a job is."""
        state = queue.job(job)
        if state is None:
            raise _none("job")
        return Job(
            job=job, state=state.state, queued=state.queued, running=state.running, done=state.done,
            total=state.total, answers=queue.answers(job),
        )  # fmt: skip

    @app.delete("/v1/jobs/{job}", status_code=204)
    def forget(job: JobId) -> None:
        """Forget a job, its files, answers and previews."""
        items, waiting = queue.forget(job)
        if not items:
            raise _none("job")
        for file in waiting:
            spool.remove(file)
        spool.remove_previews(items)

    @app.get("/v1/items/{item}")
    def explain(item: ItemId) -> ItemSaid:
        """A file's answer and what it rests on."""
        state = queue.item(item)
        if state is None:
            raise _none("item")
        return ItemSaid(
            item=item, number=state.number, state=state.state, answer=state.answer, evidence=state.evidence
        )

    @app.get(
        "/v1/items/{item}/cine",
        response_class=Response,
        responses={200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}}},
    )
    def cine(item: ItemId) -> Response:
        """Some masked frames, evenly over the clip, as an animated WebP."""
        path = spool.preview(item)
        try:
            if path is not None:
                return Response(path.read_bytes(), media_type="image/webp")
        except FileNotFoundError:  # forgotten just now
            pass
        raise _none("cine")


def _refuse_early(request: Request, parts: Parts, settings: ServeSettings, *, full: bool) -> None:
    """Refuse before anything is read what would be refused after all is read."""
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > settings.request_mb << 20:
        raise TooLarge("the request is too large", "send fewer files at a time")
    if full:
        raise TooBusy("too many clients are sending files", "try again in a while")
    if parts.spool.is_full or parts.queue.is_full:
        raise TooBusy("too many files wait already", "try again in a while")


async def _taken(
    stream: AsyncIterator[bytes],
    request: Request,
    parts: Parts,
    settings: ServeSettings,
    unpacking: asyncio.Semaphore,
) -> str:
    """Read the files of a request and give them to the queue; nothing is left of them if that fails."""
    upload = Upload(parts.spool, settings)
    try:
        await upload.read(stream, request.headers.get("content-type", ""))
        if archives := await run_sync(upload.archives):
            async with unpacking:
                await run_sync(upload.unpack, archives)
        job = await run_sync(upload.hand_over, parts.queue)
    except BaseException:
        asyncio.get_running_loop().run_in_executor(None, upload.discard)  # may wait for the step that runs
        raise
    assert job is not None
    return job


def _add_status(app: FastAPI, parts: Parts, settings: ServeSettings) -> None:
    limits = settings.model_dump(include={"file_mb", "files_per_request", "request_mb"})

    @app.get("/v1/model")
    def model() -> dict[str, Any]:
        """Which model answers: its version, views and thresholds; and the limits of a request."""
        return {**parts.model, "limits": limits}

    @app.get("/healthz")
    async def health() -> Response:
        """Whether the server is alive; one that is not should be started anew."""
        alive = parts.is_alive()
        return JSONResponse({"alive": alive}, 200 if alive else 503)

    @app.get("/readyz")
    async def readiness() -> Response:
        """Whether files are being answered."""
        ready = parts.is_ready()
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(parts.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    if parts.notify is not None:
        look = parts.notify

        @app.post("/v1/notify", status_code=202)
        def notify(notice: Notice) -> dict[str, bool]:
            """Say that something is new in the PACS, which is looked at now."""
            look(notice)
            return {"noticed": True}


def _none(what: str) -> HTTPException:
    return HTTPException(404, f"there is no such {what}")
