"""Senders of DICOM objects: copies of files under UIDs of their own, and dcmtk's `storescu`."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

STORESCU = shutil.which("storescu")
PROPOSALS = {
    ExplicitVRLittleEndian: "-xe",
    JPEGBaseline8Bit: "-xy",
    RLELossless: "-xr",
    JPEGLSLossless: "-xt",
    JPEG2000Lossless: "-xv",
}
BATCH = 5


@dataclass(frozen=True)
class Instance:
    """A copy of a file, under a UID of its own."""

    file: Path
    uid: str
    proposal: str
    piece: str


def copies(file: Path, piece: str, folder: Path, count: int, entropy: str) -> list[Instance]:
    """So many copies of a file; none if storescu has no option for its encoding."""
    dataset = pydicom.dcmread(file)
    proposal = PROPOSALS.get(dataset.file_meta.TransferSyntaxUID)
    made = []
    for number in range(count if proposal else 0):
        uid = generate_uid(entropy_srcs=[entropy, piece, str(number)])
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        path = folder / f"{uid}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        made.append(Instance(path, uid, proposal or "", piece))
    return made


def store(some: Sequence[Instance], port: int, title: str) -> bool:
    """Whether storescu says that all were stored; all must have one encoding."""
    assert STORESCU is not None
    command = [STORESCU, "-aec", title, some[0].proposal, "127.0.0.1", str(port)]
    done = subprocess.run([*command, *(str(one.file) for one in some)], capture_output=True, timeout=300)
    return done.returncode == 0


class Senders:
    """Threads that send batches, and each again until it is stored, for so long; see `wait`.

    Attributes:
        sent: what storescu said was stored.
        calls: of storescu, by whether all was stored.
    """

    def __init__(
        self, files: dict[str, Path], folder: Path, port: int, *, count: int, seconds: float, seed: int
    ):
        self._files, self._folder, self._port, self._seed = files, folder, port, seed
        self._until, self._give_up = time.monotonic() + seconds, time.monotonic() + seconds + 120
        self.sent: dict[str, Instance] = {}
        self.calls: Counter[bool] = Counter()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._send, args=[number], daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until all have sent what they began."""
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        chance, turn = random.Random(f"{self._seed} {number}"), 0
        while time.monotonic() < self._until:
            piece = chance.choice(sorted(self._files))
            entropy = f"{self._seed} {number} {turn}"
            batch = copies(self._files[piece], piece, self._folder, chance.randint(1, BATCH), entropy)
            turn += 1
            while batch and time.monotonic() < self._give_up:
                stored = store(batch, self._port, "APICAL")
                with self._lock:
                    self.calls[stored] += 1
                    if stored:
                        self.sent |= {one.uid: one for one in batch}
                if stored:
                    break
                time.sleep(chance.uniform(0.3, 1.0))
            for one in batch:
                one.file.unlink()
