"""Scanning into a catalogue that exists: who is one patient, and what stays of what people said."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from apical.catalogue import SCHEMA
from apical.errors import CannotDo, ClipProblem
from apical.ingest.clip import open_clip
from apical.ingest.places import archive_of, is_remote
from apical.ingest.pseudonyms import Pseudonyms

GONE = "the file is gone"
KEPT = ("patient", "study", "contrast_agent", "view", "labelled_by", "split")
PROBED = 5  # files opened to test a key, where no clip of the catalogue was scanned again


def unite(patients: Sequence[str], studies: Sequence[str | None], numbered: set[str]) -> list[str]:
    """Make one patient of all that share a study: a study is of one person.

    Some files of a study may lack the Patient ID or carry another.

    Args:
        patients, studies: of each clip.
        numbered: the pseudonyms that come from a Patient ID.

    Returns:
        the patient of each clip: of those that are one the least pseudonym that comes from a Patient ID,
        else the least of all, so the order of the clips does not matter.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent[above]
            node = above
        return node

    for patient, study in set(zip(patients, studies, strict=True)):
        if study:
            parent[root(("patient", patient))] = root(("study", study))
    chosen: dict[tuple[str, str], str] = {}
    for patient in sorted(set(patients), key=lambda name: (name not in numbered, name)):
        chosen.setdefault(root(("patient", patient)), patient)
    one = {patient: chosen[root(("patient", patient))] for patient in set(patients)}
    return [one[patient] for patient in patients]


def check_key(
    table: pl.DataFrame, old: pl.DataFrame, alone: Mapping[str, str], pseudonyms: Pseudonyms, name: str
) -> None:
    """Refuse to mix pseudonyms of two keys: each patient would become two.

    Clips that are in both tables must agree on some study or patient; under another key they agree
    on none. Where none is in both, a few files of the old table are opened. A catalogue without
    studies (of videos and pictures) cannot be tested.

    Args:
        table, old: what was scanned, and the catalogue so far.
        alone: clip → patient from its own file, before `unite`.
        pseudonyms: with the key to test.
        name: of the catalogue, for the message.

    Raises:
        CannotDo: it was made with another key.
    """
    both = table.select("clip", "study").join(
        old.select("clip", "patient", before="study").drop_nulls("before"), on="clip"
    )
    seen = [
        study == before or alone[clip] == patient
        for clip, study, patient, before in both.drop_nulls("study").iter_rows()
    ]
    if not seen:
        seen = _probe(old, pseudonyms)
    if seen and not any(seen):
        raise CannotDo(
            f"'{name}' was made with another key of the pseudonyms",
            "give its key with --salt, or choose another --out",
        )


def _probe(old: pl.DataFrame, pseudonyms: Pseudonyms) -> list[bool]:
    """Whether studies of the old table are those of its files under this key, for a few files."""
    seen: list[bool] = []
    for path, study in old.drop_nulls("study").select("path", "study").iter_rows():
        try:
            key = open_clip(path).facts.study_key
        except ClipProblem:
            key = None
        if key:
            seen.append(pseudonyms.study(key) == study)
        if len(seen) == PROBED:
            break
    return seen


def carry_over(table: pl.DataFrame, old: pl.DataFrame, alone: Mapping[str, str], root: str) -> pl.DataFrame:
    """What was scanned, with what people had said of it, and the rows whose clip was not found now.

    A clip keeps the patient it had, which may have been corrected; where the files now show two
    pseudonyms to be one person, both become one, in the rows that were not found too. A new clip gets
    the patient that its patient's other clips or its study's have, if they have only one.

    Args:
        table: what was scanned, in its order; clips that were not found follow, in the old order.
        old: the catalogue so far; its own columns stay.
        alone: clip → patient from its own file, before `unite`.
        root: the place that was scanned.
    """
    own = [name for name in old.columns if name not in SCHEMA]
    one = {alone[clip]: patient for clip, patient in table.select("clip", "patient").iter_rows()}
    old = old.with_columns(pl.col("patient").replace(one))
    before = old.select("clip", *(pl.col(name).alias(f"{name} before") for name in KEPT))
    joined = table.join(before, on="clip", how="left", maintain_order="left")
    joined = joined.with_columns(
        *(pl.coalesce(f"{name} before", name).alias(name) for name in KEPT if name != "patient"),
        scanned=pl.col("patient"),
    )
    by_study = _only_patient(old.drop_nulls("study"), "study", "patient", "by study")
    joined = joined.join(by_study, on="study", how="left", maintain_order="left")
    joined = joined.with_columns(said=pl.coalesce("patient before", "by study"))
    by_patient = _only_patient(joined.drop_nulls("said"), "scanned", "said", "by patient")
    joined = joined.join(by_patient, on="scanned", how="left", maintain_order="left")
    joined = joined.with_columns(patient=pl.coalesce("patient before", "by patient", "said", "patient"))
    new = joined.select(*SCHEMA).join(old.select("clip", *own), on="clip", how="left", maintain_order="left")
    return pl.concat([new, _not_found(table, old, root).select(new.columns)])


def _only_patient(rows: pl.DataFrame, by: str, patient: str, name: str) -> pl.DataFrame:
    """(by, name): the patient of all rows with one value of `by`, where they have only one."""
    groups = rows.group_by(by).agg(pl.col(patient).first().alias(name), count=pl.col(patient).n_unique())
    return groups.filter(pl.col("count") == 1).drop("count")


def _not_found(table: pl.DataFrame, old: pl.DataFrame, root: str) -> pl.DataFrame:
    """The old rows whose clip was not scanned now, with a problem if they should have been.

    A broken file that nobody labelled and that is there no longer, or is whole now, is forgotten.
    """
    missing = old.join(table.select("clip"), on="clip", how="anti", maintain_order="left")
    paths = set(table["path"])  # of a DICOMDIR, files that are listed and not there are among them
    belongs = [path in paths or _is_inside(path, root) for path in missing["path"]]
    inside = pl.lit(pl.Series(belongs, dtype=pl.Boolean))
    broken = pl.col("problem").is_not_null() & (pl.col("problem") != GONE)
    said = pl.col("view").is_not_null() | pl.col("contrast_agent").is_not_null()
    stays = missing.select(~inside | ~broken | said).to_series()
    gone = pl.when(inside).then(pl.lit(GONE)).otherwise("problem")
    return missing.with_columns(problem=gone).filter(stays)


def _is_inside(place: str, root: str) -> bool:
    """Whether a place is below another one, itself or by its links."""
    inside = archive_of(place)
    if inside is not None:
        return root in (place, inside[0]) or _is_inside(inside[0], root)
    if is_remote(place) or is_remote(root):
        return place == root or place.startswith(root.rstrip("/") + "/")
    return Path(place).is_relative_to(root) or Path(os.path.realpath(place)).is_relative_to(root)
