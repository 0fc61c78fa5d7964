"""Where the figures of a run go: plain files and TensorBoard always, other trackers where asked for.

``metrics.jsonl`` is the record; everything else can be made again from it.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from apical.files import write_atomically
from apical.learn.events import EventFile
from apical.learn.growing import Growing
from apical.learn.services import Service, open_service

Record = dict[str, Any]
"""A line of a JSON file: its step, and figures (null where they are not finite) or a histogram."""


class Tracker:
    """Takes the figures of a run, step by step.

    Writes into the run's folder ``metrics.jsonl`` (a line a step), ``metrics.csv`` (a row a step, a column a
    figure), ``histograms.jsonl``, and TensorBoard's files in ``tensorboard``. A killed process loses at most
    the line it was writing.

    Args:
        folder: of the run; made if need be.
        resume_after: figures of later steps are dropped, since they will come again. Steps count from 1, so
            with 0 everything begins afresh.
        trackers: any of ``mlflow`` and ``wandb``, see `apical.learn.services`.
        settings: for those; besides figures the only thing they are given.

    Raises:
        WrongCall: there is no such tracker, or it is not installed.
        CannotDo: the folder cannot be written, the disk is full (also by `log` and `histogram`), or a tracker
            does not answer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        resume_after: int = 0,
        trackers: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        kept = _keep(folder / "metrics.jsonl", resume_after)
        drawn = _keep(folder / "histograms.jsonl", resume_after)
        self._lines = Growing(folder / "metrics.jsonl")
        self._histograms = Growing(folder / "histograms.jsonl")
        self._table = _Table(folder / "metrics.csv", kept)
        self._events = EventFile(folder / "tensorboard", resume_after=resume_after)
        self._services = {
            name: open_service(name, folder, settings or {}, resume=resume_after > 0) for name in trackers
        }
        if self._services:
            self._catch_up(kept, drawn)

    def log(self, step: int, **figures: float) -> None:
        """Take the figures of a step; they need not be the same ones each time."""
        record = {"step": step} | {
            name: value if math.isfinite(value) else None for name, value in figures.items()
        }
        self._lines.add((json.dumps(record) + "\n").encode())
        self._table.add(record)
        self._events.scalars(step, figures)
        self._send(step, figures)

    def histogram(self, step: int, name: str, counts: ArrayLike, edges: ArrayLike) -> None:
        """Take counts (bins,) of values between edges (bins + 1,), before the figures of the step."""
        counts, edges = np.asarray(counts, np.int64), np.asarray(edges, np.float64)
        record = {"step": step, "name": name, "counts": counts.tolist(), "edges": edges.tolist()}
        self._histograms.add((json.dumps(record) + "\n").encode())
        self._events.histogram(step, name, counts, edges)
        self._send_histogram(step, record)

    def close(self) -> None:
        """Nothing more will come."""
        for file in (self._lines, self._histograms, self._table, self._events):
            file.close()
        self._tell(None, lambda service: service.close())

    def _catch_up(self, kept: Iterable[Record], drawn: Iterable[Record]) -> None:
        """Send what the services lack of the steps that were done before."""
        histograms: dict[int, list[Record]] = {}
        for record in drawn:
            histograms.setdefault(record["step"], []).append(record)
        for record in kept:
            for histogram in histograms.pop(record["step"], []):
                self._send_histogram(record["step"], histogram)
            figures = {name: value for name, value in record.items() if name != "step" and value is not None}
            self._send(record["step"], figures)

    def _send(self, step: int, figures: Mapping[str, float]) -> None:
        self._tell(step, lambda service: service.log(step, figures))

    def _send_histogram(self, step: int, record: Record) -> None:
        counts, edges = np.array(record["counts"]), np.array(record["edges"])
        self._tell(step, lambda service: service.histogram(step, record["name"], counts, edges))

    def _tell(self, step: int | None, what: Callable[[Service], None]) -> None:
        """Services that fail are left out from then on: a run does not stop for them."""
        for name, service in list(self._services.items()):
            if step is not None and step <= service.last:
                continue
            try:
                what(service)
            except Exception as error:
                del self._services[name]
                warnings.warn(
                    f"the tracker '{name}' takes no more figures ({type(error).__name__}); "
                    "metrics.csv in the run's folder has them all",
                    stacklevel=3,
                )


class _Table:
    """Records as a CSV file: a row is added for each; a new column makes the file anew."""

    def __init__(self, path: Path, records: Sequence[Record]) -> None:
        self._path = path
        self._make(records)

    def _make(self, records: Sequence[Record]) -> None:
        self._columns = list(dict.fromkeys(["step", *(name for record in records for name in record)]))
        rows = [",".join(self._columns) + "\n", *map(self._row, records)]
        write_atomically(self._path, "".join(rows).encode())
        self._file = Growing(self._path)

    def _row(self, record: Record) -> str:
        values = (record.get(name) for name in self._columns)
        return ",".join("" if value is None else str(value) for value in values) + "\n"

    def add(self, record: Record) -> None:
        if record.keys() <= set(self._columns):
            self._file.add(self._row(record).encode())
        else:
            self._file.close()
            self._make(_read(self._path.with_suffix(".jsonl")))

    def close(self) -> None:
        self._file.close()


def _keep(path: Path, step: int) -> list[Record]:
    """Drop the lines of later steps from a JSON file, and what a kill or a full disk left of a line."""
    kept = [record for record in _read(path) if 0 < record["step"] <= step]
    write_atomically(path, "".join(json.dumps(record) + "\n" for record in kept).encode())
    return kept


def _read(path: Path) -> list[Record]:
    """The lines of a JSON file that are whole; none where there is no file."""
    records = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                records.append(json.loads(line))
    return records
