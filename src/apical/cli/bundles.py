"""The verbs about bundles: ``bundle`` packs one, ``bundle inspect`` tells its contents, ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from apical.cli.options import DONE, Json, Quiet
from apical.console import Console
from apical.errors import WrongCall


class MakesByDefault(TyperGroup):
    """``bundle RUN`` is short for ``bundle make RUN``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the word in where no command is named."""
        if args and args[0] not in (*self.commands, "--help"):
            args = ["make", *args]
        return super().parse_args(ctx, args)


bundle_app = typer.Typer(
    cls=MakesByDefault,
    no_args_is_help=True,
    help="Pack all that a prediction needs ('apical bundle RUN'), or say what is in a bundle "
    "('apical bundle inspect BUNDLE').\n\n"
    "Example: apical bundle runs/few-labels --report report --out bundle",
)


@bundle_app.command()
def make(
    run: Annotated[Path, typer.Argument(help="Run folder of a training.")],
    out: Annotated[Path, typer.Option(help="Bundle to make: a folder, or a zip if it ends in .zip.")] = Path(
        "bundle"
    ),
    report: Annotated[
        Path | None, typer.Option(help="Folder of 'apical evaluate', for the model card.")
    ] = None,
    risk: Annotated[
        float,
        typer.Option(min=0.001, max=0.999, help="Share wrong that is wanted of clips that are not doubtful."),
    ] = 0.02,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Pack all that a prediction needs, calibrated on the validation patients.

    Example: apical bundle runs/few-labels --report report --out bundle
    """
    from apical.deploy.packing import make_bundle

    console = Console(json_output=json_output, quiet=quiet)
    made = make_bundle(run, out, report=report, risk=risk)
    facts = {"bundle": str(out), "version": made.model_version, "taught": made.facts["taught"]}
    console.result(facts, [f"bundle {made.model_version} of {len(facts['taught'])} views → {out}"])
    return DONE


@bundle_app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(help="Bundle: a folder or its zip.")],
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Check that a bundle is whole, and say what is in it.

    Example: apical bundle inspect bundle
    """
    from apical.deploy.bundle import open_bundle
    from apical.deploy.describe import bundle_lines

    console = Console(json_output=json_output, quiet=quiet)
    opened = open_bundle(bundle)
    console.result(opened.facts, bundle_lines(opened))
    return DONE


def export(
    bundle: Annotated[Path, typer.Argument(help="Bundle: a folder or its zip.")],
    to: Annotated[
        Path | None,
        typer.Option(
            help="Where to write it, if not into the bundle: a .onnx file, or a folder for OpenVINO."
        ),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(help="In eight bits; ranges are seen on training patients' frames of this store."),
    ] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Catalogue of that store.")] = None,
    quiet: Quiet = False,
    json_output: Json = False,
) -> int:
    """Export the network to ONNX or OpenVINO: into the bundle, so that answering needs no torch.

    Example: apical export bundle
    """
    from apical.deploy.exporting import export_bundle

    if (int8 is None) != (catalogue is None):
        raise WrongCall("--int8 and --catalogue belong together", "give both, or neither")
    calibration = None if int8 is None or catalogue is None else (int8, catalogue)
    console = Console(json_output=json_output, quiet=quiet)
    facts = export_bundle(bundle, to, int8=calibration)
    said = f"network of bundle {facts['version']} as {facts['format']}, {facts['precision']} → {to or bundle}"
    console.result(facts, [said])
    return DONE
