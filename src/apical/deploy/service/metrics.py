"""Figures for Prometheus (https://prometheus.io/docs/practices/naming/), in a registry of our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from apical.deploy.service.queue import Queue
from apical.deploy.service.spool import Spool
from apical.errors import CannotDo

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)


@runtime_checkable
class Troubled(Protocol):
    """What may have problems while it runs, such as a link to a PACS."""

    @property
    def problems(self) -> dict[str, str | None]:
        """By its parts: what is wrong now, None where nothing is."""


class Metrics:
    """What is counted while the service runs, and what the queue and spool say when they are asked."""

    def __init__(self, queue: Queue, spool: Spool) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = CollectorRegistry()
        self._waiting = _Waiting(queue, spool)
        self._registry.register(self._waiting)
        own: dict[str, Any] = {"registry": self._registry}
        self._jobs = Counter("apical_jobs", "Jobs accepted, by how they came.", ["source"], **own)
        self._refused = Counter("apical_refused", "Requests refused, by status.", ["status"], **own)
        self._items = Counter("apical_items", "Files answered, by outcome.", ["outcome"], **own)
        self._crashes = Counter("apical_crashes", "Processes that were started anew, by why.", ["why"], **own)
        self._seconds = Histogram(
            "apical_item_seconds", "Seconds to answer a file, from its turn on.", buckets=SECONDS, **own
        )

    def accepted(self, source: str) -> None:
        """A job was accepted."""
        self._jobs.labels(source).inc()

    def refused(self, status: int) -> None:
        """A request was refused."""
        self._refused.labels(str(status)).inc()

    def answered(self, answer: dict[str, Any], seconds: float) -> None:
        """A file was answered."""
        self._items.labels(outcome(answer)).inc()
        self._seconds.observe(seconds)

    def crashed(self, why: str) -> None:
        """A process crashed, hung or ate too much."""
        self._crashes.labels(why).inc()

    def watch(self, running: object) -> None:
        """Tell from now on whether something that runs beside the server has problems, if it says so."""
        if isinstance(running, Troubled):
            self._waiting.watched.append(running)

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


def outcome(answer: dict[str, Any]) -> str:
    """An answer in a word: ``view``, ``doubtful``, ``unknown``, ``other-mode`` or ``problem``."""
    if answer.get("problem") is not None:
        return "problem"
    if answer.get("unknown"):
        return "unknown"
    if answer.get("view") is None:
        return "other-mode"
    return "doubtful" if answer.get("doubtful") else "view"


class _Waiting:
    """What waits, looked up when it is asked for."""

    def __init__(self, queue: Queue, spool: Spool) -> None:
        self._queue, self._spool = queue, spool
        self.watched: list[Troubled] = []

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        try:
            counts = self._queue.counts()
        except CannotDo:
            counts = {}
        for state in ("queued", "running"):
            family = GaugeMetricFamily(f"apical_items_{state}", f"Files that are {state}.")
            family.add_metric([], counts.get(state, float("nan")))
            yield family
        for state, name, said in (
            ("outbox", "apical_outbox", "Documents that are still to be sent."),
            ("refused", "apical_outbox_refused", "Documents that were refused for what they are."),
        ):
            family = GaugeMetricFamily(name, said)
            family.add_metric([], counts.get(state, float("nan")))
            yield family
        problems = GaugeMetricFamily(
            "apical_problem", "1 where something is wrong; see the log.", labels=["part"]
        )
        for one in self.watched:
            for part, problem in one.problems.items():
                problems.add_metric([part], float(problem is not None))
        yield problems
        waiting = GaugeMetricFamily("apical_bytes_waiting", "Bytes of files that wait.")
        waiting.add_metric([], self._spool.bytes_waiting)
        yield waiting
