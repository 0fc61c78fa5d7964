"""A small frame store whose views can be told apart: each is a bright bar at its own angle."""

import multiprocessing

import numpy as np
import polars as pl
import pytest

from apical.catalogue import write_catalogue
from apical.config import AugmentSettings, PretrainSettings, ResNetSettings, TrainSettings
from apical.learn.pretrain import pretrain
from fake_stores import write_store

SIZE = 32
VIEWS = ("PLAX", "A4C", "A2C")
NETWORK = ResNetSettings(width=8, stem_stride=2)
GENTLE = AugmentSettings(rotation_degrees=3, smallest_crop=0.9, shadow=0, depth=0, dropout=0)


def bar(angle, generator):
    """A noisy bright bar through the middle of a square frame, uint8."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    distance = np.abs(x * np.sin(angle) - y * np.cos(angle) + generator.normal(0, 1))
    frame = 60 + 150 * (distance < 4) + generator.normal(0, 15, (SIZE, SIZE))
    return np.clip(frame, 1, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def no_process_stays():
    """Whatever becomes of a test, the processes it began have ended: others would hold up the end of ours."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


@pytest.fixture(scope="session")
def exams(tmp_path_factory):
    """Folder with ``frames`` and ``catalogue.parquet``: 20 patients, 3 views, 3 frames a clip.

    Patients 0 to 11 train, 12 to 15 validate, 16 to 19 test.
    """
    folder = tmp_path_factory.mktemp("exams")
    generator = np.random.default_rng(0)
    rows, frames = [], []
    for patient in range(20):
        split = "train" if patient < 12 else "validation" if patient < 16 else "test"
        for number, view in enumerate(VIEWS):
            rows.append((f"clip{patient}-{view}", "/nowhere", f"p{patient}", f"s{patient}", view, split))
            angle = number * np.pi / len(VIEWS)
            frames += [bar(angle + generator.normal(0, 0.1), generator) for _ in range(3)]
    columns = ["clip", "path", "patient", "study", "view", "split"]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    write_catalogue(table, folder / "catalogue.parquet")
    write_store(folder / "frames", np.repeat(table["clip"].to_list(), 3).tolist(), np.stack(frames))
    return folder


@pytest.fixture
def few_steps():
    """Pre-training settings for seconds, not hours."""
    return PretrainSettings(
        encoder=NETWORK,
        augment=GENTLE,
        input_size=SIZE,
        batch_clips=12,
        epochs=3,
        projection_width=16,
        feeders=0,
    )


@pytest.fixture
def training():
    """Training settings for seconds."""

    def make(method, **changes):
        values = {"encoder": NETWORK, "augment": GENTLE, "input_size": SIZE, "steps": 40, "batch_frames": 24}
        return TrainSettings(method=method, **(values | changes))

    return make


@pytest.fixture(scope="session")
def encoder(exams, tmp_path_factory):
    """A finished pre-training run on `exams`."""
    settings = PretrainSettings(
        encoder=NETWORK, augment=GENTLE, input_size=SIZE, batch_clips=36, epochs=15, feeders=0
    )
    out = tmp_path_factory.mktemp("encoder") / "run"
    return pretrain(exams / "frames", exams / "catalogue.parquet", out, settings)
