"""A server that answers whatever a test wants: what no real PACS can be brought to say."""

import contextlib
import io
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pydicom
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

JSON = {"Content-Type": "application/dicom+json"}


@contextlib.contextmanager
def fake_pacs(answer, certificate=None):
    """A server whose every request is answered by `answer(method, path, headers, body)`.

    It gives (status, headers, body); a body that is shorter than its Content-Length breaks off. Yields the
    URL of its DICOMweb, and the list of requests so far.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path))
            status, headers, content = answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *words: None
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}/dicom-web", asked
    finally:
        server.shutdown()
        server.server_close()


def as_json(found, status=200):
    """An answer of DICOM JSON."""
    return status, JSON, json.dumps(found).encode()


def record(**values):
    """A record of DICOM JSON, elements by tag, such as ``x0020000D="1.2"``."""
    return {tag[1:]: {"vr": "UI", "Value": [value]} for tag, value in values.items()}


def stow(status, *, stored=(), failed=(), there=False, headers=None):
    """A PACS that answers a STOW like that, and says of every instance whether it is there."""

    def answer(method, path, request, body):
        if method == "GET":
            return as_json([record(x00080018="1.2.3", x0020000D="1.2.1")] if there else [])
        said = {
            "00081199": {"vr": "SQ", "Value": [record(x00081155=uid) for uid in stored]},
            "00081198": {
                "vr": "SQ",
                "Value": [{"00081197": {"vr": "US", "Value": [reason]}} for reason in failed],
            },
        }
        return status, {**JSON, **(headers or {})}, json.dumps(said).encode()

    return answer


def small_sr(uid="1.2.3", study="1.2.1"):
    """The bytes of a document that is as small as one may be."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = ComprehensiveSRStorage, uid, "SR"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = study, "1.2.9", "p"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
