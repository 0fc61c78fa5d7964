"""What ultrasound machines of different makers look like, and how they are set up.

A machine is drawn from its number alone, so that the same twenty-four machines serve every phantom.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apical.phantom.conditions import Probe
from apical.phantom.makers import MAKERS, BarPlace, Colour, GrayCurve, Maker, Marker, Side

MACHINES = 24
SHOWS = 0.8  # chance that a machine shows its bar, and its scale

Encoding = Literal[
    "jpeg", "jpeg-444", "jpeg-420", "rgb", "rgb-planes", "gray", "rle", "rle-gray", "jpeg-ls", "jpeg-ls-gray",
    "jpeg-2000",
]  # fmt: skip
RegionTags = Literal["right", "absent", "too-wide", "full-screen-first"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine and the look of its screen; fractions are of the screen's height or width."""

    number: int
    maker: Maker
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
    gray_curve: GrayCurve
    gray_exponent: float
    sharpening: float  # 0 = none
    tint: tuple[float, float, float]  # red, green, blue of white
    background: int  # gray level around the sector
    marker: Marker
    marker_right: bool
    ecg: bool
    ecg_colour: Colour
    gray_bar: BarPlace
    depth_ticks: Side
    text_height: float  # of the screen's height
    text_gray: int

    @property
    def manufacturer(self) -> str:
        """Name of the maker."""
        return self.maker.name

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.maker.model

    @property
    def ink(self) -> Colour:
        """Colour of its letters."""
        red, green, blue = (round(self.text_gray * share) for share in self.maker.text_tint)
        return red, green, blue


def machine(number: int) -> Machine:
    """Build machine `number` (0 to MACHINES - 1); the same number always gives the same machine.

    Machines of one maker follow each other, so that each maker has some with and without correct tags.
    """
    rng = np.random.default_rng([0xEC40, number])
    maker = MAKERS[number * len(MAKERS) // MACHINES]
    frequency = rng.uniform(1.7, 3.5)
    aspect = float(rng.choice(maker.aspects))
    half_angle = float(np.radians(rng.uniform(*maker.half_angles)))
    centre = float(rng.uniform(*maker.centres))
    widest = (min(centre, 1 - centre) - 0.035) * aspect / np.sin(half_angle)  # the sector stays on the screen
    tinted = float(rng.choice([0.0, 0.5, 1.0, 1.0]))  # whoever examines may choose a plain one
    return Machine(
        number=number,
        maker=maker,
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
        near_mm=float(rng.choice(maker.near_mm)),
        sector_centre=centre,
        sector_top=rng.uniform(*maker.tops),
        sector_height=float(min(rng.uniform(*maker.heights), widest)),
        dynamic_range_db=rng.uniform(*maker.dynamic_range_db),
        gain_db=rng.normal(0, 1.2),
        gray_curve=maker.gray_curve,
        gray_exponent=rng.uniform(*maker.gray_exponents),
        sharpening=float(rng.choice([0.0, 0.0, 0.2])),  # little: most gray curves are steep as well
        tint=_mixed(maker.tint, tinted),
        background=int(rng.choice(maker.backgrounds)),
        marker=maker.marker,
        marker_right=bool(rng.random() < 0.7),
        ecg=bool(rng.random() < 0.75),
        ecg_colour=maker.trace.colours[rng.integers(len(maker.trace.colours))],
        gray_bar=maker.bar.place if rng.random() < SHOWS else "none",
        depth_ticks=maker.scale_side if rng.random() < SHOWS else "none",
        text_height=rng.uniform(*maker.text_heights),
        text_gray=int(rng.integers(150, 235)),
    )


def gray_map(machine: Machine) -> NDArray[np.uint8]:
    """The gray level that a machine shows for each level of its echoes: uint8 [256], never falling."""
    level = np.linspace(0, 1, 256) ** machine.gray_exponent
    match machine.gray_curve:
        case "s":
            level = 0.15 * level + 0.85 * level**2 * (3 - 2 * level)
        case "log":
            level = np.log1p(6 * level) / np.log1p(6)
        case "steep":
            level = np.minimum(1, 1.15 * level)
        case "reject":
            level = np.maximum(0, level - 0.08) / 0.92
        case "shoulder":
            level = 1 - (1 - level) ** 1.6
    return (255 * level).round().astype(np.uint8)


def _mixed(tint: tuple[float, float, float], share: float) -> tuple[float, float, float]:
    red, green, blue = (1 - share * (1 - one) for one in tint)
    return red, green, blue


def _encoding(number: int) -> Encoding:
    """Fifteen of the machines write JPEG Baseline, mostly with halved colours, the others without loss.

    They are spread so that neither the maker (whether machines of one follow each other or alternate) nor the
    region tags tell the encoding.
    """
    others: dict[int, Encoding] = {
        1: "rle", 3: "gray", 4: "jpeg-420", 6: "rgb", 8: "jpeg-444", 10: "rle-gray", 11: "jpeg-420",
        13: "jpeg-ls-gray", 15: "jpeg-ls", 17: "rgb", 18: "jpeg-2000", 19: "jpeg-420", 20: "rgb-planes",
        22: "jpeg-444",
    }  # fmt: skip
    return others.get(number, "jpeg")


def _region_tags(number: int) -> RegionTags:
    """Half of the machines write a correct region, a third none, a sixth one with a common error."""
    if number % 6 < 3:
        return "right"
    if number % 6 < 5:
        return "absent"
    return "too-wide" if number % 12 == 5 else "full-screen-first"
