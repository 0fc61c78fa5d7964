import math
import time

import pytest

from apical.deploy.service.metrics import Metrics
from apical.deploy.service.queue import NEVER, Queue
from apical.deploy.service.spool import Spool

pytest.importorskip("prometheus_client", reason="apical[serve] is not installed")


class Link:
    def __init__(self):
        self.problems = {"pacs": None, "outbox": "the PACS does not let us in (HTTP 401)"}


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite", 10)
    yield queue
    queue.close()


def test_refused_documents_are_counted_apart_from_those_that_wait(queue, tmp_path):
    for number in range(5):
        queue.accept("pacs", [tmp_path / str(number)])
        queue.finish(queue.claim(), {}, document=b"SR")
    for until in (NEVER, NEVER, time.time() + 1000):
        queue.put_off(queue.due(time.time()), "no", until)
    text = Metrics(queue, Spool(tmp_path)).text().decode()
    assert "apical_outbox 3.0\n" in text
    assert "apical_outbox_refused 2.0\n" in text
    assert math.isinf(NEVER)


def test_problems_of_what_runs_beside_are_told_without_their_text(queue, tmp_path):
    metrics = Metrics(queue, Spool(tmp_path))
    assert "apical_problem{" not in metrics.text().decode()
    metrics.watch(object())  # a receiver, which says nothing of problems
    link = Link()
    metrics.watch(link)
    text = metrics.text().decode()
    assert 'apical_problem{part="pacs"} 0.0\n' in text
    assert 'apical_problem{part="outbox"} 1.0\n' in text
    assert "let us in" not in text
    link.problems = {"pacs": None, "outbox": None}
    assert 'apical_problem{part="outbox"} 0.0\n' in metrics.text().decode()
