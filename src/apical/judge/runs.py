"""Reading finished runs, and refusing to compare what cannot be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apical.errors import CannotDo, PatientOverlap, WrongCall
from apical.learn.predictions import Predictions


@dataclass(frozen=True)
class Run:
    """One training run as it lies on disk.

    Attributes:
        predictions: its answers for clips of all splits.
        settings: its resolved settings (``settings.json``).
        curve: its training curve, one record a line (``metrics.jsonl``); may be empty.
        environment: versions, device, git state (``environment.json``); may be empty.
        budget: labelled training patients a view (``budget.json``), or None.
        predictions_sha256: of ``predictions.parquet``, by which a report knows the run again.
    """

    predictions: Predictions
    settings: dict[str, Any]
    curve: list[dict[str, Any]]
    environment: dict[str, Any]
    budget: dict[str, int] | None
    predictions_sha256: str


def read_run(folder: Path) -> Run:
    """Read a run folder; only ``predictions.parquet`` must be there.

    Raises:
        CannotDo: the predictions are missing, or a file cannot be read.
    """
    return Run(
        predictions=Predictions.load(folder / "predictions.parquet"),
        settings=read_json(folder / "settings.json") or {},
        curve=read_curve(folder / "metrics.jsonl"),
        environment=read_json(folder / "environment.json") or {},
        budget=read_json(folder / "budget.json"),
        predictions_sha256=file_hash(folder / "predictions.parquet"),
    )


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def with_common_seeds(runs: Sequence[Run]) -> tuple[list[Run], str | None]:
    """The runs whose training seed every method has, and a sentence on those left out, if any.

    A seed draws labels and first weights, so methods are compared on the same seeds only.

    Raises:
        CannotDo: no seed is common to all methods.
    """
    seeds: dict[str, set[int]] = {}
    for run in runs:
        seeds.setdefault(run.predictions.method, set()).add(run.predictions.seed)
    common = set.intersection(*seeds.values()) if seeds else set()
    if seeds and not common:
        raise CannotDo(
            f"the methods {', '.join(sorted(seeds))} have no training seed in common",
            "train them with the same seeds, or judge them one by one",
        )
    kept = [run for run in runs if run.predictions.seed in common]
    left_out = len(runs) - len(kept)
    if not left_out:
        return kept, None
    which = ", ".join(map(str, sorted(common)))
    seed_s, run_s, is_are = "s" * (len(common) > 1), "s" * (left_out > 1), "are" if left_out > 1 else "is"
    return kept, (
        f"Methods are judged on the training seed{seed_s} that all of them have ({which}); "
        f"{left_out} run{run_s} with another seed {is_are} left out."
    )


def judged_runs(runs: Sequence[Run], split: str, *, any_budget: bool = False) -> list[Predictions]:
    """The labelled clips of the judged split, in the same order for every run.

    Raises:
        WrongCall: no runs, or two runs of the same method and seed.
        PatientOverlap: a patient stands in two splits of a run, or in `split` here and in training there.
        CannotDo: no labelled clip in the split, or the runs differ in views, clips, labels, patients or,
            unless it may be any, label budget.
    """
    if not runs:
        raise WrongCall("there is no run to judge", "give at least one run folder")
    _check_overlap(runs, split)
    named = [(run.predictions.method, run.predictions.seed) for run in runs]
    for method, seed in named:
        if named.count((method, seed)) > 1:
            raise WrongCall(
                f"two runs are both of method '{method}' with seed {seed}",
                "give each run once; give another seed or method name to a run that differs",
            )
    judged = [labelled(run.predictions, split) for run in runs]
    first = judged[0]
    if not len(first):
        raise CannotDo(
            f"no labelled clip in the {split} split", "label clips of its patients, or judge another split"
        )
    for other in judged[1:]:
        for what, same in (
            ("views", other.views == first.views),
            (f"labelled {split} clips", np.array_equal(other.clip, first.clip)),
            ("labels", np.array_equal(other.label, first.label)),
            ("patients", np.array_equal(other.patient, first.patient)),
        ):
            if not same:
                raise CannotDo(
                    f"the runs '{first.method}' (seed {first.seed}) and '{other.method}' "
                    f"(seed {other.seed}) have different {what}",
                    "train all runs to compare on the same catalogue",
                )
    if not any_budget:
        _check_budgets(runs)
    return judged


def _check_budgets(runs: Sequence[Run]) -> None:
    """Refuse methods with other budgets under one seed; between seeds a view may differ by a patient."""
    of_seed: dict[int, tuple[str, dict[str, int]]] = {}
    for run in runs:
        method, seed = run.predictions.method, run.predictions.seed
        if run.budget is None:
            continue
        other, budget = of_seed.setdefault(seed, (method, run.budget))
        view = next((view for view in run.budget if run.budget[view] != budget.get(view)), None)
        if view is not None:
            raise CannotDo(
                f"the runs were trained with different label budgets: {view} of {run.budget[view]} patients "
                f"in '{method}' and of {budget.get(view, 0)} in '{other}' (seed {seed})",
                "make one report a budget, or use 'apical compare'",
            )


def labelled(predictions: Predictions, split: str) -> Predictions:
    """The clips of the split whose view is known, sorted by clip id."""
    rows = np.flatnonzero((predictions.split == split) & (predictions.label >= 0))
    return predictions.select(rows[np.argsort(predictions.clip[rows])])


def split_sizes(predictions: Predictions) -> dict[str, dict[str, int]]:
    """Patients, clips and labelled clips of each split in the predictions; "" is named "none"."""
    return {
        str(split) or "none": {
            "patients": len(np.unique(predictions.patient[predictions.split == split])),
            "clips": int((predictions.split == split).sum()),
            "labelled clips": int(((predictions.split == split) & (predictions.label >= 0)).sum()),
        }
        for split in np.unique(predictions.split)
    }


def without_paths(record: Any) -> Any:
    """A copy of a JSON value without any entry that holds or names a path, a person or a machine.

    Paths may hold patients' names. What looks like a path is dropped with its key, at any depth.
    """
    if isinstance(record, dict):
        kept = {key: without_paths(value) for key, value in record.items() if not _private(str(key), value)}
        return {key: value for key, value in kept.items() if value != {}}
    if isinstance(record, list | tuple):
        return [without_paths(value) for value in record if not _private("", value)]
    return record


_PRIVATE_WORDS = {"path", "paths", "folder", "file", "files", "out", "catalogue", "store", "cwd"} | {
    "user", "username", "host", "hostname", "node", "command", "argv",
}  # fmt: skip


def _private(key: str, value: Any) -> bool:
    words = set(key.lower().replace("-", "_").split("_"))
    is_path = isinstance(value, str) and any(mark in value for mark in ("/", "\\", "~"))
    return bool(words & _PRIVATE_WORDS) or is_path or "/" in key or "\\" in key


def _check_overlap(runs: Sequence[Run], split: str) -> None:
    trained: set[str] = set()
    judged: set[str] = set()
    for run in runs:
        patients = {
            str(name): set(run.predictions.patient[run.predictions.split == name].tolist())
            for name in np.unique(run.predictions.split)
        }
        trained |= patients.get("train", set())
        judged |= patients.get(split, set())
        within = [patients[name] for name in patients if name]
        shared = sum(map(len, within)) - len(set().union(*within))
        if shared:
            raise _overlap(shared, "more than one split of a run")
    if trained & judged:
        raise _overlap(len(trained & judged), f"the {split} split of one run and in training of another")


def _overlap(patients: int, where: str) -> PatientOverlap:
    return PatientOverlap(
        f"{patients} patient{'s stand' if patients > 1 else ' stands'} in {where}",
        "split the catalogue by patient ('apical labels split') and train again",
    )


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none. Raises CannotDo where it cannot be read."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def read_curve(path: Path) -> list[dict[str, Any]]:
    """The records; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise _unreadable(path, error) from None
    records = []
    for number, line in enumerate(lines):
        try:
            records.append(json.loads(line))
        except ValueError:
            if number < len(lines) - 1:
                raise CannotDo(
                    f"line {number + 1} of '{path.name}' of a run is not JSON", "train the run again"
                ) from None
    return records


def _unreadable(path: Path, error: Exception) -> CannotDo:
    return CannotDo(f"'{path.name}' of a run cannot be read ({type(error).__name__})", "train the run again")
