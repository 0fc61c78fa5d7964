"""How fast blood and walls move along the beams, for pictures by Doppler.

Velocities are float32 [frames, beams, samples], m/s, positive towards the probe. The flow is painted, not
computed: each valve and vessel adds a stream of about the right place, direction, timing and speed.
"""

import math

import numpy as np
from numpy.typing import NDArray

from apical.phantom.anatomy import Floats
from apical.phantom.axes import AXIS
from apical.phantom.clip import Sight
from apical.phantom.device import array, floats
from apical.phantom.heart import Heart, Tissue, Tube
from apical.phantom.motion import Motion, motion_of
from apical.phantom.shapes import PolarGrid, beam_directions, sector_space
from apical.phantom.valves import Ring

Field = NDArray[np.float32]

FILLING = 0.85  # m/s through an open mitral valve
EJECTION = 1.1  # m/s through the aortic valve
VENOUS = 0.35
JET = 3.5  # of a leaking valve
LEAKS = 0.35  # share of the clips, for each valve between atrium and ventricle
STEP_SECONDS = 0.01  # between the two positions of a wall that give its velocity
EDDIES = (0.06, 0.11, 0.16)  # wave numbers of irregular flow, rad/mm
SWAYING = (0.015, 0.03, 0.04)  # and of irregular movement of tissue


def filling(phases: Floats, atria_contract: bool = True) -> Floats:
    """Flow into the ventricles at `phases` (any shape), from 0 to 1: early and atrial wave."""
    wrapped = np.mod(phases, 1.0)
    early = (wrapped - 0.50) / np.where(wrapped < 0.50, 0.04, 0.085)  # decelerates slowly
    atrial = (wrapped - 0.89) / 0.045
    return np.exp(-(early**2)) + 0.7 * atria_contract * np.exp(-(atrial**2))


def ejection(phases: Floats) -> Floats:
    """Flow out of the ventricles at `phases` (any shape), from 0 to 1."""
    along = np.clip((np.mod(phases, 1.0) - 0.05) / 0.29, 0, 1)
    return np.sin(math.pi * along**0.8) ** 1.3


def blood_velocity(sight: Sight, grid: PolarGrid, rng: np.random.Generator) -> tuple[Field, Field]:
    """Velocity of blood on `grid`, and how turbulent it is (0 to 1); what is not blood counts as blood."""
    heart, phases = sight.heart, sight.phases
    points, beams = _points(sight, grid), _beams(sight, grid)
    fills = _a_frame(filling(phases, sight.rhythm.atria_contract))
    ejects = _a_frame(ejection(phases))
    restless = np.asarray(0.13 + 0.12 * np.maximum(fills, ejects), np.float32)
    flow = _eddies(points, phases, EDDIES, rng) * restless[..., None]
    turbulence = np.zeros(points.shape[:3], np.float32)
    for ring, speed in ((heart.mitral, FILLING), (heart.tricuspid, 0.65 * FILLING)):
        flow += (speed * fills * _inflow(points, ring))[..., None] * AXIS.astype(np.float32)
        if rng.random() < LEAKS:
            jet, direction = _jet(points, ring, rng)
            closed = _a_frame(ejection(phases) > 0.05)
            flow += JET * (closed * jet)[..., None] * direction
            turbulence = np.maximum(turbulence, closed * jet)
    flow += EJECTION * ejects[..., None] * _towards_root(points, heart)
    for tube in heart.tubes:
        if tube.lining is Tissue.VESSEL_WALL or tube.lining is Tissue.RV_WALL:
            pulse = -VENOUS * (0.5 + 0.5 * ejects) if tube.vein else EJECTION * ejects
            flow += pulse[..., None] * _stream(points, tube)
    return _towards(flow, beams), turbulence


def wall_velocity(sight: Sight, grid: PolarGrid, rng: np.random.Generator) -> Field:
    """Velocity of tissue on `grid`: how fast what is seen at a place comes from elsewhere."""
    points, beams = _points(sight, grid), _beams(sight, grid)
    before, after = (
        _points(sight, grid, motion_of(sight.heart.patient, sight.rhythm.state_at(sight.seconds + step)))
        for step in (-STEP_SECONDS / 2, STEP_SECONDS / 2)
    )
    velocity = (before - after) / np.float32(STEP_SECONDS * 1000)  # mm a second to m a second
    velocity += 0.01 * _eddies(points, sight.phases, SWAYING, rng)
    return _towards(velocity, beams)


def _towards(velocity: Field, beams: Field) -> Field:
    """The part of a velocity that goes back along the beams."""
    return np.asarray(-np.einsum("fbsc,fbc->fbs", velocity, beams), np.float32)


def _points(sight: Sight, grid: PolarGrid, motion: Motion | None = None) -> Field:
    """Where the samples are at end-diastole, float32 [frames, beams, samples, 3], mm."""
    moved = (motion or sight.heart.motion).undo(
        *sector_space(sight.planes, grid, floats(_beams(sight, grid)))
    )
    return np.stack([array(part) for part in moved], axis=-1)


def _beams(sight: Sight, grid: PolarGrid) -> Field:
    """Directions of the beams, float32 [frames, beams, 3]."""
    return beam_directions(sight.planes, grid).astype(np.float32)


def _a_frame(values: Floats | NDArray[np.bool_]) -> Field:
    """One value a frame, ready to broadcast: float32 [frames, 1, 1]."""
    return np.asarray(values, np.float32)[:, None, None]


def _from(points: Field, centre: Floats) -> Field:
    """Vectors to the points from `centre` (float64 [3])."""
    offset: Field = points - centre.astype(np.float32)
    return offset


def _squared(vectors: Field) -> Field:
    return np.asarray(np.einsum("fbsc,fbsc->fbs", vectors, vectors), np.float32)


def _inflow(points: Field, ring: Ring) -> Field:
    """Stream through an open valve, 1 in its middle; negative where it turns back along the walls."""
    offset = _from(points, ring.centre)
    height = offset[..., 2]
    squared = (_squared(offset) - height**2) / (1.1 * ring.radius) ** 2
    reach = np.where(height > 0, np.exp(-np.maximum(height, 0) / 60), np.exp(np.minimum(height, 0) / 22))
    return np.asarray((1 - squared) * np.exp(-0.45 * squared) * reach, np.float32)


def _towards_root(points: Field, heart: Heart) -> Field:
    """Direction and strength of the flow that leaves the left ventricle, 1 in the valve."""
    offset = _from(points, heart.aortic.centre)
    direction = heart.aortic.direction.astype(np.float32)
    before = np.where(offset @ direction < 0, 1, 0).astype(np.float32)
    distance = np.sqrt(_squared(offset)) + 3
    strength = before * np.exp(-distance / 30) * (points[..., 2] > 0) * 1.6 / distance
    flow: Field = -offset * strength[..., None]
    return flow


def _stream(points: Field, tube: Tube) -> Field:
    """Direction of the flow within a tube, zero outside; slower at its wall."""
    axis = (tube.end - tube.start).astype(np.float32)
    length = float(np.linalg.norm(axis))
    offset = _from(points, tube.start)
    along = offset @ (axis / length)
    share = along / length
    squared = _squared(offset) - along**2
    radius = tube.start_radius + (tube.end_radius - tube.start_radius) * np.clip(share, 0, 1)
    profile = np.clip(1.15 - squared / radius**2, 0, 0.8) * ((share > -0.1) & (share < 1.1))
    flow: Field = (profile / 0.8)[..., None] * (axis / length)
    return flow


def _jet(points: Field, ring: Ring, rng: np.random.Generator) -> tuple[Field, Field]:
    """Strength (0 to 1) and direction (float32 [3]) of a leak back through a valve."""
    direction = -AXIS + np.array([*rng.normal(0, 0.25, 2), 0.0])
    direction = (direction / np.linalg.norm(direction)).astype(np.float32)
    offset = _from(points, ring.centre)
    along = offset @ direction
    squared = _squared(offset) - along**2
    width, reach = 2.5 + 0.22 * np.maximum(along, 0), rng.uniform(18, 38)
    strength = np.exp(-0.5 * squared / width**2) * np.clip(1.3 - along / reach, 0, 1) * (along > -6)
    return np.asarray(np.where(strength > 0.15, strength, 0), np.float32), direction


def _eddies(
    points: Field, phases: Floats, wave_numbers: tuple[float, ...], rng: np.random.Generator
) -> Field:
    """Slow swirls of about unit size that change during the beat, [frames, beams, samples, 3]."""
    swirls = np.zeros_like(points)
    for wave_number in wave_numbers:
        direction, wave = rng.normal(0, 1, 3), rng.normal(0, wave_number, 3).astype(np.float32)
        phase = rng.uniform(0, 2 * math.pi) + rng.normal(0, 1) * np.sin(2 * math.pi * phases)
        swirls += np.sin(points @ wave + _a_frame(phase))[..., None] * direction.astype(np.float32)
    return np.asarray(swirls / 1.7, np.float32)
