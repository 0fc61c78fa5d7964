"""A real server in a process of its own: nothing that it accepted is lost, however it ends."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

import httpx
from fake_answerers import clip_of

from apical.deploy.service.queue import Queue

SCRIPT = Path(__file__).with_name("fake_server.py")
PATIENCE = 60  # seconds
HALF = (  # of an upload
    b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\nhalf a file'
)


class Server:
    """A process that serves; its state outlives it."""

    def __init__(self, folder):
        self.folder, self.state, self.log = folder, folder / "state", folder / "log"
        self.process = self.client = None

    def start(self, *, files=None, **settings):
        self.errors = (self.folder / "errors").open("ab")
        values = json.dumps({"port": 0, **settings})
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(self.state), str(self.log), values],
            stdout=subprocess.PIPE, stderr=self.errors, text=True,
            preexec_fn=files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))),
        )  # fmt: skip
        self.said = self.process.stdout.readline()
        found = re.search(r"http://\S+:(\d+)", self.said)
        assert found, (self.folder / "errors").read_text()
        self.port = int(found[1])
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)
        wait_for(lambda: self.get("/readyz") == 200)
        return self

    def get(self, path):
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            return None

    def send(self, *texts, **options):
        sent = [("files", (f"Doe^Jane-{number}.dcm", text)) for number, text in enumerate(texts)]
        response = self.client.post("/v1/jobs", files=sent, **options)
        assert response.status_code == 202, response.text
        return response.json()["job"]

    def job(self, job):
        return self.client.get(f"/v1/jobs/{job}").json()

    def answers(self, job):
        wait_for(lambda: self.job(job)["state"] == "done")
        return self.job(job)["answers"]

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.client.close()
        self.errors.close()
        return code

    def answering(self):
        """The processes that answer; another below the server only cleans up after them."""
        return {one for one in children(self.process) if b"spawn_main" in command_of(one)}

    def looked_at(self):
        return Counter(self.log.read_text().split())


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGKILL)


def wait_for(is_so):
    last = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < last, "waited in vain"
        time.sleep(0.02)


def children(process):
    """The processes below one, by the kernel's list."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        found = [int(word) for word in file.read().split()]
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{thread}/children") as file:
            found += [int(word) for word in file.read().split()]
    return set(found)


def command_of(number):
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def is_alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_files_are_answered_and_sigterm_ends_in_good_order(server):
    server.start()
    assert "no token is needed" in server.said
    answers = server.answers(server.send(b"one", b"bad:", b"three"))
    assert [one["clip"] for one in answers] == [clip_of(b"one"), None, clip_of(b"three")]
    cine = server.client.get(f"/v1/items/{answers[0]['item']}/cine")
    assert cine.content[:4] == b"RIFF"
    assert server.end() == 0
    assert not list((server.state / "incoming").iterdir())


def test_sigterm_loses_nothing_and_a_new_server_goes_on(server):
    server.start(shutdown_seconds=0)
    wait = f"wait:{server.folder}/go".encode()
    jobs = [server.send(wait, b"two"), server.send(b"three")]
    wait_for(lambda: server.job(jobs[0])["running"] == 1)
    assert server.end() == 0
    (server.folder / "go").touch()
    server.start()
    clips = [one["clip"] for job in jobs for one in server.answers(job)]
    assert clips == [clip_of(wait), clip_of(b"two"), clip_of(b"three")]


def test_kill_9_in_the_middle_loses_nothing_and_answers_nothing_twice(server):
    texts = [f"{number}".encode() for number in range(40)]
    jobs, sent = [], iter(texts)
    for after in (7, 19):
        server.start(workers=2)
        while len(jobs) < after:
            jobs.append(server.send(next(sent), next(sent)))
        below = children(server.process)
        server.end(signal.SIGKILL)
        wait_for(lambda below=below: not any(is_alive(one) for one in below))
    server.start(workers=2)
    jobs.append(server.send(next(sent), next(sent)))
    answers = [one for job in jobs for one in server.answers(job)]
    assert [one["clip"] for one in answers] == [clip_of(text) for text in texts]
    assert len({one["item"] for one in answers}) == 40
    assert server.client.get("/metrics").text.count("apical_items_queued 0.0\n") == 1
    server.end()
    assert not list((server.state / "incoming").iterdir())
    again = {clip: count for clip, count in server.looked_at().items() if count > 1}
    assert len(again) <= 2 * 2, "only what was running when the server died is looked at again"


def test_half_an_upload_of_a_dead_server_is_swept_away(server):
    server.start()
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(HALF)
        wait_for(lambda: list((server.state / "incoming").iterdir()))
        server.end(signal.SIGKILL)
    server.start()
    assert not list((server.state / "incoming").iterdir())
    assert server.client.get("/metrics").text.count("apical_bytes_waiting 0.0\n") == 1


def test_a_client_that_goes_or_falls_silent_leaves_nothing(server):
    server.start(idle_seconds=0.5)
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(HALF)
        wait_for(lambda: list((server.state / "incoming").iterdir()))
    wait_for(lambda: not list((server.state / "incoming").iterdir()))
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as line:
        line.sendall(HALF)
        assert b"408" in line.recv(4096).split(b"\r\n")[0]
    wait_for(lambda: not list((server.state / "incoming").iterdir()))


def test_a_connection_without_a_whole_head_is_closed(server):
    server.start(idle_seconds=0.5)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert line.recv(4096) == b""
    assert server.get("/healthz") == 200


def is_cut(line):
    """Whether the server closes a connection, without a word."""
    try:
        return line.recv(4096) == b""
    except ConnectionResetError:
        return True


def connected(server, address="127.0.0.1"):
    where = ("127.0.0.1", server.port)
    return socket.create_connection(where, timeout=PATIENCE, source_address=(address, 0))


def test_connections_are_counted_before_anything_is_asked(server):
    server.start(connections=5, connections_per_client=3)
    server.client.close()
    with ExitStack() as stack:
        for _ in range(3):
            last = stack.enter_context(connected(server, "127.0.0.2"))
            last.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200 OK" in last.recv(4096)
        assert is_cut(stack.enter_context(connected(server, "127.0.0.2"))), "too many of one"
        others = [stack.enter_context(connected(server, address)) for address in ("127.0.0.3", "127.0.0.4")]
        for one in others:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200 OK" in one.recv(4096)
        assert is_cut(stack.enter_context(connected(server, "127.0.0.5"))), "too many in all"
    server.client = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE)
    wait_for(lambda: server.get("/healthz") == 200)


def test_idle_connections_do_not_keep_a_process_from_being_started(server):
    server.start(files=340, connections=5000, connections_per_client=5000, idle_seconds=3600)
    (before,) = server.answering()
    with ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(connected(server))
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: server.answering() - {before})
    wait_for(lambda: server.get("/readyz") == 200)
    assert server.answers(server.send(b"one"))[0]["view"] == "A4C"


def test_a_connection_that_reads_no_answer_is_closed(server):
    server.start(idle_seconds=0.5, burst=10**9)
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100
    with connected(server) as line:
        line.setblocking(False)

        def is_ended():
            try:
                line.send(ask)
            except BlockingIOError:
                return False
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False

        wait_for(is_ended)
    assert server.get("/healthz") == 200


def test_what_speaks_like_nginx_in_front_of_us_needs_a_token(server):
    server.start()
    with connected(server) as line:
        line.sendall(b"GET /v1/model HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert b"403" in line.recv(4096).split(b"\r\n")[0]


def test_the_processes_below_end_with_the_server_even_if_it_is_killed(server):
    server.start(workers=2)
    below = children(server.process)
    assert len(below) >= 2
    server.end(signal.SIGKILL)
    wait_for(lambda: not any(is_alive(one) for one in below))


def test_a_signal_to_all_processes_at_once_loses_nothing(server):
    server.start()
    job = server.send(f"wait:{server.folder}/go".encode())
    wait_for(lambda: server.job(job)["running"] == 1)
    for one in children(server.process):
        os.kill(one, signal.SIGTERM)
        os.kill(one, signal.SIGINT)
    (server.folder / "go").touch()
    assert server.answers(job)[0]["view"] == "A4C"
    assert sum(server.looked_at().values()) == 1
    assert server.end(signal.SIGINT) == 0


def test_one_server_a_folder(server, tmp_path):
    server.start()
    values = json.dumps({"port": 0})
    second = subprocess.run(
        [sys.executable, str(SCRIPT), str(server.state), str(server.log), values],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert "another server uses this state folder" in second.stderr
    assert server.answers(server.send(b"one"))[0]["view"] == "A4C"


def test_a_port_that_is_taken_is_said(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        values = json.dumps({"port": taken.getsockname()[1]})
        second = subprocess.run(
            [sys.executable, str(SCRIPT), str(server.state), str(server.log), values],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert "cannot listen at port" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_folder_with_other_files_is_not_taken(server):
    server.state.mkdir()
    (server.state / "thesis.doc").touch()
    second = subprocess.run(
        [sys.executable, str(SCRIPT), str(server.state), str(server.log), "{}"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "holds other files" in second.stderr
    assert [file.name for file in server.state.iterdir()] == ["thesis.doc"]


def test_beyond_loopback_a_token_is_made_and_needed(server):
    server.start(host="0.0.0.0")
    path = server.state / "token"
    assert f"'{path}'" in server.said
    token = path.read_text().strip()
    assert token not in server.said
    assert server.get("/v1/model") == 401
    server.client.headers["Authorization"] = f"Bearer {token}"
    assert server.answers(server.send(b"one"))[0]["view"] == "A4C"
    server.end()
    server.start(host="0.0.0.0")
    server.client.headers["Authorization"] = f"Bearer {token}"
    assert server.get("/v1/model") == 200


def test_nothing_that_is_logged_or_kept_holds_a_name_or_the_token(server):
    token = "a-token-of-some-length"
    server.start(token=token)
    server.client.headers["Authorization"] = f"Bearer {token}"
    server.answers(server.send(b"print:Doe^Jane", b"raise:Doe^Jane", b"crash:Doe^Jane"))
    server.client.get("/Doe^Jane?name=Doe^Jane", headers={"User-Agent": "Doe^Jane"})
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as line:
        line.sendall(b"Doe^Jane\r\n\r\n")
        line.recv(4096)
    server.end()
    said = (server.folder / "errors").read_bytes()
    lines = [json.loads(line) for line in said.splitlines()]
    assert {"picked up", "request", "answered", "process ended", "stopping"} <= {
        line["event"] for line in lines
    }
    kept = [file.read_bytes() for file in server.state.rglob("*") if file.is_file()]
    for text in (b"Doe", b"Jane", token.encode(), b"127.0.0.1"):
        assert not any(text in one for one in [said, *kept])


def test_what_came_from_a_pacs_before_a_kill_is_sent_once(server):
    server.start()
    server.end()
    queue = Queue(server.state / "queue.sqlite", 100)
    file = server.state / "incoming" / "x"
    file.write_bytes(b"one")
    queue.accept("c-store", [file], key="k")
    queue.claim()
    queue.close()
    server.start()
    wait_for(lambda: server.client.get("/metrics").text.count("apical_outbox 1.0\n") == 1)
    server.end(signal.SIGKILL)
    server.start()
    server.end()
    queue = Queue(server.state / "queue.sqlite", 100)
    assert queue.due(1e12).document == b"SR of " + clip_of(b"one").encode()
    queue.sent(queue.due(1e12))
    assert queue.due(1e12) is None
    queue.close()
