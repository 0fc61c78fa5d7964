"""Whole exams of synthetic patients, written as DICOM files beside a table of what is true."""

import csv
import io
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import torch

from apical.config import PhantomSettings, worker_count
from apical.errors import CannotDo
from apical.files import cannot_write, write_atomically
from apical.ingest.parallel import ordered_map
from apical.phantom.anatomy import Patient, sample_patient
from apical.phantom.clip import Clip, acquire
from apical.phantom.dicom_file import Header, write_dicom, write_mode
from apical.phantom.heart import Tissue
from apical.phantom.machine import MACHINES, Machine, machine
from apical.phantom.modes import MODES, SHOWS_ONE_VIEW, USUAL_VIEWS, draw_mode
from apical.phantom.planes import VIEWS
from apical.phantom.shot import ModeClip

TRUTH_FILE = "truth.csv"
STILL_SHARE = 0.06  # of the clips; they have one frame
SECONDS_BETWEEN_CLIPS = 45

# In the order of a usual transthoracic exam: the chance that a view is taken at all, and the mean number of
# further clips of it when it is. Together about eleven clips an exam.
PROTOCOL = (
    ("PLAX", 0.98, 0.40),
    ("RV-inflow", 0.54, 0.0),
    ("PSAX-AV", 0.80, 0.05),
    ("PSAX-MV", 0.74, 0.0),
    ("PSAX-PM", 0.94, 0.30),
    ("PSAX-apex", 0.60, 0.0),
    ("A4C", 0.98, 0.60),
    ("A5C", 0.55, 0.0),
    ("A2C", 0.94, 0.30),
    ("A3C", 0.80, 0.05),
    ("subcostal-4C", 0.64, 0.0),
    ("IVC", 0.55, 0.0),
    ("suprasternal", 0.54, 0.0),
)
DISORDER = 0.8  # standard deviation of a clip's place in the exam, in steps of the protocol

_OUR_FILES = re.compile(r"PHANTOM-\d{4,}/1/\.?IM\d{4}\.dcm(\.\w+\.partial)?|\.?truth\.csv(\.\w+\.partial)?")


@dataclass(frozen=True, slots=True)
class PhantomSummary:
    """What was written."""

    files: int
    patients: int
    clips_by_view: dict[str, int]  # of those that show one
    seconds: float


@dataclass(frozen=True, slots=True)
class TrueClip:
    """One row of the truth table; what a mode does not show is empty."""

    file: str  # relative to the folder of the table, with forward slashes
    patient: str
    view: str
    contrast_agent: bool
    plane_error_deg: float | None
    plane_error_mm: float | None
    phase_first_frame: float | None
    heart_rate: float
    disease: str
    machine: int
    sector: str  # outline in pixels, "x,y;x,y;..."
    mode: str  # "2d" or one of MODES


@dataclass(frozen=True, slots=True)
class _Exam:
    """What all clips of an exam have in common."""

    seed: int
    index: int  # of the patient
    patient: Patient
    scanner: Machine
    day: date
    settings: PhantomSettings

    @property
    def patient_id(self) -> str:
        return f"PHANTOM-{self.index:04d}"

    @property
    def folder(self) -> Path:
        return Path(self.patient_id) / "1"


def write_phantom(
    out: Path, settings: PhantomSettings, progress: Callable[[int, int], None] | None = None
) -> PhantomSummary:
    """Write one exam for each synthetic patient below `out`, and `truth.csv`.

    The same settings give the same bytes, and patient *i* is the same however many patients and workers there
    are. A previous phantom in `out` is replaced. `progress` is told how many of how many patients are done.

    Raises:
        CannotDo: `out` is a file, or a folder that holds anything but a previous phantom; it cannot be
            written, or the disk is full.
    """
    started = time.perf_counter()
    truth: list[TrueClip] = []
    try:
        _clear(out)
        out.mkdir(parents=True, exist_ok=True)
        for done, exam in enumerate(_exams(out, settings), start=1):
            truth += exam
            if progress is not None:
                progress(done, settings.patients)
        _write_truth(out, truth)
    except OSError as error:
        raise cannot_write(out, error) from None
    return PhantomSummary(
        files=len(truth),
        patients=settings.patients,
        clips_by_view=dict(Counter(clip.view for clip in truth if clip.view)),
        seconds=time.perf_counter() - started,
    )


def _exams(out: Path, settings: PhantomSettings) -> Iterator[list[TrueClip]]:
    """Write the exams in the order of the patients, here or in worker processes."""
    write = partial(_write_exam, out, settings)
    yield from ordered_map(write, range(settings.patients), worker_count(settings.workers), _crashed)


def _crashed(index: int, problem: str) -> list[TrueClip]:
    raise CannotDo("a worker process ended while it wrote an exam", "try again with fewer workers")


def _write_exam(out: Path, settings: PhantomSettings, index: int) -> list[TrueClip]:
    """Write all clips of patient `index`; on one thread, since sums depend on how they are split."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return list(_exam(out, settings, index))
    finally:
        torch.set_num_threads(threads)


def _exam(out: Path, settings: PhantomSettings, index: int) -> Iterator[TrueClip]:
    seed = settings.seed % 2**64  # seeds of a generator are not negative
    rng = np.random.default_rng([seed, index])
    patient = sample_patient(rng, settings.difficulty, len(Tissue))
    scanner = machine(int(rng.integers(MACHINES)))
    day = date(2019, 1, 1) + timedelta(days=int(rng.integers(2000)))
    exam = _Exam(seed, index, patient, scanner, day, settings)
    (out / exam.folder).mkdir(parents=True, exist_ok=True)
    views = _views_taken(rng)
    for number, view in enumerate(views, start=1):
        yield _plain_clip(out, exam, number, view)
    for number in range(len(views) + 1, len(views) + 1 + settings.other_modes):
        yield _clip_of_other_mode(out, exam, number)


def _plain_clip(out: Path, exam: _Exam, number: int, view: str) -> TrueClip:
    rng, settings = np.random.default_rng([exam.seed, exam.index, number]), exam.settings
    still = rng.random() < STILL_SHARE
    heart_rate = _heart_rate(exam, rng)
    clip = acquire(
        exam.patient,
        view,
        exam.scanner,
        texts=_screen_texts(exam.index, exam.day, heart_rate, exam.scanner.model, rng),
        heart_rate=heart_rate,
        frames=1 if still else settings.frames,
        rows=settings.image_rows,
        difficulty=settings.difficulty,
        rng=rng,
    )
    header = _header(exam, number, heart_rate, clip)
    write_dicom(out / _file(exam, number), clip.frames, header, exam.scanner, clip.screen)
    return _truth(exam, number, heart_rate, "2d", view, clip)


def _clip_of_other_mode(out: Path, exam: _Exam, number: int) -> TrueClip:
    rng, settings = np.random.default_rng([exam.seed, exam.index, number]), exam.settings
    mode = str(rng.choice(list(MODES)))
    view = str(rng.choice(USUAL_VIEWS.get(mode, VIEWS)))
    heart_rate = _heart_rate(exam, rng)
    clip = draw_mode(
        mode,
        exam.patient,
        view,
        exam.scanner,
        texts=_screen_texts(exam.index, exam.day, heart_rate, exam.scanner.model, rng),
        heart_rate=heart_rate,
        frames=settings.frames,
        rows=settings.image_rows,
        difficulty=settings.difficulty,
        rng=rng,
    )
    header = _header(exam, number, heart_rate, clip)
    write_mode(out / _file(exam, number), clip, header, exam.scanner)
    shown = view if mode in SHOWS_ONE_VIEW else ""
    return _truth(exam, number, heart_rate, mode, shown, clip)


def _heart_rate(exam: _Exam, rng: np.random.Generator) -> int:
    return round(exam.patient.heart_rate * float(rng.uniform(0.95, 1.05)))


def _file(exam: _Exam, number: int) -> Path:
    return exam.folder / f"IM{number:04d}.dcm"


def _header(exam: _Exam, number: int, heart_rate: int, clip: Clip | ModeClip) -> Header:
    return Header(
        patient_id=exam.patient_id,
        patient_name=f"Phantom^Nr{exam.index}",
        study_key=f"{exam.seed}/{exam.index}",
        study_date=exam.day.strftime("%Y%m%d"),
        acquisition_time=_clock(number * SECONDS_BETWEEN_CLIPS),
        instance_number=number,
        heart_rate=heart_rate,
        frame_time_ms=clip.frame_time_ms,
    )


def _truth(
    exam: _Exam, number: int, heart_rate: int, mode: str, view: str, clip: Clip | ModeClip
) -> TrueClip:
    error, phase, screen = clip.error, clip.phase_first_frame, clip.screen
    return TrueClip(
        file=_file(exam, number).as_posix(),
        patient=exam.patient_id,
        view=view,
        contrast_agent=False,
        plane_error_deg=round(error.degrees, 2) if error else None,
        plane_error_mm=round(error.mm, 2) if error else None,
        phase_first_frame=None if phase is None else round(phase, 4),
        heart_rate=heart_rate,
        disease=exam.patient.disease,
        machine=exam.scanner.number,
        sector=";".join(f"{x:.1f},{y:.1f}" for x, y in screen.polygon()) if screen else "",
        mode=mode,
    )


def _views_taken(rng: np.random.Generator) -> list[str]:
    """Draw which views an exam holds, with repeats, in the order they are acquired."""
    clips: list[tuple[float, str]] = []
    for place, (view, chance, repeats) in enumerate(PROTOCOL):
        taken = rng.random() < chance
        count = (1 + int(rng.poisson(repeats))) if taken else 0
        clips += [(place + float(rng.normal(0, DISORDER)), view) for _ in range(count)]
    return [view for _, view in sorted(clips)]


def _screen_texts(
    index: int, day: date, heart_rate: float, model: str, rng: np.random.Generator
) -> tuple[str, ...]:
    """Lines burnt into the screen; the first is the (invented) patient's name."""
    lines = [
        f"{day:%d/%m/%Y}",
        f"{heart_rate} bpm",
        model,
        f"MI {rng.uniform(0.7, 1.4):.1f}",
        f"TIS {rng.uniform(0.4, 1.6):.1f}",
        f"C {rng.integers(40, 70)}",
        f"{rng.integers(30, 80)} Hz",
    ]
    return (f"PHANTOM, NR{index}", *(lines[i] for i in rng.permutation(len(lines))))


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


def _write_truth(out: Path, truth: list[TrueClip]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(TrueClip)], lineterminator="\n")
    table.writeheader()
    for clip in truth:
        table.writerow(asdict(clip) | {"contrast_agent": str(clip.contrast_agent).lower()})
    write_atomically(out / TRUTH_FILE, text.getvalue().encode())
