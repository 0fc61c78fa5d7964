"""Options and exit codes that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apical.views import Vocabulary, standard_vocabulary

DONE, DONE_WITH_PROBLEMS, WRONG_CALL, COULD_NOT = range(4)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; results and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="List every problem.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes; 0 = one per core.")]
Config = Annotated[
    Path | None, typer.Option(help="YAML file of settings (see apical.config); options win over it.")
]
ShowLabels = Annotated[
    bool, typer.Option(help="Quote labels that are not understood; a shifted column may hold names.")
]
Views = Annotated[Path | None, typer.Option(help="YAML file of your own view vocabulary.")]
Catalogue = Annotated[Path, typer.Argument(help="Catalogue (Parquet, or CSV with clip, path, patient).")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")]


def vocabulary_of(views: Path | None) -> Vocabulary:
    """The user's vocabulary, or the standard one."""
    return Vocabulary.from_yaml(views) if views else standard_vocabulary()
