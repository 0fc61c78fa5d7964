"""Contact sheets of the phantom, to look at: by view, machine, disease, quality, contrast agent and mode."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from apical.phantom.anatomy import DISEASES, Patient, sample_patient
from apical.phantom.clip import Clip, acquire
from apical.phantom.contrast import sample_agent
from apical.phantom.exam import CONTRAST_PROTOCOL
from apical.phantom.heart import Tissue
from apical.phantom.machine import MACHINES, machine
from apical.phantom.modes import MODES, USUAL_VIEWS
from apical.phantom.organs import organ_clip
from apical.phantom.planes import EXTRA_VIEWS, VIEWS
from apical.phantom.screen import Pixels
from apical.phantom.shot import Shot

TILE = 220  # pixels
NAME_WIDTH = 150
SCREEN = (300, 450)  # rows and columns of the tile of a whole screen
FONT = cv2.FONT_HERSHEY_SIMPLEX
WINDOWS = (0.4, 0.7, 1.0, 1.4, 2.0)  # from a good acoustic window to a poor one


@dataclass(frozen=True, slots=True)
class _Draw:
    """What makes a tile the same every time."""

    seed: int
    difficulty: float

    def patient(self, number: int, disease: str | None = None) -> Patient:
        """Patient `number` of the sheet; if `disease` is given, the next one that has it."""
        for attempt in range(1000):
            rng = np.random.default_rng([self.seed, number, attempt] if disease else [self.seed, number])
            found = sample_patient(rng, self.difficulty, len(Tissue))
            if disease in (None, found.disease):
                return found
        raise ValueError(f"no patient with {disease}")

    def clip(self, patient: Patient, view: str, key: Sequence[int], scanner: int | None, agent: bool) -> Clip:
        """One frame; the machine is drawn at random where `scanner` is None."""
        rng = np.random.default_rng([self.seed, *key])
        number = int(rng.integers(MACHINES)) if scanner is None else scanner
        return acquire(
            patient,
            view,
            machine(number),
            texts=("PHANTOM, NR0", "01/02/2021", f"{patient.heart_rate:.0f} bpm", "MI 1.2"),
            heart_rate=patient.heart_rate,
            frames=1,
            rows=SCREEN[0],
            difficulty=self.difficulty,
            rng=rng,
            agent=sample_agent(rng) if agent else None,
        )


def draw_views(path: Path, *, patients: int, seed: int, difficulty: float, extra: bool = False) -> None:
    """Write a PNG with a tile a view and patient, each cropped to its sector; views in two columns."""
    draw, views = _Draw(seed, difficulty), VIEWS + EXTRA_VIEWS if extra else VIEWS
    rows = []
    for place, view in enumerate(views):
        clips = [
            draw.clip(draw.patient(number), view, [number, place], None, False) for number in range(patients)
        ]
        rows.append(_row(view, [_sector(clip) for clip in clips]))
    _write(path, rows, columns=2)


def draw_contrast(path: Path, *, patients: int, seed: int, difficulty: float) -> None:
    """Write a PNG with a tile a patient and view that is usual with contrast agent, without and with it."""
    draw, rows = _Draw(seed, difficulty), []
    for place, (view, _) in enumerate(CONTRAST_PROTOCOL):
        for agent in (False, True):
            clips = [
                draw.clip(draw.patient(number), view, [number, place], None, agent)
                for number in range(patients)
            ]
            rows.append(_row(f"{view} + agent" if agent else view, [_sector(clip) for clip in clips]))
    _write(path, rows, columns=2)


def draw_diseases(path: Path, *, patients: int, seed: int, difficulty: float) -> None:
    """Write a PNG with rows a disease: A4C, PLAX and PSAX-PM of each patient; the last row has effusions."""
    draw, rows = _Draw(seed, difficulty), []
    for disease in (*DISEASES, "effusion"):
        tiles = []
        for number in range(patients):
            ill = draw.patient(number, None if disease == "effusion" else disease)
            if disease == "effusion":
                ill = replace(ill, effusion=18.0)
            for place, view in enumerate(("A4C", "PLAX", "PSAX-PM")):
                tiles.append(_sector(draw.clip(ill, view, [number, place], None, False)))
        rows.append(_row(disease, tiles))
    _write(path, rows)


def draw_quality(path: Path, *, seed: int, difficulty: float) -> None:
    """Write a PNG with a row a standard view of one patient, through better and worse acoustic windows."""
    draw, rows = _Draw(seed, difficulty), []
    for place, view in enumerate(VIEWS):
        patients = [replace(draw.patient(0), window=window) for window in WINDOWS]
        rows.append(_row(view, [_sector(draw.clip(one, view, [place], None, False)) for one in patients]))
    _write(path, rows, columns=2)


def draw_machines(path: Path, *, view: str, seed: int, difficulty: float) -> None:
    """Write a PNG with the whole screen of every machine in `view`, those of a maker in a row."""
    draw, each = _Draw(seed, difficulty), 4
    screens = [
        _screen(draw.clip(draw.patient(number), view, [number], number, False).frames)
        for number in range(MACHINES)
    ]
    rows = []
    for first in range(0, MACHINES, each):
        rows.append(_row(machine(first).manufacturer, screens[first : first + each]))
    _write(path, rows)


def draw_modes(path: Path, *, machines: tuple[int, ...], seed: int, difficulty: float) -> None:
    """Write a PNG with a tile a mode (or organ) and machine, each a whole screen."""
    rows = []
    for place, mode in enumerate((*MODES, "organ")):
        tiles = [_mode(mode, number, [seed, place, number], difficulty) for number in machines]
        rows.append(_row(mode, tiles))
    _write(path, rows)


def _mode(mode: str, number: int, seed: list[int], difficulty: float) -> Pixels:
    rng = np.random.default_rng(seed)
    who = sample_patient(rng, difficulty, len(Tissue))
    views = USUAL_VIEWS.get(mode, VIEWS)
    shot = Shot(
        patient=who,
        view=views[rng.integers(len(views))],
        machine=machine(number),
        texts=("PHANTOM, NR0", "01/02/2021", f"{who.heart_rate:.0f} bpm", machine(number).model, "MI 1.2"),
        heart_rate=who.heart_rate,
        frames=2,
        rows=SCREEN[0],
        difficulty=difficulty,
        rng=rng,
    )
    clip = organ_clip(shot) if mode == "organ" else MODES[mode](shot)
    return _screen(clip.frames)


def _screen(frames: Pixels) -> Pixels:
    """The last frame as a tile of a whole screen."""
    tile = np.full((*SCREEN, 3), 60, np.uint8)
    picture = frames[-1, :, : SCREEN[1]]
    tile[:, : picture.shape[1]] = picture
    return tile


def _sector(clip: Clip) -> Pixels:
    """The first frame, cropped to its sector and without what stands around it, as a square tile."""
    x0, y0, x1, y1 = clip.screen.region()
    gray = clip.sight.gray[0, max(0, y0) : y1 + 1, max(0, x0) : x1 + 1]
    sector = np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), np.uint8)
    scale = TILE / max(sector.shape[:2])
    small = cv2.resize(sector, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:TILE, :TILE]
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    top, left = (TILE - small.shape[0]) // 2, (TILE - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile


def _row(name: str, tiles: list[Pixels]) -> Pixels:
    """Tiles beside each other, after their name."""
    label = np.zeros((len(tiles[0]), NAME_WIDTH, 3), np.uint8)
    for number, word in enumerate(name.split()):
        foot = len(label) // 2 + 20 * number
        cv2.putText(label, word, (6, foot), FONT, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.hstack([label, *tiles])


def _write(path: Path, rows: list[Pixels], columns: int = 1) -> None:
    """Write the rows below each other, in so many columns."""
    while len(rows) % columns:
        rows.append(np.zeros_like(rows[0]))
    each = len(rows) // columns
    sheet = np.hstack([np.vstack(rows[part * each : (part + 1) * each]) for part in range(columns)])
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
