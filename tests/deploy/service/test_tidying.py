"""What is old or nobody's goes while the server runs, and tidying goes on whatever fails."""

import os
import threading
import time

import pytest

from apical.config import ServeSettings
from apical.deploy.service import tidying
from apical.deploy.service.queue import Queue, Refused
from apical.deploy.service.spool import Spool

SETTINGS = ServeSettings(keep_days=1)


@pytest.fixture
def state(tmp_path):
    spool = Spool(tmp_path)
    queue = Queue(tmp_path / "queue.sqlite", 100, spool.remove, most_kept=3)
    yield queue, spool
    queue.close()


def test_what_is_old_or_nobodys_goes_and_all_else_stays(state, tmp_path):
    queue, spool = state
    lost, wanted, coming = (spool.receive([b"x"], 1) for _ in range(3))
    os.utime(lost, (1, 1))
    os.utime(wanted, (1, 1))
    kept = queue.items(queue.accept("http", [wanted]))[0].item
    for item in (kept, "nobodys"):
        spool.keep_preview(item, b"picture")
    tidying.tidy(queue, spool, SETTINGS)
    assert set(spool.incoming.iterdir()) == {wanted, coming}
    assert [spool.preview(item) is not None for item in (kept, "nobodys")] == [True, False]
    assert (tmp_path / "queue.sqlite-wal").stat().st_size == 0


def test_old_answers_go_with_their_previews(state, monkeypatch):
    queue, spool = state
    job = queue.accept("http", [Refused("encrypted")])
    item = queue.items(job)[0].item
    spool.keep_preview(item, b"picture")
    tidying.tidy(queue, spool, SETTINGS)
    assert queue.job(job) is not None
    later = time.time() + 1.5 * tidying.DAY
    monkeypatch.setattr(time, "time", lambda: later)
    tidying.tidy(queue, spool, SETTINGS)
    assert queue.job(job) is None
    assert spool.preview(item) is None


@pytest.mark.parametrize("error", [OSError(5, "Doe^Jane"), ValueError("Doe^Jane")])
def test_tidying_goes_on_whatever_fails(state, monkeypatch, caplog, error):
    tried, stopping = [], threading.Event()

    def tidy(*values):
        tried.append(values)
        if len(tried) == 3:
            stopping.set()
        raise error

    monkeypatch.setattr(tidying, "tidy", tidy)
    monkeypatch.setattr(tidying, "EVERY", 0.0)
    tidying.keep_tidy(*state, SETTINGS, stopping)
    assert len(tried) == 3
    assert "not tidied" in caplog.text
    assert "Doe" not in caplog.text
