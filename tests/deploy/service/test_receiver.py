"""The receiver against real senders: dcmtk's storescu and echoscu as programs, Orthanc, and bare sockets."""

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

import pydicom
import pytest
from orthanc import Orthanc, need_orthanc, wait_for
from pydicom.uid import SecondaryCaptureImageStorage, UltrasoundImageStorage
from small_instances import ENCODINGS, NAME, PATIENT_ID, write_ct, write_instance

from apical.deploy.service import instances, messages
from apical.deploy.service.instances import CLASSES, RETIRED, instance_key
from apical.deploy.service.queue import Queue
from apical.deploy.service.receiver import NOT_UNDERSTOOD, OTHER_OBJECT, OUT_OF_RESOURCES, start_receiver
from apical.deploy.service.spool import Spool
from apical.errors import CannotDo, WrongCall

pynetdicom = pytest.importorskip("pynetdicom", reason="apical[dicom-net] is not installed")
MODEL = "model-1"


class Service:
    """A receiver with its queue and spool."""

    def __init__(self, folder, most_waiting=100, **settings):
        self.stopping = threading.Event()
        self.folder = folder
        self.spool = Spool(folder)
        self.queue = Queue(folder / "queue.sqlite", most_waiting, self.spool.remove)
        self.receiver = start_receiver(
            self.queue, self.spool, MODEL, self.stopping, **{"port": 0, **settings}
        )

    def files(self):
        return [file.read_bytes() for file in sorted(self.spool.incoming.iterdir())]

    def halves(self):
        return list((self.folder / "receiving").iterdir())


@pytest.fixture
def serve(tmp_path):
    """Starts a receiver of the given settings, and stops it in the end."""
    running = []

    def start(**settings):
        running.append(Service(tmp_path / "state", **settings))
        return running[-1]

    yield start
    for one in running:
        one.receiver.stop(0)
        one.queue.close()


def dcmtk(program, service, *words, title="APICAL"):
    """Run a program of dcmtk against the receiver: its exit code and what it said."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} of dcmtk is not installed")
    command = [program, "-v", "-aec", title, *words[:-1], "127.0.0.1", str(service.receiver.port)]
    command += [str(file) for file in words[-1]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def send(service, dataset_or_path, *, sop_class=None, uid=None):
    """The status that our receiver answers to pynetdicom as the sender."""
    dataset = (
        dataset_or_path if isinstance(dataset_or_path, pydicom.Dataset) else pydicom.dcmread(dataset_or_path)
    )
    entity = pynetdicom.AE()
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", service.receiver.port, ae_title="APICAL")
    assert association.is_established
    try:
        return association.send_c_store(dataset).get("Status")
    finally:
        association.release()


def same_object(received, sent):
    """Whether two files hold the same data set and pixels, whatever their file meta information says."""
    one, other = (pydicom.dcmread(pydicom.filebase.DicomBytesIO(data)) for data in (received, sent))
    return one == other and one.file_meta.TransferSyntaxUID == other.file_meta.TransferSyntaxUID


def test_echoscu_is_answered_only_under_our_title(serve):
    service = serve()
    assert dcmtk("echoscu", service, [])[0] == 0
    assert dcmtk("echoscu", service, [], title="ANOTHER")[0] != 0


@pytest.mark.parametrize(
    ("proposal", "encoding"),
    [("-x=", "gray"), ("-xi", "rgb-planes"), ("-xy", "jpeg"), ("-xt", "jpeg-ls"), ("-xv", "jpeg-2000"),
     ("-xr", "rle")],
)  # fmt: skip
def test_storescu_sends_each_encoding_and_the_very_object_is_kept(serve, tmp_path, proposal, encoding):
    service, file = serve(), tmp_path / "a.dcm"
    uid = write_instance(file, encoding=encoding)
    code, said = dcmtk("storescu", service, proposal, [file])
    assert code == 0, said
    (kept,) = service.files()
    assert same_object(kept, file.read_bytes())
    item = service.queue.claim()
    assert item.source == "c-store"
    assert item.file.read_bytes() == kept
    assert service.queue.knows(instance_key(uid, MODEL, hashlib.sha256(kept).hexdigest()))
    assert not service.halves()


def test_every_class_and_encoding_of_ultrasound_is_taken(serve, tmp_path):
    """By pynetdicom as the sender, since storescu of Debian proposes no retired classes."""
    service = serve()
    for sop_class in CLASSES:
        if sop_class in RETIRED:
            pynetdicom.sop_class.register_uid(
                sop_class, "Retired", pynetdicom.service_class.StorageServiceClass
            )
        write_instance(tmp_path / f"{sop_class}.dcm", sop_class=sop_class)
        assert send(service, tmp_path / f"{sop_class}.dcm") == 0
    for encoding in ENCODINGS:
        write_instance(tmp_path / f"{encoding}.dcm", encoding=encoding, sop_class=UltrasoundImageStorage)
        assert send(service, tmp_path / f"{encoding}.dcm") == 0
    assert service.queue.counts()["queued"] == len(CLASSES) + len(ENCODINGS)


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.80"]
)
def test_videos_are_taken_as_they_are(serve, tmp_path, syntax):
    service = serve()
    write_instance(tmp_path / "a.dcm", encoding="jpeg")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.file_meta.TransferSyntaxUID = syntax
    assert send(service, dataset) == 0


def test_ct_finds_no_context(serve, tmp_path):
    service = serve()
    write_ct(tmp_path / "ct.dcm")
    assert dcmtk("storescu", service, [tmp_path / "ct.dcm"])[0] != 0
    assert service.queue.counts()["queued"] == 0


def test_what_is_sent_twice_is_queued_once_and_for_another_model_again(serve, tmp_path):
    service = serve()
    files = [tmp_path / f"{number}.dcm" for number in range(3)]
    for file in files:
        write_instance(file, sop_class=SecondaryCaptureImageStorage)
    for _ in range(2):
        assert dcmtk("storescu", service, files)[0] == 0
    assert service.queue.counts()["queued"] == 3
    assert len(service.files()) == 3
    service.receiver.stop(0)
    service.receiver = start_receiver(service.queue, service.spool, "model-2", service.stopping, port=0)
    assert dcmtk("storescu", service, files)[0] == 0
    assert service.queue.counts()["queued"] == 6


def test_a_good_object_is_queued_after_a_damaged_one_of_its_uid(serve, tmp_path):
    """Also while the damaged one still waits, and again only once."""
    service = serve()
    write_instance(tmp_path / "a.dcm", encoding="jpeg")
    damaged = pydicom.dcmread(tmp_path / "a.dcm")
    damaged.PixelData = pydicom.encaps.encapsulate([b"\0\0"])
    for _ in range(2):
        assert send(service, damaged) == 0
        assert send(service, tmp_path / "a.dcm") == 0
    assert service.queue.counts()["queued"] == 2
    assert len(service.files()) == 2


def test_twenty_senders_at_once_lose_and_double_nothing(serve, tmp_path):
    service = serve(most_associations=30)
    files = [tmp_path / f"{number}.dcm" for number in range(10)]
    for file in files:
        write_instance(file)
    statuses = []
    threads = [threading.Thread(target=lambda f=f: statuses.append(send(service, f))) for f in files * 2]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert statuses == [0] * 20
    assert service.queue.counts()["queued"] == 10
    assert len(service.files()) == 10


def sent_but_not_accepted(service, file, monkeypatch):
    """A sender whose object has come, but is queued only when the event is set."""
    accept, reached, go_on = service.queue.accept, threading.Event(), threading.Event()

    def slow(*words, **more):
        reached.set()
        assert go_on.wait(60)
        return accept(*words, **more)

    monkeypatch.setattr(service.queue, "accept", slow)
    answers = []
    sender = threading.Thread(target=lambda: answers.append(send(service, file)))
    sender.start()
    assert reached.wait(60)
    return go_on, sender, answers


def test_success_is_said_only_after_file_and_row_are_durable(serve, tmp_path, monkeypatch):
    """Between receipt and commit the sender has no answer; after it, file and row are there."""
    service = serve()
    write_instance(tmp_path / "a.dcm")
    go_on, sender, answers = sent_but_not_accepted(service, tmp_path / "a.dcm", monkeypatch)
    assert answers == []
    assert len(service.files()) == 1
    go_on.set()
    sender.join(60)
    assert answers == [0]
    assert service.queue.counts()["queued"] == 1


def test_too_much_waiting_is_out_of_resources_and_taken_later(serve, tmp_path):
    service = serve(most_waiting=1)
    for name in "ab":
        write_instance(tmp_path / f"{name}.dcm")
    assert send(service, tmp_path / "a.dcm") == 0
    assert send(service, tmp_path / "b.dcm") == OUT_OF_RESOURCES
    said = dcmtk("storescu", service, [tmp_path / "b.dcm"])[1]
    assert "OutOfResources" in said.replace(" ", "").replace(":", "")
    assert len(service.files()) == 1
    item = service.queue.claim()
    service.queue.finish(item, {})
    service.spool.remove(item.file)
    assert send(service, tmp_path / "b.dcm") == 0


def test_a_full_disk_or_queue_that_fails_is_out_of_resources(serve, tmp_path, monkeypatch):
    service = serve()
    write_instance(tmp_path / "a.dcm")

    def fails(*words, **more):
        raise CannotDo("the disk is full", "free some space")

    with monkeypatch.context() as broken:
        broken.setattr(service.queue, "accept", fails)
        assert send(service, tmp_path / "a.dcm") == OUT_OF_RESOURCES
    assert service.files() == []
    assert send(service, tmp_path / "a.dcm") == 0


def test_a_machine_that_cannot_open_or_read_files_is_out_of_resources(serve, tmp_path, monkeypatch, caplog):
    """The object is not to blame, so its sender must keep it."""
    service = serve()
    write_instance(tmp_path / "a.dcm")

    class Broken(instances.Rationed):
        def read(self, size=-1):
            raise OSError(errno.EIO, "Input/output error")

    opens, known = type(tmp_path).open, instances.identity(tmp_path / "a.dcm")

    def no_more(path, *words, **more):
        if path.parent.name == "receiving":
            raise OSError(errno.EMFILE, "Too many open files")
        return opens(path, *words, **more)

    with monkeypatch.context() as broken:
        broken.setattr(instances, "Rationed", Broken)
        assert send(service, tmp_path / "a.dcm") == OUT_OF_RESOURCES
    with monkeypatch.context() as broken:
        broken.setattr(type(tmp_path), "open", no_more)
        assert send(service, tmp_path / "a.dcm") == OUT_OF_RESOURCES
        broken.setattr("apical.deploy.service.receiver.identity", lambda half: known)
        assert send(service, tmp_path / "a.dcm") == OUT_OF_RESOURCES
    assert caplog.text.count("could not be kept") == 3
    assert service.files() == []
    assert send(service, tmp_path / "a.dcm") == 0


def test_a_half_that_cannot_be_written_ends_its_association(serve, tmp_path, monkeypatch, caplog):
    service = serve()
    write_instance(tmp_path / "a.dcm")

    def no_more(**words):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as broken:
        broken.setattr("pynetdicom.dimse_messages.NamedTemporaryFile", no_more)
        assert send(service, tmp_path / "a.dcm") is None
    assert "could not be written (Too many open files)" in caplog.text
    assert send(service, tmp_path / "a.dcm") == 0


def test_a_stopping_service_takes_nothing(serve, tmp_path):
    service = serve()
    write_instance(tmp_path / "a.dcm")
    service.stopping.set()
    assert send(service, tmp_path / "a.dcm") == OUT_OF_RESOURCES
    assert service.queue.counts()["queued"] == 0


def raw_store(service, body, uid="1.2.3"):
    """The status for a data set that no library would write."""
    from pynetdicom.dimse_primitives import C_STORE

    entity = pynetdicom.AE()
    entity.add_requested_context(UltrasoundImageStorage, "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", service.receiver.port, ae_title="APICAL")
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UltrasoundImageStorage, uid
    request.DataSet = pydicom.filebase.BytesIO(body)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, 1)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    return answer.Status


def element(tag, vr, value):
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + struct.pack("<H", len(value)) + value


SOP_CLASS = element(0x00080016, b"UI", str(UltrasoundImageStorage).encode().ljust(30, b"\0"))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\xff" * 500, NOT_UNDERSTOOD),
        (b"\x08\x00\x16\x00UI\xff\xff", NOT_UNDERSTOOD),
        (SOP_CLASS, NOT_UNDERSTOOD),
        (SOP_CLASS + element(0x00080018, b"UI", b"../../etc/shadow"), NOT_UNDERSTOOD),
        (SOP_CLASS + element(0x00080018, b"UI", b"9.9.9\0"), OTHER_OBJECT),
        (SOP_CLASS + element(0x00080018, b"UI", b"1.2.3\0"), 0),
    ],
    ids=["noise", "cut off", "nameless", "no uid", "another object", "sound"],
)
def test_what_cannot_be_understood_is_said_and_not_kept(serve, body, status):
    service = serve()
    assert raw_store(service, body) == status
    assert len(service.files()) == (status == 0)
    wait_for(lambda: not service.halves())


def test_too_large_an_object_ends_its_association_and_leaves_nothing(serve, tmp_path):
    service = serve(most_bytes=100_000)
    write_instance(tmp_path / "small.dcm")
    write_instance(tmp_path / "large.dcm", side=1024)
    assert dcmtk("storescu", service, [tmp_path / "large.dcm"])[0] != 0
    assert send(service, tmp_path / "large.dcm") is None  # no status: it was cut off on its way
    assert service.files() == []
    assert dcmtk("storescu", service, [tmp_path / "small.dcm"])[0] == 0
    assert service.queue.counts()["queued"] == 1


class Peer:
    """One that sends whatever fragments it likes (PS3.8 9.3.5)."""

    def __init__(self, service):
        entity = pynetdicom.AE()
        entity.add_requested_context(UltrasoundImageStorage, "1.2.840.10008.1.2.1")
        self.association = entity.associate("127.0.0.1", service.receiver.port, ae_title="APICAL")
        assert self.association.is_established
        self.socket = self.association.dul.socket.socket

    def sends(self, header, data, *, context=1):
        value = bytes([context, header]) + data
        item = struct.pack(">L", len(value)) + value
        with contextlib.suppress(OSError):  # it may be cut off by now
            self.socket.sendall(b"\x04\x00" + struct.pack(">L", len(item)) + item)

    def is_cut_off(self):
        return wait_for(lambda: not self.association.is_established)


COMMAND, DATA, LAST = 1, 0, 2
PIECE = bytes(200_000)


def command(field, number=1, uid=b"1.2.3\0", data_set=1):
    """A command (PS3.7 E.1), in implicit VR."""
    values = [
        (0x0002, str(UltrasoundImageStorage).encode().ljust(30, b"\0")), (0x0100, struct.pack("<H", field)),
        (0x0110, struct.pack("<H", number)), (0x0700, b"\0\0"), (0x0800, struct.pack("<H", data_set)),
        (0x1000, uid),
    ]  # fmt: skip
    body = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in values)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def endless_command(peer):
    for _ in range(30):
        peer.sends(COMMAND, PIECE)


def data_of_another_command(peer):
    peer.sends(COMMAND | LAST, command(0x0020))
    peer.sends(DATA, PIECE)


def data_of_an_echo(peer):
    peer.sends(COMMAND | LAST, command(0x0030))
    peer.sends(DATA, PIECE)


def commands_amid_data(peer):
    peer.sends(COMMAND | LAST, command(0x0001))
    peer.sends(DATA, PIECE)
    peer.sends(COMMAND, b"")


def two_commands_for_one_object(peer):
    for _ in range(2):
        peer.sends(COMMAND | LAST, command(0x0001))


def endless_object(peer):
    peer.sends(COMMAND | LAST, command(0x0001))
    for _ in range(30):
        peer.sends(DATA, PIECE)


def objects_without_waiting(peer):
    for number in range(50):
        peer.sends(COMMAND | LAST, command(0x0001, number + 1, b"1.2.%d\0" % (100 + number)))
        peer.sends(DATA | LAST, PIECE)


def data_without_a_command(peer):
    peer.sends(DATA, PIECE)


def another_context(peer):
    peer.sends(COMMAND | LAST, command(0x0001), context=7)


def no_command_at_all(peer):
    peer.sends(COMMAND | LAST, b"\xff" * 100)


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (endless_command, "command was larger"),
        (data_of_another_command, "more than C-STORE and C-ECHO"),
        (data_of_an_echo, "data where there should be none"),
        (commands_amid_data, "a command amid data"),
        (two_commands_for_one_object, "a command amid data"),
        (endless_object, "object was larger"),
        (objects_without_waiting, "before it had an answer"),
        (data_without_a_command, "data where there should be none"),
        (another_context, "belongs to nothing"),
        (no_command_at_all, "more than C-STORE and C-ECHO"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_who_sends_otherwise_than_the_standard_says_is_cut_off(serve, attack, why, caplog, monkeypatch):
    service = serve(most_bytes=1_000_000)
    if attack is objects_without_waiting:  # else it may be answered as fast as it sends
        answered = threading.Event()
        monkeypatch.setattr(service.queue, "knows", lambda key: not answered.wait(60))
    peer = Peer(service)
    attack(peer)
    wait_for(lambda: why in caplog.text)
    if attack is objects_without_waiting:
        assert len(service.halves()) <= 4
        answered.set()
    peer.is_cut_off()
    wait_for(lambda: not service.halves())
    assert dcmtk("echoscu", service, [])[0] == 0


def test_halves_of_all_associations_together_are_bounded(serve, tmp_path, caplog):
    """Each is smaller than allowed, and none is whole; who breaks off makes room."""
    service = serve(most_bytes=3_000_000)
    peers = [Peer(service) for _ in range(6)]
    for peer in peers:
        peer.sends(COMMAND | LAST, command(0x0001))
        for _ in range(14):
            peer.sends(DATA, PIECE)
    wait_for(lambda: "too much was being received" in caplog.text)
    bound = messages.HALVES * 3_000_000 + len(peers) * (messages.BLOCK + len(PIECE))
    size = 0
    for half in service.halves():
        with contextlib.suppress(FileNotFoundError):  # of an association that has just been ended
            size += half.stat().st_size
    assert size <= bound
    for peer in peers:
        peer.association.abort()
    wait_for(lambda: not service.halves())
    write_instance(tmp_path / "a.dcm")
    assert send(service, tmp_path / "a.dcm") == 0


def test_only_listed_titles_and_hosts_may_send(serve, tmp_path):
    write_instance(tmp_path / "a.dcm")
    service = serve(calling=["ECHO1"])
    assert dcmtk("storescu", service, "-aet", "ECHO1", [tmp_path / "a.dcm"])[0] == 0
    assert dcmtk("storescu", service, "-aet", "OTHER", [tmp_path / "a.dcm"])[0] != 0
    service.receiver.stop(0)
    elsewhere = serve(hosts=["192.0.2.7"])
    assert dcmtk("echoscu", elsewhere, [])[0] != 0


def test_beyond_loopback_somebody_must_be_listed(serve):
    with pytest.raises(WrongCall, match="everybody in the network"):
        serve(host="0.0.0.0")
    serve(host="0.0.0.0", hosts=["127.0.0.1"])


def test_a_port_that_is_taken_and_a_bad_title_are_told(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CannotDo, match="cannot listen"):
            serve(port=taken.getsockname()[1])
    with pytest.raises(WrongCall, match="AE title"):
        serve(title="FAR TOO LONG FOR A TITLE")


def test_more_associations_than_allowed_are_rejected_for_the_while(serve):
    service = serve(most_associations=2)
    entity = pynetdicom.AE()
    entity.add_requested_context("1.2.840.10008.1.1")
    port = service.receiver.port
    held = [entity.associate("127.0.0.1", port, ae_title="APICAL") for _ in range(3)]
    assert [one.is_established for one in held] == [True, True, False]
    held[0].release()
    wait_for(lambda: dcmtk("echoscu", service, [])[0] == 0)
    held[1].release()


def test_a_message_that_announces_gigabytes_is_cut_off_unread(serve):
    service = serve()
    with socket.create_connection(("127.0.0.1", service.receiver.port)) as peer:
        peer.settimeout(60)
        peer.sendall(b"\x01\x00" + struct.pack(">L", 0xFFFFFFF0) + b"x" * 100)
        assert peer.recv(100) == b""
    assert dcmtk("echoscu", service, [])[0] == 0


def broken_wire(port, most_bytes):
    """A port that leads to another, until so many bytes have gone through."""
    entrance = socket.create_server(("127.0.0.1", 0))

    def back(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)

    def forth():
        with (
            entrance,
            entrance.accept()[0] as source,
            socket.create_connection(("127.0.0.1", port)) as target,
        ):
            threading.Thread(target=back, args=[target, source], daemon=True).start()
            left = most_bytes
            while left > 0 and (data := source.recv(min(left, 1 << 16))):
                target.sendall(data)
                left -= len(data)
            for one in (source, target):
                one.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=forth, daemon=True).start()
    return entrance.getsockname()[1]


def test_half_an_object_goes_when_its_association_breaks_off(serve, tmp_path):
    service = serve()
    write_instance(tmp_path / "a.dcm", side=1024)
    peer = Peer(service)
    peer.sends(COMMAND | LAST, command(0x0001))
    peer.sends(DATA, PIECE)
    wait_for(lambda: sum(half.stat().st_size for half in service.halves()) > len(PIECE))
    assert (service.folder / "receiving").stat().st_mode & 0o777 == 0o700
    assert all(half.stat().st_mode & 0o777 == 0o600 for half in service.halves())
    peer.association.abort()
    wait_for(lambda: not service.halves())
    service.receiver.port, port = broken_wire(service.receiver.port, 300_000), service.receiver.port
    assert dcmtk("storescu", service, [tmp_path / "a.dcm"])[0] != 0
    service.receiver.port = port
    wait_for(lambda: not service.halves())
    assert service.files() == []


def test_what_is_left_in_the_folder_of_halves_goes_when_it_is_old(serve):
    service = serve()
    old, new = (service.folder / "receiving" / name for name in ("old", "new"))
    for one in (old, new):
        one.touch()
    os.utime(old, (0, 0))
    assert dcmtk("echoscu", service, [])[0] == 0
    wait_for(lambda: service.halves() == [new])
    service.receiver.stop(0)
    assert service.halves() == []


def test_temporary_files_go_elsewhere_again_when_it_stops(serve):
    before = tempfile.gettempdir()
    service = serve()
    assert tempfile.gettempdir() == str(service.folder / "receiving")
    service.receiver.stop(0)
    assert tempfile.gettempdir() == before


def test_logs_name_neither_patients_nor_senders(serve, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    service = serve(most_bytes=100_000)
    uid = write_instance(tmp_path / "a.dcm")
    large = write_instance(tmp_path / "large.dcm", side=1024)
    for name in ("a", "large"):
        dcmtk("storescu", service, "-aet", "SECRETAET", [tmp_path / f"{name}.dcm"])
    dcmtk("echoscu", service, [], title="ANOTHER")
    service.receiver.stop(0)
    said = caplog.text + "".join(capfd.readouterr())
    assert "larger than allowed" in said
    for secret in (NAME, PATIENT_ID, uid, large, "SECRETAET", "ANOTHER"):
        assert secret not in said


def test_stopping_lets_an_object_that_is_on_its_way_arrive(serve, tmp_path, monkeypatch):
    service = serve()
    write_instance(tmp_path / "a.dcm")
    go_on, sender, answers = sent_but_not_accepted(service, tmp_path / "a.dcm", monkeypatch)
    stopper = threading.Thread(target=service.receiver.stop, args=[60])
    stopper.start()
    go_on.set()
    stopper.join(60)
    sender.join(60)
    assert answers == [0]
    assert service.queue.counts()["queued"] == 1


def test_orthanc_sends_to_it(serve, tmp_path):
    need_orthanc()
    service = serve()
    modality = {"apical": ["APICAL", "127.0.0.1", service.receiver.port]}
    archive = Orthanc(tmp_path / "orthanc", DicomModalities=modality).start()
    try:
        files = [tmp_path / f"{number}.dcm" for number in range(3)]
        for file, encoding in zip(files, ("jpeg", "jpeg-ls", "gray"), strict=True):
            write_instance(file, encoding=encoding)
        for one in archive.upload(*files):
            archive.rest("/modalities/apical/store", one.encode())
    finally:
        archive.kill()
    pixels = [
        hashlib.sha256(pydicom.dcmread(pydicom.filebase.DicomBytesIO(one)).PixelData)
        for one in service.files()
    ]
    expected = [hashlib.sha256(pydicom.dcmread(file).PixelData) for file in files]
    assert {one.digest() for one in pixels} == {one.digest() for one in expected}
