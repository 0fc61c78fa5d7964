"""Who may call: a token, a rate for each client, and no other site's page in a browser.

The token is a bearer token (RFC 6750). On loopback none is needed unless one is given; then any page that a
browser on this machine shows could call us, so a request must say our own name as its host (against DNS
rebinding) and come from no other origin (https://developer.mozilla.org/docs/Web/HTTP/Headers/Origin). A proxy
on this machine would let everybody in, for to us it is the caller: what shows signs of one is refused without
a token. A proxy may hide all signs, so whoever sets one up must set a token.

Rates are by address. Behind a proxy all clients have the proxy's, and share one rate.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

from apical.deploy.service.spool import cannot_write_state
from apical.errors import CannotDo

MOST_CLIENTS = 10_000  # whose rates are remembered; the one that was silent for longest is forgotten
TOKEN_FILE = "token"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and no other can reach it."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def token_of(state: Path) -> tuple[str, bool]:
    """The token that lies in the state folder, made if there is none; and whether it was made now.

    The file is readable by its owner alone.

    Raises:
        CannotDo: it cannot be read or written, or others can read it.
    """
    path = state / TOKEN_FILE
    try:
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                raise CannotDo(
                    f"the file '{TOKEN_FILE}' in the state folder can be read by others",
                    f"delete it for a new one, or 'chmod 600' it if nobody has read it: {path}",
                ) from None
            token = path.read_text(encoding="ascii").strip()
            if len(token) < 16:
                raise CannotDo(f"the file '{TOKEN_FILE}' holds no token", "delete it for a new one") from None
            return token, False
        token = secrets.token_urlsafe(32)
        with os.fdopen(file, "w") as out:
            out.write(token + "\n")
            out.flush()
            os.fsync(out.fileno())
        return token, True
    except (OSError, UnicodeDecodeError) as error:
        raise cannot_write_state(error) from None


class Token:
    """What callers must know; None: nothing. Kept as a hash, and compared in constant time."""

    def __init__(self, token: str | None) -> None:
        self._hash = None if token is None else hashlib.sha256(token.encode()).digest()

    @property
    def is_needed(self) -> bool:
        """Whether callers must know one."""
        return self._hash is not None

    def fits(self, authorization: str | None) -> bool:
        """Whether the header of a request carries it."""
        if self._hash is None:
            return True
        kind, _, said = (authorization or "").partition(" ")
        hashed = hashlib.sha256(said.strip().encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(hashed, self._hash) and kind.lower() == "bearer"


def is_own(headers: Mapping[str, str], host: str) -> bool:
    """Whether a request to a server without token is meant for it, and no other site's page made it.

    Args:
        headers: with small names.
        host: where the server listens.
    """
    said = headers.get("host", "")
    name = said.rpartition(":")[0] if said.rpartition(":")[2].isdigit() and not said.endswith("]") else said
    if not (is_loopback(name) or name.lower() == host.lower()):
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower() in (f"http://{said.lower()}", f"https://{said.lower()}")


def is_forwarded(headers: Mapping[str, str], version: str) -> bool:
    """Whether a request shows that a proxy passed it on (RFC 7239; RFC 9110 7.6.3).

    nginx adds no header unless it is told to, but by default speaks HTTP/1.0 to those behind it, which hardly
    anybody else does.

    Args:
        headers: with small names.
        version: of HTTP, such as ``1.1``.
    """
    return version == "1.0" or any(
        name in ("forwarded", "via", "x-real-ip") or name.startswith("x-forwarded-") for name in headers
    )


class Rates:
    """A token bucket for each client: so many requests a second over time, and `burst` at once."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when

    def wait(self, client: str) -> float:
        """Seconds that a client must wait before its request is taken; 0 takes it."""
        now = self._clock()
        left, then = self._clients.pop(client, (float(self._burst), now))
        left = min(float(self._burst), left + (now - then) * self._per_second)
        taken = left >= 1
        self._clients[client] = (left - 1 if taken else left, now)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if taken else (1 - left) / self._per_second
