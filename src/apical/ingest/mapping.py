"""The way back from pseudonyms, in a file of its own: who may know both keeps it, nobody else."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from apical.errors import ClipProblem
from apical.files import replacing
from apical.ingest.clip import open_clip
from apical.ingest.parallel import ordered_map


def write_mapping(path: Path, header: list[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV that only its owner can read.

    Raises:
        CannotDo: it cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(header)
    table.writerows(rows)
    with replacing(path) as temporary:
        temporary.chmod(0o600)
        temporary.write_bytes(text.getvalue().encode("utf-8", "replace"))


def map_patients(table: pl.DataFrame, path: Path, workers: int) -> None:
    """Write which patients and studies of the original files stand behind a catalogue's pseudonyms.

    The files are opened again for it: what a scan keeps does not hold the originals.

    Args:
        table: a catalogue.
        path: the CSV, with ``original_patient``, ``patient``, ``original_study`` and ``study``.
        workers: processes.

    Raises:
        CannotDo: it cannot be written.
    """
    clips = table.drop_nulls("study").select("path", "patient", "study")
    keys = ordered_map(_keys, clips["path"].to_list(), workers, lambda *_: None)
    rows = {
        (key[0], patient, key[1], study)
        for key, patient, study in zip(keys, clips["patient"], clips["study"], strict=True)
        if key is not None
    }
    write_mapping(path, ["original_patient", "patient", "original_study", "study"], sorted(rows))


def _keys(place: str) -> tuple[str, str] | None:
    try:
        facts = open_clip(place).facts
    except ClipProblem:
        return None
    patient = facts.patient_key if facts.patient_key != facts.study_key else ""
    return patient or "", facts.study_key or ""
