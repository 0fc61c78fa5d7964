"""The messages of a DICOM peer, bounded as they come: of pynetdicom itself, none is.

A message is a command and then, of a C-STORE, a data set; each comes in fragments (PS3.7 6.3, PS3.8 E.2), and
pynetdicom gathers whatever comes: a command in memory, an object in a file, any other data in memory. So
each fragment is judged before it is passed on. Taken are C-STORE and C-ECHO, commands and objects of so many
bytes, one message after another (nobody negotiates more: PS3.7 D.3.3.3), and objects only while there is room
in the folder of halves. Who does otherwise has its association ended, since C-STORE has no answer before the
last byte; an object that was not answered is still with its sender.
"""

from __future__ import annotations

import logging
import queue
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dsutils import decode
from pynetdicom.pdu_primitives import P_DATA

if TYPE_CHECKING:
    from pynetdicom.events import Event

C_STORE, C_ECHO = 0x0001, 0x0030  # command fields: PS3.7 E.1
LONGEST_READ = 1 << 20  # bytes of any message of the protocol; one that announces more is cut off
LONGEST_COMMAND = 1 << 14  # bytes; those of C-STORE have some hundred
HALVES = 2  # objects of the largest size that may lie in the folder of halves, of all associations together
IDLE = 60.0  # seconds without a byte, after which an association ends
BLOCK = 1 << 20
_COMMAND, _LAST = 1, 2  # bits of a fragment's header
_log = logging.getLogger(__name__)


def bound(event: Event, halves: Path, most_bytes: int) -> None:
    """Bound what a peer can make this process hold or wait for, before it has said who it is.

    Args:
        event: a connection was opened.
        halves: the folder to which pynetdicom writes objects as they come.
        most_bytes: of an object.
    """
    association: Any = event.assoc
    connection = association.dul.socket
    connection.socket.settimeout(IDLE)
    read = connection.recv

    def recv(size: int) -> bytearray:
        if size > LONGEST_READ:
            raise OSError("a message that is too long")
        received: bytearray = read(size)
        return received

    connection.recv = recv
    association.dimse.receive_primitive = _Judge(association, halves, most_bytes).receive


class _Judge:
    """What stands before pynetdicom's own receiver of fragments, for one association."""

    def __init__(self, association: Any, halves: Path, most_bytes: int) -> None:
        self._association, self._halves, self._most_bytes = association, halves, most_bytes
        self._pass_on = association.dimse.receive_primitive
        self._size = 0  # of the command, or of the object, so far
        self._unseen = 0  # bytes since the folder was looked at
        self._ended = False

    def receive(self, primitive: P_DATA) -> None:
        """Pass on the fragments of a message of the protocol, or end the association."""
        for fragment in primitive.presentation_data_value_list:
            if self._ended:
                return
            one = P_DATA()
            one.presentation_data_value_list.append(fragment)
            try:
                wrong = self._wrong(*fragment)
                if wrong is None:
                    self._pass_on(one)
            except OSError as error:
                wrong = f"an object could not be written ({error.strerror})"
            if wrong is not None:
                self._ended = True
                _log.warning("a DICOM association was ended: %s", wrong)
                self._association.abort(block=False)

    def _wrong(self, context: int, fragment: bytes) -> str | None:
        """Why a fragment is not passed on; None if it is."""
        dimse = self._association.dimse
        message: DIMSEMessage | None = dimse.message
        if not fragment or context not in self._association._accepted_cx:
            return "it sent what belongs to nothing"
        if message is None:
            self._size = 0
            if dimse.msg_queue.qsize() > 1:
                return "it sent more before it had an answer"
        self._size += len(fragment) - 1
        is_last = bool(fragment[0] & _LAST)
        if fragment[0] & _COMMAND:
            return self._wrong_command(message, fragment[1:], is_last)
        if not isinstance(message, C_STORE_RQ):
            return "it sent data where there should be none"
        if self._size > self._most_bytes:
            return "an object was larger than allowed"
        self._unseen += len(fragment)
        return self._no_room() if self._unseen > BLOCK else None

    def _wrong_command(self, message: DIMSEMessage | None, fragment: bytes, is_last: bool) -> str | None:
        if message is not None and type(message) is not DIMSEMessage:  # that has a class once it is known
            return "it sent a command amid data"
        if self._size > LONGEST_COMMAND:
            return "a command was larger than allowed"
        if not is_last:
            return None
        self._size = 0
        field = _command_field((message.encoded_command_set.getvalue() if message else b"") + fragment)
        if field == C_STORE:
            return self._no_room()
        return None if field == C_ECHO else "it asked for more than C-STORE and C-ECHO"

    def _no_room(self) -> str | None:
        self._unseen = 0
        if _bytes_in(self._halves) > HALVES * self._most_bytes:
            return "too much was being received at a time"
        return None


def _command_field(command: bytes) -> int | None:
    """What a command asks for, as pynetdicom will read it; None where that cannot be read."""
    try:
        return int(decode(BytesIO(command), True, True).CommandField)
    except Exception:  # whatever pydicom raises of bytes that nobody has checked
        return None


def _bytes_in(folder: Path) -> int:
    size = 0
    for file in folder.iterdir():
        try:
            size += file.stat().st_size
        except FileNotFoundError:  # another association's, and gone
            continue
    return size


def forget(event: Event) -> None:
    """Remove what a connection that was closed has left: half an object, and what nobody will hear of."""
    dimse: Any = event.assoc.dimse
    left = [getattr(dimse.message, "_data_set_path", None)]
    try:
        while True:
            left.append(getattr(dimse.msg_queue.get_nowait()[1], "_dataset_path", None))
    except queue.Empty:
        pass
    for file in left:
        if isinstance(file, Path):
            file.unlink(missing_ok=True)
