"""What the benchmarks of ingest share: a phantom with its truth, and intervals over its patients."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apical.config import PhantomSettings
from apical.phantom.study import write_phantom

Row = dict[str, str]


def arguments(description: str) -> argparse.Namespace:
    """patients, image_rows, seed and workers from the command line."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--image-rows", type=int, default=600)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


@contextmanager
def phantom(settings: PhantomSettings) -> Iterator[tuple[Path, list[Row]]]:
    """A phantom's folder and the rows of its truth, until the end of the block."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        write_phantom(folder, settings)
        with (folder / "truth.csv").open() as file:
            yield folder, list(csv.DictReader(file))


def true_mask(row: Row, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool: where the phantom drew its image."""
    corners = [[float(value) for value in corner.split(",")] for corner in row["sector"].split(";")]
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(np.array(corners) * 16).astype(np.int32)], (1,), shift=4)
    return mask.astype(bool)


def interval(
    values: NDArray[Any], patients: list[str], statistic: Callable[[NDArray[Any]], float], draws: int = 1000
) -> str:
    """A figure with its 95 % interval over patients (cluster bootstrap), as text.

    Args:
        values: (n,) or (n, m), one row a clip.
        patients: (n,) of whom the clips are.
        statistic: the figure of some rows.
    """
    names = np.array(patients)
    rows = [np.flatnonzero(names == name) for name in np.unique(names)]
    generator = np.random.default_rng(0)
    drawn = [
        statistic(
            values[np.concatenate([rows[index] for index in generator.integers(len(rows), size=len(rows))])]
        )
        for _ in range(draws)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{statistic(values):.3f} ({low:.3f} to {high:.3f})"
