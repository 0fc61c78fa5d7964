"""Run the cleaning of files, and look at what it wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pydicom

from apical.config import DeidentifySettings
from apical.ingest.deidentify import Copy, deidentify

ONE = DeidentifySettings(workers=1)


def cleaner(**settings: Any) -> DeidentifySettings:
    return DeidentifySettings(workers=1, **settings)


def contents_of(folder: Path) -> dict[str, str]:
    """The files of a folder and what is in them."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def one_copy(source: Path, out: Path, settings: DeidentifySettings = ONE, **options: Any) -> pydicom.Dataset:
    (copy,) = deidentify(source, out, settings, **options)
    assert copy.problem is None
    assert copy.file is not None
    return pydicom.dcmread(out / copy.file)


def problems(copies: list[Copy]) -> list[str | None]:
    return [copy.problem for copy in copies]
