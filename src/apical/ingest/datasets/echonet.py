"""EchoNet-Dynamic, EchoNet-LVH and EchoNet-Pediatric of Stanford."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apical.ingest.datasets.tree import Tree, stem
from apical.ingest.datasets.words import About, Entry, split_of

_LICENCE = "Stanford University research use agreement: non-commercial, no redistribution"
DYNAMIC = About(
    name="echonet-dynamic",
    title="EchoNet-Dynamic",
    licence=_LICENCE,
    home="https://echonet.github.io/dynamic",
    citation="D. Ouyang et al., Video-based AI for beat-to-beat assessment of cardiac function, Nature "
    "580:252-256, 2020, doi:10.1038/s41586-020-2145-8",
    grouping="file: one video a patient",
    pitfalls=(
        "all are A4C at 112x112: beside another source, a network may learn the source and not the view",
    ),
    views={"A4C": "A4C"},
)
LVH = About(
    name="echonet-lvh",
    title="EchoNet-LVH",
    licence=f"{_LICENCE}, no derivative works",
    home="https://echonet.github.io/lvh",
    citation="G. Duffy et al., High-Throughput Precision Phenotyping of Left Ventricular Hypertrophy With "
    "Cardiovascular Deep Learning, JAMA Cardiol 7(4):386-395, 2022, doi:10.1001/jamacardio.2021.6059",
    grouping="file: patients are not published",
    pitfalls=("all are PLAX", "the table has a row a measurement, so several a video"),
    views={"PLAX": "PLAX"},
)
PEDIATRIC = About(
    name="echonet-pediatric",
    title="EchoNet-Pediatric",
    licence=_LICENCE,
    home="https://echonet.github.io/pediatric",
    citation="C. D. Reddy et al., Video-Based Deep Learning for Automated Assessment of Left Ventricular "
    "Ejection Fraction in Pediatric Patients, J Am Soc Echocardiogr 36(5):482-489, 2023",
    grouping="the first part (CR...) of a file's name, which is likely the patient, not stated",
    pitfalls=(
        "PSAX is at the papillary muscles from memory of the paper only: no label",
        "its split is a number from 0 to 9: 0 to 7 are taken as train, 8 as validation, 9 as test",
        "a child has videos in A4C and in PSAX, whose folds are not proven to agree; the first one holds",
    ),
    views={"A4C": "A4C", "PSAX": None},
)
_CHILD = re.compile(r"(CR[0-9a-z]+)-CR[0-9a-z]+-.+", re.IGNORECASE)


def read_dynamic(tree: Tree) -> Iterator[Entry]:
    """The rows of FileList.csv, then all other videos; all are A4C."""
    home = tree.home(DYNAMIC.title, "FileList.csv")
    for row in tree.table(tree.find(home + "FileList.csv"), "FileName", "FPS"):  # the children's has no FPS
        file = _video(tree, home, row["filename"])
        yield Entry(file, stem(file), label="A4C", split=split_of(row.get("split", "")))
    yield from (Entry(file, stem(file), label="A4C") for file in tree.ending(".avi"))


def read_lvh(tree: Tree) -> Iterator[Entry]:
    """The videos of MeasurementsList.csv, in whatever folder, then all others; all are PLAX."""
    home = tree.home(LVH.title, "MeasurementsList.csv")
    videos = {stem(file).lower(): file for file in reversed(tree.ending(".avi"))}
    for row in tree.table(tree.find(home + "MeasurementsList.csv"), "HashedFileName"):
        name = _bare(row["hashedfilename"])
        file = videos.get(name.lower(), f"{home}Batch1/{name}.avi")
        yield Entry(file, stem(file), label="PLAX", split=split_of(row.get("split", "")))
    yield from (Entry(file, stem(file), label="PLAX") for file in tree.ending(".avi"))


def read_pediatric(tree: Tree) -> Iterator[Entry]:
    """The rows of both lists, then all other videos of their folders; the view is the folder."""
    home = tree.home(PEDIATRIC.title, "A4C/FileList.csv", "PSAX/FileList.csv")
    for view in PEDIATRIC.views:
        path = tree.find(f"{home}{view}/FileList.csv")
        folder = path.rpartition("/")[0] + "/"
        for row in tree.table(path, "FileName") if path in tree else ():
            file = _video(tree, folder, row["filename"])
            yield Entry(file, _child(file), label=view, split=_of_fold(row.get("split", "")))
        for file in tree.ending(".avi"):
            if file.startswith(folder):
                yield Entry(file, _child(file), label=view)


def _bare(name: str) -> str:
    return stem(name) if name.lower().endswith(".avi") else name


def _video(tree: Tree, folder: str, name: str) -> str:
    return tree.find(f"{folder}Videos/{_bare(name)}.avi", f"{folder}{_bare(name)}.avi")


def _child(file: str) -> str:
    found = _CHILD.fullmatch(stem(file))
    return found[1] if found else stem(file)


def _of_fold(text: str) -> str | None:
    """The split of a fold, as in the usual protocol; None for what is no fold."""
    try:
        fold = float(text)
    except ValueError:
        return None
    if fold not in range(10):
        return None
    return "train" if fold < 8 else "validation" if fold == 8 else "test"
