"""How good the model was said to be after so many labels: one line a figure, kept from run to run."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from apical.deploy.service.spool import cannot_write_state
from apical.label.advice import Advice

MOST = 500  # points that are shown


class Curve:
    """Points of the macro F1 by cross-validation, in a file of JSON lines.

    Args:
        path: made with the first point; a last line that was cut off is passed over.

    Raises:
        CannotDo: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._points: dict[int, dict[str, Any]] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise cannot_write_state(error) from None
        for line in lines:
            try:
                point = json.loads(line)
                self._points[int(point["labels"])] = point
            except (ValueError, KeyError, TypeError):
                continue

    def add(self, advice: Advice | None) -> None:
        """Keep what is said now, if something is; a later figure for as many labels takes the place."""
        figures = None if advice is None else advice.estimate
        if figures is None or figures.macro_f1 is None:
            return
        point = {
            "labels": figures.labels,
            "f1": round(figures.macro_f1, 4),
            "low": None if figures.low is None else round(figures.low, 4),
            "high": None if figures.high is None else round(figures.high, 4),
        }
        with self._lock:
            if self._points.get(figures.labels) == point:
                return
            self._points[figures.labels] = point
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(point) + "\n")
            except OSError:  # a figure less; the labels are what matters
                return

    def points(self) -> list[dict[str, Any]]:
        """By number of labels; of very many, evenly some."""
        with self._lock:
            points = [self._points[labels] for labels in sorted(self._points)]
        step = -(-len(points) // MOST)
        return points[:: max(step, 1)]
