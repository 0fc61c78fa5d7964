"""Reports go back to a real Orthanc, arrive once whatever is killed, and change nothing that was there."""

import io
import math
import time
from datetime import UTC, datetime

import pydicom
import pytest
from fake_pacs import fake_pacs, small_sr, stow
from orthanc import PASSWORD, USER, running_orthanc, wait_for
from small_instances import write_instance

from apical.deploy.answers import Answer
from apical.deploy.dicom_sr import sr_bytes, sr_uid
from apical.deploy.service.dicomweb import DicomWeb, Hopeless, Unreachable, authorization
from apical.deploy.service.outbox import Outbox
from apical.deploy.service.queue import NEVER, Outgoing, Queue
from apical.deploy.service.sender import send_by_store
from apical.deploy.service.spool import Spool
from apical.views import standard_vocabulary

pynetdicom = pytest.importorskip("pynetdicom", reason="apical[dicom-net] is not installed")
pytest.importorskip("dicomweb_client", reason="apical[dicom-net] is not installed")
SECRET = authorization({"APICAL_PACS_CREDENTIALS": f"{USER}:{PASSWORD}"})
FACTS = {"version": "model-1", "training": {"method": "probe"}, "unknown": {"threshold": 9.5}}


@pytest.fixture
def orthanc(tmp_path):
    yield from running_orthanc(tmp_path / "orthanc")


@pytest.fixture
def queue(tmp_path):
    spool = Spool(tmp_path / "state")
    opened = Queue(tmp_path / "state" / "queue.sqlite", 1000, spool.remove)
    opened.spool = spool
    yield opened
    opened.close()


@pytest.fixture
def send_all():
    """Starts an outbox, and stops it in the end."""
    running = []

    def start(queue, send):
        running.append(Outbox(queue, send))
        return running[-1]

    yield start
    for one in running:
        one.stop(60)


def client(url, secret=SECRET):
    return DicomWeb(url, authorization=secret, seconds=(5.0, 30.0))


def put(queue, document):
    """A document in the outbox, as a worker leaves it."""
    queue.accept("pacs", [queue.spool.receive([b"x"], 10)])
    item = queue.claim()
    queue.finish(item, {}, document=document)
    queue.spool.remove(item.file)


def report(file):
    """The real report on an instance."""
    pytest.importorskip("highdicom", reason="apical[dicom-net] is not installed")
    answer = Answer(
        1,
        "",
        view="A4C",
        probability=0.9,
        likeliest="A4C",
        views=("A4C",),
        unknown=False,
        frames_used=(0, 1),
        model="model-1",
    )
    header = pydicom.dcmread(file, stop_before_pixels=True)
    return sr_bytes(header, answer, standard_vocabulary(), FACTS, datetime.now(UTC))


def test_reports_arrive_in_the_study_of_their_image_and_change_nothing(orthanc, queue, send_all, tmp_path):
    files = {
        write_instance(tmp_path / f"{n}.dcm", study="1.2.840.5"): tmp_path / f"{n}.dcm" for n in range(4)
    }
    orthanc.upload(*files.values())
    originals = orthanc.instances()
    assert sorted(originals.values()) == sorted(file.read_bytes() for file in files.values())
    outbox = send_all(queue, client(orthanc.url).store)
    for file in files.values():
        put(queue, report(file))
    wait_for(lambda: queue.counts()["outbox"] == 0)
    found = orthanc.instances()
    assert {uid: found[uid] for uid in originals} == originals
    reports = {uid: found[uid] for uid in found.keys() - originals.keys()}
    assert reports.keys() == {sr_uid(uid, "model-1") for uid in files}
    for content in reports.values():
        document = pydicom.dcmread(io.BytesIO(content))
        assert (document.StudyInstanceUID, document.Modality) == ("1.2.840.5", "SR")
        (study,) = document.CurrentRequestedProcedureEvidenceSequence
        (image,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert document.SOPInstanceUID == sr_uid(image.ReferencedSOPInstanceUID, "model-1")
    (only,) = orthanc.rest("/studies")
    assert len(orthanc.rest(f"/studies/{only}/instances")) == 8

    for file in files.values():  # again, as after a crash between sending and noting
        put(queue, report(file))
    wait_for(lambda: queue.counts()["outbox"] == 0)
    assert orthanc.instances() == found
    assert outbox.problem is None


def test_orthanc_killed_midway_and_started_again_has_every_report_once(orthanc, queue, send_all, tmp_path):
    uids = [f"1.2.3.{number}" for number in range(1, 11)]
    for uid in uids:
        put(queue, small_sr(uid))
    ours, sent = client(orthanc.url), []

    def send(document):
        if len(sent) == 4:
            orthanc.kill()
        sent.append(document)
        ours.store(document)

    outbox = send_all(queue, send)
    wait_for(lambda: outbox.problem)
    assert queue.counts()["outbox"] == 6
    orthanc.start()
    wait_for(lambda: queue.counts()["outbox"] == 0)
    assert sorted(orthanc.instances()) == sorted(uids)
    assert len(orthanc.rest("/instances")) == 10


def test_documents_survive_their_own_service(orthanc, queue, send_all):
    put(queue, small_sr())
    orthanc.stop()
    outbox = send_all(queue, client(orthanc.url).store)
    wait_for(lambda: outbox.problem)
    outbox.stop(60)
    orthanc.start()
    send_all(queue, client(orthanc.url).store)
    wait_for(lambda: queue.counts()["outbox"] == 0)
    assert list(orthanc.instances()) == ["1.2.3"]


def test_wrong_credentials_put_it_off_and_say_so(orthanc, queue, send_all):
    put(queue, small_sr())
    outbox = send_all(queue, client(orthanc.url, "Bearer wrong").store)
    assert "does not let us in" in wait_for(lambda: outbox.problem)
    outbox.stop(60)
    assert queue.due(time.time() + 3600).attempts >= 1
    assert orthanc.rest("/instances") == []


def test_a_refused_document_is_kept_with_its_reason_and_holds_up_no_other(queue, send_all, caplog):
    arrived = []

    def send(document):
        if document == small_sr():
            client(url).store(document)
        arrived.append(document)

    with fake_pacs(stow(409, failed=[0xA900])) as (url, asked):
        put(queue, small_sr())
        send_all(queue, send)
        wait_for(lambda: "given up" in caplog.text)
        put(queue, small_sr("1.2.4"))
        wait_for(lambda: arrived)
    assert "0xA900" in caplog.text
    assert arrived == [small_sr("1.2.4")]
    assert queue.due(math.inf).document == small_sr()
    assert queue.due(1e15) is None
    assert [method for method, _ in asked].count("POST") == 1
    ((problem, due),) = queue._all("SELECT problem, due FROM outbox")
    assert "0xA900" in problem
    assert due == NEVER
    assert (queue.counts()["outbox"], queue.counts()["refused"]) == (0, 1)


def test_a_refused_document_is_sent_once_more_at_the_next_start(queue, send_all):
    tried = []

    def refuse(document):
        tried.append(document)
        raise Hopeless("no")

    for document in (b"SR", b"another"):
        put(queue, document)
    outbox = send_all(queue, refuse)
    wait_for(lambda: queue.counts()["refused"] == 2)
    outbox.stop(60)
    assert sorted(tried) == [b"SR", b"another"]
    arrived = []
    send_all(queue, arrived.append)
    wait_for(lambda: sorted(arrived) == [b"SR", b"another"])
    wait_for(lambda: queue.counts()["refused"] == queue.counts()["outbox"] == 0)


def test_a_refused_document_is_forgotten_with_its_answer_and_one_that_waits_is_not(queue):
    for document in (b"refused", b"waits"):
        put(queue, document)
    queue.put_off(next(one for one in documents(queue) if one.document == b"refused"), "no", NEVER)
    queue.expire(time.time() - 3600)
    assert len(queue._all("SELECT item FROM outbox")) == 2
    queue.expire(time.time() + 3600)
    assert [one.document for one in documents(queue)] == [b"waits"]
    queue.put_off(documents(queue)[0], "no", NEVER)  # refused when its answer is long forgotten
    queue.expire(time.time() + 3600)
    assert documents(queue) == []


def documents(queue):
    return [Outgoing(*row) for row in queue._all("SELECT item, document, attempts FROM outbox")]


def test_many_documents_that_fail_for_long_keep_no_other_waiting_for_long(queue, monkeypatch):
    """By a clock of our own: a day of ten poisoned documents, and a good one every hour."""
    now, sent = [1e9], {}

    class Clock:
        time = staticmethod(lambda: now[0])

    def send(document):
        if document.startswith(b"bad"):
            raise Unreachable("no")
        sent[document] = now[0]

    monkeypatch.setattr("apical.deploy.service.outbox.time", Clock)
    monkeypatch.setattr("apical.deploy.service.queue.time", Clock)
    monkeypatch.setattr("apical.deploy.service.outbox.Rounds", StillRounds)
    for number in range(10):
        put(queue, b"bad%d" % number)
    outbox, made = Outbox(queue, send), {}
    while now[0] < 1e9 + 86_400:
        if now[0] >= 1e9 + 3600 * (len(made) + 1):
            document = b"%d" % len(made)
            put(queue, document)
            made[document] = now[0]
        now[0] += max(0.01, outbox._round())
    late = [sent[document] - made[document] for document in list(made)[:-1]]
    assert len(late) > 20
    assert max(late) < 400


class StillRounds:
    """Rounds that a test does by itself."""

    def __init__(self, name, one_round):
        pass

    def start(self):
        pass


def test_a_server_that_asks_to_wait_is_not_asked_before(queue, send_all):
    with fake_pacs(stow(503, headers={"Retry-After": "1000"})) as (url, _):
        put(queue, small_sr())
        began = time.time()
        outbox = send_all(queue, client(url).store)
        wait_for(lambda: outbox.problem)
        outbox.stop(60)
    assert queue.due(began + 999) is None
    assert queue.due(time.time() + 1001) is not None


def test_one_document_that_fails_does_not_keep_the_others_waiting(queue, send_all):
    arrived = []

    def send(document):
        if document == b"bad":
            raise Unreachable("no")
        arrived.append(document)

    for document in (b"bad", b"1", b"2"):
        put(queue, document)
    send_all(queue, send)
    wait_for(lambda: sorted(arrived) == [b"1", b"2"])
    assert queue.counts()["outbox"] == 1


def test_it_may_go_by_c_store_and_again_is_as_good(orthanc, queue, send_all, tmp_path):
    write_instance(tmp_path / "a.dcm")
    document = report(tmp_path / "a.dcm")

    def send(one):
        send_by_store(one, host="127.0.0.1", port=orthanc.dicom_port, called="ORTHANC")

    for _ in range(2):
        put(queue, document)
    send_all(queue, send)
    wait_for(lambda: queue.counts()["outbox"] == 0)
    (stored,) = orthanc.instances().values()
    assert pydicom.dcmread(io.BytesIO(stored)) == pydicom.dcmread(io.BytesIO(document))
    orthanc.kill()
    with pytest.raises(Unreachable):
        send(document)


@pytest.mark.parametrize(
    ("status", "error"),
    [(0, None), (0x0111, None), (0xB000, None), (0xA700, Unreachable), (0x0110, Unreachable),
     (0xA900, Hopeless), (0xC001, Hopeless), (0x0122, Hopeless)],
)  # fmt: skip
def test_what_a_c_store_is_answered_decides(status, error):
    entity = pynetdicom.AE()
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.88.33")
    handlers = [(pynetdicom.evt.EVT_C_STORE, lambda event: status)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        words = {"host": "127.0.0.1", "port": server.server_address[1], "called": "ANY"}
        if error is None:
            send_by_store(small_sr(), **words)
        else:
            with pytest.raises(error):
                send_by_store(small_sr(), **words)
    finally:
        server.shutdown()


def test_a_pacs_that_takes_no_documents_may_do_so_later():
    entity = pynetdicom.AE()
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(Unreachable, match="no association"):
            send_by_store(small_sr(), host="127.0.0.1", port=server.server_address[1], called="ANY")
    finally:
        server.shutdown()
