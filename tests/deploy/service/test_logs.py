"""Our own modules are heard in the logs by their words, libraries by their place only."""

import importlib
import io
import json
import logging
import pkgutil
import warnings

import pytest

from apical.deploy import service
from apical.deploy.service.dicomweb import Hopeless, Unreachable
from apical.deploy.service.logs import OURS, log, write_logs


@pytest.fixture
def logged():
    """What is logged from now on, a record a line."""
    root, ours = logging.getLogger(), logging.getLogger("apical.service")
    before = root.handlers, root.level, ours.level, logging.raiseExceptions
    logging.captureWarnings(False)
    stream = io.StringIO()
    write_logs(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, root.level, level, logging.raiseExceptions = before
    ours.setLevel(level)
    logging.captureWarnings(False)


def test_trouble_with_a_pacs_is_said_in_words(logged):
    logging.getLogger("apical.deploy.service.pacs").warning("%s", Unreachable("the PACS is too slow"))
    logging.getLogger("apical.deploy.service.outbox").error("given up: %s", Hopeless("it refuses (0xA900)"))
    assert [(line["level"], line["event"]) for line in logged()] == [
        ("warning", "the PACS is too slow. See that its address is right and that it runs."),
        ("error", "given up: it refuses (0xA900). Look into the log of the PACS."),
    ]


def test_every_module_of_the_service_that_logs_is_one_of_ours():
    loggers = []
    for module in pkgutil.iter_modules(service.__path__, f"{service.__name__}."):
        try:
            found = importlib.import_module(module.name)
        except ImportError:  # of an extra that is not installed
            continue
        loggers += [one.name for one in vars(found).values() if isinstance(one, logging.Logger)]
    assert {f"{OURS}{name}" for name in ("messages", "outbox", "pacs", "receiver", "rounds")} <= set(loggers)
    assert all(name.startswith(OURS) or name == "apical.service" for name in loggers)


def test_what_libraries_log_or_warn_of_is_not_quoted(logged):
    for name in ("pydicom", "apical.deploy.servicelike", "apical"):
        logging.getLogger(name).warning("%s", "DOE^JOHANNA")
    warnings.warn("DOE^JOHANNA", stacklevel=1)
    log("answered")
    assert [line["event"] for line in logged()] == ["a library logged"] * 4 + ["answered"]
    assert "DOE" not in str(logged())
