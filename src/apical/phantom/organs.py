"""Grey images of what is not a heart, for a classifier that must say "unknown": lung, liver, vessels, air.

Drawn in the image plane: x to the right and y down from the skin, mm, float32 [frames, beams, samples].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from apical.phantom.acoustics import compress, form_image, set_up
from apical.phantom.anatomy import Floats
from apical.phantom.clip import compose
from apical.phantom.conditions import Probe, sample_conditions
from apical.phantom.cycle import rhythm
from apical.phantom.device import array, floats, random_numbers
from apical.phantom.ecg import draw_ecg, ecg_region
from apical.phantom.heart import Tissue
from apical.phantom.planes import Plane
from apical.phantom.screen import Region, Screen, lay_out, scan_convert, sector_region
from apical.phantom.shapes import PolarGrid
from apical.phantom.shot import TWO_D, ModeClip, OtherProbe, Shot, surround
from apical.phantom.tissue import TissueMap

WIDEST = 0.9  # of the screen
TALLEST = 0.80
SIDE_LOBES_MM = 6.0  # along the face
PAINTED = Plane(np.zeros(3), np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]))  # x to the right, y down


@dataclass(frozen=True, slots=True)
class Transducer:
    """A probe that is not a heart's: curved, or (with a huge radius) straight."""

    type: Literal["LINEAR", "CURVED LINEAR"]
    radius_mm: float
    width_mm: float  # of its face, along the curve
    depth_mm: tuple[float, float]
    frequency_mhz: float


CURVED = Transducer("CURVED LINEAR", 50.0, 58.0, (120, 190), 3.5)
STRAIGHT = Transducer("LINEAR", 2000.0, 40.0, (32, 55), 8.0)

Paint = Callable[[Tensor, Tensor, Tensor, np.random.Generator], Tensor]  # x, y, beat -> labels


def organ_clip(shot: Shot) -> ModeClip:
    """A clip of one of ORGANS, by the transducer that is used for it."""
    rng, machine = shot.rng, shot.machine
    name = tuple(ORGANS)[rng.integers(len(ORGANS))]
    paint, transducer = ORGANS[name]
    screen = place(lay_out(machine, shot.rows, 100.0), transducer, float(rng.uniform(*transducer.depth_mm)))
    detail = (round(shot.rows * 0.6), round(shot.rows * 0.4))
    grid = PolarGrid(
        ranges=np.linspace(screen.near_mm, screen.depth_mm, detail[0]),
        angles=np.linspace(-screen.half_angle, screen.half_angle, detail[1]),
        face_mm=screen.face_mm,
    )
    frame_time_ms = round(float(rng.uniform(30, 70)), 3)
    seconds = np.arange(shot.frames) * frame_time_ms / 1000
    generator = random_numbers(rng)
    tissue = _tissue(paint, grid, seconds, shot.heart_rate, rng, transducer.frequency_mhz / 2.5)
    conditions = sample_conditions(rng, grid, 0.8 * shot.patient.window, shot.difficulty)
    scale = 2.5 / transducer.frequency_mhz  # of wavelengths
    probe = Probe(
        frequency_mhz=transducer.frequency_mhz,
        axial_mm=machine.probe.axial_mm * scale,
        lateral_degrees=math.degrees(0.9 * scale / screen.near_mm),
        focus_mm=grid.depths[-1] / 2,
        specular=machine.probe.specular,
        side_lobes_degrees=math.degrees(SIDE_LOBES_MM / screen.near_mm),
    )
    setup = set_up(PAINTED, grid, probe, conditions, shot.patient, generator)
    envelope = form_image(tissue, setup, seconds, generator)
    polar = array(compress(envelope, machine.gain_db + conditions.gain_db, machine.dynamic_range_db))
    gray, inside = scan_convert(polar, screen, grid, machine)
    pictures = compose(gray, surround(shot, screen, inside, (), shot.texts), machine)
    regions: tuple[Region, ...] = (sector_region(screen),)
    if machine.ecg:  # where the heart's trace runs, it runs on
        beats = rhythm(shot.heart_rate, shot.patient.atrial_fibrillation, -6, float(seconds[-1]) + 6, rng)
        draw_ecg(pictures, machine, seconds, beats)
        regions = (*regions, ecg_region(shot.rows, 0, shot.columns - 1))
    told = OtherProbe(transducer.type, transducer.frequency_mhz, *TOLD[name])
    return ModeClip(pictures, TWO_D, regions, screen=screen, frame_time_ms=frame_time_ms, probe=told)


def place(full: Screen, transducer: Transducer, depth_mm: float) -> Screen:
    """Put a transducer's field, `depth_mm` deep, in the middle of the screen `full`."""
    near, half_angle = transducer.radius_mm, transducer.width_mm / transducer.radius_mm / 2
    top = near * math.cos(half_angle)
    width, height = 2 * (near + depth_mm) * math.sin(half_angle), near + depth_mm - top
    mm_per_pixel = max(width / (WIDEST * full.columns), height / (TALLEST * full.rows))
    return replace(
        full,
        apex_x=full.columns / 2,
        apex_y=full.rows * 0.06 - top / mm_per_pixel,
        mm_per_pixel=mm_per_pixel,
        face_mm=near,
        near_mm=near,
        depth_mm=near + depth_mm,
        half_angle=half_angle,
        flat_face=False,
    )


def _tissue(
    paint: Paint,
    grid: PolarGrid,
    seconds: Floats,
    heart_rate: float,
    rng: np.random.Generator,
    finer: float,
) -> TissueMap:
    """What lies at the samples: painted where it is at rest, and swaying with breath and pulse.

    Its speckle is `finer` than that of a heart.
    """
    angles, ranges = (floats(part) for part in (grid.angles, grid.ranges))
    across = torch.sin(angles)[:, None] * ranges
    down = torch.cos(angles)[:, None] * ranges - grid.face_mm
    moments = floats(seconds)[:, None, None]
    breath = 4 * torch.sin(2 * math.pi * (moments / 4 + float(rng.random())))
    beat = torch.exp(-(((moments * heart_rate / 60 + float(rng.random())) % 1 - 0.2) ** 2) / 0.02)
    x, y = across + breath, down.expand(len(seconds), -1, -1)
    still = torch.zeros_like(x)
    return TissueMap(
        labels=paint(x, y, beat, rng),
        place=(finer * x, finer * y, still),
        ripple=torch.sin(0.07 * x + 0.05 * y),
        outside=still,
        facing=still + 1,
    )


def _lung(x: Tensor, y: Tensor, beat: Tensor, rng: np.random.Generator) -> Tensor:
    """Two ribs, the pleura between them, and under it its repetitions (A lines) or comet tails (B lines)."""
    pleura = float(rng.uniform(16, 28))
    ribs, wide = float(rng.uniform(24, 34)), float(rng.uniform(5.5, 8))
    labels = torch.full_like(y, Tissue.FAT, dtype=torch.uint8)
    labels.masked_fill_(y > pleura, Tissue.BLOOD)
    again = Tissue.VESSEL_WALL, Tissue.VESSEL_WALL, Tissue.ATRIAL_WALL, Tissue.ATRIAL_WALL
    for number, echo in enumerate((Tissue.PERICARDIUM, *again), start=1):
        labels.masked_fill_((y - number * pleura).abs() < 1.2 / number**0.5, echo)
    for _ in range(int(rng.integers(0, 5))):
        tail = (x - float(rng.uniform(-35, 35)) - 0.25 * y * float(rng.normal())).abs() < 2.0
        labels.masked_fill_(tail & (y > pleura), Tissue.VESSEL_WALL)
    for side in (-1, 1):
        rib = torch.hypot(x - side * ribs, y - pleura + wide + 2) < wide
        labels.masked_fill_(rib, Tissue.RIB)
    return labels


def _liver(x: Tensor, y: Tensor, beat: Tensor, rng: np.random.Generator) -> Tensor:
    """Liver with vessels; perhaps a gallbladder, a kidney, and the diaphragm behind."""
    labels = torch.full_like(y, Tissue.LIVER, dtype=torch.uint8)
    for _ in range(int(rng.integers(3, 8))):
        angle, place_x, place_y = rng.uniform(0, math.pi), rng.uniform(-60, 60), rng.uniform(25, 110)
        along = (x - place_x) * math.cos(angle) + (y - place_y) * math.sin(angle)
        aside = (y - place_y) * math.cos(angle) - (x - place_x) * math.sin(angle)
        radius = float(rng.uniform(1.5, 5)) * (1 - 0.012 * along.abs()).clamp(min=0)
        vessel = aside.abs()
        labels.masked_fill_((vessel < radius + 0.9) & (rng.random() < 0.5), Tissue.VESSEL_WALL)
        labels.masked_fill_(vessel < radius, Tissue.BLOOD)
    if rng.random() < 0.5:
        bladder = torch.hypot((x - float(rng.uniform(-40, 40))) / 2.2, y - float(rng.uniform(50, 80)))
        labels.masked_fill_(bladder < 14, Tissue.VESSEL_WALL)
        labels.masked_fill_(bladder < 12.5, Tissue.BLOOD)
    if rng.random() < 0.6:
        right, deep = float(rng.uniform(-30, 30)), float(rng.uniform(80, 120))
        kidney = torch.hypot((x - right) / 52, (y - deep) / 25)
        labels.masked_fill_(kidney < 1.05, Tissue.PERICARDIUM)
        labels.masked_fill_(kidney < 1, Tissue.RV_WALL)
        labels.masked_fill_(kidney < 0.45, Tissue.PERICARDIUM)
    dome = float(rng.uniform(110, 160)) + 0.006 * x * x
    labels.masked_fill_((y - dome).abs() < 1.5, Tissue.PERICARDIUM)
    labels.masked_fill_(y > dome + 1.5, Tissue.LUNG)
    labels.masked_fill_(y < float(rng.uniform(10, 25)), Tissue.CHEST_WALL)
    return labels


def _vessel(x: Tensor, y: Tensor, beat: Tensor, rng: np.random.Generator) -> Tensor:
    """An artery, along or across, that the pulse widens, with a vein above it."""
    deep, radius = float(rng.uniform(16, 24)), float(rng.uniform(2.8, 4)) + 0.35 * beat
    labels = torch.full_like(y, Tissue.FAT, dtype=torch.uint8)
    labels.masked_fill_((torch.sin(0.9 * y + 0.08 * x) > 0.35) & (y < 12), Tissue.RV_WALL)
    if rng.random() < 0.6:
        artery = (y - deep - float(rng.normal(0, 0.07)) * x).abs()
        vein = (y - deep + 9 - float(rng.normal(0, 0.07)) * x).abs() - 1
    else:
        artery = torch.hypot(x, y - deep)
        vein = torch.hypot((x - float(rng.uniform(-9, 9))) / 1.6, y - deep + 7)
    labels.masked_fill_(artery < radius + 0.8, Tissue.VESSEL_WALL)
    labels.masked_fill_((artery < radius) | (vein < 2.2), Tissue.BLOOD)
    return labels


def _air(x: Tensor, y: Tensor, beat: Tensor, rng: np.random.Generator) -> Tensor:
    """A probe that touches nothing: echoes of its own face, and noise."""
    labels = torch.full_like(y, Tissue.BLOOD, dtype=torch.uint8)
    gap = float(rng.uniform(3, 7))
    for number in range(1, 8):
        labels.masked_fill_((y - number * gap).abs() < 0.5 + 1 / number, Tissue.CHEST_WALL)
    return labels


# Body Part Examined and Image Type value 3 in the header.
TOLD = {
    "lung": ("CHEST", "CHEST"),
    "liver": ("ABDOMEN", "ABDOMINAL"),
    "vessel": ("NECK", "VASCULAR"),
    "air": ("CHEST", "CHEST"),
}
ORGANS: dict[str, tuple[Paint, Transducer]] = {
    "lung": (_lung, CURVED),
    "liver": (_liver, CURVED),
    "vessel": (_vessel, STRAIGHT),
    "air": (_air, CURVED),
}
