"""Run one case of the fuzzer through the whole of ingest, and say what of it is against the contract."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl
import pydicom
from av.error import FFmpegError

from apical.catalogue import SCHEMA
from apical.config import DeidentifySettings, FrameSettings, ScanSettings
from apical.errors import ApicalError, ClipProblem
from apical.ingest.clip import Clip, open_clip
from apical.ingest.deidentify import deidentify
from apical.ingest.dicom import DicomClip
from apical.ingest.inspect import inspect
from apical.ingest.places import as_place
from apical.ingest.prepare import prepare
from apical.ingest.pseudonyms import Pseudonyms
from apical.ingest.scan import read_row, scan
from apical.ingest.triage import triage
from apical.ingest.walk import Found, walk
from fuzzing.checks import SIDE, check, check_facts, check_frame, check_prepared, check_samples, check_seen
from fuzzing.dicom_files import SECRETS
from fuzzing.mutations import Case

MOST_OPENED = 6  # files of a case
ROW_EVERY, CLEAN_EVERY = 3, 2  # cases: such a one also becomes a row of a catalogue, or is de-identified,
FOLDER_EVERY = 20  # is scanned and inspected as a folder
BATCHES = ("walk", "row", "deidentify", "scan", "inspect")  # which no bad file may end
PIXEL_DATA = b"\xe0\x7f\x10\0"  # its tag
PALETTES = [f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")]

Result = TypeVar("Result")


@dataclass
class Verdict:
    """What became of a case.

    Attributes:
        ended: the first problem that was told, with the step that told it; or "fine".
        findings: (kind, what tells it from others, details) of each breach of the contract.
        seconds: of the processor that it took.
        peak_mb: of memory above what the process had at its start; measured by a worker.
        what: the case's; told by a worker.
    """

    ended: str = ""
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: float = 0.0
    peak_mb: float = 0.0
    what: str = ""


def run_case(case: Case, number: int, scratch: Path, output: Path | None = None) -> Verdict:
    """Write the files of a case and put them through ingest.

    Args:
        case: what to write.
        number: of the case: it chooses among the settings.
        scratch: an empty folder; it is empty again at the end.
        output: the file that stdout and stderr of this process go to.
    """
    source, began = scratch / "ZQXJOHANNA", time.process_time()
    for name, data in case.files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    trial = _Trial(source, scratch, number)
    before = trial.listing()
    with _watched(trial, output):
        trial.run()
    for text in trial.said:
        if secret := secret_in(text):
            trial.find("identifier", text.partition(":")[0], f"{secret} in {text[:300]!r}")
    if strange := trial.listing() - before:
        trial.find("files", "written elsewhere", str(sorted(strange)))
    for path in scratch.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    trial.verdict.seconds = time.process_time() - began
    return trial.verdict


class _Trial:
    """The steps of a case. `said` collects what a person or the catalogue would be told."""

    def __init__(self, source: Path, scratch: Path, number: int) -> None:
        self.source, self.scratch, self.number = source, scratch, number
        self.verdict = Verdict()
        self.said: list[str] = []

    def find(self, kind: str, place: str, details: str) -> None:
        self.verdict.findings.append((kind, place, details[-3000:]))

    def attempt(self, what: str, step: Callable[[], Result]) -> Result | None:
        """A step that must return, or raise one of our errors that was not forced by want of memory."""
        try:
            return step()
        except (ClipProblem, ApicalError) as problem:
            self.said.append(f"{what}: {problem}")
            self.verdict.ended = self.verdict.ended or f"{what}: {problem}"
            if what in BATCHES and isinstance(problem, ClipProblem):
                self.find("exception", _signature(problem), traceback.format_exc())
            if (cause := _lack_of_memory(problem)) is not None:
                self.find("memory", f"{_signature(cause)}", "".join(traceback.format_exception(cause)))
        except AssertionError as broken:
            self.find("contract", f"{what}: {broken}"[:120], traceback.format_exc())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # codecs in Rust panic with what is no Exception
            self.find("exception", _signature(error), traceback.format_exc())
        return None

    def run(self) -> None:
        found = self.attempt("walk", partial(_walked, self.source)) or []
        asked = [path for path in sorted(self.source.rglob("*")) if path.name == "DICOMDIR" or not found]
        for path in asked:  # passed over in a folder, but anyone may name it
            found += self.attempt("walk", partial(_walked, path)) or []
        self.said += [f"walk: {one.problem}" for one in found if one.problem]
        for one in [one for one in found if one.problem is None][:MOST_OPENED]:
            self.attempt("file", partial(self._file, one))
        if self.number % CLEAN_EVERY == 0:
            self.attempt("deidentify", self._deidentify)
        if self.number % FOLDER_EVERY == 0:
            self.attempt("scan", self._scan)
            self.attempt("inspect", self._inspect)
        self.verdict.ended = self.verdict.ended or "fine"

    def _file(self, found: Found) -> None:
        inside = found.place.startswith("zip://") or Path(found.place).is_relative_to(self.source)
        check(inside, "stays in the source")
        clip = self.attempt("open", lambda: open_clip(found.place))
        if clip is not None:
            self.said.append(f"facts: {clip.facts!r}")
            self.attempt("facts", lambda: check_facts(clip))
            self._clip(clip)
        if self.number % ROW_EVERY:
            return
        row = self.attempt("row", lambda: read_row(found.place, Pseudonyms(bytes(32))))
        if row is not None:
            self.said.append(f"row: { {name: row[name] for name in row if name != 'path'} }")
            self.attempt("row", lambda: pl.DataFrame([row], schema=SCHEMA | {"numbered": pl.Boolean}))

    def _clip(self, clip: Clip) -> None:
        facts, last = clip.facts, [clip.facts.frames - 1]
        size = (facts.rows, facts.columns)
        seen = self.attempt("triage", lambda: triage(clip))
        if seen is not None:
            self.attempt("triage", lambda: check_seen(seen, size))
        sector = seen.sector if seen is not None and seen.mode == "2d" and self.number % 10 else None
        sampling = ("uniform", "cycle")[self.number % 2]
        settings = FrameSettings(size=SIDE, frames_per_clip=3, sampling=sampling)
        prepared = self.attempt("prepare", lambda: prepare(clip, settings, sector))
        if prepared is not None:
            self.said.append(f"prepared: {prepared.numbers} {prepared.phases} {prepared.pixel_mm}")
            self.attempt("prepare", lambda: check_prepared(prepared, facts.frames))
        self.attempt("colour", lambda: check_frame(clip.decode_colour(last), (*size, 3)))
        self.attempt("colour", lambda: check_frame(clip.decode_colour(last, exact=False), (*size, 3)))
        self.attempt("grey", lambda: check_frame(clip.decode(last), size))
        if isinstance(clip, DicomClip):
            self.attempt("samples", lambda: check_samples(clip, size))

    def _deidentify(self) -> None:
        out = self.scratch / "out"
        syntax, dates = ("jpeg-ls", "rle", "uncompressed"), ("remove", "shift", "keep")
        settings = DeidentifySettings(
            workers=1,
            syntax=syntax[self.number % 3],
            dates=dates[self.number // 2 % 5 % 3],
            keep_patient=self.number // 2 % 4 == 1,
        )
        for copy in deidentify(self.source, out, settings, salt=self.scratch / "salt"):
            self.said.append(f"deidentify: {copy.problem} {copy.file} {copy.clip}")
            if copy.file is not None:
                header = _texts_of((out / copy.file).read_bytes()).decode("latin-1")
                for text in (header, header.replace("\0", "")):
                    check(not (held := secret_in(text)), f"a clean copy holds {held}")
                check(open_clip(out / copy.file).facts.rows > 0, "a clean copy opens")
        left = [path.name for path in out.rglob("*") if path.is_file()]
        clean = all(name.endswith((".dcm", ".json")) and not name.startswith(".") for name in left)
        check(clean, "nothing is left of copies that failed")

    def _scan(self) -> None:
        scan(self.source, self.scratch / "table.parquet", ScanSettings(workers=1), salt=self.scratch / "salt")

    def _inspect(self) -> None:
        for one in inspect([self.source], self.scratch / "sheet.png"):
            self.said += [f"inspect: {one.line()}", f"inspect: {json.dumps(one.record(), allow_nan=False)}"]

    def listing(self) -> set[str]:
        """The files that are there, but for those that ingest was told to write."""
        files = {str(path.relative_to(self.scratch)) for path in self.scratch.rglob("*")}
        wanted = ("out", "salt", "sheet.png", "table.parquet", "table.parquet.journal")
        return {name for name in files if name.partition("/")[0] not in wanted}


def _walked(path: Path) -> list[Found]:
    return list(walk(as_place(path)))


@contextmanager
def _watched(trial: _Trial, output: Path | None) -> Iterator[None]:
    """Take down what is logged, warned of, or written to the screen."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        logging.getLogger().removeHandler(handler)
    for one in caught:
        if one.category is not ResourceWarning or "ZQXJ" in str(one.message):  # it is of this case
            place = f"{Path(one.filename).name}:{one.lineno} {one.category.__name__}"
            trial.find("warning", place, str(one.message))
    for record in records:
        trial.said.append(f"log: {record.getMessage()}")
        if record.name != "apical.ingest":
            trial.find("log", f"{record.name} {record.levelname}", record.getMessage())
    if output is not None:
        trial.said.append(f"output: {output.read_bytes().decode('latin-1')}")
        os.truncate(output, 0)


def secret_in(text: str) -> str | None:
    """A planted identifier, or the name of the case's folder, that a text holds."""
    lowered = text.lower()
    return next((secret for secret in SECRETS if secret in lowered), None)


def _texts_of(copy: bytes) -> bytes:
    """A DICOM file without its pixels and colours, into which damage may have written anything."""
    dataset = pydicom.dcmread(io.BytesIO(copy), stop_before_pixels=True)
    header = copy.partition(PIXEL_DATA)[0]
    for name in PALETTES:
        header = header.replace(dataset[name].value, b"") if name in dataset else header
    return header


def _lack_of_memory(problem: BaseException | None) -> MemoryError | None:
    """The MemoryError that a problem hides: what was asked for is beyond the bound.

    FFmpeg's is none: it refuses by bounds of its own, before it asks the system.
    """
    while problem is not None and (not isinstance(problem, MemoryError) or isinstance(problem, FFmpegError)):
        problem = problem.__context__
    return problem


def _signature(error: BaseException) -> str:
    """An error by its type and last places."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames)]
    return f"{type(error).__name__} at {' < '.join(places)}"
