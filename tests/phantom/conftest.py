"""One small phantom, written once and read by many tests."""

from pathlib import Path

import pytest
import torch

from apical.config import PhantomSettings
from apical.phantom.study import write_phantom


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The arrays are small: threads would only wait for each other, most of all beside other tests."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small() -> PhantomSettings:
    """Settings of a phantom that is written in seconds."""
    return PhantomSettings(patients=3, seed=5, frames=3, image_rows=144)


@pytest.fixture(scope="session")
def phantom(small: PhantomSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a phantom of `small` settings."""
    out = tmp_path_factory.mktemp("phantom") / "exams"
    write_phantom(out, small)
    return out
