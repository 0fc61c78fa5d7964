"""What must hold of the results of ingest, however a file was damaged."""

from __future__ import annotations

import math
import re
from typing import get_args

import numpy as np

from apical.ingest.clip import Clip
from apical.ingest.dicom import DicomClip
from apical.ingest.facts import Mode, check_size
from apical.ingest.prepare import Prepared
from apical.ingest.sector import Sector
from apical.ingest.triage import Triage

SIDE = 32  # of a prepared frame


def check(holds: bool, what: str) -> None:
    """Raise AssertionError unless it holds."""
    if not holds:
        raise AssertionError(what)


def check_facts(clip: Clip) -> None:
    """Facts are within bounds, whatever the file says."""
    facts = clip.facts
    check_size(facts.frames, facts.rows, facts.columns)
    check(re.fullmatch("[0-9a-f]{16}", facts.clip) is not None, "clip id")
    bounds = (("frame_time_ms", 0.1, 10_000), ("heart_rate", 20, 300), ("instance", 0, 2**31 - 1))
    for name, least, most in bounds:
        value = getattr(facts, name)
        check(value is None or least <= value <= most, name)
    check(facts.pixel_mm is None or all(0.005 <= side <= 5 for side in facts.pixel_mm), "pixel_mm")
    check(0.2 <= facts.pixel_aspect <= 5, "pixel_aspect")
    check(facts.mode is None or facts.mode in get_args(Mode), "mode")
    check(all(math.isfinite(time) for time in facts.r_waves_ms), "r_waves_ms")


def check_seen(seen: Triage, size: tuple[int, int]) -> None:
    """A mode that there is, and a sector within the picture that survives as text."""
    check(seen.mode in get_args(Mode), "mode")
    if seen.sector is not None:
        x0, y0, x1, y1 = seen.sector.box
        check(0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0], "box")
        check(seen.sector.mask.shape == size and bool(seen.sector.mask.any()), "mask")
        again = Sector.from_json(seen.sector.to_json())
        same = again.box == seen.sector.box and np.array_equal(again.mask, seen.sector.mask)
        check(same, "sector in JSON")


def check_prepared(prepared: Prepared, frames: int) -> None:
    """At most three frames of the clip, in order."""
    numbers = np.asarray(prepared.numbers)
    check(prepared.frames.shape == (len(numbers), SIDE, SIDE) and 1 <= len(numbers) <= 3, "frames")
    check(bool((numbers >= 0).all() and (numbers < frames).all()), "numbers")
    check(bool((np.diff(numbers) > 0).all()), "order of the numbers")
    check(all(phase is None or 0 <= phase <= 1 for phase in prepared.phases), "phases")
    check(prepared.pixel_mm is None or 0 < prepared.pixel_mm < 1e5, "pixel_mm")


def check_frame(frames: np.ndarray, shape: tuple[int, ...]) -> None:
    """One picture of this shape."""
    check(frames.shape == (1, *shape) and frames.dtype == np.uint8, "shape")


def check_samples(clip: DicomClip, size: tuple[int, int]) -> None:
    """As many frames as the facts say."""
    shapes = [sample.shape[:2] for sample in clip.samples()]
    check(len(shapes) == clip.facts.frames and set(shapes) <= {size}, "samples")
