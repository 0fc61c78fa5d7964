"""Synthetic runs: patients with their own habits, so that clips of a patient are alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from apical.learn.predictions import Predictions

VIEWS = (
    "PLAX", "RV-inflow", "PSAX-AV", "PSAX-MV", "PSAX-PM", "PSAX-apex", "A4C", "A2C", "A3C", "A5C",
    "subcostal-4C", "IVC", "suprasternal",
)  # fmt: skip
RARE = ("RV-inflow", "PSAX-apex", "A5C", "IVC")


def fake_predictions(
    method: str = "naive",
    seed: int = 0,
    *,
    views: tuple[str, ...] = VIEWS,
    patients: tuple[int, int, int] = (10, 6, 24),
    clips: int = 11,
    skill: float = 2.5,
    rare_skill: float | None = None,
    untaught: tuple[str, ...] = (),
) -> Predictions:
    """Clips of train, validation and test patients; the same clips and labels for every method and seed.

    `skill` is the distance of the view's logit from the others' noise; `rare_skill` that of `RARE`. Views in
    `untaught` are shut off as a `Classifier` does.
    """
    truth = np.random.default_rng(99)
    n, k = sum(patients) * clips, len(views)
    patient = np.repeat(np.arange(sum(patients)), clips)
    label = truth.integers(k, size=n)
    random = np.random.default_rng([seed, len(method), sum(map(ord, method))])
    habit = random.normal(0, 0.7, (sum(patients), k))[patient]
    skills = np.array([skill if rare_skill is None or v not in RARE else rare_skill for v in views])
    logits = skills[label, None] * np.eye(k)[label] + random.normal(0, 1, (n, k)) + habit
    logits[:, np.isin(views, untaught)] = -1e4
    centres = np.random.default_rng(5).normal(0, 1, (k, 16))
    return Predictions(
        method=method,
        seed=seed,
        views=views,
        clip=np.array([f"{i * 2654435761 % 2**32:08x}{i:08x}" for i in range(n)]),
        patient=np.array([f"p{i:03d}" for i in patient]),
        split=np.repeat(["train", "validation", "test"], np.multiply(patients, clips)),
        label=label,
        log_probabilities=(logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32),
        features=(centres[label] * skills[label, None] / 2 + random.normal(0, 1, (n, 16))).astype(np.float32),
    )


def write_run(folder: Path, predictions: Predictions, budget: dict[str, int] | None = None) -> Path:
    """A run folder as training leaves it; some settings hold paths that must not reach the report."""
    folder.mkdir(parents=True)
    predictions.save(folder / "predictions.parquet")
    settings = {
        "method": predictions.method,
        "seed": predictions.seed,
        "steps": 600,
        "encoder": {"depth": 10, "width": 32},
        "store": "/data/secret-hospital/frames",
        "catalogue": "/data/secret-hospital/clips.parquet",
        "encoder_run": "C:\\secret-hospital\\run",
    }
    environment = {"python": "3.11.4", "torch": "2.9", "git": {"commit": "0123abc", "dirty": False}}
    curve = [
        {"step": step, "loss": 2.6 * np.exp(-step / 150) + 0.1, "seconds": step / 10}
        | ({"validation_macro_f1": 0.7 * (1 - np.exp(-step / 120))} if step % 100 == 0 else {})
        for step in range(0, 601, 20)
    ]
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in curve))
    if budget is not None:
        (folder / "budget.json").write_text(json.dumps(budget))
    return folder


def fake_budget(views: tuple[str, ...] = VIEWS) -> dict[str, int]:
    return {view: 2 if view in RARE else 10 for view in views}
