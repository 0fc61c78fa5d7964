"""TMED-2: stills, with a table a fold of the labelled and of the unlabelled images."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apical.ingest.datasets.tree import Tree
from apical.ingest.datasets.words import About, Entry, split_of

ABOUT = About(
    name="tmed2",
    title="TMED-2",
    licence="TMED Health Data License, on request",
    home="https://tmed.cs.tufts.edu",
    citation="Z. Huang, G. Long, B. Wessler and M. C. Hughes, TMED 2: A Dataset for Semi-Supervised "
    "Classification of Echocardiograms, DataPerf workshop at ICML, 2022",
    grouping="the digits before the s of a file's name; the study is what stands before the underscore",
    pitfalls=(
        "splits are those of DEV479, fold 0; those of other folds part the patients differently",
        "names of images are unique in one folder only",
        "PSAX does not tell the level and A4CorA2CorOther is a catch-all: no label",
        "unlabelled images of a test patient are in split test too: they would leak",
        "every image is a still of its own; the order of frames is lost",
    ),
    views={"PLAX": "PLAX", "PSAX": None, "A4C": "A4C", "A2C": "A2C", "A4CorA2CorOther": None},
)
_FOLD = "DEV479/TMED2_fold0_{}part.csv"
_NAME = re.compile(r"(?:.*/)?((\d+)s\d+)_[^/]*")


def read(tree: Tree) -> Iterator[Entry]:
    """The rows of the fold, then all images for their patients."""
    home = tree.home(ABOUT.title, _FOLD.format("labeled"))
    for part in ("labeled", "unlabeled"):
        path = tree.find(home + _FOLD.format(part))
        if path in tree:
            for row in tree.table(path, "query_key", "SourceFolder"):
                yield _row(tree, home, row)
    yield from (_entry(file) for file in tree.ending(".png"))


def _row(tree: Tree, home: str, row: dict[str, str]) -> Entry:
    folder = home + row["sourcefolder"].replace("\\", "/").strip("/")
    nested = f"{folder}/{folder.rpartition('/')[2]}"  # labeled.zip unpacked into a folder labeled
    splits = (row.get(f"{task}_classifier_split", "") for task in ("view", "diagnosis"))
    label = row.get("view_label", "")
    return _entry(
        tree.find(f"{folder}/{row['query_key']}", f"{nested}/{row['query_key']}"),
        label=None if label.lower() in ("", "not_provided") else label,
        split=next(filter(None, map(split_of, splits)), None),
    )


def _entry(file: str, *, label: str | None = None, split: str | None = None) -> Entry:
    found = _NAME.fullmatch(file)
    return Entry(file, found[2] if found else None, found[1] if found else None, label, split=split)
