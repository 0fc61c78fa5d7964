"""Clients of the HTTP API: each sends some files, polls until all are answered, and sends the next."""

from __future__ import annotations

import http.client
import json
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from service_parts.files import Mix, Sent
from service_parts.ledger import Ledger

POLL = 0.4  # seconds
SECONDS = 60.0  # for a request
BROKEN = "broken connection"


def ask(
    port: int, method: str, path: str, body: bytes | None = None, kind: str = ""
) -> tuple[int, Any, bytes]:
    """One request, on a connection of its own: status, headers and all of the body.

    Raises:
        OSError: the connection broke before all was read.
    """
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        line.request(method, path, body, {"Content-Type": kind} if kind else {})
        response = line.getresponse()
        return response.status, response.headers, response.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from None
    finally:
        line.close()


def form(files: Sequence[Sent]) -> tuple[bytes, str]:
    """A request's body, and its content type."""
    border = secrets.token_hex(16)
    parts = [
        f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="{number}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + file.body
        + b"\r\n"
        for number, file in enumerate(files)
    ]
    return b"".join([*parts, f"--{border}--\r\n".encode()]), f"multipart/form-data; boundary={border}"


class Clients:
    """So many clients, each a thread, that send for so long and then wait for their last answers.

    Attributes:
        said: how often each status, or a broken connection, was met.
        posted, waited: seconds until a 202 was read, and from then until all was answered.
    """

    def __init__(self, port: int, mix: Mix, ledger: Ledger, *, count: int, seconds: float, seed: int) -> None:
        self._port, self._mix, self._ledger, self._patience = port, mix, ledger, threading.Event()
        self._until = time.monotonic() + seconds
        self.said: Counter[str] = Counter()
        self.posted: list[float] = []
        self.waited: list[float] = []
        self.files = 0
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._client, args=[random.Random(f"{seed} {number}")], daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float) -> None:
        """Until all have their answers; those that have not after so long give up."""
        last = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, last - time.monotonic()))
        self._patience.set()
        for thread in self._threads:
            thread.join(2 * SECONDS)

    def _client(self, chance: random.Random) -> None:
        while time.monotonic() < self._until:
            files = self._mix.draw(chance)
            body, kind = form(files)
            begun = time.monotonic()
            said = self._ask("POST", "/v1/jobs", 202, chance, body, kind)
            if said is None:
                continue
            accepted = time.monotonic()
            pieces = [piece for file in files for piece in file.pieces]
            self._ledger.accepted(said["job"], said["items"], pieces)
            if self._answers(said["job"], chance):
                with self._lock:
                    self.posted.append(accepted - begun)
                    self.waited.append(time.monotonic() - accepted)
                    self.files += len(pieces)

    def _answers(self, job: str, chance: random.Random) -> bool:
        while not self._patience.wait(POLL * chance.uniform(0.75, 1.25)):
            said = self._ask("GET", f"/v1/jobs/{job}", 200, chance)
            if said is not None and said["state"] == "done":
                self._ledger.answered(job, said)
                return True
        return False

    def _ask(
        self,
        method: str,
        path: str,
        wanted: int,
        chance: random.Random,
        body: bytes | None = None,
        kind: str = "",
    ) -> Any:
        """What was said; None if it was something else, after the pause that was asked for."""
        try:
            status, headers, said = ask(self._port, method, path, body, kind)
        except OSError:
            self._count(f"{method} {BROKEN}")
            self._patience.wait(chance.uniform(0.2, 0.6))
            return None
        after = headers.get("Retry-After")
        self._count(f"{method} {status}{' with Retry-After' if after else ''}")
        if status == wanted:
            return json.loads(said)
        self._patience.wait((float(after) if after else 1.0) * chance.uniform(1.0, 1.3))
        return None

    def _count(self, what: str) -> None:
        with self._lock:
            self.said[what] += 1
