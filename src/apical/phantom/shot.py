"""What a mode beside plain 2-D is asked for, what it gives, and how a machine dresses such screens."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apical.phantom.anatomy import Patient
from apical.phantom.clip import Place, Sight, look
from apical.phantom.lettering import Letters, letters
from apical.phantom.machine import Machine
from apical.phantom.screen import Pixels, Region, Screen, lay_out
from apical.phantom.surround import draw_frame

# Bits of Image Type value 4, PS3.3 C.8.5.6.1.1.
TWO_D, M_MODE, CW, PW, COLOUR, COLOUR_M_MODE, VOLUME, POWER = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x100
IN_COLOUR = COLOUR | COLOUR_M_MODE | POWER

Box = tuple[int, int, int, int]  # first column, first row, last column, last row
StripTint = Literal["machine", "sepia", "blue"]
Paper = Literal["dark", "light", "blue"]
VolumeTint = Literal["bronze", "copper", "ice"]


@dataclass(frozen=True, slots=True)
class Shot:
    """What is asked of the machine; the fields are those of `apical.phantom.clip.acquire`."""

    patient: Patient
    view: str
    machine: Machine
    texts: tuple[str, ...]
    heart_rate: float  # beats per minute
    frames: int
    rows: int
    difficulty: float
    rng: np.random.Generator

    @property
    def columns(self) -> int:
        """Width of the screen in pixels."""
        return lay_out(self.machine, self.rows, 100.0).columns

    def look(self, *, frames: int | None = None, place: Place = lay_out, detail: float = 1.0) -> Sight:
        """Hold the probe on the patient, see `apical.phantom.clip.look`."""
        return look(
            self.patient,
            self.view,
            self.machine,
            heart_rate=self.heart_rate,
            frames=self.frames if frames is None else frames,
            rows=self.rows,
            difficulty=self.difficulty,
            rng=self.rng,
            place=place,
            detail=detail,
        )


@dataclass(frozen=True, slots=True)
class OtherProbe:
    """What a header tells of another transducer than the heart's, and of what it looks at (PS3.3 C.8.5.6)."""

    transducer_type: Literal["LINEAR", "CURVED LINEAR"]
    frequency_mhz: float
    body_part: str  # Body Part Examined
    subject: str  # Image Type value 3


@dataclass(frozen=True, slots=True)
class ModeClip:
    """Frames as the machine stores them, and what is true about them.

    What a screen does not show is None: a report has neither a plane nor a phase. `screen` is given where one
    sector fills the screen, and `sight` if a heart is seen in it.
    """

    frames: Pixels  # RGB uint8 [frames, rows, columns, 3]
    image_type_bits: int
    regions: tuple[Region, ...] = ()  # as a correct machine writes them
    screen: Screen | None = None
    sight: Sight | None = None
    phase_first_frame: float | None = None
    frame_time_ms: float = 40.0
    probe: OtherProbe | None = None


@dataclass(frozen=True, slots=True)
class House:
    """The style of a machine's screens in the other modes."""

    flow_map: str  # names of colour maps, see `apical.phantom.colour_map`
    tissue_map: str
    bar_left: bool
    box_line: tuple[int, int, int]
    strip_tint: StripTint
    sector_above: bool  # a small sector above the strips
    sector_right: bool
    dotted: bool  # lines across the strips
    scale_left: bool
    paper: Paper
    volume_tint: VolumeTint
    cube: bool  # beside volumes


def house(machine: Machine) -> House:
    """Give the style of `machine`; the same machine always has the same."""
    rng = np.random.default_rng([0xD0, machine.number])
    flow_map = ("warm", "warm", "plain", "variance")[rng.integers(4)]
    return House(
        flow_map=flow_map,
        tissue_map=("tissue", "warm", "plain")[rng.integers(3)],
        bar_left=machine.gray_bar == "left" or bool(rng.random() < 0.3),
        box_line=((230, 230, 230), (90, 230, 110), (240, 220, 80))[rng.integers(3)],
        strip_tint=("machine", "machine", "sepia", "blue")[rng.integers(4)],
        sector_above=bool(rng.random() < 0.7),
        sector_right=bool(rng.random() < 0.3),
        dotted=bool(rng.random() < 0.5),
        scale_left=bool(rng.random() < 0.3),
        paper=("dark", "dark", "light", "blue")[rng.integers(4)],
        volume_tint=("bronze", "copper", "ice")[rng.integers(3)],
        cube=bool(rng.random() < 0.5),
    )


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes on a canvas in the machine's letters."""

    canvas: Pixels
    machine: Machine
    size: float = 1.0  # of the machine's text height
    colour: tuple[int, int, int] | None = None

    def width(self, text: str) -> int:
        """Width of a line in pixels."""
        return self._letters.size(text)[0]

    @property
    def height(self) -> int:
        """Height of a capital in pixels."""
        return self._letters.size("0")[1]

    @property
    def _letters(self) -> Letters:
        return letters(self.machine, len(self.canvas), self.size)

    def write(self, text: str, x: float, y: float, *, right: bool = False) -> None:
        """Write a line whose foot begins (or ends, if `right`) at a pixel."""
        first = round(x) - (self.width(text) if right else 0)
        self._letters.write(self.canvas, text, first, round(y), self.colour or self.machine.ink)


def surround(
    shot: Shot, screen: Screen, inside: NDArray[np.bool_], reserved: tuple[Box, ...], texts: tuple[str, ...]
) -> Pixels:
    """Draw what stands around the sector, as `draw_frame`, and keep it off the `reserved` boxes."""
    taken = inside.copy()
    for x0, y0, x1, y1 in reserved:
        taken[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1] = True
    canvas = draw_frame(shot.machine, screen, taken, texts)
    canvas[taken & ~inside] = shot.machine.background
    return canvas
