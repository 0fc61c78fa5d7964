"""One clip: a patient, a view and a machine give frames and their truth."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from apical.phantom.acoustics import Conditions, compress, form_image, sample_conditions
from apical.phantom.anatomy import Floats, Patient
from apical.phantom.heart import Heart, heart_at
from apical.phantom.machine import Machine
from apical.phantom.planes import TYPICAL_DEPTH, Plane, PlaneError, ideal_plane, misplace
from apical.phantom.screen import Pixels, Screen, draw_ecg, draw_frame, lay_out, scan_convert
from apical.phantom.shapes import PolarGrid
from apical.phantom.tissue import classify

BREATHING_MM = (1.2, 1.5, 0.7)  # drift of the probe along, across and into the image during a clip
DEPTH_RANGE = (0.84, 1.36)  # of the typical depth: sonographers differ in how much they show
SAMPLES_PER_ROW = 2 / 3  # polar samples for each pixel of the screen's height
BEAMS_PER_ROW = 0.375

Place = Callable[[Machine, int, float], Screen]  # as `lay_out`: machine, rows and depth in mm


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames as the machine stores them, and what is true about them."""

    frames: Pixels  # RGB uint8 [frames, rows, columns, 3]
    screen: Screen
    error: PlaneError
    phase_first_frame: float
    frame_time_ms: float


@dataclass(frozen=True, slots=True)
class Sight:
    """A probe held on a heart: what the machine sees, before anything is drawn around it."""

    gray: Pixels  # uint8 [frames, rows, columns], 0 outside the sector
    inside: NDArray[np.bool_]  # [rows, columns], where the sector is
    labels: NDArray[np.uint8]  # values of Tissue, [frames, beams, samples]
    heart: Heart
    screen: Screen
    grid: PolarGrid
    plane: Plane
    origins: Floats  # of the beams, float64 [frames, 3], mm
    error: PlaneError
    conditions: Conditions
    seconds: Floats  # float64 [frames], from the first frame
    first_phase: float
    frame_time_ms: float


def acquire(
    patient: Patient,
    view: str,
    machine: Machine,
    *,
    texts: tuple[str, ...],
    heart_rate: float,
    frames: int,
    rows: int,
    difficulty: float,
    rng: np.random.Generator,
) -> Clip:
    """Image `patient` in `view` on `machine` for `frames` frames on a screen `rows` pixels high.

    `texts` are burnt in beside the sector; `heart_rate` is in beats per minute.
    """
    sight = look(
        patient,
        view,
        machine,
        heart_rate=heart_rate,
        frames=frames,
        rows=rows,
        difficulty=difficulty,
        rng=rng,
    )
    pictures = compose(sight.gray, draw_frame(machine, sight.screen, sight.inside, texts), machine)
    if machine.ecg:
        for picture, second in zip(pictures, sight.seconds, strict=True):
            draw_ecg(picture, machine, float(second), heart_rate, sight.first_phase)
    return Clip(pictures, sight.screen, sight.error, sight.first_phase, sight.frame_time_ms)


def look(
    patient: Patient,
    view: str,
    machine: Machine,
    *,
    heart_rate: float,
    frames: int,
    rows: int,
    difficulty: float,
    rng: np.random.Generator,
    place: Place = lay_out,
    detail: float = 1.0,
) -> Sight:
    """Hold the probe of `machine` on `patient` for `frames` frames, as `acquire` does.

    `place` puts the sector on a screen `rows` pixels high; `detail` is how fine its beams and samples are,
    relative to a sector that fills the screen.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    end_diastole = heart_at(patient, np.zeros(1))
    plane, error = misplace(ideal_plane(end_diastole, view), rng, difficulty, patient.window)
    depth = TYPICAL_DEPTH[view] * (0.5 + 0.5 * patient.size) * float(rng.uniform(*DEPTH_RANGE))
    screen = place(machine, rows, depth)
    grid = PolarGrid(
        ranges=np.linspace(machine.near_mm, depth, round(rows * SAMPLES_PER_ROW * detail)),
        angles=np.linspace(-machine.half_angle, machine.half_angle, round(rows * BEAMS_PER_ROW * detail)),
    )
    frame_time_ms = round(float(rng.uniform(28, 50)), 3)
    seconds = np.arange(frames) * frame_time_ms / 1000
    first_phase = float(rng.random())
    phases = (first_phase + seconds * heart_rate / 60) % 1
    conditions = sample_conditions(rng, grid, patient.window, difficulty)

    drift = _drift(frames, rng)
    axes = np.stack([plane.lateral, plane.normal, plane.beam])
    heart, origins = heart_at(patient, phases), plane.probe + drift @ axes
    polar, labels = insonate(heart, machine, plane, origins, grid, conditions, generator)
    gray, inside = scan_convert(polar, screen, grid, machine)
    return Sight(
        gray=gray,
        inside=inside,
        labels=labels,
        heart=heart,
        screen=screen,
        grid=grid,
        plane=plane,
        origins=origins,
        error=error,
        conditions=conditions,
        seconds=seconds,
        first_phase=first_phase,
        frame_time_ms=frame_time_ms,
    )


def insonate(
    heart: Heart,
    machine: Machine,
    plane: Plane,
    origins: Floats,
    grid: PolarGrid,
    conditions: Conditions,
    generator: torch.Generator,
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Send the beams of `grid` into `heart` from `origins` (float64 [frames, 3], mm).

    Returns the gray level and the tissue of each sample, both uint8 [frames, beams, samples].
    """
    tissue = classify(heart, plane, origins, grid)
    envelope = form_image(tissue, grid, machine.probe, conditions, heart.patient.tissue_db, generator)
    polar = compress(envelope, machine.gain_db + conditions.gain_db, machine.dynamic_range_db)
    return polar.numpy(), tissue.labels.numpy()


def compose(gray: Pixels, surround: Pixels, machine: Machine) -> Pixels:
    """Tint the sector and add its surround; each is black where the other is. RGB uint8."""
    colours = (np.arange(256)[:, None] * np.array(machine.tint)).round().astype(np.uint8)[None]
    return np.stack([cv2.add(surround, cv2.LUT(cv2.merge([image] * 3), colours)) for image in gray])


def _drift(frames: int, rng: np.random.Generator) -> Floats:
    """Slow movement between probe and heart, float64 [frames, 3], mm: lateral, across, into the image."""
    start, speed = rng.normal(size=(2, 3)) * BREATHING_MM
    drift: Floats = start + np.linspace(-0.5, 0.5, frames)[:, None] * speed
    return drift
