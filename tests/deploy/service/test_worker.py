"""Every item is answered or a problem, whatever a file does to the process that reads it."""

import functools
import json
import multiprocessing
import threading
import time

import pytest
from fake_answerers import clip_of, document, open_broken, open_fake, open_refused
from PIL import Image

pytest.importorskip("prometheus_client", reason="the extra 'serve' is not installed")

from apical.deploy.service import worker
from apical.deploy.service.metrics import Metrics
from apical.deploy.service.queue import CRASHED, Queue
from apical.deploy.service.spool import Spool
from apical.deploy.service.worker import Workers
from apical.errors import CannotDo
from apical.ingest.parallel import TOO_LONG, TOO_MUCH


class Service:
    """A queue, a spool and processes that answer."""

    def __init__(self, folder):
        self.spool = Spool(folder / "state")
        self.queue = Queue(folder / "state" / "queue.sqlite", 100, self.spool.remove)
        self.metrics = Metrics(self.queue, self.spool)
        self.workers = None

    def start(self, opener=open_fake, **options):
        self.workers = Workers(self.queue, self.spool, self.metrics, opener, **options)
        return self.workers.start()

    def send(self, *texts, source="http"):
        return self.queue.accept(source, [self.spool.receive([text], 1 << 20) for text in texts])

    def answers(self, job):
        wait_for(lambda: self.queue.job(job).state == "done")
        return self.queue.answers(job)

    def counts(self, line):
        """Wait until a figure is so: it is counted just after the answer can be seen."""
        wait_for(lambda: f"{line}\n" in self.metrics.text().decode())


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path)
    yield made
    if made.workers is not None:
        made.workers.stop(0)
    made.queue.close()


def wait_for(is_so, seconds=60):
    last = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < last, "waited in vain"
        time.sleep(0.02)


def test_files_are_answered_and_removed(service, tmp_path):
    model = service.start(functools.partial(open_fake, tmp_path / "log"), count=2)
    assert model["version"] == "fake"
    assert model["runtime"] == "fake (cpu)"
    assert {"name": "A4C", "title": "apical four-chamber"}.keys() == model["views"][0].keys()
    texts = [b"one", b"bad:", b"three", b"print:Doe^Jane"]
    answers = service.answers(service.send(*texts))
    assert [one["clip"] for one in answers] == [clip_of(b"one"), None, clip_of(b"three"), clip_of(texts[3])]
    assert answers[1]["problem"] == "damaged"
    assert all("file" not in one for one in answers)
    assert answers[0]["unknown_score"] is None, "JSON has no NaN"
    wait_for(lambda: not list(service.spool.incoming.iterdir()))
    assert sorted((tmp_path / "log").read_text().split()) == sorted(clip_of(text) for text in texts)
    service.counts('apical_items_total{outcome="view"} 3.0')
    service.counts('apical_items_total{outcome="problem"} 1.0')
    service.counts("apical_item_seconds_count 4.0")


def test_evidence_and_cine_are_kept(service):
    service.start()
    (one,) = service.answers(service.send(b"one"))
    evidence = service.queue.item(one["item"]).evidence
    assert len(evidence["probabilities"]) == 5
    assert list(evidence["probabilities"].values())[:2] == pytest.approx([0.45, 0.3])
    assert [(at["number"], at["probability"]) for at in evidence["frames"]] == [(0, 0.9), (3, 0.6)]
    assert (evidence["unknown_threshold"], evidence["doubtful_below"]) == (9.0, 0.8)
    with Image.open(service.spool.preview(one["item"])) as cine:
        assert (cine.format, cine.n_frames, cine.size) == ("WEBP", 2, (32, 32))
        assert not cine.getexif()


def test_only_what_came_from_a_pacs_is_sent_back(service):
    service.start(document=document)
    for source in ("http", "c-store"):
        service.answers(service.send(b"one", b"bad:", source=source))
    assert service.queue.counts()["outbox"] == 1
    assert service.queue.due(1e12).document == b"SR of " + clip_of(b"one").encode()


def test_an_answer_without_its_document_is_kept(service):
    service.start(document=document)
    (one,) = service.answers(service.send(b"no-sr", source="c-store"))
    assert one["view"] == "A4C"
    assert service.queue.counts()["outbox"] == 0


@pytest.mark.parametrize(
    ("text", "problem", "why", "options"),
    [
        (b"crash:", CRASHED, "crash", {}),
        (b"hang:", TOO_LONG, "time", {"seconds": 0.5}),
        (b"eat:", TOO_MUCH, "memory", {"memory_mb": 512}),
        (b"raise:Doe^Jane", "it could not be answered", "other", {}),
    ],
)
def test_a_file_that_kills_its_process_is_tried_three_times_and_harms_no_other(
    service, text, problem, why, options
):
    service.start(**options)
    first, bad, last = service.answers(service.send(b"one", text, b"three"))
    assert (first["problem"], bad["problem"], last["problem"]) == (None, problem, None)
    service.counts(f'apical_crashes_total{{why="{why}"}} 3.0')
    wait_for(lambda: not list(service.spool.incoming.iterdir()))


def test_a_file_that_hangs_once_is_answered_by_the_next_process(service, tmp_path):
    service.start(seconds=0.5)
    (one,) = service.answers(service.send(f"hang-once:{tmp_path}/marker".encode()))
    assert one["view"] == "A4C"
    service.counts('apical_crashes_total{why="time"} 1.0')


def test_a_process_that_dies_while_it_waits_costs_no_attempt(service):
    service.start()
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    service.answers(service.send(b"one"))
    service.counts('apical_items_total{outcome="view"} 1.0')
    assert b"apical_crashes_total{" not in service.metrics.text()


def test_stopping_lets_finish_what_runs_and_leaves_the_rest_queued(service, tmp_path):
    service.start()
    job = service.send(f"wait:{tmp_path}/go".encode(), b"two")
    wait_for(lambda: service.queue.job(job).running == 1)
    stopping = threading.Thread(target=service.workers.stop, args=[60])
    stopping.start()
    wait_for(lambda: not service.workers.is_ready)
    (tmp_path / "go").touch()
    stopping.join()
    state = service.queue.job(job)
    assert (state.queued, state.running, state.done) == (1, 0, 1)


def test_what_does_not_finish_in_time_is_queued_again_untried(service):
    service.start()
    job = service.send(b"hang:")
    wait_for(lambda: service.queue.job(job).running == 1)
    service.workers.stop(0)
    assert service.queue.claim().attempts == 1
    assert list(service.spool.incoming.iterdir())


def test_a_job_that_is_forgotten_while_it_runs_leaves_nothing(service, tmp_path):
    service.start()
    job = service.send(f"wait:{tmp_path}/go".encode())
    wait_for(lambda: service.queue.job(job).running == 1)
    items, _ = service.queue.forget(job)
    (tmp_path / "go").touch()
    wait_for(lambda: not list(service.spool.incoming.iterdir()))
    service.answers(service.send(b"two"))
    assert service.spool.preview(items[0]) is None


@pytest.mark.parametrize("end", ["crash", "stop"])
def test_a_job_that_is_forgotten_while_it_runs_leaves_nothing_however_that_ends(service, end):
    service.start()
    job = service.send(b"hang:")
    wait_for(lambda: service.queue.job(job).running == 1)
    assert service.queue.forget(job)[1] == []
    if end == "crash":
        for child in multiprocessing.active_children():
            child.kill()
    else:
        service.workers.stop(0)
    wait_for(lambda: not list(service.spool.incoming.iterdir()))
    assert service.spool.bytes_waiting == 0


def failing(times, error, then):
    """A function that raises so many times, and then does what another does."""
    left = [error] * times

    def call(*values, **named):
        if left:
            raise left.pop()
        return then(*values, **named)

    return call


def test_a_process_that_cannot_be_started_is_tried_again(service, monkeypatch):
    service.start()
    no_files = failing(1, OSError(24, "Too many open files"), worker._Child)
    monkeypatch.setattr(worker, "_Child", no_files)
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    (one,) = service.answers(service.send(b"one"))
    assert one["view"] == "A4C"
    assert service.workers.is_alive
    assert service.workers.is_ready


def test_a_first_process_that_cannot_be_started_is_an_error(service, monkeypatch):
    monkeypatch.setattr(worker, "_Child", failing(9, OSError(24, "Too many open files"), None))
    said = []

    def start():
        with pytest.raises(CannotDo) as error:
            service.start()
        said.append(str(error.value))

    threading.Thread(target=start, daemon=True).start()  # so that one that hangs is a failure
    wait_for(lambda: said)
    assert "OSError" in said[0]
    assert "enough files may be open" in said[0]
    assert not service.workers.is_alive


@pytest.mark.parametrize("method", ["claim", "finish", "item"])
def test_a_fault_ends_no_keeper_and_loses_no_item(service, monkeypatch, method, caplog):
    fault = failing(1, ValueError("Doe^Jane"), getattr(service.queue, method))
    monkeypatch.setattr(service.queue, method, fault)
    service.start()
    job = service.send(b"one")
    wait_for(lambda: service.queue.job(job).state == "done")
    assert [one["view"] for one in service.queue.answers(job)] == ["A4C"]
    assert service.workers.is_alive
    service.answers(service.send(b"two"))
    assert "fault" in caplog.text
    assert "Doe" not in caplog.text


def test_a_full_disk_is_waited_for(service, monkeypatch):
    finish, failures = service.queue.finish, []

    def full_at_first(*values, **named):
        if len(failures) < 1:
            failures.append(1)
            raise CannotDo("the queue cannot be written", "free some space")
        return finish(*values, **named)

    monkeypatch.setattr(service.queue, "finish", full_at_first)
    service.start()
    (one,) = service.answers(service.send(b"one"))
    assert (one["view"], failures) == ("A4C", [1])


def test_a_bundle_that_cannot_be_opened_is_said_at_the_start(service):
    with pytest.raises(CannotDo, match="the bundle is not whole"):
        service.start(open_refused)


def test_a_library_that_fails_at_the_start_is_not_quoted(service):
    with pytest.raises(CannotDo, match="RuntimeError") as error:
        service.start(open_broken)
    assert "somebody" not in str(error.value)


def test_no_text_of_a_file_is_printed_or_logged(service, capfd, caplog):
    service.start()
    service.answers(service.send(b"print:Doe^Jane", b"raise:Doe^Jane"))
    printed = capfd.readouterr()
    said = json.dumps([printed.out, printed.err, caplog.text])
    assert "Doe" not in said
