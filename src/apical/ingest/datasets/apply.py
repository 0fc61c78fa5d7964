"""Take what a public data set says of its files into a catalogue of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl

from apical.errors import WrongCall
from apical.ingest.datasets import About, Entry, find_dataset, read_dataset
from apical.ingest.label_report import LabelReport
from apical.ingest.labels import apply_rows
from apical.ingest.places import is_remote
from apical.ingest.pseudonyms import Pseudonyms
from apical.ingest.tables import Row
from apical.views import Vocabulary

NOT_OF_IT = "no image of the data set"


def check_dataset(name: str, root: str) -> None:
    """Refuse what `apply_dataset` would, before the work; raises `WrongCall`."""
    find_dataset(name)
    if is_remote(root) or not Path(root).is_dir():
        raise WrongCall("a data set must be unpacked in a folder", "unpack it and give that folder")


def apply_dataset(
    table: pl.DataFrame, name: str, root: str, vocabulary: Vocabulary, pseudonyms: Pseudonyms
) -> tuple[pl.DataFrame, LabelReport, About]:
    """Patients, studies, views and official splits as the data set publishes them.

    Files that it skips, and files in the folder that are none of its images, get a problem.

    Args:
        table: the catalogue of the data set's folder.
        name: of the data set.
        root: the folder.
        vocabulary: reads labels that the data set's adapter leaves open.
        pseudonyms: for its keys of patients and studies, which are unique in it only.

    Raises:
        WrongCall: no such data set, or it does not lie in a folder of this machine.
        CannotDo: the folder does not look like it.
        PatientOverlap: the catalogue has given its patients other splits.
    """
    check_dataset(name, root)
    about, entries, counts = read_dataset(name, Path(root))
    clips = [entry for entry in entries if entry.skip is None]
    columns = {"file", "patient", "study", "view", "contrast_agent", "split"}
    rows = [_row(entry, about) for entry in clips]
    changed, report = apply_rows(table, rows, columns, vocabulary, root, pseudonyms)
    unmapped = Counter(
        entry.label for entry in clips if entry.label and about.views.get(entry.label, "") is None
    )
    notes = counts.lines()
    notes += [f"clips of '{label}', which is no standard view: {count}" for label, count in unmapped.items()]
    reasons = {entry.file: entry.skip for entry in entries}
    prefix = root.rstrip("/") + "/"
    problems = [
        problem
        if problem is not None or not path.startswith(prefix)
        else reasons.get(path[len(prefix) :], NOT_OF_IT)
        for path, problem in changed.select("path", "problem").iter_rows()
    ]
    changed = changed.with_columns(problem=pl.Series(problems, dtype=pl.String))
    return changed, replace(report, notes=tuple(notes)), about


def _row(entry: Entry, about: About) -> Row:
    """An entry as a row of labels."""
    agent = {True: "yes", False: "no", None: None}[entry.contrast_agent]
    cells = {
        "file": entry.file,
        "patient": entry.patient and f"{about.name} {entry.patient}",
        "study": entry.study and f"{about.name} {entry.study}",
        "view": entry.label and about.views.get(entry.label, entry.label),
        "contrast_agent": agent,
        "split": entry.split,
    }
    return {name: text for name, text in cells.items() if text}
