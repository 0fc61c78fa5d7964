"""What the parts of the benchmark share: its files, servers, and what was found to be wrong."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service_parts.clients import BROKEN, Clients
from service_parts.files import FILE_MB, make_mix, make_phantom, sight
from service_parts.ledger import Ledger, Rows
from service_parts.server import PATIENCE, Server

Figures = list[tuple[str, str]]


class Bench:
    """What all parts share."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.files = make_phantom(folder / "phantom", options.patients)
        self.mix = make_mix(options.bundle, self.files, folder, options.seed)
        self.faults: list[str] = []

    def server(self, name: str, environment: dict[str, str] | None = None, **settings: Any) -> Server:
        """A server with a folder of its own, started."""
        place = self.folder / name
        place.mkdir()
        common = {"workers": self.options.workers, "waiting_items": self.options.waiting, "file_mb": FILE_MB}
        few = {"files_per_request": min(500, self.options.waiting)}
        server = Server(self.options.bundle, place, {**common, **few, **settings}, environment or {})
        server.start()
        return server

    def check(self, part: str, is_well: bool, what: str) -> None:
        """Note a fault."""
        if not is_well:
            self.faults.append(f"{part}: {what}")


def audit(server: Server, ledger: Ledger) -> None:
    """Ask for each job once more: its answers must be as they were."""
    for job in ledger.jobs:
        wait = True
        while wait:
            status, headers, said = server.ask(f"/v1/jobs/{job}")
            wait = status == 429
            time.sleep(float(headers["Retry-After"]) if wait else 0)
        if status == 200 and (found := json.loads(said))["state"] == "done":
            ledger.answered(job, found)
        else:
            ledger.wrong["a job that is gone, or not done"] += 1


def check_items(bench: Bench, part: str, ledger: Ledger, rows: Rows, server: Server) -> None:
    """Each item that was promised is answered, once."""
    for fault in ledger.faults():
        bench.check(part, False, fault)
    bench.check(part, bool(ledger.jobs), "no job was accepted")
    bench.check(part, not rows.undone, f"{rows.undone} items of the queue are not done")
    bench.check(part, max(server.answered().values(), default=0) <= 1, "an item was answered twice")


def check_statuses(bench: Bench, part: str, clients: Clients) -> None:
    """Only what was asked for, and what says when to come again."""
    allowed = {"POST 202", "GET 200", "POST 429 with Retry-After", "GET 429 with Retry-After",
               "POST 503 with Retry-After", f"POST {BROKEN}", f"GET {BROKEN}"}  # fmt: skip
    bench.check(part, set(clients.said) <= allowed, f"unexpected statuses: {set(clients.said) - allowed}")


def finish(server: Server) -> int:
    """Let it answer what waits, for a while, and stop it; how many files are left in its spool."""
    last = time.monotonic() + PATIENCE
    while time.monotonic() < last:
        figures = server.figures()
        if not figures["apical_items_queued"] + figures["apical_items_running"]:
            break
        time.sleep(0.1)
    server.stop()
    return server.spooled()


def once(server: Server, rows: Rows) -> int:
    """Items that are done, and were answered once: by a worker, or when their archive was unpacked."""
    answered = server.answered()
    return sum(answered[item] == (tries > 0) for item, tries in rows.attempts.items())


def problems(rows: Rows) -> int:
    """Items whose answer is a problem."""
    return sum(json.loads(answer)["problem"] is not None for answer in rows.answers.values())


def like(answer: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether an answer is the known one; the id of a clip follows from its UID."""
    return {**sight(answer), "clip": None} == {**known, "clip": None}


def quantiles(seconds: Sequence[float]) -> str:
    """Median and 99th percentile."""
    if len(seconds) < 2:
        return "–"
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"{cuts[49]:.3f} / {cuts[98]:.3f}"


def statuses(clients: Clients) -> str:
    """How often each status was met."""
    return ", ".join(f"{count} × {said}" for said, count in sorted(clients.said.items()))
