"""How velocities become colours, and the bar on the screen that tells."""

import numpy as np

from apical.phantom.screen import Pixels, Region
from apical.phantom.shot import Box, Pen, Shot, house

# Colours from fast away from the probe, through rest, to fast towards it.
MAPS = {
    "warm": ("5aebff", "006eff", "000096", "0a000a", "960000", "ff4600", "fff05a"),
    "plain": ("96beff", "3246ff", "0a0a78", "000000", "780505", "ff2d28", "ffaa96"),
    "tissue": ("3cffdc", "146eff", "1414aa", "46143c", "aa1414", "ff5a0a", "fffa3c"),
    "power": ("3c0c00", "6e1e00", "aa3700", "d75a05", "fa8c14", "ffbe3c", "fff096"),
}
MAPS["variance"] = MAPS["warm"]

BAR_HEIGHT = 0.2  # of the screen


def colour_map(name: str) -> Pixels:
    """The 256 colours of a map, RGB uint8 [256, 3], from fast away to fast towards the probe."""
    stops = np.array([list(bytes.fromhex(stop)) for stop in MAPS[name]], float)
    place = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(place, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


class ColourBar:
    """A bar of the colours of a map in a corner of the screen, with the speeds (`scale`, m/s) at its ends."""

    def __init__(self, shot: Shot, name: str, scale: float) -> None:
        self.name, self.scale = name, scale
        self._shot, self._left = shot, house(shot.machine).bar_left
        pen = Pen(np.zeros((shot.rows, shot.columns, 3), np.uint8), shot.machine, size=0.85)
        speed = f"{100 * scale:.0f}" if scale > 0.2 else f"{100 * scale:.1f}"
        ends = ("", "", "") if name == "power" else (f"+{speed}", f"-{speed}", "cm/s")
        width, top = max(5, shot.columns // 40), round(0.05 * shot.rows) + pen.height
        first = round(0.025 * shot.columns) if self._left else round(0.97 * shot.columns) - width
        last = top + round(BAR_HEIGHT * shot.rows) - 1
        self._bar: Box = (first, top, first + width - 1, last)
        self._lines = list(
            zip(ends, (top - 3, last + 4 + pen.height, last + 7 + 2 * pen.height), strict=True)
        )
        text = max(pen.width(end) for end in ends)
        x0 = first if self._left else min(first, first + width - text)
        x1 = max(first + width, first + text) - 1 if self._left else first + width - 1
        self.room: Box = (x0 - 2, top - 5 - pen.height, x1 + 2, last + 9 + 2 * pen.height)

    @property
    def region(self) -> Region:
        """The bar as a region."""
        return Region(5, 14, *self._bar)

    def draw(self, canvas: Pixels) -> None:
        """Draw the bar and its speeds, in place; RGB uint8 [rows, columns, 3]."""
        x0, y0, x1, y1 = self._bar
        levels = np.linspace(255, 0, y1 - y0 + 1).round().astype(int)
        canvas[y0 : y1 + 1, x0 : x1 + 1] = colour_map(self.name)[levels][:, None]
        if self.name == "variance":
            right = canvas[y0 : y1 + 1, (x0 + x1) // 2 : x1 + 1, 1]
            np.maximum(right, 170, out=right)
        pen = Pen(canvas, self._shot.machine, size=0.85)
        for text, foot in self._lines:
            pen.write(text, x0 if self._left else x1, foot, right=not self._left)
