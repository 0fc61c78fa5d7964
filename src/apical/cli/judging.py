"""``apical evaluate`` and ``apical compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from apical.cli.options import DONE, Config, Json, Quiet
from apical.config import JudgeSettings, read_settings
from apical.console import Console


def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of trainings; seeds of a method together.")],
    out: Annotated[Path, typer.Option(help="Folder for report.html and metrics.json.")] = Path("report"),
    store: Annotated[Path | None, typer.Option(help="Frame store, for pictures in the report.")] = None,
    baseline: Annotated[str, typer.Option(help="Method that the others are compared with.")] = "naive",
    split: Annotated[Literal["test", "validation"], typer.Option(help="Whose clips to judge on.")] = "test",
    subject: Annotated[
        str | None,
        typer.Option(help="Method to look at more closely; the last that is not the baseline, if not given."),
    ] = None,
    catalogue: Annotated[
        Path | None, typer.Option(help="Catalogue, for studies, machines and patient groups.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="Column of the catalogue to slice by, such as sex; repeatable.")
    ] = None,
    risk: Annotated[
        float | None, typer.Option(help="Share of wrong views wanted among answered clips.")
    ] = None,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Ask about corrupted frames too; takes a while.")
    ] = False,
    explanations: Annotated[
        int, typer.Option(min=0, help="Decisions to explain by maps (needs 'apical[explain]').")
    ] = 0,
    study: Annotated[Path | None, typer.Option(help="Study whose label curve to show.")] = None,
    truth: Annotated[Path | None, typer.Option(help="A phantom's truth.csv, for plane errors.")] = None,
    config: Config = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Judge classifiers on the test patients: figures with intervals, and a report to read.

    Example: apical evaluate runs/naive runs/few-labels --store frames --catalogue few.parquet --out report
    """
    from apical.judge.evaluate import evaluate as judge

    console = Console(json_output=json_output, quiet=quiet)
    settings = read_settings(JudgeSettings, config, by=tuple(by) if by else None, risk=risk)
    with console.progress("Asking about corrupted frames") as progress:
        result = judge(
            runs,
            out,
            settings,
            baseline=baseline,
            subject=subject,
            split=split,
            store=store,
            catalogue=catalogue,
            truth=truth,
            study=study,
            corruptions=corruptions,
            explanations=explanations,
            progress=progress,
        )
    console.result(result.facts(), result.lines())
    return DONE


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of trainings, of two kinds at least.")],
    out: Annotated[Path, typer.Option(help="Folder for compare.html and compare.json.")] = Path("report"),
    split: Annotated[Literal["test", "validation"], typer.Option(help="Whose clips to judge on.")] = "test",
    config: Config = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Set runs side by side, each against each; they may have different label budgets.

    Example: apical compare runs/naive runs/few-labels --out report
    """
    from apical.judge.compare import compare as judge

    console = Console(json_output=json_output, quiet=quiet)
    result = judge(runs, out, read_settings(JudgeSettings, config), split=split)
    console.result(result.facts(), result.lines())
    return DONE
