"""A study small enough for seconds: bars at three angles stand for views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from apical.catalogue import write_catalogue
from apical.config import StudySettings
from fake_stores import write_store

SIZE = 16
VIEWS = ("PLAX", "A4C", "A2C")
SMALL = {"encoder": {"width": 4, "stem_stride": 2}, "input_size": SIZE}
TRAIN = {**SMALL, "steps": 3, "batch_frames": 8}

PRETRAIN = {**SMALL, "epochs": 1, "batch_clips": 12, "projection_width": 8, "feeders": 0, "watch": 0}
PRETRAINED = {
    "naive": {"method": "naive"},
    "fine-tune": {"method": "fine-tune", "start": "pretrained"},
    "everything": {"method": "naive", "labels": "all"},
}


def write_exams(folder: Path, patients: int = 20) -> Path:
    """``frames`` and ``catalogue.parquet``: 3 clips of 2 frames a patient; 60 % train, 20 % test."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    rows, frames = [], []
    for patient in range(patients):
        split = ["train", "train", "train", "validation", "test"][patient % 5]
        for number, view in enumerate(VIEWS):
            name = f"clip{patient}-{view}"
            rows.append((name, "/secret/Smith", f"p{patient}", f"s{patient}", view, split))
            angle = number * np.pi / len(VIEWS)
            frame = 60 + 150 * (np.abs(x * np.sin(angle) - y * np.cos(angle)) < 2)
            frames += [np.clip(frame + random.normal(0, 20, frame.shape), 1, 255) for _ in range(2)]
    columns = ["clip", "path", "patient", "study", "view", "split"]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    folder.mkdir(parents=True, exist_ok=True)
    write_catalogue(table, folder / "catalogue.parquet")
    clips = np.repeat(table["clip"].to_list(), 2).tolist()
    write_store(folder / "frames", clips, np.stack(frames).astype(np.uint8))
    return folder


def study_values(**changes: Any) -> dict[str, Any]:
    """A study as YAML gives it: 2 methods × 2 budgets × 2 draws, none pre-trained."""
    values = {
        "rare": ["A2C"],
        "budgets": [1, "all"],
        "common": 4,
        "draws": 2,
        "train": TRAIN,
        "methods": {"naive": {"method": "naive"}, "adjusted": {"method": "logit-adjusted"}},
        "judge": {"resamples": 200},
    }
    return values | changes


def study_settings(**changes: Any) -> StudySettings:
    return StudySettings.model_validate(study_values(**changes))
