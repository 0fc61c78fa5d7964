"""A real `apical serve` in a process of its own, on one port, which can be killed and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from service_parts.clients import ask

PATIENCE = 180.0  # seconds: others use the machine


class Server:
    """Started with the same state folder and port each time; what it logs is appended to one file."""

    def __init__(self, bundle: Path, folder: Path, settings: dict[str, Any], environment: dict[str, str]):
        self.state, self._log = folder / "state", folder / "log"
        self.port = free_port()
        config = folder / "serve.yaml"
        config.write_text(json.dumps({"port": self.port, **settings}))  # JSON is YAML
        self._command = [sys.executable, "-m", "apical", "serve", bundle, "--state", self.state]
        self._command += ["--config", config]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self.longest_left = 0.0  # seconds that a process of a killed server went on

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(map(str, self._command)), stdout=log, stderr=log, env=self._environment
            )
        if wait:
            wait_for(self.is_ready, "the server does not start: " + self._log.read_text()[-500:])

    def is_ready(self) -> bool:
        """Whether it answers files."""
        try:
            return self.ask("/readyz")[0] == 200
        except OSError:
            return False

    def ask(self, path: str) -> tuple[int, Any, bytes]:
        """A GET, which must not find that the server has ended by itself; see `clients.ask`."""
        try:
            return ask(self.port, "GET", path)
        except OSError:
            self._check_runs()
            raise

    def _check_runs(self) -> None:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise SystemExit(f"the server ended by itself ({code}): {self._log.read_text()[-1000:]}")

    def kill(self) -> None:
        """SIGKILL to the server alone; its workers must end by themselves."""
        assert self._process is not None
        self._check_runs()
        below = children(self.pid)
        self._process.kill()
        self._process.wait()
        begun = time.monotonic()
        wait_for(lambda: not any(map(_is_alive, below)), "the workers of a killed server go on")
        self.longest_left = max(self.longest_left, time.monotonic() - begun)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def end(self) -> None:
        """See that it does not outlive this script."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def logged(self) -> list[dict[str, Any]]:
        """Its log; the last line of a killed server may be cut."""
        found = []
        for line in self._log.read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return [one for one in found if isinstance(one, dict)]

    def answered(self) -> Counter[str]:
        """How often each item was answered, by the log."""
        return Counter(one["item"] for one in self.logged() if one.get("event") == "answered")

    def figures(self) -> dict[str, float]:
        """What /metrics says, by name with labels."""
        text = self.ask("/metrics")[2].decode()
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in rows}

    def spooled(self) -> int:
        """Files that lie in its spool."""
        return len(list((self.state / "incoming").iterdir()))


class Memory(threading.Thread):
    """Notes each second what a server and its workers hold, in MB, until `done` is set."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server, self.done = server, threading.Event()
        self.rows: list[tuple[float, float]] = []

    def run(self) -> None:
        """The thread."""
        while not self.done.wait(1):
            pid = self._server.pid
            self.rows.append((_resident(pid), sum(map(_resident, children(pid)))))

    def by_minute(self) -> dict[str, list[float]]:
        """Means of the server's and of its workers' over each minute; of a short run over its thirds."""
        part = min(60, max(1, len(self.rows) // 3))
        whole = [self.rows[start : start + part] for start in range(0, len(self.rows) - part + 1, part)]
        return {
            name: [statistics.mean(row[which] for row in rows) for rows in whole]
            for which, name in enumerate(("server", "workers"))
        }


def children(pid: int) -> set[int]:
    """The processes below one, by the kernel's list."""
    found: set[int] = set()
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found |= {int(word) for word in file.read_text().split()}
        except FileNotFoundError:
            continue  # a thread that ended
    return found


def wait_for(is_so: Any, otherwise: str, seconds: float = PATIENCE) -> None:
    """Poll until something is so."""
    last = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > last:
            raise SystemExit(otherwise)
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _resident(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
