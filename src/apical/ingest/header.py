"""What the header of a DICOM file tells of its clip."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from apical.errors import ClipProblem
from apical.ingest.damage import decoding
from apical.ingest.facts import Facts, Mode, Region, check_size, possible_frame_time
from apical.ingest.machines import known_maker, known_model
from apical.ingest.pseudonyms import tidy
from apical.views import contrast_agent_in

_STORAGE = "1.2.840.10008.5.1.4.1.1."
ULTRASOUND = frozenset(_STORAGE + end for end in ("3", "3.1", "6", "6.1", "6.2"))  # .3 and .6 are retired
VOLUME = _STORAGE + "6.2"
SECONDARY_CAPTURE = frozenset(_STORAGE + end for end in ("7", "7.1", "7.2", "7.3", "7.4"))
_DOCUMENTS = {
    "1.2.840.10008.1.3.10": "a list of files (DICOMDIR), not an image",
    _STORAGE + "104.1": "a document (PDF), not an image",
}

_CENTIMETRES = 3
_STAGES = (
    ("recovery", re.compile(r"recov|(?<!im)post(?!erior)", re.IGNORECASE)),
    ("peak", re.compile(r"peak|max|impost", re.IGNORECASE)),
    ("low", re.compile(r"\blow\b", re.IGNORECASE)),
    ("rest", re.compile(r"rest|base|\bpre\b", re.IGNORECASE)),
)
_TISSUE_DOPPLER = re.compile(r"\b(tdi|tvi|dti|tsi|tissue\s*(doppler|velocity))\b", re.IGNORECASE)
_NO_AGENT = re.compile(r"(no|none|non|not|nil|without|n/?a|false|0|-)\b|-$", re.IGNORECASE)
_REGION = (
    "RegionSpatialFormat", "RegionDataType",
    "RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1",
)  # fmt: skip
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "StageName", "ImageComments")


def read_facts(dataset: Dataset, clip: str, syntax: str) -> Facts:
    """The facts of a header that has pixels.

    Args:
        dataset: the header.
        clip: the clip's id.
        syntax: name of the transfer syntax.

    Raises:
        ClipProblem: of impossible size.
    """
    frames, rows, columns = int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns)
    check_size(frames, rows, columns)
    patient, study = text(dataset, "PatientID"), text(dataset, "StudyInstanceUID")
    regions = _regions(dataset)
    pixel_mm, aspect = _pixel_size(dataset, regions, rows, columns)
    maker, model = text(dataset, "Manufacturer") or "", text(dataset, "ManufacturerModelName") or ""
    return Facts(
        clip=clip,
        frames=frames,
        rows=rows,
        columns=columns,
        syntax=syntax,
        frame_time_ms=_frame_time(dataset),
        mode=declared_mode(dataset, regions),
        contrast_agent=_contrast_agent(dataset),
        stage=_stage(dataset),
        heart_rate=_within(_number(dataset, "HeartRate"), 20, 300),
        r_waves_ms=_r_waves(dataset),
        instance=_instance(dataset),
        pixel_mm=pixel_mm,
        pixel_aspect=aspect,
        manufacturer=known_maker(maker),
        model=known_model(model),
        regions=regions,
        patient_key=patient or study,
        study_key=study,
        machine_key=f"{maker}\0{model}" if maker or model else None,
    )


def check_is_ultrasound(dataset: Dataset) -> None:
    """Refuse what is no ultrasound image, by its SOP class and modality.

    A secondary capture counts unless it says it is of another modality: machines export screens so.

    Raises:
        ClipProblem
    """
    sop_class, modality = str(dataset.get("SOPClassUID") or ""), str(dataset.get("Modality") or "")
    if sop_class in _DOCUMENTS:
        raise ClipProblem(_DOCUMENTS[sop_class])
    if modality == "SR" or sop_class.startswith(_STORAGE + "88."):
        raise ClipProblem("a structured report, not an image")
    captured = sop_class in SECONDARY_CAPTURE and modality in ("", "OT", "US", "SC")
    if modality not in ("US", "IVUS") and sop_class not in ULTRASOUND and not captured:
        raise ClipProblem("not an ultrasound image")


def declared_mode(dataset: Dataset, regions: tuple[Region, ...]) -> Mode | None:
    """The mode from the region tags and, without any, from Image Type value 4 (PS3.3 C.8.5.6.1.1).

    Two-dimensional regions of about one size are a comparison. A region of tissue says nothing: many
    machines write it for colour Doppler too. Nor do words of tissue Doppler beside a grey picture: they may
    be those of the whole series.
    """
    if dataset.get("SOPClassUID") == VOLUME:
        return "3d"
    formats, types = {r.spatial_format for r in regions}, {r.data_type for r in regions}
    image_type = dataset.get("ImageType") or ()
    values = [image_type] if isinstance(image_type, str) else [str(value) for value in image_type]
    code = values[3] if len(values) > 3 else ""
    bits = int(code, 16) if re.fullmatch("[0-9a-fA-F]{4}", code) else 0
    if 3 in formats or types & {3, 4} or bits & 0x000C:
        return "spectral"
    if 2 in formats or bits & 0x0022:
        return "m-mode"
    if bits & 0x0040:
        return "3d"
    if _compares(regions):
        return "dual"
    coloured = bool(2 in types or bits & 0x0110)
    grey = str(dataset.get("PhotometricInterpretation")) in ("MONOCHROME1", "MONOCHROME2")
    if not grey and any(_TISSUE_DOPPLER.search(text(dataset, name) or "") for name in _DESCRIPTIONS):
        return "tissue-doppler"
    if coloured:
        return "colour"
    tissue = any(r.spatial_format == 1 and r.data_type == 1 for r in regions)
    if grey and (tissue or dataset.get("UltrasoundColorDataPresent") == 0):
        return "2d"
    return None


def _compares(regions: tuple[Region, ...]) -> bool:
    """Whether two image regions beside each other are of about one size."""
    images = [
        r for r in regions if r.spatial_format == 1 and r.data_type in (1, 2) and r.x1 > r.x0 and r.y1 > r.y0
    ]
    areas = sorted(((r.x1 - r.x0) * (r.y1 - r.y0) for r in images), reverse=True)
    if len(areas) < 2 or areas[1] < 0.6 * areas[0]:
        return False
    one, other = sorted(images, key=lambda r: (r.x0 - r.x1) * (r.y1 - r.y0))[:2]
    return (
        min(one.x1, other.x1) <= max(one.x0, other.x0) + 2
        or min(one.y1, other.y1) <= max(one.y0, other.y0) + 2
    )


def _contrast_agent(dataset: Dataset) -> bool | None:
    """Whether an agent was used, where tags tell."""
    agent = text(dataset, "ContrastBolusAgent")
    if agent:
        return _NO_AGENT.match(agent) is None and contrast_agent_in(agent) is not False
    if dataset.get("ContrastBolusAgentSequence"):
        return True
    told = (contrast_agent_in(text(dataset, name) or "") for name in _DESCRIPTIONS)
    return next((one for one in told if one is not None), None)


def _stage(dataset: Dataset) -> str | None:
    """The stage of a stress protocol (0008,2120), in our words: its own may be anything."""
    name = text(dataset, "StageName") or ""
    for stage, pattern in _STAGES:
        if pattern.search(name):
            return stage
    number, stages = (_number(dataset, keyword) or 0 for keyword in ("StageNumber", "NumberOfStages"))
    return f"stage {number:.0f}" if 1 <= number <= 20 and stages > 1 else None


def text(dataset: Dataset, name: str) -> str | None:
    """An element as tidy text, or None."""
    value = dataset.get(name)
    return tidy(str(value)) or None if value is not None else None


def _number(dataset: Dataset, name: str) -> float | None:
    numbers = _numbers(dataset, name)
    return numbers[0] if len(numbers) == 1 else None


def _numbers(dataset: Dataset, name: str) -> list[float]:
    """The values of an element; none of them where one is no number, for the picture does without."""
    with suppress(ClipProblem), decoding("no numbers"):
        value: Any = dataset.get(name)
        several = value if isinstance(value, MultiValue | list) else [] if value is None else [value]
        numbers = [float(one) for one in several]
        if np.isfinite(numbers).all():
            return numbers
    return []


def _within(value: float | None, least: float, most: float) -> float | None:
    return value if value is not None and least <= value <= most else None


def _instance(dataset: Dataset) -> int | None:
    number = _within(_number(dataset, "InstanceNumber"), 0, 2**31 - 1)
    return None if number is None else int(number)


def _r_waves(dataset: Dataset) -> tuple[float, ...]:
    """R Wave Time Vector (0018,6060): ms from the first frame, rising."""
    times = _numbers(dataset, "RWaveTimeVector")
    return tuple(times[:1000]) if all(one < other for one, other in pairwise(times)) else ()


def _frame_time(dataset: Dataset) -> float | None:
    """Milliseconds between frames from (0018,1063), (0018,1065), (0018,0040) or (0008,2144)."""
    time = _number(dataset, "FrameTime")
    vector = _numbers(dataset, "FrameTimeVector")[1:]  # the first is no time between frames
    if not time and vector:
        time = float(np.mean(vector))
    if not time:
        rate = _number(dataset, "CineRate") or _number(dataset, "RecommendedDisplayFrameRate")
        time = 1000 / rate if rate else None
    return possible_frame_time(time)


def _regions(dataset: Dataset) -> tuple[Region, ...]:
    found = []
    with suppress(ClipProblem), decoding("no regions"):
        for item in dataset.get("SequenceOfUltrasoundRegions") or ():
            values = [_number(item, name) for name in _REGION]
            form, kind, x0, y0, x1, y1 = (-1 if value is None else int(value) for value in values)
            if None not in values:
                found.append(Region(form, kind, x0, y0, x1, y1, _region_pixel(item)))
    return tuple(found)


def _region_pixel(item: Dataset) -> tuple[float, float] | None:
    """Width and height of a pixel in mm from Physical Delta X and Y (0018,602C and 602E), if in cm."""
    if any(item.get(f"PhysicalUnits{axis}Direction") != _CENTIMETRES for axis in "XY"):
        return None
    width, height = (_number(item, f"PhysicalDelta{axis}") for axis in "XY")
    return (abs(width) * 10, abs(height) * 10) if width and height else None


def _pixel_size(
    dataset: Dataset, regions: tuple[Region, ...], rows: int, columns: int
) -> tuple[tuple[float, float] | None, float]:
    """Width and height of a pixel in mm, and its height by its width.

    From the largest 2-D region that lies in the picture (pixels of others were rescaled after the tags were
    written), then Pixel Spacing (0028,0030), then only the Pixel Aspect Ratio (0028,0034).
    """
    inside = all(r.x0 >= 0 and r.x1 <= columns and r.y0 >= 0 and r.y1 <= rows for r in regions)
    images = [r for r in regions if r.spatial_format == 1 and r.data_type in (1, 2) and inside]
    largest = max(images, key=lambda r: (r.x1 - r.x0) * (r.y1 - r.y0), default=None)
    sizes = [largest.pixel_mm if largest else None, *(_pair(dataset, name) for name in _SPACINGS)]
    for size in sizes:
        if size and all(0.005 <= side <= 5 for side in size) and 0.2 <= size[1] / size[0] <= 5:
            return size, size[1] / size[0]
    ratio = _pair(dataset, "PixelAspectRatio")
    aspect = ratio[1] / ratio[0] if ratio and min(ratio) > 0 else 1.0
    return None, aspect if 0.2 <= aspect <= 5 else 1.0


_SPACINGS = ("PixelSpacing", "NominalScannedPixelSpacing")


def _pair(dataset: Dataset, name: str) -> tuple[float, float] | None:
    """(across, down) of an element that is written down \\ across."""
    sides = _numbers(dataset, name)
    return (sides[1], sides[0]) if len(sides) == 2 else None
