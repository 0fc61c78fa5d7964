"""``apical study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from apical.config import StudySettings, read_settings
from apical.console import Console


def study(
    config: Annotated[Path, typer.Argument(help="YAML file of the study (see apical.config.StudySettings).")],
    store: Annotated[Path, typer.Argument(help="Frame store.")],
    catalogue: Catalogue,
    out: Annotated[Path, typer.Option(help="Folder for everything; the same call goes on in it.")] = Path(
        "study"
    ),
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes, which share the cores; 0 = one per core; 1 = none but this."),
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells, and make none.")] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Judge the cells that are done.")
    ] = False,
    views: Views = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json_output: Json = False,
) -> int:
    """Compare methods over label budgets, label draws and pre-training seeds, as the paper does.

    Example: apical study study.yaml frames catalogue.parquet --out study
    """
    from apical.judge.protocol import make_plan, run_study

    console = Console(json_output=json_output, quiet=quiet, verbose=verbose)
    settings = read_settings(StudySettings, config)
    vocabulary = vocabulary_of(views)
    if dry_run:
        plan = make_plan(settings, store, catalogue, out, vocabulary)
        done = plan.done()
        cells = [{**vars(cell), "done": cell in done} for cell in plan.cells]
        encoders = len(settings.pretrainings) if settings.pretrain is not None else 0
        lines = [f"{'done' if cell in done else 'to do'}  {cell}" for cell in plan.cells]
        lines.append(f"{len(plan.cells)} cells, {len(done)} of them done; {encoders} pre-trainings")
        console.result({"cells": cells, "pretrainings": encoders}, lines)
        return DONE
    with console.progress("Training cells") as progress:
        result = run_study(
            settings,
            store,
            catalogue,
            out,
            workers=workers,
            report_only=report_only,
            vocabulary=vocabulary,
            progress=progress,
            tell=lambda line: None if quiet else typer.echo(line, err=True),
        )
    console.result(result.facts(), result.lines())
    if result.problems:
        console.problems(
            list(result.problems), f"{len(result.problems)} went wrong; the same call tries them again"
        )
        return DONE_WITH_PROBLEMS
    return DONE
