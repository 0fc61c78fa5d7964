"""The C-STORE and C-ECHO receiver: what is sent is on the disk and queued before its sender is told so.

PS3.4 B (storage) and PS3.7 9.3.1 (the answer to a C-STORE), through pynetdicom. An object goes to the disk as
it comes: first to a folder of halves, which pynetdicom writes by itself, then to the spool. The answer 0x0000
follows the commit of the queue; 0xA700 (out of resources) says that too much waits, and the sender keeps the
object. The same object with the same content is queued once; with another, such as after a damaged one, it is
queued again.

DICOM has no passwords: who may send is known by address and AE title only, so beyond loopback one of them
must be listed. What they can make this process hold is bounded in `messages`. There is no TLS here; let a
tunnel do that. An object that comes by C-STORE and from the PACS as well is answered twice, by reports of the
same UID.
"""

from __future__ import annotations

import hashlib
import logging
import socketserver
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apical.deploy.service.instances import CLASSES, RETIRED, identity, instance_key
from apical.deploy.service.queue import Queue, TooBusy
from apical.deploy.service.spool import Spool
from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.ingest.damage import Unreadable

if TYPE_CHECKING:
    from pynetdicom.events import Event
    from pynetdicom.transport import ThreadedAssociationServer

SUCCESS, OUT_OF_RESOURCES, OTHER_OBJECT, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000  # PS3.4 B.2.3
LONGEST_PDU = 1 << 18  # bytes, as peers are told
BLOCK = 1 << 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_log = logging.getLogger(__name__)


class Receiver:
    """A running receiver; `start_receiver` makes it.

    Attributes:
        port: at which it listens.
    """

    def __init__(self, server: ThreadedAssociationServer, halves: Path, temporary: str | None) -> None:
        self._server, self._halves, self._temporary = server, halves, temporary
        self.port = int(server.server_address[1])
        self._thread = threading.Thread(target=server.serve_forever, args=[0.1], name="c-store", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Accept no more, let objects that are on their way arrive for so long, then end what is left.

        Nothing that was answered by 0x0000 is lost by that; the rest is still with its sender.
        """
        ends = time.monotonic() + seconds
        socketserver.BaseServer.shutdown(self._server)  # pynetdicom's own serves only what its AE started
        self._server.server_close()
        self._thread.join()
        while (live := self._server.active_associations) and time.monotonic() < ends:
            time.sleep(0.05)
        for association in live:
            association.abort()
        tempfile.tempdir = self._temporary
        _remove_halves(self._halves)


def start_receiver(
    queue: Queue,
    spool: Spool,
    model: str,
    stopping: threading.Event,
    *,
    host: str = "127.0.0.1",
    port: int = 11112,
    title: str = "APICAL",
    calling: Sequence[str] = (),
    hosts: Sequence[str] = (),
    most_bytes: int = 2 << 30,
    most_associations: int = 16,
) -> Receiver:
    """Listen for C-STORE and C-ECHO in threads of its own, and return at once.

    Temporary files of this whole process go into the folder of the spool until the receiver stops: half an
    object is no less private than a whole one. One receiver a process.

    Args:
        queue: where what comes is queued, with source ``c-store``.
        spool: where it is kept.
        model: version of the bundle; the same object is queued again for another model.
        stopping: once it is set, objects are answered 0xA700.
        host: address to listen at.
        port: 0 takes a free one.
        title: our AE title; a peer that calls for another is rejected.
        calling: AE titles that may send; none means all.
        hosts: addresses (IP) that may connect; none means all.
        most_bytes: of an object; a larger one ends its association.
        most_associations: at a time; more are rejected, for the while.

    Raises:
        WrongCall: an AE title is none, or anybody might send: `host` is not loopback, and neither `calling`
            nor `hosts` is given.
        CannotDo: pynetdicom is not installed, or the address cannot be had.
    """
    if host not in LOOPBACK and not calling and not hosts:
        raise WrongCall(
            "everybody in the network could send to the DICOM receiver",
            "list the AE titles or addresses that may, or listen at 127.0.0.1 only",
        )
    try:
        from pynetdicom import AE, _config, evt

        from apical.deploy.service.messages import IDLE, bound, forget
    except ImportError:
        raise CannotDo(
            "the DICOM receiver needs pynetdicom, which is not installed",
            "install it with: pip install 'apical[dicom-net]'",
        ) from None
    _config.STORE_RECV_CHUNKED_DATASET = True  # to a file, not to memory
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # it logs headers and titles
    halves = spool.incoming.parent / "receiving"
    try:
        halves.mkdir(mode=0o700, exist_ok=True)
        _remove_halves(halves)  # of a dead server
        entity = AE(ae_title=title)
        entity.require_calling_aet = list(calling)
    except OSError as error:
        raise CannotDo(
            f"the folder of the receiver cannot be made ({error.strerror})", "see that it can be written"
        ) from None
    except (ValueError, TypeError):
        raise WrongCall(
            "an AE title is none that DICOM allows", "give 1 to 16 letters, digits or underscores"
        ) from None
    entity.require_called_aet = True
    entity.maximum_associations = most_associations
    entity.maximum_pdu_size = LONGEST_PDU
    entity.network_timeout = IDLE
    _support(entity)
    handlers: list[Any] = [
        (evt.EVT_C_STORE, _stored, [queue, spool, model, stopping, most_bytes]),
        (evt.EVT_C_ECHO, lambda event: SUCCESS),
        (evt.EVT_CONN_OPEN, bound, [halves, most_bytes]),
        (evt.EVT_CONN_CLOSE, forget),
        (evt.EVT_CONN_CLOSE, lambda event: _remove_halves(halves, older_than=2 * IDLE)),
    ]
    server_class = _server_class(frozenset(hosts), 2 * most_associations)
    try:
        server = entity.make_server((host, port), evt_handlers=handlers, server_class=server_class)
    except OSError as error:
        raise CannotDo(
            f"the DICOM receiver cannot listen at port {port} ({error.strerror})", "choose another port"
        ) from None
    temporary, tempfile.tempdir = tempfile.tempdir, str(halves)
    return Receiver(server, halves, temporary)


def _support(entity: Any) -> None:
    """Offer the classes of ultrasound in every transfer syntax whose pixels are inside the object."""
    from pydicom.uid import UID
    from pynetdicom import ALL_TRANSFER_SYNTAXES
    from pynetdicom.service_class import StorageServiceClass
    from pynetdicom.sop_class import Verification, register_uid  # type: ignore[attr-defined]

    for uid, keyword in RETIRED.items():
        register_uid(uid, keyword, StorageServiceClass)
    elsewhere = ("JPIP", "SMPTE")
    syntaxes = [uid for uid in ALL_TRANSFER_SYNTAXES if not any(word in UID(uid).name for word in elsewhere)]
    for uid in CLASSES:
        entity.add_supported_context(uid, syntaxes)
    entity.add_supported_context(Verification)


def _server_class(hosts: frozenset[str], most_connections: int) -> type[ThreadedAssociationServer]:
    """A server that takes connections of some addresses only, and tells nobody who they were."""
    from pynetdicom.transport import ThreadedAssociationServer

    class Server(ThreadedAssociationServer):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            allowed = not hosts or client_address[0] in hosts
            return allowed and len(self.active_associations) < most_connections

        def handle_error(self, request: Any, client_address: Any) -> None:
            _log.warning("a DICOM connection failed")

    return Server


def _stored(
    event: Event, queue: Queue, spool: Spool, model: str, stopping: threading.Event, most_bytes: int
) -> int:
    """Keep an object and queue it; the status that its sender is told."""
    if stopping.is_set():
        return OUT_OF_RESOURCES
    try:
        half = event.dataset_path
        named = identity(half)
        command: Any = event.request
        if named != (str(command.AffectedSOPClassUID), str(command.AffectedSOPInstanceUID)):
            return OTHER_OBJECT
        with half.open("rb") as file:
            key = instance_key(named[1], model, hashlib.file_digest(file, "sha256").hexdigest())
        if not queue.knows(key):
            _queue(half, queue, spool, key, most_bytes)
    except TooBusy:
        return OUT_OF_RESOURCES
    except (CannotDo, Unreadable, OSError) as error:  # of this machine, not of the object
        why = error if isinstance(error, CannotDo) else type(error).__name__
        _log.error("a DICOM object could not be kept: %s", why)
        return OUT_OF_RESOURCES
    except ClipProblem:
        return NOT_UNDERSTOOD
    return SUCCESS


def _queue(half: Path, queue: Queue, spool: Spool, key: str, most_bytes: int) -> None:
    with spool.write(most_bytes + BLOCK) as incoming, half.open("rb") as file:  # the file's head comes on top
        while block := file.read(BLOCK):
            incoming.write(block)
        kept = incoming.keep()
    try:
        queue.accept("c-store", [kept], key=key)
    except CannotDo:
        spool.remove(kept)
        raise


def _remove_halves(folder: Path, *, older_than: float = 0.0) -> None:
    """Remove what has not been written to for so many seconds; no association that lives is that silent."""
    before = time.time() - older_than
    for file in folder.iterdir():
        try:
            if file.stat().st_mtime <= before:
                file.unlink()
        except OSError:  # it was the last association's own, and is gone
            continue
