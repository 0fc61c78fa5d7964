"""The makers of ultrasound machines, all invented, and the style that each gives its screens.

What is fixed here is shared by all machines of a maker; of a choice or a range each machine has its own.
Rows and columns are fractions of the screen's height and width unless something else is said.
"""

from dataclasses import dataclass
from typing import Literal

Side = Literal["left", "right", "none"]
BarPlace = Literal["left", "right", "top", "none"]
GrayCurve = Literal["linear", "s", "log", "steep", "reject", "shoulder"]
Marker = Literal["dot", "ring", "letter", "triangle", "star", "wedge", "none"]
Scale = Literal["lines", "dots", "along the edge", "numbers"]
Typeface = Literal["sans", "bold", "fixed", "dots", "light", "heavy"]
Logo = Literal["arcs", "diamond", "word", "globe", "star", "waves"]
Cursor = Literal["gap", "dot", "line"]
Colour = tuple[int, int, int]  # red, green, blue
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Where lines of text begin: the foot of the first one, and how many there may be."""

    x: float
    y: float
    lines: int
    right: bool = False  # the lines end at x
    framed: bool = False
    last: bool = False  # the last lines of all


@dataclass(frozen=True, slots=True)
class Trace:
    """How the electrocardiogram is drawn."""

    colours: tuple[Colour, ...]
    top: float = 0.89
    bottom: float = 0.985
    baseline: float = 0.8  # of the height of the trace
    bold: bool = False
    cursor: Cursor = "gap"  # what leads the trace; the gap is there in any case
    beats: bool = False  # ticks below the R waves


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of gray levels; one at the top lies, others stand."""

    place: BarPlace
    start: float  # its first row, or column
    length: float
    width: float  # of the screen's width
    framed: bool = False


@dataclass(frozen=True, slots=True)
class Maker:
    """A maker and the style of its screens."""

    name: str
    model: str
    aspects: tuple[float, ...]  # width of the screen by its height
    half_angles: Range  # of the sector, degrees
    centres: Range
    tops: Range  # of the sector
    heights: Range
    near_mm: tuple[float, ...]  # radius of the probe face
    flat_face: bool
    dynamic_range_db: Range  # wider where the gray curve is steeper
    gray_curve: GrayCurve
    gray_exponents: Range
    tint: tuple[float, float, float]  # of white, at its strongest: red, green, blue
    backgrounds: tuple[int, ...]
    typeface: Typeface
    stretch: float  # of the letters' width
    text_heights: Range
    text_tint: tuple[float, float, float]
    lines: tuple[str, ...]  # see `apical.phantom.wording`; the first is the patient's name
    blocks: tuple[TextBlock, ...]
    marker: Marker
    marker_colour: Colour
    scale: Scale
    scale_side: Side
    depth_told: bool  # in centimetres, below the scale
    bar: Bar
    trace: Trace
    logo: Logo
    logo_at: tuple[float, float]  # its centre, x and y
    header: int = 0  # gray level of a band across the top, 0 for none
    functions: tuple[str, ...] = ()  # named in a row of keys at the bottom
    battery: bool = False


MAKERS = (
    Maker(  # plain white on black
        name="Borealis Medical",
        model="Aurora 7",
        aspects=(4 / 3, 4 / 3, 1.28),
        half_angles=(41, 45),
        centres=(0.49, 0.51),
        tops=(0.03, 0.06),
        heights=(0.80, 0.86),
        near_mm=(1.0, 3.0),
        flat_face=False,
        dynamic_range_db=(52, 64),
        gray_curve="linear",
        gray_exponents=(0.95, 1.1),
        tint=(1.0, 1.0, 1.0),
        backgrounds=(0, 0, 8),
        typeface="sans",
        stretch=1.0,
        text_heights=(0.030, 0.036),
        text_tint=(1.0, 1.0, 1.0),
        lines=(
            "PHANTOM, NR{index}",
            "{day:%d/%m/%Y}",
            "{model}",
            "MI {mi:.1f}",
            "TIS {tis:.1f}",
            "C {compression}",
            "{frame_rate} Hz",
            "{heart_rate} bpm",
        ),
        blocks=(
            TextBlock(0.02, 0.05, 2),
            TextBlock(0.955, 0.05, 3, right=True),
            TextBlock(0.06, 0.34, 2),
            TextBlock(0.955, 0.86, 1, right=True, last=True),
        ),
        marker="dot",
        marker_colour=(60, 200, 150),
        scale="lines",
        scale_side="right",
        depth_told=False,
        bar=Bar("left", 0.30, 0.32, 0.020),
        trace=Trace(((90, 220, 120), (70, 200, 90))),
        logo="arcs",
        logo_at=(0.05, 0.84),
    ),
    Maker(  # a warm picture, settings in a column, numbers told tersely
        name="Cardinal Acoustics",
        model="CX Echo",
        aspects=(4 / 3, 1.25),
        half_angles=(37, 42),
        centres=(0.50, 0.54),
        tops=(0.05, 0.08),
        heights=(0.78, 0.84),
        near_mm=(3.0, 6.0),
        flat_face=False,
        dynamic_range_db=(58, 70),
        gray_curve="s",
        gray_exponents=(0.9, 1.1),
        tint=(1.0, 0.93, 0.83),
        backgrounds=(0,),
        typeface="bold",
        stretch=0.78,
        text_heights=(0.026, 0.031),
        text_tint=(1.0, 0.97, 0.88),
        lines=(
            "PHANTOM, NR{index}",
            "{day:%Y/%m/%d}",
            "TIS{tis:.1f}  MI {mi:.1f}",
            "{model}",
            "FR {frame_rate}Hz",
            "2D",
            "{gain}%",
            "C {compression}",
            "P Low",
            "HRes",
            "{heart_rate} bpm",
        ),
        blocks=(
            TextBlock(0.09, 0.05, 2),
            TextBlock(0.96, 0.05, 2, right=True),
            TextBlock(0.02, 0.24, 6),
            TextBlock(0.96, 0.87, 1, right=True, last=True),
        ),
        marker="ring",
        marker_colour=(210, 200, 120),
        scale="dots",
        scale_side="right",
        depth_told=True,
        bar=Bar("right", 0.13, 0.26, 0.024, framed=True),
        trace=Trace(
            ((240, 220, 90), (90, 220, 120)), top=0.90, baseline=0.72, cursor="dot", beats=True
        ),
        logo="diamond",
        logo_at=(0.045, 0.045),
    ),
    Maker(  # a cool picture on a wide screen, off its middle; the scale follows the sector
        name="Halden Imaging",
        model="Sonora 300",
        aspects=(1.435, 1.465),
        half_angles=(34, 39),
        centres=(0.52, 0.56),
        tops=(0.03, 0.06),
        heights=(0.82, 0.87),
        near_mm=(1.0, 2.0),
        flat_face=False,
        dynamic_range_db=(50, 60),
        gray_curve="log",
        gray_exponents=(1.2, 1.45),
        tint=(0.86, 0.94, 1.0),
        backgrounds=(0, 8, 14),
        typeface="fixed",
        stretch=0.95,
        text_heights=(0.028, 0.033),
        text_tint=(0.84, 0.95, 1.0),
        lines=(
            "Phantom Nr{index}",
            "PH-{index:04d}",
            "{day:%d.%m.%Y}",
            "MI: {mi:.1f}",
            "TIs: {tis:.1f}",
            "{model}",
            "FR: {frame_rate}",
            "G: {gain}",
            "DR: {compression}",
            "HR: {heart_rate}",
        ),
        blocks=(
            TextBlock(0.02, 0.045, 3),
            TextBlock(0.90, 0.045, 2, right=True),
            TextBlock(0.02, 0.28, 4),
            TextBlock(0.02, 0.84, 1, last=True),
        ),
        marker="letter",
        marker_colour=(190, 215, 235),
        scale="along the edge",
        scale_side="right",
        depth_told=False,
        bar=Bar("right", 0.06, 0.22, 0.036),
        trace=Trace(((230, 230, 230), (120, 220, 230)), baseline=0.88, bold=True, cursor="line"),
        logo="word",
        logo_at=(0.91, 0.855),
    ),
    Maker(  # an old terminal: capitals with serifs, a numbered scale, a lying bar
        name="Meridian Ultrasound",
        model="MU-9",
        aspects=(1.0, 1.1, 4 / 3),
        half_angles=(35, 41),
        centres=(0.47, 0.50),
        tops=(0.09, 0.12),
        heights=(0.72, 0.78),
        near_mm=(2.0, 6.0),
        flat_face=False,
        dynamic_range_db=(54, 66),
        gray_curve="steep",
        gray_exponents=(1.2, 1.4),
        tint=(0.90, 1.0, 0.91),
        backgrounds=(0, 0, 16),
        typeface="dots",
        stretch=0.9,
        text_heights=(0.026, 0.030),
        text_tint=(0.88, 1.0, 0.88),
        lines=(
            "PHANTOM, NR {index}",
            "{day:%Y-%m-%d}",
            "MI={mi:.1f}",
            "TIS={tis:.1f}",
            "{model}",
            "{frame_rate}FPS",
            "DR {compression}DB",
            "G {gain}DB",
            "HR={heart_rate}",
        ),
        blocks=(
            TextBlock(0.03, 0.05, 2),
            TextBlock(0.03, 0.19, 2, framed=True),
            TextBlock(0.03, 0.745, 4),
            TextBlock(0.91, 0.865, 1, right=True, last=True),
        ),
        marker="triangle",
        marker_colour=(120, 230, 120),
        scale="numbers",
        scale_side="right",
        depth_told=False,
        bar=Bar("top", 0.74, 0.22, 0.022, framed=True),
        trace=Trace(((120, 235, 120),), baseline=0.66, beats=True),
        logo="globe",
        logo_at=(0.87, 0.115),
    ),
    Maker(  # a recent wide one: gray ground, a band for the patient, keys at the bottom
        name="Northlight",
        model="Vista Pro",
        aspects=(1.5, 1.5, 1.42),
        half_angles=(38, 44),
        centres=(0.48, 0.52),
        tops=(0.085, 0.10),
        heights=(0.80, 0.83),
        near_mm=(3.0, 4.0),
        flat_face=False,
        dynamic_range_db=(56, 68),
        gray_curve="reject",
        gray_exponents=(0.8, 0.95),
        tint=(1.0, 0.97, 0.92),
        backgrounds=(14, 20, 26),
        typeface="light",
        stretch=1.0,
        text_heights=(0.027, 0.031),
        text_tint=(0.95, 0.97, 1.0),
        lines=(
            "Phantom Nr{index}  ID: PH-{index:04d}",
            "{day:%d-%m-%Y}",
            "MI {mi:.1f}",
            "TIs {tis:.1f}",
            "{model}",
            "Gain {gain}",
            "DR {compression}",
            "{frame_rate} fps",
            "{heart_rate} BPM",
        ),
        blocks=(
            TextBlock(0.02, 0.042, 1),
            TextBlock(0.98, 0.042, 1, right=True),
            TextBlock(0.98, 0.13, 3, right=True),
            TextBlock(0.07, 0.13, 3),
            TextBlock(0.98, 0.86, 1, right=True, last=True),
        ),
        marker="star",
        marker_colour=(225, 225, 190),
        scale="lines",
        scale_side="none",
        depth_told=False,
        bar=Bar("left", 0.11, 0.20, 0.016, framed=True),
        trace=Trace(((80, 210, 225), (240, 220, 90)), bottom=0.945, baseline=0.8, cursor="line"),
        logo="star",
        logo_at=(0.05, 0.845),
        header=52,
        functions=("Freeze", "Depth", "Gain", "Focus", "Cine", "Store"),
    ),
    Maker(  # a small portable: a flat probe face, bold letters, a battery
        name="Tidewater Systems",
        model="T-One",
        aspects=(1.25, 4 / 3, 1.2),
        half_angles=(33, 37),
        centres=(0.46, 0.50),
        tops=(0.04, 0.07),
        heights=(0.79, 0.84),
        near_mm=(6.0, 8.0),
        flat_face=True,
        dynamic_range_db=(54, 66),
        gray_curve="shoulder",
        gray_exponents=(1.1, 1.25),
        tint=(1.0, 0.96, 0.88),
        backgrounds=(0, 10),
        typeface="heavy",
        stretch=1.0,
        text_heights=(0.028, 0.033),
        text_tint=(1.0, 0.92, 0.78),
        lines=(
            "Phantom, Nr{index}",
            "{day:%d/%m/%y}",
            "G:{gain}%",
            "D:{compression}dB",
            "{frame_rate}f/s",
            "MI({mi:.1f})",
            "TIS({tis:.1f})",
            "{model}",
            "HR({heart_rate})",
        ),
        blocks=(
            TextBlock(0.06, 0.055, 2),
            TextBlock(0.98, 0.16, 3, right=True),
            TextBlock(0.98, 0.72, 3, right=True),
            TextBlock(0.06, 0.86, 1, last=True),
        ),
        marker="wedge",
        marker_colour=(235, 190, 80),
        scale="lines",
        scale_side="left",
        depth_told=True,
        bar=Bar("none", 0.0, 0.0, 0.0),
        trace=Trace(((240, 240, 240), (240, 150, 80)), top=0.91, baseline=0.75, cursor="dot"),
        logo="waves",
        logo_at=(0.93, 0.86),
        battery=True,
    ),
)  # fmt: skip
