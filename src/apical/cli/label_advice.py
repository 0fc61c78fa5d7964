"""Two verbs under ``apical labels``: which labels to look at again, and which clips to label next."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from apical.cli.options import (
    DONE,
    DONE_WITH_PROBLEMS,
    Catalogue,
    Json,
    Quiet,
    Verbose,
    Views,
    vocabulary_of,
)
from apical.console import Console
from apical.errors import WrongCall

Store = Annotated[Path, typer.Argument(help="Frame store.")]
Encoder = Annotated[
    Path | None, typer.Option(help="Run folder of a pre-training; by default the shipped encoder.")
]
Out = Annotated[Path, typer.Option(help="Table to write: .csv, .xlsx or .json.")]
ENDINGS = (".csv", ".xlsx", ".json")


def check(
    store: Store,
    catalogue: Catalogue,
    out: Out,
    encoder: Encoder = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the patients, each judged by the others.")] = 5,
    views: Views = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json_output: Json = False,
) -> int:
    """List labels of training clips that are probably wrong, to be looked at again; nothing is changed.

    Correct the column 'view' of the table and give it to 'apical labels import'.

    Example: apical labels check frames catalogue.parquet --encoder runs/pretrain --out suspects.csv
    """
    from apical.ingest.tables import write_table_for_people
    from apical.learn.suspects import check_labels

    _check_ending(out)
    console = Console(json_output=json_output, quiet=quiet, verbose=verbose)
    suspects = check_labels(
        store, catalogue, encoder=encoder, vocabulary=vocabulary_of(views), folds=folds, tell=console.warn
    )
    records = [
        {"clip": one.clip, "view": one.said, "likelier": one.likelier, "suspicion": round(one.suspicion, 3)}
        for one in suspects
    ]
    columns = {"clip": pl.String, "view": pl.String, "likelier": pl.String, "suspicion": pl.Float64}
    write_table_for_people(pl.DataFrame(records, schema=columns), out)
    console.result({"suspects": records}, [f"{len(records)} suspect labels → {out.name}"])
    if not records:
        return DONE
    lines = [f"{row['clip']}: {row['view']}, likelier {row['likelier']}" for row in records]
    console.problems(lines, "some labels are probably wrong")
    return DONE_WITH_PROBLEMS


def next_clips(
    store: Store,
    catalogue: Catalogue,
    out: Out,
    count: Annotated[int, typer.Option(min=1, help="Clips wanted.")] = 12,
    encoder: Encoder = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Fixes the grouping.")] = 0,
    views: Views = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Say which clips to label next: those that stand for many others, later those that are unsure.

    Fill the column 'view' of the table and give it to 'apical labels import'.

    Example: apical labels next frames catalogue.parquet --encoder runs/pretrain --count 12 --out next.csv
    """
    from apical.ingest.tables import write_table_for_people
    from apical.learn.next_labels import next_labels

    _check_ending(out)
    console = Console(json_output=json_output, quiet=quiet)
    proposals = next_labels(
        store, catalogue, count, encoder=encoder, vocabulary=vocabulary_of(views), seed=seed
    )
    records = [asdict(one) for one in proposals]
    table = pl.DataFrame(records, schema={"clip": pl.String, "guess": pl.String, "reason": pl.String})
    table = table.select("clip", pl.lit(None, pl.String).alias("view"), "guess", "reason")
    write_table_for_people(table, out)
    found = f"{len(records)} clips to label → {out.name}" if records else "every training clip is labelled"
    console.result({"next": records}, [found])
    return DONE


def _check_ending(out: Path) -> None:
    """Before the work, not after it."""
    if out.suffix.lower() not in ENDINGS:
        raise WrongCall(f"no table is written as '{out.suffix}'", f"let --out end in {', '.join(ENDINGS)}")
