"""Unity Imaging: frames of cines, with lists of those that have key points; no views."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from apical.ingest.datasets.tree import Tree, no_such, unreadable
from apical.ingest.datasets.words import About, Entry

ABOUT = About(
    name="unity",
    title="Unity Imaging",
    licence="sources differ between CC BY-NC-ND 4.0 and CC BY-NC-SA 4.0: take it as non-commercial, no "
    "derivatives",
    home="https://data.unityimaging.net",
    citation="J. P. Howard et al., Automated Left Ventricular Dimension Assessment Using Artificial "
    "Intelligence Developed and Validated by a UK-Wide Collaborative, Circ Cardiovasc Imaging 14(5), 2021",
    grouping="the 64 hexadecimal digits of a cine: the patients are not published",
    pitfalls=(
        "no views are published",
        "cines of one patient cannot be told to be so: splits part cines only",
        "frames of one cine are stills of their own",
        "black boxes hide text; some images are tinted",
    ),
    views={},
)
_NAME = re.compile(r"(?:.*/)?(?:\d\d-)?([0-9a-f]{64})-(\d+)(?:_\(\d\))?(?:[.:].*)?", re.IGNORECASE)
_LISTS = {"labels-train.json": "train", "labels-tune.json": "validation", "labels-ival.json": "test"}


def read(tree: Tree) -> Iterator[Entry]:
    """All frames, with the splits of the lists that are there."""
    frames = {frame: file for file in tree.ending(".png") if (frame := _frame(file))}
    if not frames:
        raise no_such(ABOUT.title, "frame such as 'png-cache/01/4d/44/01-(64 hexadecimal digits)-0000.png'")
    for file in tree.files:
        split = _LISTS.get(file.rpartition("/")[2].lower())
        for key in _keys(tree, file) if split else ():
            frame = _frame(key)
            if frame is None:
                tree.odd += 1
            else:
                yield Entry(frames.get(frame, key), patient=frame[0], split=split)
    yield from (Entry(file, patient=frame[0]) for file in tree.ending(".png") if (frame := _frame(file)))


def _frame(name: str) -> tuple[str, int] | None:
    """The cine and the number of a frame."""
    found = _NAME.fullmatch(name)
    return (found[1].lower(), int(found[2])) if found else None


def _keys(tree: Tree, file: str) -> list[str]:
    try:
        document: Any = json.loads((tree.root / file).read_bytes())
        return list(document.keys())
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise unreadable(file, error) from None
