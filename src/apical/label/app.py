"""The labelling page over HTTP: clips to look at, and what is said of them.

What is said is on the disk before the answer says so. Requests that change something are JSON, which no
other site's form can send. Clips are only ever looked up among those of the catalogue; no path comes from a
request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from apical.deploy.service.access import Rates
from apical.deploy.service.guard import Guard
from apical.deploy.service.web import add_errors, add_page, page_files
from apical.errors import WrongCall
from apical.label.opinions import Event, Guess, Said, check_annotator, check_said
from apical.label.panels import add_panels
from apical.label.parts import Parts
from apical.label.pictures import NoPicture
from apical.label.records import Conflict
from apical.label.schemas import Answer, Back, Batch
from apical.label.sprite import Sprite
from apical.label.transfers import IMPORT, add_transfers
from apical.label.wire import event_json, item_json, opinions_json, settled_json
from apical.views import View

RESEARCH = "Research software, not a medical device"
MOST_BODY = 64 << 10  # bytes: a batch names `MOST_AT_ONCE` clips
KEYS = "123456789abdefhijkoptuvw"  # of views on the page; its other commands have the other letters
IMAGE = "image/jpeg"
CINES = 8  # large ones that are made or waited for at a time

Annotator = Annotated[str, Query(max_length=200)]


def make_app(parts: Parts) -> FastAPI:
    """The page and what it asks for, guarded."""
    app = FastAPI(
        title="Apical: labelling",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(_only_json)],
    )
    page = page_files("apical.deploy.service", "elements.js", "icon.svg") | page_files("apical.label")
    settings = parts.settings
    app.add_middleware(
        Guard, token=parts.token, rates=Rates(settings.requests_per_second, settings.burst),
        host=settings.host, public=frozenset(page), uploads=frozenset({("POST", IMPORT)}),
        refused=lambda status: None, seconds=settings.idle_seconds, most_body=MOST_BODY,
    )  # fmt: skip
    add_errors(app, {WrongCall: 400, NoPicture: 404}, "load the page anew")
    _add_conflicts(app)
    _add_session(app, parts)
    _add_labels(app, parts)
    _add_pictures(app, parts)
    add_panels(app, parts)
    add_transfers(app, parts)
    _add_clip(app, parts)
    add_page(app, page)
    return app


async def _only_json(request: Request) -> None:
    """A form of another site can send no JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and request.url.path != IMPORT and kind != "application/json":
        raise HTTPException(415)


def _add_conflicts(app: FastAPI) -> None:
    @app.exception_handler(Conflict)
    async def conflict(request: Request, error: Conflict) -> Response:
        told = {"problem": error.what, "do": error.do, "said": asdict(error.event.after)}
        return JSONResponse(told | {"seen": error.event.number}, 409)


def _add_session(app: FastAPI, parts: Parts) -> None:
    @app.get("/v1/session")
    def session() -> dict[str, Any]:
        """What the page needs to know once."""
        return {
            "views": [_view(parts, *place) for place in enumerate(parts.vocabulary)],
            "annotators": parts.records.annotators(),
            "shows_identifiers": parts.settings.show_identifiers,
            "clips": int(parts.board.offered.sum()),
            "research": RESEARCH,
            "fine_tune": True,
            "catalogue": parts.catalogue.name if parts.settings.show_identifiers else "the catalogue",
        }

    @app.get("/v1/next")
    def following(
        annotator: Annotator,
        queue: Annotated[str, Query(max_length=300)] = "useful",
        count: Annotated[int, Query(ge=1, le=50)] = 8,
        without: Annotated[str, Query(max_length=20_000)] = "",
    ) -> dict[str, Any]:
        """The next clips of a queue."""
        name = check_annotator(annotator)
        offers, left = parts.tasks.next(name, queue, count, without.split(","), parts.coach.advice)
        return {"items": [item_json(parts, name, offer) for offer in offers], "left": left}


def _view(parts: Parts, place: int, view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "title": view.title,
        "key": KEYS[place] if place < len(KEYS) else "",
        "reference": _reference(parts, view.name) is not None,
    }


def _reference(parts: Parts, view: str) -> bytes | None:
    """The still that comes with Apical, or one of the user's own labelled clips; None without either."""
    shipped = parts.pictures.reference(view)
    example = parts.board.example(view) if shipped is None else None
    return shipped if example is None else parts.pictures.still(example)


def _add_labels(app: FastAPI, parts: Parts) -> None:
    records = parts.records

    @app.post("/v1/labels")
    def label(answer: Answer) -> dict[str, Any]:
        """Answer a task."""
        task = records.task(answer.task)
        if task is None:
            raise WrongCall("this clip was offered too long ago, or never", "ask for the next clips again")
        said = _said(parts, answer.said.said())
        seen = None if task.kind == "repeat" else answer.seen  # that it is one is not told
        events = parts.write(
            [task.clip],
            lambda: records.say(
                answer.task, said, key=answer.key, shown=answer.shown, seconds=answer.seconds, seen=seen
            ),
        )
        event = events[0]
        told = {"event": event.number, "clip": event.clip, "said": asdict(event.after)}
        return told | parts.counts(task.annotator)

    @app.post("/v1/batch")
    def batch(many: Batch) -> dict[str, Any]:
        """Say one thing of many clips; those of which the annotator has said something stay as they are."""
        name, said = check_annotator(many.annotator), _said(parts, many.said.said())
        clips = list(dict.fromkeys(many.clips))
        for clip in clips:
            _check(parts, clip)
        clips = [clip for clip in clips if name not in records.opinions_of(clip)]
        about: list[tuple[str, Guess | None]] = [
            (clip, parts.tasks.guess(clip, parts.coach.advice)) for clip in clips
        ]
        events = parts.write(clips, lambda: records.say_all(name, about, said, kind=many.kind, key=many.key))
        return {"events": [event.number for event in events]} | parts.counts(name)

    @app.post("/v1/undo")
    def undo(wanted: Back) -> dict[str, Any]:
        """Take back what was said last."""
        return moved(records.undo, wanted)

    @app.post("/v1/redo")
    def redo(wanted: Back) -> dict[str, Any]:
        """Bring back what was taken back last."""
        return moved(records.redo, wanted)

    def moved(move: Callable[..., list[Event]], wanted: Back) -> dict[str, Any]:
        name = check_annotator(wanted.annotator)
        events = move(name, key=wanted.key)
        parts.took(events)
        clips = list(dict.fromkeys(event.clip for event in events))
        stands = None
        if len(clips) == 1 and not records.took_repeat_back(name, clips[0]):  # that is to stay blind
            stands = records.opinions_of(clips[0]).get(name)
        return {"clips": clips, "said": stands and asdict(stands)} | parts.counts(name)


def _said(parts: Parts, said: Said) -> Said:
    check_said(said, parts.vocabulary)
    return said


def _check(parts: Parts, clip: str) -> None:
    if clip not in parts.board.row:
        raise HTTPException(404, "there is no such clip")


def _add_pictures(app: FastAPI, parts: Parts) -> None:
    pictures = parts.pictures

    at_once = CapacityLimiter(CINES)  # so that slow files leave threads for labels

    @app.get("/v1/clips/{clip:path}/cine")
    async def cine(clip: str, size: Literal["small", "large"] = "large") -> Response:
        """The masked frames of a clip, side by side."""
        _check(parts, clip)
        if size == "small":
            return _sprite(await run_sync(pictures.small, clip))
        return _sprite(await run_sync(pictures.large, clip, limiter=at_once))

    @app.get("/v1/reference/{view}")
    def reference(view: str) -> Response:
        """What a view looks like."""
        found = _reference(parts, view) if view in parts.vocabulary.names else None
        if found is None:
            raise HTTPException(404, "there is no such picture")
        return Response(found, media_type=IMAGE)


def _sprite(sprite: Sprite) -> Response:
    headers = {
        "X-Cine-Frames": str(sprite.frames),
        "X-Cine-Columns": str(sprite.columns),
        "X-Cine-Side": str(sprite.side),
        "X-Cine-Ms": f"{sprite.ms:.3f}",
        "X-Cine-Source": sprite.source,
    }
    return Response(sprite.jpeg, media_type=IMAGE, headers=headers)


def _add_clip(app: FastAPI, parts: Parts) -> None:
    @app.get(
        "/v1/clips/{clip:path}"  # after longer paths: an id may hold a slash
    )
    def clip(clip: str) -> dict[str, Any]:
        """What is known of a clip, and what was said of it."""
        _check(parts, clip)
        guess = parts.tasks.guess(clip, parts.coach.advice)
        return {
            "clip": clip,
            "facts": parts.board.facts(clip, identifiers=parts.settings.show_identifiers),
            "guess": guess and guess.view,
            "probability": guess and guess.probability,
            "opinions": opinions_json(parts.records.opinions_of(clip)),
            "settled": settled_json(parts.board.label(clip)),
            "history": [event_json(event) for event in parts.records.history(clip=clip)],
        }
