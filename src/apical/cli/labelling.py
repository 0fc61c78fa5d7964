"""What ``apical labels`` does with the records of the labelling page, and with labels as DICOM SR."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from apical.cli.options import (
    COULD_NOT,
    DONE,
    DONE_WITH_PROBLEMS,
    Catalogue,
    Json,
    Quiet,
    Views,
    vocabulary_of,
)
from apical.console import Console
from apical.errors import CannotDo, WrongCall

State = Annotated[Path, typer.Argument(help="State folder of 'apical label'.")]


def merge_labels(
    catalogue: Catalogue,
    state: State,
    views: Views = None,
    out: Annotated[Path | None, typer.Option(help="Catalogue to write; the same by default.")] = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Take the labels that were given on the labelling page, which may still run, into a catalogue.

    A clip of which people say different things gets no view until somebody decides.

    Example: apical labels merge catalogue.parquet labelling --out labelled.parquet
    """
    from apical.catalogue import read_catalogue
    from apical.ingest.label_report import count
    from apical.label.exports import read_state
    from apical.label.merging import merge_into

    console = Console(json_output=json_output, quiet=quiet)
    with read_state(state) as records:
        report = merge_into(catalogue, records, vocabulary_of(views), out)
        elsewhere = len(records.touched() - set(read_catalogue(catalogue)["clip"]))
    counts = (
        f"{report.labelled} clips labelled, {report.changed} changed, {report.cleared} cleared, "
        f"{report.disputed} disputed, {report.cannot_tell} that nobody can tell"
    )
    console.result(asdict(report) | {"elsewhere": elsewhere}, [f"{counts} → {(out or catalogue).name}"])
    problems = []
    if report.disputed:
        disputed = count(report.disputed, "clip")
        problems.append(f"{disputed} that people differ on: decide under Review on the page and merge again")
    if elsewhere:
        problems.append(f"{count(elsewhere, 'clip')} with labels that the catalogue does not have")
    if problems:
        console.problems(problems, "not every label is in the catalogue")
    return DONE_WITH_PROBLEMS if problems else DONE


def history(
    state: State,
    out: Annotated[Path, typer.Option(help="File to write: .json or .csv.")],
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Write who said what of which clip and when, what stood there before, and what the model said.

    Example: apical labels history labelling --out history.json
    """
    from apical.files import write_atomically
    from apical.label.exports import history_csv, history_json, read_state

    kinds = {".json": history_json, ".csv": history_csv}
    kind = kinds.get(out.suffix.lower())
    if kind is None:
        raise WrongCall(f"no history is written as '{out.suffix}'", "let --out end in .json or .csv")
    with read_state(state) as records:
        write_atomically(out, kind(records))
        events = records.version()
    Console(json_output=json_output, quiet=quiet).result(
        {"events": events}, [f"{events} events → {out.name}"]
    )
    return DONE


def are_reports(paths: list[Path]) -> bool:
    """Whether labels come as DICOM SR (folders, DICOM files, zip archives) and not as one table.

    Raises:
        WrongCall: there are tables among several files.
    """
    from apical.errors import ClipProblem
    from apical.ingest.formats import HEAD, kind_of
    from apical.ingest.places import head

    def is_report(path: Path) -> bool:
        if path.is_dir() or path.suffix.lower() in (".dcm", ".zip"):
            return True
        try:
            return kind_of(head(str(path), HEAD)) == "dicom"
        except ClipProblem:
            return False

    found = [is_report(path) for path in paths]
    if len(paths) > 1 and not all(found):
        raise WrongCall("several files, and not all of them are DICOM SR", "give one table at a time")
    return all(found)


def import_reports(
    catalogue: Path, paths: list[Path], views: Path | None, out: Path | None, programs: bool, console: Console
) -> int:
    """Take labels from DICOM SR into a catalogue."""
    from apical.catalogue import read_catalogue, write_catalogue
    from apical.label.read_reports import import_reports as take

    missing = sum(not path.exists() for path in paths)
    if missing:
        raise CannotDo(
            f"{missing} of the files or folders are not there", "give files or folders of DICOM SR"
        )
    labelled, read, report = take(
        read_catalogue(catalogue), map(str, paths), vocabulary_of(views), programs=programs
    )
    write_catalogue(labelled, out or catalogue)
    facts = {
        "reports": read.reports, "matched": report.matched, "labelled": report.labelled,
        "verified": read.verified, "cannot_tell": read.cannot_tell, "programs": read.programs,
        "passed_over": read.passed_over, "problems": report.problems,
    }  # fmt: skip
    lines = [
        f"{report.labelled} clips are labelled by {read.reports} reports ({read.verified} labels verified)"
        f" → {(out or catalogue).name}"
    ]
    if read.programs and not programs:
        lines.append(f"{read.programs} labels of programs passed over (--programs takes them)")
    console.result(facts, lines)
    if report.problems:
        console.problems(report.problems, "some reports could not be used")
    return DONE_WITH_PROBLEMS if report.problems else DONE


def export_reports(catalogue: Path, out: Path, views: Path | None, console: Console) -> int:
    """Write the labels of a catalogue as a folder of DICOM SR."""
    from apical.catalogue import read_catalogue
    from apical.files import write_atomically
    from apical.label.exports import catalogue_labels
    from apical.label.reports import reports_of

    if out.suffix:
        raise WrongCall("--dicom-sr writes a folder", "give a folder as --out, such as reports")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CannotDo(f"'{out.name}' is there already and not empty", "give a new folder as --out")
    table = read_catalogue(catalogue)
    labels = catalogue_labels(table)
    places = dict(table.select("clip", "path").iter_rows())
    written, skipped, problems = 0, 0, []
    with console.progress("Writing reports") as progress:
        made = reports_of(labels, places, vocabulary_of(views), datetime.now().astimezone())
        for number, one in enumerate(made, start=1):
            if one.content is not None:
                write_atomically(out / one.file, one.content)
                written += 1
            elif one.problem is None:
                skipped += 1
            else:
                problems.append(f"clip {one.clip}: {one.problem}")
            progress(number, len(labels))
    lines = [f"{written} reports of {len(labels)} labels → {out.name}"]
    if skipped:
        lines.append(f"{skipped} clips are no DICOM files and have none")
    console.result({"reports": written, "not_dicom": skipped, "problems": problems}, lines)
    if problems:
        console.problems(problems, f"{len(problems)} of {len(labels)} labels could not be reported")
    return DONE if not problems else DONE_WITH_PROBLEMS if written else COULD_NOT
