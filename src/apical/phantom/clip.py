"""One clip: a patient, a view and a machine give frames and their truth."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from apical.phantom.acoustics import compress, form_image, sample_conditions
from apical.phantom.anatomy import Floats, Patient
from apical.phantom.heart import heart_at
from apical.phantom.machine import Machine
from apical.phantom.planes import TYPICAL_DEPTH, PlaneError, ideal_plane, misplace
from apical.phantom.screen import Pixels, Screen, draw_ecg, draw_frame, lay_out, scan_convert
from apical.phantom.shapes import PolarGrid
from apical.phantom.tissue import classify

BREATHING_MM = (1.2, 1.5, 0.7)  # drift of the probe along, across and into the image during a clip
DEPTH_RANGE = (0.84, 1.36)  # of the typical depth: sonographers differ in how much they show
SAMPLES_PER_ROW = 2 / 3  # polar samples for each pixel of the screen's height
BEAMS_PER_ROW = 0.375


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames as the machine stores them, and what is true about them."""

    frames: Pixels  # RGB uint8 [frames, rows, columns, 3]
    screen: Screen
    error: PlaneError
    phase_first_frame: float
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
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    end_diastole = heart_at(patient, np.zeros(1))
    plane, error = misplace(ideal_plane(end_diastole, view), rng, difficulty, patient.window)
    depth = TYPICAL_DEPTH[view] * (0.5 + 0.5 * patient.size) * float(rng.uniform(*DEPTH_RANGE))
    screen = lay_out(machine, rows, depth)
    grid = PolarGrid(
        ranges=np.linspace(machine.near_mm, depth, round(rows * SAMPLES_PER_ROW)),
        angles=np.linspace(-machine.half_angle, machine.half_angle, round(rows * BEAMS_PER_ROW)),
    )
    frame_time_ms = round(float(rng.uniform(28, 50)), 3)
    seconds = np.arange(frames) * frame_time_ms / 1000
    first_phase = float(rng.random())
    phases = (first_phase + seconds * heart_rate / 60) % 1
    conditions = sample_conditions(rng, grid, patient.window, difficulty)

    drift = _drift(frames, rng)
    axes = np.stack([plane.lateral, plane.normal, plane.beam])
    tissue = classify(heart_at(patient, phases), plane, plane.probe + drift @ axes, grid)
    envelope = form_image(tissue, grid, machine.probe, conditions, patient.tissue_db, generator)
    polar = compress(envelope, machine.gain_db + conditions.gain_db, machine.dynamic_range_db)
    gray, inside = scan_convert(polar.numpy(), screen, grid, machine)
    pictures = _compose(gray, draw_frame(machine, screen, inside, texts), machine)
    if machine.ecg:
        for picture, second in zip(pictures, seconds, strict=True):
            draw_ecg(picture, machine, float(second), heart_rate, first_phase)
    return Clip(pictures, screen, error, first_phase, frame_time_ms)


def _drift(frames: int, rng: np.random.Generator) -> Floats:
    """Slow movement between probe and heart, float64 [frames, 3], mm: lateral, across, into the image."""
    start, speed = rng.normal(size=(2, 3)) * BREATHING_MM
    drift: Floats = start + np.linspace(-0.5, 0.5, frames)[:, None] * speed
    return drift


def _compose(gray: Pixels, surround: Pixels, machine: Machine) -> Pixels:
    """Tint the sector and add its surround; each is black where the other is. RGB uint8."""
    colours = (np.arange(256)[:, None] * np.array(machine.tint)).round().astype(np.uint8)[None]
    return np.stack([cv2.add(surround, cv2.LUT(cv2.merge([image] * 3), colours)) for image in gray])
