"""Letters as a machine writes them.

OpenCV 5 draws all its fonts in one typeface, so most makers' letters come from elsewhere: from the fonts that
Matplotlib brings along, and from a matrix of dots as of an old terminal.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from apical.phantom.dot_matrix import dots
from apical.phantom.machine import Machine
from apical.phantom.makers import Colour, Typeface

_OF_OPENCV = {"light": cv2.FONT_HERSHEY_SIMPLEX, "heavy": cv2.FONT_HERSHEY_DUPLEX}
_OPENCV_CAPITAL = 22.0  # pixels of a capital's height at scale 1
_FILES = {"sans": "DejaVuSans", "bold": "DejaVuSans-Bold", "fixed": "DejaVuSansMono"}
_FILE_CAPITAL = 0.729  # of the font's size

Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters of a maker at one size."""

    typeface: Typeface
    stretch: float  # of the width
    capital: float  # height of a capital in pixels

    def size(self, text: str) -> tuple[int, int, int]:
        """Width of a line, its height above its foot and below, in pixels."""
        mask, ascent = self._drawn(text)
        return mask.shape[1], round(self.capital), len(mask) - ascent

    def write(self, canvas: NDArray[np.uint8], text: str, x: int, foot: int, colour: Colour) -> None:
        """Write a line from column `x` on, in place; RGB uint8 [rows, columns, 3]. What is off it is cut."""
        mask, ascent = self._drawn(text)
        top, left = foot - ascent, x
        mask = mask[max(0, -top) : max(0, len(canvas) - top), max(0, -left) : max(0, canvas.shape[1] - left)]
        top, left = max(0, top), max(0, left)
        area = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
        share = mask[..., None] / np.float32(255)
        area[:] = (area + share * (np.array(colour, np.float32) - area)).round()

    def _drawn(self, text: str) -> tuple[Mask, int]:
        return _drawn(text, self.typeface, self.stretch, self.capital)


def letters(machine: Machine, rows: int, size: float = 1.0) -> Letters:
    """The letters of `machine` on a screen of `rows` pixels height, at `size` of its text height."""
    maker = machine.maker
    return Letters(maker.typeface, maker.stretch, size * machine.text_height * rows)


@lru_cache(4096)
def _drawn(text: str, typeface: Typeface, stretch: float, capital: float) -> tuple[Mask, int]:
    """A line of text, uint8 [height, width], and which of its rows is the first below its foot."""
    ascent, below = round(1.1 * capital) + 1, max(1, round(0.3 * capital))
    if not text:
        return np.zeros((ascent + below, 0), np.uint8), ascent
    if typeface == "dots":
        matrix = 255 * dots(text.upper())
        size = (
            max(1, round(matrix.shape[1] * capital / 7 * stretch)),
            max(1, round(len(matrix) * capital / 7)),
        )
        how = cv2.INTER_AREA if capital < 7 else cv2.INTER_LINEAR
        mask = np.asarray(cv2.resize(matrix, size, interpolation=how), np.uint8)
        above = round(capital)
        line = np.zeros((ascent + below, mask.shape[1]), np.uint8)
        line[ascent - above : ascent] = mask[:above]
        rest = mask[above:][:below]
        line[ascent : ascent + len(rest)] = rest
        return line, ascent
    if typeface in _OF_OPENCV:
        font, scale = _OF_OPENCV[typeface], capital / _OPENCV_CAPITAL
        thickness = max(1, round(0.08 * capital))
        width = cv2.getTextSize(text, font, scale, thickness)[0][0]
        line = np.zeros((ascent + below, max(1, width)), np.uint8)
        cv2.putText(line, text, (0, ascent - 1), font, scale, 255, thickness, cv2.LINE_AA)
    else:
        face = _font(_FILES[typeface], max(4, round(capital / _FILE_CAPITAL)))
        image = Image.new("L", (max(1, round(face.getlength(text))), ascent + below))
        ImageDraw.Draw(image).text((0, ascent), text, 255, face, anchor="ls")
        line = np.array(image)
    if stretch != 1:
        size = (max(1, round(line.shape[1] * stretch)), len(line))
        line = np.asarray(cv2.resize(line, size, interpolation=cv2.INTER_AREA), np.uint8)
    return line, ascent


@lru_cache(64)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    spec = find_spec("matplotlib")
    assert spec is not None  # Apical needs it
    assert spec.origin is not None
    path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
