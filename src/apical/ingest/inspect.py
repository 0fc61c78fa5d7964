"""Draw what was understood of clips: where the image is, what goes, and what an encoder will see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.config import FrameSettings
from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.files import write_atomically
from apical.ingest.clip import Clip, open_clip
from apical.ingest.facts import Facts
from apical.ingest.fan import Points
from apical.ingest.places import as_place
from apical.ingest.prepare import prepare
from apical.ingest.sector import Sector
from apical.ingest.triage import triage
from apical.ingest.walk import walk

TILE = 300  # pixels, height of a picture on the sheet
MOST_CLIPS = 200  # on one sheet
COARSE = 24  # cells along the screen's height, larger than letters, that show what lies beside the image
COARSER = 12  # of a screen without an image, which may be a page with a large title
GREEN, MAGENTA, GREY = (110, 220, 90), (230, 90, 230), (170, 170, 170)

Colours = NDArray[np.uint8]


@dataclass(frozen=True)
class Inspection:
    """What was understood of a clip.

    Attributes:
        number: its place among the files, from 1.
        place: the file; may hold identifiers.
        facts: what its tags say, or None if it could not be opened.
        mode, sector: what it shows, and where.
        problem: why it cannot be used, or None.
    """

    number: int
    place: str
    facts: Facts | None = None
    mode: str | None = None
    sector: Sector | None = None
    problem: str | None = None

    def record(self) -> dict[str, Any]:
        """Plain values for JSON, without the path."""
        facts = self.facts
        return {
            "number": self.number,
            "clip": facts and facts.clip,
            "syntax": facts and facts.syntax,
            "mode": self.mode,
            "frames": facts and facts.frames,
            "rows": facts and facts.rows,
            "columns": facts and facts.columns,
            "frame_time_ms": facts and facts.frame_time_ms,
            "pixel_mm": facts and facts.pixel_mm,
            "contrast_agent": facts and facts.contrast_agent,
            "stage": facts and facts.stage,
            "sector": self.sector and self.sector.kind,
            "confidence": self.sector and round(self.sector.confidence, 3),
            "region": self.sector and list(self.sector.box),
            "written_on": self.sector and len(self.sector.holes),
            "problem": self.problem,
        }

    def line(self) -> str:
        """The same to read."""
        facts, sector = self.facts, self.sector
        if facts is None:
            return f"{self.number:4}  {self.problem}"
        size = f"{facts.frames:4} x {facts.rows}x{facts.columns}"
        what = f"{self.number:4}  {facts.clip:16}  {self.mode or '-':14} {size}"
        found = f"{sector.kind} {sector.confidence:.2f}" if sector else "-"
        return f"{what:58} {found:15} {facts.syntax}" + (f"  {self.problem}" if self.problem else "")


def inspect(
    files: list[Path | str],
    out: Path,
    settings: FrameSettings = FrameSettings(),
    *,
    show_screen: bool = False,
) -> list[Inspection]:
    """Draw clips on a sheet: the screen with the outline, what is kept, and what an encoder will see.

    What lies beside the image is shown in coarse cells, for it may name the patient.

    Args:
        files: files, and folders to walk; the first `MOST_CLIPS` clips are drawn.
        out: a PNG.
        settings: of the frames that an encoder will see.
        show_screen: draw screens as they are. The picture may then identify patients.

    Raises:
        WrongCall: there is nothing to draw, or `out` does not end in .png.
        CannotDo: a source cannot be listed, or `out` cannot be written.
    """
    if out.suffix.lower() != ".png":
        raise WrongCall(f"a picture cannot be written as '{out.suffix}'", "let --out end in .png")
    try:
        found = [one for file in files for one in walk(as_place(file))][:MOST_CLIPS]
    except ClipProblem as problem:
        raise CannotDo(
            f"a source cannot be listed ({problem})", "check its address and your access"
        ) from None
    if not found:
        raise WrongCall("there is no clip in what was given", "give files, or a folder that holds some")
    seen, strips = [], []
    for number, one in enumerate(found, start=1):
        inspection, pictures = _look(
            Inspection(number, one.place, problem=one.problem), settings, show_screen
        )
        seen.append(inspection)
        strips.append(_strip(inspection, pictures))
    width = max(strip.shape[1] for strip in strips)
    columns = 1 if len(strips) < 3 else 2
    blank = np.zeros((strips[0].shape[0], width, 3), np.uint8)
    padded = [np.hstack([strip, blank[:, strip.shape[1] :]]) for strip in strips]
    padded += [blank] * (-len(padded) % columns)
    sheet = np.vstack([np.hstack(padded[at : at + columns]) for at in range(0, len(padded), columns)])
    write_atomically(out, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    return seen


def _look(
    inspection: Inspection, settings: FrameSettings, show_screen: bool
) -> tuple[Inspection, list[Colours]]:
    """Open a clip, understand it, and draw it."""
    if inspection.problem is not None:
        return inspection, []
    try:
        clip = open_clip(inspection.place)
        inspection = replace(inspection, facts=clip.facts, mode=clip.facts.mode)
        screen = clip.decode_colour([clip.facts.frames // 2], exact=False)[0]
    except ClipProblem as problem:
        return replace(inspection, problem=str(problem)), []
    try:
        seen = triage(clip)
    except ClipProblem as problem:
        hidden = screen if show_screen else _coarse(screen, COARSER)
        return replace(inspection, problem=str(problem)), [_scaled(hidden)]
    inspection = replace(inspection, mode=seen.mode, sector=seen.sector)
    if seen.sector is None:
        return inspection, [_scaled(screen if show_screen else _coarse(screen, COARSER))]
    return inspection, _pictures(clip, screen, seen.sector, seen.mode, settings, show_screen)


def _pictures(
    clip: Clip, screen: Colours, sector: Sector, mode: str, settings: FrameSettings, show_screen: bool
) -> list[Colours]:
    inside = sector.mask[..., None]
    shown = screen if show_screen else np.where(inside, screen, _coarse(screen))
    outlined = _outlined(_scaled(shown), sector, TILE / screen.shape[0])
    x0, y0, x1, y1 = sector.box
    kept = np.where(inside, screen, 0)[y0:y1, x0:x1]
    pictures = [outlined, _scaled(kept.astype(np.uint8))]
    if mode == "2d":
        one = settings.model_copy(update={"frames_per_clip": 1})
        square = prepare(clip, one, sector).frames[0]
        pictures.append(_scaled(np.repeat(square[..., None], 3, axis=2)))
    return pictures


def _coarse(screen: Colours, cells: int = COARSE) -> Colours:
    """A screen in cells too large to read letters in."""
    cell = max(1, screen.shape[0] // cells)
    small = (max(1, screen.shape[1] // cell), max(1, screen.shape[0] // cell))
    means = cv2.resize(screen, small, interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.resize(means, (screen.shape[1], screen.shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8
    )


def _scaled(picture: Colours) -> Colours:
    """A picture at the height of a tile."""
    columns = max(1, round(picture.shape[1] * TILE / picture.shape[0]))
    how = cv2.INTER_AREA if picture.shape[0] > TILE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (columns, TILE), interpolation=how), np.uint8)


def _outlined(picture: Colours, sector: Sector, scale: float) -> Colours:
    drawn = np.ascontiguousarray(picture)

    def line(corners: Points, colour: tuple[int, int, int]) -> None:
        points = np.round((corners + 0.5) * scale * 16 - 8).astype(np.int32)
        cv2.polylines(drawn, [points], True, colour, 1, cv2.LINE_AA, shift=4)

    for hole in sector.holes:
        line(hole, MAGENTA)
    line(sector.outline, GREEN)
    return drawn


def _strip(inspection: Inspection, pictures: list[Colours]) -> Colours:
    """The pictures of a clip beside each other, and a line of text below."""
    pictures = pictures or [np.zeros((TILE, TILE, 3), np.uint8)]
    row = np.hstack([np.hstack([picture, np.zeros((TILE, 6, 3), np.uint8)]) for picture in pictures])
    least = 620
    if row.shape[1] < least:
        row = np.hstack([row, np.zeros((TILE, least - row.shape[1], 3), np.uint8)])
    caption = np.zeros((26, row.shape[1], 3), np.uint8)
    facts, sector = inspection.facts, inspection.sector
    words = [f"{inspection.number}"]
    words += [f"{facts.clip}  {facts.frames} frames"] if facts else []
    words += [f"{inspection.mode}"] if inspection.mode else []
    words += [f"{sector.kind} {sector.confidence:.2f}"] if sector else []
    words += [inspection.problem] if inspection.problem else []
    cv2.putText(caption, "  ".join(words), (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, GREY, 1, cv2.LINE_AA)
    return np.vstack([row, caption])
