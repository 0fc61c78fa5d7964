"""The verb that stays: ``serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from apical.cli.options import DONE, Config
from apical.config import ServeSettings, read_settings
from apical.console import Console
from apical.errors import WrongCall

TOKEN = "APICAL_TOKEN"  # of the environment: what stands in a call, others on the machine can read


def serve(
    bundle: Annotated[Path, typer.Argument(help="Bundle: a folder or its zip.")],
    state: Annotated[
        Path, typer.Option(help="Private folder for the queue and what waits; made if it is not there.")
    ] = Path("apical-service"),
    host: Annotated[
        str | None, typer.Option(help="Where it listens; beyond this machine with a token.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="0 = any that is free.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that answer.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    receive: Annotated[
        int | None, typer.Option(help="Port at which DICOM is received (C-STORE, C-ECHO), usually 11112.")
    ] = None,
    receive_at: Annotated[
        str | None, typer.Option(help="Address at which it is received; 127.0.0.1 by default.")
    ] = None,
    receive_from: Annotated[
        list[str] | None, typer.Option(help="AE title that may send; may be repeated.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Our AE title; APICAL by default.")] = None,
    pacs: Annotated[
        str | None,
        typer.Option(
            help="DICOMweb address of a PACS: its new ultrasound is answered, and reports sent back."
        ),
    ] = None,
    pacs_days: Annotated[int | None, typer.Option(min=0, help="Look at studies so many days old.")] = None,
    pacs_all_days: Annotated[
        bool, typer.Option("--pacs-all-days", help="Look at all studies of the PACS, however old.")
    ] = False,
    reply: Annotated[
        str | None, typer.Option(help="HOST:PORT:AETITLE to send reports to by C-STORE, not by DICOMweb.")
    ] = None,
    config: Config = None,
) -> int:
    """Answer over HTTP, with a page for people, and beside a PACS, until Ctrl-C or SIGTERM; nothing is lost.

    The token is taken from the variable APICAL_TOKEN, the PACS's credentials from APICAL_PACS_CREDENTIALS.

    Example: apical serve bundle --state apical-service --pacs http://localhost:8042/dicom-web
    """
    from apical.deploy.service.start import serve_bundle

    changes: dict[str, Any] = {
        "host": host,
        "port": port,
        "workers": workers,
        "device": device,
        "token": os.environ.get(TOKEN) or None,
        "receiver__port": receive,
        "pacs__url": pacs,
    }
    if reply is not None:
        changes |= _reply(reply)
    settings = read_settings(ServeSettings, config, **changes)
    receiver = {
        "receiver__host": receive_at,
        "receiver__calling": tuple(receive_from) if receive_from else None,
        "receiver__title": title,
    }
    if settings.receiver is None and any(receiver.values()):
        raise WrongCall("there is no receiver to set up", "give --receive with the port at which it listens")
    if settings.pacs is None and (pacs_all_days or pacs_days is not None):
        raise WrongCall("there is no PACS to look at", "give --pacs with its address")
    settings = read_settings(ServeSettings, config, **changes, **receiver, pacs__days=pacs_days)
    if pacs_all_days and settings.pacs is not None:
        everything = settings.pacs.model_copy(update={"days": None})
        settings = settings.model_copy(update={"pacs": everything})
    serve_bundle(bundle, state, settings, Console().line)
    return DONE


def _reply(text: str) -> dict[str, Any]:
    """The settings in HOST:PORT:AETITLE; an IPv6 address may hold colons itself."""
    host, _, rest = text.rpartition(":")
    host, _, port = host.rpartition(":")
    if not host or not port.isdigit():
        raise WrongCall("--reply names no node", "write HOST:PORT:AETITLE")
    return {"reply__host": host.strip("[]"), "reply__port": int(port), "reply__title": rest}
