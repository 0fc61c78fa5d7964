"""What was accepted is answered once, whatever dies in between."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apical.deploy.service.queue import CRASHED, MOST_ATTEMPTS, MOST_STARTS, Queue, Refused, TooBusy
from apical.errors import CannotDo


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 5)
    yield queue
    queue.close()


def files(folder, count):
    made = [folder / "incoming" / os.urandom(8).hex() for _ in range(count)]
    for file in made:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return made


def test_items_are_claimed_once_and_those_of_a_job_in_order(queue, tmp_path):
    first, second = files(tmp_path, 3), files(tmp_path, 1)
    jobs = [queue.accept("http", first), queue.accept("c-store", second)]
    claimed = [queue.claim() for _ in range(4)]
    assert [one.file for one in claimed] == [first[0], *second, *first[1:]]
    assert [one.job for one in claimed] == [jobs[0], jobs[1], jobs[0], jobs[0]]
    assert [one.number for one in claimed] == [1, 1, 2, 3]
    assert [one.source for one in claimed] == ["http", "c-store", "http", "http"]
    assert queue.claim() is None


def test_a_small_job_does_not_wait_for_all_of_a_large_one(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 1000)
    queue.accept("http", files(tmp_path, 500))
    for _ in range(3):
        queue.claim()
    small = queue.accept("http", files(tmp_path, 1))
    assert small in [queue.claim().job for _ in range(2)]


def test_a_large_job_does_not_wait_for_all_small_ones(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 1000)
    large = queue.accept("http", files(tmp_path, 20))
    for _ in range(100):
        queue.accept("c-store", files(tmp_path, 1))
    claimed = [queue.claim().job for _ in range(40)]
    assert claimed.count(large) == 20


def test_a_job_goes_from_queued_to_done(queue, tmp_path):
    job = queue.accept("http", files(tmp_path, 2))
    states = [queue.job(job).state]
    for _ in range(2):
        item = queue.claim()
        states.append(queue.job(job).state)
        queue.finish(item, {"view": item.number}, evidence={"why": 1})
        states.append(queue.job(job).state)
    assert states == ["queued", "running", "running", "running", "done"]
    assert (queue.job(job).done, queue.job(job).total) == (2, 2)
    assert [(one["item"], one["view"]) for one in queue.answers(job)] == [
        (one.item, one.number) for one in queue.items(job)
    ]
    assert queue.item(item.item).evidence == {"why": 1}


def test_ids_are_long_random_and_fit_for_urls(queue, tmp_path):
    job = queue.accept("http", files(tmp_path, 1))
    names = [job, queue.items(job)[0].item]
    assert all(len(bytes.fromhex(name)) == 16 for name in names)


def test_what_is_done_stays_as_it_is(queue, tmp_path):
    job = queue.accept("http", files(tmp_path, 1))
    item = queue.claim()
    assert queue.finish(item, {"view": "A4C"}, document=b"one")
    assert not queue.finish(item, {"view": "PLAX"}, document=b"two")
    queue.failed(item, "late")
    queue.give_back(item)
    assert queue.answer(item.item) == {"view": "A4C"}
    assert queue.due(1e12).document == b"one"
    assert queue.job(job).state == "done"


def test_too_many_are_refused_whole(queue, tmp_path):
    queue.accept("http", files(tmp_path, 4))
    assert not queue.is_full
    with pytest.raises(TooBusy):
        queue.accept("http", files(tmp_path, 2))
    assert queue.counts()["queued"] == 4
    queue.accept("http", files(tmp_path, 1))
    assert queue.is_full
    queue.finish(queue.claim(), {})
    assert not queue.is_full


def test_a_file_refused_before_is_done_at_once_in_its_place(queue, tmp_path):
    job = queue.accept("http", [*files(tmp_path, 1), Refused("encrypted")])
    one, two = queue.items(job)
    assert (one.state, two.state) == ("queued", "done")
    assert two.answer["problem"] == "encrypted"
    assert two.answer["number"] == 2
    assert "file" not in two.answer


def test_the_same_key_is_accepted_once_and_its_files_are_removed(queue, tmp_path):
    first, again = files(tmp_path, 1), files(tmp_path, 1)
    assert not queue.knows("k")
    job = queue.accept("pacs", first, key="k")
    assert queue.accept("pacs", again, key="k") == job
    assert queue.knows("k")
    assert (first[0].exists(), again[0].exists()) == (True, False)
    assert queue.counts()["queued"] == 1
    queue.forget(job)
    assert queue.accept("pacs", files(tmp_path, 1), key="k") == job
    assert queue.counts()["queued"] == 0


def test_a_restart_queues_again_what_ran_and_at_last_it_is_a_problem(queue, tmp_path):
    job = queue.accept("http", files(tmp_path, 1))
    for attempt in range(1, MOST_STARTS + 1):
        assert queue.answers(job) == []
        assert queue.claim().attempts == attempt
        queue.restart()
    assert [one["problem"] for one in queue.answers(job)] == [CRASHED]
    assert queue.claim() is None


def test_the_third_crash_is_a_problem(queue, tmp_path):
    job = queue.accept("http", files(tmp_path, 1))
    assert [queue.failed(queue.claim(), "crashed") for _ in range(MOST_ATTEMPTS)] == [False, False, True]
    assert [one["problem"] for one in queue.answers(job)] == ["crashed"]


def test_what_was_given_back_has_not_been_tried(queue, tmp_path):
    queue.accept("http", files(tmp_path, 1))
    for _ in range(5):
        item = queue.claim()
        assert item.attempts == 1
        queue.give_back(item)


def test_a_forgotten_job_leaves_nothing_behind(queue, tmp_path):
    waiting = files(tmp_path, 2)
    job = queue.accept("http", waiting)
    item = queue.claim()
    queue.finish(queue.claim(), {"view": "a-rare-word"}, document=b"another-rare-word")
    queue.give_back(item)
    ids = [one.item for one in queue.items(job)]
    assert queue.forget(job) == (ids, waiting[:1])
    assert queue.forget(job) == ([], [])
    assert queue.job(job) is None
    assert queue.items(job) == []
    assert queue.due(1e12) is None
    assert not queue.finish(item, {"view": "A4C"})
    for file in tmp_path.glob("queue.sqlite*"):
        assert b"rare-word" not in file.read_bytes(), file.name
    assert (tmp_path / "queue.sqlite-wal").stat().st_size == 0


def test_the_log_is_shortened_unless_somebody_reads(queue, tmp_path):
    queue.accept("http", files(tmp_path, 1))
    log = tmp_path / "queue.sqlite-wal"
    with sqlite3.connect(f"file:{tmp_path / 'queue.sqlite'}?mode=ro", uri=True) as reader:
        rows = reader.execute("SELECT item FROM items")
        queue.shorten_log()
        assert log.stat().st_size > 0
        assert len(rows.fetchall()) == 1
    reader.close()
    queue.shorten_log()
    assert log.stat().st_size == 0
    assert queue.claim().attempts == 1


def test_only_so_many_answers_are_kept_and_the_oldest_jobs_go_first(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 100, most_kept=10)
    waiting = queue.accept("http", [*files(tmp_path, 1), Refused("encrypted")])
    jobs = [queue.accept("http", [Refused("encrypted")] * 3) for _ in range(5)]
    assert [queue.job(job) is not None for job in jobs] == [False, False, True, True, True]
    assert queue.job(waiting).state == "running"
    assert queue.counts()["done"] == 10
    assert queue.claim().job == waiting


def test_refused_files_do_not_fill_the_disk_beside_a_job_that_waits(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 1, most_kept=20)
    queue.accept("http", files(tmp_path, 1))
    for _ in range(30):
        queue.accept("http", [Refused("encrypted in its archive")] * 5)
        assert queue.counts()["done"] <= 20


def test_answers_of_jobs_that_are_not_done_are_not_forgotten_for_others(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 100, most_kept=4)
    job = queue.accept("http", [*files(tmp_path, 1), *[Refused("encrypted")] * 4])
    with pytest.raises(TooBusy, match="too many answers"):
        queue.accept("http", [Refused("encrypted")])
    assert queue.job(job).done == 4
    queue.finish(queue.claim(), {})
    queue.accept("http", [Refused("encrypted")])
    assert queue.job(job) is None


def test_what_is_to_be_sent_is_not_forgotten_with_its_answer(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 100, most_kept=1)
    job = queue.accept("c-store", files(tmp_path, 1))
    queue.finish(queue.claim(), {}, document=b"SR")
    queue.accept("http", [Refused("encrypted")])
    assert queue.job(job) is None
    assert queue.due(1e12).document == b"SR"


def test_only_old_and_done_jobs_expire_and_the_outbox_stays(queue, tmp_path):
    done, half = queue.accept("pacs", files(tmp_path, 1)), queue.accept("pacs", files(tmp_path, 2))
    queue.finish(queue.claim(), {}, document=b"SR")
    queue.finish(queue.claim(), {})
    assert queue.expire(0) == []
    assert len(queue.expire(1e12)) == 1
    assert queue.job(done) is None
    assert queue.job(half).total == 2
    assert queue.due(1e12).document == b"SR"


def test_the_outbox_gives_what_is_due_first(queue, tmp_path):
    queue.accept("pacs", files(tmp_path, 2))
    items = [queue.claim(), queue.claim()]
    for item in items:
        queue.finish(item, {}, document=str(item.number).encode())
    assert queue.due(0) is None
    first = queue.due(1e12)
    queue.put_off(first, "the PACS does not answer", 1e11)
    second = queue.due(1e12)
    assert {first.document, second.document} == {b"1", b"2"}
    queue.sent(second)
    assert queue.due(1e10) is None
    assert queue.due(1e12).attempts == 1
    assert queue.counts()["outbox"] == 1


def test_the_folder_may_be_moved(tmp_path):
    state = tmp_path / "old"
    one = Queue(state / "queue.sqlite", 5)
    one.accept("http", [state / "incoming" / "x"])
    one.close()
    state.rename(tmp_path / "new")
    assert Queue(tmp_path / "new" / "queue.sqlite", 5).files() == {tmp_path / "new" / "incoming" / "x"}


def test_many_threads_claim_each_item_once(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 1000)
    for _ in range(10):
        queue.accept("http", files(tmp_path, 10))
    claimed = []

    def work():
        while (item := queue.claim()) is not None:
            claimed.append(item.item)
            queue.finish(item, {})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 100
    assert queue.counts()["done"] == 100


def test_a_file_that_is_no_queue_or_another_versions_is_an_error(tmp_path):
    (tmp_path / "queue.sqlite").write_bytes(b"no database, but long enough to be taken for one" * 50)
    with pytest.raises(CannotDo, match="cannot be read or written"):
        Queue(tmp_path / "queue.sqlite", 5)
    other = Queue(tmp_path / "other.sqlite", 5)
    other._db.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(CannotDo, match="another version"):
        Queue(tmp_path / "other.sqlite", 5)


def test_a_failed_write_is_an_error_and_changes_nothing(queue, tmp_path):
    job = queue.accept("http", files(tmp_path, 1))
    item = queue.claim()
    queue._db.execute("PRAGMA query_only = ON")
    with pytest.raises(CannotDo, match="cannot be read or written"):
        queue.finish(item, {})
    queue._db.execute("PRAGMA query_only = OFF")
    assert queue.job(job).running == 1
    assert queue.finish(item, {})


ACCEPTING = """
import sys
from pathlib import Path
from apical.deploy.service.queue import Queue
queue = Queue(Path(sys.argv[1]), 10**6)
while True:
    job = queue.accept("http", [Path(sys.argv[1]).parent / "x"])
    print(job, flush=True)
"""


def test_what_was_accepted_is_there_after_kill_9(tmp_path):
    path = tmp_path / "queue.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", ACCEPTING, str(path)], stdout=subprocess.PIPE, text=True
    )
    told = [process.stdout.readline().strip() for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().split("\n")[:-1]
    process.wait()
    queue = Queue(path, 10**6)
    assert all(queue.job(job) is not None for job in told)


class AnyOrder(RuleBasedStateMachine):
    """Accept, claim, finish, fail, give back, forget and die in any order."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "queue.sqlite"
        self.queue = Queue(self.path, 20)
        self.waiting, self.running, self.answers, self.tries = [], {}, {}, {}

    def teardown(self):
        self.queue.close()
        self.folder.cleanup()

    @rule(count=st.integers(1, 4))
    def accept(self, count):
        if len(self.waiting) + len(self.running) + count > 20:
            with pytest.raises(TooBusy):
                self.queue.accept("http", [Path("x")] * count)
            return
        job = self.queue.accept("http", [Path("x")] * count)
        self.waiting += [one.item for one in self.queue.items(job)]

    @rule()
    def claim(self):
        item = self.queue.claim()
        if not self.waiting:
            assert item is None
            return
        self.tries[item.item] = self.tries.get(item.item, 0) + 1
        assert item.attempts == self.tries[item.item]
        self.waiting.remove(item.item)
        self.running[item.item] = item

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data):
        item = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        assert self.queue.finish(item, {"by": item.attempts})
        self.answers[item.item] = {"by": item.attempts}
        assert not self.queue.finish(item, {"by": "somebody else"})

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tried=st.booleans())
    def leave(self, data, tried):
        item = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        if not tried:
            self.queue.give_back(item)
            self.tries[item.item] -= 1
        elif self.queue.failed(item, "crashed"):
            assert self.tries[item.item] >= MOST_ATTEMPTS
            self.answers[item.item] = self.queue.answer(item.item)
            return
        self.waiting.append(item.item)

    @rule()
    def die(self):
        self.queue.close()
        self.queue = Queue(self.path, 20)
        self.queue.restart()
        for name in self.running:
            if self.tries[name] >= MOST_STARTS:
                self.answers[name] = self.queue.answer(name)
                assert self.answers[name]["problem"] == CRASHED
            else:
                self.waiting.append(name)
        self.running = {}

    @invariant()
    def every_item_is_waiting_running_or_answered_once(self):
        counts = self.queue.counts()
        assert counts["queued"] == len(self.waiting)
        assert counts["running"] == len(self.running)
        assert counts["done"] == len(self.answers)
        assert all(self.queue.answer(name) == answer for name, answer in self.answers.items())


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
