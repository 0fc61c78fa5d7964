"""The reference pictures of `apical label`: a small still of every standard view, from the phantom.

Each shows a healthy heart through a good acoustic window, early in diastole, when the mitral valve is open
and the aortic valve is shut. Seeds were chosen by eye, so that what makes the view is in the picture. The
pictures come out the same each time, but for what another processor rounds otherwise.

python benchmarks/reference_pictures.py --sheet sheet.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from apical.files import write_atomically
from apical.label.reference import FOLDER
from apical.phantom.anatomy import Patient, sample_patient
from apical.phantom.clip import look
from apical.phantom.heart import Tissue
from apical.phantom.machine import machine
from apical.phantom.planes import VIEWS

SEEDS = {
    "PLAX": 4,
    "RV-inflow": 15,
    "PSAX-AV": 6,
    "PSAX-MV": 15,
    "PSAX-PM": 16,
    "PSAX-apex": 12,
    "A4C": 12,
    "A2C": 8,
    "A3C": 11,
    "A5C": 14,
    "subcostal-4C": 1,
    "IVC": 0,
    "suprasternal": 8,
}
MACHINE = 3
DIFFICULTY, WINDOW = 0.08, 0.32  # a steady hand, and as good an acoustic window as the phantom has
PHASE = 0.52  # early diastole
HEART_RATE, FRAMES = 200.0, 8  # so fast that a few frames hold a whole cycle; a still does not show it
ROWS = 420  # of the screen, before it is made small
WIDTH, QUALITY = 160, 80
MOST_BYTES = 6 << 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the pictures")
    parser.add_argument("--sheet", type=Path, help="a PNG of all of them, to look at")
    options = parser.parse_args()
    tiles = []
    for view in VIEWS:
        data = as_jpeg(draw(view))
        write_atomically(options.out / f"{view}.jpg", data)
        print(f"{view}: {len(data)} bytes")
        tiles.append(named(view, data))
    if options.sheet is not None:
        cv2.imwrite(str(options.sheet), sheet(tiles))


def draw(view: str) -> NDArray[np.uint8]:
    """The still of a view, (rows, WIDTH) uint8: the sector and nothing around it."""
    patient = healthy(SEEDS[view])
    rng = np.random.default_rng([SEEDS[view], VIEWS.index(view)])
    sight = look(
        patient,
        view,
        machine(MACHINE),
        heart_rate=HEART_RATE,
        frames=FRAMES,
        rows=ROWS,
        difficulty=DIFFICULTY,
        rng=rng,
    )
    x0, y0, x1, y1 = sight.screen.region()
    frame = sight.gray[int(np.abs(sight.phases - PHASE).argmin()), y0 : y1 + 1, x0 : x1 + 1]
    rows = round(WIDTH * frame.shape[0] / frame.shape[1])
    return np.asarray(cv2.resize(frame, (WIDTH, rows), interpolation=cv2.INTER_AREA), np.uint8)


def healthy(seed: int) -> Patient:
    """The first patient of a seed without disease, with a good acoustic window."""
    for attempt in range(1000):
        rng = np.random.default_rng([seed, attempt])
        patient = sample_patient(rng, DIFFICULTY, len(Tissue))
        if patient.disease == "none" and not patient.atrial_fibrillation and not patient.effusion:
            return replace(patient, window=WINDOW)
    raise ValueError("no healthy patient")


def as_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A grey JPEG without metadata, of at most `MOST_BYTES`."""
    for quality in range(QUALITY, 0, -5):
        data = simplejpeg.encode_jpeg(
            np.ascontiguousarray(picture[..., None]), quality, colorspace="GRAY", colorsubsampling="Gray"
        )
        if len(data) <= MOST_BYTES:
            return bytes(data)
    raise ValueError("the picture does not fit")


def named(view: str, data: bytes) -> NDArray[np.uint8]:
    """A picture as it is shipped, twice as large, under the name of its view."""
    picture = simplejpeg.decode_jpeg(data, colorspace="GRAY")[..., 0]
    tile = cv2.copyMakeBorder(cv2.resize(picture, None, fx=2, fy=2), 24, 4, 4, 4, cv2.BORDER_CONSTANT)
    cv2.putText(tile, view, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 255, 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)


def sheet(tiles: list[NDArray[np.uint8]], columns: int = 5) -> NDArray[np.uint8]:
    """Tiles in rows of so many; smaller ones stand at the top of their place."""
    height, width = (max(tile.shape[side] for tile in tiles) for side in (0, 1))
    rows = -(-len(tiles) // columns)
    made = np.zeros((rows * height, columns * width), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height, number % columns * width
        made[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return made


if __name__ == "__main__":
    main()
