"""Small shapes on the screen: the marks of the makers, the marker of the probe's side, a battery."""

import cv2
import numpy as np

from apical.phantom.lettering import letters
from apical.phantom.machine import Machine
from apical.phantom.screen import Pixels

Point = tuple[int, int]  # x and y in pixels


def draw_logo(canvas: Pixels, machine: Machine, centre: Point, size: int) -> None:
    """Draw the maker's mark within `size` pixels around `centre`, in place; RGB uint8 [rows, columns, 3]."""
    x, y = centre
    match machine.maker.logo:
        case "arcs":
            for share, gray in ((1.0, 200), (0.66, 150), (0.33, 100)):
                axes = (round(size * share), round(size * 0.8 * share))
                cv2.ellipse(canvas, (x, y + size // 2), axes, 0, 180, 360, (gray,) * 3, 1, cv2.LINE_AA)
        case "diamond":
            _fill(canvas, centre, size, ((0, -1), (0.7, 0), (0, 1), (-0.7, 0)), (200, 40, 50))
            _fill(canvas, centre, size, ((0, -0.35), (0.25, 0), (0, 0.35), (-0.25, 0)), (250, 235, 235))
        case "word":
            style = letters(machine, len(canvas), 0.85)
            word = machine.maker.name.split()[0].upper()
            width, height, _ = style.size(word)
            ends = ((x - width // 2 - 3, y - height), (x + width // 2 + 3, y + height))
            cv2.rectangle(canvas, *ends, (95, 110, 130), 1)
            style.write(canvas, word, x - width // 2, y + height // 2, (165, 180, 200))
        case "globe":
            cv2.circle(canvas, centre, size, (90, 170, 190), 1, cv2.LINE_AA)
            cv2.ellipse(canvas, centre, (size // 2, size), 0, 0, 360, (90, 170, 190), 1, cv2.LINE_AA)
            cv2.line(canvas, (x - size, y), (x + size, y), (90, 170, 190), 1)
        case "star":
            _fill(canvas, centre, size, _STAR, (200, 205, 225))
        case "waves":
            along = np.linspace(-1, 1, 17)
            for row, colour in ((-0.45, (110, 190, 235)), (0.45, (80, 140, 215))):
                wave = np.stack([x + size * along, y + size * (row + 0.3 * np.sin(2 * np.pi * along))], -1)
                cv2.polylines(
                    canvas, [wave.round().astype(np.int32)], False, colour, max(1, size // 6), cv2.LINE_AA
                )


def draw_marker(canvas: Pixels, machine: Machine, centre: Point, size: int) -> None:
    """Draw what tells the probe's marked side within `size` pixels around `centre`, in place."""
    x, y = centre
    colour = machine.maker.marker_colour
    match machine.marker:
        case "dot":
            cv2.circle(canvas, centre, max(2, size // 2), colour, -1, cv2.LINE_AA)
        case "ring":
            cv2.circle(canvas, centre, size, colour, 1, cv2.LINE_AA)
            cv2.line(canvas, (x, y - size // 2), (x, y + size // 2), colour, 1)
        case "letter":
            style, letter = letters(machine, len(canvas), 1.25), machine.maker.name[0]
            width, height, _ = style.size(letter)
            style.write(canvas, letter, x - width // 2, y + height // 2, colour)
        case "triangle":
            _fill(canvas, centre, size, ((-0.9, -0.8), (0.9, -0.8), (0, 0.9)), colour)
        case "star":
            _fill(canvas, centre, size, _STAR, colour)
        case "wedge":
            _fill(canvas, centre, size, ((-0.3, -1), (0.3, -1), (0.3, 1), (-0.3, 1)), colour)


def draw_battery(canvas: Pixels, corner: Point, width: int, share: float) -> None:
    """Draw a battery that is full by `share`, right of and below `corner`, in place."""
    x, y = corner
    height, gray = max(4, width // 2), (150, 150, 150)
    cv2.rectangle(canvas, corner, (x + width, y + height), gray, 1)
    cv2.line(canvas, (x + width + 1, y + height // 3), (x + width + 1, y + height - height // 3), gray, 1)
    canvas[y + 2 : y + height - 1, x + 2 : x + 2 + round(share * (width - 3))] = (80, 190, 100)


_STAR = ((0, -1), (0.22, -0.22), (1, 0), (0.22, 0.22), (0, 1), (-0.22, 0.22), (-1, 0), (-0.22, -0.22))


def _fill(
    canvas: Pixels,
    centre: Point,
    size: int,
    corners: tuple[tuple[float, float], ...],
    colour: tuple[int, int, int],
) -> None:
    """Fill a polygon whose `corners` are given in `size` pixels from its centre."""
    points = (np.array(centre) + size * np.array(corners)).round().astype(np.int32)
    cv2.fillPoly(canvas, [points], colour, cv2.LINE_AA)
