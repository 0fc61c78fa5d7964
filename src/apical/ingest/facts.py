"""What an opened file tells about its clip, before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from apical.errors import ClipProblem

Mode = Literal["2d", "colour", "tissue-doppler", "spectral", "m-mode", "dual", "3d", "report", "other"]
WITH_SECTOR: frozenset[str] = frozenset({"2d", "colour", "tissue-doppler"})

LONGEST_SIDE = 8192
MOST_PIXELS = 1 << 24  # of a frame
MOST_FRAMES = 20_000


@dataclass(frozen=True)
class Region:
    """One item of the Sequence of Ultrasound Regions (0018,6011), as written in the file.

    Attributes:
        spatial_format: (0018,6012): 1 two-dimensional, 2 M-mode, 3 spectral, 4 waveform, 5 graphics.
        data_type: (0018,6014): 1 tissue, 2 colour flow, 3 PW, 4 CW, 10 ECG, 13 grey bar, ...
        x0, y0, x1, y1: corners in pixels, both inclusive; real files hold nonsense here.
        pixel_mm: width and height of a pixel in mm, where the file gives them in cm; unchecked.
    """

    spatial_format: int
    data_type: int
    x0: int
    y0: int
    x1: int
    y1: int
    pixel_mm: tuple[float, float] | None = None


@dataclass(frozen=True)
class Facts:
    """What a file says about its clip.

    Attributes:
        clip: stable id, see `apical.ingest.pseudonyms`.
        frames, rows, columns: of the stored pixels.
        syntax: how the pixels are stored, such as ``JPEG Baseline (Process 1)`` or ``PNG``.
        frame_time_ms: time between frames, or None.
        mode: see `Mode`, or None where the file does not tell.
        contrast_agent: True where the file names an agent, else None.
        stage: of a stress protocol: ``rest``, ``low``, ``peak``, ``recovery`` or ``stage N``; or None.
        heart_rate: beats a minute, or None.
        r_waves_ms: times of the R waves from the first frame.
        instance: number of the clip in its series, or None.
        pixel_mm: width and height of a pixel in mm, or None.
        pixel_aspect: height of a pixel by its width.
        manufacturer, model: of the machine; only names that are known, see `apical.ingest.machines`.
        regions: the ultrasound regions, unchecked.
        patient_key, study_key, machine_key: original texts. They never leave ingest: pseudonymise them.
    """

    clip: str
    frames: int
    rows: int
    columns: int
    syntax: str = ""
    frame_time_ms: float | None = None
    mode: Mode | None = None
    contrast_agent: bool | None = None
    stage: str | None = None
    heart_rate: float | None = None
    r_waves_ms: tuple[float, ...] = ()
    instance: int | None = None
    pixel_mm: tuple[float, float] | None = None
    pixel_aspect: float = 1.0
    manufacturer: str | None = None
    model: str | None = None
    regions: tuple[Region, ...] = ()
    patient_key: str | None = field(default=None, repr=False)
    study_key: str | None = field(default=None, repr=False)
    machine_key: str | None = field(default=None, repr=False)


def check_size(frames: int, rows: int, columns: int) -> None:
    """Refuse sizes that no ultrasound machine writes, before memory is asked for.

    Raises:
        ClipProblem
    """
    sides = 1 <= rows <= LONGEST_SIDE and 1 <= columns <= LONGEST_SIDE and rows * columns <= MOST_PIXELS
    if not (sides and 1 <= frames <= MOST_FRAMES):
        raise ClipProblem("impossible number of rows, columns or frames")


def possible_frame_time(milliseconds: float | None) -> float | None:
    """The time between two frames, or None if it cannot be one."""
    return milliseconds if milliseconds is not None and 0.1 <= milliseconds <= 10_000 else None
