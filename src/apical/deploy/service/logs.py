"""Logs: one JSON object a line on stderr, of our own words and figures only.

What libraries say may quote a request, an address or a file, so of their records only the level, the place in
the code and the kind of exception are kept. The service's own modules log fixed texts and our own errors,
whose texts hold no identifiers.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import IO, Any

OURS = "apical.deploy.service."
_log = logging.getLogger("apical.service")


def log(event: str, *, level: int = logging.INFO, **figures: str | float | bool | None) -> None:
    """Write a line: what happened, and figures; never a name, an address or a text that a client gave."""
    _log.log(level, event, extra={"figures": figures})


def write_logs(stream: IO[str] | None = None, level: int = logging.INFO) -> None:
    """Let this process's logs from a level on go to a stream (stderr by default) as JSON, nowhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json())
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.WARNING
    _log.setLevel(level)
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in ("uvicorn", "pynetdicom"):
            logger.handlers, logger.propagate = [], True
    logging.captureWarnings(True)  # pydicom quotes the values it warns of
    logging.raiseExceptions = False  # else a record that cannot be written is printed, arguments and all


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
        }
        if record.name == _log.name or record.name.startswith(OURS):
            line |= {"event": record.getMessage(), **getattr(record, "figures", {})}
        else:
            line |= {"event": "a library logged", "where": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(line)
