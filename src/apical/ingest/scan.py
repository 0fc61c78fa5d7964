"""Walk a tree of files and write the catalogue: one row a file, whatever its state."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from apical.catalogue import SCHEMA, conform, read_catalogue, write_catalogue
from apical.config import ScanSettings, worker_count
from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.ingest.clip import Clip, open_clip, triage
from apical.ingest.deidentify import Pseudonyms, clip_id_of_file
from apical.ingest.labels import LabelReport, import_labels
from apical.ingest.parallel import ordered_map
from apical.ingest.rescan import carry_over, check_key, unite
from apical.ingest.video import kind_of
from apical.views import Vocabulary, standard_vocabulary

log = logging.getLogger("apical.ingest")

IMAGE_SUFFIXES = frozenset(
    {".dcm", ".dicom", ".ima", ".avi", ".mp4", ".m4v", ".mov", ".gif", ".png", ".jpg", ".jpeg"}
)
NOT_UTF_8 = "its path is not UTF-8; rename it"


def scan(
    folder: Path,
    out: Path,
    settings: ScanSettings = ScanSettings(),
    *,
    labels: Path | None = None,
    vocabulary: Vocabulary | None = None,
    salt: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pl.DataFrame, LabelReport | None]:
    """Build the catalogue of a folder.

    The patient of a DICOM file is the pseudonym of Patient ID (0010,0020), or of Study Instance UID
    (0020,000D) where that is empty; all that share a study are one patient. The issuer of the ID is
    not looked at, so within one catalogue the IDs are taken to be unique. The patient of other files
    is their folder, so that one patient is never taken for several, unless `labels` says better.

    If `out` exists, its clips keep what people said of them: study, contrast agent, view, labeller,
    split, and a patient that was corrected; `labels` then override. A new clip of a patient who has
    a split gets that split. Clips that are not found now stay too: as they were if their path is
    outside the folder, else with the problem "the file is gone" (a broken file that nobody labelled
    is forgotten). Delete `out` to start afresh.

    Args:
        folder: what to walk. Hidden files and files that are no images are passed over; links are
            followed, each folder once.
        out: the catalogue, Parquet.
        settings: how many processes; the table does not depend on it.
        labels: a table for `import_labels`; its paths start from its own folder.
        vocabulary: of `labels`; the standard views by default.
        salt: key of the pseudonyms, made if absent; ``salt.key`` beside `out` by default.
        progress: called with files done and in all.

    Returns:
        the catalogue, in the order of the paths and then the clips that were not found, and the
        report on `labels` if they were given.

    Raises:
        WrongCall: there is no such folder.
        CannotDo: it holds no images, `out` was made with another salt, `out` or the salt cannot be
            read or written, or `labels` cannot be used; the catalogue without them is written then.
        PatientOverlap: files have shown that patients of two splits are one.
    """
    if not folder.is_dir():
        raise WrongCall("there is no such folder to scan", "give the folder that holds the files")
    salt = salt or out.with_name("salt.key")
    if out.exists() and not salt.exists():
        raise CannotDo(
            f"'{out.name}' exists, but the key of its pseudonyms, '{salt.name}', does not",
            "give the key with --salt, or choose another --out",
        )
    old = read_catalogue(out) if out.exists() else None
    root = folder.resolve()
    files = candidate_files(root)
    if not files:
        raise CannotDo("the folder holds no DICOM files, videos or pictures", "check the folder")
    pseudonyms = Pseudonyms.load_or_create(salt)

    workers = worker_count(settings.workers)
    crashed = partial(_broken_row, root=root, pseudonyms=pseudonyms, problem="the decoder crashed")
    rows = []
    for row in ordered_map(partial(_row, root=root, pseudonyms=pseudonyms), files, workers, crashed):
        rows.append(row)
        if progress is not None:
            progress(len(rows), len(files))
    table, alone = _table(rows)
    if old is not None:
        check_key(table, old, alone, pseudonyms, out.name)
        table = carry_over(table, old, alone, root)
    table = conform(table)
    write_catalogue(table, out)
    if labels is None:
        return table, None
    table, report = import_labels(table, labels, vocabulary or standard_vocabulary(), pseudonyms=pseudonyms)
    write_catalogue(table, out)
    return table, report


def candidate_files(folder: Path) -> list[Path]:
    """The files of a tree that may be clips, by suffix or else by their first bytes, sorted.

    A folder that cannot be read stands for its files, so that it becomes a row with a problem.
    """
    found: list[Path] = []
    passed_over = 0
    seen: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        found.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and _may_be_clip(path := Path(place, name)):
                found.append(path)
            else:
                passed_over += 1
    log.info("%d files are no images and were passed over", passed_over)
    return sorted(found)


def _may_be_clip(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return True  # becomes a row with a problem
    unmarked = head[:2] == b"\x08\x00" and head[3:4] == b"\x00"  # group 0008, first of a bare data set
    return head[128:] == b"DICM" or unmarked or kind_of(head) is not None


def _row(path: Path, root: Path, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """The catalogue row of one file."""
    if not _is_text(path):
        return _broken_row(path, root, pseudonyms, NOT_UTF_8)
    try:
        clip = open_clip(path)
    except ClipProblem as problem:
        return _broken_row(path, root, pseudonyms, str(problem))
    return _clip_row(clip) | _identity(clip, path, root, pseudonyms)


def _clip_row(clip: Clip) -> dict[str, Any]:
    facts = clip.facts
    names = ("clip", "frames", "rows", "columns", "frame_time_ms", "contrast_agent", "manufacturer", "model")
    row: dict[str, Any] = {name: getattr(facts, name) for name in names}
    try:
        mode, sector = triage(clip)
    except ClipProblem as problem:
        return row | {"mode": facts.mode, "problem": str(problem)}
    return row | {"mode": mode, "region": list(sector.box) if sector else None}


def _identity(clip: Clip, path: Path, root: Path, pseudonyms: Pseudonyms) -> dict[str, Any]:
    patient, study = clip.facts.patient_key, clip.facts.study_key
    return {
        "path": str(path),
        "patient": pseudonyms.patient(patient) if patient else _folder_patient(path, root, pseudonyms),
        "study": pseudonyms.study(study) if study else None,
        "numbered": patient is not None and patient != study,
    }


def _is_text(path: Path) -> bool:
    """Whether a path can be written in UTF-8; on Linux a name may be any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _folder_patient(path: Path, root: Path, pseudonyms: Pseudonyms) -> str:
    return pseudonyms.patient("folder\0" + path.parent.relative_to(root).as_posix())


def _broken_row(path: Path, root: Path, pseudonyms: Pseudonyms, problem: str) -> dict[str, Any]:
    try:
        clip = clip_id_of_file(path)
    except OSError:
        clip = pseudonyms.file(path.relative_to(root).as_posix())
    patient = _folder_patient(path, root, pseudonyms)
    text = os.fsencode(path).decode("utf-8", "replace")
    return {"clip": clip, "path": text, "patient": patient, "problem": problem}


def _table(rows: list[dict[str, Any]]) -> tuple[pl.DataFrame, dict[str, str]]:
    """The rows as a table, with patients united, and the patient that each clip's own file gives."""
    rows = _tell_apart(rows)
    alone: dict[str, str] = {row["clip"]: row["patient"] for row in rows}
    numbered = {row["patient"] for row in rows if row.pop("numbered", False)}
    unite(rows, numbered)
    return pl.DataFrame(rows, schema=SCHEMA), alone


def _tell_apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give all copies of a clip but one ids of their own, and a problem.

    The first copy that can be used stays the clip: a damaged copy must not take its place.
    """
    count: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row.get("problem") is not None):
        clip = row["clip"]
        count[clip] = count.get(clip, 0) + 1
        if count[clip] > 1:
            row["clip"] = f"{clip}-{count[clip]}"
            row["problem"] = row.get("problem") or "same clip as another file"
    return rows
