"""Which DICOM instances are ours to answer, and how one is known again without keeping its name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import BinaryIO, cast

import pydicom

from apical.errors import ClipProblem
from apical.ingest.damage import Rationed, Unreadable, decoding

RETIRED = {  # of before 1993's colour models: PS3.4-1998 B.6
    "1.2.840.10008.5.1.4.1.1.3": "UltrasoundMultiFrameImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.6": "UltrasoundImageStorageRetired",
}
CLASSES = (  # storage classes in which ultrasound comes: PS3.4 B.5
    "1.2.840.10008.5.1.4.1.1.3.1",  # multi-frame image
    "1.2.840.10008.5.1.4.1.1.6.1",  # image
    "1.2.840.10008.5.1.4.1.1.6.2",  # enhanced volume
    *RETIRED,
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture, and its multi-frame forms of 8 and 16 bits and colour
    "1.2.840.10008.5.1.4.1.1.7.2",
    "1.2.840.10008.5.1.4.1.1.7.3",
    "1.2.840.10008.5.1.4.1.1.7.4",
)
_CLASS, _INSTANCE = 0x00080016, 0x00080018
_NOT_WHOLE = "damaged or incomplete DICOM header"


def instance_key(instance: str, model: str, content: str = "") -> str:
    """What tells the queue that this model has been asked of this SOPInstanceUID before: a hash of both.

    With a `content`, itself a hash of the file: that it was asked of this very content.
    """
    return hashlib.sha256("\0".join(filter(None, (instance, model, content))).encode()).hexdigest()


def is_uid(text: str) -> bool:
    """Whether a text can be a UID: digits and dots, at most 64 (PS3.5 9.1), so no path and no query."""
    return re.fullmatch(r"[0-9.]{1,64}", text) is not None and ".." not in text


def identity(file: Path) -> tuple[str, str]:
    """SOPClassUID and SOPInstanceUID of a DICOM file, by its data set.

    Raises:
        ClipProblem: it is no DICOM file, or its header is damaged or names neither. `Unreadable`: it could
            not be opened or read just now.
    """
    with decoding(_NOT_WHOLE):
        try:
            with file.open("rb") as opened:
                rationed = cast(BinaryIO, Rationed(opened))
                dataset = pydicom.dcmread(
                    rationed, stop_before_pixels=True, specific_tags=[_CLASS, _INSTANCE]
                )
        except OSError:
            raise Unreadable from None
        found = [dataset.get_item(tag) for tag in (_CLASS, _INSTANCE)]
        # raw bytes: pydicom would quote a malformed value in a warning
        uids = [bytes(one.value).decode("ascii").strip(" \0") for one in found]
        if not all(is_uid(uid) for uid in uids):
            raise ClipProblem(_NOT_WHOLE)
        return uids[0], uids[1]
