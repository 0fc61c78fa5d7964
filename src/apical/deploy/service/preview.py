"""What a person is shown beside an answer: what it rests on, and some masked frames of the clip as a cine."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from apical.deploy.answering import Seen
    from apical.deploy.bundle import Bundle

MOST_FRAMES, FRAME_MS, QUALITY = 48, 100, 60
SHOWN = 5  # views


def evidence(bundle: Bundle, seen: Seen) -> dict[str, Any]:
    """The likeliest views of the clip, the likeliest view by each window of frames, and the thresholds."""
    names = bundle.vocabulary.names
    order = np.argsort(-seen.probabilities, kind="stable")[:SHOWN]
    frames = [
        {"number": int(start), "view": names[int(one.argmax())], "probability": float(one.max())}
        for start, one in zip(seen.starts, seen.by_frame, strict=True)
    ]
    return {
        "probabilities": {names[view]: float(seen.probabilities[view]) for view in order},
        "frames": frames,
        "unknown_threshold": float(bundle.unknown.threshold),
        "doubtful_below": bundle.doubtful_below,
    }


def cine(frames: NDArray[np.uint8]) -> bytes:
    """Frames (n, rows, columns) as an animated WebP without any metadata; a few, if there are very many."""
    chosen = frames[
        np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round().astype(int))
    ]
    first, *others = [Image.fromarray(frame) for frame in chosen]
    out = io.BytesIO()
    first.save(
        out, "WEBP", save_all=True, append_images=others, duration=FRAME_MS, loop=0, quality=QUALITY, method=0
    )
    return out.getvalue()


def plain(value: Any) -> Any:
    """A value as JSON can hold it: tuples as lists, and None for what is no finite number."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
