"""What may be asked about: files, folders, patterns, archives, URLs, a catalogue, or a list of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from apical.catalogue import read_catalogue
from apical.errors import WrongCall
from apical.ingest.formats import HEAD, kind_of
from apical.ingest.places import as_place, is_remote
from apical.ingest.walk import walk

_PATTERN = frozenset("*?[")


@dataclass(frozen=True)
class Input:
    """One file to answer.

    Attributes:
        place: where it is, see `apical.ingest.places`.
        problem: why it cannot be one, if that is clear without opening it.
        sector: where its image is, as a catalogue writes it; None where it is to be looked for.
        study: its study's pseudonym in the catalogue, or None.
    """

    place: str
    problem: str | None = None
    sector: str | None = None
    study: str | None = None


def inputs_of(given: Sequence[Path | str]) -> Iterator[Input]:
    """The files that are meant, in the order given; folders and archives are walked as `scan` does.

    Args:
        given: files, folders, zip archives, URLs; patterns such as ``exports/*.dcm``, where no file has such
            a name; tables that a scan made.

    Raises:
        WrongCall: there is no such file, or no file fits a pattern.
        CannotDo: a catalogue cannot be read.
    """
    for number, one in enumerate(given, start=1):
        text = str(one)
        if is_remote(text):
            yield from _walked(text)
        elif not os.path.exists(text):
            found = sorted(glob.glob(text, recursive=True)) if _PATTERN & set(text) else []
            if not found:
                what = "no file fits the pattern" if _PATTERN & set(text) else "there is no file"
                raise WrongCall(f"{what} at argument {number}", "check its path")
            for path in found:
                yield from _walked(path)
        elif text.endswith((".parquet", ".csv")) and os.path.isfile(text):
            yield from _rows(Path(text))
        else:
            yield from _walked(text)


def _walked(text: str) -> Iterator[Input]:
    place = as_place(text)
    if is_remote(text) or os.path.isdir(text) or text.lower().endswith(".zip"):
        yield from (Input(found.place, found.problem) for found in walk(place))
    else:
        yield Input(place)


def _rows(path: Path) -> Iterator[Input]:
    """The clips of a catalogue, with the sectors and studies that the scan found."""
    table = read_catalogue(path)
    wanted = table.select("path", "problem", "sector", "study")
    for place, problem, sector, study in wanted.iter_rows():
        yield Input(place, problem, sector, study)


@contextmanager
def standard_input(data: bytes) -> Iterator[list[str]]:
    """The files that standard input names, or, if it is itself a clip or an archive, a private copy of it.

    A list has one path a line, or zero bytes between them, as ``find -print0`` writes.

    Raises:
        WrongCall: it is empty.
    """
    kind = kind_of(data[:HEAD])
    if kind is not None:
        with TemporaryDirectory() as folder:
            copy = Path(folder) / ("stdin.zip" if kind == "zip" else "stdin")
            copy.write_bytes(data)
            yield [str(copy)]
        return
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    found = [os.fsdecode(line) for line in lines if line.strip()]
    if not found:
        raise WrongCall("standard input is empty", "pipe a clip in, or paths, one a line")
    yield found


def all_inputs(given: Sequence[Path | str]) -> list[Input]:
    """`inputs_of` as a list.

    Raises:
        WrongCall: there is none, or as `inputs_of`.
    """
    found = list(inputs_of(given))
    if not found:
        raise WrongCall(
            "there is no file to answer in what was given", "give files, or a folder that holds some"
        )
    return found
