"""CACTUS: images of one phantom in folders named for their views. How these are nested is not documented."""

from __future__ import annotations

from collections.abc import Iterator

from apical.ingest.datasets.tree import STILLS, VIDEOS, Tree, no_such
from apical.ingest.datasets.words import About, Entry

ABOUT = About(
    name="cactus",
    title="CACTUS",
    licence="called open; no licence was found",
    home="https://users.encs.concordia.ca/~kadem/cactus",
    citation="H. Elmekki et al., CACTUS: An open dataset and framework for automated Cardiac Assessment and "
    "Classification of Ultrasound images using deep transfer learning, Comput Biol Med, 2025, "
    "arXiv:2503.05604",
    grouping="none: all images are of one phantom, which stands as one patient and so cannot be split",
    pitfalls=(
        "there are no patients: all images are one, so they train or test, never both",
        "images are neighbouring frames of a few scans of a phantom: never report them as patients",
        "the layout was not published where it could be read: class folders are found by their names",
        "Random has no view",
    ),
    views={
        "A4C": "A4C",
        "PL": "PLAX",
        "PSAV": "PSAX-AV",
        "PSMV": "PSAX-MV",
        "SC": "subcostal-4C",
        "Random": None,
    },
)
_CLASSES = {name.lower(): name for name in ABOUT.views}


def read(tree: Tree) -> Iterator[Entry]:
    """All images, with the view of the innermost folder that is named for one."""
    labels = {file: _class(file) for file in tree.ending(*STILLS, *VIDEOS)}
    if len(set(labels.values()) - {None}) < 2:  # one of them may be a folder of any data set
        raise no_such(ABOUT.title, f"image in folders named {', '.join(ABOUT.views)}")
    yield from (Entry(file, patient="phantom", label=label) for file, label in labels.items())


def _class(file: str) -> str | None:
    folders = reversed(file.lower().split("/")[:-1])
    return next((_CLASSES[folder] for folder in folders if folder in _CLASSES), None)
