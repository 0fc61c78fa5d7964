"""The verb that answers: ``predict``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from apical.cli.options import COULD_NOT, DONE, DONE_WITH_PROBLEMS, Config, Json, Quiet, Workers
from apical.config import PredictSettings, read_settings
from apical.console import Console

MANY = 50  # answers; so many lines and more are not printed where they are in a file, too


def predict(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, zip archives, patterns, URLs, a catalogue; - reads a list of them."
        ),
    ],
    bundle: Annotated[Path, typer.Option(help="Bundle: a folder or its zip.")],
    out: Annotated[
        Path | None, typer.Option(help="Write answers to a .csv, .json, .jsonl or .parquet file.")
    ] = None,
    studies: Annotated[
        bool,
        typer.Option(
            "--studies",
            help="Say of each study which views it shows and lacks; with --out in NAME-studies, too.",
        ),
    ] = False,
    all_frames: Annotated[
        bool, typer.Option("--all-frames", help="Look at all frames that training would, however sure.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    runtime: Annotated[str | None, typer.Option(help="auto, torch, onnxruntime or openvino.")] = None,
    precision: Annotated[str | None, typer.Option(help="f32, or bf16: quicker where the CPU has it.")] = None,
    workers: Workers = None,
    config: Config = None,
    show_paths: Annotated[
        bool, typer.Option(help="Name files in answers; paths may identify patients.")
    ] = False,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Name the view of each clip, or say that it is unknown. With --out it goes on where it was stopped.

    Example: apical predict clip.dcm --bundle bundle
    """
    from apical.deploy.answers import HEADING, answer_line, check_ending, records
    from apical.deploy.bundle import open_bundle
    from apical.deploy.exam import Studies, studies_file, write_studies
    from apical.deploy.inputs import LISTED, all_inputs, refuse_as_output, standard_input
    from apical.deploy.predict import answers_of, predict_into

    console = Console(json_output=json_output, quiet=quiet)
    if out is not None:
        check_ending(out)
    settings = read_settings(
        PredictSettings,
        config,
        device=device,
        runtime=runtime,
        precision=precision,
        workers=workers,
        early=False if all_frames else None,
    )
    opened = open_bundle(bundle)
    taught = opened.facts["taught"]
    lines, rows, seen, broken = [HEADING], [], Studies(), 0
    with ExitStack() as stack, console.progress("Predicting") as progress:
        piped: list[str] = []
        if LISTED in files:
            piped = stack.enter_context(standard_input(sys.stdin.buffer.read()))
        inputs = all_inputs(files, piped)
        if out is not None:
            refuse_as_output(out, files, inputs)
        found = (
            answers_of(inputs, opened, settings, source=bundle, tell=console.warn)
            if out is None
            else predict_into(
                out, inputs, opened, settings, source=bundle, show_paths=show_paths, tell=console.warn
            )
        )
        for answer in found:
            if json_output:
                rows += records([answer], show_paths=show_paths)
            else:
                lines.append(answer_line(answer, show_paths=show_paths))
            seen.add(answer)
            broken += answer.problem is not None
            progress(answer.number, len(inputs))
    facts: dict[str, Any] = {"answers": rows}
    if studies:
        facts["studies"] = [one.record(taught) for one in seen.summaries()]
        lines += [one.line(taught) for one in seen.summaries()]
        if out is not None:
            write_studies(seen.summaries(), taught, studies_file(out))
    if out is not None and len(inputs) > MANY:
        lines[: len(inputs) + 1] = [f"{len(inputs)} answers → {out}"]
    console.result(facts, lines)
    if broken:
        console.problems([], f"{broken} of {len(inputs)} files could not be answered")
    return COULD_NOT if broken == len(inputs) else DONE_WITH_PROBLEMS if broken else DONE
