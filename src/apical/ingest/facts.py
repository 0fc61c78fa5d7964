"""What an opened file tells about its clip, before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field

from apical.errors import ClipProblem

LONGEST_SIDE = 8192
MOST_FRAMES = 20_000


@dataclass(frozen=True)
class Region:
    """One item of the Sequence of Ultrasound Regions (0018,6011), as written in the file.

    Attributes:
        spatial_format: (0018,6012): 1 two-dimensional, 2 M-mode, 3 spectral, 4 waveform, 5 graphics.
        data_type: (0018,6014): 1 tissue, 2 colour flow, 3 PW, 4 CW, 10 ECG, 13 grey bar, ...
        x0, y0, x1, y1: corners in pixels, both inclusive; real files hold nonsense here.
    """

    spatial_format: int
    data_type: int
    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True)
class Facts:
    """What a file says about its clip.

    Attributes:
        clip: stable id, see `apical.ingest.deidentify`.
        frames, rows, columns: of the stored pixels.
        frame_time_ms: time between frames, or None.
        mode: ``2d``, ``colour``, ``spectral``, ``m-mode``, ``other``, or None where the file does not tell.
        contrast_agent: True where the file names an agent, else None.
        manufacturer, model: of the machine.
        regions: the ultrasound regions, unchecked.
        patient_key, study_key: the original identifiers. They never leave ingest: pseudonymise them.
    """

    clip: str
    frames: int
    rows: int
    columns: int
    frame_time_ms: float | None = None
    mode: str | None = None
    contrast_agent: bool | None = None
    manufacturer: str | None = None
    model: str | None = None
    regions: tuple[Region, ...] = ()
    patient_key: str | None = field(default=None, repr=False)
    study_key: str | None = field(default=None, repr=False)


def check_size(frames: int, rows: int, columns: int) -> None:
    """Refuse sizes that no ultrasound machine writes, before memory is asked for.

    Raises:
        ClipProblem
    """
    if not (1 <= rows <= LONGEST_SIDE and 1 <= columns <= LONGEST_SIDE and 1 <= frames <= MOST_FRAMES):
        raise ClipProblem("impossible number of rows, columns or frames")
