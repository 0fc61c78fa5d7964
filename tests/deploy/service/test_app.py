"""The service over HTTP: what is accepted, what is refused, and that no name a client gives is kept."""

import asyncio
import io
import json
import logging
import os
import re
import tempfile
import threading
import time
import zipfile

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("httpx", reason="httpx, which starlette's test client needs, is not installed")

import httpx
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apical.config import ServeSettings
from apical.deploy.service import uploads
from apical.deploy.service.access import Token
from apical.deploy.service.app import Parts, make_app
from apical.deploy.service.guard import HEADERS, MOST_BODY
from apical.deploy.service.logs import write_logs
from apical.deploy.service.metrics import Metrics
from apical.deploy.service.queue import Queue
from apical.deploy.service.spool import Spool
from apical.deploy.service.unpack import LARGEST_LIST, unpack

PNG = b"\x89PNG\r\n\x1a\n"
TOKEN = "a-token-of-some-length"
PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n'


class Site:
    """An app without processes that answer: the tests do."""

    def __init__(self, folder, *, token=None, notify=None, waiting_mb=100, **changes):
        self.folder = folder / "state"
        self.settings = ServeSettings(**changes)
        self.spool = Spool(self.folder, waiting_mb << 20)
        self.queue = Queue(self.folder / "queue.sqlite", self.settings.waiting_items, self.spool.remove)
        self.alive = self.ready = True
        parts = Parts(
            self.queue, self.spool, Metrics(self.queue, self.spool), Token(token), lambda: self.alive,
            lambda: self.ready, {"version": "v"}, notify,
        )  # fmt: skip
        app = make_app(parts, self.settings)
        self.client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        self.send = self.client.post

    def files(self, *contents, names=None):
        names = names or [f"{number}" for number in range(len(contents))]
        sent = [("files", (name, content)) for name, content in zip(names, contents, strict=True)]
        return self.client.post("/v1/jobs", files=sent)

    def waiting(self):
        return [self.queue.claim().file.read_bytes() for _ in range(self.queue.counts()["queued"])]

    def is_empty(self):
        """Whether nothing lies in the folder; a refused request is tidied up by a thread of its own."""
        last = 200
        while list(self.spool.incoming.iterdir()) and last:
            last -= 1
            time.sleep(0.02)
        return not list(self.spool.incoming.iterdir()) and self.spool.bytes_waiting == 0


@pytest.fixture
def make_site(tmp_path):
    sites = []

    def make(**options):
        sites.append(Site(tmp_path, **options))
        return sites[-1]

    yield make
    for site in sites:
        site.queue.close()


@pytest.fixture
def site(make_site):
    return make_site()


def zipped(members, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, **options)
    return out.getvalue()


def is_problem(response, status):
    """Whether it is an error as all are."""
    return response.status_code == status and set(response.json()) == {"problem", "do"}


def test_a_form_as_it_should_be_is_taken(site):
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert site.send("/v1/jobs", content=PART + b"x\r\n--b--\r\n", headers=kind).status_code == 202
    assert site.waiting() == [b"x"]


def test_a_method_that_is_not_there_is_told_all_that_are(site):
    response = site.client.put(f"/v1/jobs/{'0' * 32}")
    assert is_problem(response, 405)
    assert response.headers["allow"] == "DELETE, GET"


def test_files_come_whole_and_in_order(site):
    contents = [b"one", b"", b"three" * 100_000, b"\r\n--boundary\r\n"]
    response = site.files(*contents)
    assert response.status_code == 202
    assert [one["number"] for one in response.json()["items"]] == [1, 2, 3, 4]
    job = site.client.get(f"/v1/jobs/{response.json()['job']}").json()
    assert (job["state"], job["queued"], job["total"], job["answers"]) == ("queued", 4, 4, [])
    assert site.waiting() == contents


def test_a_job_can_be_watched_explained_and_forgotten(site):
    job = site.files(b"one", b"two").json()["job"]
    item = site.queue.claim()
    site.spool.keep_preview(item.item, b"RIFF")
    site.queue.finish(item, {"number": 1, "view": "A4C"}, evidence={"probabilities": {"A4C": 0.9}})
    site.spool.remove(item.file)
    said = site.client.get(f"/v1/jobs/{job}").json()
    assert said["answers"] == [{"item": item.item, "number": 1, "view": "A4C"}]
    assert (said["state"], said["done"], said["queued"]) == ("running", 1, 1)
    one = site.client.get(f"/v1/items/{item.item}").json()
    assert one["answer"]["view"] == "A4C"
    assert one["evidence"]["probabilities"] == {"A4C": 0.9}
    cine = site.client.get(f"/v1/items/{item.item}/cine")
    assert (cine.headers["content-type"], cine.content) == ("image/webp", b"RIFF")
    assert site.client.delete(f"/v1/jobs/{job}").status_code == 204
    for path in (f"jobs/{job}", f"items/{item.item}", f"items/{item.item}/cine"):
        assert is_problem(site.client.get(f"/v1/{path}"), 404)
    assert is_problem(site.client.delete(f"/v1/jobs/{job}"), 404)
    assert site.is_empty()
    assert not list((site.folder / "previews").iterdir())


def test_nothing_is_written_outside_the_private_folder(site, monkeypatch):
    def refused(*values, **named):
        raise AssertionError("a temporary file elsewhere")

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refused)
    assert site.files(b"x" * 3_000_000, zipped({"a.png": PNG + b"y" * 3_000_000})).status_code == 202


@pytest.mark.parametrize(
    "name",
    ["../../../etc/cron.d/x", "/etc/passwd", "..\\..\\x", "a\x00b", "x" * 2000, "Doe^Jane.dcm", "%2e%2e/x"],
)
def test_names_are_no_paths_and_are_not_kept(site, name):
    site.files(b"content", zipped({name.replace("\x00", "") + ".png": PNG}), names=[name, name])
    assert {file.parent for file in site.folder.rglob("*") if file.is_file()} <= {
        site.folder, site.folder / "incoming"
    }  # fmt: skip
    kept = b"".join(file.read_bytes() for file in site.folder.rglob("*") if file.is_file())
    assert b"Doe" not in kept
    assert b"passwd" not in kept
    assert b"cron" not in kept


@pytest.fixture
def logged():
    root = logging.getLogger()
    before = (root.handlers, root.level, logging.raiseExceptions)
    stream = io.StringIO()
    write_logs(stream)
    yield stream
    root.handlers, root.level, logging.raiseExceptions = before


def test_what_libraries_log_is_not_quoted(logged):
    try:
        raise ValueError("Doe^Jane")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("of %s", "Doe^Jane")
    logging.getLogger("pydicom").warning("Doe^Jane")
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [(line["level"], line.get("exception")) for line in lines] == [
        ("error", "ValueError"),
        ("warning", None),
    ]
    assert "Doe" not in logged.getvalue()


def test_logs_hold_no_name_token_address_or_content(make_site, logged):
    stream = logged
    site = make_site(token=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    sent = [("files", ("Doe^Jane.dcm", b"Doe^Jane"))]
    site.client.post("/v1/jobs?patient=Doe", files=sent, headers=headers)
    site.client.post("/v1/jobs", files=sent, headers={"Authorization": "Bearer Doe"})
    site.client.get("/Doe/Jane", headers=headers)
    site.client.request("DOE", "/v1/model", headers=headers)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["method"], line["status"]) for line in lines] == [
        ("POST", 202), ("POST", 401), ("GET", 404), ("other", 405)
    ]  # fmt: skip
    assert "Doe" not in stream.getvalue()
    assert TOKEN not in stream.getvalue()
    assert "testclient" not in stream.getvalue(), "the client's address"


def test_too_large_a_file_is_refused_and_nothing_is_left(make_site):
    site = make_site(file_mb=1)
    assert site.files(b"x" * (1 << 20)).status_code == 202
    site.queue.forget(site.queue.claim().job)
    site.spool.sweep(set())
    assert is_problem(site.files(b"x" * ((1 << 20) + 1)), 413)
    assert site.is_empty()


def test_too_large_a_request_is_refused_with_or_without_its_size_said(make_site):
    site = make_site(request_mb=1)
    form = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n' + b"x" * (1 << 20)
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert is_problem(site.send("/v1/jobs", content=form, headers=kind), 413)
    pieces = (form[at : at + 65536] for at in range(0, len(form), 65536))
    assert is_problem(site.send("/v1/jobs", content=pieces, headers=kind), 413)
    assert site.is_empty()


def test_too_many_files_are_refused(make_site):
    site = make_site(files_per_request=3)
    assert is_problem(site.files(*[b"x"] * 4), 413)
    assert is_problem(site.files(zipped({f"{n}.png": PNG for n in range(4)})), 413)
    assert is_problem(site.files(b"x", b"x", zipped({f"{n}.png": PNG for n in range(2)})), 413)
    assert site.is_empty()
    assert site.files(b"x", zipped({f"{n}.png": PNG for n in range(2)})).status_code == 202


def test_too_many_waiting_files_or_bytes_push_back(make_site):
    site = make_site(files_per_request=2, waiting_items=2, waiting_mb=1)
    assert is_problem(site.files(b"x" * (1 << 20), b"y"), 503)
    assert site.is_empty()
    assert site.files(b"x", b"y").status_code == 202
    response = site.files(b"z")
    assert is_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert len(list(site.spool.incoming.iterdir())) == 2


def test_too_many_calls_push_back_but_not_on_health(make_site):
    site = make_site(requests_per_second=0.001, burst=2)
    codes = [site.client.get("/v1/model").status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert int(site.client.get("/v1/model").headers["Retry-After"]) > 0
    assert site.client.get("/healthz").status_code == 200


def test_only_the_page_and_health_are_open_without_the_token(make_site):
    site = make_site(token=TOKEN, notify=lambda notice: None)
    for path in ("/", "/healthz", "/readyz", "/openapi.json", "/page.js"):
        assert site.client.get(path).status_code == 200, path
    some = "0" * 32
    closed = [
        ("GET", "/v1/model"), ("GET", "/metrics"), ("POST", "/v1/jobs"), ("GET", f"/v1/jobs/{some}"),
        ("DELETE", f"/v1/jobs/{some}"), ("GET", f"/v1/items/{some}"), ("GET", f"/v1/items/{some}/cine"),
        ("POST", "/v1/notify"), ("GET", "/nothing"), ("GET", "/docs"),
    ]  # fmt: skip
    for method, path in closed:
        for said in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            response = site.client.request(method, path, headers=said)
            assert is_problem(response, 401), path
            assert response.headers["www-authenticate"] == "Bearer"
    assert site.client.get("/v1/model", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_every_path_of_the_description_needs_the_token_but_health(make_site):
    site = make_site(token=TOKEN, notify=lambda notice: None)
    paths = site.client.get("/openapi.json").json()["paths"]
    open_paths = {path for path in paths if site.client.get(path).status_code != 401}
    assert open_paths == {"/healthz", "/readyz"}


def test_other_sites_pages_cannot_call_a_server_without_token(site):
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        assert is_problem(site.client.get("/v1/model", headers=headers), 403)
        sent = site.client.post("/v1/jobs", files=[("files", ("x", b"x"))], headers=headers)
        assert is_problem(sent, 403)
    assert site.queue.counts()["queued"] == 0


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "203.0.113.9"}, {"Via": "1.1 x"}, {"Forwarded": ""}])
def test_a_proxy_in_front_needs_a_token(make_site, headers):
    site = make_site()
    response = site.client.get("/v1/model", headers=headers)
    assert is_problem(response, 403)
    assert "APICAL_TOKEN" in response.json()["do"]
    assert is_problem(site.client.post("/v1/jobs", files=[("files", ("x", b"x"))], headers=headers), 403)
    assert site.client.get("/healthz", headers=headers).status_code == 200
    guarded = make_site(token=TOKEN)
    headers = {**headers, "Authorization": f"Bearer {TOKEN}"}
    assert guarded.client.get("/v1/model", headers=headers).status_code == 200


def test_only_uploads_may_be_large(make_site):
    heard = []
    site = make_site(notify=heard.append)
    kind = {"Content-Type": "application/json"}
    fitting = json.dumps({"study": "1.2.3"}).ljust(MOST_BODY).encode()
    assert site.send("/v1/notify", content=fitting, headers=kind).status_code == 202
    assert is_problem(site.send("/v1/notify", content=fitting + b" ", headers=kind), 413)
    pieces = iter([fitting] * 2)
    assert is_problem(site.send("/v1/notify", content=pieces, headers=kind), 413)
    for method, path in (("PUT", "/v1/jobs"), ("POST", "/nothing"), ("GET", "/v1/model"), ("POST", "/")):
        assert is_problem(site.client.request(method, path, content=fitting * 2), 413), path
    assert len(heard) == 1


def test_no_more_of_a_large_body_is_received_than_is_needed(make_site):
    site = make_site(notify=lambda notice: None)
    asked = []

    async def receive():
        asked.append(1)
        return {"type": "http.request", "body": b" " * 1000, "more_body": True}

    assert asyncio.run(asked_raw(site, receive)) == 413
    assert len(asked) == 5


def test_a_body_that_does_not_come_is_not_waited_for(make_site):
    site = make_site(notify=lambda notice: None, idle_seconds=0.01)

    async def receive():
        await asyncio.sleep(3600)

    assert asyncio.run(asyncio.wait_for(asked_raw(site, receive), 60)) == 408


async def asked_raw(site, receive):
    """The status of a notice whose body comes as `receive` has it."""
    statuses = []

    async def send(message):
        statuses.append(message.get("status"))

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/notify", "raw_path": b"/v1/notify", "root_path": "", "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await site.client.app(scope, receive, send)
    return statuses[0]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("", b""),
        ("text/plain", b"x"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        (f"multipart/form-data; boundary={'b' * 500}", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"garbage"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\ncut',
        ),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nno header\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            PART.replace(b"files", b"other") + b"x\r\n--b--\r\n",
        ),
        (
            "multipart/form-data; boundary=b",
            PART.replace(b'; filename="x"', b"") + b"x\r\n--b--\r\n",
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"x" * 100_000 + b"\r\n\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            PART.replace(b"\r\n\r\n", b"\r\nX: x" * 100 + b"\r\n\r\n") + b"x\r\n--b--\r\n",
        ),
    ],
)
def test_a_broken_request_is_told_so_and_leaves_nothing(site, kind, body):
    assert is_problem(site.send("/v1/jobs", content=body, headers={"Content-Type": kind}), 400)
    assert site.is_empty()


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_are_a_fault_of_the_server(make_fuzzed, noise, in_a_part):
    head = PART if in_a_part else b""
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    response = make_fuzzed.send("/v1/jobs", content=head + noise, headers=kind)
    assert response.status_code in (202, 400)


@pytest.fixture
def make_fuzzed(make_site):
    return make_site(burst=10**6)


@pytest.mark.parametrize("name", ["x", "0" * 31, "0" * 33, "G" * 32, "..", "%00", "0" * 31 + "%0a", "é" * 32])
def test_ids_that_are_none_are_refused_without_a_look(site, name):
    for path in (f"/v1/jobs/{name}", f"/v1/items/{name}", f"/v1/items/{name}/cine"):
        response = site.client.get(path)
        assert response.status_code in (404, 422)
        assert set(response.json()) == {"problem", "do"}


def test_members_of_an_archive_become_items(site):
    members = {
        "exam/a.dcm": b"damaged", "exam/b": b"\0" * 128 + b"DICM", "DICOMDIR": b"\0" * 128 + b"DICM",
        "readme.txt": b"text", ".hidden.png": PNG, "__MACOSX/x.png": PNG, "inner.zip": zipped({"x": b"x"}),
        "film.wmv": b"x", "c.PNG": PNG, "report.docx": zipped({"x": b"x"}),
    }  # fmt: skip
    job = site.files(b"first", zipped(members), b"last").json()["job"]
    problems = [one["problem"] for one in site.queue.answers(job)]
    assert problems == [
        "an archive inside an archive is not opened",
        "a video or picture of a kind that is not read; convert it to MP4 or PNG",
    ]
    assert [one.number for one in site.queue.items(job) if one.answer] == [4, 5]
    assert site.waiting() == [b"first", b"damaged", members["exam/b"], PNG, b"last"]
    assert len(list(site.spool.incoming.iterdir())) == 5, "the archive itself is gone"


def test_archives_that_cannot_be_used_say_why(make_site):
    site = make_site(file_mb=1, request_mb=8)
    locked = bytearray(zipped({"a.png": PNG}))
    for at in (locked.index(b"PK\x03\x04") + 6, locked.index(b"PK\x01\x02") + 8):
        locked[at] |= 1
    sound = zipped({"a.png": PNG + b"x" * 1000})
    broken_list = sound[: sound.index(b"PK\x01\x02")] + b"??" + sound[sound.index(b"PK\x01\x02") + 2 :]
    dense = io.BytesIO()
    with zipfile.ZipFile(dense, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.png", PNG)
    job = site.files(
        bytes(locked), sound[:-30], broken_list, zipped({"notes.txt": b"x"}), zipped({}), dense.getvalue(),
        zipped({"bomb.png": PNG + b"\0" * (3 << 20)}),
    ).json()["job"]  # fmt: skip
    assert [one["problem"] for one in site.queue.answers(job)] == [
        "encrypted in its archive",
        "damaged archive",
        "damaged archive",
        "the archive holds no file that may be a clip",
        "compressed in its archive by a method that is not accepted",
        "unpacks to more than is accepted: perhaps a decompression bomb",
    ]
    assert site.waiting() == [zipped({})], "an empty archive has no bytes by which it is known"


def test_archives_that_unpack_to_too_much_in_all_are_refused_whole(make_site):
    site = make_site(file_mb=2, request_mb=4)
    many = zipped({f"{n}.png": PNG + b"\0" * (1 << 20) for n in range(5)})
    assert is_problem(site.files(many), 413)
    assert is_problem(site.files(*[zipped({f"{n}.png": PNG + b"\0" * (1 << 20) for n in range(3)})] * 2), 413)
    assert site.is_empty()


def with_wrong_sums(archive):
    """An archive whose members are not what their check sums say."""
    changed = bytearray(archive)
    for mark, at in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        start = changed.find(mark)
        while start >= 0:
            changed[start + at] ^= 1
            start = changed.find(mark, start + 4)
    return bytes(changed)


@pytest.fixture
def written(monkeypatch):
    """Bytes that were written to files, piece by piece."""
    sizes, write = [], os.write
    monkeypatch.setattr(os, "write", lambda file, data: sizes.append(len(data)) or write(file, data))
    return sizes


def test_members_that_are_refused_in_the_end_count_too(make_site, written):
    site = make_site(file_mb=2, request_mb=4)
    damaged = with_wrong_sums(zipped({f"{n}.png": PNG + b"\0" * (1 << 20) for n in range(50)}))
    assert is_problem(site.files(damaged), 413)
    assert sum(written) <= len(damaged) + (5 << 20)
    assert site.is_empty()


def test_members_that_say_that_they_are_too_large_are_not_unpacked(make_site, written):
    site = make_site(file_mb=1, request_mb=4)
    bomb = zipped({f"{n}.png": PNG + b"\0" * (1 << 20) for n in range(50)})
    job = site.files(bomb).json()["job"]
    assert {one["problem"] for one in site.queue.answers(job)} == {
        "unpacks to more than is accepted: perhaps a decompression bomb"
    }
    assert sum(written) == len(bomb)


def test_a_member_gives_no_more_than_it_says(make_site, written):
    site = make_site(file_mb=1)
    bomb = bytearray(zipped({"a.png": PNG + b"\0" * (9 << 20)}))
    for at in (bomb.index(b"PK\x03\x04") + 22, bomb.index(b"PK\x01\x02") + 24):
        bomb[at : at + 4] = (1000).to_bytes(4, "little")
    job = site.files(bytes(bomb)).json()["job"]
    assert [one["problem"] for one in site.queue.answers(job)] == ["damaged archive"]
    assert sum(written) <= len(bomb) + 1000


def test_archives_that_take_too_long_are_refused(make_site):
    site = make_site(unpack_seconds=1e-9)
    response = site.files(zipped({"a.png": PNG}))
    assert is_problem(response, 413)
    assert "too long" in response.json()["problem"]
    assert site.is_empty()


def test_files_do_not_wait_for_archives_of_others(site, monkeypatch):
    inside, go = threading.Event(), threading.Event()

    def slow(*values, **named):
        inside.set()
        assert go.wait(60)
        return unpack(*values, **named)

    monkeypatch.setattr(uploads, "unpack", slow)

    async def send():
        transport = httpx.ASGITransport(site.client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            first = asyncio.create_task(
                client.post("/v1/jobs", files={"files": ("x", zipped({"a.png": PNG}))}, timeout=60)
            )
            while not inside.is_set():
                await asyncio.sleep(0.01)
            try:
                second = await asyncio.wait_for(client.post("/v1/jobs", files={"files": ("x", b"x")}), 30)
            finally:
                go.set()
            return (await first).status_code, second.status_code

    assert asyncio.run(send()) == (202, 202)


def test_a_list_of_members_that_is_too_long_is_not_read(site, monkeypatch):
    archive = zipped({"a.png": PNG})
    end = archive.rindex(b"PK\x05\x06")
    lying = archive[: end + 12] + (LARGEST_LIST + 1).to_bytes(4, "little") + archive[end + 16 :]
    saturated = archive[: end + 12] + b"\xff" * 4 + archive[end + 16 :]
    end64 = b"PK\x06\x06" + b"\0" * 36 + (1 << 40).to_bytes(8, "little") + b"\0" * 8
    hidden = archive[:end] + end64 + b"PK\x06\x07" + b"\0" * 16 + archive[end:]

    def must_not(*values):
        raise AssertionError("the list was read")

    monkeypatch.setattr(zipfile, "ZipFile", must_not)
    job = site.files(lying, saturated, hidden).json()["job"]
    assert [one["problem"] for one in site.queue.answers(job)] == ["an archive of too many files"] * 3


def test_readiness_health_and_figures(site):
    assert site.client.get("/healthz").json() == {"alive": True}
    assert site.client.get("/readyz").json() == {"ready": True}
    site.ready = False
    assert site.client.get("/readyz").status_code == 503
    assert site.client.get("/healthz").status_code == 200
    site.alive = False
    dead = site.client.get("/healthz")
    assert (dead.status_code, dead.json()) == (503, {"alive": False})
    site.files(b"one", b"four")
    site.files()
    text = site.client.get("/metrics").text
    for line in (
        'apical_jobs_total{source="http"} 1.0', "apical_items_queued 2.0", "apical_bytes_waiting 7.0",
        'apical_refused_total{status="400"} 1.0', "apical_outbox 0.0",
    ):  # fmt: skip
        assert f"{line}\n" in text


def test_the_model_is_told_with_the_limits(site):
    said = site.client.get("/v1/model").json()
    assert said["version"] == "v"
    assert said["limits"] == {"file_mb": 2048, "files_per_request": 500, "request_mb": 4096}


def test_a_notice_is_passed_on_only_where_there_is_a_pacs(make_site, site):
    assert site.send("/v1/notify", json={}).status_code == 404
    heard = []
    other = make_site(notify=heard.append)
    assert other.send("/v1/notify", json={"study": "1.2.3"}).status_code == 202
    assert (heard[0].study, heard[0].instance) == ("1.2.3", None)
    for wrong in ({"study": "x"}, {"patient": "Doe"}, [], "x", {"study": 5}):
        response = other.send("/v1/notify", json=wrong)
        assert is_problem(response, 422)
        assert "Doe" not in response.text


def test_every_answer_has_the_headers_that_protect(site):
    for response in (site.client.get("/"), site.client.get("/nothing"), site.client.get("/v1/model")):
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
        assert response.headers["content-security-policy"].startswith("default-src 'self';")


def test_the_page_has_nothing_that_its_policy_forbids(site):
    page = site.client.get("/").text
    assert "style=" not in page
    assert not re.search(r"<[^>]*\son\w+=", page)
    assert all("src=" in tag.split(">")[0] for tag in page.split("<script")[1:])


def test_a_fault_is_an_error_without_details(site, monkeypatch):
    def fault(job):
        raise RuntimeError("/home/somebody")

    monkeypatch.setattr(site.queue, "job", fault)
    response = site.client.get(f"/v1/jobs/{'0' * 32}")
    assert is_problem(response, 500)
    assert "somebody" not in response.text


def test_a_queue_that_cannot_be_written_pushes_back_and_keeps_nothing(site):
    site.queue._db.execute("PRAGMA query_only = ON")
    response = site.files(b"x")
    assert is_problem(response, 503)
    assert "Retry-After" in response.headers
    assert site.is_empty()
