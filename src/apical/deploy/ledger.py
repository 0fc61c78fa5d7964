"""Answers on disk while they are made, so that a long call can be stopped and gone on with by the same call.

A file beside the one that is asked for: a line that says of which bundle and settings, then a line an answer,
in the order of the inputs. When all are there the table is made of it, and it is removed. Lines name files by
a hash of their place, size and time of change; one that has changed since is answered again, with those that
come after it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from apical.deploy.answers import Answer
from apical.deploy.inputs import Input
from apical.errors import CannotDo, ClipProblem
from apical.files import cannot_write
from apical.ingest.places import stamp


class Ledger:
    """An opened ledger; use it in a ``with`` statement.

    Args:
        path: the file; what it holds of another bundle or other settings is thrown away.
        made: of which bundle, and with which settings that matter.
        inputs: all files that are asked about.

    Attributes:
        done: how many inputs at the beginning are answered.
        key: of the names of studies.

    Raises:
        CannotDo: the file cannot be read or written, or another call is writing it.
    """

    def __init__(self, path: Path, made: dict[str, Any], inputs: Sequence[Input]) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115
            os.chmod(path, 0o600)
            _lock(self._file)
            self.key, self.done = self._resume(made, inputs)
        except BlockingIOError:
            raise CannotDo(
                f"'{path.name}' is being written by another call", "wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise cannot_write(path, error) from None
        self._kept = self.done

    def _resume(self, made: dict[str, Any], inputs: Sequence[Input]) -> tuple[bytes, int]:
        """The key, and how many answers are those of the inputs; the rest is cut off."""
        with self._path.open("rb") as file:
            first = _parsed(file.readline())
            done, end = 0, file.tell()
            for one in inputs if first.get("made") == made else ():
                line = file.readline()
                if not line.endswith(b"\n") or _parsed(line).get("input") != _mark(one):
                    break
                done, end = done + 1, file.tell()
        if first.get("made") == made:
            self._file.truncate(end)
            return bytes.fromhex(first["key"]), done
        key = os.urandom(16)
        self._file.truncate(0)
        self._write({"made": made, "key": key.hex()})
        return key, 0

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: Any) -> None:
        if not self._kept:
            self.remove()
        self._file.close()

    def add(self, one: Input, answer: Answer) -> None:
        """Keep the next answer."""
        try:
            self._write({"input": _mark(one), "answer": vars(replace(answer, file=""))})
        except OSError as error:
            raise cannot_write(self._path, error) from None
        self._kept += 1

    def _write(self, record: dict[str, Any]) -> None:
        data = json.dumps(record).encode() + b"\n"
        if self._file.write(data) != len(data):  # half a line; the next call cuts it off
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def answers(self, inputs: Sequence[Input]) -> Iterator[Answer]:
        """All answers that are kept, read again one after the other."""
        with self._path.open("rb") as file:
            file.readline()
            for line, one in zip(file, inputs, strict=False):
                values = _parsed(line)["answer"]
                lists = {name: tuple(values[name]) for name in ("views", "frames_used")}
                yield Answer(**values | lists | {"file": one.place})

    def remove(self) -> None:
        """The table is written; this file is not needed any longer."""
        self._path.unlink(missing_ok=True)


def _mark(one: Input) -> str:
    try:
        said = stamp(one.place)
    except ClipProblem:
        said = ""
    return hashlib.sha256(
        f"{said} {one.place} {one.sector} {one.study}".encode("utf-8", "surrogatepass")
    ).hexdigest()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lock(file: IO[bytes]) -> None:
    """Raises BlockingIOError if another process has it."""
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
