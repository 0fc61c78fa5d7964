"""CAMUS: the NIfTI release, the original one with MetaImage files, and stills with a table of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apical.errors import CannotDo
from apical.ingest.datasets.tree import Tree, no_such
from apical.ingest.datasets.words import About, Entry, split_of

ABOUT = About(
    name="camus",
    title="CAMUS",
    licence="non-commercial research, with citation (CC BY-NC-SA 4.0 by way of a redistribution)",
    home="https://www.creatis.insa-lyon.fr/Challenge/camus",
    citation="S. Leclerc et al., Deep Learning for Segmentation using an Open Large-Scale Dataset in 2D "
    "Echocardiography, IEEE TMI 38(9):2198-2210, 2019, doi:10.1109/TMI.2019.2900516",
    grouping="patient folder; patients 33 and 68 are one person",
    pitfalls=(
        "patients 33 and 68 are one person; if the official lists part them, both get the split of 33",
        "the original release numbers the patients of its folder testing from 1 again",
        "the two releases hold the same patients: never use both",
        "ED and ES stills are frames of the sequence of that view; they are left out where it is there",
        "some 4CH clips are said to show five chambers",
        "pixels are not square",
    ),
    views={"2CH": "A2C", "4CH": "A4C", "A2C": "A2C", "A4C": "A4C"},  # the last two: in tables of labels
)
_NAME = re.compile(
    r"(?:.*/)?(?P<patient>patient\d+)_(?P<view>[24]CH)_(?P<part>ED|ES|(?:half_)?sequence)(?P<mask>_gt)?"
    r"\.(?P<form>nii|nii\.gz|mhd|mha|z?raw|png)",
    re.IGNORECASE,
)
_FORMS = ("nii", "nii.gz", "mhd", "mha", "png")  # of one image, the first of these is taken
_SAME = {"patient0068": "patient0033"}  # in both releases, but not in the original one's folder testing
_EXAMPLE = "'database_nifti/patient0001/patient0001_4CH_ED.nii.gz'"


def read(tree: Tree) -> Iterator[Entry]:
    """The images by their names, or, where there are only stills, by the table beside them.

    Raises:
        CannotDo: neither is there, or both releases are.
    """
    images = {file: match for file in tree.files if (match := _NAME.fullmatch(file))}
    tables = [file for file in tree.files if file.rpartition("/")[2].lower() == "labels.csv"]
    if tables and all(match["form"].lower() == "png" for match in images.values()):
        yield from _labelled(tree)
    elif images:
        yield from _named(tree, images)
    else:
        raise no_such(ABOUT.title, f"'labels.csv' and no file such as {_EXAMPLE}")


def _labelled(tree: Tree) -> Iterator[Entry]:
    home = tree.home(ABOUT.title, "labels.csv")
    for row in tree.table(tree.find(home + "labels.csv"), "file", "patient", "view"):
        patient = row["patient"]
        one = _SAME.get(patient.lower(), patient)
        file = tree.find(home + row["file"])
        yield Entry(
            file, one or None, patient or None, row["view"] or None, split=split_of(row.get("split", ""))
        )


def _named(tree: Tree, images: dict[str, re.Match[str]]) -> Iterator[Entry]:
    splits = _splits(tree)
    halves = {file: _half(tree, file) for file in images}
    if len({half is None for half in halves.values()}) > 1:
        raise CannotDo(
            "the folder holds both releases of CAMUS, which are the same patients", "give the folder of one"
        )

    def key(file: str) -> tuple[str, str]:
        return f"{halves[file] or ''}/{images[file]['patient'].lower()}", images[file]["view"].upper()

    clips = [file for file, name in images.items() if not name["mask"] and name["form"].lower() in _FORMS]
    clips.sort(key=lambda file: _FORMS.index(images[file]["form"].lower()))
    first: dict[tuple[str, ...], str] = {}
    for file in clips:
        first.setdefault((*key(file), images[file]["part"].lower()), file)
    cines = {(patient, view) for patient, view, part in first if part.endswith("sequence")}

    for file, name in images.items():
        exam, view = key(file)
        number, part = name["patient"].lower(), name["part"].lower()
        half = halves[file]
        one = number if half == "testing" else _SAME.get(number, number)
        skip = None
        if name["mask"]:
            skip = "a mask"
        elif name["form"].lower() not in _FORMS:
            skip = "the pixels of a MetaImage file"
        elif part in ("ed", "es") and (exam, view) in cines:
            skip = "a frame of the sequence beside it"
        elif first[exam, view, part] != file:
            skip = "the same image in another form"
        yield Entry(
            file,
            patient=f"{half}/{one}" if half else one,
            study=f"{half}/{number}" if half else number,
            label=view,
            split=split_of(half) if half else splits.get(number),
            skip=skip,
        )


def _half(tree: Tree, file: str) -> str | None:
    """``training`` or ``testing`` in the original release, whose patients are numbered in each of them."""
    above = [tree.root.resolve().name, *file.split("/")[:-2]][-1].lower()
    return above if above in ("training", "testing") else None


def _splits(tree: Tree) -> dict[str, str]:
    """The official splits of the NIfTI release."""
    splits: dict[str, str] = {}
    for file in tree.files:
        found = re.fullmatch(r"(?:.*/)?subgroup_(training|validation|testing)\.txt", file, re.IGNORECASE)
        split = split_of(found[1]) if found else None
        if split:
            splits |= {line.strip().lower(): split for line in tree.lines(file)}
    return splits
