"""A real Orthanc (the tests' own): what feeds it, what stops and kills it, and what it holds."""

from __future__ import annotations

import hashlib
import io
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom

from service_parts.clients import ask
from service_parts.senders import Instance, store
from service_parts.server import PATIENCE, Server

sys.path.append(str(Path(__file__).parents[2] / "tests" / "deploy" / "service"))
from orthanc import PASSWORD, PLUGIN, PROGRAM, USER, Orthanc

IS_THERE = Path(PROGRAM).is_file() and PLUGIN.is_file()
ENVIRONMENT = {"APICAL_PACS_CREDENTIALS": f"{USER}:{PASSWORD}"}
SR = "SR"
EVERY = 2  # seconds between two looks of the service


class Feeder:
    """Stores instances in an Orthanc, in turn by storescu and by REST, and goes on until each is there.

    Attributes:
        hashes: of what Orthanc held when an instance had been stored, by UID.
        again: how often storing one had to be tried again.
        notices: to the service, by whether it took them.
    """

    def __init__(self, orthanc: Orthanc, service: Server, instances: list[Instance], seconds: float) -> None:
        self._orthanc, self._service, self._instances = orthanc, service, instances
        self._pause = seconds / len(instances)
        self.hashes: dict[str, str] = {}
        self.again = 0
        self.notices: Counter[bool] = Counter()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until all are stored, or it is too late for that."""
        self._thread.join(seconds)

    def _feed(self) -> None:
        for number, one in enumerate(self._instances):
            begun = time.monotonic()
            while (found := self._stored(one, by_rest=number % 2 == 0)) is None:
                self.again += 1
                time.sleep(0.3)
            self.hashes[one.uid] = found
            if number % 4 == 0:
                self._notify(one)
            time.sleep(max(0.0, self._pause - (time.monotonic() - begun)))

    def _stored(self, one: Instance, *, by_rest: bool) -> str | None:
        """The hash of what Orthanc holds, once it says that it stored it."""
        try:
            if by_rest:
                self._orthanc.upload(one.file)
            elif not store([one], self._orthanc.dicom_port, "ORTHANC"):
                return None
            return digest(_file_of(self._orthanc, one.uid))
        except (OSError, KeyError, IndexError):
            return None

    def _notify(self, one: Instance) -> None:
        study = str(pydicom.dcmread(one.file, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)
        try:
            body = json.dumps({"study": study}).encode()
            taken = ask(self._service.port, "POST", "/v1/notify", body, "application/json")[0] == 202
        except OSError:
            taken = False
        self.notices[taken] += 1


def make_faults(orthanc: Orthanc, service: Server, seconds: float, seed: int) -> list[str]:
    """Stop and kill the one and the other, spread over so long; what was done."""
    chance = random.Random(seed)

    def restart(end: Callable[[], Any], *, orthancs: bool) -> None:
        end()
        time.sleep(chance.uniform(0.5, 0.1 * seconds))
        orthanc.start() if orthancs else service.start()

    def both() -> None:
        orthanc.kill()
        service.kill()
        orthanc.start()
        service.start()

    done: list[tuple[str, Callable[[], None]]] = [
        ("Orthanc stopped and started", lambda: restart(orthanc.stop, orthancs=True)),
        ("the service killed", lambda: restart(service.kill, orthancs=False)),
        ("Orthanc killed", lambda: restart(orthanc.kill, orthancs=True)),
        ("both killed", both),
    ]
    begun = time.monotonic()
    for number, (_, do) in enumerate(done, start=1):
        at = begun + seconds * (number - 0.5 + chance.uniform(-0.3, 0.3)) / len(done)
        time.sleep(max(0.0, at - time.monotonic()))
        do()
    return [name for name, _ in done]


def settle(orthanc: Orthanc, service: Server, expected: int) -> None:
    """Wait until the service has nothing more to do and Orthanc holds so many reports, or it is too late."""
    last = time.monotonic() + PATIENCE
    while time.monotonic() < last:
        figures = service.figures()
        busy = sum(figures[f"apical_{name}"] for name in ("items_queued", "items_running", "outbox"))
        if not busy and len(reports_of(orthanc)) >= expected:
            break
        time.sleep(0.5)
    time.sleep(3 * EVERY)  # rounds of polling, which must change nothing


def reports_of(orthanc: Orthanc) -> list[pydicom.Dataset]:
    """All SRs of an Orthanc."""
    found: list[pydicom.Dataset] = []
    for series in orthanc.rest("/series?expand"):
        if series["MainDicomTags"].get("Modality") == SR:
            for one in series["Instances"]:
                found.append(pydicom.dcmread(io.BytesIO(_bytes(orthanc, one))))
    return found


def sources(report: pydicom.Dataset) -> list[str]:
    """UIDs of the images that a report is on."""
    return [
        str(one.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]


def digest(data: bytes) -> str:
    """A hash."""
    return hashlib.sha256(data).hexdigest()


def held(orthanc: Orthanc, uid: str) -> str | None:
    """The hash of an instance as Orthanc holds it now; None if it is not there once."""
    try:
        return digest(_file_of(orthanc, uid))
    except KeyError:
        return None


def _file_of(orthanc: Orthanc, uid: str) -> bytes:
    found = orthanc.rest("/tools/lookup", uid.encode())
    ids = [one["ID"] for one in found if one["Type"] == "Instance"]
    if len(ids) != 1:
        raise KeyError("not there once")
    return _bytes(orthanc, ids[0])


def _bytes(orthanc: Orthanc, instance: str) -> bytes:
    data = orthanc.rest(f"/instances/{instance}/file")
    assert isinstance(data, bytes)
    return data
