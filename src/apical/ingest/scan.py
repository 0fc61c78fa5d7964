"""Walk a tree of files and write the catalogue: one row a file, whatever its state."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from apical.catalogue import SCHEMA, conform, read_catalogue, write_catalogue
from apical.config import ScanSettings, worker_count
from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.ingest.clip import Clip, open_clip
from apical.ingest.damage import Unreadable
from apical.ingest.datasets.apply import apply_dataset, check_dataset
from apical.ingest.journal import Journal, Listed
from apical.ingest.label_report import LabelReport
from apical.ingest.labels import import_labels
from apical.ingest.mapping import map_patients
from apical.ingest.parallel import MAY_PASS, TOO_LONG, ordered_map
from apical.ingest.pixels import NEEDS_GDCM
from apical.ingest.places import archive_of, as_place, is_remote, opened, stamp
from apical.ingest.pseudonyms import Pseudonyms, clip_id_of_file
from apical.ingest.rescan import carry_over, check_key, unite
from apical.ingest.triage import triage
from apical.ingest.walk import Found, walk
from apical.views import Vocabulary, standard_vocabulary

NOT_UTF_8 = "its path is not UTF-8; rename it"
SAME_FILE, SAME_CLIP = "a copy of another file", "another file has the same SOPInstanceUID and other content"
PASSING = MAY_PASS | {NEEDS_GDCM, str(Unreadable())}  # files with these are read again
CHUNK = 10_000  # rows that are text at a time
_OF_FACTS = (
    "clip", "frames", "rows", "columns", "syntax", "frame_time_ms", "heart_rate", "instance",
    "contrast_agent", "stage",
)  # fmt: skip
_ROW = SCHEMA | {"numbered": pl.Boolean}  # whether the patient comes from a Patient ID


def scan(
    source: Path | str,
    out: Path,
    settings: ScanSettings = ScanSettings(),
    *,
    labels: Path | None = None,
    columns: Mapping[str, str] | None = None,
    dataset: str | None = None,
    vocabulary: Vocabulary | None = None,
    salt: Path | None = None,
    mapping: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pl.DataFrame, LabelReport | None]:
    """Build the catalogue of a folder, an archive, a DICOMDIR, or a store behind a URL.

    The patient of a DICOM file is the pseudonym of Patient ID (0010,0020), or of Study Instance UID
    (0020,000D) where that is empty; all that share a study are one patient. The issuer of the ID is
    not looked at, so within one catalogue the IDs are taken to be unique. The patient of other files
    is their folder, so that one patient is never taken for several, unless `labels` says better.

    What was found is kept in a journal beside `out` as it goes. A scan that was stopped goes on there,
    and a later one reads only files that are new or have changed; the table is the same.

    If `out` exists, its clips keep what people said of them: study, contrast agent, view, labeller,
    split, and a patient that was corrected; `labels` then override. A new clip of a patient who has
    a split gets that split. Clips that are not found now stay too: as they were if their path is
    outside the source, else with the problem "the file is gone" (a broken file that nobody labelled
    is forgotten). Delete `out` to start afresh.

    Args:
        source: what to walk, see `apical.ingest.walk`.
        out: the catalogue, Parquet.
        settings: how many processes, and their bounds; the table does not depend on their number.
        labels: a table for `import_labels`; its paths start from its own folder.
        columns: of `labels`, see `import_labels`.
        dataset: name of the public data set that `source` holds, see `apical.ingest.datasets`; what it
            says of patients, views and splits is taken.
        vocabulary: of labels; the standard views by default.
        salt: key of the pseudonyms, made if absent; ``salt.key`` beside `out` by default.
        mapping: a CSV to write, from original patients and studies to pseudonyms; only for who may know both.
        progress: called with files done and in all.

    Returns:
        the catalogue, in the order of the walk and then the clips that were not found, and the report
        on `labels` or those of the data set, if they were given.

    Raises:
        WrongCall: there is no such source or data set, or both labels and a data set are given.
        CannotDo: it holds no images, `out` was made with another salt, `out` or the salt cannot be
            read or written, or `labels` cannot be used; the catalogue without them is written then.
        PatientOverlap: files have shown that patients of two splits are one.
    """
    root = as_place(source)
    if labels is not None and dataset is not None:
        raise WrongCall("a data set brings its own labels", "scan it, then import yours")
    if not is_remote(root) and not os.path.exists(root):
        raise WrongCall("there is no such folder or file to scan", "give the folder that holds the files")
    if dataset is not None:
        check_dataset(dataset, root)
    salt = salt or out.with_name("salt.key")
    if out.exists() and not salt.exists():
        raise CannotDo(
            f"'{out.name}' exists, but the key of its pseudonyms, '{salt.name}', does not",
            "give the key with --salt, or choose another --out",
        )
    old = read_catalogue(out) if out.exists() else None
    pseudonyms = Pseudonyms.load_or_create(salt)
    with Journal(out.with_name(out.name + ".journal"), pseudonyms.fingerprint) as journal:
        _read_files(journal, root, pseudonyms, settings, progress)
        homes = {} if old is None else dict(old.select("clip", "path").iter_rows())
        table, alone = _assemble(journal.rows(root), homes)
    if old is not None:
        check_key(table, old, alone, pseudonyms, out.name)
        table = carry_over(table, old, alone, root)
    table = conform(table)
    write_catalogue(table, out)
    if mapping is not None:
        map_patients(table, mapping, worker_count(settings.workers))
    views = vocabulary or standard_vocabulary()
    if dataset is not None:
        table, report, _ = apply_dataset(table, dataset, root, views, pseudonyms)
    elif labels is not None:
        table, report = import_labels(table, labels, views, pseudonyms=pseudonyms, columns=columns)
    else:
        return table, None
    write_catalogue(table, out)
    return table, report


def _read_files(
    journal: Journal,
    root: str,
    pseudonyms: Pseudonyms,
    settings: ScanSettings,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Bring the journal up to date."""
    try:
        unread, total = journal.list_files(root, _listed(root, pseudonyms))
    except ClipProblem as problem:
        raise CannotDo(
            f"the source cannot be listed ({problem})", "check its address and your access"
        ) from None
    if not total:
        raise CannotDo("the folder holds no DICOM files, videos or pictures", "check the folder")
    rows = ordered_map(
        partial(read_row, pseudonyms=pseudonyms),
        journal.unread(root),
        worker_count(settings.workers),
        partial(_failed_row, pseudonyms=pseudonyms),
        seconds=settings.seconds_per_file,
        memory_mb=settings.memory_mb,
    )
    for number, row in enumerate(rows, start=total - unread + 1):
        journal.write(row["path"], row, passing=row.get("problem") in PASSING)
        if progress is not None:
            progress(number, total)


def _listed(root: str, pseudonyms: Pseudonyms) -> Iterator[Listed]:
    for found in walk(root):
        place = os.fsencode(found.place).decode("utf-8", "replace")
        if place != found.place:  # on Linux a name may be any bytes
            found = Found(found.place, NOT_UTF_8)
        if found.problem is not None:
            row = _without_content(found.place, found.problem, pseudonyms)
            yield Listed(place, "", row | {"path": place})
            continue
        try:
            yield Listed(place, stamp(place))
        except ClipProblem as problem:
            yield Listed(place, "", _without_content(place, str(problem), pseudonyms))


def read_row(place: str, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """The catalogue row of one file, with `numbered`: whether its patient comes from a Patient ID."""
    try:
        clip = open_clip(place)
    except ClipProblem as problem:
        return _failed_row(place, str(problem), pseudonyms)
    return {"path": place} | _clip_row(clip, pseudonyms) | _identity(clip, place, pseudonyms)


def _clip_row(clip: Clip, pseudonyms: Pseudonyms) -> dict[str, Any]:
    facts = clip.facts
    row: dict[str, Any] = {name: getattr(facts, name) for name in _OF_FACTS}
    maker, _, model = (facts.machine_key or "\0").partition("\0")
    row["manufacturer"] = facts.manufacturer or (pseudonyms.machine(maker) if maker else None)
    row["model"] = facts.model or (pseudonyms.machine(model) if model else None)
    row["pixel_width_mm"], row["pixel_height_mm"] = facts.pixel_mm or (None, None)
    try:
        seen = triage(clip)
    except ClipProblem as problem:
        return row | {"mode": facts.mode, "problem": str(problem)}
    row["mode"] = seen.mode
    if seen.sector is not None:
        row["region"] = list(seen.sector.box)
        row["sector"], row["sector_confidence"] = seen.sector.to_json(), round(seen.sector.confidence, 3)
    return row


def _identity(clip: Clip, place: str, pseudonyms: Pseudonyms) -> dict[str, Any]:
    patient, study = clip.facts.patient_key, clip.facts.study_key
    return {
        "patient": pseudonyms.patient(patient) if patient else _folder_patient(place, pseudonyms),
        "study": pseudonyms.study(study) if study else None,
        "numbered": patient is not None and patient != study,
    }


def _failed_row(place: str, problem: str, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """The row of a file that cannot be used, known again by its content, unless that would take too long."""
    row = _without_content(place, problem, pseudonyms)
    if problem == TOO_LONG:
        return row
    try:
        with opened(place) as file:
            return row | {"clip": clip_id_of_file(file)}
    except (ClipProblem, OSError):
        return row


def _without_content(place: str, problem: str, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """The row of a file that is not read, known again by its place."""
    patient = _folder_patient(place, pseudonyms)
    clip = pseudonyms.file(place)
    return {"clip": clip, "path": place, "patient": patient, "problem": problem, "numbered": False}


def _folder_patient(place: str, pseudonyms: Pseudonyms) -> str:
    """The whole path, so that it does not depend on what was scanned; an archive as if it were a folder."""
    path = "/".join(archive_of(place) or (place,))
    return pseudonyms.patient("folder\0" + path.rpartition("/")[0])


def _assemble(
    rows: Iterator[dict[str, Any]], homes: Mapping[str, str]
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The rows as a table, with patients united, and the patient that each clip's own file gives."""
    chunks = []
    while chunk := list(islice(rows, CHUNK)):
        chunks.append(pl.DataFrame(chunk, schema=_ROW))
    table = _tell_apart(pl.concat(chunks), homes)
    alone = dict(table.select("clip", "patient").iter_rows())
    numbered = set(table.filter("numbered")["patient"])
    united = unite(table["patient"].to_list(), table["study"].to_list(), numbered)
    return table.with_columns(patient=pl.Series(united, dtype=pl.String)).select(*SCHEMA), alone


def _tell_apart(table: pl.DataFrame, homes: Mapping[str, str]) -> pl.DataFrame:
    """Give all copies of a clip but one ids of their own, and a problem.

    Of those that can be used the one that was the clip before (`homes`) stays it, for people have labelled
    what they saw there, else the first: a damaged copy must not take its place.
    """
    copies = table.with_row_index("at").filter(pl.col("clip").is_duplicated())
    home = pl.col("clip").replace_strict(homes, default="", return_dtype=pl.String)
    copies = copies.with_columns(moved=pl.col("path") != home)
    clips, problems = table["clip"].to_list(), table["problem"].to_list()
    for (clip,), group in copies.group_by("clip", maintain_order=True):
        ordered = group.sort(pl.col("problem").is_not_null(), "moved", "at", maintain_order=True)
        content = {place: _content(place) for place in ordered["path"]}
        first = content[ordered["path"][0]]
        for number, (at, place, problem) in enumerate(
            ordered.select("at", "path", "problem").iter_rows(), start=1
        ):
            if number > 1:
                clips[at] = f"{clip}-{number}"
                problems[at] = problem or (SAME_FILE if content[place] == first else SAME_CLIP)
    return table.with_columns(
        clip=pl.Series(clips, dtype=pl.String), problem=pl.Series(problems, dtype=pl.String)
    )


def _content(place: str) -> str | None:
    try:
        with opened(place) as file:
            return clip_id_of_file(file)
    except (ClipProblem, OSError):
        return None
