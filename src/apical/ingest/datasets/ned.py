"""NED, the Neonatal Echocardiogram Dataset: a folder a case, with videos and a table of their views."""

from __future__ import annotations

from collections.abc import Iterator

from apical.errors import CannotDo
from apical.ingest.datasets.tree import VIDEOS, Tree, no_such
from apical.ingest.datasets.words import About, Entry

ABOUT = About(
    name="ned",
    title="NED",
    licence="none stated: ask the authors",
    home="https://github.com/satchelfrench/NED",
    citation="S. French, F. Zhu, A. Jain and N. Khan, Temporal Feature Weaving for Neonatal "
    "Echocardiographic Viewpoint Video Classification, ISBI, 2025, arXiv:2501.03967",
    grouping="case folder",
    pitfalls=(
        "the names of its 16 views are read by the vocabulary; those that it does not know are listed",
        "hearts of newborns: another scale, and views that adults' standards do not have",
        "there is no official split; that of the authors' code cannot be repeated",
    ),
    views={},  # not published where they could be read
)


def read(tree: Tree) -> Iterator[Entry]:
    """The videos of the tables, then all other videos beside a table."""
    tables = [file for file in tree.files if file.rpartition("/")[2].lower() == "labels.csv"]
    if not tables:
        raise no_such(ABOUT.title, "'labels.csv' in a folder of a case")
    folders: dict[str, str] = {}
    broken: list[CannotDo] = []
    for path in tables:
        folder = path.rpartition("/")[0]
        folders[folder] = case = folder.rpartition("/")[2] or tree.root.resolve().name
        try:
            for row in tree.table(path, "Filename", "Classification"):
                yield _row(tree, folder, case, row)
        except CannotDo as error:  # of one case; the others go on
            broken.append(error)
    tree.odd += len(broken)
    if len(broken) == len(tables):
        raise broken[0]
    for file in tree.ending(*VIDEOS):
        folder = file.rpartition("/")[0]
        if folder in folders:
            yield Entry(file, folders[folder])


def _row(tree: Tree, folder: str, case: str, row: dict[str, str]) -> Entry:
    names = (row["filename"] + suffix for suffix in ("", *VIDEOS))
    label = row["classification"]
    return Entry(
        tree.find(*(f"{folder}/{name}".lstrip("/") for name in names)),
        patient=case,
        label=None if label.lower() in ("", "nan") else label,
    )
