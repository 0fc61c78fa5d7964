"""Report pages: tables of measurements, now and then with a bull's eye or small pictures."""

import math
from dataclasses import replace

import cv2
import numpy as np

from apical.phantom.clip import compose
from apical.phantom.screen import Pixels
from apical.phantom.shot import ModeClip, Pen, Shot, house

Colour = tuple[int, int, int]

# Background, text, headings and lines of each paper.
_PAPERS: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    "dark": ((0, 0, 0), (215, 215, 215), (240, 210, 110), (80, 80, 80)),
    "light": ((245, 245, 242), (25, 25, 30), (20, 50, 120), (170, 170, 175)),
    "blue": ((12, 24, 84), (235, 235, 240), (250, 230, 120), (90, 110, 180)),
}
# Section, then name, unit, typical value and digits of each measurement.
_SECTIONS: tuple[tuple[str, tuple[tuple[str, str, float, int], ...]], ...] = (
    ("2D", (("IVSd", "cm", 0.95, 2), ("LVIDd", "cm", 4.7, 2), ("LVPWd", "cm", 0.93, 2),
            ("LVIDs", "cm", 3.1, 2), ("EF(Teich)", "%", 60, 0), ("LA Diam", "cm", 3.6, 1),
            ("Ao Diam", "cm", 3.1, 1))),
    ("LV Volume", (("EDV MOD A4C", "ml", 105, 0), ("ESV MOD A4C", "ml", 42, 0), ("EDV MOD A2C", "ml", 98, 0),
                   ("ESV MOD A2C", "ml", 39, 0), ("EF Biplane", "%", 60, 0), ("SV", "ml", 62, 0))),
    ("M-Mode", (("TAPSE", "cm", 2.2, 1), ("MAPSE", "cm", 1.4, 1), ("EPSS", "cm", 0.6, 1),
                ("%FS", "%", 34, 0))),
    ("Doppler", (("MV E Vel", "m/s", 0.78, 2), ("MV A Vel", "m/s", 0.62, 2), ("MV E/A", "", 1.26, 2),
                 ("MV DecT", "ms", 190, 0), ("AV Vmax", "m/s", 1.3, 2), ("AV maxPG", "mmHg", 6.8, 1),
                 ("LVOT VTI", "cm", 20.5, 1), ("TR Vmax", "m/s", 2.3, 2), ("RVSP", "mmHg", 26, 0))),
    ("TDI", (("E' Lat", "cm/s", 11.2, 1), ("E' Sept", "cm/s", 8.6, 1), ("E/E'", "", 7.9, 1),
             ("S' RV", "cm/s", 12, 1))),
    ("Strain", (("GLS A4C", "%", -19.1, 1), ("GLS A2C", "%", -18.7, 1), ("GLS Avg", "%", -18.9, 1))),
)  # fmt: skip
_TITLES = ("ADULT ECHO REPORT", "Measurements", "WORKSHEET", "Cardiac Report", "Summary Page 1/2")
_RINGS = (6, 6, 4, 1)  # segments of the bull's eye, from the base to the apex


def report_clip(shot: Shot) -> ModeClip:
    """One page of text and numbers."""
    rng = shot.rng
    paper, ink, heading, rule = _PAPERS[house(shot.machine).paper]
    canvas = np.full((shot.rows, shot.columns, 3), paper, np.uint8)
    size = float(rng.uniform(0.62, 0.85))
    top = _header(canvas, shot, size, ink, heading, rule)
    right = round(0.98 * shot.columns)
    extra = rng.choice(["none", "none", "eye", "pictures"])
    if extra == "eye":
        right = round(0.62 * shot.columns)
        _bulls_eye(canvas, shot, (right, top), size, ink, rule)
    elif extra == "pictures":
        right = round(0.70 * shot.columns)
        _pictures(canvas, shot, (right, top))
    wide = 0.46 * shot.columns
    columns = max(1, round((right - 0.02 * shot.columns) / wide))
    _tables(canvas, shot, top, right, columns, size)
    foot = Pen(canvas, shot.machine, size, rule)
    foot.write(f"{shot.machine.manufacturer} {shot.machine.model}", 0.02 * shot.columns, 0.985 * shot.rows)
    return ModeClip(canvas[None], 0)


def _header(canvas: Pixels, shot: Shot, size: float, ink: Colour, heading: Colour, rule: Colour) -> int:
    """Title and who was examined; returns the first free row."""
    rng, columns = shot.rng, shot.columns
    title = Pen(canvas, shot.machine, 1.25 * size, heading)
    line = Pen(canvas, shot.machine, size, ink)
    y = 0.02 * shot.rows + title.height
    title.write(_TITLES[rng.integers(len(_TITLES))], 0.02 * columns, y)
    lines = [
        f"Name: {shot.texts[0]}" if shot.texts else "Name:",
        *shot.texts[1:2],
        f"BSA {rng.uniform(1.5, 2.2):.2f} m2",
    ]
    lines += [f"HR {shot.heart_rate:.0f} bpm", f"BP {rng.integers(100, 160)}/{rng.integers(60, 95)}"]
    y += 2.0 * line.height
    for place, text in enumerate(lines[:4]):
        line.write(text, (0.02 if place % 2 == 0 else 0.55) * columns, y + place // 2 * 1.9 * line.height)
    bottom = round(y + (1.9 + 1.2) * line.height)
    cv2.line(canvas, (round(0.02 * columns), bottom), (round(0.98 * columns), bottom), rule, 1)
    return bottom + line.height


def _tables(canvas: Pixels, shot: Shot, top: int, right: int, columns: int, size: float) -> None:
    """Fill the page with sections of measurements, column by column."""
    rng = shot.rng
    _, ink, heading, rule = _PAPERS[house(shot.machine).paper]
    pen, bold = Pen(canvas, shot.machine, size, ink), Pen(canvas, shot.machine, size, heading)
    spacing = round(pen.height * float(rng.uniform(1.75, 2.3)))
    margin = 0.02 * shot.columns
    width = (right - margin) / columns
    ruled, repeats = rng.random() < 0.4, int(rng.integers(1, 4))  # single values beside the mean
    sections = [_SECTIONS[i] for i in rng.permutation(len(_SECTIONS))]
    column, y = 0, top + pen.height
    last = 0.975 * shot.rows - 2 * pen.height  # above the foot
    for title, measurements in sections:
        if y + 2 * spacing > last:
            column, y = column + 1, top + pen.height
        if column == columns:
            return
        x = margin + column * width
        bold.write(title, x, y)
        cv2.line(canvas, (round(x), y + 3), (round(x + 0.94 * width), y + 3), rule, 1)
        y += spacing
        for name, unit, typical, digits in measurements:
            if y > last:
                break
            pen.write(name, x + 0.03 * width, y)
            value = typical * float(rng.uniform(0.8, 1.25))
            pen.write(unit, x + 0.96 * width, y, right=True)
            first = x + 0.80 * width
            for _ in range(repeats):
                text = f"{value * float(rng.normal(1, 0.03)):.{digits}f}"
                if first - pen.width(text) < x + 0.05 * width + pen.width(name):
                    break
                pen.write(text, first, y, right=True)
                first -= 1.4 * pen.width("00.00")
            if ruled:
                cv2.line(canvas, (round(x), y + 3), (round(x + 0.94 * width), y + 3), rule, 1)
            y += spacing
        y += spacing // 2


def _bulls_eye(
    canvas: Pixels, shot: Shot, corner: tuple[int, int], size: float, ink: Colour, rule: Colour
) -> None:
    """The seventeen segments of the left ventricle, coloured by strain, right of and below `corner`."""
    rng = shot.rng
    radius = round(min(0.5 * (0.97 * shot.columns - corner[0]), 0.40 * (0.95 * shot.rows - corner[1])))
    centre = (round(0.975 * shot.columns) - radius, corner[1] + radius + 4)
    pen = Pen(canvas, shot.machine, 0.8 * size, (20, 20, 20))
    black, numbers = (30, 30, 30), []
    for ring, segments in enumerate(_RINGS):
        outer, inner = radius * (4 - ring) / 4, radius * (3 - ring) / 4
        for segment in range(segments):
            strain = float(np.clip(rng.normal(-18, 4), -26, -4))
            share = (strain + 26) / 22  # 0 good, 1 bad
            colour = (round(225 - 10 * share), round(40 + 150 * share), round(50 + 140 * share))
            start = 360 / segments * segment - 90 - 180 / segments
            cv2.ellipse(canvas, centre, (round(outer),) * 2, 0, start, start + 360 / segments, colour, -1)
            angle = math.radians(start + 180 / segments)
            away = (outer + inner) / 2 if segments > 1 else 0
            text = f"{strain:.0f}"
            x = centre[0] + away * math.cos(angle) - pen.width(text) / 2
            numbers.append((text, x, centre[1] + away * math.sin(angle) + pen.height / 2))
        cv2.circle(canvas, centre, round(outer), black, 1, cv2.LINE_AA)
    for ring, segments in enumerate(_RINGS[:3]):
        for segment in range(segments):
            angle = math.radians(360 / segments * segment - 90 - 180 / segments)
            ends = [
                (round(centre[0] + far * math.cos(angle)), round(centre[1] + far * math.sin(angle)))
                for far in (radius * (4 - ring) / 4, radius * (3 - ring) / 4)
            ]
            cv2.line(canvas, ends[0], ends[1], black, 1, cv2.LINE_AA)
    for number in numbers:
        pen.write(*number)
    label = Pen(canvas, shot.machine, size, ink)
    foot = centre[1] + radius + 2 * label.height
    label.write("Peak Systolic Strain", centre[0] - label.width("Peak Systolic Strain") / 2, foot)
    cv2.circle(canvas, centre, radius, rule, 1, cv2.LINE_AA)


def _pictures(canvas: Pixels, shot: Shot, corner: tuple[int, int]) -> None:
    """Two or three small sectors below each other, right of `corner`."""
    left, y = corner[0] + round(0.01 * shot.columns), corner[1]
    width = round(0.97 * shot.columns) - left
    for _ in range(int(shot.rng.integers(2, 4))):
        sight = replace(shot, rows=max(96, round(0.4 * shot.rows))).look(frames=1)
        x0, y0, x1, y1 = sight.screen.region()
        blank = np.zeros((*sight.gray.shape[1:], 3), np.uint8)
        sector = compose(sight.gray, blank, shot.machine)[0, y0 : y1 + 1, x0 : x1 + 1]
        scale = min(width / sector.shape[1], 0.26 * shot.rows / sector.shape[0])
        small = cv2.resize(sector, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if y + len(small) > 0.95 * shot.rows:
            return
        canvas[y : y + len(small), left : left + small.shape[1]] = small
        y += len(small) + 4
