"""The verbs under ``apical labels``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from apical.cli.label_advice import check, next_clips
from apical.cli.labelling import are_reports, export_reports, history, import_reports, merge_labels
from apical.cli.options import (
    DONE,
    DONE_WITH_PROBLEMS,
    Catalogue,
    Column,
    Json,
    Quiet,
    ShowLabels,
    Verbose,
    Views,
    columns_of,
    vocabulary_of,
)
from apical.console import Console
from apical.errors import WrongCall

labels_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Labels and splits of a catalogue."
)
labels_app.command("check")(check)
labels_app.command("next")(next_clips)
labels_app.command("merge")(merge_labels)
labels_app.command("history")(history)


@labels_app.command("import")
def import_labels(
    catalogue: Catalogue,
    labels: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, Excel or JSON with file, clip or SOPInstanceUID, and view; or DICOM SR files, folders."
        ),
    ],
    column: Column = [],  # noqa: B006
    root: Annotated[
        Path | None, typer.Option(help="Folder that 'file' starts from; the table's own.")
    ] = None,
    salt: Annotated[
        Path | None, typer.Option(help="Key of the pseudonyms, if the table names patients.")
    ] = None,
    views: Views = None,
    out: Annotated[Path | None, typer.Option(help="Catalogue to write; the same by default.")] = None,
    programs: Annotated[
        bool, typer.Option("--programs", help="Take what programs say in DICOM SR, too.")
    ] = False,
    show_labels: ShowLabels = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json_output: Json = False,
) -> int:
    """Take labels from a table or DICOM SR; what is unknown or contradicts itself is listed, not guessed.

    Of DICOM SR (TID 1500 with an Image View) people's labels are taken, those of programs with --programs.

    Example: apical labels import catalogue.parquet phantom/truth.csv
    """
    from apical.catalogue import read_catalogue, write_catalogue
    from apical.ingest.labels import import_labels as take
    from apical.ingest.pseudonyms import Pseudonyms

    console = Console(json_output=json_output, quiet=quiet, verbose=verbose)
    if are_reports(labels):
        if column or root or salt:
            raise WrongCall("--column, --root and --salt are for tables", "leave them out with DICOM SR")
        return import_reports(catalogue, labels, views, out, programs, console)
    if programs:
        raise WrongCall("--programs is for DICOM SR", "leave it out with a table")
    (table,) = labels
    key = salt or catalogue.with_name("salt.key")
    pseudonyms = Pseudonyms.load_or_create(key) if key.exists() else None
    labelled, report = take(
        read_catalogue(catalogue),
        table,
        vocabulary_of(views),
        root=root,
        pseudonyms=pseudonyms,
        columns=columns_of(table, column, catalogue),
    )
    write_catalogue(labelled, out or catalogue)
    facts = {"matched": report.matched, "labelled": report.labelled, "problems": report.problems}
    done = f"{report.labelled} of {report.matched} clips found are labelled"
    console.result(facts, [f"{done} → {(out or catalogue).name}"])
    if report.problems:
        console.problems(report.problem_lines(show_labels), "some labels could not be used")
    return DONE_WITH_PROBLEMS if report.problems else DONE


@labels_app.command("split")
def split_labels(
    catalogue: Catalogue,
    validation: Annotated[float, typer.Option(help="Share of the patients for calibration.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share of the patients for judging.")] = 0.3,
    seed: Annotated[int, typer.Option(help="Fixes the draw.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Catalogue to write; the same by default.")] = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Give every patient one split: train, validation or test.

    Example: apical labels split catalogue.parquet --test 0.3
    """
    from apical.catalogue import read_catalogue, split_patients, write_catalogue

    console = Console(json_output=json_output, quiet=quiet)
    table = split_patients(read_catalogue(catalogue), validation=validation, test=test, seed=seed)
    write_catalogue(table, out or catalogue)
    patients = table.drop_nulls("split").group_by("split").agg(pl.col("patient").n_unique())
    facts = dict(patients.sort("split").iter_rows())
    console.result(facts, [", ".join(f"{count} {split} patients" for split, count in facts.items())])
    return DONE


@labels_app.command("limit")
def limit(
    catalogue: Catalogue,
    out: Annotated[Path, typer.Option(help="Catalogue to write.")],
    budget: Annotated[list[str], typer.Option(help="VIEW=PATIENTS; may be repeated.")] = [],  # noqa: B006
    default: Annotated[
        int | None, typer.Option(min=0, help="Patients for the other views; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes the draw of patients.")] = 0,
    views: Views = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Keep the training labels of only so many patients a view, to try what few labels give.

    Example: apical labels limit catalogue.parquet --budget A5C=2 --default 10 --out few.parquet
    """
    from apical.catalogue import limit_labels, read_catalogue, write_catalogue

    console = Console(json_output=json_output, quiet=quiet)
    vocabulary = vocabulary_of(views)
    wanted: dict[str, int] = {}
    for item in budget:
        name, _, number = item.partition("=")
        found = vocabulary.find(name)
        if found is None or not number.isdigit():
            raise WrongCall(f"'{item}' is no budget", "write VIEW=PATIENTS, for example A5C=2")
        wanted[found.view] = int(number)
    table = limit_labels(read_catalogue(catalogue), wanted, default=default, seed=seed)
    write_catalogue(table, out)
    left = table.filter((table["split"] == "train") & table["view"].is_not_null())
    facts = dict(left.group_by("view").agg(pl.col("patient").n_unique()).sort("view").iter_rows())
    console.result(facts, [f"{view}: {count} patients" for view, count in facts.items()])
    return DONE


@labels_app.command("export")
def export_labels(
    catalogue: Catalogue,
    out: Annotated[Path, typer.Option(help="Table to write: .csv, .xlsx or .json; a folder for DICOM SR.")],
    dicom_sr: Annotated[
        bool,
        typer.Option(
            "--dicom-sr", help="Write a DICOM SR a clip, for the PACS; it holds the identity of the patient."
        ),
    ] = False,
    views: Views = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json_output: Json = False,
) -> int:
    """Write the labels as a table that 'labels import' reads back, or as DICOM SR.

    Example: apical labels export catalogue.parquet --out labels.csv
    """
    from apical.catalogue import read_catalogue
    from apical.ingest.labels import export_labels as write

    console = Console(json_output=json_output, quiet=quiet, verbose=verbose)
    if dicom_sr:
        return export_reports(catalogue, out, views, console)
    table = read_catalogue(catalogue)
    write(table, out)
    labelled = table["view"].count()
    console.result({"labelled": labelled}, [f"{labelled} labels → {out.name}"])
    return DONE
