"""Options and exit codes that several verbs share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from apical.errors import WrongCall
from apical.views import Vocabulary, standard_vocabulary

DONE, DONE_WITH_PROBLEMS, WRONG_CALL, COULD_NOT = range(4)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; results and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="List every problem.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes; 0 = one per core; 1 = none but this, unbounded.")
]
Config = Annotated[
    Path | None, typer.Option(help="YAML file of settings (see apical.config); options win over it.")
]
ShowLabels = Annotated[
    bool, typer.Option(help="Quote labels that are not understood; a shifted column may hold names.")
]
Views = Annotated[Path | None, typer.Option(help="YAML file of your own view vocabulary.")]
Catalogue = Annotated[Path, typer.Argument(help="Catalogue (Parquet, or CSV with clip, path, patient).")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")]


Column = Annotated[
    list[str],
    typer.Option(help="FIELD=NAME: which column of the table tells a field; remembered. May be repeated."),
]


def vocabulary_of(views: Path | None) -> Vocabulary:
    """The user's vocabulary, or the standard one."""
    return Vocabulary.from_yaml(views) if views else standard_vocabulary()


def columns_of(labels: Path, said: list[str], catalogue: Path) -> dict[str, str]:
    """Our names of the columns of a table of labels: as said now, as said before, or as asked for now.

    What is said or answered is kept beside the catalogue, for the next table with the same columns. Only a
    person at a terminal is asked.

    Raises:
        WrongCall: what is said is no FIELD=NAME, or nobody can be asked.
        CannotDo: the table cannot be read.
    """
    from apical.ingest.tables import UnknownColumns, read_table, recall_columns, remember_columns

    memory = catalogue.with_name(catalogue.name + ".columns.json")
    columns: dict[str, str] = {}
    for item in said:
        field, equals, name = item.partition("=")
        if not equals:
            raise WrongCall(f"'{item}' names no column", "write FIELD=NAME, for example view=Label")
        columns[field.strip()] = name.strip()
    try:
        header = read_table(labels, columns).header
        known = recall_columns(memory, header) | columns
    except UnknownColumns as unknown:
        header = unknown.header
        known = recall_columns(memory, header) | columns
        try:
            read_table(labels, known)
        except UnknownColumns as still:
            if not sys.stdin.isatty():
                raise
            known |= {field: _ask(field, header) for field in still.missing}
    if known:
        remember_columns(memory, header, known)
    return known


def _ask(field: str, header: tuple[str, ...]) -> str:
    """Ask which column tells a field."""
    from apical.ingest.tables import FIELDS

    typer.echo(f"Which column tells {FIELDS[field]}?", err=True)
    for number, name in enumerate(header, start=1):
        typer.echo(f"  {number}  {name}", err=True)
    while True:
        answer = typer.prompt("Number", err=True)
        if answer.isdigit() and 1 <= int(answer) <= len(header):
            return header[int(answer) - 1]
