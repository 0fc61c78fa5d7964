"""What the page's other tabs ask for: walls of alike clips, the map, progress, agreement, the audit trail."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from apical.deploy.service.guard import problem
from apical.label.advice import Layout
from apical.label.agreement import Agreement, agreement
from apical.label.alike import alike
from apical.label.opinions import check_annotator
from apical.label.parts import Parts
from apical.label.wire import event_json, tile_json

WAIT = "3"  # seconds after which the page asks again

Annotator = Annotated[str, Query(max_length=200)]
Count = Annotated[int, Query(ge=1, le=200)]


def add_panels(app: FastAPI, parts: Parts) -> None:
    """Add the paths of the tabs."""
    _add_walls(app, parts)
    _add_progress(app, parts)
    _add_review(app, parts)


def _add_walls(app: FastAPI, parts: Parts) -> None:
    board, coach = parts.board, parts.coach

    @app.get("/v1/groups", response_model=None)
    def groups() -> dict[str, Any] | Response:
        """Groups of alike clips, those with most to label first."""
        layout = coach.layout
        return _later() if layout is None else {"groups": _groups(parts, layout)}

    @app.get("/v1/groups/{group}", response_model=None)
    def group(group: int, annotator: Annotator = "", count: Count = 24) -> dict[str, Any] | Response:
        """A group's clips without a label, the most typical first."""
        layout = coach.layout
        if layout is None:
            return _later()
        if not 0 <= group < layout.groups:
            raise HTTPException(404, "there is no such group")
        rows = board.open_rows()
        rows = rows[layout.group[rows] == group]
        features = coach.features
        if features is not None and len(rows) > 1:
            near = features[rows] @ features[layout.group == group].mean(axis=0)
            rows = rows[np.argsort(-near, kind="stable")]
        return {
            "items": [tile_json(parts, annotator, int(row)) for row in rows[:count]],
            "left": len(rows),
        }

    @app.get("/v1/clips/{clip:path}/alike", response_model=None)
    def like(clip: str, annotator: Annotator = "", count: Count = 24) -> dict[str, Any] | Response:
        """The clips that are most like one."""
        if clip not in board.row:
            raise HTTPException(404, "there is no such clip")
        features = coach.features
        if features is None:
            return _later()
        rows = alike(features, board.row[clip], count, board.offered)
        near = features[rows] @ features[board.row[clip]]
        items = zip(rows.tolist(), near.tolist(), strict=True)
        return {"items": [tile_json(parts, annotator, row, round(value, 4)) for row, value in items]}

    @app.get("/v1/map", response_model=None)
    def chart() -> dict[str, Any] | Response:
        """All clips on offer in two dimensions."""
        layout = coach.layout
        return _later() if layout is None else _map(parts, layout)


def _later() -> JSONResponse:
    return problem(503, "the model is still reading the clips", "ask again in a while", Retry_After=WAIT)


def _groups(parts: Parts, layout: Layout) -> list[dict[str, Any]]:
    board, advice = parts.board, parts.coach.advice
    size = np.bincount(layout.group[board.offered], minlength=layout.groups)
    rows = board.open_rows()
    free = np.bincount(layout.group[rows], minlength=layout.groups)
    found = []
    for group in np.argsort(-free, kind="stable").tolist():
        one: dict[str, Any] = {
            "group": group,
            "clips": int(size[group]),
            "unlabelled": int(free[group]),
            "guess": None,
            "share": None,
        }
        if advice is not None and free[group]:
            guesses = advice.guess[rows[layout.group[rows] == group]]
            if (guesses >= 0).any():
                views = np.bincount(guesses[guesses >= 0])
                one["guess"] = board.view_of(int(views.argmax()))
                one["share"] = round(float(views.max() / len(guesses)), 3)
        if size[group]:
            found.append(one)
    return found


def _map(parts: Parts, layout: Layout) -> dict[str, Any]:
    board, advice = parts.board, parts.coach.advice
    rows = np.flatnonzero(board.offered)
    guess = np.full(len(board), -1) if advice is None else advice.guess
    return {
        "clip": board.clips.clip[rows].tolist(),
        "x": layout.x[rows].astype(float).round(4).tolist(),
        "y": layout.y[rows].astype(float).round(4).tolist(),
        "label": [board.view_of(int(code)) for code in board.known().label[rows]],
        "guess": [board.view_of(int(code)) for code in guess[rows]],
        "group": layout.group[rows].tolist(),
    }


def _add_progress(app: FastAPI, parts: Parts) -> None:
    board, coach, records = parts.board, parts.coach, parts.records

    @app.get("/v1/progress")
    def progress(annotator: Annotator = "") -> dict[str, Any]:
        """How far the labels have come, and how good the classifier is said to be."""
        advice = coach.advice
        parts.curve.add(advice)
        figures = None if advice is None else advice.estimate
        by_view = {} if figures is None else {one.view: one for one in figures.views}
        views = []
        for name, (patients, clips) in board.counts().items():
            one = by_view.get(name)
            views.append(
                {
                    "name": name,
                    "patients": patients,
                    "clips": clips,
                    "f1": one and one.f1,
                    "low": one and one.low,
                    "high": one and one.high,
                }
            )
        name = check_annotator(annotator) if annotator.strip() else ""
        today, per_minute = parts.pace(name) if name else (0, None)
        macro = None
        if figures is not None and figures.macro_f1 is not None:
            macro = {"value": figures.macro_f1, "low": figures.low, "high": figures.high}
        model = {"name": advice and advice.model, "labels": advice.labels if advice else 0}
        return {
            "labels": board.labelled(),
            "clips": int(board.offered.sum()),
            "own": records.counts(name)[1] if name else 0,
            "today": today,
            "per_minute": per_minute,
            "disputed": len(board.disputed()),
            "views": views,
            "macro_f1": macro,
            "curve": parts.curve.points(),
            "help": [asdict(one) for one in advice.help] if advice else [],
            "model": coach.state | model,
            "fine_tune": coach.tuning,
        }

    @app.post("/v1/fine-tune", status_code=202)
    def fine_tune() -> dict[str, Any]:
        """Teach the network itself, in the background."""
        coach.fine_tune()
        return dict(coach.tuning)


def _add_review(app: FastAPI, parts: Parts) -> None:
    records, board = parts.records, parts.board
    patients = dict(zip(board.clips.clip.tolist(), board.clips.patient.tolist(), strict=True))

    @lru_cache(maxsize=1)
    def agreed(version: int) -> Agreement:
        return agreement(records, patients, parts.vocabulary)

    @app.get("/v1/agreement")
    def agree() -> dict[str, Any]:
        """How far annotators agree with each other and with themselves."""
        found = agreed(records.version())
        return {
            "pairs": [asdict(pair) for pair in found.pairs],
            "selves": [asdict(own) for own in found.selves],
            "disputed": len(board.disputed()),
            "confusions": [asdict(one) for one in found.confusions],
        }

    @app.get("/v1/history")
    def history(
        before: Annotated[int | None, Query(ge=0, lt=1 << 62)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        annotator: Annotated[str | None, Query(max_length=200)] = None,
        clip: Annotated[str | None, Query(max_length=200)] = None,
    ) -> dict[str, Any]:
        """The audit trail, newest first."""
        events = records.history(clip=clip, annotator=annotator, before=before, limit=limit)
        return {"events": [event_json(event) for event in events]}
