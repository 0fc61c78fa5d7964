"""MIMIC-IV-ECHO: DICOM files with a list of their patients and studies; no views."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apical.ingest.datasets.tree import Tree
from apical.ingest.datasets.words import About, Entry

ABOUT = About(
    name="mimic-iv-echo",
    title="MIMIC-IV-ECHO",
    licence="PhysioNet Credentialed Health Data License 1.5.0 and its data use agreement",
    home="https://physionet.org/content/mimic-iv-echo",
    citation="B. Gow et al., MIMIC-IV-ECHO: Echocardiogram Matched Subset, PhysioNet; cite the version that "
    "you have, such as 1.0 (2026), doi:10.13026/nrjh-5r77",
    grouping="subject_id; several studies a patient",
    pitfalls=(
        "no views are published; those of ECHOVIEW are a machine's and no truth",
        "there is no official split",
        "downloads are rarely whole: files that the list names and that are not here are counted only",
        "Doppler, M-mode, stills and split screens stand among the 2-D cines",
        "the versions differ in their files: note which one you have",
    ),
    views={},
)
_INDEX = "echo-record-list.csv"
_PATH = re.compile(r"(?:.*/)?p(\d{8})/s(\d+)/[^/]+\.dcm", re.IGNORECASE)


def read(tree: Tree) -> Iterator[Entry]:
    """The rows of the list, then all other files, by their folders."""
    home = tree.home(ABOUT.title, _INDEX)
    for row in tree.table(tree.find(home + _INDEX), "dicom_filepath", "subject_id", "study_id"):
        file = tree.find(home + row["dicom_filepath"])
        yield Entry(file, row["subject_id"] or None, row["study_id"] or None)
    for file in tree.ending(".dcm"):
        found = _PATH.fullmatch(file)
        if found:
            yield Entry(file, found[1], found[2])
