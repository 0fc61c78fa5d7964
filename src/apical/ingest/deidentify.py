"""Write clean copies of DICOM files: nobody is told by their headers, and only the image is in their pixels.

What cannot be cleaned is not written. A copy is read again before it is given its name, and must be black
wherever it should be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from apical.config import DeidentifySettings, worker_count
from apical.errors import CannotDo, ClipProblem, WrongCall
from apical.files import cannot_write, replacing, write_atomically
from apical.ingest.blackout import SYNTAXES, black_out
from apical.ingest.burnt_in import without_burnt_in
from apical.ingest.clip import colours, open_clip
from apical.ingest.damage import decoding
from apical.ingest.dicom import DicomClip, quiet_pydicom
from apical.ingest.facts import WITH_SECTOR
from apical.ingest.mapping import write_mapping
from apical.ingest.owners import Owner, owner_of, united
from apical.ingest.parallel import ordered_map
from apical.ingest.places import as_place, is_remote
from apical.ingest.profile import CleanOptions, clean_header
from apical.ingest.pseudonyms import Pseudonyms, clip_id_of_uid
from apical.ingest.sector import Sector
from apical.ingest.triage import triage
from apical.ingest.walk import Found, walk

Result = TypeVar("Result")

STATE = "deidentified.json"
UNSURE = "the ultrasound image is not told from the screen with confidence"
IMPLEMENTATION = "2.25.302043790172249692526321623266752743501"  # this program, as the writer of a file


@dataclass(frozen=True)
class Copy:
    """What became of a file.

    Attributes:
        place: the file; its path may hold identifiers.
        file: the clean copy, relative to the output folder, or None.
        clip: the copy's clip id.
        problem: why there is no copy, or None.
        original: Patient ID, Study and SOP Instance UID, for the mapping file alone.
        clean: the same of the copy.
    """

    place: str
    file: str | None = None
    clip: str | None = None
    problem: str | None = None
    original: tuple[str, str, str] = ("", "", "")
    clean: tuple[str, str, str] = ("", "", "")


def deidentify(
    source: Path | str,
    out: Path,
    settings: DeidentifySettings = DeidentifySettings(),
    *,
    salt: Path | None = None,
    mapping: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Copy]:
    """Write clean copies of the ultrasound clips of a folder, as OUT/PATIENT/STUDY/CLIP.dcm.

    Headers follow the Basic Application Level Confidentiality Profile (PS3.15 annex E) with the Clean Pixel
    Data option, see `apical.ingest.profile`; pixels outside the ultrasound image are black in every frame.
    All that share a study are one patient, as in `apical.ingest.scan`, whose pseudonyms these are.
    Only clips that show an image with a sector are written (2-D, colour and tissue Doppler): spectra, reports
    and comparisons have writing where the data are. Copies that are there already are not made again.

    Args:
        source: what to walk, see `apical.ingest.walk`.
        out: a folder, empty or from an earlier call with the same settings and key.
        settings: what stays of the headers, and how pixels are written.
        salt: key of the pseudonyms; ``salt.key`` beside `out` by default, made if absent. It must not be
            given away with the copies.
        mapping: a CSV to write, from original to new identifiers; only for who may know both.
        progress: called with steps done and in all: each file's header is read, then its copy is made.

    Returns:
        a record for each file, in the order of the walk.

    Raises:
        WrongCall: there is no such source, `out` lies in it or it in `out`, or `salt` or `mapping` would lie
            in `out`, or be one file.
        CannotDo: it cannot be listed or holds no images, or `out` holds something else or cannot be written.
    """
    root = as_place(source)
    if not is_remote(root) and not os.path.exists(root):
        raise WrongCall("there is no such folder or file", "give the folder that holds the files")
    salt = salt or out.resolve().parent / "salt.key"
    _check_apart(root, out.resolve(), salt.resolve(), mapping and mapping.resolve())
    try:
        files = list(walk(root))
    except ClipProblem as problem:
        raise CannotDo(
            f"the source cannot be listed ({problem})", "check its address and your access"
        ) from None
    if not files:
        raise CannotDo("the folder holds no DICOM files, videos or pictures", "check the folder")
    pseudonyms = Pseudonyms.load_or_create(salt)
    _check_output(out, settings, pseudonyms)
    there = _copies_in(out)
    bounds = (settings.seconds_per_file, settings.memory_mb)
    done = 0

    def counted(results: Iterator[Result]) -> Iterator[Result]:
        nonlocal done
        for result in results:
            done += 1
            if progress is not None:
                progress(done, 2 * len(files))
            yield result

    workers = worker_count(settings.workers)
    look = partial(owner_of, pseudonyms=pseudonyms)
    owners = list(counted(ordered_map(look, files, workers, _no_owner, *bounds)))
    work = partial(clean_copy, out=out, settings=settings, pseudonyms=pseudonyms)
    tasks = zip(files, united(owners), strict=True)
    copies = list(counted(ordered_map(work, tasks, workers, _no_copy, *bounds)))
    for copy in copies:
        if copy.file is not None:
            _remove([path for path in there.get(Path(copy.file).name, []) if path != out / copy.file])
    if mapping is not None:
        names = ("patient_id", "study_instance_uid", "sop_instance_uid")
        header = ["path", *(f"original_{name}" for name in names), *names, "file"]
        written = [copy for copy in copies if copy.file is not None]
        write_mapping(mapping, header, ([one.place, *one.original, *one.clean, one.file] for one in written))
    return copies


def _check_apart(root: str, out: Path, salt: Path, mapping: Path | None) -> None:
    """Refuse an output among the sources, which would be cleaned again, and secrets among the copies."""
    if not is_remote(root) and (out.is_relative_to(root) or Path(root).is_relative_to(out)):
        raise WrongCall("the clean copies would lie among the originals", "choose a folder elsewhere")
    for secret in (salt, mapping):
        if secret is not None and secret.is_relative_to(out):
            raise WrongCall(
                f"'{secret.name}' would lie among the clean copies",
                "keep it elsewhere: it undoes them",
            )
    if salt == mapping:
        raise WrongCall("the key and the mapping cannot be one file", "choose another --mapping")


def _check_output(out: Path, settings: DeidentifySettings, pseudonyms: Pseudonyms) -> None:
    """Refuse a folder of something else, or of copies cleaned otherwise, less surely or under another key."""
    how = settings.options() | {"syntax": settings.syntax, "key": pseudonyms.fingerprint}
    how["least_confidence"] = settings.least_confidence
    path, before = out / STATE, None
    try:
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            least = before["least_confidence"]
            same = before == how | {"least_confidence": least} and least >= settings.least_confidence
        else:
            same = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    except OSError as error:
        raise cannot_write(out, error) from None
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise CannotDo(
            f"'{out.name}' holds something else, or copies made otherwise",
            "choose another folder",
        )
    if before != how:
        write_atomically(path, json.dumps(how).encode())


def _no_owner(found: Found, problem: str) -> Owner:
    return Owner(problem=problem)


def _no_copy(task: tuple[Found, Owner], problem: str) -> Copy:
    return Copy(task[0].place, problem=problem)


def _copies_in(out: Path) -> dict[str, list[Path]]:
    """The copies of earlier calls by their names; what a killed one left half-written is removed."""
    _remove(list(out.glob("*/*/.*.partial")))
    copies: dict[str, list[Path]] = {}
    for path in out.glob("*/*/*.dcm"):
        copies.setdefault(path.name, []).append(path)
    return copies


def _remove(paths: list[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from None


def clean_copy(
    task: tuple[Found, Owner], out: Path, settings: DeidentifySettings, pseudonyms: Pseudonyms
) -> Copy:
    """Write the clean copy of one file, or say why there is none."""
    found, owner = task
    if owner.problem is not None:
        return Copy(found.place, problem=owner.problem)
    try:
        clip = open_clip(found.place)
        if not isinstance(clip, DicomClip) or clip.facts.clip != owner.clip:
            raise ClipProblem("the file has changed")
        with quiet_pydicom(), decoding("the header cannot be cleaned"):
            options = CleanOptions(**settings.options())
            header = clean_header(clip.dataset, owner.clip, pseudonyms, options, owner.patient)
        file = Path(owner.patient, pseudonyms.study(str(header.StudyInstanceUID)),
                    f"{clip_id_of_uid(header.SOPInstanceUID)}.dcm")  # fmt: skip
        if not (out / file).exists():
            sector = _sector(clip, settings.least_confidence)
            _write(clip, sector, header, out / file, settings)
    except ClipProblem as problem:
        return Copy(found.place, problem=str(problem))
    names = ("PatientID", "StudyInstanceUID", "SOPInstanceUID")
    original, clean = (tuple(str(data.get(name) or "") for name in names) for data in (clip.dataset, header))
    return Copy(
        found.place,
        file.as_posix(),
        clip_id_of_uid(header.SOPInstanceUID),
        original=(original[0], original[1], original[2]),
        clean=(clean[0], clean[1], clean[2]),
    )


def _sector(clip: DicomClip, least_confidence: float) -> Sector:
    seen = triage(clip)
    if seen.mode not in WITH_SECTOR or seen.sector is None:
        raise ClipProblem(f"shows no image with a sector, but {seen.mode}")
    if seen.sector.confidence < least_confidence:
        raise ClipProblem(UNSURE)
    return without_burnt_in(clip, seen.sector, seen.mode)


def _write(
    clip: DicomClip, sector: Sector, header: Dataset, path: Path, settings: DeidentifySettings
) -> None:
    """Write beside, check, then give it its name."""
    with quiet_pydicom(), decoding("the clean copy cannot be made"):
        pixels = black_out(clip, sector.mask, header, settings.syntax)
    with pixels, replacing(path) as temporary:
        with quiet_pydicom(), decoding("the clean copy cannot be made"):
            _save(header, pixels, temporary, settings)
        _check(temporary, clip, sector)


def _save(header: Dataset, pixels: BinaryIO, path: Path, settings: DeidentifySettings) -> None:
    syntax = SYNTAXES[settings.syntax]
    compressed = syntax.is_encapsulated
    element = DataElement("PixelData", "OB" if compressed or header.BitsAllocated == 8 else "OW", pixels)
    element.is_undefined_length = compressed
    header["PixelData"] = element
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    meta.ImplementationVersionName = "APICAL"
    header.file_meta = meta
    header.save_as(path, enforce_file_format=True)


def _check(path: Path, original: DicomClip, sector: Sector) -> None:
    """Read a copy again: every frame is of one colour outside, and as it was inside.

    Raises:
        ClipProblem: it is not so.
    """
    copy = DicomClip(path)
    if copy.facts.frames != original.facts.frames:
        raise ClipProblem("the clean copy cannot be made")
    for clean, before in zip(colours(copy), colours(original), strict=True):
        outside = clean[~sector.mask]
        if (outside != outside[:1]).any() or (clean != before)[sector.mask].any():
            raise ClipProblem("the clean copy cannot be made")
