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
from apical.errors import ClipProblem, WrongCall
from apical.ingest.formats import HEAD, kind_of
from apical.ingest.places import as_place, is_remote
from apical.ingest.walk import walk

LISTED, GONE = "-", "there is no such file"
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


def inputs_of(given: Sequence[Path | str], listed: Sequence[str] = ()) -> Iterator[Input]:
    """The files that are meant, in the order given; folders and archives are walked as `scan` does.

    Args:
        given: files, folders, zip archives, URLs; patterns such as ``exports/*.dcm``, where no file has such
            a name; tables that a scan made; `LISTED` for those of `listed`.
        listed: names from a list; one that is not there any more has a problem, and the others are answered.

    Raises:
        WrongCall: there is no such file, or no file fits a pattern.
        CannotDo: a catalogue cannot be read.
    """
    for number, one in enumerate(given, start=1):
        text = str(one)
        if text == LISTED:
            for name in listed:
                is_there = is_remote(name) or os.path.exists(name)
                yield from _meant(name) if is_there else [Input(as_place(name), GONE)]
            continue
        if is_remote(text) or os.path.exists(text):
            yield from _meant(text)
            continue
        is_pattern = bool(_PATTERN & set(text))
        found = sorted(glob.glob(text, recursive=True)) if is_pattern else []
        if "**" in text:  # which also matches the folders of what it matches
            found = [path for path in found if not os.path.isdir(path)]
        if not found:
            what = "no file fits the pattern" if is_pattern else "there is no file"
            raise WrongCall(f"{what} at argument {number}", "check its path")
        for path in found:
            yield from _meant(path)


def _meant(text: str) -> Iterator[Input]:
    """What one path or URL stands for."""
    if text.lower().endswith((".parquet", ".csv")) and os.path.isfile(text):
        yield from _rows(Path(text))
    else:
        place = as_place(text)
        try:
            yield from (Input(found.place, found.problem) for found in walk(place))
        except ClipProblem as problem:  # a store that cannot be reached
            yield Input(place, str(problem))


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


def refuse_as_output(out: Path, given: Sequence[Path | str], inputs: Sequence[Input]) -> None:
    """Refuse to write over what is asked about.

    Raises:
        WrongCall: `out` is one of the files, or was given as such.
    """
    place = as_place(out)
    if any(place == as_place(one) for one in given) or any(place == one.place for one in inputs):
        raise WrongCall("--out is one of the files that are asked about", "choose another --out")


def all_inputs(given: Sequence[Path | str], listed: Sequence[str] = ()) -> list[Input]:
    """`inputs_of` as a list.

    Raises:
        WrongCall: there is none, or as `inputs_of`.
    """
    found = list(inputs_of(given, listed))
    if not found:
        raise WrongCall(
            "there is no file to answer in what was given", "give files, or a folder that holds some"
        )
    return found
