"""Labels out of the page and into it: tables, the audit trail, DICOM SR; and into the catalogue."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date
from typing import IO, Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from apical.catalogue import read_catalogue
from apical.errors import WrongCall
from apical.label.exports import history_json, labels_csv, labels_json, reports_zip
from apical.label.merging import merge_into
from apical.label.opinions import check_annotator
from apical.label.parts import Parts
from apical.label.schemas import Nothing
from apical.label.taking import take_table

IMPORT = "/v1/import"
MOST_MB = 32  # of a table
SECONDS = 120  # in which it must have come
PIECE = 1 << 20  # bytes


def add_transfers(app: FastAPI, parts: Parts) -> None:
    """Add the paths."""
    _add_exports(app, parts)
    _add_import(app, parts)
    writing = threading.Lock()

    @app.post("/v1/merge")
    def into_catalogue(nothing: Nothing) -> dict[str, Any]:
        """Write the labels into the catalogue, as 'apical labels merge' does."""
        with writing:
            return asdict(merge_into(parts.catalogue, parts.records, parts.vocabulary))


def _add_exports(app: FastAPI, parts: Parts) -> None:
    def table(name: str, kind: str, write: Callable[[], bytes]) -> None:
        @app.get(f"/v1/export/{name}")
        def export() -> Response:
            return Response(write(), media_type=kind, headers=_named(name))

    records, vocabulary = parts.records, parts.vocabulary
    table("labels.csv", "text/csv; charset=utf-8", lambda: labels_csv(records, _table(parts), vocabulary))
    table("labels.json", "application/json", lambda: labels_json(records, _table(parts), vocabulary))
    table("history.json", "application/json", lambda: history_json(records))

    @app.get("/v1/export/reports.zip")
    def reports() -> StreamingResponse:
        """DICOM SR of every labelled clip; they carry the patients' identities, as the PACS needs them."""
        if not parts.settings.show_identifiers:
            raise WrongCall(
                "reports carry the patients' identities, and this page shows none",
                "start it with --show-identifiers, or merge and use 'apical labels export --dicom-sr'",
            )
        file = tempfile.TemporaryFile(dir=parts.folder)  # noqa: SIM115, sent after this ends
        try:
            reports_zip(file, records, _table(parts), vocabulary)
        except BaseException:
            file.close()
            raise
        return StreamingResponse(_pieces(file), media_type="application/zip", headers=_named("reports.zip"))


def _table(parts: Parts) -> Any:
    return read_catalogue(parts.catalogue)


def _named(name: str) -> dict[str, str]:
    stem, _, ending = name.partition(".")
    return {"Content-Disposition": f'attachment; filename="{stem}-{date.today().isoformat()}.{ending}"'}


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def _add_import(app: FastAPI, parts: Parts) -> None:
    @app.post(IMPORT)
    async def take(
        request: Request,
        annotator: Annotated[str, Query(max_length=200)],
        format: Annotated[Literal["csv", "json"], Query()],
    ) -> dict[str, Any]:
        """Take a table of labels; each line counts as said by whoever it names, else by the annotator."""
        name = check_annotator(annotator)
        content = bytearray()
        try:
            async with asyncio.timeout(SECONDS):
                async for piece in request.stream():
                    content += piece
                    if len(content) > MOST_MB << 20:
                        raise WrongCall(f"the table has more than {MOST_MB} MB", "import it in parts")
        except TimeoutError:
            raise HTTPException(408) from None
        return await run_sync(_taken, parts, name, bytes(content), format)


def _taken(parts: Parts, annotator: str, content: bytes, form: Literal["csv", "json"]) -> dict[str, Any]:
    before = parts.records.version()
    try:
        labelled, problems = take_table(
            parts.records, annotator, content, form, parts.vocabulary, parts.board.row,
            originals=parts.board.originals,
        )  # fmt: skip
    finally:  # some people's rows may be in
        parts.took(list(parts.records.events_after(before)))
    return {"labelled": labelled, "problems": problems}
