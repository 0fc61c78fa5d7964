"""The verbs that get data in: scan, inspect, deidentify, frames, datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import typer

from apical.cli.options import (
    DONE,
    DONE_WITH_PROBLEMS,
    Catalogue,
    Column,
    Config,
    Json,
    Quiet,
    ShowLabels,
    Verbose,
    Views,
    Workers,
    columns_of,
    vocabulary_of,
)
from apical.config import DeidentifySettings, FrameSettings, ScanSettings, read_settings
from apical.console import Console

ShowPaths = Annotated[bool, typer.Option(help="Name files in messages; paths may identify patients.")]
Salt = Annotated[Path | None, typer.Option(help="Key of the pseudonyms; made beside --out if absent.")]
Source = Annotated[
    str, typer.Argument(help="Folder, zip archive, DICOMDIR or file; or a URL such as s3://bucket/exams.")
]


def scan(
    source: Source,
    out: Annotated[Path, typer.Option(help="Catalogue to write.")] = Path("catalogue.parquet"),
    labels: Annotated[
        Path | None, typer.Option(help="Table of labels: CSV, Excel or JSON (file, view, patient …).")
    ] = None,
    column: Column = [],  # noqa: B006
    dataset: Annotated[
        str | None, typer.Option(help="The public data set that this is; 'apical datasets' lists them.")
    ] = None,
    salt: Salt = None,
    mapping: Annotated[
        Path | None, typer.Option(help="CSV of patients and their pseudonyms to write; keep it with the key.")
    ] = None,
    views: Views = None,
    show_paths: ShowPaths = False,
    show_labels: ShowLabels = False,
    workers: Workers = None,
    seconds_per_file: Annotated[
        float | None, typer.Option(help="A file that takes longer becomes a problem.")
    ] = None,
    memory_mb: Annotated[int | None, typer.Option(help="Most memory of a process.")] = None,
    config: Config = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json_output: Json = False,
) -> int:
    """Build the catalogue: one row a clip, with the reason where a file cannot be used.

    Example: apical scan exports --out catalogue.parquet
    """
    from apical.catalogue import usable
    from apical.ingest.scan import scan as scan_source

    console = Console(json_output=json_output, quiet=quiet, verbose=verbose)
    settings = read_settings(
        ScanSettings, config, workers=workers, seconds_per_file=seconds_per_file, memory_mb=memory_mb
    )
    columns = columns_of(labels, column, out) if labels else {}
    with console.progress("Scanning") as progress:
        table, report = scan_source(
            source,
            out,
            settings,
            labels=labels,
            columns=columns,
            dataset=dataset,
            vocabulary=vocabulary_of(views),
            salt=salt,
            mapping=mapping,
            progress=progress,
        )
    sound, broken = usable(table), table.filter(table["problem"].is_not_null())
    facts: dict[str, Any] = {
        "clips": sound.height,
        "patients": sound["patient"].n_unique(),
        "modes": _counts(sound["mode"].drop_nulls()),
        "labelled": table["view"].count(),
        "problems": _counts(broken["problem"]),
        "labels": report.lines() if report else [],
    }
    modes = ", ".join(f"{count} {mode}" for mode, count in facts["modes"].items())
    console.result(
        facts,
        [f"{sound.height} clips of {facts['patients']} patients ({modes}) → {out.name}", *facts["labels"]],
    )
    if broken.height:
        name = "path" if show_paths else "clip"
        lines = [f"{row[name]}: {row['problem']}" for row in broken.iter_rows(named=True)]
        hint = (
            "" if show_paths else "; --show-paths names them, and so does the column 'path' of the catalogue"
        )
        console.problems(lines, f"{broken.height} files cannot be used{hint}", facts["problems"])
    if report and report.problems:
        console.problems(report.problem_lines(show_labels), "some labels could not be used")
    return DONE_WITH_PROBLEMS if broken.height or (report and report.problems) else DONE


def _counts(values: pl.Series) -> dict[str, int]:
    """How often each text stands there, the commonest first."""
    counted = values.value_counts(sort=True, name="count").sort(
        "count", values.name, descending=[True, False]
    )
    return dict(counted.iter_rows())


def inspect(
    files: Annotated[list[str], typer.Argument(help="Clips, or folders of clips.")],
    out: Annotated[Path, typer.Option(help="Picture to draw.")] = Path("inspect.png"),
    size: Annotated[int | None, typer.Option(min=16, help="Side of a prepared frame in pixels.")] = None,
    show_screen: Annotated[
        bool, typer.Option(help="Draw screens as they are; the picture may then identify patients.")
    ] = False,
    config: Config = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Draw what was understood of clips: mode, outline of the image, what is written on it, what is kept.

    Example: apical inspect clip.dcm --out inspect.png
    """
    from apical.ingest.inspect import inspect as look

    console = Console(json_output=json_output, quiet=quiet)
    seen = look(list(files), out, read_settings(FrameSettings, config, size=size), show_screen=show_screen)
    console.result(
        {"clips": [one.record() for one in seen], "picture": str(out)},
        [*(one.line() for one in seen), f"drawn → {out.name}"],
    )
    return DONE_WITH_PROBLEMS if any(one.problem for one in seen) else DONE


def deidentify(
    source: Source,
    out: Annotated[Path, typer.Argument(help="Folder for the clean copies, OUT/PATIENT/STUDY/CLIP.dcm.")],
    dates: Annotated[
        Literal["remove", "shift", "keep"] | None, typer.Option(help="What becomes of dates.")
    ] = None,
    keep_uids: Annotated[bool | None, typer.Option(help="Let UIDs stay.")] = None,
    keep_patient: Annotated[bool | None, typer.Option(help="Let sex, age, size and weight stay.")] = None,
    syntax: Annotated[
        Literal["jpeg-ls", "rle", "uncompressed"] | None,
        typer.Option(help="How pixels are written, always without loss."),
    ] = None,
    least_confidence: Annotated[
        float | None, typer.Option(help="Of the image's outline; clips with less are not written.")
    ] = None,
    salt: Annotated[
        Path | None, typer.Option(help="Key of the pseudonyms; made beside OUT if absent.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="CSV of original and new identifiers to write; keep it with the key.")
    ] = None,
    show_paths: ShowPaths = False,
    workers: Workers = None,
    config: Config = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json_output: Json = False,
) -> int:
    """Write clean copies of DICOM clips: no identifier in the header, black beside the image in every frame.

    Example: apical deidentify exports clean
    """
    from apical.ingest.deidentify import deidentify as clean

    console = Console(json_output=json_output, quiet=quiet, verbose=verbose)
    settings = read_settings(
        DeidentifySettings,
        config,
        dates=dates,
        keep_uids=keep_uids,
        keep_patient=keep_patient,
        syntax=syntax,
        least_confidence=least_confidence,
        workers=workers,
    )
    with console.progress("Cleaning") as progress:
        copies = clean(source, out, settings, salt=salt, mapping=mapping, progress=progress)
    broken = [copy for copy in copies if copy.problem is not None]
    problems = _counts(pl.Series("problem", [copy.problem for copy in broken], dtype=pl.String))
    facts = {"written": len(copies) - len(broken), "problems": problems}
    console.result(facts, [f"{facts['written']} clean copies → {out.name}"])
    if broken:
        lines = [
            f"{copy.place if show_paths else f'file {number}'}: {copy.problem}"
            for number, copy in enumerate(copies, start=1)
            if copy.problem is not None
        ]
        console.problems(lines, f"{len(broken)} files have no clean copy", problems)
    return DONE_WITH_PROBLEMS if broken else DONE


def frames(
    catalogue: Catalogue,
    out: Annotated[Path, typer.Option(help="Frame store to make.")] = Path("frames"),
    size: Annotated[int | None, typer.Option(min=16, help="Side of a stored frame in pixels.")] = None,
    frames_per_clip: Annotated[int | None, typer.Option(min=1, help="Frames taken from a cine.")] = None,
    sampling: Annotated[
        Literal["uniform", "cycle"] | None,
        typer.Option(help="Evenly over the cine, or over one heart cycle where tags tell of one."),
    ] = None,
    config: Config = None,
    workers: Workers = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json_output: Json = False,
) -> int:
    """Decode, mask and crop the clips of a catalogue into a frame store. Goes on where it was stopped.

    Example: apical frames catalogue.parquet --out frames
    """
    from apical.ingest.frames import build_frames

    console = Console(json_output=json_output, quiet=quiet, verbose=verbose)
    settings = read_settings(
        FrameSettings, config, size=size, frames_per_clip=frames_per_clip, sampling=sampling
    )
    with console.progress("Decoding") as progress:
        store = build_frames(catalogue, out, settings, workers=workers or 0, progress=progress)
    problems = _counts(pl.Series("problem", list(store.problems.values()), dtype=pl.String))
    facts = {"frames": len(store.frames), "clips": store.index["clip"].n_unique(), "problems": store.problems}
    console.result(facts, [f"{facts['frames']} frames of {facts['clips']} clips → {out.name}"])
    if store.problems:
        lines = [f"{clip}: {problem}" for clip, problem in store.problems.items()]
        console.problems(lines, f"{len(lines)} clips cannot be used", problems)
    return DONE_WITH_PROBLEMS if store.problems else DONE


def datasets(json_output: Json = False) -> int:
    """List the public data sets whose layout 'scan --dataset' knows: licence, patients, pitfalls.

    Example: apical datasets
    """
    from apical.ingest.datasets import DATASETS

    abouts = [about for about, _ in DATASETS.values()]
    facts = {
        about.name: {
            "title": about.title,
            "licence": about.licence,
            "home": about.home,
            "citation": about.citation,
            "patients": about.grouping,
            "pitfalls": about.pitfalls,
            "views": dict(about.views),
        }
        for about in abouts
    }
    lines = []
    for about in abouts:
        lines += [
            f"{about.name}: {about.title} ({about.home})",
            f"  licence: {about.licence}",
            f"  patients: {about.grouping}",
            *(f"  - {pitfall}" for pitfall in about.pitfalls),
        ]
    Console(json_output=json_output).result(facts, lines)
    return DONE
