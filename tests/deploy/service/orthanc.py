"""A real Orthanc, started as a plain process: a small PACS with DICOMweb, for the tests."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PROGRAM = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "apical", "a-secret-of-the-tests"
PATIENCE = 60.0  # seconds: generous, for a machine that is busy


def need_orthanc():
    if not Path(PROGRAM).is_file() or not PLUGIN.is_file():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed (Debian: orthanc, orthanc-dicomweb)")


def wait_for(condition, seconds=PATIENCE):
    """Poll until `condition` gives something true, and return that."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.05)
    return found


class Orthanc:
    """An Orthanc of one folder, which it keeps when it is stopped, killed and started again.

    Attributes:
        url: of its DICOMweb.
        dicom_port: of its C-STORE receiver.
    """

    def __init__(self, folder, **settings):
        self._folder, self._settings, self._process = folder, settings, None
        self._port = self.dicom_port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}/dicom-web"

    def start(self):
        """Start it at the ports it had before, or at free ones; others may be faster to take them."""
        for _ in range(5):
            if not self._port:
                self._port, self.dicom_port = _free_ports(2)
            if self._starts():
                return self
            self._port = 0
        raise AssertionError("Orthanc does not start: " + (self._folder / "log").read_text()[-2000:])

    def _starts(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "orthanc.json").write_text(json.dumps(self._configuration()))
        with (self._folder / "log").open("w") as log:
            command = [PROGRAM, str(self._folder / "orthanc.json")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        ends = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < ends:
            try:
                self.rest("/system")
            except OSError:
                time.sleep(0.05)
            else:
                return self._process.poll() is None
        self.kill()
        return False

    def _configuration(self):
        return {
            "Name": "tests",
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "HttpPort": self._port,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **self._settings,
        }

    def stop(self):
        """Ask it to end, and wait until it has."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """End it at once, as a power cut would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def rest(self, path, data=None):
        """What Orthanc's own REST answers to GET or, with data, POST: parsed JSON, or bytes."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data)
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {secret}")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            body = answer.read()
        try:
            return json.loads(body)
        except ValueError:
            return body

    def upload(self, *files):
        """Store files; returns Orthanc's ids of the instances."""
        return [self.rest("/instances", Path(file).read_bytes())["ID"] for file in files]

    def delete(self, instance):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/instances/{instance}", method="DELETE"
        )
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {secret}")
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def instances(self):
        """The stored files by their SOPInstanceUID."""
        found = {}
        for one in self.rest("/instances"):
            uid = self.rest(f"/instances/{one}/simplified-tags")["SOPInstanceUID"]
            found[uid] = self.rest(f"/instances/{one}/file")
        return found


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def running_orthanc(folder):
    """For a fixture: a running, empty Orthanc, ended in the end."""
    need_orthanc()
    server = Orthanc(folder).start()
    yield server
    server.kill()  # to stop it takes seconds
