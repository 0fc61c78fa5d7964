"""What is sent to the service: good files and bad ones, with what the library itself answers for each."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom.uid import CTImageStorage

from apical.cli import run
from apical.deploy.answering import Answerer
from apical.deploy.answers import records
from apical.deploy.service.preview import plain

GOOD_SHARE = 0.7
OWN = ("number", "study", "item")  # of an answer, which is otherwise the same for the same file
FILE_MB = 16  # the limit that the service is given here
PHANTOM = ["--frames", 6, "--image-rows", 240, "--other-modes", 3, "--seed", 8]


@dataclass(frozen=True)
class Sent:
    """A file to send, and the names of the pieces that are answered: itself, or an archive's members."""

    body: bytes
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Mix:
    """Good and bad files, and the answers that are known, by piece."""

    good: list[Sent]
    bad: list[Sent]
    known: dict[str, dict[str, Any]]

    def draw(self, chance: random.Random) -> list[Sent]:
        """One to five files."""
        return [
            chance.choice(self.good if chance.random() < GOOD_SHARE else self.bad)
            for _ in range(chance.randint(1, 5))
        ]


def make_phantom(folder: Path, patients: int) -> list[Path]:
    """DICOM files of synthetic patients, in several encodings and modes."""
    words = ["phantom", "--patients", patients, *PHANTOM, "--workers", 1, "--quiet", "--out", folder]
    if run([str(word) for word in words]):
        raise SystemExit("apical phantom failed")
    return sorted(folder.rglob("*.dcm"))


def make_mix(bundle: Path, files: list[Path], folder: Path, seed: int) -> Mix:
    """Good files: DICOM, a video and a picture of it. Bad ones: what a service may meet."""
    chance = random.Random(seed)
    whole = {f"dicom {number}": file.read_bytes() for number, file in enumerate(files)}
    whole |= {"video": _video(folder), "picture": _picture()}
    some = list(whole.values())
    broken = {
        "truncated": some[0][: len(some[0]) // 2],
        "header cut": some[1][:700],
        "random": chance.randbytes(20_000),
        "random after DICM": bytes(128) + b"DICM" + chance.randbytes(20_000),
        "empty": b"",
        "text": b"not a clip\n" * 100,
        "absurd PNG": _absurd_png(),
        "CT": _of_other_modality(files[0]),
    }
    known = _answers_of_library(bundle, whole | broken, folder)
    archives = [
        Sent(_zip({"a.dcm": some[0], "b/c.dcm": some[2], "d.txt": b"passed over"}), ("dicom 0", "dicom 2")),
        Sent(_zip({"../../etc/x.dcm": some[1]}), ("dicom 1",)),
        Sent(_zip({"x.dcm": bytes(128) + b"DICM" + bytes(4 * FILE_MB << 20)}), ("zip bomb",)),
        Sent(_zip({"a.dcm": some[0]})[:-40], ("cut zip",)),
    ]
    alone = {name: Sent(body, (name,)) for name, body in (whole | broken).items()}
    return Mix([alone[name] for name in whole], [alone[name] for name in broken] + archives, known)


def sight(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what is its item's own."""
    return {name: value for name, value in answer.items() if name not in OWN}


def _answers_of_library(bundle: Path, bodies: dict[str, bytes], folder: Path) -> dict[str, dict[str, Any]]:
    """What `Answerer` says of each file, in this process; files have no ending, as in the service's spool."""
    answerer, place, known = Answerer.open(bundle, threads=1), folder / "one", {}
    for name, body in bodies.items():
        place.write_bytes(body)
        known[name] = sight(json.loads(json.dumps(plain(records([answerer.answer(1, str(place))])[0]))))
    return known


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


def _speckle() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (8, 120, 160, 3), np.uint8)


def _video(folder: Path) -> bytes:
    path = folder / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for frame in _speckle():
        writer.write(frame)
    writer.release()
    return path.read_bytes()


def _picture() -> bytes:
    return cv2.imencode(".png", _speckle()[0])[1].tobytes()


def _absurd_png() -> bytes:
    """A picture that says it has 2³¹ − 1 rows and columns."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one))
        for one in (head, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _of_other_modality(file: Path) -> bytes:
    dataset = pydicom.dcmread(file)
    dataset.Modality, dataset.SOPClassUID = "CT", CTImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()
