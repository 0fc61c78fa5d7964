"""A server's private folder, its address, its token, and answering until a signal comes."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from apical.config import ListenSettings
from apical.deploy.service.access import Token, is_loopback, token_of
from apical.deploy.service.connections import BACKLOG, Connections
from apical.deploy.service.logs import log
from apical.deploy.service.spool import cannot_write_state
from apical.errors import CannotDo, WrongCall

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE = 5  # seconds for requests that are under way when the server is stopped


def check_extras(what: str, *modules: str) -> None:
    """See that all modules can be imported that `what` needs.

    Raises:
        CannotDo: one is not installed.
    """
    for name in modules:
        try:
            import_module(name)
        except ImportError as error:
            raise CannotDo(
                f"{what} needs {error.name}, which is not installed",
                "install it with: pip install 'apical[serve]'",
            ) from None


@contextmanager
def own_folder(state: Path) -> Iterator[Path]:
    """The state folder, absolute, private, and no other server's while the block runs."""
    state = state.resolve()
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {file.name for file in state.iterdir()}
        if names - {"lost+found"} and "lock" not in names:
            raise WrongCall("the state folder holds other files", "give a folder of its own, which is made")
        state.chmod(0o700)
        lock = os.open(state / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise cannot_write_state(error) from None
    try:
        _lock(lock)
        yield state
    finally:
        os.close(lock)


def _lock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotDo(
            "another server uses this state folder", "stop it, or give this one a folder of its own"
        ) from None


def token_for(state: Path, settings: ListenSettings) -> tuple[Token, str]:
    """The token that callers need, and what to say of it."""
    if settings.token is not None:
        return Token(settings.token.get_secret_value()), "callers need the token you gave"
    if is_loopback(settings.host):
        return Token(None), "no token is needed from this machine, and no other can call"
    token, made = token_of(state)
    where = f"'{state / 'token'}'"
    return Token(token), f"callers need the token {'that was written to' if made else 'in'} {where}"


def listener_of(settings: ListenSettings) -> socket.socket:
    """A socket that is bound to the address; nobody is answered yet."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise CannotDo(
            f"the server cannot listen at port {settings.port} ({error.strerror})",
            "choose another --port or --host",
        ) from None
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    """How a browser calls it."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def stop_by_signals(stopping: threading.Event) -> None:
    """Let SIGTERM and SIGINT set `stopping`; uvicorn takes them while it runs, and hands them on."""

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def run(
    app: FastAPI,
    listener: socket.socket,
    connections: Connections,
    settings: ListenSettings,
    stopping: threading.Event,
) -> None:
    """Answer requests until a signal comes; those under way are then ended in good order."""
    import uvicorn

    from apical.deploy.service.slow import TimedProtocol

    protocol: Any = partial(TimedProtocol, connections, settings.idle_seconds)
    config = uvicorn.Config(
        app, http=protocol, ws="none", log_config=None, access_log=False, proxy_headers=False,
        server_header=False, timeout_graceful_shutdown=GRACE, backlog=BACKLOG, lifespan="off",
    )  # fmt: skip
    if not stopping.is_set():
        log("listening", port=listener.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listener])
