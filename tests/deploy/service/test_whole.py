"""The whole way by the command line: images in a real Orthanc, `apical serve`, reports in that Orthanc."""

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime

import pydicom
import pytest
from orthanc import PASSWORD, PATIENCE, USER, running_orthanc, wait_for
from pydicom.uid import ComprehensiveSRStorage
from small_instances import write_ct

pytest.importorskip("fastapi", reason="apical[serve] is not installed")
pytest.importorskip("dicomweb_client", reason="apical[dicom-net] is not installed")
pytest.importorskip("highdicom", reason="apical[dicom-net] is not installed")

from apical.deploy.answering import Answerer
from apical.deploy.dicom_sr import sr_bytes, sr_uid

SETTINGS = {"port": 0, "pacs": {"every": 3600, "days": None}}  # it polls when it starts; then notices count
NAMES = ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class Serve:
    """``apical serve`` in a process of its own; its state outlives it."""

    def __init__(self, folder, bundle, url):
        self.said, self.state = folder / "said", folder / "state"
        (folder / "serve.yaml").write_text(json.dumps(SETTINGS))
        self._command = [sys.executable, "-m", "apical", "serve", bundle, "--state", self.state]
        self._command += ["--config", folder / "serve.yaml", "--pacs", url]
        self._process = None

    def start(self):
        environment = {**os.environ, "APICAL_PACS_CREDENTIALS": f"{USER}:{PASSWORD}"}
        begins = self.said.stat().st_size if self.said.exists() else 0
        with self.said.open("ab") as said:
            command = list(map(str, self._command))
            self._process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        self._port = wait_for(lambda: self._listens_at(begins))

    def _listens_at(self, begins):
        said = self.said.read_text()[begins:]
        assert self._process.poll() is None, said
        found = re.search(r"answers at http://127\.0\.0\.1:(\d+);", said)
        return found and found[1]

    def notify(self, study):
        address, kind = f"http://127.0.0.1:{self._port}/v1/notify", {"Content-Type": "application/json"}
        request = urllib.request.Request(address, json.dumps({"study": study}).encode(), kind)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 202

    def is_idle(self):
        """Whether all that is wanted of the PACS was looked at, answered and sent."""
        return not any(
            self._rows(name, f"SELECT * FROM {table}")
            for name, table in (
                ("pacs", "wanted"),
                ("queue", "items WHERE state != 'done'"),
                ("queue", "outbox"),
            )
        )

    def _rows(self, name, query):
        with sqlite3.connect(f"file:{self.state / name}.sqlite?mode=ro", uri=True, timeout=PATIENCE) as db:
            return db.execute(query).fetchall()

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def end(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def orthanc(tmp_path):
    yield from running_orthanc(tmp_path / "orthanc")


@pytest.fixture
def service(tmp_path, way, orthanc):
    made = Serve(tmp_path, way / "bundle", orthanc.url)
    yield made
    made.end()


def reports_in(orthanc):
    """The reports by the UID of the image that each is on."""
    stored = [pydicom.dcmread(io.BytesIO(data)) for data in orthanc.instances().values()]
    reports = [one for one in stored if one.SOPClassUID == ComprehensiveSRStorage]
    found = {}
    for one in reports:
        (series,) = one.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        (image,) = series.ReferencedSOPSequence
        found[str(image.ReferencedSOPInstanceUID)] = one
    assert len(found) == len(reports)
    return found


def wait_for_reports(orthanc, service, headers):
    wait_for(lambda: reports_in(orthanc).keys() == {one.SOPInstanceUID for one in headers})
    wait_for(service.is_idle)


def test_images_get_the_reports_that_the_library_makes_once_and_are_not_changed(
    way, orthanc, service, tmp_path
):
    answerer = Answerer.open(way / "bundle", threads=1)
    answers = [(file, answerer.answer(1, str(file))) for file in sorted((way / "phantom").rglob("*.dcm"))]
    files, answers = zip(*[pair for pair in answers if pair[1].likeliest is not None][:4], strict=True)
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    ct = write_ct(tmp_path / "ct.dcm")

    orthanc.upload(files[0], files[1], tmp_path / "ct.dcm")
    service.start()  # finds by itself what is there
    wait_for_reports(orthanc, service, headers[:2])
    orthanc.upload(files[2])
    service.notify(headers[2].StudyInstanceUID)
    wait_for_reports(orthanc, service, headers[:3])
    assert service.stop() == 0
    orthanc.upload(files[3])
    service.start()  # looks at all once more
    wait_for_reports(orthanc, service, headers)
    assert service.stop() == 0

    facts, vocabulary = answerer.bundle.facts, answerer.bundle.vocabulary
    for header, answer in zip(headers, answers, strict=True):
        report = reports_in(orthanc)[header.SOPInstanceUID]
        assert report.SOPInstanceUID == sr_uid(header.SOPInstanceUID, facts["version"])
        expected = pydicom.dcmread(io.BytesIO(sr_bytes(header, answer, vocabulary, facts, datetime.now(UTC))))
        assert report.ContentSequence == expected.ContentSequence
    stored = orthanc.instances()
    assert len(stored) == len(files) + 1 + len(files)
    assert [stored[one.SOPInstanceUID] for one in headers] == [file.read_bytes() for file in files]
    assert stored[ct] == (tmp_path / "ct.dcm").read_bytes()
    said = service.said.read_text()
    assert not [name for one in headers for name in NAMES if str(one[name].value) in said]
