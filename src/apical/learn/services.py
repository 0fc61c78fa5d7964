"""Trackers that people run elsewhere: MLflow and Weights & Biases, as optional extras.

They are given the settings and the figures of a run, and nothing else: no paths, no names of host or user, no
code, no console. Whatever the libraries would tell their makers is switched off, unless the environment says
otherwise.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from apical.errors import CannotDo, WrongCall
from apical.files import write_atomically

NAMES = ("mlflow", "wandb")
PROJECT = "apical"  # the experiment or project that runs are filed under
SECONDS_BETWEEN = 10  # two messages to MLflow, each of which takes as long as many steps
METRICS_A_MESSAGE, PARAMETERS_A_MESSAGE = 1000, 100  # MLflow's limits
MLFLOW_VALUE = 6000  # letters

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a run does not stand still for long where a server does
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_MODE": "offline",
}


class Service(Protocol):
    """Where figures can be sent.

    Attributes:
        run: its own name for this run.
        last: the last step it has, 0 for none; earlier ones are not sent again.
    """

    run: str
    last: int

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of a step."""

    def histogram(self, step: int, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> None:
        """Take counts (bins,) of values between edges (bins + 1,)."""

    def close(self) -> None:
        """Send what is left."""


def open_service(name: str, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> Service:
    """Connect a run to a tracker.

    Args:
        name: ``mlflow`` or ``wandb``.
        folder: of the run; the tracker's own name for it is kept there.
        settings: nested dictionaries of plain values.
        resume: go on with what the tracker has of this run.

    Raises:
        WrongCall: there is no such tracker, or it is not installed.
        CannotDo: it does not answer.
    """
    if name not in NAMES:
        raise WrongCall(f"there is no tracker '{name}'", f"choose from: {', '.join(NAMES)}")
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        library = import_module(name)
    except ImportError:
        raise WrongCall(
            f"the tracker '{name}' is not installed", f"pip install 'apical[{name}]', or leave it out"
        ) from None
    known = folder / f"{name}.json"
    service: Service
    try:
        run = json.loads(known.read_text(encoding="utf-8"))["run"] if resume and known.exists() else None
        if name == "mlflow":
            service = MLflow(library, settings, run)
        else:
            service = WeightsAndBiases(library, folder, settings, run)
    except Exception as error:
        raise CannotDo(
            f"the tracker '{name}' cannot be used ({type(error).__name__})",
            "see whether its server runs, or leave it out",
        ) from None
    write_atomically(known, json.dumps({"run": service.run}).encode())
    return service


class MLflow:
    """A run in an MLflow tracking store: MLFLOW_TRACKING_URI, or what MLflow takes without it.

    Histograms are left out, as MLflow has none. A step that was sent stays, since MLflow forgets nothing.
    """

    def __init__(self, library: ModuleType, settings: Mapping[str, Any], run: str | None) -> None:
        self.client = library.MlflowClient()
        self.entities = library.entities
        self.waiting: list[Any] = []
        self.sent = time.monotonic()
        self.last = 0
        if run is not None:
            self.run = run
            self.last = int(self.client.get_run(run).data.metrics.get("step", 0))
            self.client.update_run(run, status="RUNNING")
            return
        experiment = self.client.get_experiment_by_name(PROJECT)
        place = experiment.experiment_id if experiment else self.client.create_experiment(PROJECT)
        self.run = self.client.create_run(place).info.run_id
        parameters = [self.entities.Param(name, str(value)[:MLFLOW_VALUE]) for name, value in flat(settings)]
        for first in range(0, len(parameters), PARAMETERS_A_MESSAGE):
            self.client.log_batch(self.run, params=parameters[first : first + PARAMETERS_A_MESSAGE])

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step until the next message."""
        if len(self.waiting) + len(figures) + 1 > METRICS_A_MESSAGE:
            self._send()
        now = int(time.time() * 1000)
        for name, value in {"step": step, **figures}.items():
            if math.isfinite(value):
                self.waiting.append(self.entities.Metric(name, value, now, step))
        if time.monotonic() - self.sent > SECONDS_BETWEEN:
            self._send()

    def _send(self) -> None:
        if self.waiting:
            self.client.log_batch(self.run, metrics=self.waiting)
        self.waiting, self.sent = [], time.monotonic()

    def histogram(self, step: int, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Send what is left and end the run."""
        self._send()
        self.client.set_terminated(self.run)


class WeightsAndBiases:
    """A run of Weights & Biases, in the run's folder; WANDB_MODE=online sends it to a server.

    Without a server, each start makes a whole run of its own; ``wandb sync`` the last one.
    """

    def __init__(
        self, library: ModuleType, folder: Path, settings: Mapping[str, Any], run: str | None
    ) -> None:
        self.library = library
        self.run = run or secrets.token_hex(4)
        online = os.environ["WANDB_MODE"] == "online"
        private = library.Settings(
            console="off",
            silent=True,
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            host="",
            username="",
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        self.open = library.init(
            project=PROJECT,
            id=self.run,
            resume="allow" if online and run else None,
            dir=str(folder),
            reinit="create_new",
            config=dict(settings),
            settings=private,
        )
        self.last = max(0, self.open.step - 1)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of a step."""
        self.open.log(dict(figures), step=step)

    def histogram(self, step: int, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> None:
        """Take a histogram; it goes with the figures of the same step, before them."""
        self.open.log({name: self.library.Histogram(np_histogram=(counts, edges))}, step=step)

    def close(self) -> None:
        """Send what is left and end the run."""
        self.open.finish()


def flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of nested settings, names joined by dots."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
