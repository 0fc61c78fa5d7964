"""Frame stores made by hand, so that tests of later rooms need no files to decode."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray


def write_store(folder: Path, clips: Sequence[str], frames: NDArray[np.uint8]) -> Path:
    """A frame store whose row i is a frame of ``clips[i]``; frames of a clip stand together."""
    folder.mkdir()
    np.save(folder / "frames.npy", frames)
    index = pl.DataFrame({"row": range(len(frames)), "clip": list(clips)})
    number = pl.int_range(pl.len()).over("clip").cast(pl.Int32)
    index = index.with_columns(frame=number, time_ms=pl.lit(None, pl.Float64))
    index.write_parquet(folder / "index.parquet")
    most = int(index["frame"].max()) + 1
    record = {"settings": {"size": frames.shape[1], "frames_per_clip": most}, "problems": {}}
    (folder / "store.json").write_text(json.dumps(record))
    return folder


def picture(clip: str) -> NDArray[np.uint8]:
    """A sector of speckle whose brightness follows from the clip's id."""
    random = np.random.default_rng(int(clip[:8], 16))
    y, x = np.mgrid[0:128, 0:128]
    sector = (np.abs(np.arctan2(x - 64, y + 1)) < 0.7) & (np.hypot(x - 64, y) < 125)
    blobs = random.uniform((40, 30, 5), (90, 110, 20), (4, 3))
    bumps = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * r**2)) for cx, cy, r in blobs)
    return np.clip(sector * random.rayleigh(60, (128, 128)) * (0.3 + bumps), 0, 255).astype(np.uint8)
