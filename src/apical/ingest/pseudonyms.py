"""Pseudonyms: the only form in which an identifier may leave ingest."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
import uuid
from pathlib import Path
from typing import BinaryIO

from apical.errors import CannotDo
from apical.files import cannot_write

SALT_BYTES = 32


class Pseudonyms:
    """Salted pseudonyms: the same text gives the same pseudonym, and only under the same salt.

    HMAC-SHA256, cut to 16 hexadecimal digits. Without the salt a pseudonym cannot be tested against
    a list of known patient numbers.

    Args:
        salt: 32 secret bytes; keep them where the original files are kept.
    """

    def __init__(self, salt: bytes) -> None:
        if len(salt) != SALT_BYTES:
            raise ValueError(f"a salt has {SALT_BYTES} bytes")
        self._salt = salt

    def __repr__(self) -> str:
        return "Pseudonyms(<salt>)"

    @classmethod
    def load_or_create(cls, path: Path) -> Pseudonyms:
        """Read the salt, or make one that only its owner can read.

        Raises:
            CannotDo: the file cannot be read or written, or is no salt.
        """
        try:
            if not path.exists():
                _create(path)
            salt = path.read_bytes()
        except OSError as error:
            raise cannot_write(path, error) from None
        if len(salt) != SALT_BYTES:
            raise CannotDo(
                f"'{path.name}' is no salt ({len(salt)} bytes instead of {SALT_BYTES})",
                "give the file that the first scan made, or let a new one be made elsewhere with --salt",
            )
        return cls(salt)

    def patient(self, key: str) -> str:
        """Pseudonym of a patient."""
        return self._of("patient", key)

    def study(self, key: str) -> str:
        """Pseudonym of a study."""
        return self._of("study", key)

    def file(self, key: str) -> str:
        """Id of a file that cannot be read, from its place in the tree."""
        return self._of("file", key)

    def machine(self, key: str) -> str:
        """Name of a maker or model that is not known by name."""
        return "unlisted-" + self._of("machine", key)[:8]

    def uid(self, key: str) -> str:
        """A UID that stands for another: 2.25 and a random-looking UUID (PS3.5 B.2)."""
        digest = hmac.new(self._salt, f"uid\0{key}".encode(), hashlib.sha256).digest()
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"

    def weeks(self, key: str) -> int:
        """By how many whole weeks the dates of a patient are moved back: one to ten years."""
        return 52 + int(self._of("weeks", key), 16) % (9 * 52)

    @property
    def fingerprint(self) -> str:
        """Tells one salt from another, and nothing about it."""
        return self._of("fingerprint", "")

    def _of(self, kind: str, key: str) -> str:
        text = f"{kind}\0{key}".encode(errors="surrogatepass")  # a path's bytes may be no UTF-8
        return hmac.new(self._salt, text, hashlib.sha256).hexdigest()[:16]


def _create(path: Path) -> None:
    """Write a new salt completely or not at all; if another process was faster, keep its salt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SALT_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def tidy(identifier: str) -> str:
    """An identifier as it enters a pseudonym: runs of blanks are one, at most 64 characters (VR LO)."""
    return " ".join(identifier.split())[:64]


def clip_id_of_uid(uid: str) -> str:
    """Clip id from a SOPInstanceUID (0008,0018): 16 hexadecimal digits of its SHA-256."""
    return clip_id_of_bytes(uid.strip(" \0").encode())


def clip_id_of_bytes(content: bytes) -> str:
    """Clip id of a file without a SOPInstanceUID: 16 hexadecimal digits of the SHA-256 of its bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def clip_id_of_file(file: BinaryIO) -> str:
    """`clip_id_of_bytes` of an opened file's content, without holding it in memory."""
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()[:16]
