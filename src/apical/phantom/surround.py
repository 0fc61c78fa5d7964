"""What stands around the sector and does not move: writing, marks, scales, bars."""

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.phantom.ecg import ECG_TOP
from apical.phantom.lettering import letters
from apical.phantom.logos import draw_battery, draw_logo, draw_marker
from apical.phantom.machine import Machine, gray_map
from apical.phantom.makers import TextBlock
from apical.phantom.screen import Pixels, Screen

Mask = NDArray[np.bool_]

HEADER = 0.056  # height of the band across the top
KEYS = (0.953, 0.993)  # rows of the keys at the bottom
LANE, NUMBERED_LANE = 0.03, 0.075  # width of a scale at the side of the screen


def draw_frame(machine: Machine, screen: Screen, inside: Mask, texts: tuple[str, ...]) -> Pixels:
    """Draw what does not move around the sector: RGB uint8 [rows, columns, 3].

    Nothing is drawn where `inside` (bool [rows, columns]) is set. Where each thing stands depends on the
    machine and the texts alone, but for the ticks of the scale, which tell the depth.
    """
    rows, columns = inside.shape
    canvas = np.full((rows, columns, 3), machine.background, np.uint8)
    room = _Room(inside)
    if machine.maker.header:
        band = canvas[: round(HEADER * rows)]
        band[:] = machine.maker.header
    _put_marker(canvas, machine, screen, room)
    _put_scale(canvas, machine, screen, room)
    _put_bar(canvas, machine, room)
    _put_clutter(canvas, machine, room)
    _put_texts(canvas, machine, texts, room)
    return np.asarray(cv2.copyTo(canvas, (~inside).view(np.uint8)), np.uint8)


class _Room:
    """What is free of a screen: neither the sector, a pixel's margin around it, nor anything drawn so far."""

    def __init__(self, inside: Mask) -> None:
        kernel = np.ones((5, 5) if len(inside) > 200 else (3, 3), np.uint8)
        self._taken = np.asarray(cv2.dilate(inside.view(np.uint8), kernel)).view(np.bool_)

    def take(self, x0: int, y0: int, x1: int, y1: int) -> bool:
        """Take the box between these pixels (the last ones included), if it is on the screen and free."""
        rows, columns = self._taken.shape
        if x0 < 0 or y0 < 0 or x1 >= columns or y1 >= rows:
            return False
        box = self._taken[y0 : y1 + 1, x0 : x1 + 1]
        if box.any():
            return False
        box[:] = True
        return True

    def grown(self, x0: int, y0: int, x1: int, y1: int) -> bool:
        """Take what surrounds a box that was taken, if it is on the screen and all free."""
        rows, columns = self._taken.shape
        if x0 < 0 or y0 < 0 or x1 >= columns or y1 >= rows:
            return False
        edges = (
            np.s_[y0, x0 : x1 + 1],
            np.s_[y1, x0 : x1 + 1],
            np.s_[y0 : y1 + 1, x0],
            np.s_[y0 : y1 + 1, x1],
        )
        free = not any(self._taken[edge].any() for edge in edges)
        if free:
            self._taken[y0 : y1 + 1, x0 : x1 + 1] = True
        return free

    def reserve(self, x0: int, y0: int, x1: int, y1: int) -> Mask:
        """Take what is free of a box on the screen; returns which of its pixels that is."""
        box = self._taken[y0 : y1 + 1, x0 : x1 + 1]
        free = ~box
        box[:] = True
        return free


def _put_marker(canvas: Pixels, machine: Machine, screen: Screen, room: _Room) -> None:
    if machine.marker == "none":
        return
    side, size = 1 if machine.marker_right else -1, max(3, round(0.014 * screen.rows))
    skin = screen.apex_y + screen.face_mm / screen.mm_per_pixel
    y = max(size + 1, round(skin + 0.012 * screen.rows))
    for away in (0.05, 0.06, 0.07, 0.08):
        x = round(screen.apex_x + side * away * screen.columns)
        if room.take(x - size, y - size, x + size, y + size):
            draw_marker(canvas, machine, (x, y), size)
            return


def _put_scale(canvas: Pixels, machine: Machine, screen: Screen, room: _Room) -> None:
    """Draw a tick for each centimetre of depth; a lane is kept free for them however deep the sector is."""
    if machine.depth_ticks == "none":
        return
    maker, rows, columns = machine.maker, screen.rows, screen.columns
    left, gray = machine.depth_ticks == "left", round(0.8 * machine.text_gray)
    centimetres = range(int((screen.depth_mm - screen.face_mm) // 10) + 1)
    if maker.scale == "along the edge":
        side = -1 if left else 1
        depths = screen.face_mm + 10.0 * np.array(centimetres[1:])
        points = screen.to_pixels(depths, np.full_like(depths, side * screen.half_angle))
        points[:, 0] += side * max(4, round(0.012 * columns))
        for (x, y), centimetre in zip(points.round().astype(int), centimetres[1:], strict=True):
            size = 1 if centimetre % 5 == 0 else 0
            if room.take(x, y - size, x + 1, y + size):
                canvas[y - size : y + size + 1, x : x + 2] = gray
        return
    lane = round((NUMBERED_LANE if maker.scale == "numbers" else LANE) * columns)
    first, last = (0, lane - 1) if left else (columns - lane, columns - 1)
    skin = screen.apex_y + screen.face_mm / screen.mm_per_pixel
    top = max(0, round(skin))
    bottom = min(rows - 1, round(screen.apex_y + screen.depth_mm / screen.mm_per_pixel))
    free = np.zeros(canvas.shape[:2], bool)
    free[top : bottom + 1, first : last + 1] = room.reserve(first, top, last, bottom)
    edge, inwards = (1, 1) if left else (columns - 2, -1)
    style = letters(machine, rows, 0.8)
    for centimetre in centimetres:
        y = min(bottom, round(skin + 10 * centimetre / screen.mm_per_pixel))
        if y < 0:  # above what an enlarged part shows
            continue
        long = centimetre % 5 == 0
        length = max(2, round((0.018 if long else 0.008) * columns)) if maker.scale != "dots" else 1 + long
        x0, x1 = sorted((edge, edge + inwards * length))
        if free[y, x0 : x1 + 1].all():
            canvas[y, x0 : x1 + 1] = gray
        if maker.scale == "numbers" and long and centimetre:
            width, height, _ = style.size(str(centimetre))
            x, foot = (x1 + 3 if left else x0 - 3 - width), y + height // 2
            if foot < rows and free[foot - height : foot + 1, x : x + width].all():
                style.write(canvas, str(centimetre), x, foot, machine.ink)
    if maker.depth_told:
        text = f"{(screen.depth_mm - screen.face_mm) / 10:.0f}cm"
        widest, height, _ = style.size("30cm")
        x, foot = (2 if left else columns - 2 - widest), bottom + 3 + height
        if foot < ECG_TOP * rows and room.take(x, foot - height, x + widest - 1, foot):
            style.write(canvas, text, x, foot, machine.ink)


def _put_bar(canvas: Pixels, machine: Machine, room: _Room) -> None:
    """Draw the gray map from its brightest level on, tinted as the sector is."""
    rows, columns = canvas.shape[:2]
    bar, place = machine.maker.bar, machine.gray_bar
    if place == "none":
        return
    width = max(3, round(bar.width * columns))
    if place == "top":
        x0, y0 = round(bar.start * columns), round(0.025 * rows)
        x1, y1 = x0 + round(bar.length * columns) - 1, y0 + width - 1
    else:
        x0 = round(0.02 * columns) if place == "left" else round(0.955 * columns) - width
        y0 = round(bar.start * rows)
        x1, y1 = x0 + width - 1, y0 + round(bar.length * rows) - 1
    if not room.take(x0 - 2, y0 - 2, x1 + 2, y1 + 2):
        return
    along = x1 - x0 + 1 if place == "top" else y1 - y0 + 1
    levels = gray_map(machine)[np.linspace(255, 0, along).round().astype(int)]
    colours = (levels[:, None] * np.array(machine.tint)).round().astype(np.uint8)
    canvas[y0 : y1 + 1, x0 : x1 + 1] = colours[None] if place == "top" else colours[:, None]
    if bar.framed:
        cv2.rectangle(canvas, (x0 - 1, y0 - 1), (x1 + 1, y1 + 1), (110, 110, 110), 1)


def _put_clutter(canvas: Pixels, machine: Machine, room: _Room) -> None:
    """Draw what tells nothing about the image: the maker's mark, keys, a battery."""
    rows, columns = canvas.shape[:2]
    maker, style = machine.maker, letters(machine, rows, 0.75)
    size = max(4, round(0.028 * rows))
    x, y = round(maker.logo_at[0] * columns), round(maker.logo_at[1] * rows)
    wide = size
    if maker.logo == "word":
        wide = letters(machine, rows, 0.85).size(maker.name.split()[0].upper())[0] // 2 + 3
    if room.take(x - wide - 1, y - size, x + wide + 1, y + size):
        draw_logo(canvas, machine, (x, y), size)
    if maker.battery:
        width = max(9, round(0.05 * columns))
        x, y = round(0.965 * columns) - width, round(0.03 * rows)
        if room.take(x, y, x + width + 1, y + width // 2):
            draw_battery(canvas, (x, y), width, 0.3 + 0.2 * (machine.number % 4))
    top, bottom = (round(share * rows) for share in KEYS)
    pitch = columns / max(1, len(maker.functions))
    for place, name in enumerate(maker.functions):
        x0, x1 = round((place + 0.04) * pitch), round((place + 0.96) * pitch)
        width, height, _ = style.size(name)
        if width < x1 - x0 and room.take(x0, top, x1, bottom):
            canvas[top : bottom + 1, x0 : x1 + 1] = 44
            foot = (top + bottom + height) // 2
            style.write(canvas, name, (x0 + x1 - width) // 2, foot, (150, 152, 158))


def _put_texts(canvas: Pixels, machine: Machine, texts: tuple[str, ...], room: _Room) -> None:
    """Write the lines of text block by block, each where it covers nothing else; others are left out."""
    remaining = list(texts)
    for block in machine.maker.blocks:
        for text in _put_block(canvas, machine, block, remaining, room):
            remaining.remove(text)


def _put_block(
    canvas: Pixels, machine: Machine, block: TextBlock, texts: list[str], room: _Room
) -> list[str]:
    """Write the first or the last of `texts` below each other; returns those that are written."""
    rows, columns = canvas.shape[:2]
    style, foot = letters(machine, rows), round(block.y * rows)
    written: list[str] = []
    x0, y0, x1, y1 = columns, rows, 0, 0
    for text in texts[-block.lines :] if block.last else texts[: block.lines]:
        width, height, below = style.size(text)
        x, low = round(block.x * columns) - (width if block.right else 0), foot + below - 1
        if low < ECG_TOP * rows and room.take(x - 1, foot - height, x + width, low):
            style.write(canvas, text, x, foot, machine.ink)
            written.append(text)
            x0, y0, x1, y1 = min(x0, x), min(y0, foot - height), max(x1, x + width), max(y1, low)
        foot += round(1.5 * machine.text_height * rows)
    if block.framed and written and room.grown(x0 - 3, y0 - 2, x1 + 3, y1 + 1):
        cv2.rectangle(canvas, (x0 - 3, y0 - 2), (x1 + 3, y1 + 1), (120, 120, 120), 1)
    return written
