"""Damage to the bytes of any file, and which damage a case gets: all from its seed and number."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from apical.ingest.dicom import quiet_pydicom
from apical.ingest.formats import HEAD, kind_of
from fuzzing import bombs, dicom_bytes, dicom_headers, formats
from fuzzing.corpus import Corpus

BOMBS = 0.002  # of the cases
LARGEST_CASE = 4 << 20  # bytes, but for bombs
SUFFIXES = ("", ".dcm", ".png", ".jpg", ".gif", ".avi", ".mp4", ".mov", ".nii", ".nii.gz", ".mha", ".zip")
NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 0x7FFFFFFF, 0x80000000,
           0xFFFFFFFE, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Files to give to ingest.

    Attributes:
        files: by their path in the source; all lie in one folder.
        what: the file it began with, and what was done to it.
    """

    files: dict[str, bytes]
    what: str


def make_case(files: Corpus, seed: int, number: int) -> Case:
    """A file of the corpus with one to four kinds of damage; one in 200 has none."""
    with quiet_pydicom():  # which writes what cannot be only with a warning
        return _make(files, random.Random(f"{seed} {number}"))


def _make(files: Corpus, rng: random.Random) -> Case:
    if rng.random() < BOMBS:
        what, bomb = bombs.bomb(rng)
        return Case(bomb, what)
    name = rng.choice(list(files))
    data, done = files[name], [name]
    for _ in range(0 if rng.random() < 0.005 else rng.choice((1, 1, 1, 1, 1, 2, 2, 3, 4))):
        mutate = _choose(rng, data, name)
        try:
            changed = mutate(rng, data, files)
        except Exception:  # it no longer has the structure that this kind of damage needs
            mutate = rng.choice(ANYWHERE)
            changed = mutate(rng, data, files)
        done.append(mutate.__name__)
        data = changed[:LARGEST_CASE]
    folder, slash, _ = name.partition("/")
    if slash:
        beside = {other: files[other] for other in files if other.startswith(f"{folder}/")}
        return Case(beside | {name: data}, " ".join(done))
    if rng.random() < 0.1:
        name = PurePosixPath(name).stem + rng.choice(SUFFIXES)
    return Case({name: data}, " ".join(done))


Mutation = Callable[[random.Random, bytes, Corpus], bytes]


def _choose(rng: random.Random, data: bytes, name: str) -> Mutation:
    if rng.random() < 0.25:
        return rng.choice(ANYWHERE)
    if name.endswith("DICOMDIR"):
        return rng.choice((formats.directory, formats.directory, dicom_bytes.length))
    kind = kind_of(data[:HEAD])
    if kind == "dicom":
        return rng.choice(dicom_bytes.MUTATIONS + dicom_headers.MUTATIONS)
    return rng.choice(formats.MUTATIONS.get(kind or "", ANYWHERE))


def _position(rng: random.Random, data: bytes) -> int:
    """Anywhere, but more often near the start."""
    near = min(len(data), rng.choice((64, 512, 2048, len(data), len(data))))
    return rng.randrange(max(1, near))


def cut(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """The start of it."""
    return data[: _position(rng, data)]


def flip(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Some bits."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64)) if changed else 0):
        changed[_position(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """A run of other bytes in the place of its own."""
    at = _position(rng, data)
    run = _run(rng)
    return data[:at] + run + data[at + len(run) :]


def insert(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """A run of further bytes."""
    at = _position(rng, data)
    return data[:at] + _run(rng) + data[at:]


def delete(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Without a run of bytes."""
    at = _position(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 4, 8, 100, 5000)) :]


def twice(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """A part of it again."""
    at = _position(rng, data)
    return data[:at] + data[at : at + rng.randrange(1, 5000)] * rng.choice((1, 2, 50)) + data[at:]


def number(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """A number at which programs break."""
    value = rng.choice(NUMBERS)
    coded = struct.pack(rng.choice("<>") + "Q", value)
    size = rng.choice((1, 2, 4, 4, 8))
    at = _position(rng, data)
    return data[:at] + (coded[:size] if value.bit_length() <= 8 * size else coded[-size:]) + data[at + size :]


def splice(rng: random.Random, data: bytes, files: Corpus) -> bytes:
    """Its start, and the end of another file."""
    other = files[rng.choice(list(files))]
    return data[: _position(rng, data)] + other[_position(rng, other) :]


def _run(rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4, 16, 200, 4096))
    return rng.choice((b"\0" * size, b"\xff" * size, rng.randbytes(size), b"ZQXJOHANNA"[:size]))


ANYWHERE: tuple[Mutation, ...] = (cut, flip, flip, overwrite, insert, delete, twice, number, number, splice)
