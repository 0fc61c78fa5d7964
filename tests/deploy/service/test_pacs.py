"""New ultrasound in a real Orthanc is queued exactly once, whatever is killed, full or noticed twice."""

import http.server
import json
import logging
import threading
from datetime import date

import pytest
from fake_pacs import as_json, fake_pacs, record
from orthanc import PASSWORD, USER, Orthanc, need_orthanc, running_orthanc, wait_for
from pydicom.uid import (
    ComprehensiveSRStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from small_instances import NAME, PATIENT_ID, write_ct, write_instance

from apical.deploy.service.dicomweb import DicomWeb, Instance, Study, Unreachable, authorization
from apical.deploy.service.instances import identity, instance_key
from apical.deploy.service.pacs import Pacs
from apical.deploy.service.queue import Queue
from apical.deploy.service.spool import Spool
from apical.errors import WrongCall

pytest.importorskip("dicomweb_client", reason="apical[dicom-net] is not installed")
SECRET = authorization({"APICAL_PACS_CREDENTIALS": f"{USER}:{PASSWORD}"})


@pytest.fixture
def orthanc(tmp_path):
    yield from running_orthanc(tmp_path / "orthanc")


class Service:
    """A queue with a spool, and what fills it from a PACS."""

    def __init__(self, folder, url, *, model="model-1", most_waiting=1000, secret=SECRET, **settings):
        self.client = DicomWeb(url, authorization=secret, seconds=(5.0, 30.0))
        self.model, self.spool = model, Spool(folder)
        self.queue = Queue(folder / "queue.sqlite", most_waiting, self.spool.remove)
        started = {"every": 0.1, "days": None, **settings}
        self.pacs = Pacs(self.client, self.queue, self.spool, model, **started)
        self.answered = []

    def queued(self):
        return self.queue.counts()["queued"]

    def work(self):
        """Answer what waits, as a worker would; returns the bytes of each file."""
        while item := self.queue.claim():
            self.answered.append(item.file.read_bytes())
            assert item.source == "pacs"
            self.queue.finish(item, {})
            self.spool.remove(item.file)
        return self.answered

    def polls(self, count):
        """Wait until so many rounds of polling have been done from now on, and all that is wanted is done."""
        until = self.pacs._polls + count
        wait_for(lambda: self.pacs._polls >= until and self.pacs.waiting == 0)

    def stop(self):
        self.pacs.stop(60)
        self.queue.close()


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(url, **settings):
        running.append(Service(tmp_path / "state", url, **settings))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def some(folder, count, **settings):
    """So many instances, by their UIDs."""
    files = [folder / f"some-{number}-{len(settings)}.dcm" for number in range(count)]
    return {write_instance(file, **settings): file for file in files}


def test_every_ultrasound_instance_is_queued_once_and_nothing_else(orthanc, serve, tmp_path):
    study = "1.2.840.1"
    classes = [UltrasoundMultiFrameImageStorage, UltrasoundImageStorage, SecondaryCaptureImageStorage]
    wanted = {}
    for sop_class in classes:
        for encoding in ("jpeg", "jpeg-ls", "rle", "gray"):
            file = tmp_path / f"{sop_class}-{encoding}.dcm"
            wanted[write_instance(file, encoding=encoding, sop_class=sop_class, study=study)] = file
    write_ct(tmp_path / "ct-of-it.dcm", study=study)
    write_ct(tmp_path / "ct.dcm")
    write_instance(tmp_path / "sr.dcm", sop_class=ComprehensiveSRStorage, modality="SR", study=study)
    write_instance(tmp_path / "sr-us.dcm", sop_class=ComprehensiveSRStorage, modality="US", study=study)
    ids = orthanc.upload(*tmp_path.glob("*.dcm"))
    before = {one: orthanc.rest(f"/instances/{one}/file") for one in ids}
    service = serve(orthanc.url)
    wait_for(lambda: service.queued() == len(wanted))
    service.polls(3)
    assert sorted(service.work()) == sorted(file.read_bytes() for file in wanted.values())
    assert all(service.queue.knows(instance_key(uid, "model-1")) for uid in wanted)
    assert {one: orthanc.rest(f"/instances/{one}/file") for one in orthanc.rest("/instances")} == before


def test_what_comes_later_is_found_and_what_was_answered_is_not_asked_again(orthanc, serve, tmp_path):
    first = some(tmp_path, 2, study="1.2.3")
    orthanc.upload(*first.values())
    service = serve(orthanc.url)
    wait_for(lambda: service.queued() == 2)
    service.work()
    second = some(tmp_path, 2, study="1.2.3", encoding="jpeg")
    orthanc.upload(*second.values())
    wait_for(lambda: service.queued() == 2)
    service.polls(3)
    files = [*first.values(), *second.values()]
    assert sorted(service.work()) == sorted(file.read_bytes() for file in files)


def test_started_again_it_asks_for_nothing_again_unless_the_model_is_another(orthanc, serve, tmp_path):
    orthanc.upload(*some(tmp_path, 3).values())
    service = serve(orthanc.url)
    wait_for(lambda: service.queued() == 3)
    service.stop()
    again = serve(orthanc.url)
    again.polls(2)
    assert again.queued() == 3
    again.stop()
    other = serve(orthanc.url, model="model-2")
    wait_for(lambda: other.queued() == 6)


def test_old_studies_are_found_only_by_notice(orthanc, serve, tmp_path):
    old = write_instance(tmp_path / "old.dcm", study="1.2.1", date="20251230")
    write_instance(tmp_path / "new.dcm", study="1.2.2", date="20251231")
    orthanc.upload(tmp_path / "old.dcm", tmp_path / "new.dcm")
    service = serve(orthanc.url, days=2, today=lambda: date(2026, 1, 2))
    wait_for(lambda: service.queued() == 1)
    service.polls(2)
    assert service.queued() == 1
    assert not service.queue.knows(instance_key(old, "model-1"))
    service.pacs.notify("1.2.1")
    wait_for(lambda: service.queued() == 2)


def test_a_notice_brings_one_instance_a_series_or_a_study(orthanc, serve, tmp_path):
    files = some(tmp_path, 3, study="1.2.1")
    ids = orthanc.upload(*files.values())
    tags = [orthanc.rest(f"/instances/{one}/simplified-tags") for one in ids]
    service = serve(orthanc.url, every=None)
    service.pacs.notify("1.2.1", tags[0]["SeriesInstanceUID"], tags[0]["SOPInstanceUID"])
    wait_for(lambda: service.queued() == 1 and service.pacs.waiting == 0)
    service.pacs.notify("1.2.1", tags[1]["SeriesInstanceUID"])
    wait_for(lambda: service.queued() == 2 and service.pacs.waiting == 0)
    for _ in range(3):
        service.pacs.notify("1.2.1")
    wait_for(lambda: service.queued() == 3 and service.pacs.waiting == 0)
    assert service.queue.knows(instance_key(tags[2]["SOPInstanceUID"], "model-1"))


def test_a_notice_of_nothing_is_a_round_of_polling(orthanc, serve, tmp_path):
    service = serve(orthanc.url, every=3600.0)
    wait_for(lambda: service.pacs._polls == 1)
    orthanc.upload(*some(tmp_path, 2).values())
    service.pacs.notify()
    wait_for(lambda: service.queued() == 2)


@pytest.mark.parametrize(
    "uids", [["../../instances"], ["1.2", "x"], ["1.2", "1.2", "1.2?limit=1"], ["", "/"]]
)
def test_a_notice_of_what_is_no_uid_is_refused(serve, uids):
    service = serve("http://127.0.0.1:9/dicom-web", every=None)
    with pytest.raises(WrongCall):
        service.pacs.notify(*uids)
    assert service.pacs.waiting == 0


def test_a_notice_outlives_the_service(orthanc, serve, tmp_path):
    """It is on the disk when `notify` returns, even if the PACS cannot be reached and we are stopped."""
    orthanc.upload(*some(tmp_path, 2, study="1.2.1").values())
    orthanc.stop()
    service = serve(orthanc.url, every=None)
    service.pacs.notify("1.2.1")
    service.stop()
    orthanc.start()
    again = serve(orthanc.url, every=None)
    wait_for(lambda: again.queued() == 2)


def test_orthancs_own_script_gives_notice(serve, tmp_path):
    """The script of the module's docstring, with the address of a server of this test."""
    need_orthanc()
    from apical.deploy.service import pacs

    noticed = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            noticed.append((self.path, self.headers["Authorization"]))
            service.pacs.notify(**body)
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = pacs.__doc__.split("::\n\n")[1].split("\n\nLimits")[0]
    (tmp_path / "notify.lua").write_text(script.replace(":8080", f":{server.server_address[1]}"))
    archive = Orthanc(tmp_path / "orthanc", LuaScripts=[str(tmp_path / "notify.lua")]).start()
    try:
        service = serve(archive.url, every=None)
        archive.upload(*some(tmp_path, 3).values())
        wait_for(lambda: service.queued() == 3)
        assert noticed[0] == ("/v1/notify", "Bearer ...")
    finally:
        archive.kill()
        server.shutdown()
        server.server_close()


def test_orthanc_killed_midway_and_started_again_loses_and_doubles_nothing(orthanc, serve, tmp_path):
    files = {**some(tmp_path, 8, study="1.2.1"), **some(tmp_path, 4, study="1.2.2", side=48)}
    orthanc.upload(*files.values())
    service = serve(orthanc.url, every=None)
    retrieve, fetched, killed = service.client.retrieve, [], threading.Event()

    def watched(one, write):
        if len(fetched) == 3:
            orthanc.kill()
            killed.set()
        fetched.append(one)
        retrieve(one, write)

    service.client.retrieve = watched
    service.pacs.notify("1.2.1")
    service.pacs.notify("1.2.2")
    assert killed.wait(60)
    wait_for(lambda: service.pacs.problem)
    assert service.queued() == 3
    orthanc.start()
    wait_for(lambda: service.queued() == len(files) and service.pacs.waiting == 0)
    assert sorted(service.work()) == sorted(file.read_bytes() for file in files.values())
    wait_for(lambda: service.pacs.problem is None)


def test_a_full_queue_takes_the_rest_when_there_is_room(orthanc, serve, tmp_path, monkeypatch):
    monkeypatch.setattr("apical.deploy.service.pacs.BUSY", 0.2)
    files = some(tmp_path, 7)
    orthanc.upload(*files.values())
    service = serve(orthanc.url, most_waiting=2)
    wait_for(lambda: service.queued() == 2)
    wait_for(lambda: service.pacs._failures > 1)
    assert service.queued() == 2
    wait_for(lambda: len(service.work()) == 7)
    service.polls(2)
    assert sorted(service.work()) == sorted(file.read_bytes() for file in files.values())


def test_an_instance_that_is_too_large_has_a_problem_and_is_not_fetched_again(orthanc, serve, tmp_path):
    small, large = tmp_path / "small.dcm", tmp_path / "large.dcm"
    write_instance(small, study="1.2.1")
    uid = write_instance(large, study="1.2.1", side=512)
    orthanc.upload(large, small)
    service = serve(orthanc.url, most_bytes=100_000)
    wait_for(lambda: service.queued() == 1 and service.queue.knows(instance_key(uid, "model-1")))
    service.polls(2)
    assert service.work() == [small.read_bytes()]
    assert service.spool.bytes_waiting == 0
    assert service.queue.counts()["done"] == 2


def test_wrong_credentials_are_told_and_nothing_is_lost(orthanc, serve, tmp_path):
    orthanc.upload(*some(tmp_path, 2, study="1.2.1").values())
    stranger = serve(orthanc.url, secret="Bearer wrong", every=None)
    stranger.pacs.notify("1.2.1")
    assert "does not let us in" in wait_for(lambda: stranger.pacs.problem)
    assert stranger.pacs.waiting == 1
    stranger.stop()
    known = serve(orthanc.url, every=None)
    wait_for(lambda: known.queued() == 2)


def test_another_object_than_was_asked_for_is_not_queued(serve, tmp_path):
    """One instance of a study is garbage, and the others come all the same."""
    uids = {write_instance(tmp_path / f"{n}.dcm"): tmp_path / f"{n}.dcm" for n in range(3)}
    order = list(uids)

    def answer(method, path, headers, body):
        if "/series/" not in path:
            us = str(UltrasoundMultiFrameImageStorage)
            return as_json([record(x00080018=uid, x0020000E="1.2", x00080016=us) for uid in order])
        uid = path.rsplit("/", 1)[1]
        garbage = {order[0]: b"<html>busy</html>", order[1]: uids[order[2]].read_bytes()}
        return 200, {"Content-Type": "application/dicom"}, garbage.get(uid) or uids[uid].read_bytes()

    with fake_pacs(answer) as (url, _):
        service = serve(url, every=None)
        service.pacs.notify("1.2.1")
        wait_for(lambda: service.queued() == 1 and service.pacs.problem)
        assert service.pacs.waiting == 1
        assert service.work() == [uids[order[2]].read_bytes()]
        assert service.spool.bytes_waiting == 0
        service.stop()


def test_one_study_that_fails_does_not_keep_the_others_waiting(serve, tmp_path):
    uid = write_instance(tmp_path / "a.dcm")

    def answer(method, path, headers, body):
        if "/studies/1.2.1/" in path:
            return 500, {}, b""
        if "/series/" in path:
            return 200, {"Content-Type": "application/dicom"}, (tmp_path / "a.dcm").read_bytes()
        us = str(UltrasoundMultiFrameImageStorage)
        return as_json([record(x00080018=uid, x0020000E="1.2", x00080016=us)])

    with fake_pacs(answer) as (url, _):
        service = serve(url, every=None)
        service.pacs.notify("1.2.1")
        wait_for(lambda: service.pacs.problem)
        service.pacs.notify("1.2.2")
        wait_for(lambda: service.queued() == 1 and service.pacs.waiting == 1)
        service.stop()


class StillRounds:
    """Rounds that a test does by itself."""

    stopped = False

    def __init__(self, name, one_round):
        pass

    def start(self):
        pass

    def wake(self):
        pass


class Archive:
    """A PACS by a clock of its own: studies of one instance each, which appear at their second.

    `poisoned` studies have one that cannot be fetched, `unlisted` ones cannot even be listed.
    """

    def __init__(self, file, studies, poisoned=(), unlisted=()):
        self.now, self.down, self.asked, self.polls = 0.0, False, 0, []
        self._content, self._uid = file.read_bytes(), identity(file)[1]
        self._studies, self._poisoned, self._unlisted = studies, poisoned, unlisted
        self.fetched = {}

    def time(self):
        return 1e9 + self.now

    monotonic = time

    def studies(self, since):
        self._answer()
        self.polls.append(self.now)
        yield from (Study(study, 1) for study, since in self._studies.items() if since <= self.now)

    def instances(self, study, series="", instance=""):
        self._answer(study in self._unlisted)
        yield Instance(study, "1.5", self._uid, str(UltrasoundImageStorage))

    def retrieve(self, one, write):
        self._answer(one.study in self._poisoned)
        self.fetched.setdefault(one.study, self.now)
        write(self._content)

    def _answer(self, fails=False):
        self.asked += 1
        if fails or self.down:
            raise Unreachable("the PACS could not do it (HTTP 500)")


@pytest.fixture
def simulate(tmp_path, monkeypatch):
    """Gives a `Pacs` and a function that lets so many seconds pass."""
    write_instance(tmp_path / "a.dcm")
    queues = []

    def start(studies, every=30.0, **bad):
        archive = Archive(tmp_path / "a.dcm", studies, **bad)
        monkeypatch.setattr("apical.deploy.service.pacs.time", archive)
        monkeypatch.setattr("apical.deploy.service.pacs.Rounds", StillRounds)
        spool = Spool(tmp_path / "state")
        queue = Queue(tmp_path / "state" / "queue.sqlite", 1000, spool.remove)
        queues.append(queue)
        monkeypatch.setattr(queue, "knows", lambda key: False)  # all have the same instance
        pacs = Pacs(archive, queue, spool, "model", every=every)

        def passes(seconds):
            ends = archive.now + seconds
            while archive.now < ends:
                archive.now += max(0.01, pacs._round())

        return archive, pacs, passes

    yield start
    for queue in queues:
        queue.close()


@pytest.mark.parametrize("kind", ["poisoned", "unlisted"])
@pytest.mark.parametrize("bad", [1, 2, 5])
def test_studies_that_fail_for_good_hold_up_neither_polling_nor_others(simulate, kind, bad):
    studies = {f"1.{number}": 0.0 for number in range(1, bad + 1)}
    good = {f"2.{hour}": 3600.0 * hour for hour in range(12)}
    archive, pacs, passes = simulate({**studies, **good}, **{kind: frozenset(studies)})
    passes(12 * 3600)
    assert len(archive.polls) >= 12 * 120 - 1
    assert archive.fetched.keys() == good.keys()
    assert max(archive.fetched[study] - since for study, since in good.items()) < 120
    assert "could not do it" in pacs.problem
    assert pacs.waiting == bad


@pytest.mark.parametrize("every", [30.0, None])
def test_a_pacs_that_is_down_is_left_in_peace_and_asked_again(simulate, every):
    archive, pacs, passes = simulate({f"1.{number}": 0.0 for number in range(20)}, every)
    archive.down = True
    for number in range(20):
        pacs.notify(f"1.{number}")
    passes(10)
    assert archive.asked < 20  # after half a second or more, a second, two, four
    passes(86_400)
    assert pacs.problem
    assert 20 < archive.asked < 6000  # each study every five minutes at most, and polls less often
    archive.down = False
    passes(1300)
    assert len(archive.fetched) == 20
    assert pacs.problem is None
    assert pacs.waiting == 0


def test_stopping_ends_a_fetch_that_is_slow(serve):
    """A server that sends for ever is left when we stop, and leaves nothing in the spool."""
    entered = threading.Event()

    def answer(method, path, headers, body):
        if "/series/" in path:
            entered.set()
            return (
                200,
                {"Content-Type": "application/dicom", "Content-Length": str(1 << 40)},
                b"x" * (8 << 20),
            )
        us = str(UltrasoundMultiFrameImageStorage)
        return as_json([record(x00080018="1.2.3", x0020000E="1.2", x00080016=us)])

    with fake_pacs(answer) as (url, _):
        service = serve(url, every=None)
        service.pacs.notify("1.2.1")
        assert entered.wait(60)
        service.stop()
        assert service.spool.bytes_waiting == 0


def test_logs_name_nobody(orthanc, serve, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    files = some(tmp_path, 2, study="1.2.840.4711")
    orthanc.upload(*files.values())
    service = serve(orthanc.url)
    wait_for(lambda: service.queued() == 2)
    orthanc.kill()
    service.pacs.notify("1.2.840.4711")
    wait_for(lambda: service.pacs.problem)
    said = caplog.text + "".join(capfd.readouterr())
    assert "cannot be reached" in said
    for secret in (NAME, PATIENT_ID, "1.2.840.4711", *files, PASSWORD, SECRET):
        assert secret not in said
