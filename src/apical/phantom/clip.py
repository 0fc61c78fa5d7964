"""One clip: a patient, a view and a machine give frames and their truth."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from apical.phantom.acoustics import compress, form_image, set_up
from apical.phantom.anatomy import Floats, Patient
from apical.phantom.chest import ribs
from apical.phantom.conditions import Conditions, sample_conditions
from apical.phantom.contrast import Agent
from apical.phantom.cycle import Rhythm, cardiac_state, rhythm
from apical.phantom.device import array, blocks, random_numbers
from apical.phantom.ecg import draw_ecg
from apical.phantom.heart import Heart, Tissue, Tube, heart_at
from apical.phantom.machine import Machine
from apical.phantom.planes import (
    ENLARGED_MM,
    TYPICAL_DEPTH,
    Plane,
    PlaneError,
    foreshortening_mm,
    held,
    ideal_plane,
    misplace,
    plane_error,
    sweep,
)
from apical.phantom.screen import Pixels, Screen, enlarge, lay_out, scan_convert
from apical.phantom.shapes import PolarGrid
from apical.phantom.surround import draw_frame
from apical.phantom.tissue import classify

BREATHING_MM = (1.2, 1.5, 0.7)  # drift of the probe along, across and into the image during a clip
DEPTH_RANGE = (0.78, 1.45)  # of the typical depth: sonographers differ in how much they show
SAMPLES_PER_ROW = 2 / 3  # polar samples for each pixel of the screen's height
BEAMS_PER_ROW = 0.375
BESIDE_CLIP = 6.0  # seconds before and after a clip in which the rhythm is known, for strips and ECG

Place = Callable[[Machine, int, float], Screen]  # as `lay_out`: machine, rows and depth in mm


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames as the machine stores them, and what is true about them."""

    frames: Pixels  # RGB uint8 [frames, rows, columns, 3]
    sight: "Sight"

    @property
    def screen(self) -> Screen:
        """Where the sector lies."""
        return self.sight.screen

    @property
    def phase_first_frame(self) -> float:
        """The phase of the heart at the first frame."""
        return float(self.sight.phases[0])

    @property
    def frame_time_ms(self) -> float:
        """Time between frames."""
        return self.sight.frame_time_ms


@dataclass(frozen=True, slots=True)
class Sight:
    """A probe held on a heart: what the machine sees, before anything is drawn around it."""

    gray: Pixels  # uint8 [frames, rows, columns], 0 outside the sector
    inside: NDArray[np.bool_]  # [rows, columns], where the sector is
    labels: NDArray[np.uint8]  # values of Tissue, [frames, beams, samples]
    quality: float  # how well blood and myocardium are told apart, see `separation`
    heart: Heart
    screen: Screen
    grid: PolarGrid
    planes: Plane  # one a frame
    error: PlaneError  # of each frame, against the ideal plane of the view (of a sweep: where it begins)
    foreshortened_mm: float  # of the left ventricle in the first frame
    ribs: tuple[Tube, ...]
    conditions: Conditions
    rhythm: Rhythm
    seconds: Floats  # float64 [frames], from the first frame
    phases: Floats  # float64 [frames]
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
    agent: Agent | None = None,
    towards: str | None = None,
) -> Clip:
    """Image `patient` in `view` on `machine` for `frames` frames on a screen `rows` pixels high.

    `texts` are burnt in beside the sector; `heart_rate` is in beats per minute; `agent` is in the blood;
    the probe moves `towards` another view, if given.
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
        agent=agent,
        towards=towards,
    )
    pictures = compose(sight.gray, draw_frame(machine, sight.screen, sight.inside, texts), machine)
    if machine.ecg:
        draw_ecg(pictures, machine, sight.seconds, sight.rhythm)
    return Clip(pictures, sight)


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
    agent: Agent | None = None,
    towards: str | None = None,
) -> Sight:
    """Hold the probe of `machine` on `patient` for `frames` frames, as `acquire` does.

    `place` puts the sector on a screen `rows` pixels high; `detail` is how fine its beams and samples are,
    relative to a sector that fills the screen.
    """
    generator = random_numbers(rng)
    at_rest = heart_at(patient, cardiac_state(np.zeros(1)))
    ideal, target = ideal_plane(at_rest, view)
    plane = misplace(ideal, target, view, rng, difficulty, patient.window)
    shown = float(np.linalg.norm(target - plane.probe))
    stretch = (0.5 + 0.5 * patient.size) * float(rng.uniform(*DEPTH_RANGE))
    if view in ENLARGED_MM:
        reach = ENLARGED_MM[view] * stretch
        screen = enlarge(place(machine, rows, shown + reach), shown, reach)
    else:
        screen = place(machine, rows, TYPICAL_DEPTH[view] * stretch)
    # What lies above an enlarged part shades it too, and so is insonated, but not shown.
    shown_mm, above_mm = screen.depth_mm - screen.near_mm, screen.near_mm - screen.face_mm - machine.near_mm
    samples = round(rows * SAMPLES_PER_ROW * detail)
    above = max(0, round(above_mm / shown_mm * samples))
    grid = PolarGrid(
        ranges=np.arange(-above, samples, dtype=np.float64) * (shown_mm / (samples - 1)) + screen.near_mm,
        angles=np.linspace(-screen.half_angle, screen.half_angle, round(rows * BEAMS_PER_ROW * detail)),
        face_mm=screen.face_mm,
    )
    frame_time_ms = round(float(rng.uniform(28, 50)), 3)
    seconds = np.arange(frames) * frame_time_ms / 1000
    beating = rhythm(
        heart_rate, patient.atrial_fibrillation, -BESIDE_CLIP, float(seconds[-1]) + BESIDE_CLIP, rng
    )
    conditions = sample_conditions(rng, grid, patient.window, difficulty, agent)

    way = plane.repeated(frames)
    if towards is not None:
        end = misplace(*ideal_plane(at_rest, towards), towards, rng, difficulty, patient.window)
        way = sweep(plane, end, frames)
    planes = held(way, _drift(frames, rng), rng)
    state = beating.state_at(seconds)
    heart, beside = at_rest.at(state), ribs(patient, ideal, view)
    polar, labels = insonate(heart, machine, planes, grid, conditions, seconds, generator, beside)
    grid = replace(grid, ranges=grid.ranges[above:])
    conditions = replace(conditions, tgc_db=conditions.tgc_db[above:])
    polar, labels = polar[..., above:], labels[..., above:]
    gray, inside = scan_convert(polar, screen, grid, machine)
    return Sight(
        gray=gray,
        inside=inside,
        labels=labels,
        quality=separation(polar[0], labels[0]),
        heart=heart,
        screen=screen,
        grid=grid,
        planes=planes,
        error=plane_error(planes, ideal, target),
        foreshortened_mm=foreshortening_mm(planes.frame(0), at_rest),
        ribs=beside,
        conditions=conditions,
        rhythm=beating,
        seconds=seconds,
        phases=state.phases,
        frame_time_ms=frame_time_ms,
    )


@torch.inference_mode()
def insonate(
    heart: Heart,
    machine: Machine,
    planes: Plane,
    grid: PolarGrid,
    conditions: Conditions,
    seconds: Floats,
    generator: torch.Generator,
    beside: tuple[Tube, ...] = (),
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Send the beams of `grid` into `heart` in `planes` at `seconds` (of each frame), past the ribs `beside`.

    Returns the gray level and the tissue of each sample, both uint8 [frames, beams, samples].
    """
    setup = set_up(planes.frame(0), grid, machine.probe, conditions, heart.patient, generator)
    polar, labels = [], []
    for block in blocks(len(seconds), len(grid.angles) * len(grid.ranges)):
        tissue = classify(heart.during(block), planes.during(block), grid, beside)
        envelope = form_image(tissue, setup, seconds[block], generator)
        levels = compress(envelope, machine.gain_db + conditions.gain_db, machine.dynamic_range_db)
        polar.append(array(levels))
        labels.append(array(tissue.labels))
    return np.concatenate(polar), np.concatenate(labels)


def separation(gray: Pixels, labels: NDArray[np.uint8]) -> float:
    """How well blood and myocardium are told apart by gray level, from 0 (not at all) to 1.

    The generalised contrast-to-noise ratio, 1 minus the overlap of both histograms (Rodriguez-Molares et al.
    2020, IEEE T-UFFC 67:745-759); where one of them is not in the picture, blood against all else. Both uint8
    [beams, samples].
    """
    blood = labels == Tissue.BLOOD
    solid = np.isin(labels, (Tissue.MYOCARDIUM, Tissue.RV_WALL, Tissue.PAPILLARY))
    solid = solid if solid.sum() > 50 else ~blood
    if not blood.any() or not solid.any():
        return 0.0
    shares = [np.bincount(gray[part] // 4, minlength=64) / part.sum() for part in (blood, solid)]
    return float(1 - np.minimum(*shares).sum())


def compose(gray: Pixels, surround: Pixels, machine: Machine) -> Pixels:
    """Tint the sector and add its surround; each is black where the other is. RGB uint8."""
    curves = (np.array(machine.tint)[:, None] * np.arange(256)).round().astype(np.uint8)
    pictures = np.empty((*gray.shape, 3), np.uint8)
    for image, picture in zip(gray, pictures, strict=True):
        cv2.add(surround, cv2.merge([cv2.LUT(image, curve) for curve in curves]), dst=picture)
    return pictures


def _drift(frames: int, rng: np.random.Generator) -> Floats:
    """Slow movement between probe and heart, float64 [frames, 3], mm: lateral, across, into the image."""
    start, speed = rng.normal(size=(2, 3)) * BREATHING_MM
    drift: Floats = start + np.linspace(-0.5, 0.5, frames)[:, None] * speed
    return drift
