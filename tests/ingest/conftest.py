"""Fixtures of the ingest tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from clip_files import PATIENT_ID, screen, write_dicom
from numpy.typing import NDArray


@pytest.fixture(autouse=True)
def _quiet_pydicom() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def frames() -> NDArray[np.uint8]:
    """One dressed cine, (10, 240, 320) uint8; do not write to it."""
    made = screen()
    made.flags.writeable = False
    return made


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty store behind ``memory://``."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


@pytest.fixture
def study(tmp_path: Path, frames: NDArray[np.uint8]) -> Callable[[int], Path]:
    """Make a folder of `count` small DICOM cines of two patients."""

    def make(count: int) -> Path:
        folder = tmp_path / "study"
        for number in range(count):
            write_dicom(
                folder / f"DOE_{number:02}.dcm",
                np.roll(frames, number, axis=0)[:4],
                SOPInstanceUID=f"1.2.3.{number}",
                PatientID=f"{PATIENT_ID}-{number % 2}",
                StudyInstanceUID=f"1.2.3.47110815.{number % 2}",
            )
        return folder

    return make
