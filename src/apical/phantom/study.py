"""Whole exams of synthetic patients, written as DICOM files beside tables of what is true."""

import csv
import io
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apical.config import PhantomSettings, worker_count
from apical.errors import CannotDo, WrongCall
from apical.files import cannot_write, write_atomically
from apical.ingest.parallel import ordered_map
from apical.phantom.anatomy import Floats
from apical.phantom.clip import Clip
from apical.phantom.cycle import cardiac_state
from apical.phantom.dicom_file import Header, write_dicom, write_mode
from apical.phantom.exam import Exam, Take, exam_of, takes
from apical.phantom.heart import heart_at
from apical.phantom.planes import APICAL, VIEWS, Plane, ideal_plane, plane_error

TRUTH_FILE, FRAMES_FILE = "truth.csv", "truth-frames.csv"
SECONDS_BETWEEN_CLIPS = 45
_Ideals = dict[str, tuple[Plane, Floats]]  # by view: the plane and what it is aimed at
MM_A_DEGREE = 1.0  # a probe so far away is as far from a view as one turned by a degree

_OUR_FILES = re.compile(
    r"PHANTOM-\d{4,}/1/\.?IM\d{4}\.dcm(\.\w+\.partial)?|\.?truth(-frames)?\.csv(\.\w+\.partial)?"
)


@dataclass(frozen=True, slots=True)
class PhantomSummary:
    """What was written."""

    files: int
    patients: int
    clips_by_view: dict[str, int]  # of those that show one
    seconds: float


@dataclass(frozen=True, slots=True)
class TrueClip:
    """One row of the truth table; what a clip does not show is empty."""

    file: str  # relative to the folder of the table, with forward slashes
    patient: str
    view: str
    contrast_agent: bool
    plane_error_deg: float | None  # angle between the first frame's plane and the textbook's of the view
    plane_error_mm: float | None  # distance of what the view is aimed at from the first frame's plane
    foreshortened_mm: float | None  # of the left ventricle, in apical views
    phase_first_frame: float | None
    heart_rate: float
    disease: str
    atrial_fibrillation: bool
    ejection_fraction: float
    effusion_mm: float
    quality: float | None  # how well blood and muscle are told apart, 0 to 1
    machine: int
    sector: str  # outline in pixels, "x,y;x,y;..."
    mode: str  # "2d", "sweep" or one of the modes


@dataclass(frozen=True, slots=True)
class TrueFrame:
    """One row of the table of frames: where the plane of a 2-D frame really is."""

    file: str
    frame: int  # from 0
    phase: float  # 0 = end-diastole
    nearest_view: str  # of the standard ones, by how far the probe is turned and moved
    degrees: float  # angle between the plane and the textbook's of that view
    mm: float  # distance of what that view is aimed at from the plane
    turned_deg: float  # total rotation of the probe from there
    moved_mm: float
    probe: str  # "x,y,z" in heart coordinates, mm
    beam: str  # unit vector of the middle beam
    lateral: str  # unit vector to the right of the image


@dataclass(frozen=True, slots=True)
class _Written:
    """The rows of one exam."""

    clips: list[TrueClip]
    frames: list[TrueFrame]


def write_phantom(
    out: Path, settings: PhantomSettings, progress: Callable[[int, int], None] | None = None
) -> PhantomSummary:
    """Write one exam for each synthetic patient below `out`, `truth.csv` and `truth-frames.csv`.

    The same settings give the same bytes, and patient *i* is the same however many patients and workers there
    are. A previous phantom in `out` is replaced. `progress` is told how many of how many patients are done.

    Raises:
        CannotDo: `out` is a file, or a folder that holds anything but a previous phantom; it cannot be
            written, or the disk is full.
        WrongCall: there is no such device.
    """
    started = time.perf_counter()
    _check_device(settings.device)
    clips: list[TrueClip] = []
    frames: list[TrueFrame] = []
    try:
        _clear(out)
        out.mkdir(parents=True, exist_ok=True)
        for done, exam in enumerate(_exams(out, settings), start=1):
            clips += exam.clips
            frames += exam.frames
            if progress is not None:
                progress(done, settings.patients)
        _write_table(out / TRUTH_FILE, TrueClip, clips)
        _write_table(out / FRAMES_FILE, TrueFrame, frames)
    except OSError as error:
        raise cannot_write(out, error) from None
    return PhantomSummary(
        files=len(clips),
        patients=settings.patients,
        clips_by_view=dict(Counter(clip.view for clip in clips if clip.view)),
        seconds=time.perf_counter() - started,
    )


def _check_device(name: str) -> None:
    try:
        if torch.device(name).type not in ("cpu", "cuda", "mps"):
            raise RuntimeError
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError):
        raise WrongCall(f"there is no device '{name}' here", "use --device cpu") from None


def _exams(out: Path, settings: PhantomSettings) -> Iterator[_Written]:
    """Write the exams in the order of the patients, here or in worker processes."""
    write = partial(_write_exam, out, settings)
    yield from ordered_map(write, range(settings.patients), worker_count(settings.workers), _crashed)


def _crashed(index: int, problem: str) -> _Written:
    raise CannotDo("a worker process ended while it wrote an exam", "try again with fewer workers")


def _write_exam(out: Path, settings: PhantomSettings, index: int) -> _Written:
    """Write all clips of patient `index`; on one thread, since sums depend on how they are split."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.device(settings.device):
            return _written_exam(out, exam_of(settings, index))
    finally:
        torch.set_num_threads(threads)


def _written_exam(out: Path, exam: Exam) -> _Written:
    (out / exam.patient_id / "1").mkdir(parents=True, exist_ok=True)
    ideals = _ideal_planes(exam)
    written = _Written([], [])
    for take in takes(exam):
        _write_take(out, exam, take)
        written.clips.append(_true_clip(exam, take))
        written.frames.extend(_true_frames(exam, take, ideals))
    return written


def _write_take(out: Path, exam: Exam, take: Take) -> None:
    clip, path = take.clip, out / _file(exam, take)
    header = Header(
        patient_id=exam.patient_id,
        patient_name=f"Phantom^Nr{exam.index}",
        study_key=f"{exam.seed}/{exam.index}",
        study_date=exam.day.strftime("%Y%m%d"),
        acquisition_time=_clock(take.number * SECONDS_BETWEEN_CLIPS),
        instance_number=take.number,
        heart_rate=take.heart_rate,
        frame_time_ms=clip.frame_time_ms,
    )
    if isinstance(clip, Clip):
        write_dicom(path, clip.frames, header, exam.scanner, clip.screen)
    else:
        write_mode(path, clip, header, exam.scanner)


def _file(exam: Exam, take: Take) -> Path:
    return Path(exam.patient_id) / "1" / f"IM{take.number:04d}.dcm"


def _true_clip(exam: Exam, take: Take) -> TrueClip:
    clip, patient = take.clip, exam.patient
    sight = clip.sight
    error = sight.error if sight and take.mode != "sweep" else None
    apical = take.view in APICAL
    phase, screen = clip.phase_first_frame, clip.screen
    return TrueClip(
        file=_file(exam, take).as_posix(),
        patient=exam.patient_id,
        view=take.view,
        contrast_agent=take.contrast_agent,
        plane_error_deg=round(float(error.degrees[0]), 2) if error else None,
        plane_error_mm=round(float(error.mm[0]), 2) if error else None,
        foreshortened_mm=round(sight.foreshortened_mm, 1) if sight and apical else None,
        phase_first_frame=None if phase is None else round(phase, 4),
        heart_rate=take.heart_rate,
        disease=patient.disease,
        atrial_fibrillation=patient.atrial_fibrillation,
        ejection_fraction=round(patient.ejection_fraction, 3),
        effusion_mm=round(patient.effusion, 1),
        quality=round(sight.quality, 3) if sight else None,
        machine=exam.scanner.number,
        sector=";".join(f"{x:.1f},{y:.1f}" for x, y in screen.polygon()) if screen else "",
        mode=take.mode,
    )


def _true_frames(exam: Exam, take: Take, ideals: _Ideals) -> Iterator[TrueFrame]:
    sight = take.clip.sight
    if sight is None:
        return
    planes, views = sight.planes, list(ideals)
    errors = [plane_error(planes, *ideals[view]) for view in views]
    nearest = np.argmin([error.turned + error.moved / MM_A_DEGREE for error in errors], axis=0)
    for frame, view in enumerate(nearest):
        yield TrueFrame(
            file=_file(exam, take).as_posix(),
            frame=frame,
            phase=round(float(sight.phases[frame]), 4),
            nearest_view=views[view],
            degrees=round(float(errors[view].degrees[frame]), 2),
            mm=round(float(errors[view].mm[frame]), 2),
            turned_deg=round(float(errors[view].turned[frame]), 2),
            moved_mm=round(float(errors[view].moved[frame]), 2),
            probe=_numbers(planes.probe[frame], 2),
            beam=_numbers(planes.beam[frame], 4),
            lateral=_numbers(planes.lateral[frame], 4),
        )


def _ideal_planes(exam: Exam) -> _Ideals:
    """Where the textbook holds the probe on this patient, for each standard view, and aims it."""
    heart = heart_at(exam.patient, cardiac_state(np.zeros(1)))
    return {view: ideal_plane(heart, view) for view in VIEWS}


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _numbers(values: np.ndarray[Any, np.dtype[np.float64]], digits: int) -> str:
    return ",".join(f"{value:.{digits}f}" for value in values)


def _clock(seconds_after_eight: int) -> str:
    minutes, seconds = divmod(seconds_after_eight, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{8 + hours:02d}{minutes:02d}{seconds:02d}"


def _clear(out: Path) -> None:
    """Remove a previous phantom from `out`; anything else there is an error."""
    if not out.exists():
        return
    if not out.is_dir():
        raise CannotDo("the phantom's output is a file", do="name a new or empty folder")
    files = [path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()]
    if not all(_OUR_FILES.fullmatch(file) for file in files):
        raise CannotDo(
            "the output folder holds files that are not a phantom's", do="name a new or empty folder"
        )
    for file in files:
        (out / file).unlink()
    for folder in out.glob("PHANTOM-*"):
        shutil.rmtree(folder)


def _write_table(path: Path, row: type[TrueClip | TrueFrame], rows: list[Any]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(row)], lineterminator="\n")
    table.writeheader()
    for one in rows:
        table.writerow({name: _cell(value) for name, value in asdict(one).items()})
    write_atomically(path, text.getvalue().encode())
