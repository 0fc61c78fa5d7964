"""The command line: one verb, one function of the Python API.

Exit codes: 0 done · 1 done with problems listed · 2 wrong call · 3 could not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from apical.cli.bundles import bundle_app, export
from apical.cli.ingest import datasets, deidentify, frames, inspect, scan
from apical.cli.judging import compare, evaluate
from apical.cli.label import label
from apical.cli.labels import labels_app
from apical.cli.options import (
    DONE,
    Catalogue,
    Config,
    Json,
    Quiet,
    Seed,
    Views,
    Workers,
    vocabulary_of,
)
from apical.cli.predict import predict
from apical.cli.serve import serve
from apical.cli.study import study
from apical.config import (
    PhantomSettings,
    PretrainSettings,
    TrainSettings,
    read_settings,
)
from apical.console import Console

app = typer.Typer(
    name="apical",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Name the view of echocardiogram clips from very few labels. "
    "Research software, not a medical device.",
)
app.add_typer(labels_app, name="labels")
app.add_typer(bundle_app, name="bundle")
VERBS = (
    scan, inspect, deidentify, frames, datasets, label, study, evaluate, compare, export, predict, serve,
)  # fmt: skip
for verb in VERBS:
    app.command()(verb)


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write DICOM files and truth.csv to.")],
    patients: Annotated[int | None, typer.Option(min=1, help="Synthetic patients.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames a cine.")] = None,
    image_rows: Annotated[int | None, typer.Option(min=96, help="Height of the screen in pixels.")] = None,
    difficulty: Annotated[float | None, typer.Option(help="Probe error and anatomical spread.")] = None,
    contrast: Annotated[
        float | None, typer.Option(help="Share of the exams that end with contrast agent.")
    ] = None,
    extra_views: Annotated[
        int | None, typer.Option(min=0, help="Further clips an exam: views beside the thirteen.")
    ] = None,
    sweeps: Annotated[
        int | None, typer.Option(min=0, help="Further clips an exam: on the way between views.")
    ] = None,
    organs: Annotated[
        int | None, typer.Option(min=0, help="Further clips an exam: lung, liver, vessels, air.")
    ] = None,
    other_modes: Annotated[
        int | None, typer.Option(min=0, help="Further clips an exam: Doppler, M-mode, reports …")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where beams are computed: cpu or cuda.")] = None,
    workers: Workers = None,
    seed: Seed = None,
    config: Config = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Write exams of synthetic patients as DICOM files, and the truth about them beside.

    Example: apical phantom --patients 20 --out phantom
    """
    from apical.phantom.study import write_phantom

    console = Console(json_output=json_output, quiet=quiet)
    settings = read_settings(
        PhantomSettings,
        config,
        patients=patients,
        frames=frames,
        image_rows=image_rows,
        difficulty=difficulty,
        contrast=contrast,
        extra_views=extra_views,
        sweeps=sweeps,
        organs=organs,
        other_modes=other_modes,
        device=device,
        workers=workers,
        seed=seed,
    )
    with console.progress("Synthesising patients") as progress:
        summary = write_phantom(out, settings, progress)
    facts = {"files": summary.files, "patients": summary.patients, "clips_by_view": summary.clips_by_view}
    console.result(
        facts, [f"{summary.files} clips of {summary.patients} synthetic patients; labels in truth.csv"]
    )
    return DONE


@app.command()
def pretrain(
    store: Annotated[Path, typer.Argument(help="Frame store.")],
    catalogue: Catalogue,
    out: Annotated[Path, typer.Option(help="Run folder to make.")] = Path("runs/pretrain"),
    method: Annotated[
        str | None, typer.Option(help="contrastive, moco, byol, barlow-twins or vicreg.")
    ] = None,
    relation: Annotated[
        str | None,
        typer.Option(help="same-frame, same-clip, same-view, view-or-clip or study-view-or-clip."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the clips.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Time budget.")] = None,
    precision: Annotated[str | None, typer.Option(help="32, bf16 or 16.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    seed: Seed = None,
    config: Config = None,
    views: Views = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="Begin with a run's encoder, 'shipped' (the default for few clips), 'random', or a file of "
            "ImageNet weights for timm."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Learn an encoder from clips without labels. Test and validation patients are left out.

    Example: apical pretrain frames catalogue.parquet --max-minutes 60 --out runs/pretrain
    """
    from apical.learn.pretrain import pretrain as learn

    leads = os.environ.get("RANK", "0") == "0"  # of several started by torchrun, one speaks
    console = Console(json_output=json_output, quiet=quiet or not leads)
    settings = read_settings(
        PretrainSettings,
        config,
        objective__method=method,
        objective__relation=relation,
        epochs=epochs,
        max_minutes=max_minutes,
        precision=precision,
        accelerator=accelerator,
        seed=seed,
    )
    with console.progress("Pre-training") as progress:
        learn(
            store,
            catalogue,
            out,
            settings,
            vocabulary=vocabulary_of(views),
            start=start,
            resume=resume,
            progress=progress,
            tell=console.warn,
        )
    if leads:
        console.result({"run": str(out)}, [f"encoder → {out}", *of_shipped(out)])
    return DONE


@app.command()
def train(
    store: Annotated[Path, typer.Argument(help="Frame store.")],
    catalogue: Catalogue,
    out: Annotated[Path, typer.Option(help="Run folder to make.")] = Path("runs/train"),
    method: Annotated[
        str | None,
        typer.Option(
            help="self-training, label-propagation, fine-tune, probe, prototype, fixmatch, mixmatch, joint, "
            "supcon, bcl; from random weights: naive, logit-adjusted, class-balanced, focal, ldam-drw, crt."
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="Run folder of a pre-training; by default the encoder that comes with Apical; 'random' for "
            "random weights."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    seed: Seed = None,
    config: Config = None,
    views: Views = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Learn a classifier from the labelled training clips and let it answer every clip of the store.

    Example: apical train frames few.parquet --encoder runs/pretrain --out runs/few-labels
    """
    from apical.learn.train import train as learn

    console = Console(json_output=json_output, quiet=quiet)
    settings = read_settings(
        TrainSettings, config, method=method, steps=steps, accelerator=accelerator, seed=seed
    )
    with console.progress(f"Training ({settings.method})") as progress:
        learn(
            store,
            catalogue,
            out,
            settings,
            encoder=encoder,
            vocabulary=vocabulary_of(views),
            progress=progress,
        )
    console.result({"run": str(out)}, [f"classifier → {out}", *of_shipped(out)])
    return DONE


def of_shipped(run: Path) -> list[str]:
    """Says that a run began with the shipped encoder, if it did."""
    from apical.learn.run import RunFolder
    from apical.learn.start import SHIPPED

    start = RunFolder(run).settings().get("start") or {}
    return ["begun with the encoder that comes with Apical"] if start.get("from") == SHIPPED.name else []
