"""Screens by spectral Doppler: the velocities at one place, or along one beam, over time."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from apical.phantom.anatomy import Floats
from apical.phantom.clip import Sight
from apical.phantom.flow import ejection, filling
from apical.phantom.screen import Pixels, Region
from apical.phantom.shot import CW, PW, TWO_D, ModeClip, Pen, Shot, house
from apical.phantom.strip import (
    Strip,
    dotted_lines,
    draw_cursor,
    draw_scale,
    frames_of,
    screen_around,
    small_sector,
    strip_of,
    strip_regions,
)


@dataclass(frozen=True, slots=True)
class Flow:
    """What a gate or beam picks up: the peak speeds in m/s, towards the probe and away from it."""

    name: str
    continuous: bool  # CW: filled; PW: hollow
    filling: float = 0.0  # negative is away from the probe
    ejection: float = 0.0
    leak: float = 0.0  # from valve closure to valve opening
    wall: float = 0.0  # the myocardium itself: towards in systole, away in both waves of filling
    at: str = "mitral"  # the valve that the gate is at


FLOWS = (
    Flow("MV E/A", False, filling=0.85),
    Flow("LVOT", False, ejection=-0.95, at="aortic"),
    Flow("AV", True, ejection=-1.4, filling=0.25, at="aortic"),
    Flow("AS", True, ejection=-3.8, at="aortic"),
    Flow("TR", True, leak=-2.6, filling=0.55, at="tricuspid"),
    Flow("MR", True, leak=-4.6, filling=0.9),
    Flow("TVI", False, wall=0.085),
    Flow("HV", False, ejection=-0.45, filling=-0.25, leak=0.12, at="tricuspid"),
)

NOISE = 0.012  # of the brightest
DYNAMIC_RANGE_DB = 40.0


def spectral_clip(shot: Shot) -> ModeClip:
    """A strip of velocities over time, in some machines below a small sector with the gate."""
    rng, style = shot.rng, house(shot.machine)
    flow = FLOWS[rng.integers(len(FLOWS))]
    strip = strip_of(shot)
    sight = shot.look(frames=1, place=small_sector, detail=0.6)
    towards, away = _envelopes(flow, strip, rng)
    highest, deepest = float(towards.max()), float(away.max())
    span = (highest + deepest) * float(rng.uniform(1.25, 1.7))
    baseline = strip.height * float(
        np.clip((highest + 0.12 * span) / (highest + deepest + 0.3 * span), 0.14, 0.86)
    )
    per_row = span / strip.height
    image = _spectrum(flow, strip.beats % 1, towards, away, strip, baseline, per_row, rng)

    name = "CW" if flow.continuous else "PW"
    texts = (*shot.texts[:2], f"{name} {rng.integers(30, 70)}%", f"{rng.uniform(1.6, 3):.1f} MHz", flow.name)
    canvas = screen_around(shot, strip, sight, (*texts, *shot.texts[2:4]))
    step = _step(span / 4)
    values = [
        value for value in np.arange(-40, 41) * step if 2 < baseline - value / per_row < strip.height - 2
    ]
    rows = [baseline - value / per_row for value in values]
    in_centimetres = span < 0.6
    labels = [f"{100 * value:.0f}" if in_centimetres else f"{value:.1f}" for value in values]
    draw_scale(canvas, shot, strip, rows, labels, "cm/s" if in_centimetres else "m/s")
    lines = dotted_lines(strip, rows if style.dotted else [], 90)
    lines[round(baseline)] = 150
    if len(strip.seconds) == 1 and rng.random() < 0.5:
        _measure(lines, shot, strip, towards, away, baseline, per_row)
    if style.sector_above:
        angle, gate = _gate(sight, flow)
        draw_cursor(canvas, sight.screen, angle, None if flow.continuous else gate, style)
    seconds_a_column = strip.sweep_seconds / strip.width
    own = Region(
        3,
        4 if flow.continuous else 3,
        strip.x0,
        strip.y0,
        strip.x1,
        strip.y1,
        units=(4, 7),
        deltas=(seconds_a_column, -100 * per_row),  # towards the probe is up
        zero_row=round(baseline),
    )
    return ModeClip(
        frames_of(shot, strip, canvas, image, lines),
        (CW if flow.continuous else PW) | (TWO_D if style.sector_above else 0),
        strip_regions(shot, strip, sight, own),
        phase_first_frame=strip.first_phase,
        frame_time_ms=strip.frame_time_ms,
    )


def _envelopes(flow: Flow, strip: Strip, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The highest speed towards the probe and away from it at each time (m/s, not negative)."""
    beats = strip.beats
    strength = 1 + 0.06 * rng.normal(size=int(beats.max()) - math.floor(beats.min()) + 2)
    own = strength[np.floor(beats).astype(int) - math.floor(beats.min())] * float(rng.uniform(0.75, 1.25))
    phases = beats % 1
    closed = np.clip((phases - 0.02) / 0.42, 0, 1)
    early, atrial, tightening = (
        np.exp(-(((phases - moment) / width) ** 2))
        for moment, width in ((0.50, 0.045), (0.89, 0.035), (0.03, 0.012))
    )
    parts = [
        flow.filling * filling(phases, strip.rhythm.atria_contract),
        flow.ejection * ejection(phases),
        flow.leak * np.sqrt(np.maximum(0, 4 * closed * (1 - closed))),
        flow.wall * (ejection(phases) - 1.1 * early - 0.8 * atrial + 0.5 * tightening),
    ]
    towards = sum(np.maximum(part, 0) for part in parts) * own
    away = sum(np.maximum(-part, 0) for part in parts) * own
    return np.asarray(towards), np.asarray(away)


def _spectrum(
    flow: Flow,
    phases: Floats,
    towards: Floats,
    away: Floats,
    strip: Strip,
    baseline: float,
    per_row: float,
    rng: np.random.Generator,
) -> Pixels:
    """The gray level of each speed and time, uint8 [height, times]."""
    speeds = (baseline - np.arange(strip.height)[:, None]) * per_row
    span = per_row * strip.height
    power = np.zeros((strip.height, len(towards)))
    for sign, envelope in ((1, towards), (-1, away)):
        noise = cv2.GaussianBlur(rng.normal(size=(1, len(envelope))), (0, 0), 1.5)[0]
        ragged = envelope * (1 + 0.09 * noise)
        share = sign * speeds / np.maximum(ragged, 0.004 * span)
        beyond = (share - 1) * np.maximum(ragged, 0.05 * span) / (0.012 * span)
        if flow.wall:
            inner = 0.35 + np.exp(-(((share - 0.75) / 0.3) ** 2))
        elif flow.continuous:
            inner = 0.30 + 0.5 * share**2 + 0.35 * np.exp(-((share / 0.3) ** 2))
        else:
            inner = 0.05 + np.exp(-(((share - 0.86) / 0.13) ** 2))
        edge = (sign * speeds > 0) / (1 + np.exp(np.clip(beyond, -30, 30)))
        power += edge * inner * np.clip(ragged / (0.06 * span), 0, 1)
    walls = 0.10 + 0.5 * _clicks(phases, 0.03) + (0.35 if flow.continuous else 0.1) * rng.random(len(phases))
    power += walls * np.exp(-np.abs(speeds) / (0.018 * span))
    valves = 0.0 if flow.wall else 0.35
    power += valves * _clicks(phases, 0.006) * np.exp(-np.abs(speeds) / (0.10 * span))
    power *= 1 - np.exp(-((speeds / (0.008 * span)) ** 4))  # the wall filter
    grain = rng.normal(size=(2, *power.shape))
    for part in grain:
        cv2.GaussianBlur(part, (0, 0), sigmaX=0.6, sigmaY=0.6, dst=part)
    speckled = (power + NOISE) * np.hypot(*grain) * 1.2
    smooth = cv2.GaussianBlur(speckled, (0, 0), 0.9 if flow.continuous else 0.6)
    decibels = 20 * np.log10(np.maximum(smooth, 1e-6))
    return np.asarray(np.clip(255 * (1 + decibels / DYNAMIC_RANGE_DB), 0, 255), np.uint8)


def _clicks(phases: Floats, width: float) -> Floats:
    """Strength of the echoes of moving valves at `phases`, each `width` of a beat long."""
    clicks = np.zeros_like(phases)
    for moment in (0.03, 0.44):
        clicks += np.exp(-(((phases - moment) / width) ** 2))
    return clicks


def _gate(sight: Sight, flow: Flow) -> tuple[float, float]:
    """Angle (radians) and depth (mm) of the valve that is listened at, kept within the sector."""
    heart, plane = sight.heart, sight.planes.frame(0)
    valves = {
        "mitral": heart.mitral.centre,
        "tricuspid": heart.tricuspid.centre,
        "aortic": heart.aortic.centre,
    }
    offset = valves[flow.at] - plane.probe
    across, down = float(offset @ plane.lateral), float(offset @ plane.beam)
    limit, screen = 0.85 * sight.screen.half_angle, sight.screen
    angle = float(np.clip(math.atan2(across, max(down, 1.0)), -limit, limit))
    return angle, float(np.clip(math.hypot(across, down), 0.2 * screen.depth_mm, 0.9 * screen.depth_mm))


def _step(about: float) -> float:
    """The round number next to `about`."""
    return min((0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0), key=lambda step: abs(math.log(step / about)))


def _measure(
    lines: Pixels, shot: Shot, strip: Strip, towards: Floats, away: Floats, baseline: float, per_row: float
) -> None:
    """Mark the peak of a beat of a still with a cross and write its speed in the strip's corner."""
    width = strip.width
    shown = (towards if towards.max() > away.max() else -away)[width : 2 * width]
    column = width // 4 + int(np.argmax(np.abs(shown[width // 4 : 3 * width // 4])))
    row = round(baseline - float(shown[column]) / per_row)
    size = max(2, shot.rows // 80)
    colour = house(shot.machine).box_line
    cv2.line(lines, (column - size, row), (column + size, row), colour, 1)
    cv2.line(lines, (column, row - size), (column, row + size), colour, 1)
    pen = Pen(np.zeros((shot.rows, shot.columns, 3), np.uint8), shot.machine, 0.9, colour)
    high = baseline < strip.height / 2
    foot = strip.height - pen.height if high else 2 * pen.height
    pen.write(f"+ Vel {100 * abs(float(shown[column])):.0f} cm/s", 6, foot)
    text = pen.canvas[: strip.height, : strip.width]
    np.maximum(lines, text, out=lines)
