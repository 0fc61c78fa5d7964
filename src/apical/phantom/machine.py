"""What ultrasound machines of different makers look like, and how they are set up.

The makers are invented. A machine is drawn from its number alone, so that the same twenty-four machines serve
every phantom.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from apical.phantom.acoustics import Probe

MACHINES = 24
_MAKERS = (
    ("Borealis Medical", "Aurora 7"),
    ("Cardinal Acoustics", "CX Echo"),
    ("Halden Imaging", "Sonora 300"),
    ("Meridian Ultrasound", "MU-9"),
    ("Northlight", "Vista Pro"),
    ("Tidewater Systems", "T-One"),
)

Side = Literal["left", "right", "none"]
TextBlock = Literal["top-left", "top-right", "left", "right", "bottom-left"]
Encoding = Literal["jpeg", "gray", "rgb"]
RegionTags = Literal["right", "absent", "too-wide", "full-screen-first"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine and the house style of its screen; fractions are of the screen's height or width."""

    number: int
    manufacturer: str
    model: str
    encoding: Encoding
    region_tags: RegionTags
    probe: Probe
    aspect: float  # width of the screen by its height
    half_angle: float  # of the sector, radians
    near_mm: float  # radius of the probe face
    sector_centre: float  # of the width
    sector_top: float  # of the height
    sector_height: float  # of the height
    dynamic_range_db: float
    gain_db: float
    gray_exponent: float
    sharpening: float  # 0 = none
    tint: tuple[float, float, float]  # red, green, blue of white
    background: int  # gray level around the sector
    marker: Literal["dot", "letter", "none"]
    marker_right: bool
    ecg: bool
    ecg_colour: tuple[int, int, int]
    gray_bar: Side
    depth_ticks: Side
    text_height: float  # of the screen's height
    text_blocks: tuple[TextBlock, ...]
    text_gray: int


def machine(number: int) -> Machine:
    """Build machine `number` (0 to MACHINES - 1); the same number always gives the same machine."""
    rng = np.random.default_rng([0xEC40, number])
    manufacturer, model = _MAKERS[number % len(_MAKERS)]
    frequency = rng.uniform(1.7, 3.5)
    warm = rng.uniform(-0.10, 0.12) if rng.random() < 0.5 else 0.0
    half_angle = float(np.radians(rng.uniform(33, 45)))
    aspect = float(rng.choice([1.0, 4 / 3, 4 / 3, 1.5]))
    widest = 0.93 * aspect / (2 * np.sin(half_angle))  # the sector stays on the screen
    sector_top = rng.uniform(0.02, 0.09)
    blocks: list[TextBlock] = ["top-left", "top-right", "left", "right", "bottom-left"]
    first_block = blocks.pop(rng.integers(2))  # at the top there is always room beside the sector
    sides: list[Side] = ["left", "right", "none"]
    rng.shuffle(blocks)
    return Machine(
        number=number,
        manufacturer=manufacturer,
        model=model,
        encoding=_encoding(number),
        region_tags=_region_tags(number),
        probe=Probe(
            frequency_mhz=frequency,
            axial_mm=rng.uniform(0.45, 0.75) * 2.5 / frequency,
            lateral_degrees=rng.uniform(0.38, 0.75),
            focus_mm=rng.uniform(60, 95),
            specular=rng.uniform(0.6, 1.3),
        ),
        aspect=aspect,
        half_angle=half_angle,
        near_mm=float(rng.choice([1.0, 3.0, 6.0])),
        sector_centre=float(rng.uniform(0.48, 0.52)),
        sector_top=sector_top,
        sector_height=float(min(rng.uniform(0.78, 0.86), widest)),
        dynamic_range_db=rng.uniform(46, 66),
        gain_db=rng.normal(0, 1.5),
        gray_exponent=rng.uniform(0.85, 1.4),
        sharpening=float(rng.choice([0.0, 0.0, 0.5])),
        tint=(1.0 + min(0.0, warm), 1.0 - abs(warm) / 3, 1.0 - max(0.0, warm)),
        background=int(rng.choice([0, 0, 0, 8, 16])),
        marker=("dot", "letter", "none")[rng.integers(3)],
        marker_right=bool(rng.random() < 0.7),
        ecg=bool(rng.random() < 0.7),
        ecg_colour=((90, 220, 120), (230, 230, 230), (240, 220, 90))[rng.integers(3)],
        gray_bar=sides[rng.integers(3)],
        depth_ticks=sides[rng.integers(3)],
        text_height=rng.uniform(0.030, 0.042),
        text_blocks=(first_block, *blocks[: rng.integers(1, 4)]),
        text_gray=int(rng.integers(120, 235)),
    )


def _encoding(number: int) -> Encoding:
    """Three quarters of the machines write JPEG, the others uncompressed gray or RGB."""
    if number % 8 == 3:
        return "gray"
    return "rgb" if number % 8 == 6 else "jpeg"


def _region_tags(number: int) -> RegionTags:
    """Half of the machines write a correct region, a third none, a sixth one with a common error."""
    if number % 6 < 3:
        return "right"
    if number % 6 < 5:
        return "absent"
    return "too-wide" if number % 12 == 5 else "full-screen-first"
