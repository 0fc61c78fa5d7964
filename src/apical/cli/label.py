"""The verb ``label``: the labelling page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from apical.cli.options import DONE, Catalogue, Config, Views, vocabulary_of
from apical.cli.serve import TOKEN
from apical.config import LabelSettings, read_settings
from apical.console import Console


def label(
    catalogue: Catalogue,
    store: Annotated[Path, typer.Option(help="Frame store of the catalogue's clips.")] = Path("frames"),
    state: Annotated[
        Path | None,
        typer.Option(
            help="Private folder for labels, pictures and features; beside the catalogue by default."
        ),
    ] = None,
    encoder: Annotated[
        Path | None, typer.Option(help="Run folder of a pre-training; by default the shipped encoder.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Where it listens; beyond this machine with a token.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="0 = any that is free.")] = None,
    fine_tune_every: Annotated[
        int | None, typer.Option(min=0, help="Labels after which the network is fine-tuned; 0 = when asked.")
    ] = None,
    show_identifiers: Annotated[
        bool, typer.Option("--show-identifiers", help="Show pseudonyms of patients and names of files.")
    ] = False,
    views: Views = None,
    config: Config = None,
) -> int:
    """Open a page on which people label the clips that matter most, until Ctrl-C; no label is ever lost.

    Labels come into the catalogue when asked for on the page, or by 'apical labels merge'. The token is taken
    from the variable APICAL_TOKEN.

    Example: apical label catalogue.parquet --store frames --encoder runs/pretrain
    """
    from apical.label.start import SHIPPED
    from apical.label.start import label as serve

    settings = read_settings(
        LabelSettings,
        config,
        host=host,
        port=port,
        fine_tune_every=fine_tune_every,
        show_identifiers=show_identifiers or None,
        token=os.environ.get(TOKEN) or None,
    )
    serve(
        catalogue,
        store,
        state or catalogue.with_suffix(".labelling"),
        settings,
        encoder=encoder or SHIPPED,
        vocabulary=vocabulary_of(views),
        tell=Console().line,
    )
    return DONE
